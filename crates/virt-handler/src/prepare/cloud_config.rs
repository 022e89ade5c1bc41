//! Whether a guest's cloud-init can read what it is given. A document that is no YAML is ignored inside the guest, which
//! then comes up without users, keys or network, and says so only where nobody can log in to look.

use plan::Notice;
use serde_json::Value;

/// Word of the Event.
const INVALID: &str = "InvalidCloudConfig";
/// First line of a document that is YAML; scripts, archives and templates begin otherwise.
const HEADER: &str = "#cloud-config";

/// Returns what is wrong with the documents of the seed of `volume`; names no content, because that may be secret.
pub(super) fn complaint(volume: &str, files: &[(&str, Vec<u8>)]) -> Option<Notice> {
    files.iter().find_map(|(path, content)| {
        let name = path.rsplit('/').next().unwrap_or(path).replace('_', "-");
        let place = misread(&name, content)?;
        let message = format!(
            "volume {volume}: the guest's cloud-init will ignore its {name}, which is no YAML{place}; correct it, and start \
             the machine anew"
        );
        Some(Notice::warning(INVALID, message))
    })
}

/// Returns where a document stops being YAML; nothing when it is YAML, or need not be.
fn misread(name: &str, content: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(content).ok()?;
    let is_yaml = match name {
        "user-data" => text.lines().next().is_some_and(|line| line.trim_end() == HEADER),
        "network-config" => true,
        _ => false,
    };
    if !is_yaml {
        return None;
    }
    // Of keys that come twice, cloud-init takes the last.
    let options = serde_saphyr::options! { duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins };
    let error = serde_saphyr::from_str_with_options::<Value>(text, options).err()?;
    Some(error.location().map(|at| format!(" from line {} on", at.line())).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(path: &'static str, text: &str) -> Option<String> {
        complaint("seed", &[(path, text.as_bytes().to_vec())]).map(|notice| notice.message)
    }

    #[test]
    fn only_what_should_be_yaml_and_is_not_is_told_of() {
        for (path, text) in [
            ("user-data", "#cloud-config\nusers: [a, b]\nruncmd:\n  - echo hi\n"),
            ("user-data", "#cloud-config\nruncmd: [a]\nruncmd: [b]\n"),
            ("user-data", "#cloud-config\n"),
            ("user-data", "#!/bin/sh\nusers: [a\n"),
            ("user-data", "## template: jinja\n#cloud-config\n{% if x %}\n"),
            ("meta-data", "a: [\n"),
            ("network-config", "version: 2\nethernets: {}\n"),
        ] {
            assert_eq!(said(path, text), None, "{path}: {text}");
        }
        for (path, text) in [
            ("user-data", "#cloud-config\nusers: [a\n  b: ]\n"),
            ("openstack/latest/user_data", "#cloud-config\npassword: secret: x\n"),
            ("network-config", "version: {\n"),
        ] {
            let said = said(path, text).unwrap_or_default();
            assert!(said.contains("no YAML") && !said.contains("secret"), "{path}: {said}");
        }
    }
}
