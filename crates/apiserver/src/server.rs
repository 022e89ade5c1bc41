//! The server: its parts, how it is built, and how a request goes through it.

use std::sync::{Arc, Weak};

use effects::{Clock, Entropy, SystemClock, SystemEntropy};
use http::{Request, Response};
use jiff::Timestamp;
use machinery::admission::UserInfo;
use machinery::status::Status;
use serde_json::Value;
use store::Store;

use crate::admission::{AdmissionPlugin, Chain};
use crate::aggregation::{self, Aggregation};
use crate::audit::Audit;
use crate::auth::{self, Auth};
use crate::cache::{Caches, Entry, ObjectKey};
use crate::extension::Extension;
use crate::flow::{self, Flow};
use crate::metrics::requests::{Ongoing, Requests};
use crate::node::{NoNodes, NodeProxy};
use crate::registry::{Collection, Registry};
use crate::request::query::Query;
use crate::resource::Initial;
use crate::resource::quota::{self, Recount};
use crate::resource::service::Allocator;
use crate::route::{self, Asked};
use crate::serve::websocket::Handshake;
use crate::{Body, InProcess, Result, encoding, openapi};

/// The embedded API server. Cloning shares it.
#[derive(Clone, Debug)]
pub struct ApiServer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    caches: Arc<Caches>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    admission: Chain,
    extensions: Vec<Arc<dyn Extension>>,
    nodes: Arc<dyn NodeProxy>,
    allocator: Allocator,
    recount: Arc<Recount>,
    auth: Auth,
    requests: Requests,
    flow: Flow,
    audit: Option<Audit>,
    aggregation: Option<Arc<Aggregation>>,
    openapi: openapi::Kept,
    settings: Settings,
}

/// A server that may be gone.
#[derive(Clone, Debug)]
pub(crate) struct WeakServer(Weak<Inner>);

impl WeakServer {
    /// Returns the server if it is still there.
    pub(crate) fn upgrade(&self) -> Option<ApiServer> {
        self.0.upgrade().map(ApiServer)
    }
}

/// What an installation may choose.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Version that `/version` reports, such as `v1.35.6`.
    pub version: String,
    /// First three octets' worth of the service network, as `10.96.0.0/16`.
    pub service_network: (std::net::Ipv4Addr, u8),
    /// Namespaces that exist from the start, besides those every cluster has.
    pub namespaces: Vec<String>,
    /// Requests that are answered at the same time, but for those that nothing holds up. Lists of much count for more than one.
    pub seats: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            version: "v1.35.6".to_owned(),
            service_network: (std::net::Ipv4Addr::new(10, 96, 0, 0), 16),
            namespaces: Vec::new(),
            seats: 600,
        }
    }
}

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store cannot be read.
    #[error("cannot read the store")]
    Store(#[source] store::Error),
    /// The store holds something that is not an object.
    #[error("the store holds something unreadable at {key}; restore it from a backup")]
    Damaged {
        /// Key of the entry.
        key: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// An object that every server has cannot be written.
    #[error("cannot create {what}: {status}")]
    Bootstrap {
        /// The object.
        what: String,
        /// Why not.
        status: Box<Status>,
    },
}

/// Gathers the parts of a server.
#[derive(Debug)]
pub struct Builder {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    admission: Vec<Arc<dyn AdmissionPlugin>>,
    extensions: Vec<Arc<dyn Extension>>,
    nodes: Arc<dyn NodeProxy>,
    initial: Option<Initial>,
    crds: Vec<Value>,
    auth: auth::Settings,
    audit: Option<Audit>,
    aggregation: Option<Arc<Aggregation>>,
    settings: Settings,
}

impl Builder {
    /// Takes what the store holds from `initial`, which took it in as the store was opened, instead of reading it again.
    #[must_use]
    pub fn initial(mut self, initial: Initial) -> Self {
        self.initial = Some(initial);
        self
    }

    /// Takes time from `clock` instead of the system.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Takes randomness from `entropy` instead of the system.
    #[must_use]
    pub fn entropy(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.entropy = entropy;
        self
    }

    /// Adds an admission plug-in, asked after those added before.
    #[must_use]
    pub fn admission(mut self, plugin: Arc<dyn AdmissionPlugin>) -> Self {
        self.admission.push(plugin);
        self
    }

    /// Lets `extension` answer an API group.
    #[must_use]
    pub fn extension(mut self, extension: Arc<dyn Extension>) -> Self {
        self.extensions.push(extension);
        self
    }

    /// Reaches nodes through `nodes`.
    #[must_use]
    pub fn nodes(mut self, nodes: Arc<dyn NodeProxy>) -> Self {
        self.nodes = nodes;
        self
    }

    /// Installs these CustomResourceDefinitions at start, replacing older ones of the same name.
    #[must_use]
    pub fn crds(mut self, crds: impl IntoIterator<Item = Value>) -> Self {
        self.crds.extend(crds);
        self
    }

    /// Authenticates as `auth` says.
    #[must_use]
    pub fn auth(mut self, auth: auth::Settings) -> Self {
        self.auth = auth;
        self
    }

    /// Keeps an audit log.
    #[must_use]
    pub fn audit(mut self, audit: Option<Audit>) -> Self {
        self.audit = audit;
        self
    }

    /// Lets other programs answer groups, as `APIService` objects say.
    #[must_use]
    pub fn aggregation(mut self, aggregation: Arc<Aggregation>) -> Self {
        self.aggregation = Some(aggregation);
        self
    }

    /// Chooses settings.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Reads the store and creates what every server has.
    ///
    /// # Errors
    /// Fails when the store cannot be read or written.
    pub async fn build(self) -> Result<ApiServer, StartError> {
        let flow = Flow::new(Arc::clone(&self.clock), self.settings.seats);
        let server = ApiServer(Arc::new(Inner {
            registry: Registry::new(),
            caches: Arc::default(),
            store: self.store,
            clock: self.clock,
            entropy: self.entropy,
            admission: Chain::new(self.admission),
            extensions: self.extensions.clone(),
            nodes: self.nodes,
            allocator: Allocator::new(self.settings.service_network),
            recount: Arc::default(),
            auth: Auth::new(self.auth),
            requests: Requests::default(),
            flow,
            audit: self.audit,
            aggregation: self.aggregation,
            openapi: openapi::Kept::default(),
            settings: self.settings,
        }));
        crate::resource::storage::load(&server, self.initial).await?;
        crate::resource::bootstrap::run(&server, self.crds).await?;
        flow::settle(&server).await?;
        for extension in &self.extensions {
            server.registry().set_extension(extension.group(), extension.versions());
        }
        let weak = WeakServer(Arc::downgrade(&server.0));
        if let Some(aggregation) = server.aggregation() {
            // A version that others answer is never said not to be there.
            aggregation.read(&server);
            tokio::spawn(aggregation::watch::run(weak.clone()));
        }
        tokio::spawn(crate::housekeeping::run(weak.clone()));
        tokio::spawn(crate::resource::bootstrap::keep(weak.clone()));
        tokio::spawn(flow::run(weak.clone()));
        tokio::spawn(quota::run(weak, Arc::clone(server.recount())));
        Ok(server)
    }
}

impl ApiServer {
    /// Starts gathering the parts of a server that keeps its objects in `store`.
    pub fn builder(store: Arc<dyn Store>) -> Builder {
        Builder {
            store,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            admission: Vec::new(),
            extensions: Vec::new(),
            nodes: Arc::new(NoNodes),
            initial: None,
            crds: Vec::new(),
            auth: auth::Settings::default(),
            audit: None,
            aggregation: None,
            settings: Settings::default(),
        }
    }

    /// Returns the way in for a caller of this process who acts as `user`.
    pub fn in_process(&self, user: UserInfo) -> InProcess {
        InProcess::new(self.clone(), user)
    }

    /// Answers a request. Who asks stands in the request's extensions as a [`UserInfo`]; without one it is refused.
    pub async fn handle(&self, request: Request<Body>) -> Response<Body> {
        let counted = Ongoing::begin(self, &request);
        let response = match &self.0.audit {
            Some(audit) => audit.record(self, request).await,
            None => self.answer(request).await,
        };
        counted.answered(response)
    }

    /// Answers a request without a word in the audit log.
    pub(crate) async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (headers, uri) = (request.headers().clone(), request.uri().clone());
        let handshake = Handshake::of(&request);
        let query = Query::parse(uri.query().unwrap_or_default());
        let asked = match Asked::read(self, request) {
            Ok(asked) => asked,
            Err(status) => return encoding::refusal(&headers, &query, &status).await,
        };
        let pass = match self.flow().enter(self, &asked.user, &asked.parts, &asked.info).await {
            Ok(pass) => pass,
            Err(response) => return response,
        };
        let response = match route::route(self, asked).await {
            Ok(response) => response,
            Err(status) => encoding::refusal(&headers, &query, &status).await,
        };
        pass.stamp(match handshake {
            Some(handshake) => handshake.judge(response),
            None => response,
        })
    }

    /// The kinds.
    pub fn registry(&self) -> &Registry {
        &self.0.registry
    }

    /// The watch caches.
    pub fn caches(&self) -> &Arc<Caches> {
        &self.0.caches
    }

    /// Authentication and authorisation.
    pub fn auth(&self) -> &Auth {
        &self.0.auth
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Returns one object as it is now, from the cache.
    pub fn object(&self, collection: &Collection, key: &ObjectKey) -> Option<Arc<Entry>> {
        self.0.caches.of(collection).get(key)
    }

    /// Returns the clock's time.
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// The groups that other programs answer, if any may.
    pub(crate) fn aggregation(&self) -> Option<&Aggregation> {
        self.0.aggregation.as_deref()
    }

    /// What was counted of requests.
    pub(crate) fn requests(&self) -> &Requests {
        &self.0.requests
    }

    /// What is kept of OpenAPI documents.
    pub(crate) fn openapi(&self) -> &openapi::Kept {
        &self.0.openapi
    }

    /// Who waits, and who goes next.
    pub(crate) fn flow(&self) -> &Flow {
        &self.0.flow
    }

    /// The audit log, if one is kept.
    pub fn audit(&self) -> Option<&Audit> {
        self.0.audit.as_ref()
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.0.store
    }

    pub(crate) fn recount(&self) -> &Arc<Recount> {
        &self.0.recount
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    pub(crate) fn entropy(&self) -> &Arc<dyn Entropy> {
        &self.0.entropy
    }

    pub(crate) fn admission(&self) -> &Chain {
        &self.0.admission
    }

    /// Finds the component that answers an API group.
    pub(crate) fn extension(&self, group: &str) -> Option<&Arc<dyn Extension>> {
        self.0.extensions.iter().find(|extension| extension.group() == group)
    }

    pub(crate) fn nodes(&self) -> &Arc<dyn NodeProxy> {
        &self.0.nodes
    }

    pub(crate) fn allocator(&self) -> &Allocator {
        &self.0.allocator
    }
}
