//! The trusted platform module, which a process of its own emulates.

use std::path::Path;

use hypervisor::{Companion, PlanError};
use serde_json::json;
use wire::machine::Tpm;

use super::builder::{Builder, escape};
use crate::{TPM_LOG, TPM_STATE};

/// Where Debian's package `swtpm` puts the emulator.
const PROGRAM: &str = "/usr/bin/swtpm";
/// Descriptor of what a TPM keeps that outlives its machine.
const STATE_DESCRIPTOR: &str = "tpm/state";

pub(super) fn add(builder: &mut Builder<'_>, tpm: Option<Tpm>) -> Result<(), PlanError> {
    let Some(Tpm { persistent }) = tpm else { return Ok(()) };
    let program = Path::new(PROGRAM);
    builder.need(
        program,
        format!("the TPM's emulator ({PROGRAM}) is not on this node; install it (Debian: swtpm), the start is tried again"),
    );
    let (state, takes) = if persistent {
        let number = builder.descriptor("TPM", STATE_DESCRIPTOR)?;
        (format!("backend-uri=file:///proc/self/fd/{}", Companion::TAKEN), vec![number])
    } else {
        (format!("dir={},mode=0600", escape(&builder.directory(TPM_STATE))), Vec::new())
    };
    let log = builder.file(TPM_LOG);
    let channel = Companion::CHANNEL;
    let number = builder.companion(
        program,
        vec![
            "socket".to_owned(),
            "--tpm2".to_owned(),
            "--tpmstate".to_owned(),
            state,
            "--ctrl".to_owned(),
            format!("type=unixio,clientfd={channel}"),
            // In a file of its own: its farewell is not the hypervisor's last word.
            "--log".to_owned(),
            format!("file={},truncate", escape(&log)),
            // With the hypervisor, however that ends.
            "--terminate".to_owned(),
        ],
        takes,
    );
    builder.option("-chardev", format!("socket,id=tpm,fd={number}"));
    builder.option("-tpmdev", "emulator,id=tpm0,chardev=tpm");
    builder.json("-device", json!({"driver": "tpm-crb", "id": "tpm", "tpmdev": "tpm0"}));
    Ok(())
}
