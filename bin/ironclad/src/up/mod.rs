//! `ironclad up`: a whole installation in one process.
//!
//! The API server first, then everything else through its in-process door, each component under the account that it
//! has in a cluster. What the components do is theirs; this folder only puts them together.

pub(crate) mod admission;
mod control_plane;
mod detach;
mod furniture;
mod identity;
pub(crate) mod installation;
mod memory;
mod metrics;
pub(crate) mod node;
mod pki;
mod profiles;
mod proxy;
mod subresources;
mod unattended;

use std::sync::Arc;

use anyhow::{Context, Result};
use effects::{Clock, Entropy, SystemClock, SystemEntropy};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use wire::machine::Accelerator;

use crate::accelerator;
use crate::cli::{Global, UpArgs};
use crate::instance::Instance;
use crate::layout::Layout;
use crate::say::say;
use control_plane::ControlPlane;

/// Threads that run everything; the work is waiting, not computing.
const THREADS: usize = 2;

/// Time and randomness of this process.
#[derive(Clone, Debug)]
pub(crate) struct Effects {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
}

impl Effects {
    /// Those of the machine.
    pub(crate) fn system() -> Self {
        Self { clock: Arc::new(SystemClock), entropy: Arc::new(SystemEntropy) }
    }
}

/// Starts an installation, in the background if that is asked for.
///
/// # Errors
/// When another one runs on the same data, the address is taken, or the state cannot be used.
pub(crate) fn run(arguments: &UpArgs, global: &Global) -> Result<()> {
    let layout = Layout::of(&arguments.data)?;
    arguments.image_space.check()?;
    arguments.resolver.path()?;
    node::networks(arguments)?;
    layout.create()?;
    if arguments.detach {
        detach::detach(arguments, global, &layout)?;
        say!("ironclad is up; its data is in {}", layout.root().display());
        say!("  export KUBECONFIG={}", quoted(&layout.kubeconfig().display().to_string()));
        return Ok(());
    }
    telemetry::init(telemetry::Format::detect(), &global.log);
    memory::bound();
    let mut report = detach::Report::to(arguments.ready_fd);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("ironclad")
        .enable_all()
        .build()
        .context("starting a runtime")?;
    let outcome = runtime.block_on(serve(arguments, &layout, &mut report));
    if let Err(error) = &outcome {
        report.failed(error);
    }
    // What still runs are threads that wait for files and processes; they have nothing to lose.
    runtime.shutdown_background();
    outcome
}

/// A path as a shell takes it for one word.
fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | '+' | ',' | '@');
    if path.chars().all(plain) { path.to_owned() } else { format!("'{}'", path.replace('\'', "'\\''")) }
}

async fn serve(arguments: &UpArgs, layout: &Layout, report: &mut detach::Report) -> Result<()> {
    let _instance = Instance::claim(layout)?;
    crate::backup::finish(layout)?;
    let effects = Effects::system();
    let stop = CancellationToken::new();
    let nodes = Arc::new(proxy::Nodes::default());
    // While the state is opened: the proof is waiting, mostly.
    let accelerator = if arguments.nodes == 0 {
        None
    } else {
        let helper = node::helper()?;
        Some(tokio::spawn(async move { accelerator::choose(&helper).await }))
    };
    if arguments.nodes > 0 {
        // Without it no machine starts, so a disk without room for it is told of before anything is said to be ready.
        crate::launcher::install(&layout.executables())?;
        std::fs::create_dir_all(layout.nodes()).context("making the directory of the nodes")?;
    }
    // From here on a signal ends the start as it ends the work.
    let mut terminate = signal(SignalKind::terminate()).context("listening for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for signals")?;
    // Neither is a node whose network somebody else has.
    let settled = node::settle(arguments, layout)?;
    let mut plane = ControlPlane::start(arguments, layout, &effects, nodes.clone(), &stop).await?;
    plane.furnish(&effects).await?;
    let accelerator = match accelerator {
        Some(chosen) => Some(chosen.await.context("choosing an accelerator broke off")?),
        // What machines need is for the nodes that may join to say.
        None => None,
    };
    let mut tasks = tokio::task::JoinSet::new();
    plane.install(installation::kubevirt(accelerator), &effects, &stop, &mut tasks).await?;
    tracing::info!(address = %plane.address, kubeconfig = %layout.kubeconfig().display(), "the API is ready");
    report.ready();
    let giving = memory::give_back(effects.clock.clone());
    tokio::spawn(stop.clone().run_until_cancelled_owned(giving));

    if let Some(accelerator) = accelerator {
        plane.controllers(accelerator == Accelerator::Tcg, arguments.node_life, &effects, &stop, &mut tasks);
        let first = node::networks(arguments)?.into_iter().flatten().next();
        if first.is_none_or(network::Cidr::has_room_for_name_server) {
            plane.name_server = node::dns::announce(&plane, &effects).await;
        }
        node::start(settled, accelerator, &plane, &effects, &nodes, &stop, &mut tasks)?;
    } else {
        plane.controllers(false, arguments.node_life, &effects, &stop, &mut tasks);
    }
    let ended = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        ended = tasks.join_next() => ended,
    };
    stop.cancel();
    plane.join().await;
    match ended {
        None => {
            tracing::info!(
                "stopped; guests go on, `ironclad up` takes them over and `ironclad down` stops them"
            );
            Ok(())
        }
        Some(outcome) => outcome.context("a component broke off")?.context("a component failed"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_path_is_one_word_to_a_shell() {
        assert_eq!(super::quoted("/var/lib/ironclad/kubeconfig"), "/var/lib/ironclad/kubeconfig");
        assert_eq!(super::quoted("/a b/it's"), r"'/a b/it'\''s'");
    }
}
