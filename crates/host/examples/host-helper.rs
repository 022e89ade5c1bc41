//! Runs the hidden roles of this crate, for its tests: `host-helper pod-init`, `host-helper kvm-probe`.

use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some(host::jail::ROLE) => host::jail::main(),
        Some(host::kvm::ROLE) => match host::kvm::probe_child() {
            Ok(()) => std::process::ExitCode::SUCCESS,
            Err(_) => std::process::ExitCode::FAILURE,
        },
        _ => ExitCode::from(2),
    }
}
