//! ACPI tables out of Secrets, such as those with a vendor's licence for Windows.

use std::path::Path;

use api::kubevirt::v1::VirtualMachineInstance;
use launcher_channel::Descriptors;
use model::config_volumes::Objects;
use model::record;
use rustix::fs::{Gid, Uid, fchown};

use super::Error;
use super::disks::nameless;
use super::hosted::owner;

/// Header that every table begins with, in bytes.
const HEADER: usize = 36;
/// Largest table that a hypervisor takes, in bytes.
const MOST: usize = 0xffff;

/// Makes a file of each table that the instance brings.
pub(super) fn descriptors(
    instance: &VirtualMachineInstance,
    objects: &Objects,
    pod: &Path,
) -> Result<Descriptors, Error> {
    let mut descriptors = Descriptors::new();
    for (descriptor, name) in record::acpi_tables(&instance.spec.domain) {
        // `firmware/slic` is the table SLIC, in the Secret's key `slic.bin`.
        let kind = descriptor.rsplit('/').next().unwrap_or(descriptor);
        let key = format!("{kind}.bin");
        let refused = |problem: String| Error::Volume { volume: name.to_owned(), problem };
        let volume = instance.spec.volumes.iter().find(|volume| volume.name == name);
        let secret = volume.and_then(|volume| volume.secret.as_ref()?.secret_name.as_deref());
        let secret = secret.ok_or_else(|| {
            refused(format!(
                "an ACPI table comes out of a Secret; make it a volume `secret` with the key {key}"
            ))
        })?;
        let data = objects.secrets.get(secret).ok_or_else(|| {
            refused(format!("the Secret {secret} does not exist; create it, or correct the name"))
        })?;
        let table = data.get(&key).ok_or_else(|| {
            refused(format!("the Secret {secret} has no key {key}; add the table under it"))
        })?;
        check(table, kind).map_err(|why| refused(format!("{key} of the Secret {secret} {why}")))?;
        let file = nameless(pod, table)?;
        // QEMU opens it once more, by the name that the descriptor has in its process.
        if let Some(user) = owner() {
            let (user, group) = (Uid::from_raw(user), Gid::from_raw(user));
            fchown(&file, Some(user), Some(group))
                .map_err(|error| refused(format!("cannot be given to the machine's user: {error}")))?;
        }
        descriptors.push((descriptor.to_owned(), file.into()));
    }
    Ok(descriptors)
}

/// Says what keeps `table` from being the table `kind`.
fn check(table: &[u8], kind: &str) -> Result<(), String> {
    let signature = kind.to_uppercase();
    if table.len() < HEADER || table.len() > MOST || !table.starts_with(signature.as_bytes()) {
        return Err(format!(
            "is no such table: it begins with {signature}, and has {HEADER} to {MOST} bytes; copy it from \
             /sys/firmware/acpi/tables/{signature}"
        ));
    }
    let length = u32::from_le_bytes([table[4], table[5], table[6], table[7]]);
    if usize::try_from(length).ok() != Some(table.len()) {
        return Err(format!("says that it has {length} bytes and has {}; copy it whole", table.len()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_table_is_one() {
        let table = |signature: &[u8], says: u32, has: usize| {
            let mut table = signature.to_vec();
            table.extend(says.to_le_bytes());
            table.resize(has, 0);
            table
        };
        assert_eq!(check(&table(b"SLIC", 44, 44), "slic"), Ok(()));
        for (bytes, words) in [
            (table(b"MSDM", 44, 44), "begins with SLIC"),
            (table(b"SLIC", 44, 20), "36 to 65535"),
            (table(b"SLIC", 44, 45), "says that it has 44 bytes and has 45"),
            (table(b"SLIC", 70_000, 70_000), "36 to 65535"),
            (Vec::new(), "begins with"),
        ] {
            assert!(check(&bytes, "slic").unwrap_err().contains(words), "{words}");
        }
    }
}
