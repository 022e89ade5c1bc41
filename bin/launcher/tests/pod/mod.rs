//! A launcher Pod without its namespaces: the shim as a plain process, driven as an agent drives it.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use hypervisor::contract::guest;
use launcher_channel::{Client, Descriptors};
use rustix::process::{Pid, Signal, kill_process};
use tokio_stream::StreamExt;
use wire::launcher::v1::{MachineState, machine_state::Phase};
use wire::machine::MachineRecord;

pub(crate) const SECRET: &[u8] = b"a secret of an agent";
const KERNEL: &str = "boot/kernel";
/// Longest wait for anything; what works takes milliseconds, an emulated boot on a busy machine seconds.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Pod {
    shim: Child,
    directory: tempfile::TempDir,
}

impl Drop for Pod {
    fn drop(&mut self) {
        if let Ok(None) = self.shim.try_wait() {
            // The shim is no PID 1 here, so its children have to be ended one by one.
            let children = children(self.shim.id() as i32);
            let _ = self.shim.kill();
            let _ = self.shim.wait();
            for child in children {
                signal(child, Signal::KILL);
            }
        }
    }
}

impl Pod {
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for name in ["run", "sockets"] {
            std::fs::create_dir(directory.path().join(name)).unwrap();
        }
        let shim = Command::new(env!("CARGO_BIN_EXE_ironclad-launcher"))
            .arg("shim")
            .arg("--run-dir")
            .arg(directory.path().join("run"))
            .arg("--socket-dir")
            .arg(directory.path().join("sockets"))
            .args(["--name", "tiny", "--namespace", "contract", "--uid", &tiny().uid])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self { shim, directory }
    }

    pub(crate) fn run_dir(&self) -> PathBuf {
        self.directory.path().join("run")
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read(self.run_dir().join(name))
            .map_or_else(|_| String::new(), |b| String::from_utf8_lossy(&b).into())
    }

    /// Connects as soon as a launcher with at least this number listens.
    pub(crate) async fn connect(&self, incarnation: u32) -> Client {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match Client::connect(&self.directory.path().join("sockets"), SECRET).await {
                Ok(client) if client.hello().incarnation >= incarnation => return client,
                refused => assert!(Instant::now() < deadline, "no launcher {incarnation}: {refused:?}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Connects and boots the tiny guest until it listens.
    pub(crate) async fn boot(&self) -> Client {
        let client = self.connect(1).await;
        let state = client.start(&tiny(), kernel()).await.unwrap();
        assert_eq!(state.phase(), Phase::Running, "{state:?}");
        self.until_log_has(guest::GREETING).await;
        client
    }

    pub(crate) async fn until_log_has(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.read("serial0.log").contains(text) {
            assert!(
                Instant::now() < deadline,
                "no {text:?} on the serial console: {:?}",
                self.read("serial0.log")
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn console(&self) -> UnixStream {
        let console = UnixStream::connect(self.directory.path().join("sockets/serial0-sock")).unwrap();
        console.set_read_timeout(Some(PATIENCE)).unwrap();
        console
    }

    pub(crate) fn signal_shim(&self, signal: Signal) {
        self::signal(self.shim.id() as i32, signal);
    }

    /// Waits for the Pod's own end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.shim.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the shim does not end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

pub(crate) fn tiny() -> MachineRecord {
    guest::record(KERNEL).unwrap()
}

pub(crate) fn kernel() -> Descriptors {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&guest::kernel()).unwrap();
    vec![(KERNEL.to_owned(), OwnedFd::from(file.reopen().unwrap()))]
}

/// Follows the states until one in `phase`, and returns every phase on the way.
pub(crate) async fn until_phase(
    states: &mut (impl StreamExt<Item = MachineState> + Unpin),
    phase: Phase,
) -> (MachineState, Vec<Phase>) {
    let mut way = Vec::new();
    let follow = async {
        while let Some(state) = states.next().await {
            if way.last() != Some(&state.phase()) {
                way.push(state.phase());
            }
            if state.phase() == phase {
                return state;
            }
        }
        panic!("the stream ended without {phase:?}");
    };
    let found = tokio::time::timeout(PATIENCE, follow).await;
    let Ok(state) = found else { panic!("never {phase:?}, only {way:?}") };
    (state, way)
}

/// Types into a console and reads until the guest has echoed it.
pub(crate) fn echo(console: &mut UnixStream, text: &str) {
    console.write_all(text.as_bytes()).unwrap();
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(text.as_bytes()) {
        assert_eq!(console.read(&mut byte).unwrap(), 1, "the console closed after {seen:?}");
        seen.push(byte[0]);
    }
}

pub(crate) fn signal(pid: i32, signal: Signal) {
    // It may have ended by itself.
    let _ = kill_process(Pid::from_raw(pid).unwrap(), signal);
}

fn children(pid: i32) -> Vec<i32> {
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().map(|child| child.parse().unwrap()).collect()
}
