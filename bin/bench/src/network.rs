//! TCP through a machine's network, in interleaved pairs with bare QEMU on a tap of the host that nothing translates.
//!
//! Both guests are the same and run at once; one is measured while the other idles. What a guest sends or receives comes
//! from and goes to nowhere, so that the figure is the path's.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use disk::seed::{self, SeedFile};
use kit::{Installation, Options};
use serde_json::{Value, json};

use crate::machine::{KERNEL_ARGUMENTS, MEMORY_MIB};
use crate::report::Report;

/// A guest under emulation on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// Before a connection is measured: buffers are full, the window is open.
const WARM_UP: Duration = Duration::from_millis(700);
/// For so long a connection is measured.
const WINDOW: Duration = Duration::from_secs(3);
/// Share of bare QEMU's throughput that is to be reached.
const SHARE: f64 = 0.95;

/// Tap of the peer, and the network between the host and the peer.
const TAP: &str = "icbench0";
const HOST: Ipv4Addr = Ipv4Addr::new(10, 231, 77, 1);
const GUEST: Ipv4Addr = Ipv4Addr::new(10, 231, 77, 2);

/// What the guest does: listens on two ports for ever, one that sends and one that swallows.
const USER_DATA: &str = "#cloud-config
runcmd:
  - (while :; do nc -l -p 5001 < /dev/zero; done) > /dev/null 2>&1 &
  - (while :; do nc -l -p 5002 > /dev/null; done) 2>&1 &
";

/// Which way the bytes go, seen from the guest.
#[derive(Clone, Copy, Debug)]
enum Way {
    Out,
    In,
}

impl Way {
    fn port(self) -> u16 {
        match self {
            Self::Out => 5001,
            Self::In => 5002,
        }
    }
}

/// Measures throughput as root, where machines stand behind a bridge and nft.
pub(crate) fn against_bare(report: &mut Report, pairs: usize) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("a tap on the host needs root");
    }
    let installation = Installation::start(Options::default());
    installation.apply(&manifest().to_string());
    let bare = Bare::start(uplink_mtu()?)?;
    let ours = address(&installation)?;
    for (way, name) in [(Way::Out, "from"), (Way::In, "to")] {
        for guest in [ours, GUEST] {
            rate(guest, way).context("the first connection")?;
        }
        let (mut through, mut past, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for pair in 0..pairs {
            // Who goes first alternates, so that drift of the machine favours neither.
            let (our, bare) = if pair % 2 == 0 {
                let our = rate(ours, way)?;
                (our, rate(GUEST, way)?)
            } else {
                let bare = rate(GUEST, way)?;
                (rate(ours, way)?, bare)
            };
            through.push(our);
            past.push(bare);
            ratios.push(our / bare);
        }
        report.add_samples(&format!("TCP {name} a guest through masquerade"), "MB/s", &through, None);
        report.add_samples(&format!("TCP {name} a guest on a bare tap"), "MB/s", &past, None);
        report.add_share(&format!("TCP {name} a guest against a bare tap"), &ratios, SHARE);
    }
    drop(bare);
    Ok(())
}

/// The machine that is measured.
fn manifest() -> Value {
    let mut machine = crate::machine::manifest("throughput", "Always");
    let spec = &mut machine["spec"]["template"]["spec"];
    // The peer is in no control group; on a busy machine a small request would count against us.
    spec["domain"]["resources"] = json!({"requests": {"cpu": "1"}});
    spec["domain"]["devices"]["disks"] = json!([{"name": "seed", "disk": {"bus": "virtio"}}]);
    spec["volumes"] = json!([{"name": "seed", "cloudInitNoCloud": {"userData": USER_DATA}}]);
    machine
}

/// Waits for the address that the machine is reached at.
fn address(installation: &Installation) -> Result<Ipv4Addr> {
    let address = kit::until_some("the machine shows its address", PATIENCE, || {
        let instance = installation.get("vmi", "default", "throughput")?;
        Some(instance["status"]["interfaces"][0]["ipAddress"].as_str()?.to_owned())
    });
    address.parse().with_context(|| format!("{address} is an IPv4 address"))
}

/// Returns the MTU of the host's way out, which machines get as well.
fn uplink_mtu() -> Result<String> {
    let words = |arguments: &[&str]| -> Result<Vec<String>> {
        let output = Command::new("ip").args(arguments).output().context("starting ip")?;
        Ok(String::from_utf8_lossy(&output.stdout).split_whitespace().map(str::to_owned).collect())
    };
    let after = |words: &[String], word: &str| {
        words.iter().position(|found| found == word).and_then(|at| words.get(at + 1)).cloned()
    };
    let Some(link) = after(&words(&["-4", "route", "show", "default"])?, "dev") else {
        return Ok("1500".to_owned());
    };
    Ok(after(&words(&["link", "show", "dev", &link])?, "mtu").unwrap_or_else(|| "1500".to_owned()))
}

/// Measures one connection to a guest, in millions of bytes a second.
fn rate(guest: Ipv4Addr, way: Way) -> Result<f64> {
    let mut stream = connect((guest, way.port()).into())?;
    let mut buffer = vec![0u8; 256 * 1024];
    let mut pass = |limit: Duration| -> Result<(u64, f64)> {
        let begun = Instant::now();
        let mut bytes = 0u64;
        while begun.elapsed() < limit {
            let passed = match way {
                Way::Out => stream.read(&mut buffer),
                Way::In => stream.write(&buffer),
            };
            match passed {
                Ok(0) => bail!("the guest closed the connection"),
                Ok(length) => bytes += length as u64,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(error).context("the connection to the guest"),
            }
        }
        Ok((bytes, begun.elapsed().as_secs_f64()))
    };
    pass(WARM_UP)?;
    let (bytes, seconds) = pass(WINDOW)?;
    if bytes == 0 {
        bail!("nothing came through in {seconds:.1} s");
    }
    Ok(bytes as f64 / seconds / 1e6)
}

/// Connects as soon as the guest listens: at its start, and again after each connection.
fn connect(address: SocketAddr) -> Result<TcpStream> {
    let begun = Instant::now();
    loop {
        match TcpStream::connect_timeout(&address, Duration::from_secs(2)) {
            Ok(stream) => {
                stream.set_read_timeout(Some(Duration::from_millis(100)))?;
                stream.set_write_timeout(Some(Duration::from_millis(100)))?;
                return Ok(stream);
            }
            Err(error) if begun.elapsed() > PATIENCE => {
                return Err(error).with_context(|| format!("no guest listens at {address}"));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// The peer: the same guest, on a tap that has the host's address; gone when dropped.
struct Bare {
    qemu: Child,
    _seed: tempfile::TempDir,
}

impl Bare {
    fn start(mtu: String) -> Result<Self> {
        let directory = tempfile::tempdir().context("a directory for the peer's seed")?;
        let network = format!(
            "version: 2\nethernets:\n  eth0:\n    match: {{macaddress: '02:00:00:be:4c:01'}}\n    mtu: {mtu}\n    \
             addresses: [{GUEST}/24]\n"
        );
        let file =
            |name: &str, text: &str| SeedFile { name: name.to_owned(), content: text.as_bytes().to_vec() };
        let files = [
            file("meta-data", "instance-id: bare\nlocal-hostname: bare\n"),
            file("user-data", USER_DATA),
            file("network-config", &network),
        ];
        let seed = directory.path().join("seed.iso");
        std::fs::write(&seed, seed::iso("cidata", &files)?).context("writing the peer's seed")?;
        remove_tap();
        for arguments in [
            &["tuntap", "add", TAP, "mode", "tap", "vnet_hdr"][..],
            &["link", "set", TAP, "mtu", &mtu, "up"],
            &["addr", "add", &format!("{HOST}/24"), "dev", TAP],
        ] {
            let status = Command::new("ip").args(arguments).status().context("starting ip")?;
            if !status.success() {
                bail!("ip {} failed", arguments.join(" "));
            }
        }
        let qemu = Command::new("qemu-system-x86_64")
            .args(["-nodefaults", "-no-user-config", "-display", "none"])
            .args(["-M", "q35", "-accel", "tcg", "-m", &MEMORY_MIB.to_string()])
            .arg("-kernel")
            .arg(kit::guest("vmlinuz"))
            .arg("-initrd")
            .arg(kit::guest("initrd.gz"))
            .args(["-append", KERNEL_ARGUMENTS, "-serial", "null"])
            .args(["-drive", &format!("file={},format=raw,if=virtio,readonly=on", seed.display())])
            .args(["-netdev", &format!("tap,id=net0,ifname={TAP},script=no,downscript=no,vhost=off")])
            .args(["-device", "virtio-net-pci,netdev=net0,mac=02:00:00:be:4c:01,romfile="])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting bare QEMU")?;
        Ok(Self { qemu, _seed: directory })
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.qemu.kill());
        drop(self.qemu.wait());
        remove_tap();
    }
}

/// Removes the peer's tap, also one that a killed run left behind.
fn remove_tap() {
    let mut ip = Command::new("ip");
    drop(ip.args(["link", "delete", TAP]).stdout(Stdio::null()).stderr(Stdio::null()).status());
}
