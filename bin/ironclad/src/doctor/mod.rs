//! `ironclad doctor`: can this machine run virtual machines?

use anyhow::Result;

use crate::cli::DoctorArgs;

/// Checks and prints.
pub(crate) fn run(arguments: &DoctorArgs) -> Result<()> {
    let _ = arguments;
    Ok(())
}
