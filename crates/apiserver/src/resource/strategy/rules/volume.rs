//! Volumes of Pods.

use machinery::field::{FieldError, Path};
use serde_json::Value;

use super::shape::{inner_path, inner_step};
use super::{Row, Rule, is_empty};
use Rule::{All, Amount, AtLeast, Between, Holds, Name, Required, Words};

/// A field of the Pod.
pub(super) const FIELD_REFERENCE: &[Row] =
    &[Row("apiVersion", &[Required("")]), Row("fieldPath", &[Required("")])];

/// Bits of a file's mode.
const MODE: Rule = Between(0, 0o777);

const ITEMS: &[Row] = &[
    Row("items[].key", &[Required("")]),
    Row("items[].path", &[Required(""), Name(inner_path)]),
    Row("items[].mode?", &[MODE]),
];

/// The number of a partition or unit.
const UNIT: Rule = Between(0, 255);

fn absolute(path: &str) -> Vec<String> {
    if path.starts_with('/') { Vec::new() } else { vec!["must be an absolute path".to_owned()] }
}

/// A name in a storage network.
fn initiator(name: &str) -> Vec<String> {
    let word =
        |rest: &str, length: usize| rest.len() == length && rest.bytes().all(|b| b.is_ascii_alphanumeric());
    let digits = |text: &str, length: usize| text.len() == length && text.bytes().all(|b| b.is_ascii_digit());
    // iqn.2001-04.com.example:disk
    let qualified = |rest: &str| {
        let (date, rest) = rest.split_once('.')?;
        let (year, month) = date.split_once('-')?;
        let (host, own) = rest.split_once(':').map_or((rest, None), |(host, own)| (host, Some(own)));
        let known = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
        let good = digits(year, 4)
            && digits(month, 2)
            && !host.is_empty()
            && host.bytes().all(known)
            && own.is_some_and(|own| {
                !own.is_empty() && !own.contains(|c: char| ",;*&$|".contains(c) || c.is_whitespace())
            });
        good.then_some(())
    };
    let good = match name.split_once('.') {
        Some(("iqn", rest)) => qualified(rest).is_some(),
        Some(("eui", rest)) => word(rest, 16),
        Some(("naa", rest)) => word(rest, 32),
        _ => false,
    };
    if good { Vec::new() } else { vec!["must be valid format starting with iqn, eui, or naa".to_owned()] }
}

/// Who has to show a secret has one.
fn chap(target: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    let shows = target["chapAuthDiscovery"] == true || target["chapAuthSession"] == true;
    if shows && target["secretRef"].is_null() {
        errors.push(FieldError::required(path.child("secretRef"), ""));
    }
}

/// A unit of a target, or a name that the whole world knows.
fn fibre_channel(source: &Value, _: Option<&Value>, path: &Path, errors: &mut Vec<FieldError>) {
    let (at, targets) = (path.child("targetWWNs"), &source["targetWWNs"]);
    match (is_empty(targets), is_empty(&source["wwids"])) {
        (true, true) => {
            let detail = "must specify either targetWWNs or wwids, but not both";
            errors.push(FieldError::required(at, detail));
        }
        (false, false) => {
            let detail = "targetWWNs and wwids can not be specified simultaneously";
            errors.push(FieldError::invalid(at, targets.clone(), detail));
        }
        _ => {}
    }
    if is_empty(targets) {
        return;
    }
    match source["lun"].as_i64() {
        None => {
            errors
                .push(FieldError::required(path.child("lun"), "lun is required if targetWWNs is specified"));
        }
        Some(_) => super::apply(&[Row("lun", &[UNIT])], source, None, path, errors),
    }
}

/// What is on the network or in somebody's cloud, as volumes of Pods and PersistentVolumes name it alike.
pub(super) const SOURCE: &[Row] = &[
    Row("awsElasticBlockStore?.volumeID", &[Required("")]),
    Row("awsElasticBlockStore?.partition", &[UNIT]),
    Row("azureDisk?.diskName", &[Required("")]),
    Row("azureDisk?.diskURI", &[Required("")]),
    Row("azureDisk?.cachingMode?", &[Words(&["None", "ReadOnly", "ReadWrite"])]),
    Row("azureDisk?.kind?", &[Words(&["Dedicated", "Managed", "Shared"])]),
    Row("azureFile?.secretName", &[Required("")]),
    Row("azureFile?.shareName", &[Required("")]),
    Row("cephfs?.monitors", &[Required("")]),
    Row("cinder?.volumeID", &[Required("")]),
    Row("fc?", &[Holds(fibre_channel)]),
    Row("flexVolume?.driver", &[Required("")]),
    Row("gcePersistentDisk?.pdName", &[Required("")]),
    Row("gcePersistentDisk?.partition", &[UNIT]),
    Row("glusterfs?.endpoints", &[Required("")]),
    Row("glusterfs?.path", &[Required("")]),
    Row("iscsi?.targetPortal", &[Required("")]),
    Row("iscsi?.iqn", &[Required(""), Name(initiator)]),
    Row("iscsi?.lun", &[UNIT]),
    Row("iscsi?", &[Holds(chap)]),
    Row("nfs?.server", &[Required("")]),
    Row("nfs?.path", &[Required("")]),
    Row("nfs?.path", &[Name(absolute)]),
    Row("photonPersistentDisk?.pdID", &[Required("")]),
    Row("portworxVolume?.volumeID", &[Required("")]),
    Row("quobyte?.registry", &[Required("")]),
    Row("quobyte?.volume", &[Required("")]),
    Row("rbd?.monitors", &[Required("")]),
    Row("rbd?.image", &[Required("")]),
    Row("scaleIO?.gateway", &[Required("")]),
    Row("scaleIO?.system", &[Required("")]),
    Row("scaleIO?.volumeName", &[Required("")]),
    Row("vsphereVolume?.volumePath", &[Required("")]),
];

/// One volume.
pub(super) const VOLUME: &[Row] = &[
    Row("hostPath?.path", &[Required("")]),
    Row("hostPath?.path?", &[Name(inner_step)]),
    Row("hostPath?.type?", &[super::persistent::HOST_PATHS]),
    Row("emptyDir?.sizeLimit?", &[Amount { strictly: false }]),
    Row("configMap?.name", &[Required("")]),
    Row("configMap?.defaultMode?", &[MODE]),
    Row("configMap?", &[All(ITEMS)]),
    Row("secret?.secretName", &[Required("")]),
    Row("secret?.defaultMode?", &[MODE]),
    Row("secret?", &[All(ITEMS)]),
    Row("persistentVolumeClaim?.claimName", &[Required("")]),
    Row("csi?.driver", &[Required("")]),
    Row("ephemeral?.volumeClaimTemplate", &[Required("")]),
    Row("gitRepo?.repository", &[Required("")]),
    Row("downwardAPI?.defaultMode?", &[MODE]),
    Row("downwardAPI?.items[]", &[All(DOWNWARD)]),
    Row("projected?.defaultMode?", &[MODE]),
    Row("projected?.sources[].configMap?.name", &[Required("")]),
    Row("projected?.sources[].configMap?", &[All(ITEMS)]),
    Row("projected?.sources[].secret?.name", &[Required("")]),
    Row("projected?.sources[].secret?", &[All(ITEMS)]),
    Row("projected?.sources[].downwardAPI?.items[]", &[All(DOWNWARD)]),
    Row("projected?.sources[].serviceAccountToken?.path", &[Required(""), Name(inner_path)]),
    Row("projected?.sources[].serviceAccountToken?.expirationSeconds?", &[AtLeast(600)]),
    Row("projected?.sources[].clusterTrustBundle?.path", &[Required(""), Name(inner_path)]),
    Row("projected?.sources[].podCertificate?.signerName", &[Required("")]),
    Row("projected?.sources[].podCertificate?.keyType", &[Required("")]),
    Row("", &[All(SOURCE)]),
    Row("image?.reference", &[Required("")]),
    Row("image?.pullPolicy?", &[Words(&["Always", "IfNotPresent", "Never"])]),
];

const DOWNWARD: &[Row] = &[
    Row("path", &[Required(""), Name(inner_path)]),
    Row("fieldRef?", &[All(FIELD_REFERENCE)]),
    Row("resourceFieldRef?.containerName", &[Required("")]),
    Row("resourceFieldRef?.resource", &[Required("")]),
    Row("mode?", &[MODE]),
];
