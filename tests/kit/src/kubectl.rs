//! kubectl on an installation, and what it reads.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::Installation;
use crate::output::{Output, run};
use crate::paths::{helm, kubectl, python_clients};

impl Installation {
    /// Runs kubectl on this installation as its administrator.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn kubectl(&self, arguments: &[&str]) -> Output {
        self.kubectl_with(arguments, None)
    }

    /// Runs kubectl with `input` on its standard input.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn kubectl_with(&self, arguments: &[&str], input: Option<&str>) -> Output {
        let mut command = self.client();
        command.args(arguments);
        run(command, input)
    }

    /// Runs a kubectl command that opens an editor; `editor` is a script that changes the file `$1`.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn kubectl_editing(&self, arguments: &[&str], editor: &str) -> Output {
        let script = self.directory.path().join("editor");
        std::fs::write(&script, editor).expect("writing the editor");
        let mut command = self.client();
        command.args(arguments).env("KUBE_EDITOR", format!("sh {}", script.display()));
        command.env("KUBECTL", kubectl());
        run(command, None)
    }

    /// Starts kubectl without waiting for it; its output goes into `stdout`.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn kubectl_in_background(&self, arguments: &[&str], stdout: std::fs::File) -> std::process::Child {
        let mut command = self.client();
        command.args(arguments);
        command
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(Stdio::inherit())
            .spawn()
            .expect("starting kubectl")
    }

    /// Runs helm on this installation as its administrator.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn helm(&self, arguments: &[&str]) -> Output {
        let mut command = self.client_program(&helm());
        command.args(arguments);
        run(command, None)
    }

    /// Runs a Python program that has the Kubernetes client, as this installation's administrator.
    ///
    /// # Panics
    /// When Python cannot be started.
    pub fn python(&self, program: &Path) -> Output {
        let mut command = self.client_program(Path::new("python3"));
        command.arg(program).env("PYTHONPATH", python_clients()).env("PYTHONDONTWRITEBYTECODE", "1");
        run(command, None)
    }

    /// Applies a manifest.
    ///
    /// # Panics
    /// When it is refused.
    pub fn apply(&self, manifest: &str) {
        self.kubectl_with(&["apply", "-f", "-"], Some(manifest)).expect("kubectl apply");
    }

    /// Reads one object.
    pub fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let output = self.kubectl(&["get", kind, "-n", namespace, name, "-o", "json"]);
        output.success.then(|| serde_json::from_str(&output.stdout).expect("kubectl prints JSON"))
    }

    /// Reads all objects of a kind in every namespace.
    ///
    /// # Panics
    /// When kubectl fails.
    pub fn list(&self, kind: &str) -> Vec<Value> {
        let output = self.kubectl(&["get", kind, "-A", "-o", "json"]).expect("kubectl get");
        let list: Value = serde_json::from_str(&output).expect("kubectl prints JSON");
        list["items"].as_array().cloned().unwrap_or_default()
    }

    /// Returns what the guest of a VirtualMachine has printed on its serial console.
    pub fn console(&self, namespace: &str, name: &str) -> String {
        let selector = format!("vm.kubevirt.io/name={name}");
        let output = self.kubectl(&[
            "logs",
            "-n",
            namespace,
            "-l",
            &selector,
            "-c",
            "guest-console-log",
            "--tail",
            "-1",
        ]);
        output.stdout
    }

    /// Returns the message of a condition of an object.
    pub fn condition(&self, kind: &str, name: &str, condition: &str) -> Option<String> {
        let object = self.get(kind, "default", name)?;
        let conditions = object["status"]["conditions"].as_array()?;
        let found = conditions.iter().find(|entry| entry["type"] == condition)?;
        found["message"].as_str().map(str::to_owned)
    }

    /// Returns the messages of the Events with `reason` about the object `name`.
    pub fn events(&self, name: &str, reason: &str) -> Vec<String> {
        let about = |event: &Value| event["involvedObject"]["name"] == name && event["reason"] == reason;
        let events = self.list("events").into_iter().filter(about);
        events.filter_map(|event| event["message"].as_str().map(str::to_owned)).collect()
    }

    /// kubectl as the test's own user, who may read the installation's kubeconfig.
    fn client(&self) -> Command {
        self.client_program(&kubectl())
    }
}
