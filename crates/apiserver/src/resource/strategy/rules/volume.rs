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

/// What is on the network or in somebody's cloud, as volumes of Pods and PersistentVolumes name it alike.
pub(super) const SOURCE: &[Row] = &[
    Row("awsElasticBlockStore?.volumeID", &[Required("")]),
    Row("azureDisk?.diskName", &[Required("")]),
    Row("azureDisk?.diskURI", &[Required("")]),
    Row("azureFile?.secretName", &[Required("")]),
    Row("azureFile?.shareName", &[Required("")]),
    Row("cephfs?.monitors", &[Required("")]),
    Row("cinder?.volumeID", &[Required("")]),
    Row("flexVolume?.driver", &[Required("")]),
    Row("gcePersistentDisk?.pdName", &[Required("")]),
    Row("glusterfs?.endpoints", &[Required("")]),
    Row("glusterfs?.path", &[Required("")]),
    Row("iscsi?.targetPortal", &[Required("")]),
    Row("iscsi?.iqn", &[Required("")]),
    Row("nfs?.server", &[Required("")]),
    Row("nfs?.path", &[Required("")]),
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
