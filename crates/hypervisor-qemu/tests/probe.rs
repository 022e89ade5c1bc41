//! What the installed QEMU says of itself.

use std::path::Path;

use hypervisor_qemu::probe;
use wire::machine::Accelerator;

#[tokio::test]
async fn the_installed_qemu_is_understood() {
    let facts = probe(Path::new("/usr/bin/qemu-system-x86_64")).await.unwrap();
    assert!(facts.version.split('.').count() == 3, "{}", facts.version);
    let concrete = facts.machine("q35").unwrap();
    assert!(concrete.starts_with("pc-q35-"), "{concrete}");
    assert_eq!(facts.machine(concrete), Some(concrete));
    assert_eq!(facts.machine("no-such-machine"), None);
    assert!(facts.accelerators.contains(&Accelerator::Tcg));
    assert!(facts.cpu_models.iter().any(|model| model == "max"));
    assert!(facts.emulated_features.contains("sse4.2"), "{:?}", facts.emulated_features);
    assert!(!facts.emulated_features.contains("hle"), "an emulator has no transactional memory");
}

#[tokio::test]
async fn a_missing_binary_says_what_to_install() {
    let error = probe(Path::new("/nonexistent/qemu")).await.unwrap_err().to_string();
    assert!(error.contains("/nonexistent/qemu") && error.contains("install"), "{error}");
    // A program that is there and is no QEMU.
    let error = probe(Path::new("/bin/false")).await.unwrap_err().to_string();
    assert!(error.contains("/bin/false"), "{error}");
}
