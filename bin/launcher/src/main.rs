//! The executable of a launcher Pod: shim, launcher and console tail in one small file.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use virt_launcher::options::{self, Mode};
use virt_launcher::{launcher, probe, shim, tail};

fn main() -> ExitCode {
    // One line per message on standard error, which is the Pod's log. No filter: a launcher says little.
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        // It would tell of a log that cannot be written by printing, which panics on the same full disk.
        .log_internal_errors(false)
        .with_ansi(false)
        .with_target(false)
        .with_max_level(tracing::Level::INFO)
        .init();
    match run() {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::from(2)
        }
    }
}

fn run() -> anyhow::Result<ExitCode> {
    let mut arguments = std::env::args();
    let program = PathBuf::from(arguments.next().unwrap_or_default());
    // An absolute name shows in process lists what runs; any other is resolved by the kernel.
    let program = if program.is_absolute() { program } else { PathBuf::from("/proc/self/exe") };
    Ok(match options::parse(arguments)? {
        Mode::Help => print(options::HELP)?,
        Mode::Version => print(concat!("ironclad-launcher ", env!("CARGO_PKG_VERSION"), "\n"))?,
        Mode::Shim(options) => ExitCode::from(shim::run(&program, options)?),
        Mode::Launcher(options) => {
            launcher::run(options, env!("CARGO_PKG_VERSION"))?;
            ExitCode::SUCCESS
        }
        Mode::Probe(wanted) => {
            let (code, output) = probe::run(wanted)?;
            print(&output)?;
            ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
        }
        Mode::Tail { logfile } => {
            tail::run(&logfile, &mut std::io::stdout())?;
            ExitCode::SUCCESS
        }
    })
}

fn print(text: &str) -> std::io::Result<ExitCode> {
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
