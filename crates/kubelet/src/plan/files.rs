//! Volumes that are made of files: ConfigMaps, Secrets, fields of the Pod.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{DownwardAPIVolumeFile, KeyToPath, Pod, Volume, VolumeProjection};

use super::sources::{Reference, Sources, field_value};
use super::{PlanError, unsupported};

/// Mode of a file that names none.
const MODE: i32 = 0o644;

/// One file of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileContent {
    /// Path below the volume, without `..`.
    pub path: String,
    /// Content.
    pub content: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
}

/// Returns the files of `volume` and the directory name of its kind; `None` when it is of another kind.
pub(super) fn of(
    volume: &Volume,
    pod: &Pod,
    sources: &Sources,
) -> Result<Option<(&'static str, Vec<FileContent>)>, PlanError> {
    let (plugin, files) = if let Some(source) = &volume.config_map {
        let reference = Reference::ConfigMap(source.name.clone());
        let mode = source.default_mode.unwrap_or(MODE);
        let files = pick(sources, &reference, source.items.as_deref(), source.optional, mode)?;
        ("kubernetes.io~configmap", files)
    } else if let Some(source) = &volume.secret {
        let reference = Reference::Secret(source.secret_name.clone().unwrap_or_default());
        let mode = source.default_mode.unwrap_or(MODE);
        let files = pick(sources, &reference, source.items.as_deref(), source.optional, mode)?;
        ("kubernetes.io~secret", files)
    } else if let Some(source) = &volume.downward_api {
        let mode = source.default_mode.unwrap_or(MODE);
        ("kubernetes.io~downward-api", downward(source.items.as_deref(), pod, mode)?)
    } else if let Some(source) = &volume.projected {
        let mode = source.default_mode.unwrap_or(MODE);
        let parts = source.sources.iter().flatten().map(|source| project(source, pod, sources, mode));
        let files = parts.collect::<Result<Vec<_>, _>>()?;
        ("kubernetes.io~projected", files.into_iter().flatten().collect())
    } else {
        return Ok(None);
    };
    for file in &files {
        let path = std::path::Path::new(&file.path);
        if !path.components().all(|part| matches!(part, std::path::Component::Normal(_))) {
            return Err(unsupported(format!(
                "volume {}: {:?} must be relative and without ..",
                volume.name, file.path
            )));
        }
    }
    Ok(Some((plugin, files)))
}

fn project(
    source: &VolumeProjection,
    pod: &Pod,
    sources: &Sources,
    mode: i32,
) -> Result<Vec<FileContent>, PlanError> {
    if let Some(map) = &source.config_map {
        let reference = Reference::ConfigMap(map.name.clone());
        pick(sources, &reference, map.items.as_deref(), map.optional, mode)
    } else if let Some(secret) = &source.secret {
        let reference = Reference::Secret(secret.name.clone());
        pick(sources, &reference, secret.items.as_deref(), secret.optional, mode)
    } else if let Some(source) = &source.downward_api {
        downward(source.items.as_deref(), pod, mode)
    } else {
        Err(unsupported("a projected volume has a source that is not available on embedded nodes"))
    }
}

/// Takes the listed keys of an object, or all of them.
fn pick(
    sources: &Sources,
    reference: &Reference,
    items: Option<&[KeyToPath]>,
    optional: Option<bool>,
    mode: i32,
) -> Result<Vec<FileContent>, PlanError> {
    let optional = optional == Some(true);
    let empty = BTreeMap::new();
    let object = sources.find(reference, optional)?.unwrap_or(&empty);
    let file = |path: &str, content: &[u8], mode: i32| FileContent {
        path: path.to_owned(),
        content: content.to_vec(),
        mode: (mode & 0o777) as u32,
    };
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        return Ok(object.iter().map(|(key, value)| file(key, value, mode)).collect());
    };
    let mut files = Vec::new();
    for item in items {
        match object.get(&item.key) {
            Some(value) => files.push(file(&item.path, value, item.mode.unwrap_or(mode))),
            None if optional => {}
            None => {
                return Err(PlanError::Missing(format!("{reference:?} has no key {:?}; add it", item.key)));
            }
        }
    }
    Ok(files)
}

fn downward(
    items: Option<&[DownwardAPIVolumeFile]>,
    pod: &Pod,
    mode: i32,
) -> Result<Vec<FileContent>, PlanError> {
    let file = |item: &DownwardAPIVolumeFile| {
        let field = item.field_ref.as_ref().ok_or_else(|| {
            unsupported(format!("file {:?}: resourceFieldRef is not available on embedded nodes", item.path))
        })?;
        Ok(FileContent {
            path: item.path.clone(),
            content: field_value(pod, &field.field_path)?.into_bytes(),
            mode: (item.mode.unwrap_or(mode) & 0o777) as u32,
        })
    };
    items.into_iter().flatten().map(file).collect()
}
