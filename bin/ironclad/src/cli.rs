//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

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
    #[arg(long, global = true, env = "IRONCLAD_LOG", default_value = "info", value_name = "FILTER")]
    pub(crate) log: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the API server, the controllers and the node agents on this machine.
    Up(UpArgs),
    /// Stop what `up` started, guests included; objects and disks stay unless --purge is given.
    Down(DownArgs),
    /// Show what runs: control plane, nodes, virtual machines, and what is wrong.
    Status(StatusArgs),
    /// Check whether this machine can run virtual machines, and say what to do where it cannot.
    Doctor(DoctorArgs),
    /// Print every CustomResourceDefinition as YAML.
    Crds,
    /// Manage the images of this machine's store.
    #[command(subcommand)]
    Image(ImageCommand),
    /// Apply a VirtualMachine and follow it until its guest speaks.
    #[command(hide = true)]
    Demo(DemoArgs),
    /// Run the controllers of virtual machines against a Kubernetes API.
    VirtController(ComponentArgs),
    /// Run the node agent against a Kubernetes API.
    VirtHandler(NodeComponentArgs),
    /// Run the Pods of one node as local processes against a Kubernetes API.
    Kubelet(NodeComponentArgs),
    /// Run scheduler, garbage collection and the other Kubernetes controllers of the embedded mode.
    KubeControllers(ComponentArgs),
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

#[derive(Clone, Debug, Args)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) data: DataDir,
    /// Return as soon as the API is ready, and leave everything running.
    #[arg(long)]
    pub(crate) detach: bool,
    /// Address of the API server; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:6443", value_name = "ADDRESS:PORT")]
    pub(crate) listen: SocketAddr,
    /// Number of nodes: 0 is a control plane without an agent; more than 1 gives virtual nodes on this machine.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=32))]
    pub(crate) nodes: u8,
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
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) data: DataDir,
    /// Print nothing: the exit code tells whether the API answers.
    #[arg(long, short)]
    pub(crate) quiet: bool,
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

#[derive(Clone, Debug, Args)]
pub(crate) struct ComponentArgs {
    /// How to reach the API server.
    #[arg(long, env = "KUBECONFIG", value_name = "FILE")]
    pub(crate) kubeconfig: PathBuf,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct NodeComponentArgs {
    #[command(flatten)]
    pub(crate) component: ComponentArgs,
    #[command(flatten)]
    pub(crate) data: DataDir,
    /// Name of the node.
    #[arg(long, value_name = "NAME")]
    pub(crate) node_name: String,
}
