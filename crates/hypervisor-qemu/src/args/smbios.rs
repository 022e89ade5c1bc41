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
    table(
        builder,
        3,
        &[
            ("manufacturer", smbios.manufacturer.as_str()),
            ("asset", smbios.asset_tag.as_deref().unwrap_or_default()),
        ],
    );
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
