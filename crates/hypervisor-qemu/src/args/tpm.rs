//! The trusted platform module, which a process of its own emulates.

use std::path::Path;

use hypervisor::Companion;
use serde_json::json;

use super::builder::{Builder, escape};
use crate::TPM_STATE;

/// Where Debian's package `swtpm` puts the emulator.
const PROGRAM: &str = "/usr/bin/swtpm";

pub(super) fn add(builder: &mut Builder<'_>, wanted: bool) {
    if !wanted {
        return;
    }
    let program = Path::new(PROGRAM);
    builder.need(
        program,
        format!("the TPM's emulator ({PROGRAM}) is not on this node; install it (Debian: swtpm), the start is tried again"),
    );
    let state = builder.directory(TPM_STATE);
    let channel = Companion::CHANNEL;
    let number = builder.companion(
        program,
        vec![
            "socket".to_owned(),
            "--tpm2".to_owned(),
            "--tpmstate".to_owned(),
            format!("dir={},mode=0600", escape(&state)),
            "--ctrl".to_owned(),
            format!("type=unixio,clientfd={channel}"),
            // Beside its state: its farewell is not the hypervisor's last word.
            "--log".to_owned(),
            format!("file={}/log,truncate", escape(&state)),
            // With the hypervisor, however that ends.
            "--terminate".to_owned(),
        ],
    );
    builder.option("-chardev", format!("socket,id=tpm,fd={number}"));
    builder.option("-tpmdev", "emulator,id=tpm0,chardev=tpm");
    builder.json("-device", json!({"driver": "tpm-crb", "id": "tpm", "tpmdev": "tpm0"}));
}
