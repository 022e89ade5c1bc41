//! Streams of bytes between the host and a guest, and how fast they go.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::guest::{Doors, Key, PATIENCE, SENDS, SSH, SWALLOWS};

/// Before a connection is measured: buffers are full, the window is open.
const WARM_UP: Duration = Duration::from_millis(700);
/// For so long a connection is measured.
const WINDOW: Duration = Duration::from_secs(3);

/// Which way the bytes go, seen from the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Out,
    In,
}

/// How the bytes are carried.
#[derive(Clone, Copy, Debug)]
enum Carrier<'a> {
    /// A connection to a port of the guest.
    Tcp,
    /// A connection that the guest opens to the host.
    Dialled,
    /// `ssh` to the guest.
    Ssh(&'a Key),
}

/// One thing to measure.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow<'a> {
    carrier: Carrier<'a>,
    way: Way,
}

/// Lists the flows over connections that the host opens.
pub(super) fn into_the_guest(key: &Key) -> Vec<Flow<'_>> {
    let carriers = [Carrier::Tcp, Carrier::Ssh(key)];
    carriers.into_iter().flat_map(|carrier| [Way::Out, Way::In].map(|way| Flow { carrier, way })).collect()
}

impl Flow<'_> {
    /// The flow over a connection that the guest opens.
    pub(super) fn opened_by_the_guest(way: Way) -> Self {
        Self { carrier: Carrier::Dialled, way }
    }

    pub(super) fn name(&self) -> String {
        let way = if self.way == Way::Out { "from" } else { "to" };
        match self.carrier {
            Carrier::Tcp => format!("TCP {way} a guest"),
            Carrier::Dialled => format!("TCP {way} a guest that dials"),
            Carrier::Ssh(_) => format!("SSH {way} a guest"),
        }
    }

    /// Measures one connection, in millions of bytes a second; as soon as the guest listens: at its start, and again after
    /// each connection. What stands between may accept before the guest does, and close then.
    pub(super) fn rate(&self, doors: &Doors) -> Result<f64> {
        let begun = Instant::now();
        loop {
            match self.once(doors) {
                Err(error) if begun.elapsed() > PATIENCE => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(200)),
                measured => return measured,
            }
        }
    }

    fn once(&self, doors: &Doors) -> Result<f64> {
        match self.carrier {
            Carrier::Tcp => {
                let port = if self.way == Way::Out { SENDS } else { SWALLOWS };
                let address = super::door(&doors.ports, port)?;
                let stream = TcpStream::connect_timeout(&address, Duration::from_secs(2));
                measure_socket(stream.with_context(|| format!("connecting to {address}"))?, self.way)
            }
            Carrier::Dialled => measure_socket(doors.listeners.accept(self.way)?, self.way),
            Carrier::Ssh(key) => ssh(key, super::door(&doors.ports, SSH)?, self.way),
        }
    }
}

/// Moves bytes for a while, unmeasured at first.
fn measure(mut pass: impl FnMut() -> std::io::Result<usize>) -> Result<f64> {
    let mut during = |limit: Duration| -> Result<(u64, f64)> {
        let begun = Instant::now();
        let mut bytes = 0u64;
        while begun.elapsed() < limit {
            match pass() {
                Ok(0) => bail!("the guest closed the connection"),
                Ok(length) => bytes += length as u64,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(error).context("the connection to the guest"),
            }
        }
        Ok((bytes, begun.elapsed().as_secs_f64()))
    };
    during(WARM_UP)?;
    let (bytes, seconds) = during(WINDOW)?;
    if bytes == 0 {
        bail!("nothing came through in {seconds:.1} s");
    }
    Ok(bytes as f64 / seconds / 1e6)
}

fn measure_socket(mut stream: TcpStream, way: Way) -> Result<f64> {
    stream.set_read_timeout(Some(Duration::from_millis(100)))?;
    stream.set_write_timeout(Some(Duration::from_millis(100)))?;
    let mut buffer = vec![0u8; 256 * 1024];
    measure(|| match way {
        Way::Out => stream.read(&mut buffer),
        Way::In => stream.write(&buffer),
    })
}

/// Measures what `cat` on the other side of `ssh` sends or swallows.
fn ssh(key: &Key, address: SocketAddr, way: Way) -> Result<f64> {
    let mut command = Command::new("ssh");
    for option in [
        "BatchMode=yes",
        "IdentitiesOnly=yes",
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "LogLevel=ERROR",
        "ConnectTimeout=30",
    ] {
        command.args(["-o", option]);
    }
    command.args(["-F", "none", "-i"]).arg(key.path()).args(["-p", &address.port().to_string()]);
    command.arg(format!("guest@{}", address.ip())).stderr(Stdio::null());
    let ended = |mut child: Child| {
        // It runs for ever.
        drop(child.kill());
        drop(child.wait());
    };
    let mut buffer = vec![0u8; 64 * 1024];
    match way {
        Way::Out => {
            command.arg("cat /dev/zero").stdin(Stdio::null()).stdout(Stdio::piped());
            let mut child = command.spawn().context("starting ssh")?;
            let mut output = child.stdout.take().context("its output")?;
            // The first bytes come once the guest has let us in, which is not measured.
            let rate = output
                .read(&mut buffer)
                .context("reading from ssh")
                .and_then(|_| measure(|| output.read(&mut buffer)));
            ended(child);
            rate
        }
        Way::In => {
            // The word says that the guest has let us in.
            command.arg("echo in; exec cat > /dev/null").stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = command.spawn().context("starting ssh")?;
            let mut input = child.stdin.take().context("its input")?;
            let mut output = child.stdout.take().context("its output")?;
            let rate = match output.read(&mut buffer[..16]).context("reading from ssh") {
                Ok(0) => Err(anyhow::anyhow!("the guest lets nobody in")),
                Ok(_) => measure(|| input.write(&buffer)),
                Err(error) => Err(error),
            };
            ended(child);
            rate
        }
    }
}

/// Where guests connect to: one sends, to the other is sent.
#[derive(Debug, Default)]
pub(super) struct Listeners(Option<[TcpListener; 2]>);

impl Listeners {
    /// Listens on the host's address of its way out.
    pub(super) fn open() -> Result<Self> {
        let host = uplink()?;
        let listen = || TcpListener::bind((host, 0)).with_context(|| format!("listening on {host}"));
        Ok(Self(Some([listen()?, listen()?])))
    }

    /// Returns where they listen.
    pub(super) fn addresses(&self) -> Option<[SocketAddr; 2]> {
        let [first, second] = self.0.as_ref()?;
        Some([first.local_addr().ok()?, second.local_addr().ok()?])
    }

    fn accept(&self, way: Way) -> Result<TcpStream> {
        let [out, into] = self.0.as_ref().context("this guest connects to nobody")?;
        let listener = if way == Way::Out { out } else { into };
        listener.set_nonblocking(true)?;
        let begun = Instant::now();
        loop {
            match listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false)?;
                    return Ok(stream);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock && begun.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                Err(error) => return Err(error).context("no guest connects"),
            }
        }
    }
}

/// Returns the host's own address on its way out.
fn uplink() -> Result<Ipv4Addr> {
    // Nothing is sent: the kernel chooses the address that it would send from.
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).context("a socket")?;
    socket
        .connect((Ipv4Addr::new(192, 0, 2, 1), 9))
        .context("the host has no default route, which pasta needs")?;
    match socket.local_addr().context("the socket's address")?.ip() {
        IpAddr::V4(address) => Ok(address),
        IpAddr::V6(address) => bail!("{address} is no IPv4 address"),
    }
}
