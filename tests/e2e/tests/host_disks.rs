//! Disks of the node and links in claims: nobody reaches what is not his.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::time::Duration;

use e2e::claims::{allow_host_disks, claim, claimed, disk_of, phase};
use e2e::machine;
use kit::{Installation, Options, until, until_some};

const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn nobody_reaches_what_is_not_his() {
    let installation = Installation::start(Options { images: false, ..Options::default() });
    let folder = installation.data_dir().with_file_name("host");
    std::fs::create_dir(&folder).expect("a directory");
    let at = |name: &str| folder.join(name);
    std::fs::write(at("private.img"), vec![0; 1 << 20]).expect("a file of root's");
    std::fs::set_permissions(at("private.img"), std::fs::Permissions::from_mode(0o600)).expect("closing it");
    std::fs::write(at("twice.img"), "x").expect("a file");
    std::fs::hard_link(at("twice.img"), at("also.img")).expect("its second name");
    symlink("/etc/passwd", at("link.img")).expect("a link");
    symlink(&folder, folder.with_file_name("door")).expect("a link to a directory");
    let host_disk = |name: &str, path: &Path, kind: &str| {
        let capacity = if kind == "DiskOrCreate" { ", capacity: 1Mi" } else { "" };
        machine(name, &format!("hostDisk: {{path: '{}', type: {kind}{capacity}}}", path.display()))
    };
    let closed =
        installation.kubectl_with(&["apply", "-f", "-"], Some(&host_disk("closed", &at("x"), "Disk")));
    assert!(!closed.success && closed.stderr.contains("HostDisk"), "{}", closed.stderr);
    allow_host_disks(&installation);
    installation.apply(&claim("data"));
    installation.apply(&claimed("honest", "data"));
    until("the claim has its disk", PATIENCE, || phase(&installation, "vmi", "honest") == "Running");
    installation.kubectl(&["delete", "vm", "honest", "--wait", "--timeout", "60s"]).expect("deleting");
    let disk = disk_of(&installation, "data");
    std::fs::remove_file(&disk).expect("root may remove");
    symlink("/etc/passwd", &disk).expect("root may link");

    let mut cases = vec![
        ("link", host_disk("link", &at("link.img"), "Disk"), "symbolic link"),
        (
            "door",
            host_disk("door", &folder.with_file_name("door").join("new.img"), "DiskOrCreate"),
            "symbolic link",
        ),
        (
            "up",
            host_disk("up", &at("../host/new.img"), "DiskOrCreate"),
            "symbolic link or out of its directory",
        ),
        ("twice", host_disk("twice", &at("twice.img"), "Disk"), "hard links"),
        ("folder", host_disk("folder", &folder, "Disk"), "no regular file"),
        ("device", host_disk("device", Path::new("/dev/null"), "Disk"), "no regular file"),
        ("absent", host_disk("absent", &at("absent.img"), "Disk"), "No such file"),
        ("swapped", claimed("swapped", "data"), "symbolic link"),
        (
            "ours",
            host_disk("ours", &installation.data_dir().join("state.db"), "Disk"),
            "installation's own data",
        ),
    ];
    if rustix::process::geteuid().is_root() {
        cases.push(("private", host_disk("private", &at("private.img"), "Disk"), "chown 107"));
    }
    installation.apply(&cases.iter().map(|(_, manifest, _)| manifest.as_str()).collect::<String>());
    for (name, _, sentence) in &cases {
        let told = until_some(&format!("{name} is refused"), PATIENCE, || {
            installation.condition("vmi", name, "Synchronized")
        });
        assert!(told.contains("volume d") && told.contains(sentence), "{name}: {told}");
    }
    assert!(!at("new.img").exists());
}
