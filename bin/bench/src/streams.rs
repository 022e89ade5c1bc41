//! Streams against `socat` at the same place: what the way through the API costs.
//!
//! Ports lead to a server beside the machine, in its Pod's network, so that no guest's slowness hides the way. The console
//! is the guest's own.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use kit::{Installation, Options};

use crate::machine::manifest;
use crate::process;
use crate::report::Report;

/// A guest under emulation on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// Ports of the server beside the machine: one sends for ever, one sends back what it gets.
const ZEROS: u16 = 9000;
const ECHO: u16 = 9001;
/// What is read from a port for one sample.
const BULK: usize = 256 << 20;
/// Bytes that go there and back for one sample.
const ROUNDS: usize = 200;
/// How long a console is read for one sample.
const WINDOW: Duration = Duration::from_secs(3);

/// A process whose two pipes are a stream.
struct Stream {
    process: Child,
    input: ChildStdin,
    output: ChildStdout,
}

impl Stream {
    fn start(mut command: Command) -> Result<Self> {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {command:?}"))?;
        let (input, output) = (process.stdin.take(), process.stdout.take());
        let (input, output) = (input.context("its input")?, output.context("its output")?);
        Ok(Self { process, input, output })
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        match self.output.read(buffer)? {
            0 => bail!("the stream ended"),
            count => Ok(count),
        }
    }

    /// Reads `amount` bytes and returns MiB a second, from the first byte on.
    fn bulk(&mut self, amount: usize) -> Result<f64> {
        let mut buffer = vec![0; 256 << 10];
        let mut read = self.read(&mut buffer)?;
        let begun = Instant::now();
        let first = read;
        while read < amount {
            read += self.read(&mut buffer)?;
        }
        Ok(mebibytes(read - first) / begun.elapsed().as_secs_f64())
    }

    /// Reads for a while and returns KiB a second.
    fn window(&mut self) -> Result<f64> {
        let mut buffer = vec![0; 64 << 10];
        // What was shown at once does not count.
        let settled = Instant::now() + Duration::from_millis(500);
        while Instant::now() < settled {
            self.read(&mut buffer)?;
        }
        let begun = Instant::now();
        let mut read = 0;
        while begun.elapsed() < WINDOW {
            read += self.read(&mut buffer)?;
        }
        Ok(mebibytes(read) * 1024.0 / begun.elapsed().as_secs_f64())
    }

    /// Returns the median time that a byte takes there and back, in milliseconds.
    fn round_trip(&mut self, rounds: usize) -> Result<f64> {
        let mut times = Vec::with_capacity(rounds);
        let mut buffer = [0; 256];
        for _ in 0..rounds {
            let begun = Instant::now();
            self.input.write_all(b"x")?;
            self.input.flush()?;
            loop {
                let count = self.read(&mut buffer)?;
                if buffer[..count].contains(&b'x') {
                    break;
                }
            }
            times.push(begun.elapsed().as_secs_f64() * 1000.0);
        }
        Ok(crate::report::median(&times))
    }

    /// Reads until `text` was shown.
    fn until(&mut self, text: &str) -> Result<()> {
        let begun = Instant::now();
        let mut shown = Vec::new();
        let mut buffer = [0; 4096];
        while !String::from_utf8_lossy(&shown).contains(text) {
            let count = self.read(&mut buffer)?;
            shown.extend_from_slice(&buffer[..count]);
            if begun.elapsed() > PATIENCE {
                bail!("{text:?} is not shown, but {:?}", String::from_utf8_lossy(&shown));
            }
        }
        Ok(())
    }

    fn type_in(&mut self, text: &str) -> Result<()> {
        self.input.write_all(text.as_bytes())?;
        Ok(self.input.flush()?)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Measures ports and the console. Needs root, to enter the Pod's network.
pub(crate) fn against_socat(report: &mut Report, pairs: usize) -> Result<()> {
    let installation = Installation::start(Options::default());
    let mut machine = manifest("streams", "Always");
    let interface = "/spec/template/spec/domain/devices/interfaces/0";
    let interface = machine.pointer_mut(interface).context("the machine has an interface")?;
    // All other ports are the Pod's own.
    interface["ports"] = serde_json::json!([{"port": 22}]);
    installation.apply(&machine.to_string());
    let place = Place::find(&installation)?;
    ports(report, &place, pairs)?;
    console(report, &place, pairs)
}

/// Where the machine is.
struct Place<'a> {
    installation: &'a Installation,
    hypervisor: u32,
    console: PathBuf,
}

impl<'a> Place<'a> {
    fn find(installation: &'a Installation) -> Result<Self> {
        let begun = Instant::now();
        loop {
            let instance = installation.get("vmi", "default", "streams").unwrap_or_default();
            let found =
                process::find(|line| line.contains("qemu-system") && line.contains("default_streams"));
            let sockets = sockets(&installation.data_dir());
            if let (Some((hypervisor, _)), Some(console), "Running") =
                (found.first(), sockets, instance["status"]["phase"].as_str().unwrap_or_default())
            {
                return Ok(Self { installation, hypervisor: *hypervisor, console });
            }
            if begun.elapsed() > PATIENCE {
                bail!("the machine does not run");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn virtctl(&self, arguments: &[&str]) -> Result<Stream> {
        let mut command = self.installation.client_program(&kit::program("virtctl"));
        command.args(arguments);
        Stream::start(command)
    }

    fn in_pod(&self, program: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--net", "--target", &self.hypervisor.to_string()]).args(program);
        command
    }

    /// Starts a server in the Pod's network.
    fn serve(&self, program: &[&str]) -> Result<Server> {
        let mut command = self.in_pod(program);
        let server = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Ok(Server(server.context("starting nsenter and socat")?))
    }

    fn port(&self, through_api: bool, port: u16) -> Result<Stream> {
        if through_api {
            return self.virtctl(&["port-forward", "--stdio", "vmi/streams", &port.to_string()]);
        }
        let address = format!("TCP:127.0.0.1:{port},nodelay");
        Stream::start(self.in_pod(&["socat", "-b65536", "STDIO", &address]))
    }

    fn console(&self, through_api: bool) -> Result<Stream> {
        if through_api {
            return self.virtctl(&["console", "streams"]);
        }
        let mut command = Command::new("socat");
        // A path in a Pod is longer than an address; the directory is entered instead.
        let (folder, name) = (self.console.parent(), self.console.file_name());
        let name = name.and_then(|name| name.to_str()).context("a socket has a name")?;
        command.current_dir(folder.context("a socket has a directory")?);
        command.args(["-b65536", "STDIO", &format!("UNIX-CONNECT:{name}")]);
        Stream::start(command)
    }
}

/// A server beside the machine; killed when dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Finds the console's socket of the only machine.
fn sockets(data: &Path) -> Option<PathBuf> {
    let nodes = std::fs::read_dir(data.join("nodes")).ok()?.flatten();
    let pods =
        nodes.flat_map(|node| std::fs::read_dir(node.path().join("kubelet/pods")).into_iter().flatten());
    let sockets =
        pods.flatten().map(|pod| pod.path().join("volumes/kubernetes.io~empty-dir/sockets/serial0-sock"));
    sockets.into_iter().find(|socket| socket.exists())
}

fn ports(report: &mut Report, place: &Place<'_>, pairs: usize) -> Result<()> {
    let zeros = format!("TCP-LISTEN:{ZEROS},bind=127.0.0.1,reuseaddr,fork");
    let echo = format!("TCP-LISTEN:{ECHO},bind=127.0.0.1,reuseaddr,fork,nodelay");
    let _zeros = place.serve(&["socat", "-U", "-b65536", &zeros, "OPEN:/dev/zero,rdonly"])?;
    let _echo = place.serve(&["socat", &echo, "PIPE"])?;
    std::thread::sleep(Duration::from_millis(500));
    let bulk = |through_api| place.port(through_api, ZEROS)?.bulk(BULK);
    interleaved(report, "port-forward, from the machine", "MiB/s", pairs, bulk, true)?;
    let round = |through_api| {
        let mut stream = place.port(through_api, ECHO)?;
        stream.round_trip(10)?;
        stream.round_trip(ROUNDS)
    };
    interleaved(report, "port-forward, a byte there and back", "ms", pairs, round, false)
}

fn console(report: &mut Report, place: &Place<'_>, pairs: usize) -> Result<()> {
    let mut first = place.console(false)?;
    first.until("login:")?;
    first.type_in("guest\n")?;
    first.until("Password:")?;
    first.type_in("guest\n")?;
    first.until("$ ")?;
    first.type_in("cat >/dev/null\n")?;
    let round = |through_api| {
        let mut stream = place.console(through_api)?;
        // Past what is shown first.
        std::thread::sleep(Duration::from_millis(500));
        stream.type_in("\nx")?;
        stream.until("\nx")?;
        stream.round_trip(ROUNDS)
    };
    interleaved(report, "console, a key and its echo", "ms", pairs, round, false)?;
    first.type_in("\x03")?;
    first.until("$ ")?;
    first.type_in("yes 0123456789abcdef0123456789abcdef\n")?;
    let window = |through_api| place.console(through_api)?.window();
    interleaved(report, "console, output of the guest", "KiB/s", pairs, window, true)
}

/// Takes samples in turns; who goes first alternates.
fn interleaved(
    report: &mut Report,
    name: &str,
    unit: &'static str,
    pairs: usize,
    sample: impl Fn(bool) -> Result<f64>,
    more_is_better: bool,
) -> Result<()> {
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 0..pairs {
        let (our, their) = if pair % 2 == 0 {
            let our = sample(true)?;
            (our, sample(false)?)
        } else {
            let their = sample(false)?;
            (sample(true)?, their)
        };
        ours.push(our);
        theirs.push(their);
        ratios.push(if more_is_better { our / their } else { their / our });
    }
    report.add_samples(name, unit, &ours, None);
    report.add_samples(&format!("{name}, by socat"), unit, &theirs, None);
    report.add_samples(&format!("{name}, against socat (more is better)"), "ratio", &ratios, None);
    Ok(())
}

fn mebibytes(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
