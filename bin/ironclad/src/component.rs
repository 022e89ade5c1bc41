//! Each component by itself, against the API server that a kubeconfig names.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use image::Store;
use kube_ext::{Context, ElectionConfig, Key};
use kubelet::KubeletConfig;
use kubelet::builtin::BuiltinImage;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use wire::machine::Accelerator;

use crate::accelerator;
use crate::cli::{
    Global, KubeDnsArgs, KubeletArgs, NodeComponentArgs, VirtApiArgs, VirtControllerArgs, VirtHandlerArgs,
};
use crate::layout::Layout;
use crate::node_life::KubeControllersArgs;
use crate::up::{Effects, installation, node};
use crate::virt_api;

/// Lease by which one of several virt-controllers is the one that works.
const CONTROLLER_LEASE: &str = "virt-controller";

/// Runs admission and subresources of machines, for the API server to call.
pub(crate) fn virt_api(arguments: &VirtApiArgs, global: &Global) -> Result<()> {
    alone(global, async {
        let context = context(&arguments.component.kubeconfig, "virt-api").await?;
        let layout = Layout::of(&arguments.data)?;
        layout.create()?;
        virt_api::run(arguments, &layout, context, &Effects::system(), stopped()?).await
    })
}

/// Runs the controllers of machines.
pub(crate) fn virt_controller(arguments: &VirtControllerArgs, global: &Global) -> Result<()> {
    alone(global, async {
        let context = context(&arguments.component.kubeconfig, "virt-controller").await?;
        let accelerator = accelerator::choose(&node::helper()?).await;
        let mut config = installation::virt_controller(accelerator == Accelerator::Tcg);
        config.election = arguments.leader_elect.then(|| {
            let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
            let identity = format!("{host}_{}", context.entropy.uuid());
            ElectionConfig::new(Key::new(api::names::NAMESPACE, CONTROLLER_LEASE), identity)
        });
        virt_controller::run(context, config, stopped()?).await;
        Ok(())
    })
}

/// Runs Kubernetes' own controllers, as far as the embedded mode has them.
pub(crate) fn kube_controllers(arguments: &KubeControllersArgs, global: &Global) -> Result<()> {
    alone(global, async {
        let context = context(&arguments.component.kubeconfig, "kube-controllers").await?;
        let config = kube_controllers::Config {
            patience: arguments.nodes.patience(),
            ..kube_controllers::Config::default()
        };
        kube_controllers::run(context, config, stopped()?).await;
        Ok(())
    })
}

/// Runs the agent of a node's machines.
pub(crate) fn virt_handler(arguments: &VirtHandlerArgs, global: &Global) -> Result<()> {
    let boot_patience = arguments.guests.boot_patience();
    let arguments = &arguments.node;
    alone(global, async {
        let layout = Layout::of(&arguments.data)?;
        let context = context(&arguments.component.kubeconfig, "virt-handler").await?;
        let kubelet = node::config(&arguments.node_name, &layout)?;
        let accelerator = accelerator::choose(&kubelet.helper).await;
        let stop = CancellationToken::new();
        let agent = node::Agent {
            node_name: arguments.node_name.clone(),
            kubelet_root: kubelet.root,
            state_directory: layout.node(&arguments.node_name).join("virt-handler"),
            installation: layout.root().to_owned(),
            helper: kubelet.helper,
            boot_patience,
            door: virt_handler::Door::default(),
            stop: stop.clone(),
        };
        let running = node::run_agent(agent, accelerator, context);
        let stopping = async {
            stopped()?.await;
            stop.cancel();
            std::future::pending::<Result<()>>().await
        };
        tokio::select! {
            ended = running => ended,
            failed = stopping => failed,
        }
    })
}

/// Runs the Pods of a node.
pub(crate) fn kubelet(arguments: &KubeletArgs, global: &Global) -> Result<()> {
    arguments.image_space.check()?;
    let image_space = arguments.image_space.policy();
    let resolv_conf = arguments.resolver.path()?;
    let cluster_dns = arguments.cluster_dns.map(node::dns::cluster);
    let arguments = &arguments.node;
    alone(global, async {
        let layout = Layout::of(&arguments.data)?;
        layout.create()?;
        let context = context(&arguments.component.kubeconfig, "kubelet").await?;
        let mut config = node::config(&arguments.node_name, &layout)?;
        config.kvm = accelerator::choose(&config.helper).await == Accelerator::Kvm;
        config.image_space = Some(image_space);
        (config.cluster_dns, config.resolv_conf) = (cluster_dns, resolv_conf);
        let program = crate::launcher::install(&layout.executables())?;
        config.builtin = vec![BuiltinImage::launcher(installation::LAUNCHER_REPOSITORY, &program)];
        let store = Store::open(&layout.images()).context("opening the image store")?;
        let images = Arc::new(node::images::NodeImages { store, registries: layout.registries() });
        Ok(kubelet::run(config, context, images, stopped()?).await?)
    })
}

/// Carries Services and policies out on a node.
pub(crate) fn kube_network(arguments: &NodeComponentArgs, global: &Global) -> Result<()> {
    alone(global, async {
        let layout = Layout::of(&arguments.data)?;
        let context = context(&arguments.component.kubeconfig, "kube-network").await?;
        let config = node::traffic::config(&node::config(&arguments.node_name, &layout)?);
        kube_network::run(config, context, stopped()?).await;
        Ok(())
    })
}

/// Answers names of Services from a node.
pub(crate) fn kube_dns(arguments: &KubeDnsArgs, global: &Global) -> Result<()> {
    let resolv_conf = arguments.resolver.path()?;
    let arguments = &arguments.node;
    anyhow::ensure!(
        rustix::process::geteuid().is_root(),
        "Pods of an ordinary user cannot ask each other, so no name server runs for them; run it as root"
    );
    alone(global, async {
        let layout = Layout::of(&arguments.data)?;
        let context = context(&arguments.component.kubeconfig, "kube-dns").await?;
        let kubelet = KubeletConfig { resolv_conf, ..node::config(&arguments.node_name, &layout)? };
        let address = kube_dns::announce(&context.client, node::dns::usual()).await?;
        let announcer = context.client.clone();
        kube_dns::run(node::dns::config(address, &kubelet), context, announcer, stopped()?).await;
        Ok(())
    })
}

/// Runs one component on a runtime of its own.
fn alone(global: &Global, component: impl Future<Output = Result<()>>) -> Result<()> {
    telemetry::init(telemetry::Format::detect(), &global.log);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("starting a runtime")?;
    runtime.block_on(component)
}

async fn context(kubeconfig: &Path, component: &'static str) -> Result<Context> {
    let client = kube_ext::connect_as(kubeconfig, component).await?;
    let effects = Effects::system();
    Ok(Context::new(client, effects.clock, effects.entropy))
}

/// Ends when the process is asked to.
fn stopped() -> Result<impl Future<Output = ()> + Send> {
    let mut terminate = signal(SignalKind::terminate()).context("listening for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for signals")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
