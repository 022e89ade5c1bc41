//! QMP against a real QEMU without a machine.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot set itself up should fail")]

use std::fs::File;
use std::io::{Seek, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use qmp::{Client, Error, command};

struct Qemu(std::process::Child);

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn commands_events_and_descriptors() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("qmp.sock");
    let child = Command::new("qemu-system-x86_64")
        .args(["-nodefaults", "-no-user-config", "-machine", "none", "-display", "none", "-S", "-qmp"])
        .arg(format!("unix:{},server=on,wait=off", socket.display()))
        .stdin(Stdio::null())
        .spawn()
        .expect("qemu-system-x86_64 is installed (make deps)");
    let mut qemu = Qemu(child);
    let (client, events) = loop {
        match Client::connect(&socket).await {
            Ok(connected) => break connected,
            Err(Error::Connect { .. }) => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(error) => panic!("{error}"),
        }
    };

    assert_eq!(client.run(&command::QueryStatus {}).await.unwrap().status, "prelaunch");
    let machines = client.run(&command::QueryMachines {}).await.unwrap();
    assert!(machines.iter().any(|machine| machine.alias.as_deref() == Some("q35")));

    let mut file: File = tempfile::tempfile().unwrap();
    file.write_all(b"disk").unwrap();
    file.rewind().unwrap();
    let added = client
        .run_with_descriptor(&command::AddFd { fdset_id: None, opaque: "disk/root/0".to_owned() }, &file)
        .await
        .unwrap();
    let sets = client.run(&command::QueryFdsets {}).await.unwrap();
    let set = sets.iter().find(|set| set.fdset_id == added.fdset_id).unwrap();
    assert_eq!(set.fds[0].opaque, "disk/root/0");
    client.run(&command::RemoveFd { fdset_id: added.fdset_id }).await.unwrap();
    client.run_with_descriptor(&command::GetFd { fdname: "tap".to_owned() }, &file).await.unwrap();

    let refused =
        client.run(&command::QomGet { path: "/nowhere".to_owned(), property: "x".to_owned() }).await;
    assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");

    // A client that is gone without a word leaves the socket to the next one.
    drop((client, events));
    let (client, mut events) = Client::connect(&socket).await.unwrap();
    client.run(&command::Quit {}).await.unwrap();
    let mut names = Vec::new();
    while let Some(event) = events.recv().await {
        names.push(event.name);
    }
    assert_eq!(names, ["SHUTDOWN"]);
    assert!(qemu.0.wait().unwrap().success());
}
