//! One `ironclad up` in a directory of its own, gone when the test ends.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::images::image;
use crate::output::{Output, run};
use crate::paths::{guest, program};
use crate::processes::kill;
use crate::slow_disk::SlowDisk;
use crate::small_disk::SmallDisk;
use crate::wait::until;

/// Who runs the installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// The user who runs the test.
    Own,
    /// A user without any right: `nobody`. Needs a test that runs as root.
    Ordinary,
}

/// How an installation is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who runs it.
    pub user: User,
    /// Number of nodes.
    pub nodes: u8,
    /// Whether the guest's images are loaded.
    pub images: bool,
    /// Network of the Pods, where it matters.
    pub pod_network: Option<&'static str>,
    /// File with the resolvers that are asked for names of the world; `None` for the machine's own.
    pub resolv_conf: Option<PathBuf>,
    /// Seconds after which a guest without a sign of life is told of.
    pub boot_patience: u32,
    /// Port of the API server; 0 takes a free one, another one each time that it is started.
    pub port: u16,
    /// Seconds that a node may be silent.
    pub node_grace: u32,
    /// Directory of the programs, where they are not those that were built last.
    pub programs: Option<PathBuf>,
    /// A program that the installation does not find until [`Installation::uncover`]. Needs root.
    pub covered: Option<&'static str>,
    /// Folders of the data directory that are file systems of their own, with their sizes in MiB. Needs root.
    pub small: &'static [(&'static str, u64)],
    /// Whether every request is noted in [`Installation::audit_log`].
    pub audit: bool,
    /// Mebibytes of a disk for the data directory that can be slowed down ([`Installation::slow_disk`]); 0 for none.
    pub slow: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            user: User::Own,
            nodes: 1,
            images: true,
            pod_network: None,
            resolv_conf: None,
            boot_patience: 600,
            port: 0,
            node_grace: 40,
            programs: None,
            covered: None,
            small: &[],
            audit: false,
            slow: 0,
        }
    }
}

/// A running installation.
#[derive(Debug)]
pub struct Installation {
    /// Unmounted before the directory is removed.
    disks: Vec<SmallDisk>,
    slow: Option<SlowDisk>,
    pub(crate) directory: tempfile::TempDir,
    options: Options,
}

impl Installation {
    /// Starts an installation on a free port and waits until its API is ready.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(options: Options) -> Self {
        let directory =
            tempfile::Builder::new().prefix("ironclad-").tempdir().expect("a temporary directory");
        let data = directory.path().join("data");
        let small = options.small.iter();
        let disks = small.map(|(folder, size)| SmallDisk::mount(&data.join(folder), *size)).collect();
        let file = directory.path().join("disk.img");
        let slow = (options.slow > 0).then(|| SlowDisk::mount(&data, &file, options.slow));
        let installation = Self { disks, slow, directory, options };
        if installation.options.user == User::Ordinary {
            let nobody = rustix::fs::Uid::from_raw(ORDINARY_ID);
            let nogroup = rustix::fs::Gid::from_raw(ORDINARY_ID);
            rustix::fs::chown(installation.directory.path(), Some(nobody), Some(nogroup))
                .expect("root may chown");
        }
        if installation.options.images {
            for image in ["guest.oci.tar", "guest-kernel.oci.tar"] {
                let path = installation.lend(&guest(image));
                let path = path.to_str().expect("a path in UTF-8");
                installation.ironclad(&["image", "load", path]).expect("loading the guest's image");
            }
        }
        installation.up();
        installation
    }

    /// Runs `ironclad up --detach` again, for example after [`Installation::kill`].
    ///
    /// # Panics
    /// When it does not start.
    pub fn up(&self) {
        let nodes = self.options.nodes.to_string();
        let listen = format!("127.0.0.1:{}", self.options.port);
        let mut words = vec!["up", "--detach", "--listen", &listen, "--nodes", &nodes];
        let audit = self.audit_log().display().to_string();
        if self.options.audit {
            words.extend(["--audit-log-path", &audit]);
        }
        let output = self.ironclad(&words);
        if !output.success {
            let log = std::fs::read_to_string(self.data_dir().join("logs/ironclad.log")).unwrap_or_default();
            panic!("ironclad up failed:\n{}{}\nlog:\n{log}", output.stdout, output.stderr);
        }
    }

    /// Returns the file that requests are noted in, if the options say so.
    pub fn audit_log(&self) -> PathBuf {
        self.directory.path().join("audit.log")
    }

    /// Kills the control plane and the node agents with SIGKILL; guests go on.
    ///
    /// # Panics
    /// When nothing runs.
    pub fn kill(&self) {
        let pid = self.pid();
        kill(pid);
        // Its lock is free once it is gone; what is left until it is waited for has no command line.
        let line = format!("/proc/{pid}/cmdline");
        until("ironclad is gone", Duration::from_secs(60), || {
            std::fs::read(&line).unwrap_or_default().is_empty()
        });
    }

    /// Hides `program` from the installation, as if it were not installed: an empty file lies over it in the mount
    /// namespace that [`Options::covered`] gave the installation.
    ///
    /// # Panics
    /// When it cannot be covered.
    pub fn cover(&self, program: &str) {
        in_mounts_of(self.pid(), &["mount", "--bind", "/dev/null", program]);
    }

    /// Shows `program` again, to Pods that start from now on.
    ///
    /// # Panics
    /// When it was not covered.
    pub fn uncover(&self, program: &str) {
        in_mounts_of(self.pid(), &["umount", program]);
    }

    /// Returns the process of the control plane.
    ///
    /// # Panics
    /// When nothing runs.
    pub fn pid(&self) -> i32 {
        let lock = self.data_dir().join("run/ironclad.lock");
        std::fs::read_to_string(lock).expect("a running installation").trim().parse().expect("a process ID")
    }

    /// Makes the image `reference` with `files` and loads it.
    ///
    /// # Panics
    /// When it is refused.
    pub fn load(&self, reference: &str, files: &[(&str, &[u8])]) {
        let layout = image(self.directory.path(), reference, files);
        let layout = layout.to_str().expect("a path in UTF-8");
        self.ironclad(&["image", "load", layout]).expect("loading an image");
    }

    /// Returns the file system that [`Options::small`] put on `folder`.
    ///
    /// # Panics
    /// When there is none.
    pub fn disk(&self, folder: &str) -> &SmallDisk {
        let wanted = self.data_dir().join(folder);
        self.disks.iter().find(|disk| disk.path() == wanted).expect("a folder of Options::small")
    }

    /// Returns the disk of [`Options::slow`].
    ///
    /// # Panics
    /// When there is none.
    pub fn slow_disk(&self) -> &SlowDisk {
        self.slow.as_ref().expect("Options::slow")
    }

    /// Returns the data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Runs `ironclad ARGUMENTS` on this installation.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn ironclad(&self, arguments: &[&str]) -> Output {
        let mut command = match self.options.covered.filter(|_| arguments.first() == Some(&"up")) {
            None => {
                // A development build takes the launcher from beside itself.
                self.lend(&self.program("ironclad-launcher"));
                self.command(&self.lend(&self.program("ironclad")))
            }
            Some(covered) => {
                let mut command = Command::new("unshare");
                let script = r#"mount --bind /dev/null "$0" && exec "$@""#;
                command
                    .args(["--mount", "sh", "-c", script, covered])
                    .arg(self.program("ironclad"))
                    .current_dir("/");
                command
            }
        };
        command.args(arguments).env("IRONCLAD_DATA_DIR", self.data_dir());
        command.env("IRONCLAD_BOOT_PATIENCE", self.options.boot_patience.to_string());
        command.env("IRONCLAD_NODE_MONITOR_GRACE_PERIOD", self.options.node_grace.to_string());
        if let Some(network) = self.options.pod_network {
            command.env("IRONCLAD_POD_NETWORK", network);
        }
        if let Some(file) = &self.options.resolv_conf {
            command.env("IRONCLAD_RESOLV_CONF", file);
        }
        run(command, None)
    }

    fn program(&self, name: &str) -> PathBuf {
        self.options.programs.as_ref().map_or_else(|| program(name), |programs| programs.join(name))
    }

    /// Returns everything that explains a failure: objects, events, log.
    pub fn story(&self) -> String {
        let objects = self.kubectl(&["get", "vm,vmi,pods,events", "-A", "-o", "wide"]);
        let details = self.kubectl(&["get", "vmi", "-A", "-o", "yaml"]);
        let log = std::fs::read_to_string(self.data_dir().join("logs/ironclad.log")).unwrap_or_default();
        let tail: Vec<_> = log.lines().rev().take(80).collect();
        let tail: Vec<_> = tail.into_iter().rev().collect();
        format!("{}{}\n{}\nlog:\n{}", objects.stdout, objects.stderr, details.stdout, tail.join("\n"))
    }

    /// Stops everything and checks that the program says so.
    ///
    /// # Panics
    /// When it fails.
    pub fn down(&self) {
        self.ironclad(&["down", "--purge", "--grace-period", "0"]).expect("ironclad down");
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.data_dir().join("kubeconfig")
    }

    /// Prepares a program of the test's own user that talks to this installation as its administrator, in an empty home.
    pub fn client_program(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir("/").env("KUBECONFIG", self.kubeconfig()).env("HOME", self.directory.path());
        command
    }

    /// Returns a path of `file` that the installation's user can reach: the repository may be in a folder that is closed
    /// to others.
    fn lend(&self, file: &Path) -> PathBuf {
        if self.options.user == User::Own {
            return file.to_owned();
        }
        let copy = self.directory.path().join(file.file_name().expect("a file has a name"));
        if !copy.exists() {
            std::fs::copy(file, &copy).unwrap_or_else(|error| panic!("copying {}: {error}", file.display()));
            let readable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(&copy, readable).expect("the copy is ours");
        }
        copy
    }

    /// A command as the installation's user.
    fn command(&self, program: &Path) -> Command {
        let mut command = match self.options.user {
            User::Own => Command::new(program),
            User::Ordinary => {
                let mut command = Command::new("setpriv");
                let id = ORDINARY_ID.to_string();
                command
                    .args(["--reuid", &id, "--regid", &id, "--clear-groups", "--no-new-privs"])
                    .arg(program);
                command.env("HOME", self.directory.path()).env("XDG_RUNTIME_DIR", self.directory.path());
                command
            }
        };
        command.current_dir("/");
        command
    }
}

/// `nobody`.
const ORDINARY_ID: u32 = 65534;

impl Drop for Installation {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.story());
        }
        // What is mounted cannot be removed; it goes with the directory.
        let mut words = vec!["down", "--grace-period", "0"];
        if self.disks.is_empty() {
            words.push("--purge");
        }
        let output = self.ironclad(&words);
        if !output.success && !std::thread::panicking() {
            eprintln!("ironclad down: {}{}", output.stdout, output.stderr);
        }
    }
}

fn in_mounts_of(pid: i32, words: &[&str]) {
    let mut command = Command::new("nsenter");
    command.args(["--mount", "--target", &pid.to_string()]).args(words);
    run(command, None).expect("changing what a process sees");
}
