//! Identity that the firmware shows to the guest.

use wire::machine::Smbios;

use super::builder::{Builder, escape};

pub(super) fn add(builder: &mut Builder<'_>, smbios: &Smbios) {
    if !smbios.uuid.is_empty() {
        builder.option("-uuid", smbios.uuid.clone());
    }
    let system = [
        ("manufacturer", smbios.manufacturer.as_str()),
        ("product", &smbios.product),
        ("version", &smbios.version),
        ("serial", smbios.serial.as_deref().unwrap_or_default()),
        ("uuid", &smbios.uuid),
        ("sku", &smbios.sku),
        ("family", &smbios.family),
    ];
    table(builder, 1, &system);
    let text = |given: &'_ Option<String>| given.clone().unwrap_or_default();
    let chassis = [
        ("manufacturer", smbios.chassis_manufacturer.as_ref().unwrap_or(&smbios.manufacturer)),
        ("version", &text(&smbios.chassis_version)),
        ("serial", &text(&smbios.chassis_serial)),
        ("asset", &text(&smbios.asset_tag)),
        ("sku", &text(&smbios.chassis_sku)),
    ];
    table(builder, 3, &chassis.map(|(name, text)| (name, text.as_str())));
}

fn table(builder: &mut Builder<'_>, kind: u8, fields: &[(&str, &str)]) {
    let mut value = format!("type={kind}");
    for (name, text) in fields.iter().filter(|(_, text)| !text.is_empty()) {
        value.extend([",", name, "=", &escape(text)]);
    }
    if value.contains(',') {
        builder.option("-smbios", value);
    }
}
