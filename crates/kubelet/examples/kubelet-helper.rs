//! Runs the hidden roles that a kubelet's Pods need, for its tests: `kubelet-helper pod-init|netns-exec`.

use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some(host::jail::ROLE) => host::jail::main(),
        Some(network::netns_exec::ROLE) => network::netns_exec::main(),
        _ => ExitCode::from(2),
    }
}
