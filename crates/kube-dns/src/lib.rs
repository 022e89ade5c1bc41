//! The cluster's name server: names of Services by what the API says of them, all others by asking the host's resolvers.
//!
//! What a name means is judged by [`plan::names`]; `answer` puts that on the wire. `zone` keeps the picture of the
//! cluster, `announce` its own Service, `server` the sockets, and `forward` asks others. The sockets stand in a
//! place of the node's network ([`network::pod::NameServer`]) that only Pods of the installation reach, and the node.

mod announce;
mod answer;
mod forward;
mod server;
mod transport;
mod zone;

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kube_ext::{Client, Context, Tasks};
use network::pod::{NameServer, NodeNetworkConfig};

use self::announce::Announcement;
pub use self::announce::{AnnounceError, announce};
use self::forward::Forwarder;
use self::server::Server;
use self::zone::Names;

/// How often the place on the node is looked at, and tried again where there is none.
const LOOK: Duration = Duration::from_secs(10);
/// The same while the node's network is being made.
const SOON: Duration = Duration::from_millis(200);

/// What a name server must know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of the node that it runs on.
    pub node: String,
    /// The node's network.
    pub network: NodeNetworkConfig,
    /// Address of its Service, as [`announce`] returned it.
    pub address: Ipv4Addr,
    /// File with the resolvers that are asked for other names.
    pub resolv_conf: PathBuf,
}

/// Runs the name server until `shutdown` ends. `announcer` may write its Service and the slice of that; `context` only
/// reads. What it announced stays: guests go on asking there, and the next one answers.
pub async fn run(
    config: Config,
    context: Context,
    announcer: Client,
    shutdown: impl Future<Output = ()> + Send,
) {
    let mut tasks = Tasks::new();
    let names = Names::start(&context, config.address, &mut tasks);
    let announcement =
        Announcement::start(&context, announcer, config.node.clone(), config.address, &mut tasks);
    tasks.add(async move {
        names.synced().await;
        serve(&config, &context, &names, &announcement).await;
    });
    tasks.run(shutdown).await;
}

/// Answers in the place on the node, and moves to a new one when that is no longer whole.
async fn serve(config: &Config, context: &Context, names: &Names, announcement: &Announcement) {
    let mut wait = SOON;
    let mut told = false;
    loop {
        let place = match settle(config).await {
            Ok(Some(place)) => place,
            Ok(None) => {
                context.clock.sleep(wait).await;
                if wait >= LOOK && !told {
                    told = true;
                    tracing::warn!(
                        node = config.node,
                        "the node has no address left for the cluster's name server"
                    );
                }
                wait = LOOK.min(wait * 2);
                continue;
            }
            Err(error) => {
                tracing::error!(node = config.node, %error, "the cluster's name server has no place to listen");
                context.clock.sleep(LOOK).await;
                continue;
            }
        };
        (wait, told) = (SOON, false);
        let own = [IpAddr::V4(config.address), IpAddr::V4(place.address())];
        let forwarder = Forwarder::new(context, config.resolv_conf.clone(), own);
        let place = Arc::new(place);
        let server = match Server::open(&place, names.clone(), forwarder, context) {
            Ok(server) => server,
            Err(error) => {
                tracing::error!(node = config.node, %error, "the cluster's name server cannot listen");
                context.clock.sleep(LOOK).await;
                continue;
            }
        };
        announcement.at(place.address());
        tokio::select! {
            () = server.run() => {}
            () = until_broken(&place, context) => {
                tracing::warn!(node = config.node, "somebody removed the name server's place; made again");
            }
        }
    }
}

async fn settle(config: &Config) -> Result<Option<NameServer>, network::Error> {
    let network = config.network.clone();
    tokio::task::spawn_blocking(move || NameServer::settle(&network)).await.unwrap_or(Ok(None))
}

/// Ends when the place is no longer whole.
async fn until_broken(place: &Arc<NameServer>, context: &Context) {
    loop {
        context.clock.sleep(LOOK).await;
        let place = Arc::clone(place);
        match tokio::task::spawn_blocking(move || place.is_whole()).await {
            Ok(Ok(false)) => return,
            Ok(Err(error)) => tracing::warn!(%error, "the name server's place cannot be looked at"),
            Ok(Ok(true)) | Err(_) => {}
        }
    }
}
