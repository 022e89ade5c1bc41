//! What a person does with a machine all day, by virtctl: the commands of its document, and what a document cannot show.

#![allow(clippy::panic, reason = "helpers of tests")]

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kit::{Installation, Options, Output, kubectl, program, repository, until};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, tcgetattr};

const PATIENCE: Duration = Duration::from_secs(120);

/// Where the document parts: what comes behind ends the machine.
const END: &str = "## Pause, reboot, stop";

#[test]
fn a_machine_is_worked_in() {
    let user = User::new();
    let document = std::fs::read_to_string(repository().join("docs/virtctl.md")).expect("the document");
    let (work, end) = document.split_once(END).expect("the document has an end");
    user.follow(work);

    let refused = user.virtctl(&["start", "work"]);
    assert!(refused.stderr.starts_with("Error starting VirtualMachine "), "{}", refused.stderr);
    assert!(!refused.success, "it runs already");
    let unknown = user.virtctl(&["start", "none"]);
    assert_eq!(
        unknown.stderr,
        "Error starting VirtualMachine virtualmachine.kubevirt.io \"none\" not found\n"
    );

    user.versions_agree();
    user.console_is_a_terminal();
    user.ssh_carries_failures_and_pipes();
    user.connections_are_independent();
    user.screens_are_shown();
    user.facts_come_from_the_guest();

    let pause = user.virtctl(&["pause", "vmi", "work"]).expect("pausing");
    assert_eq!(pause, "VMI work was scheduled to pause\n");
    // What is asked next is judged by what was done, however soon it is asked.
    let again = user.virtctl(&["pause", "vm", "work"]);
    let says = "Error pausing VirtualMachineInstance work: ";
    assert!(!again.success && again.stderr.starts_with(says), "{}", again.stderr);
    until("it stands still", PATIENCE, || user.phase() == "Paused");
    for _ in 0..5 {
        user.virtctl(&["unpause", "vmi", "work"]).expect("unpausing");
        user.virtctl(&["pause", "vmi", "work"]).expect("pausing");
    }
    user.virtctl(&["unpause", "vmi", "work"]).expect("unpausing");
    until("it runs again", PATIENCE, || user.phase() == "Running");

    let before = user.uid();
    user.virtctl(&["restart", "work", "--force", "--grace-period=0"]).expect("restarting");
    until("another instance runs", PATIENCE, || {
        let now = user.uid();
        !now.is_empty() && now != before && user.phase() == "Running"
    });
    user.follow(end);
}

/// A user at a shell.
struct User {
    installation: Installation,
    programs: PathBuf,
    path: String,
}

impl User {
    fn new() -> Self {
        let installation = Installation::start(Options::default());
        let programs = installation.data_dir().parent().expect("a directory of the test").join("bin");
        std::fs::create_dir(&programs).expect("a folder for the plug-in");
        std::os::unix::fs::symlink(program("virtctl"), programs.join("kubectl-virt")).expect("a link");
        let folder = |file: &Path| file.parent().expect("a file is in a folder").display().to_string();
        let others = std::env::var_os("PATH").unwrap_or_default();
        let own = [folder(&program("virtctl")), folder(&kubectl()), programs.display().to_string()];
        let path = format!("{}:{}", own.join(":"), others.to_string_lossy());
        Self { installation, programs, path }
    }

    /// Runs the commands of a part of the document.
    fn follow(&self, part: &str) {
        let blocks = part.split("```sh\n").skip(1).filter_map(|block| block.split("```").next());
        let script: String = blocks.collect();
        let script = script.replace("2222", &free_port().to_string());
        let output = self.shell(&script);
        assert!(output.success, "{script}\n{}\n{}", output.stdout, output.stderr);
    }

    fn shell(&self, script: &str) -> Output {
        let mut command = self.command(Path::new("bash"));
        // ~ is the home of the environment.
        command.args(["-euxo", "pipefail", "-c", script]).current_dir(repository());
        run(command)
    }

    fn virtctl(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(&program("virtctl"));
        command.args(arguments);
        run(command)
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = self.installation.client_program(program);
        command.env("PATH", &self.path).stdin(Stdio::null());
        command
    }

    fn phase(&self) -> String {
        let machine = self.installation.get("vm", "default", "work").expect("the machine");
        machine["status"]["printableStatus"].as_str().unwrap_or_default().to_owned()
    }

    fn uid(&self) -> String {
        let instance = self.installation.get("vmi", "default", "work").unwrap_or_default();
        instance["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
    }

    fn versions_agree(&self) {
        let mut plugin = self.command(&kubectl());
        plugin.args(["virt", "version"]);
        let said = run(plugin).expect("kubectl virt version");
        let [client, server] = said.lines().collect::<Vec<_>>()[..] else { panic!("two lines: {said}") };
        let version = |line: &str, side: &str| line.strip_prefix(side).expect("whose version").to_owned();
        assert_eq!(version(client, "Client Version: "), version(server, "Server Version: "));
        assert!(self.programs.join("kubectl-virt").exists());
    }

    fn console_is_a_terminal(&self) {
        let terminal = Terminal::open();
        let before = terminal.settings();
        let mut command = self.command(&program("virtctl"));
        command.args(["console", "work"]);
        let mut virtctl = terminal.start(command);
        until("it is connected", PATIENCE, || terminal.shows("Press Ctrl+] or Ctrl+5 to exit console."));
        terminal.log_in();
        terminal.type_in("echo six times seven is $((6*7))\r");
        until("the guest answers", PATIENCE, || terminal.shows("six times seven is 42"));
        terminal.type_in("exit\r\x1d");
        assert!(virtctl.wait().expect("virtctl ends").success());
        assert_eq!(terminal.settings().local_modes, before.local_modes, "the terminal is as before");
        assert_eq!(terminal.settings().output_modes, before.output_modes, "the terminal is as before");
    }

    fn ssh_carries_failures_and_pipes(&self) {
        let ssh = "virtctl ssh guest@vm/work/default -i ~/work-key --known-hosts ~/work-hosts --command";
        let failed = self.shell(&format!("{ssh} 'exit 7'"));
        assert!(failed.stderr.contains("exit status 7"), "{}", failed.stderr);
        // A megabyte there and back, and flags that the connection through the proxy needs as well.
        let round = self.shell(&format!(
            "head -c 1000000 /dev/urandom > ~/sent
             unset KUBECONFIG
             {ssh} cat --kubeconfig={} < ~/sent > ~/back
             cmp ~/sent ~/back",
            self.installation.data_dir().join("kubeconfig").display(),
        ));
        assert!(round.success, "{}", round.stderr);
    }

    fn connections_are_independent(&self) {
        let mut command = self.command(&program("virtctl"));
        command.args(["port-forward", "vmi/work", "0:22", "0:9"]);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut forward = Running(command.spawn().expect("virtctl"));
        let mut said = BufReader::new(forward.0.stderr.take().expect("a pipe")).lines();
        let first = said.next().expect("a line").expect("text");
        let first: serde_json::Value = serde_json::from_str(&first).expect("JSON");
        let address = first["msg"].as_str().and_then(|told| told.split(' ').nth(2)).expect("an address");
        let port: u16 = address.rsplit(':').next().expect("a port").parse().expect("a number");
        // What is told from now on must not fill the pipe.
        std::thread::spawn(move || said.for_each(drop));
        let banner = || {
            let mut connection = TcpStream::connect(("127.0.0.1", port)).ok()?;
            connection.set_read_timeout(Some(PATIENCE)).ok()?;
            let mut banner = [0; 8];
            connection.read_exact(&mut banner).ok()?;
            Some((banner, connection))
        };
        let mut first = None;
        until("the first connection is there", PATIENCE, || {
            first = banner();
            first.is_some()
        });
        let second = banner().expect("a second one beside it");
        drop(first);
        let third = banner().expect("and one more when the first is gone");
        assert_eq!((&second.0, &third.0), (b"SSH-2.0-", b"SSH-2.0-"));
    }

    fn screens_are_shown(&self) {
        let picture = self.virtctl_bytes(&["vnc", "screenshot", "work", "-f", "-"]);
        assert!(picture.starts_with(b"\x89PNG\r\n\x1a\n"), "{} bytes", picture.len());
        let mut command = self.command(&program("virtctl"));
        command.args(["vnc", "work", "--proxy-only"]).stdout(Stdio::piped());
        let mut virtctl = Running(command.spawn().expect("virtctl starts"));
        let mut said = String::new();
        let stdout = virtctl.0.stdout.as_mut().expect("a pipe");
        BufReader::new(stdout).read_line(&mut said).expect("a line");
        let said: serde_json::Value = serde_json::from_str(&said).expect("JSON");
        let port = u16::try_from(said["port"].as_u64().expect("a number")).expect("a port");
        let mut viewer = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        let mut banner = [0; 12];
        viewer.read_exact(&mut banner).expect("the screen's greeting");
        assert_eq!(&banner, b"RFB 003.008\n");
    }

    fn facts_come_from_the_guest(&self) {
        let ask = |command: &str| -> serde_json::Value {
            serde_json::from_str(&self.virtctl(&[command, "work"]).expect(command)).expect("JSON")
        };
        assert_eq!(ask("guestosinfo")["hostname"], "work");
        assert!(ask("fslist")["items"].is_array());
        assert!(ask("userlist")["items"].is_array());
    }

    fn virtctl_bytes(&self, arguments: &[&str]) -> Vec<u8> {
        let mut command = self.command(&program("virtctl"));
        let output = command.args(arguments).output().expect("virtctl starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }
}

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(mut command: Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("starting {command:?}: {error}"));
    Output {
        success: output.status.success(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A port that is not given to whoever asks for any.
fn free_port() -> u16 {
    let free = (20_000..30_000).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.expect("a port")
}

/// A terminal with nobody before it.
struct Terminal {
    keyboard: File,
    screen: Arc<Mutex<String>>,
    line: OwnedFd,
}

impl Terminal {
    fn open() -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).expect("a terminal");
        grantpt(&master).expect("a terminal");
        unlockpt(&master).expect("a terminal");
        let name = ptsname(&master, Vec::new()).expect("a terminal has a name");
        let name = name.to_str().expect("a name in UTF-8");
        let line = File::options().read(true).write(true).open(name).expect("its line").into();
        let keyboard = File::from(master);
        let screen = Arc::new(Mutex::new(String::new()));
        let (mut reader, shown) = (keyboard.try_clone().expect("a copy"), Arc::clone(&screen));
        // It ends when the last line is closed.
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]);
                shown.lock().expect("nobody panicked").push_str(&text);
            }
        });
        Self { keyboard, screen, line }
    }

    fn start(&self, mut command: Command) -> Child {
        let line = || Stdio::from(self.line.try_clone().expect("a copy"));
        command.stdin(line()).stdout(line()).stderr(line()).spawn().expect("virtctl starts")
    }

    fn type_in(&self, text: &str) {
        (&self.keyboard).write_all(text.as_bytes()).expect("somebody listens");
    }

    /// Answers the questions of a login as they come, and asks for one where the guest stays silent.
    fn log_in(&self) {
        let (mut read, mut silent) = (0, 0);
        until("the shell is there", PATIENCE, || {
            let screen = self.screen.lock().expect("nobody panicked").clone();
            let fresh = screen[read..].trim_end();
            silent += 1;
            if fresh.ends_with("login:") || fresh.ends_with("Password:") {
                (read, silent) = (screen.len(), 0);
                self.type_in("guest\r");
            } else if silent % 50 == 10 {
                eprintln!("on the screen:\n{screen}");
                self.type_in("\r");
            }
            fresh.contains("~ $")
        });
    }

    fn shows(&self, text: &str) -> bool {
        self.screen.lock().expect("nobody panicked").contains(text)
    }

    fn settings(&self) -> Termios {
        tcgetattr(&self.line).expect("a terminal")
    }
}
