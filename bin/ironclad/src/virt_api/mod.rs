//! virt-api beside a Kubernetes API server: admission as its webhooks, subresources as its aggregated API, on one TLS port.
//!
//! What is answered is `virt-api`'s, the same as in one process. Agents cannot be reached from here yet, so what goes to
//! a running machine itself (consoles, pausing, the guest's facts) is refused with the node's name.

mod front;
mod register;
mod server;
mod service;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use apiserver::serve::{Limits, listen, serve};
use certs::{Authority, Profile, Rotating};
use kube_ext::Context;
use tokio_util::sync::CancellationToken;
use virt_api::subresource::{NoAgents, Subresources};

use crate::cli::VirtApiArgs;
use crate::layout::Layout;
use crate::up::Effects;
use crate::up::admission::VirtApi;
use front::Front;
use server::Server;

pub(crate) use service::Service;

/// Between two looks whether the certificate is due.
const LOOK: Duration = Duration::from_secs(6 * 3600);
/// Names of the files with authority and certificate.
const AUTHORITY: &str = "virt-api-ca";
const CERTIFICATE: &str = "virt-api";

/// Serves until `stopped` ends.
pub(crate) async fn run(
    arguments: &VirtApiArgs,
    layout: &Layout,
    context: Context,
    effects: &Effects,
    stopped: impl Future<Output = ()> + Send,
) -> Result<()> {
    let front = Front::read(&context.client).await?;
    let identity = Identity::load(arguments, layout, effects)?;
    let tls = certs::server_config_with_bundle(identity.certificate.clone(), &front.authorities);
    let tls = tls.context("configuring TLS")?;
    let listener = listen(arguments.listen, true).await?;
    let admission = VirtApi::new(effects);
    let subresources = Subresources::new(
        context.clone(),
        admission.admission(),
        Arc::new(NoAgents),
        env!("CARGO_PKG_VERSION"),
    );
    let server = Server::new(admission.clone(), subresources, front, effects.clock.clone());
    let stop = CancellationToken::new();
    let serving = serve(server, listener, tls, Limits::default(), stop.clone());
    let authority = identity.authority.certificate_pem().to_owned();
    let registered = async {
        if arguments.register {
            register::all(&context.client, &arguments.service, &authority).await?;
            tracing::info!(service = %arguments.service, "the API server knows of this server");
        }
        Ok::<_, anyhow::Error>(())
    };
    let followed = admission.follow(context.clone());
    let renewing = identity.keep_fresh(effects);
    let background = async {
        registered.await?;
        tokio::select! {
            () = followed.run(std::future::pending()) => {}
            () = renewing => {}
        }
        Ok(())
    };
    tokio::pin!(serving);
    let outcome = tokio::select! {
        () = &mut serving => return Ok(()),
        outcome = background => outcome,
        () = stopped => Ok(()),
    };
    stop.cancel();
    serving.await;
    outcome
}

/// Who this server is to its clients.
struct Identity {
    authority: Authority,
    certificate: Arc<Rotating>,
    directory: PathBuf,
    profile: Profile,
}

impl Identity {
    fn load(arguments: &VirtApiArgs, layout: &Layout, effects: &Effects) -> Result<Self> {
        let (directory, now) = (layout.pki(), effects.clock.now());
        let authority =
            Authority::load_or_create(&directory, AUTHORITY, now).context("the certificate authority")?;
        let profile = Profile::server(CERTIFICATE, arguments.service.host_names());
        let issued = authority
            .load_or_issue(&directory, CERTIFICATE, &profile, now)
            .context("the server's certificate")?;
        let certificate = Rotating::new(issued).context("the server's certificate")?;
        Ok(Self { authority, certificate, directory, profile })
    }

    /// Renews the certificate before it ends, for ever.
    async fn keep_fresh(self, effects: &Effects) {
        loop {
            effects.clock.sleep(LOOK).await;
            let now = effects.clock.now();
            let issued = self.authority.load_or_issue(&self.directory, CERTIFICATE, &self.profile, now);
            if let Err(error) = issued.and_then(|issued| self.certificate.replace(issued)) {
                tracing::error!(%error, "cannot renew the certificate, will try again");
            }
        }
    }
}
