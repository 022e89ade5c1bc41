//! `subresources.kubevirt.io`: what is done with machines beyond reading and writing objects.
//!
//! [`Subresources`] answers requests for the group, behind an API server that authenticated them: in process, or as an
//! aggregated server. [`route`] holds the one table of paths; who may is asked with what stands there ([`access`]).
//! What changes objects goes to the API server ([`lifecycle`], [`migrate`]); what concerns a running machine goes to
//! the agent of its node ([`node`], [`instance`], [`guest`]). Console, screen and ports are streams ([`streams`]) that
//! clients reach by websocket ([`websocket`]).

mod access;
mod datagrams;
mod discovery;
mod expand;
mod gated;
mod graph;
mod guest;
mod installation;
mod instance;
mod lifecycle;
mod migrate;
mod node;
mod objects;
mod options;
mod refusal;
mod route;
mod streams;
mod websocket;

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use kube_ext::Context;
use machinery::admission::UserInfo;

use crate::Admission;
use objects::{Instance, Machine};
use refusal::Refusal;
use route::{Action, NoRoute, Route};

pub use datagrams::Datagrams;
pub use discovery::{VERSIONS, resources, rights};
pub(crate) use instance::duration;
pub use node::{Agent, AgentError, NoAgents, Nodes, Stream};

/// The group.
pub const GROUP: &str = "subresources.kubevirt.io";

/// A body of a request or an answer.
pub type Body = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

fn full(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// Answers the requests of the group.
#[derive(Debug)]
pub struct Subresources {
    context: Context,
    admission: Arc<Admission>,
    nodes: Arc<dyn Nodes>,
    release: String,
    open: Arc<streams::Open>,
}

impl Subresources {
    /// Makes the answerer: it reads and writes objects by `context`, follows the configuration that `admission` has,
    /// and finds machines by `nodes`. `release` is the software's version.
    pub fn new(context: Context, admission: Arc<Admission>, nodes: Arc<dyn Nodes>, release: &str) -> Self {
        Self { context, admission, nodes, release: release.to_owned(), open: Arc::default() }
    }

    /// Answers a request of `user` for `/apis/subresources.kubevirt.io/VERSION/...`.
    pub async fn handle(&self, user: &UserInfo, request: Request<Body>) -> Response<Body> {
        self.route(user, request).await.unwrap_or_else(Refusal::response)
    }

    async fn route(&self, user: &UserInfo, request: Request<Body>) -> Result<Response<Body>, Refusal> {
        let path = request.uri().path().to_owned();
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let no_path = || Refusal::Text(StatusCode::NOT_FOUND, "404: Page Not Found".to_owned());
        let (version, rest) = match segments.as_slice() {
            ["apis", GROUP, version, rest @ ..] if VERSIONS.contains(version) => (*version, rest),
            _ => return Err(no_path()),
        };
        let matched = route::find(request.method(), rest).map_err(|refusal| match refusal {
            NoRoute::Path => no_path(),
            NoRoute::Method => {
                Refusal::Text(StatusCode::METHOD_NOT_ALLOWED, "405: Method Not Allowed".to_owned())
            }
        })?;
        // It becomes part of paths on our own behalf; a name that is refused is told of as absent.
        if !matched.namespace.is_empty() && !objects::is_name(matched.namespace) {
            return Err(no_path());
        }
        access::check(&self.context.client, user, &matched, version)
            .await
            .map_err(|reason| Refusal::Text(StatusCode::UNAUTHORIZED, reason))?;
        let call = Call {
            client: &self.context.client,
            admission: &self.admission,
            nodes: &*self.nodes,
            route: matched.route,
            namespace: matched.namespace,
            name: matched.name,
        };
        self.act(&call, &matched.parameters, request).await
    }

    async fn act(
        &self,
        call: &Call<'_>,
        parameters: &[&str],
        request: Request<Body>,
    ) -> Result<Response<Body>, Refusal> {
        let (open, clock) = (&self.open, &self.context.clock);
        let action = call.route.action;
        match action {
            Action::Start => lifecycle::start(call, request.into_body()).await,
            Action::Stop => lifecycle::stop(call, request.into_body()).await,
            Action::Restart => lifecycle::restart(call, request.into_body()).await,
            Action::Migrate => migrate::migrate(call, request.into_body()).await,
            Action::EvacuateCancel => migrate::cancel_evacuation(call, request.into_body()).await,
            Action::ExpandSpec => Box::pin(expand::stored(call)).await,
            Action::ExpandVmSpec => Box::pin(expand::sent(call, request.into_body())).await,
            Action::Pause
            | Action::Unpause
            | Action::Freeze
            | Action::Unfreeze
            | Action::Reset
            | Action::SoftReboot => instance::command(call, action, request.into_body()).await,
            Action::GuestOsInfo | Action::UserList | Action::FilesystemList => guest::ask(call, action).await,
            Action::AddVolume | Action::RemoveVolume | Action::MemoryDump | Action::RemoveMemoryDump => {
                gated::volumes(call, action, request.into_body()).await
            }
            Action::SevCertificates | Action::SevMeasurement | Action::SevSession | Action::SevSecret => {
                gated::encryption(call, action).await
            }
            Action::Backup | Action::RedefineCheckpoint => gated::backup(call, action).await,
            Action::UsbRedirection | Action::Vsock => gated::passthrough(call, action).await,
            Action::ObjectGraph => gated::graph(call).await,
            Action::Version => Ok(installation::version(&self.release)),
            Action::Guestfs => Ok(installation::guestfs()),
            Action::Health => Ok(installation::health()),
            Action::StartProfile | Action::StopProfile | Action::DumpProfile => Err(gated::profile(action)),
            Action::Console => streams::console(call, open, clock, request).await,
            Action::Vnc => streams::screen(call, open, clock, request).await,
            Action::PortForward => streams::port(call, parameters, open, clock, request).await,
            Action::Screenshot => streams::screenshot(call).await,
        }
    }
}

/// One authorised request.
pub(crate) struct Call<'a> {
    pub(crate) client: &'a kube_ext::Client,
    pub(crate) admission: &'a Admission,
    pub(crate) nodes: &'a dyn Nodes,
    pub(crate) route: &'static Route,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
}

impl Call<'_> {
    /// Reads the machine that the path names.
    pub(crate) async fn machine(&self) -> Result<Machine, Refusal> {
        Machine::fetch(self.client, self.namespace, self.name).await
    }

    /// Reads the instance that the path names.
    pub(crate) async fn instance(&self) -> Result<Instance, Refusal> {
        Instance::fetch(self.client, self.namespace, self.name).await
    }
}
