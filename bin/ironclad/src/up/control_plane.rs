//! The API server with its door for the components of this process, and the controllers behind it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use api::kubevirt::v1::KubeVirt;
use apiserver::serve::{Limits, listen};
use apiserver::{ApiServer, Initial};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube_ext::{Api, Context};
use machinery::admission::UserInfo;
use store::{Retention, SqliteStore};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::admission::VirtApi;
use super::metrics::Metrics;
use super::pki::Pki;
use super::proxy::Nodes;
use super::subresources::{Agents, Group};
use super::unattended::Unattended;
use super::{Effects, furniture, identity, installation};
use crate::cli::UpArgs;
use crate::layout::Layout;
use crate::node_life::NodeLifeArgs;

/// Name of Kubernetes' own controllers among the owners of fields.
const KUBE_CONTROLLERS: &str = "kube-controller-manager";

/// Time for the audit log to be written to its end.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// A running API server.
#[derive(Debug)]
pub(super) struct ControlPlane {
    server: ApiServer,
    authority: String,
    pub(super) address: SocketAddr,
    /// The agents of this process's nodes, once they run.
    pub(super) agents: Arc<Agents>,
    /// Address of the cluster's name server, where Pods can ask one.
    pub(super) name_server: Option<Ipv4Addr>,
    serving: JoinHandle<()>,
}

impl ControlPlane {
    /// Opens the state, starts to serve, and writes the kubeconfig.
    pub(super) async fn start(
        arguments: &UpArgs,
        layout: &Layout,
        effects: &Effects,
        nodes: Arc<Nodes>,
        stop: &CancellationToken,
    ) -> Result<Self> {
        let pki = Pki::load(layout, arguments.listen, effects.clock.now())?;
        let path = layout.database();
        let opened = tokio::task::spawn_blocking(move || {
            let mut initial = Initial::default();
            let store = SqliteStore::open_with(&path, Retention::default(), |found| initial.add(found))?;
            Ok::<_, store::Error>((store, initial))
        });
        let opened = opened.await.context("opening the state broke off")?;
        let (store, initial) = opened.with_context(|| format!("opening {}", layout.database().display()))?;
        let virt_api = VirtApi::new(effects);
        let group = Arc::new(Group::default());
        let metrics = Arc::new(Metrics::default());
        let settings = apiserver::auth::Settings {
            token_key: Some(pki.token_key.clone()),
            ..apiserver::auth::Settings::default()
        };
        let server_settings = apiserver::server::Settings {
            namespaces: vec![api::names::NAMESPACE.to_owned()],
            ..apiserver::server::Settings::default()
        };
        let audit = arguments.audit.open(effects.clock.clone())?;
        let server = ApiServer::builder(Arc::new(store))
            .initial(initial)
            .settings(server_settings)
            .clock(effects.clock.clone())
            .entropy(effects.entropy.clone())
            .auth(settings)
            .audit(audit)
            .aggregation(pki.aggregation.clone())
            .admission(virt_api.clone())
            .admission(Arc::new(Unattended))
            .extension(group.clone())
            .extension(metrics.clone())
            .nodes(nodes.clone())
            .crds(api::crd::all())
            .build()
            .await
            .context("starting the API server")?;
        let listener = listen(arguments.listen, !arguments.listen.ip().is_loopback()).await?;
        let address = listener.local_addr().context("the address of the API server")?;
        pki.write_kubeconfig(&layout.kubeconfig(), address)?;
        let tls =
            certs::server_config(pki.server.clone(), Some(&pki.authority)).context("configuring TLS")?;
        let authority = pki.authority.certificate_pem().to_owned();
        let fresh = pki.keep_fresh(layout.kubeconfig(), address, effects.clock.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(fresh));
        let (serving, ending) = (server.clone(), stop.clone());
        let serving =
            tokio::spawn(async move { serving.serve(listener, tls, Limits::default(), ending).await });
        let plane = Self { server, authority, address, agents: Arc::default(), name_server: None, serving };
        let context = plane.context("virt-api", identity::component(api::names::account::API), effects);
        group.serve(context.clone(), virt_api.admission(), plane.agents.clone());
        metrics.serve(plane.context("metrics", identity::kubernetes(), effects), nodes);
        let followed = virt_api.follow(context);
        tokio::spawn(followed.run(stop.clone().cancelled_owned()));
        Ok(plane)
    }

    /// Makes sure that there is what manifests rely on from the first moment: a class of storage, an account for Pods.
    pub(super) async fn furnish(&self, effects: &Effects) -> Result<()> {
        let context = self.context(KUBE_CONTROLLERS, identity::kubernetes(), effects);
        furniture::storage(&context.client).await.context("creating the storage class")?;
        furniture::endpoints(&context.client, self.address).await.context("leading machines to the API")?;
        // The controller gives one to each namespace; the first Pod of a script must not come before it.
        let accounts = Api::<ServiceAccount>::new(&context.client);
        match accounts.create("default", &installation::default_account()).await {
            Err(error) if !error.is_already_exists() => Err(error).context("creating the default account"),
            _ => Ok(()),
        }
    }

    /// Makes sure that the object which configures the installation is there, now and while it runs, and so of what
    /// [`Self::furnish`] brought.
    pub(super) async fn install(
        &self,
        kubevirt: KubeVirt,
        effects: &Effects,
        stop: &CancellationToken,
        tasks: &mut JoinSet<Result<()>>,
    ) -> Result<()> {
        let context = self.context(KUBE_CONTROLLERS, identity::kubernetes(), effects);
        furniture::installation(&context.client, &kubevirt).await.context("creating the KubeVirt object")?;
        let (listen, stopped) = (self.address, stop.clone().cancelled_owned());
        tasks.spawn(async move {
            furniture::keep(context, kubevirt, listen, stopped).await;
            Ok(())
        });
        Ok(())
    }

    /// Returns the world of a component that acts as `user`; `name` is what the owners of fields show.
    pub(super) fn context(&self, name: &'static str, user: UserInfo, effects: &Effects) -> Context {
        let client = kube_ext::in_process(self.server.in_process(user), name);
        Context::new(client, effects.clock.clone(), effects.entropy.clone())
    }

    /// Starts the controllers.
    pub(super) fn controllers(
        &self,
        use_emulation: bool,
        nodes: NodeLifeArgs,
        effects: &Effects,
        stop: &CancellationToken,
        tasks: &mut JoinSet<Result<()>>,
    ) {
        let kubernetes = self.context(KUBE_CONTROLLERS, identity::kubernetes(), effects);
        let config = installation::kube_controllers(&self.authority, nodes);
        let stopped = stop.clone().cancelled_owned();
        tasks.spawn(async move {
            kube_controllers::run(kubernetes, config, stopped).await;
            Ok(())
        });
        let virt =
            self.context("virt-controller", identity::component(api::names::account::CONTROLLER), effects);
        let config = installation::virt_controller(use_emulation);
        let stopped = stop.clone().cancelled_owned();
        tasks.spawn(async move {
            virt_controller::run(virt, config, stopped).await;
            Ok(())
        });
    }

    /// Waits until connections have ended.
    pub(super) async fn join(self) {
        // A server task that broke off has said so in the log.
        drop(self.serving.await);
        let server = self.server;
        let flush = move || server.audit().is_none_or(|audit| audit.log().flush(LAST_WORDS));
        if !tokio::task::spawn_blocking(flush).await.unwrap_or(false) {
            tracing::error!("the last events of the audit log could not be written");
        }
    }
}
