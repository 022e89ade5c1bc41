//! Programs of this machine that commands start.

use std::ffi::OsStr;

use super::Finding;
use super::sight::Sight;

/// Programs, what needs them, and who may stand in for them.
pub(super) const PROGRAMS: [(&str, &str, Option<&str>); 5] = [
    ("ssh", "virtctl ssh", None),
    ("scp", "virtctl scp", None),
    ("remote-viewer", "virtctl vnc without --proxy-only", Some("vncviewer")),
    ("vncviewer", "virtctl vnc without --proxy-only", Some("remote-viewer")),
    ("kubectl", "manifests: kubectl apply", None),
];

/// Returns which of them are installed.
pub(super) fn installed(path: &OsStr) -> Vec<String> {
    let is_there = |program: &str| std::env::split_paths(path).any(|folder| folder.join(program).is_file());
    PROGRAMS.iter().map(|(program, ..)| (*program).to_owned()).filter(|program| is_there(program)).collect()
}

/// Says what does not work without those that are missing.
pub(super) fn judge(sight: &Sight) -> Finding {
    let subject = "programs";
    let is_there = |program: &str| sight.programs.iter().any(|known| known == program);
    let mut missing: Vec<String> = Vec::new();
    let mut install: Vec<&str> = Vec::new();
    for (program, needed, other) in PROGRAMS {
        let told = missing.iter().any(|told| told.ends_with(&format!("({needed})")));
        if !is_there(program) && !other.is_some_and(is_there) && !told {
            let names = other.map_or_else(|| program.to_owned(), |other| format!("{program} or {other}"));
            missing.push(format!("{names} ({needed})"));
            install.push(match program {
                "ssh" | "scp" => "openssh-client",
                "remote-viewer" | "vncviewer" => "virt-viewer",
                other => other,
            });
        }
    }
    install.dedup();
    if missing.is_empty() {
        return Finding::good(subject, "all that commands start are installed here");
    }
    Finding::limited(
        subject,
        format!("not installed on this machine: {}", missing.join(", ")),
        format!("install {} where you need them", install.join(", ")),
    )
}
