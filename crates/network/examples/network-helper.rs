//! Runs the hidden role of this crate, for its tests: `network-helper netns-exec`.

use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some(network::netns_exec::ROLE) => network::netns_exec::main(),
        _ => ExitCode::from(2),
    }
}
