//! The trial of KVM, on whatever this machine has.

use std::path::Path;

#[test]
fn the_trial_ends_and_explains_itself() {
    let test = std::env::current_exe().expect("the test's own path");
    let target = test.parent().and_then(Path::parent).expect("the target directory");
    let verdict = host::kvm::prove(&host::Helper::new(target.join("examples/host-helper")));
    eprintln!("{verdict}");
    let is_interpreted = Path::new("/sys/module/kvm_pvm").exists();
    let has_hardware = std::fs::read_to_string("/proc/cpuinfo")
        .is_ok_and(|info| info.contains(" vmx") || info.contains(" svm"));
    if is_interpreted && !has_hardware {
        assert!(!verdict.is_proven(), "{verdict:?}");
    }
    let absent = host::kvm::prove(&host::Helper::new("/does/not/exist"));
    assert!(!absent.is_proven());
}
