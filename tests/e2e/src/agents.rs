//! Components of a node as processes of their own, as in a cluster: each can be killed alone and started again.

#![allow(clippy::missing_panics_doc, reason = "helpers of tests")]

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use kit::{Installation, program};

/// One component of a node, killed at the end of the test.
#[derive(Debug)]
pub struct Agent {
    process: Child,
    log: PathBuf,
    component: &'static str,
    node: String,
    kubeconfig: PathBuf,
}

impl Agent {
    /// Starts `component`, for example `kubelet`, of the node `node`.
    pub fn start(
        installation: &Installation,
        component: &'static str,
        node: &str,
        kubeconfig: &Path,
    ) -> Self {
        let log = installation.data_dir().join(format!("{component}.log"));
        let output = std::fs::File::options().create(true).append(true).open(&log).expect("a log");
        let mut command = installation.client_program(&program("ironclad"));
        command.args([component, "--node-name", node, "--kubeconfig"]).arg(kubeconfig);
        command.env("IRONCLAD_DATA_DIR", installation.data_dir());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(output);
        let process = command.spawn().expect("starting a component");
        Self { process, log, component, node: node.to_owned(), kubeconfig: kubeconfig.to_owned() }
    }

    /// Starts it again, after [`Agent::kill`].
    pub fn start_again(&mut self, installation: &Installation) {
        *self = Self::start(installation, self.component, &self.node.clone(), &self.kubeconfig.clone());
    }

    /// Returns what it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) {
        // One that has ended by itself has nothing to be killed, and the test finds out.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<_> = log.lines().rev().take(60).collect();
            let tail: Vec<_> = tail.into_iter().rev().collect();
            eprintln!("{}:\n{}", self.log.display(), tail.join("\n"));
        }
        self.kill();
    }
}

/// Returns the administrator's kubeconfig.
pub fn administrator(installation: &Installation) -> PathBuf {
    installation.data_dir().join("kubeconfig")
}

/// Writes a kubeconfig with a token of the account that virt-handler has.
pub fn handler_kubeconfig(installation: &Installation) -> PathBuf {
    let account = ["kubevirt-handler", "-n", "kubevirt"];
    installation.kubectl(&[&["create", "serviceaccount"][..], &account].concat());
    let token = installation.kubectl(&[&["create", "token"][..], &account].concat()).expect("a token");
    let own = installation.data_dir().join("agent.kubeconfig");
    std::fs::copy(administrator(installation), &own).expect("copying the kubeconfig");
    let path = own.to_str().expect("a path in UTF-8");
    let with = |words: &[&str]| {
        let words = [&["config", "--kubeconfig", path], words].concat();
        installation.kubectl(&words).expect("kubectl config");
    };
    with(&["set-credentials", "agent", "--token", token.trim()]);
    with(&["set-context", "--current", "--user", "agent"]);
    own
}
