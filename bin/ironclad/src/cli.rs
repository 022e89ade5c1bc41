//! The command line.

mod audit;
mod components;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};

pub(crate) use self::audit::AuditArgs;
pub(crate) use self::components::{
    ComponentArgs, KubeDnsArgs, KubeletArgs, NodeComponentArgs, VirtApiArgs, VirtControllerArgs,
    VirtHandlerArgs,
};
use crate::node_life::{KubeControllersArgs, NodeLifeArgs};

/// Virtual machines as Kubernetes objects.
#[derive(Debug, Parser)]
#[command(name = "ironclad", version, about, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// What to log, for example `info,apiserver=debug`.
    #[arg(long, global = true, env = "IRONCLAD_LOG", default_value = "info", value_name = "FILTER", value_parser = filter)]
    pub(crate) log: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the API server, the controllers and the node agents on this machine.
    Up(UpArgs),
    /// Stop what `up` started, guests included; objects and disks stay unless --purge is given.
    Down(DownArgs),
    /// Write the state of an installation, which may run, into one file: objects, keys, certificates, registries.
    ///
    /// Images and the disks of claims are not in it. Secrets and private keys are: the file is its owner's alone.
    Backup(BackupArgs),
    /// Put a backup into a data directory on which nothing runs.
    Restore(RestoreArgs),
    /// Show what runs: control plane, nodes, virtual machines, and what is wrong.
    Status(StatusArgs),
    /// Check whether this machine can run virtual machines, and say what to do where it cannot.
    Doctor(DoctorArgs),
    /// Print every CustomResourceDefinition as YAML.
    Crds(CrdsArgs),
    /// Print a script that completes this program's commands and options in a shell.
    ///
    /// bash: source <(ironclad completion bash); zsh: ironclad completion zsh > "${fpath[1]}/_ironclad"; fish: ironclad
    /// completion fish > ~/.config/fish/completions/ironclad.fish
    Completion(CompletionArgs),
    /// Manage the images of this machine's store.
    #[command(subcommand)]
    Image(ImageCommand),
    /// Apply a VirtualMachine and follow it until its guest speaks.
    #[command(hide = true)]
    Demo(DemoArgs),
    /// Run admission and subresources of virtual machines beside a Kubernetes API: as its webhooks and as the
    /// aggregated API `subresources.kubevirt.io`.
    VirtApi(VirtApiArgs),
    /// Run the controllers of virtual machines against a Kubernetes API.
    VirtController(VirtControllerArgs),
    /// Run the node agent against a Kubernetes API.
    VirtHandler(VirtHandlerArgs),
    /// Run the Pods of one node as local processes against a Kubernetes API.
    Kubelet(KubeletArgs),
    /// Carry Services and NetworkPolicies out on one node against a Kubernetes API.
    KubeNetwork(NodeComponentArgs),
    /// Answer names of Services, from one node, for all Pods that are told its Service's address. Needs root.
    KubeDns(KubeDnsArgs),
    /// Run scheduler, garbage collection and the other Kubernetes controllers of the embedded mode.
    KubeControllers(KubeControllersArgs),
    /// Enter a Pod's namespaces and become its first process.
    #[command(hide = true)]
    PodInit,
    /// Configure a network namespace from within.
    #[command(hide = true)]
    NetnsExec,
    /// Time a guest under KVM and report on standard output.
    #[command(hide = true)]
    KvmProbe,
}

/// Where an installation keeps its state.
#[derive(Clone, Debug, Args)]
pub(crate) struct DataDir {
    /// Directory with the objects, images and running machines [default: /var/lib/ironclad as root,
    /// ~/.local/share/ironclad otherwise].
    #[arg(long, env = "IRONCLAD_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

/// How the agent of a node judges its guests.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct GuestArgs {
    /// Seconds that a guest may take to its first sign of life before its instance says that it shows none.
    #[arg(long, env = "IRONCLAD_BOOT_PATIENCE", value_name = "SECONDS",
          default_value_t = virt_handler::DEFAULT_BOOT_PATIENCE.as_secs())]
    pub(crate) boot_patience: u64,
}

impl GuestArgs {
    /// The patience as a duration.
    pub(crate) fn boot_patience(self) -> Duration {
        Duration::from_secs(self.boot_patience)
    }
}

/// How a node resolves names that are not the cluster's.
#[derive(Clone, Debug, Args)]
pub(crate) struct ResolverArgs {
    /// File with the resolvers and search domains that Pods build on, and that the cluster's name server asks [default:
    /// those of this machine].
    #[arg(long, env = "IRONCLAD_RESOLV_CONF", value_name = "FILE")]
    pub(crate) resolv_conf: Option<PathBuf>,
}

impl ResolverArgs {
    /// Makes the path good wherever it is used, and refuses a file that is not there.
    pub(crate) fn path(&self) -> anyhow::Result<Option<PathBuf>> {
        let Some(path) = &self.resolv_conf else { return Ok(None) };
        let found = std::fs::canonicalize(path);
        found
            .map(Some)
            .with_context(|| format!("--resolv-conf {}: name a file like /etc/resolv.conf", path.display()))
    }
}

/// When a node makes room by removing pulled images that nothing uses. Loaded images stay.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct ImageSpaceArgs {
    /// Percentage of the images' file system in use from which images that nothing uses are removed.
    #[arg(long, default_value_t = 85, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) image_gc_high_threshold: u8,
    /// Percentage at which removing stops again.
    #[arg(long, default_value_t = 80, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) image_gc_low_threshold: u8,
    /// Seconds that an image must have been unused before it may be removed.
    #[arg(long, default_value_t = 120, value_name = "SECONDS")]
    pub(crate) minimum_image_age: u64,
}

impl ImageSpaceArgs {
    /// Refuses settings that contradict each other.
    pub(crate) fn check(self) -> anyhow::Result<()> {
        let (high, low) = (self.image_gc_high_threshold, self.image_gc_low_threshold);
        anyhow::ensure!(
            low <= high,
            "--image-gc-low-threshold {low} is above --image-gc-high-threshold {high}: removing would never start"
        );
        Ok(())
    }

    /// The settings as the kubelet takes them.
    pub(crate) fn policy(self) -> kubelet::collection::Policy {
        kubelet::collection::Policy {
            high_percent: self.image_gc_high_threshold,
            low_percent: self.image_gc_low_threshold,
            least_age: Duration::from_secs(self.minimum_image_age),
            ..kubelet::collection::Policy::default()
        }
    }

    /// The settings as words of a command line.
    pub(crate) fn words(self) -> [String; 6] {
        [
            "--image-gc-high-threshold".to_owned(),
            self.image_gc_high_threshold.to_string(),
            "--image-gc-low-threshold".to_owned(),
            self.image_gc_low_threshold.to_string(),
            "--minimum-image-age".to_owned(),
            self.minimum_image_age.to_string(),
        ]
    }
}

#[derive(Clone, Debug, Args)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) data: DataDir,
    /// Return as soon as the API is ready, and leave everything running.
    #[arg(long)]
    pub(crate) detach: bool,
    /// Address of the API server; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:6443", value_name = "ADDRESS:PORT", value_parser = address)]
    pub(crate) listen: SocketAddr,
    /// Number of nodes: 0 is a control plane without an agent; more than 1 gives virtual nodes on this machine.
    #[arg(long, default_value_t = 1, value_name = "N", allow_negative_numbers = true,
          value_parser = clap::value_parser!(u8).range(0..=32))]
    pub(crate) nodes: u8,
    /// Network of the Pods, which several nodes share [default: 10.244.0.0/24 for the first node, or what is free instead].
    /// It holds from when no Pod is left.
    #[arg(long, env = "IRONCLAD_POD_NETWORK", value_name = "CIDR")]
    pub(crate) pod_network: Option<network::Cidr>,
    #[command(flatten)]
    pub(crate) resolver: ResolverArgs,
    #[command(flatten)]
    pub(crate) guests: GuestArgs,
    #[command(flatten)]
    pub(crate) image_space: ImageSpaceArgs,
    #[command(flatten)]
    pub(crate) node_life: NodeLifeArgs,
    #[command(flatten)]
    pub(crate) audit: AuditArgs,
    /// Descriptor on which the outcome of the start is reported.
    #[arg(long, hide = true)]
    pub(crate) ready_fd: Option<i32>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct DownArgs {
    #[command(flatten)]
    pub(crate) data: DataDir,
    /// Stop the control plane only; guests go on, and the next `up` takes them over.
    #[arg(long, conflicts_with = "purge")]
    pub(crate) keep_guests: bool,
    /// Remove the data directory too: every object, image and disk.
    #[arg(long)]
    pub(crate) purge: bool,
    /// Seconds that guests get to shut down before they are killed.
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    pub(crate) grace_period: u64,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct BackupArgs {
    #[command(flatten)]
    pub(crate) data: DataDir,
    /// The file, which must not exist yet.
    pub(crate) file: PathBuf,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct RestoreArgs {
    #[command(flatten)]
    pub(crate) data: DataDir,
    /// Replace the objects, keys and certificates of the installation that is there.
    #[arg(long)]
    pub(crate) force: bool,
    /// The backup.
    pub(crate) file: PathBuf,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) data: DataDir,
    /// Print nothing: the exit code tells whether the API answers.
    #[arg(long, short)]
    pub(crate) quiet: bool,
    /// How to print it.
    #[arg(long, short, value_enum, default_value_t = StatusOutput::Text, value_name = "FORMAT")]
    pub(crate) output: StatusOutput,
}

/// Forms of a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum StatusOutput {
    /// Tables, for people; as wide as the terminal.
    Text,
    /// One JSON document, for programs.
    Json,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) data: DataDir,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    /// Load an OCI image layout (directory or archive) or a docker-archive.
    Load {
        #[command(flatten)]
        data: DataDir,
        /// The layout or archive.
        path: PathBuf,
    },
    /// List the images of the store.
    List {
        #[command(flatten)]
        data: DataDir,
    },
    /// Pull an image from its registry.
    Pull {
        #[command(flatten)]
        data: DataDir,
        /// Reference, for example `registry.example/team/disk:1`.
        reference: String,
        /// Speak plain HTTP to the registry.
        #[arg(long)]
        plain_http: bool,
    },
}

#[derive(Clone, Debug, Args)]
pub(crate) struct DemoArgs {
    #[command(flatten)]
    pub(crate) data: DataDir,
    /// The manifest; `GREETING` in it is replaced by a greeting made up for this run.
    pub(crate) manifest: PathBuf,
    /// Seconds until the guest must have spoken.
    #[arg(long, default_value_t = 180)]
    pub(crate) timeout: u64,
}

#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct CrdsArgs {
    /// Leave out the kinds of CDI (DataVolume and others): for a cluster that has CDI, which brings its own.
    #[arg(long)]
    pub(crate) without_cdi: bool,
}

#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct CompletionArgs {
    /// The shell.
    pub(crate) shell: clap_complete::Shell,
}

/// Reads a log filter.
fn filter(text: &str) -> Result<String, String> {
    telemetry::check(text)
        .map(|()| text.to_owned())
        .map_err(|why| format!("{why}; write for example `info,apiserver=debug`"))
}

/// Reads an address to listen on.
fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "write an IP address and a port, for example 127.0.0.1:6443, [::1]:6443, or 127.0.0.1:0 for any free port".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    /// Environment variables that options of `command` and its subcommands read.
    fn variables(command: &clap::Command, found: &mut Vec<String>) {
        let own = command.get_arguments().filter_map(clap::Arg::get_env);
        found.extend(own.map(|name| name.to_string_lossy().into_owned()));
        command.get_subcommands().for_each(|below| variables(below, found));
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_environment_variable_is_documented() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        let document = std::fs::read_to_string(path).unwrap();
        let mut found = Vec::new();
        variables(&Cli::command(), &mut found);
        assert!(found.iter().any(|name| name == "IRONCLAD_BOOT_PATIENCE"), "{found:?}");
        for name in found {
            assert!(document.contains(&format!("`{name}`")), "docs/configuration.md does not tell of {name}");
        }
    }

    #[test]
    fn values_that_cannot_be_are_refused_with_what_could() {
        let refused = |words: &[&str]| {
            let words = ["ironclad"].iter().chain(words);
            Cli::try_parse_from(words).map(|_| ()).unwrap_err().to_string()
        };
        assert!(refused(&["up", "--nodes", "-1"]).contains("-1 is not in 0..=32"));
        assert!(refused(&["up", "--listen", "localhost"]).contains("127.0.0.1:6443"));
        assert!(refused(&["up", "--log", "a=b=c"]).contains("info,apiserver=debug"));
        let node = ["kubelet", "--kubeconfig", "k", "--node-name"];
        assert!(refused(&[&node[..], &["A b"]].concat()).contains("lowercase letters"));
    }
}
