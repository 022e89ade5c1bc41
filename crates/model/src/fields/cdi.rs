//! Fields of CDI's kinds. Nothing fills volumes yet, so none of them has an effect; each kind says what to do instead.

use super::{Table, harmless, harmless_unless};

const VOLUME: Table = &[(
    "",
    harmless("nothing fills volumes yet; use a containerDisk, or a claim that a Pod of your own has filled"),
)];
const SOURCE: Table =
    &[("", harmless("nothing fills volumes from it yet; name a claim or a containerDisk in the machine"))];
const CRON: Table =
    &[("", harmless("nothing imports images yet; a containerDisk is pulled by the machine that uses it"))];
const SETTINGS: Table =
    &[("", harmless_unless(&["{}"], "nothing fills volumes yet, so there is nothing to configure"))];
const PROFILE: Table =
    &[("", harmless_unless(&["{}"], "the profile's status shows it, and nothing chooses by it yet"))];
const TRANSFER: Table =
    &[("", harmless("nothing moves claims between namespaces yet; copy what they hold with a Pod"))];
const TOKEN: Table = &[("", harmless("uploads are not taken yet; fill the claim with a Pod of your own"))];

/// Tables of a kind, each with the path that its entries stand below.
pub(super) fn tables(kind: &str) -> &'static [(&'static str, Table)] {
    match kind {
        "DataVolume" => &[("spec", VOLUME)],
        "DataImportCron" => &[("spec", CRON)],
        "CDI" | "CDIConfig" => &[("spec", SETTINGS)],
        "StorageProfile" => &[("spec", PROFILE)],
        "ObjectTransfer" => &[("spec", TRANSFER)],
        "UploadTokenRequest" => &[("spec", TOKEN)],
        "DataSource"
        | "VolumeImportSource"
        | "VolumeUploadSource"
        | "VolumeCloneSource"
        | "OvirtVolumePopulator"
        | "OpenstackVolumePopulator" => &[("spec", SOURCE)],
        _ => &[],
    }
}
