//! Pods as jailed processes.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use host::cgroup::{Group, Manager, Want};
use host::process::Process;
use network::pod::NodeNetwork;
use network::resolver::Resolver;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::TcpStream;

use super::remove::groups;
use super::{Life, Order, Runtime, RuntimeError, Unreached, jail};
use crate::KubeletConfig;
use crate::record::{KILLED, Record, Starved};
use crate::{inside, volumes};

/// Why a node cannot run Pods.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// A directory cannot be made.
    #[error("cannot make the directory {path}")]
    Directory {
        /// The directory.
        path: String,
        /// Cause.
        source: io::Error,
    },
    /// The network of Pods cannot be made.
    #[error("cannot make the network of Pods")]
    Network(#[from] network::Error),
    /// A Pod's control group cannot be removed.
    #[error("cannot remove control groups")]
    Cgroup(#[from] host::cgroup::Error),
}

/// Runs Pods as jailed processes of this host.
#[derive(Clone)]
pub struct Jails(Arc<Inner>);

pub(super) struct Inner {
    config: KubeletConfig,
    cgroups: Manager,
    pub(super) network: NodeNetwork,
    privileged: bool,
    pub(super) processes: Mutex<BTreeMap<String, Arc<Process>>>,
}

impl std::fmt::Debug for Jails {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jails").field("node", &self.0.config.node).finish_non_exhaustive()
    }
}

impl Jails {
    /// Makes what the node's Pods share: directories, parent control groups, network. Blocks.
    pub fn prepare(config: &KubeletConfig) -> Result<Self, PrepareError> {
        for path in [&config.root, &config.pods(), &config.network.state] {
            std::fs::create_dir_all(path)
                .map_err(|source| PrepareError::Directory { path: path.display().to_string(), source })?;
        }
        // Volumes hold what only their Pod may read.
        let closed = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(config.pods(), closed).map_err(|source| PrepareError::Directory {
            path: config.pods().display().to_string(),
            source,
        })?;
        let cgroups = groups(config)?;
        if let Some(note) = cgroups.note() {
            tracing::info!(node = config.node, "{note}");
        }
        Ok(Self(Arc::new(Inner {
            config: config.clone(),
            cgroups,
            network: NodeNetwork::prepare(config.network.clone())?,
            privileged: rustix::process::geteuid().is_root(),
            processes: Mutex::default(),
        })))
    }

    /// Runs blocking work of the host off the async threads.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, RuntimeError> + Send + 'static,
    ) -> Result<T, RuntimeError> {
        let inner = Arc::clone(&self.0);
        let failed = |error: tokio::task::JoinError| RuntimeError {
            reason: "RuntimeError",
            message: format!("the host's work broke off: {error}"),
        };
        tokio::task::spawn_blocking(move || work(&inner)).await.map_err(failed)?
    }
}

/// Makes an error with the reason for a failed start.
fn failed<E: std::error::Error>(what: impl std::fmt::Display) -> impl FnOnce(E) -> RuntimeError {
    move |error| {
        let mut message = format!("{what}: {error}");
        let mut source = error.source();
        while let Some(cause) = source {
            message = format!("{message}: {cause}");
            source = cause.source();
        }
        RuntimeError { reason: "CreateContainerError", message }
    }
}

impl Inner {
    fn directory(&self, uid: &str) -> PathBuf {
        self.config.pods().join(uid)
    }

    fn group(&self, uid: &str) -> Group {
        self.cgroups.group(&group_name(uid))
    }

    /// Refuses a start that would break off for want of space somewhere in its middle.
    fn check_room(&self) -> Result<(), RuntimeError> {
        // Where the system does not tell, the start finds out.
        let Ok(space) = host::space::measure(&self.config.pods()) else { return Ok(()) };
        let mount = space.mount.display().to_string();
        let room = plan::room::Room { mount, free: space.free, needed: plan::room::NEEDED };
        if room.is_short() {
            return Err(RuntimeError { reason: "NoSpace", message: format!("the Pod has no room: {room}") });
        }
        Ok(())
    }

    fn start(&self, order: &Order) -> Result<Record, RuntimeError> {
        self.check_room()?;
        let directory = self.directory(&order.uid);
        let plan = &order.plan;
        let log = directory.join("containers").join(&plan.container).join("0.log");
        let mut record = Record {
            uid: order.uid.clone(),
            namespace: order.namespace.clone(),
            name: order.name.clone(),
            process: None,
            executed: false,
            address: None,
            address6: None,
            started_at: order.clock.now(),
            logs: jail::logs(&directory, plan, &log),
            exit_code: plan
                .image
                .exit_code
                .as_deref()
                .and_then(|inside| jail::on_host(&directory, plan, inside)),
            terminating_since: None,
            end: None,
        };
        let save = |record: &Record| {
            record.save(&self.config.pods()).map_err(failed("cannot write the Pod's record"))
        };
        save(&record)?;
        for path in [directory.join("root"), directory.join("containers").join(&plan.container)] {
            std::fs::create_dir_all(&path)
                .map_err(failed(format_args!("cannot make the directory {}", path.display())))?;
        }
        volumes::make(&directory, plan, self.privileged).map_err(failed("cannot make the Pod's volumes"))?;
        for (name, unpacked) in &order.images {
            if let Some(volume) = plan.volumes.iter().find(|volume| volume.name == *name) {
                volumes::link_image(&directory, volume, unpacked)
                    .map_err(failed(format_args!("cannot make the volume {name}")))?;
            }
        }
        let group = self
            .cgroups
            .create(&group_name(&order.uid), &plan.limits)
            .map_err(failed("cannot limit the Pod's resources"))?;
        // Read anew for each Pod: the host may have moved to another network.
        let host = match &self.config.resolv_conf {
            Some(path) => Resolver::of_file(path),
            None => Resolver::of_host(Path::new("/")),
        };
        let resolver = host.of_pod(self.config.cluster_dns.as_ref(), &plan.dns).to_text();
        let spec = jail::spec(&directory, plan, &group, log, &resolver, self.privileged);
        let launch =
            host::jail::start(&self.config.helper, &spec).map_err(failed("cannot make the Pod's jail"))?;
        record.process = Some(launch.first().clone());
        save(&record)?;
        let pid = launch.first().pid;
        let attachment = match self.network.attach(&order.uid, pid) {
            Err(error @ network::Error::NoUplink) => {
                tracing::warn!(pod = %record.key(), "{error}");
                self.network.isolate(&order.uid, pid, &self.config.helper)
            }
            other => other,
        }
        .map_err(failed("cannot connect the Pod to the network"))?;
        record.address = Some(attachment.address);
        record.address6 = attachment.address6;
        let mut hosts = String::from("127.0.0.1\tlocalhost\n");
        for address in record.addresses() {
            hosts.push_str(&format!("{address}\t{}\n", plan.hostname));
        }
        std::fs::write(directory.join("etc-hosts"), hosts)
            .map_err(failed("cannot write the Pod's hosts file"))?;
        self.remember(&record);
        for note in launch.proceed().map_err(failed("cannot start the Pod's program"))? {
            tracing::debug!(pod = %record.key(), "{note}");
        }
        record.executed = true;
        record.started_at = order.clock.now();
        save(&record)?;
        Ok(record)
    }

    /// Opens the first process of a record and keeps it, so that its number cannot be reused unnoticed.
    fn remember(&self, record: &Record) -> Option<Arc<Process>> {
        let mut processes = self.processes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(process) = processes.get(&record.uid) {
            return Some(Arc::clone(process));
        }
        let process = Arc::new(record.process.as_ref()?.open().ok()??);
        processes.insert(record.uid.clone(), Arc::clone(&process));
        Some(process)
    }

    fn life(&self, record: &Record) -> Life {
        let own_account = |record: &Record| own_account(&self.directory(&record.uid), record);
        let Some(process) = self.remember(record) else { return Life::Ended(own_account(record)) };
        if process.wait(std::time::Duration::ZERO) {
            let seen = process.exit().map(host::process::Exit::code);
            // One that promised to leave word and went before our eyes without any was killed.
            let killed = record.exit_code.as_ref().map(|_| KILLED);
            return Life::Ended(seen.or_else(|| own_account(record)).or(killed));
        }
        Life::Running
    }

    fn release(&self, uid: &str) -> Result<(), RuntimeError> {
        self.group(uid).destroy().map_err(failed("cannot remove the Pod's control group"))?;
        self.network.detach(uid).map_err(failed("cannot disconnect the Pod"))
    }

    fn forget(&self, uid: &str) -> Result<(), RuntimeError> {
        if let Some(record) = Record::load(&self.config.pods(), uid)
            && let Some(process) = self.remember(&record)
        {
            process.kill().map_err(failed("cannot kill the Pod's first process"))?;
            process.wait(std::time::Duration::from_secs(2));
            process.exit();
        }
        self.release(uid)?;
        self.processes.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
        match std::fs::remove_dir_all(self.directory(uid)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed("cannot remove the Pod's directory")(error))
            }
            _ => Ok(()),
        }
    }

    /// Removes what no record speaks of, and Pods whose start was broken off; returns the others.
    fn adopt(&self) -> Vec<Record> {
        let mut records = Vec::new();
        let mut strays: Vec<String> = Vec::new();
        for (uid, record) in Record::all(&self.config.pods()) {
            match record {
                Some(record) if record.executed => {
                    self.remember(&record);
                    records.push(record);
                }
                _ => strays.push(uid),
            }
        }
        let known = |uid: &String| records.iter().any(|record| record.uid == *uid);
        let groups =
            self.cgroups.list().into_iter().filter_map(|name| name.strip_prefix("pod").map(str::to_owned));
        strays.extend(groups.chain(self.network.pods()).filter(|uid| !known(uid)));
        strays.sort();
        strays.dedup();
        for uid in strays {
            tracing::info!(uid, "removing what is left of a Pod");
            if let Err(error) = self.forget(&uid) {
                tracing::warn!(uid, %error, "not removed");
            }
        }
        records
    }
}

fn group_name(uid: &str) -> String {
    format!("pod{uid}")
}

/// Digits and sign of an exit code, and the end of its line.
const EXIT_CODE_LENGTH: u64 = 12;

/// Returns the exit code that the program itself left behind in the Pod's directory, for an end that nobody saw.
fn own_account(directory: &Path, record: &Record) -> Option<i32> {
    inside::read(directory, record.exit_code.as_ref()?, EXIT_CODE_LENGTH).ok()?.trim().parse().ok()
}

/// A process that tokio can wait for.
struct Pollable(Arc<Process>);

impl AsRawFd for Pollable {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[allow(unsafe_code, reason = "tokio cannot know that a descriptor stays open")]
fn pollable(process: Arc<Process>) -> io::Result<AsyncFd<Pollable>> {
    // SAFETY: the process owns its descriptor, never exchanges it, and lives as long as the counted reference
    // that the `AsyncFd` holds.
    unsafe { AsyncFd::register_with_interest(Pollable(process), Interest::READABLE) }.map_err(io::Error::from)
}

#[async_trait::async_trait]
impl Runtime for Jails {
    async fn adopt(&self) -> Vec<Record> {
        self.blocking(|inner| Ok(inner.adopt())).await.unwrap_or_default()
    }

    async fn start(&self, order: Order) -> Result<Record, RuntimeError> {
        self.blocking(move |inner| {
            inner.start(&order).inspect_err(|_| {
                if let Err(error) = inner.forget(&order.uid) {
                    tracing::warn!(uid = order.uid, %error, "a failed start left something behind");
                }
            })
        })
        .await
    }

    async fn life(&self, record: &Record) -> Life {
        self.0.life(record)
    }

    async fn starved(&self, record: &Record) -> Option<Starved> {
        let want = Want::of_group(&self.0.group(&record.uid)).filter(|want| want.kills > 0)?;
        Some(Starved { limit: want.limit, peak: want.peak })
    }

    async fn ended(&self, record: &Record) {
        let Some(process) = self.0.remember(record) else { return };
        match pollable(process) {
            Ok(fd) => drop(fd.readable().await),
            Err(error) => {
                tracing::error!(pod = %record.key(), %error, "cannot wait for the Pod's end");
                std::future::pending::<()>().await;
            }
        }
    }

    async fn dial(&self, record: &Record, host: Option<&str>, port: u16) -> Result<TcpStream, Unreached> {
        let process =
            self.0.remember(record).ok_or_else(|| Unreached::Untried("the Pod does not run".to_owned()))?;
        super::dial::dial(&self.0.config, record, process, host, port).await
    }

    async fn terminate(&self, record: &Record) -> Result<(), RuntimeError> {
        record.save(&self.0.config.pods()).map_err(failed("cannot write the Pod's record"))?;
        match self.0.remember(record) {
            Some(process) => process.terminate().map_err(failed("cannot end the Pod")),
            None => Ok(()),
        }
    }

    async fn kill(&self, record: &Record) -> Result<(), RuntimeError> {
        match self.0.remember(record) {
            Some(process) => process.kill().map_err(failed("cannot kill the Pod")),
            None => Ok(()),
        }
    }

    async fn release(&self, record: &Record) -> Result<(), RuntimeError> {
        let record = record.clone();
        self.blocking(move |inner| {
            record.save(&inner.config.pods()).map_err(failed("cannot write the Pod's record"))?;
            inner.release(&record.uid)
        })
        .await
    }

    async fn forget(&self, uid: &str) -> Result<(), RuntimeError> {
        let uid = uid.to_owned();
        self.blocking(move |inner| inner.forget(&uid)).await
    }
}
