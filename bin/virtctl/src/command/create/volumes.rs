//! Volumes of a machine that are there already, and what can be learnt from volumes.

use anyhow::{Result, anyhow, bail};
use machinery::names;
use serde_json::{Value, json};

use super::parameters::{FlagError, Parameters, prefixed};
use super::push;
use super::vm::{Draft, Vm};

/// Adds container disks and claims.
pub(super) fn add(flags: &Vm, draft: &mut Draft) -> Result<(), FlagError> {
    for (index, text) in flags.volume_containerdisk.iter().enumerate() {
        let Existing { source: image, name, boot_order, .. } = Existing::read("volume-containerdisk", text)?;
        let default = || format!("{}-containerdisk-{index}", draft.name);
        let name = Some(name).filter(|name| !name.is_empty()).unwrap_or_else(default);
        add_volume("volume-containerdisk", draft, &name, "containerDisk", json!({"image": image}))?;
        add_disk("volume-containerdisk", draft, &name, boot_order)?;
    }
    for text in &flags.volume_pvc {
        let Existing { found, source, name, boot_order } = Existing::read("volume-pvc", text)?;
        let claim = local(&found, &source, "pvc")?;
        let name = Some(name).filter(|name| !name.is_empty()).unwrap_or_else(|| claim.to_owned());
        let claim = json!({"claimName": claim});
        add_volume("volume-pvc", draft, &name, "persistentVolumeClaim", claim)?;
        add_disk("volume-pvc", draft, &name, boot_order)?;
    }
    Ok(())
}

/// What both kinds are described by.
struct Existing {
    found: Parameters,
    source: String,
    name: String,
    boot_order: Option<u32>,
}

impl Existing {
    fn read(flag: &'static str, text: &str) -> Result<Self, FlagError> {
        let mut found = Parameters::read(flag, text)?;
        let (name, source) = (found.text("name"), found.text("src"));
        let boot_order = found.number("bootorder")?;
        found.finish()?;
        if source.is_empty() {
            return Err(found.wrong("src must be specified"));
        }
        Ok(Self { found, source, name, boot_order })
    }
}

/// Returns the name of something in the machine's own namespace.
fn local<'a>(found: &Parameters, source: &'a str, what: &str) -> Result<&'a str, FlagError> {
    match prefixed(source) {
        Ok(("", name)) => Ok(name),
        Ok((_, name)) => Err(found.wrong(format!("not allowed to specify namespace of {what} \"{name}\""))),
        Err(reason) => Err(found.wrong(format!("src invalid: {reason}"))),
    }
}

/// Adds Windows' answer file.
pub(super) fn add_sysprep(flags: &Vm, draft: &mut Draft) -> Result<(), FlagError> {
    const FLAG: &str = "volume-sysprep";
    let Some(text) = &flags.volume_sysprep else { return Ok(()) };
    let mut found = Parameters::read(FLAG, text)?;
    let (source, kind) = (found.take("src").unwrap_or_default(), found.text("type"));
    found.finish()?;
    if source.is_empty() {
        return Err(found.wrong("src must be specified"));
    }
    let name = local(&found, &source, "configmap or secret")?;
    if exists(draft, "sysprepdisk").is_some() {
        return Err(found.wrong(there_already("sysprepdisk")));
    }
    let field = match kind.to_lowercase().as_str() {
        "" | "configmap" => "configMap",
        "secret" => "secret",
        _ => {
            let reason =
                format!("invalid sysprep source type \"{kind}\", supported values are: configmap, secret");
            return Err(found.wrong(reason));
        }
    };
    let volume = json!({"name": "sysprepdisk", "sysprep": {field: {"name": name}}});
    push(draft.instance(), "volumes", volume);
    Ok(())
}

/// Adds a volume whose name must be free and fit.
pub(super) fn add_volume(
    flag: &'static str,
    draft: &mut Draft,
    name: &str,
    kind: &str,
    source: Value,
) -> Result<(), FlagError> {
    let wrong = names::dns_label(name);
    if !wrong.is_empty() {
        return Err(FlagError::new(flag, format!("invalid name \"{name}\": {}", wrong.join(","))));
    }
    if exists(draft, name).is_some() {
        return Err(FlagError::new(flag, there_already(name)));
    }
    push(draft.instance(), "volumes", json!({"name": name, kind: source}));
    Ok(())
}

/// Adds a disk for a volume whose place in the boot order is named; others get theirs from the server.
pub(super) fn add_disk(
    flag: &'static str,
    draft: &mut Draft,
    name: &str,
    boot_order: Option<u32>,
) -> Result<(), FlagError> {
    let Some(place) = boot_order else { return Ok(()) };
    if place == 0 {
        return Err(FlagError::new(flag, "bootorder must be greater than 0"));
    }
    if draft.boot_order.contains_key(&place) {
        return Err(FlagError::new(flag, format!("bootorder {place} was specified multiple times")));
    }
    draft.boot_order.insert(place, name.to_owned());
    push(&mut draft.instance()["domain"]["devices"], "disks", json!({"name": name, "bootOrder": place}));
    Ok(())
}

pub(super) fn there_already(name: &str) -> String {
    format!("there is already a volume with name \"{name}\"")
}

/// Returns the volume `name`.
pub(super) fn exists<'a>(draft: &'a Draft, name: &str) -> Option<&'a Value> {
    let volumes = draft.machine["spec"]["template"]["spec"]["volumes"].as_array()?;
    volumes.iter().find(|volume| volume["name"] == name)
}

/// Returns the volume that tells instance type or preference: the one that is named, or the first that is booted.
///
/// # Errors
/// When there is none, or it can tell nothing.
pub(super) fn inferred_from(draft: &Draft, named: Option<&str>) -> Result<String> {
    let name = if let Some(name) = named {
        name.to_owned()
    } else {
        let first = &draft.machine["spec"]["template"]["spec"]["volumes"][0]["name"];
        let Some(first) = first.as_str() else {
            bail!("at least one volume is needed to infer an instance type or preference");
        };
        draft.boot_order.values().next().cloned().unwrap_or_else(|| first.to_owned())
    };
    let volume = exists(draft, &name).ok_or_else(|| anyhow!("there is no volume with name \"{name}\""))?;
    if let Some(imported) = volume["dataVolume"]["name"].as_str() {
        let templates = draft.machine["spec"]["dataVolumeTemplates"].as_array();
        let template = templates
            .and_then(|templates| templates.iter().find(|template| template["metadata"]["name"] == imported));
        if template.is_none_or(|template| tells(&template["spec"])) {
            return Ok(name);
        }
        bail!(
            "this datavolume is not valid to infer an instancetype or preference from \
             (source needs to be PVC, Registry or Snapshot, sourceRef needs to be DataSource)"
        );
    }
    if volume["persistentVolumeClaim"].is_object() {
        return Ok(name);
    }
    bail!("inference of instancetype or preference works only with datasources, datavolumes or pvcs")
}

fn tells(spec: &Value) -> bool {
    let source = &spec["source"];
    ["pvc", "registry", "snapshot"].iter().any(|kind| source[kind].is_object())
        || spec["sourceRef"]["kind"] == "DataSource"
}
