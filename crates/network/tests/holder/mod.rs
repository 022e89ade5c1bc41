//! Network namespaces for tests, each held by a process.

#![allow(dead_code, reason = "each test program uses a part")]

use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use network::pod::{NodeNetworkConfig, Uplink};

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A process that holds a network namespace.
pub(crate) struct Holder(Child);

impl Holder {
    pub(crate) fn new(flags: &[&str]) -> Self {
        let mut child = Command::new("unshare")
            .args(flags)
            .args(["sh", "-c", "echo ready; exec sleep 900"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare starts");
        let mut ready = [0u8; 5];
        child.stdout.as_mut().expect("its output").read_exact(&mut ready).expect("it is ready");
        Self(child)
    }

    pub(crate) fn pid(&self) -> i32 {
        self.0.id() as i32
    }

    pub(crate) fn namespace(&self) -> PathBuf {
        format!("/proc/{}/ns/net", self.pid()).into()
    }

    /// Runs a command in the namespace and returns what it prints.
    pub(crate) fn run(&self, command: &[&str]) -> String {
        let target = self.pid().to_string();
        let output = Command::new("nsenter").args(["-n", "-t", &target]).args(command).output();
        String::from_utf8(output.expect("it runs").stdout).expect("text")
    }

    /// Waits until its links carry packets: the kernel notices late that both ends are up, and drops them until then.
    pub(crate) fn await_links(&self) {
        let are_up = (0..3000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(20));
            let links = self.run(&["ip", "-br", "link", "show", "type", "veth"]);
            links.lines().all(|link| link.split_whitespace().nth(1) == Some("UP"))
        });
        assert!(are_up, "the links come up");
    }

    /// Listens in the namespace.
    pub(crate) fn listen(&self, address: SocketAddr) -> TcpListener {
        self.enter(move || TcpListener::bind(address).expect("it listens"))
    }

    /// Does something in the namespace.
    pub(crate) fn enter<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let namespace = std::fs::File::open(self.namespace()).expect("the namespace");
        std::thread::spawn(move || {
            nix::sched::setns(&namespace, nix::sched::CloneFlags::CLONE_NEWNET).expect("it is entered");
            work()
        })
        .join()
        .expect("the thread ends")
    }

    /// Runs a command in the namespace and tells whether it succeeded.
    pub(crate) fn status(&self, command: &[&str]) -> bool {
        let target = self.pid().to_string();
        let mut nsenter = Command::new("nsenter");
        nsenter.args(["-n", "-t", &target]).args(command).stdout(Stdio::null()).stderr(Stdio::null());
        nsenter.status().expect("it runs").success()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn config(state: &Path, namespace: PathBuf) -> NodeNetworkConfig {
    NodeNetworkConfig {
        instance: state.display().to_string(),
        node: 0,
        network: None,
        state: state.to_owned(),
        namespace: Some(namespace),
        uplink: Uplink::Bridge,
        peers: Vec::new(),
    }
}

pub(crate) fn helper() -> host::Helper {
    let test = std::env::current_exe().expect("the test's own path");
    let target = test.parent().and_then(Path::parent).expect("the target directory");
    host::Helper::new(target.join("examples/network-helper"))
}

/// Runs one test of the calling program again as `nobody`, by way of the program `way`.
pub(crate) fn as_ordinary_user(test: &str, way: &[&str]) {
    let status = Command::new(way[0])
        .args(&way[1..])
        .arg("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(std::env::current_exe().expect("the test's own path"))
        .args(["--exact", test, "--nocapture"])
        .status()
        .expect("setpriv runs");
    assert!(status.success());
}
