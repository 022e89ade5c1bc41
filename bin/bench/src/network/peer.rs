//! The peer: the same guest under bare QEMU, in a network namespace whose translation is made by hand.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use disk::seed::{self, SeedFile};
use kit::User;

use super::flow::Listeners;
use super::guest::{Doors, PORTS, SHARES};
use crate::machine::{KERNEL_ARGUMENTS, MEMORY_MIB};

/// The namespace, its link on the host, and the network between them.
const NAMESPACE: &str = "icbench";
const LINK: &str = "icbench0";
const HOST: Ipv4Addr = Ipv4Addr::new(10, 231, 77, 1);
const INSIDE: Ipv4Addr = Ipv4Addr::new(10, 231, 77, 2);
/// Hardware address of the guest.
const MAC: &str = "02:00:00:be:4c:01";
/// `nobody`.
const ORDINARY: &str = "65534";
/// MTU of what `pasta` carries.
const PASTA_MTU: &str = "1500";

/// What both kinds of namespace get: a tap on a bridge, and the translation between it and `eth0`.
const TRANSLATION: &str = r#"
ip link set lo up
ip link add br0 type bridge
ip link set br0 mtu "$MTU"
ip addr add 10.0.2.1/24 dev br0
ip link set br0 up
ip tuntap add tap0 mode tap vnet_hdr
ip link set tap0 mtu "$MTU" master br0 up
echo 1 > /proc/sys/net/ipv4/ip_forward
echo 1 > /proc/sys/net/ipv4/conf/br0/route_localnet
nft -f - << 'RULES'
table ip bench {
  chain prerouting { type nat hook prerouting priority -100; iifname "eth0" dnat to 10.0.2.2; }
  chain output { type nat hook output priority -100; ip daddr 127.0.0.1 dnat to 10.0.2.2; }
  chain postrouting {
    type nat hook postrouting priority 100;
    oifname "eth0" masquerade
    oifname "br0" ip saddr 127.0.0.1 snat to 10.0.2.1
  }
}
RULES
exec setsid --wait "$@"
"#;

/// A guest beside the installation's; gone when dropped.
#[derive(Debug)]
pub(super) struct Peer {
    process: Child,
    doors: Doors,
    group: Option<PathBuf>,
    has_namespace: bool,
    _seed: tempfile::TempDir,
}

impl Peer {
    /// As root: a namespace with a link to the host, in a control group beside `group` with the same share.
    pub(super) fn behind_a_bridge(group: &Path, user_data: &str) -> Result<Self> {
        let mtu = uplink_mtu()?;
        let seed = seed(user_data, &mtu)?;
        remove_namespace();
        let host = format!("{HOST}/24");
        let inside = format!("{INSIDE}/24");
        let via = HOST.to_string();
        for words in [
            &["netns", "add", NAMESPACE][..],
            &[
                "link", "add", LINK, "mtu", &mtu, "type", "veth", "peer", "name", "eth0", "mtu", &mtu,
                "netns", NAMESPACE,
            ],
            &["addr", "add", &host, "dev", LINK],
            &["link", "set", LINK, "up"],
            &["-n", NAMESPACE, "addr", "add", &inside, "dev", "eth0"],
            &["-n", NAMESPACE, "link", "set", "eth0", "up"],
            &["-n", NAMESPACE, "route", "add", "default", "via", &via],
        ] {
            let status = Command::new("ip").args(words).status().context("starting ip")?;
            if !status.success() {
                bail!("ip {} failed", words.join(" "));
            }
        }
        let beside = beside(group)?;
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ > \"$0/cgroup.procs\" && exec \"$@\""]).arg(&beside);
        command.args(["ip", "netns", "exec", NAMESPACE, "sh", "-ec", TRANSLATION, "sh"]);
        let process = start(command, &mtu, seed.path())?;
        let doors = Doors::at(INSIDE);
        Ok(Self { process, doors, group: Some(beside), has_namespace: true, _seed: seed })
    }

    /// As an ordinary user: a namespace that `pasta` makes and carries the connections of.
    pub(super) fn behind_pasta(
        user: User,
        listeners: Listeners,
        user_data: impl Fn(Option<[SocketAddr; 2]>) -> String,
    ) -> Result<Self> {
        let seed = seed(&user_data(listeners.addresses()), PASTA_MTU)?;
        let mut doors = Doors { listeners, ..Doors::at(Ipv4Addr::LOCALHOST) };
        let mut forwards = Vec::new();
        for (door, port) in doors.ports.iter_mut().zip(PORTS) {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("a free port")?;
            door.set_port(free.local_addr().context("its number")?.port());
            forwards.extend(["--tcp-ports".to_owned(), format!("127.0.0.1/{}:{port}", door.port())]);
        }
        let mut command = match user {
            User::Own => Command::new("pasta"),
            User::Ordinary => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid", ORDINARY, "--regid", ORDINARY, "--clear-groups", "pasta"]);
                command
            }
        };
        command
            .args(["--config-net", "--quiet", "--ipv4-only", "--no-map-gw", "--mtu", PASTA_MTU])
            .args(forwards)
            .args(["--udp-ports", "none", "--tcp-ns", "none", "--udp-ns", "none", "--ns-ifname", "eth0"])
            // As Pods have it: the host's own address stays the host's.
            .args(["--address", "10.232.77.2", "--netmask", "24", "--gateway", "10.232.77.1"])
            .args(["--", "sh", "-ec", TRANSLATION, "sh"]);
        let process = start(command, PASTA_MTU, seed.path())?;
        Ok(Self { process, doors, group: None, has_namespace: false, _seed: seed })
    }

    pub(super) fn doors(&self) -> &Doors {
        &self.doors
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Everything of it is in its process group or below it; it may have ended by itself.
        if let Some(group) = rustix::process::Pid::from_raw(self.process.id().cast_signed()) {
            end_descendants(self.process.id());
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        drop(self.process.wait());
        if self.has_namespace {
            remove_namespace();
        }
        if let Some(group) = &self.group {
            // A killed process leaves its group a moment later.
            let begun = std::time::Instant::now();
            while std::fs::remove_dir(group).is_err() && begun.elapsed().as_secs() < 5 {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        }
    }
}

/// Kills what the process started, also in other sessions.
fn end_descendants(parent: u32) {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let children = std::fs::read_to_string(path).unwrap_or_default();
    for child in children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()) {
        end_descendants(child);
        if let Some(pid) = rustix::process::Pid::from_raw(child.cast_signed()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

/// Adds the hypervisor to a command that ends in what is executed in the namespace, and starts it in a session of its own.
fn start(mut command: Command, mtu: &str, seed: &Path) -> Result<Child> {
    command
        .env("MTU", mtu)
        .current_dir("/")
        .arg("qemu-system-x86_64")
        .args(["-nodefaults", "-no-user-config", "-display", "none"])
        // The same processor, so that the guest takes the same ways of copying and enciphering.
        .args(["-M", "q35", "-accel", "tcg", "-cpu", "max", "-m", &MEMORY_MIB.to_string()])
        .arg("-kernel")
        .arg(seed.join("vmlinuz"))
        .arg("-initrd")
        .arg(seed.join("initrd.gz"))
        .args(["-append", KERNEL_ARGUMENTS, "-serial", "null"])
        .args(["-drive", &format!("file={}/seed.iso,format=raw,if=virtio,readonly=on", seed.display())])
        .args(["-netdev", "tap,id=net0,ifname=tap0,script=no,downscript=no,vhost=off"])
        .args(["-device", &format!("virtio-net-pci,netdev=net0,mac={MAC},romfile=")])
        .args(["-device", "virtio-rng-pci"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .process_group(0);
    command.spawn().context("starting bare QEMU")
}

/// Makes a directory that every user may read: the seed, and the kernel and RAM disk, whose folder may be closed to others.
fn seed(user_data: &str, mtu: &str) -> Result<tempfile::TempDir> {
    let directory = tempfile::tempdir().context("a directory for the peer's seed")?;
    let network = format!(
        "version: 2\nethernets:\n  eth0:\n    match: {{macaddress: '{MAC}'}}\n    mtu: {mtu}\n    \
         addresses: [10.0.2.2/24]\n    gateway4: 10.0.2.1\n"
    );
    let file = |name: &str, text: &str| SeedFile { name: name.to_owned(), content: text.as_bytes().to_vec() };
    let files = [
        file("meta-data", "instance-id: bare\nlocal-hostname: bare\n"),
        file("user-data", user_data),
        file("network-config", &network),
    ];
    std::fs::write(directory.path().join("seed.iso"), seed::iso("cidata", &files)?)
        .context("writing the peer's seed")?;
    for name in ["vmlinuz", "initrd.gz"] {
        std::fs::copy(kit::guest(name), directory.path().join(name))
            .with_context(|| format!("copying {name}"))?;
    }
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(directory.path(), readable).context("opening the peer's directory")?;
    Ok(directory)
}

/// Makes a control group beside this one with the same share of the processors.
fn beside(group: &Path) -> Result<PathBuf> {
    let beside = group.with_file_name("bench");
    std::fs::create_dir_all(&beside).with_context(|| format!("making {}", beside.display()))?;
    for share in SHARES {
        if let Ok(value) = std::fs::read_to_string(group.join(share)) {
            std::fs::write(beside.join(share), value.trim())
                .with_context(|| format!("setting {share} of {}", beside.display()))?;
        }
    }
    Ok(beside)
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

/// Removes the peer's namespace, also one that a killed run left behind; its links go with it.
fn remove_namespace() {
    for words in [["netns", "delete", NAMESPACE], ["link", "delete", LINK]] {
        let mut ip = Command::new("ip");
        drop(ip.args(words).stdout(Stdio::null()).stderr(Stdio::null()).status());
    }
}
