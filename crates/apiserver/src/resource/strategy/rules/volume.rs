//! Volumes of Pods.

use super::shape::{inner_path, inner_step};
use super::{Row, Rule};
use Rule::{All, Amount, AtLeast, Between, Name, Required, Words};

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

/// One volume.
pub(super) const VOLUME: &[Row] = &[
    Row("hostPath?.path", &[Required("")]),
    Row("hostPath?.path?", &[Name(inner_step)]),
    Row("emptyDir?.sizeLimit?", &[Amount { strictly: false }]),
    Row("configMap?.name", &[Required("")]),
    Row("configMap?.defaultMode?", &[MODE]),
    Row("configMap?", &[All(ITEMS)]),
    Row("secret?.secretName", &[Required("")]),
    Row("secret?.defaultMode?", &[MODE]),
    Row("secret?", &[All(ITEMS)]),
    Row("persistentVolumeClaim?.claimName", &[Required("")]),
    Row("nfs?.server", &[Required("")]),
    Row("nfs?.path", &[Required("")]),
    Row("csi?.driver", &[Required("")]),
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
