//! A session over real sockets: hello, secrets, descriptors, commands, watch.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot set itself up should fail")]

use std::io::{Read, Seek, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use launcher_channel::{Client, Error, Identity, Refusal, Secret, Server, StartOrder, Supervisor};
use tokio::sync::watch;
use tokio_stream::StreamExt;
use wire::launcher::v1::{
    AskGuestRequest, CredentialsRequest, GuestAnswer, Link, MachineState, ProbeGuestAnswer,
    ProbeGuestRequest, machine_state::Phase,
};
use wire::machine::MachineRecord;

const SECRET: &[u8] = b"0123456789abcdef";

/// Keeps what it was asked.
struct Recorder {
    state: watch::Sender<MachineState>,
    calls: Mutex<Vec<String>>,
}

impl Recorder {
    fn new() -> Arc<Self> {
        let state = MachineState { phase: Phase::Idle.into(), ..MachineState::default() };
        Arc::new(Self { state: watch::Sender::new(state), calls: Mutex::default() })
    }

    fn note(&self, call: impl Into<String>) {
        self.calls.lock().unwrap().push(call.into());
    }

    fn to(&self, phase: Phase) -> MachineState {
        self.state.send_modify(|state| state.phase = phase.into());
        self.state.borrow().clone()
    }
}

#[tonic::async_trait]
impl Supervisor for Recorder {
    async fn start(&self, order: StartOrder) -> Result<MachineState, Refusal> {
        for (name, fd) in order.descriptors {
            let mut text = String::new();
            std::fs::File::from(fd).read_to_string(&mut text).unwrap();
            self.note(format!("{name}={text}"));
        }
        self.note(format!("start {}", order.record.name));
        Ok(self.to(Phase::Running))
    }
    async fn shutdown(&self, grace: u64) -> Result<(), Refusal> {
        self.note(format!("shutdown {grace}"));
        Ok(())
    }
    async fn kill(&self) -> Result<(), Refusal> {
        self.to(Phase::ShutOff);
        Ok(())
    }
    async fn pause(&self) -> Result<(), Refusal> {
        Err(Refusal::NotNow("no machine runs".to_owned()))
    }
    async fn resume(&self) -> Result<(), Refusal> {
        Err(Refusal::Failed("the hypervisor said no".to_owned()))
    }
    async fn reset(&self) -> Result<(), Refusal> {
        Ok(())
    }
    async fn soft_reboot(&self) -> Result<(), Refusal> {
        self.note("soft reboot");
        Ok(())
    }
    async fn freeze(&self, seconds: u64) -> Result<(), Refusal> {
        self.note(format!("freeze {seconds}"));
        Ok(())
    }
    async fn unfreeze(&self) -> Result<(), Refusal> {
        Err(Refusal::Failed("the guest agent does not answer".to_owned()))
    }
    async fn ask_guest(&self, wanted: AskGuestRequest) -> Result<GuestAnswer, Refusal> {
        let version = if wanted.system { "8.2" } else { "" };
        Ok(GuestAnswer { agent_version: version.to_owned(), ..GuestAnswer::default() })
    }
    async fn give_credentials(&self, credentials: CredentialsRequest) -> Result<(), Refusal> {
        let user = &credentials.passwords[0].user;
        Err(Refusal::Failed(format!("set the password of {user}: no such user")))
    }
    async fn probe_guest(&self, wanted: ProbeGuestRequest) -> Result<ProbeGuestAnswer, Refusal> {
        let output = wanted.command.join(" ");
        Ok(ProbeGuestAnswer { exit_code: wanted.timeout_seconds.cast_signed(), output })
    }
    async fn set_links(&self, links: Vec<Link>) -> Result<(), Refusal> {
        for link in links {
            self.note(format!("link {} up: {}", link.name, link.up));
        }
        Ok(())
    }
    async fn screenshot(&self) -> Result<Vec<u8>, Refusal> {
        // Larger than what messages may be unless it is allowed.
        Ok(vec![7; 6 << 20])
    }
    fn states(&self) -> watch::Receiver<MachineState> {
        self.state.subscribe()
    }
}

fn serve(directory: &Path, incarnation: u32) -> (Arc<Recorder>, tokio::task::JoinHandle<()>) {
    let recorder = Recorder::new();
    let secret = Secret::load(&directory.join("session")).unwrap();
    let server =
        Server::bind(directory, secret, Identity { release: "1.2.3".to_owned(), incarnation }).unwrap();
    (Arc::clone(&recorder), tokio::spawn(server.run(recorder)))
}

fn record() -> MachineRecord {
    serde_json::from_value(serde_json::json!({
        "version": 1, "uid": "u", "name": "ns_vm", "architecture": "amd64", "machineType": "pc-q35-10.0",
        "accelerator": "tcg",
        "cpu": {"model": "max", "sockets": 1, "cores": 1, "threads": 1, "maxSockets": 1},
        "memory": {"size": 1_048_576, "max": 1_048_576},
        "boot": {"firmware": {"type": "bios"}},
        "smbios": {}, "clock": {"offsetSeconds": 0}, "serial": true, "gracePeriodSeconds": 5
    }))
    .unwrap()
}

fn descriptor(text: &str) -> std::os::fd::OwnedFd {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.rewind().unwrap();
    file.into()
}

#[tokio::test]
async fn commands_and_descriptors_reach_the_supervisor() {
    let directory = tempfile::tempdir().unwrap();
    // Longer than a socket address can be.
    let deep = directory.path().join("d".repeat(120));
    std::fs::create_dir(&deep).unwrap();
    let (recorder, _server) = serve(&deep, 3);

    let client = Client::connect(&deep, SECRET).await.unwrap();
    assert_eq!(client.peer_pid(), std::process::id() as i32);
    assert_eq!((client.hello().version, client.hello().incarnation), (1, 3));
    assert_eq!(client.hello().release, "1.2.3");

    let mut watched = client.watch().await.unwrap();
    assert_eq!(watched.next().await.unwrap().phase(), Phase::Idle);

    // More than fit into one message.
    let many: Vec<_> = (0..150).map(|n| (format!("disk/root/{n}"), descriptor(&n.to_string()))).collect();
    let state = client.start(&record(), many).await.unwrap();
    assert_eq!(state.phase(), Phase::Running);
    assert_eq!(watched.next().await.unwrap().phase(), Phase::Running);
    {
        let calls = recorder.calls.lock().unwrap();
        assert_eq!(calls.len(), 151);
        assert_eq!((calls[0].as_str(), calls[149].as_str()), ("disk/root/0=0", "disk/root/149=149"));
        assert_eq!(calls[150], "start ns_vm");
    }

    client.shutdown(7).await.unwrap();
    assert_eq!(recorder.calls.lock().unwrap().last().unwrap(), "shutdown 7");
    client.set_links(vec![Link { name: "default".to_owned(), up: false }]).await.unwrap();
    assert_eq!(recorder.calls.lock().unwrap().last().unwrap(), "link default up: false");
    client.reset().await.unwrap();
    assert!(matches!(client.pause().await, Err(Error::Refused(message)) if message == "no machine runs"));
    assert!(
        matches!(client.resume().await, Err(Error::Failed(message)) if message == "the hypervisor said no")
    );
    client.kill().await.unwrap();
    assert_eq!(client.state().await.unwrap().phase(), Phase::ShutOff);
}

#[tokio::test]
async fn a_foreign_secret_opens_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (_recorder, _server) = serve(directory.path(), 1);
    assert!(matches!(Client::connect(directory.path(), b"short").await, Err(Error::Denied(_))));
    let client = Client::connect(directory.path(), SECRET).await.unwrap();
    let foreign = Client::connect(directory.path(), b"ffffffffffffffff").await;
    assert!(matches!(foreign, Err(Error::Denied(_))), "{foreign:?}");
    client.state().await.unwrap();
}

#[tokio::test]
async fn a_replaced_launcher_knows_the_session() {
    let directory = tempfile::tempdir().unwrap();
    let (_recorder, server) = serve(directory.path(), 1);
    let client = Client::connect(directory.path(), SECRET).await.unwrap();
    let mut watched = client.watch().await.unwrap();
    assert!(watched.next().await.is_some());
    server.abort();
    assert!(watched.next().await.is_none(), "the stream ends with the launcher");
    assert!(matches!(client.state().await, Err(Error::Gone(_))));

    let (_recorder, _server) = serve(directory.path(), 2);
    assert!(matches!(Client::connect(directory.path(), b"ffffffffffffffff").await, Err(Error::Denied(_))));
    let client = Client::connect(directory.path(), SECRET).await.unwrap();
    assert_eq!(client.hello().incarnation, 2);
}

#[tokio::test]
async fn nobody_listening_is_a_connect_error() {
    let directory = tempfile::tempdir().unwrap();
    let error = Client::connect(directory.path(), SECRET).await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
    assert!(error.to_string().contains("launcher-sock"), "{error}");
}
