//! Runs the hidden roles that a node needs, for the tests of this crate: `node pod-init|netns-exec`.

use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some(host::jail::ROLE) => host::jail::main(),
        Some(network::netns_exec::ROLE) => network::netns_exec::main(),
        _ => ExitCode::from(2),
    }
}
