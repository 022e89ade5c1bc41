//! Volumes that are made for the machine and filled from somewhere.

use anyhow::Result;
use serde_json::{Map, Value, json};

use super::parameters::{FlagError, Parameters, prefixed};
use super::vm::{Draft, Vm};
use super::{SUFFIX, push, volumes};
use crate::flags::unique;

const FLAG: &str = "volume-import";

type Source = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

/// Kinds of sources with texts for parameters: what a source is called in the manifest, and its parameters as users and
/// the manifest call them. What begins with `!` must be there.
const SOURCES: [Source; 6] = [
    ("gcs", "gcs", &[("secretref", "secretRef"), ("!url", "url")]),
    ("http", "http", &[("certconfigmap", "certConfigMap"), ("secretref", "secretRef"), ("!url", "url")]),
    (
        "imageio",
        "imageio",
        &[
            ("certconfigmap", "certConfigMap"),
            ("!diskid", "diskId"),
            ("secretref", "secretRef"),
            ("!url", "url"),
        ],
    ),
    (
        "registry",
        "registry",
        &[
            ("certconfigmap", "certConfigMap"),
            ("imagestream", "imageStream"),
            ("pullmethod", "pullMethod"),
            ("secretref", "secretRef"),
            ("url", "url"),
        ],
    ),
    ("s3", "s3", &[("certconfigmap", "certConfigMap"), ("secretref", "secretRef"), ("!url", "url")]),
    (
        "vddk",
        "vddk",
        &[
            ("!url", "url"),
            ("!uuid", "uuid"),
            ("!thumbprint", "thumbprint"),
            ("!secretref", "secretRef"),
            ("!backingfile", "backingFile"),
            ("initimageurl", "initImageURL"),
        ],
    ),
];

/// Adds imported volumes, and those that older flags ask for: these come first.
pub(super) fn add(flags: &Vm, draft: &mut Draft) -> Result<(), FlagError> {
    let mut all = flags.volume_import.clone();
    for (flag, kind, given) in [
        ("volume-datasource", "ds", &flags.volume_datasource),
        ("volume-clone-pvc", "pvc", &flags.volume_clone_pvc),
        ("volume-blank", "blank", &flags.volume_blank),
    ] {
        if given.is_empty() {
            continue;
        }
        eprintln!("Flag --{flag} has been deprecated, use flag --volume-import instead");
        for text in given {
            if text.is_empty() {
                return Err(FlagError::new(FLAG, "params may not be empty"));
            }
            all.insert(0, format!("type:{kind},{text}"));
        }
    }
    all.iter().try_for_each(|text| add_one(draft, text))
}

fn add_one(draft: &mut Draft, text: &str) -> Result<(), FlagError> {
    let mut found = Parameters::read(FLAG, text)?;
    let Some(kind) = found.take("type") else { return Err(found.wrong("type must be specified")) };
    if !matches!(kind.as_str(), "blank" | "pvc" | "snapshot" | "ds")
        && !SOURCES.iter().any(|(known, ..)| *known == kind)
    {
        let reason = format!("invalid volume import type \"{kind}\", see help for supported values");
        return Err(found.wrong(reason));
    }
    let name = found.take("name").unwrap_or_else(|| unique("imported-volume-", SUFFIX));
    let size = found.quantity("size")?;
    let boot_order = found.number("bootorder")?;
    let mut spec = match kind.as_str() {
        "blank" => {
            found.finish()?;
            json!({"source": {"blank": {}}})
        }
        "ds" => data_source(&mut found)?,
        "pvc" | "snapshot" => copy(&mut found, &kind)?,
        _ => download(&mut found, &kind)?,
    };
    spec["storage"] = match &size {
        Some(size) => json!({"resources": {"requests": {"storage": size}}}),
        None if matches!(kind.as_str(), "pvc" | "snapshot" | "ds") => json!({"resources": {}}),
        None => return Err(found.wrong("size must be specified")),
    };
    volumes::add_volume(FLAG, draft, &name, "dataVolume", json!({"name": name}))?;
    let template = json!({"metadata": {"name": name}, "spec": spec});
    push(&mut draft.machine["spec"], "dataVolumeTemplates", template);
    volumes::add_disk(FLAG, draft, &name, boot_order)
}

/// Takes the source, parted in namespace and name.
fn source(found: &mut Parameters) -> Result<(String, String), FlagError> {
    let source = found.text("src");
    found.finish()?;
    if source.is_empty() {
        return Err(found.wrong("src must be specified"));
    }
    let (namespace, name) = prefixed(&source).map_err(|why| found.wrong(format!("src invalid: {why}")))?;
    Ok((namespace.to_owned(), name.to_owned()))
}

fn data_source(found: &mut Parameters) -> Result<Value, FlagError> {
    let (namespace, name) = source(found)?;
    let mut reference = json!({"kind": "DataSource", "name": name});
    if !namespace.is_empty() {
        reference["namespace"] = namespace.into();
    }
    Ok(json!({"sourceRef": reference}))
}

fn copy(found: &mut Parameters, kind: &str) -> Result<Value, FlagError> {
    let (namespace, name) = source(found)?;
    if namespace.is_empty() {
        return Err(found.wrong(format!("namespace of {kind} \"{name}\" must be specified")));
    }
    Ok(json!({"source": {kind: {"name": name, "namespace": namespace}}}))
}

fn download(found: &mut Parameters, kind: &str) -> Result<Value, FlagError> {
    let known = SOURCES.iter().find(|(known, ..)| *known == kind);
    let &(_, field, parameters) = known.expect("the kind was looked up before");
    let mut source = Map::new();
    let mut missing = Vec::new();
    for (parameter, field) in parameters {
        let name = parameter.trim_start_matches('!');
        match found.text(name) {
            text if !text.is_empty() => {
                source.insert((*field).to_owned(), text.into());
            }
            _ if parameter.starts_with('!') => missing.push(name),
            _ => {}
        }
    }
    if kind == "http" {
        for (parameter, field) in
            [("extraheaders", "extraHeaders"), ("secretextraheaders", "secretExtraHeaders")]
        {
            let headers = found.texts(parameter);
            if !headers.is_empty() {
                source.insert(field.to_owned(), headers.into());
            }
        }
    }
    found.finish()?;
    match (kind, missing.first()) {
        ("registry", _) => registry(found, &source)?,
        ("imageio", Some(_)) => {
            return Err(found.wrong("url and diskid are both required with imageio volume source"));
        }
        (_, Some(missing)) => {
            return Err(found.wrong(format!("{missing} is required with {kind} volume source")));
        }
        (_, None) => {}
    }
    Ok(json!({"source": {field: source}}))
}

fn registry(found: &Parameters, source: &Map<String, Value>) -> Result<(), FlagError> {
    let method = source.get("pullMethod").and_then(Value::as_str).unwrap_or("pod");
    if !matches!(method, "pod" | "node") {
        return Err(found.wrong("pullmethod must be set to pod or node"));
    }
    if source.contains_key("url") == source.contains_key("imageStream") {
        return Err(found.wrong("exactly one of url or imagestream must be defined"));
    }
    Ok(())
}
