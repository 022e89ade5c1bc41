//! The one table of paths: what exists, which method it takes, what it does, and what a user needs to be allowed.
//!
//! Authorisation attributes are made from the route that was found, so that what is authorised is what is then done.

use http::Method;

/// What a path is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The installation: `/apis/GROUP/VERSION/NAME`.
    Installation,
    /// A namespace: `.../namespaces/NAMESPACE/NAME`.
    Namespace,
    /// A `VirtualMachine`: `.../virtualmachines/MACHINE/NAME`.
    Machine,
    /// A `VirtualMachineInstance`: `.../virtualmachineinstances/INSTANCE/NAME`.
    Instance,
}

impl Scope {
    /// The resource's plural name, empty where the path names no object.
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Installation | Self::Namespace => "",
            Self::Machine => "virtualmachines",
            Self::Instance => "virtualmachineinstances",
        }
    }
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    AddVolume,
    Backup,
    Console,
    DumpProfile,
    EvacuateCancel,
    ExpandSpec,
    ExpandVmSpec,
    FilesystemList,
    Freeze,
    Guestfs,
    GuestOsInfo,
    Health,
    MemoryDump,
    Migrate,
    ObjectGraph,
    Pause,
    PortForward,
    RedefineCheckpoint,
    RemoveMemoryDump,
    RemoveVolume,
    Reset,
    Restart,
    Screenshot,
    SevCertificates,
    SevMeasurement,
    SevSecret,
    SevSession,
    SoftReboot,
    Start,
    StartProfile,
    Stop,
    StopProfile,
    Unfreeze,
    Unpause,
    UsbRedirection,
    UserList,
    Version,
    Vnc,
    Vsock,
}

/// One path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) scope: Scope,
    /// What follows the object's name; may have several segments.
    pub(crate) name: &'static str,
    /// Whether it takes PUT; all others take GET.
    puts: bool,
    pub(crate) action: Action,
    /// How many segments may follow: the least and the most.
    parameters: (usize, usize),
    /// Whether discovery lists it. The reference leaves some out, and clients go by its list.
    pub(crate) listed: bool,
}

const fn get(scope: Scope, name: &'static str, action: Action) -> Route {
    Route { scope, name, puts: false, action, parameters: (0, 0), listed: true }
}

const fn put(scope: Scope, name: &'static str, action: Action) -> Route {
    Route { puts: true, ..get(scope, name, action) }
}

impl Route {
    const fn unlisted(self) -> Self {
        Self { listed: false, ..self }
    }

    const fn with_parameters(self, least: usize, most: usize) -> Self {
        Self { parameters: (least, most), ..self }
    }

    /// The method that it takes.
    pub(crate) fn method(&self) -> Method {
        if self.puts { Method::PUT } else { Method::GET }
    }

    /// The verb that a user needs.
    pub(crate) fn verb(&self) -> &'static str {
        if self.puts { "update" } else { "get" }
    }

    /// The resource and subresource that a user needs it on.
    pub(crate) fn subject(&self) -> (&'static str, &'static str) {
        match self.scope {
            Scope::Installation | Scope::Namespace => (self.name, ""),
            Scope::Machine | Scope::Instance => (self.scope.plural(), self.name),
        }
    }

    /// Whether everybody who is known may ask.
    pub(crate) fn is_open(&self) -> bool {
        self.scope == Scope::Installation
    }

    /// The name in discovery's list.
    pub(crate) fn listed_name(&self) -> String {
        match self.subject() {
            (resource, "") => resource.to_owned(),
            (resource, subresource) => format!("{resource}/{subresource}"),
        }
    }
}

use Scope::{Installation, Instance, Machine, Namespace};

/// Every path, in the order in which discovery lists them.
pub(crate) const ROUTES: &[Route] = &[
    put(Namespace, "expand-vm-spec", Action::ExpandVmSpec),
    get(Instance, "vnc", Action::Vnc),
    get(Instance, "vnc/screenshot", Action::Screenshot),
    get(Instance, "console", Action::Console),
    get(Instance, "usbredir", Action::UsbRedirection).unlisted(),
    get(Instance, "vsock", Action::Vsock).unlisted(),
    get(Instance, "portforward", Action::PortForward).with_parameters(1, 2),
    get(Machine, "portforward", Action::PortForward).with_parameters(1, 2).unlisted(),
    put(Instance, "backup", Action::Backup),
    put(Instance, "redefine-checkpoint", Action::RedefineCheckpoint),
    put(Instance, "pause", Action::Pause),
    put(Instance, "unpause", Action::Unpause),
    put(Instance, "freeze", Action::Freeze),
    put(Instance, "unfreeze", Action::Unfreeze),
    put(Instance, "reset", Action::Reset),
    put(Instance, "softreboot", Action::SoftReboot),
    put(Machine, "start", Action::Start),
    put(Machine, "stop", Action::Stop),
    put(Machine, "restart", Action::Restart),
    put(Machine, "migrate", Action::Migrate),
    get(Machine, "expand-spec", Action::ExpandSpec),
    get(Machine, "objectgraph", Action::ObjectGraph),
    put(Machine, "evacuate/cancel", Action::EvacuateCancel),
    put(Machine, "addvolume", Action::AddVolume).unlisted(),
    put(Machine, "removevolume", Action::RemoveVolume).unlisted(),
    put(Machine, "memorydump", Action::MemoryDump).unlisted(),
    put(Machine, "removememorydump", Action::RemoveMemoryDump).unlisted(),
    get(Instance, "guestosinfo", Action::GuestOsInfo),
    get(Instance, "userlist", Action::UserList),
    get(Instance, "filesystemlist", Action::FilesystemList),
    put(Instance, "addvolume", Action::AddVolume),
    put(Instance, "removevolume", Action::RemoveVolume),
    get(Instance, "objectgraph", Action::ObjectGraph),
    get(Instance, "sev/fetchcertchain", Action::SevCertificates),
    get(Instance, "sev/querylaunchmeasurement", Action::SevMeasurement),
    put(Instance, "sev/setupsession", Action::SevSession),
    put(Instance, "sev/injectlaunchsecret", Action::SevSecret),
    put(Instance, "evacuate/cancel", Action::EvacuateCancel),
    get(Installation, "version", Action::Version).unlisted(),
    get(Installation, "guestfs", Action::Guestfs).unlisted(),
    get(Installation, "healthz", Action::Health).unlisted(),
    get(Installation, "start-cluster-profiler", Action::StartProfile).unlisted(),
    get(Installation, "stop-cluster-profiler", Action::StopProfile).unlisted(),
    get(Installation, "dump-cluster-profiler", Action::DumpProfile).unlisted(),
];

/// A path that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Matched<'a> {
    pub(crate) route: &'static Route,
    pub(crate) namespace: &'a str,
    /// Name of the object; empty where the path names none.
    pub(crate) name: &'a str,
    /// What follows the route's own segments.
    pub(crate) parameters: Vec<&'a str>,
}

/// Why a path leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRoute {
    /// There is no such path.
    Path,
    /// There is, but it takes another method.
    Method,
}

/// Finds what a decoded path below the group's version asks for.
pub(crate) fn find<'a>(method: &Method, segments: &[&'a str]) -> Result<Matched<'a>, NoRoute> {
    let (scope, namespace, name, rest) = match segments {
        ["namespaces", namespace, "virtualmachines", name, rest @ ..] => (Machine, *namespace, *name, rest),
        ["namespaces", namespace, "virtualmachineinstances", name, rest @ ..] => {
            (Instance, *namespace, *name, rest)
        }
        ["namespaces", namespace, rest @ ..] => (Namespace, *namespace, "", rest),
        rest => (Installation, "", "", rest),
    };
    let mut refusal = NoRoute::Path;
    // The longest name wins: `vnc/screenshot` is no parameter of `vnc`.
    let mut found: Option<Matched<'a>> = None;
    for route in ROUTES.iter().filter(|route| route.scope == scope) {
        let own: Vec<&str> = route.name.split('/').collect();
        let (least, most) = route.parameters;
        let fits = rest.len() >= own.len() + least && rest.len() <= own.len() + most;
        if !fits || rest[..own.len()] != own {
            continue;
        }
        if route.method() != *method {
            refusal = NoRoute::Method;
            continue;
        }
        let parameters = rest[own.len()..].to_vec();
        if found.as_ref().is_none_or(|other| other.route.name.len() < route.name.len()) {
            found = Some(Matched { route, namespace, name, parameters });
        }
    }
    found.ok_or(refusal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(method: &str, path: &'static str) -> Result<(Action, String), NoRoute> {
        let segments: Vec<&str> = path.split('/').collect();
        let method = Method::from_bytes(method.as_bytes()).unwrap_or_default();
        find(&method, &segments).map(|found| {
            let attributes = (found.route.verb(), found.route.subject(), found.namespace, found.name);
            (found.route.action, format!("{attributes:?} {:?}", found.parameters))
        })
    }

    #[test]
    fn paths_lead_to_actions_and_to_what_a_user_needs() {
        let instance = "namespaces/a/virtualmachineinstances/v/";
        let table = [
            ("GET", "version", Ok(Action::Version)),
            ("PUT", "namespaces/a/expand-vm-spec", Ok(Action::ExpandVmSpec)),
            ("PUT", "namespaces/a/virtualmachines/v/start", Ok(Action::Start)),
            ("GET", "namespaces/a/virtualmachines/v/start", Err(NoRoute::Method)),
            ("PUT", "namespaces/a/virtualmachines/v/frobnicate", Err(NoRoute::Path)),
            ("PUT", "namespaces/a/virtualmachines/v/start/now", Err(NoRoute::Path)),
            ("GET", "namespaces/a/virtualmachines/v/portforward", Err(NoRoute::Path)),
            ("GET", "namespaces/a/virtualmachines/v/portforward/22", Ok(Action::PortForward)),
            ("GET", "namespaces/a/virtualmachines/v/portforward/22/tcp", Ok(Action::PortForward)),
            ("PUT", "namespaces/a/virtualmachines/v/pause", Err(NoRoute::Path)),
            ("PUT", "virtualmachines/v/start", Err(NoRoute::Path)),
        ];
        for (method, path, expected) in table {
            assert_eq!(of(method, path).map(|(action, _)| action), expected, "{method} {path}");
        }
        assert_eq!(of("GET", "namespaces/a/virtualmachineinstances/v/vnc").unwrap().0, Action::Vnc);
        let (action, attributes) =
            of("GET", "namespaces/a/virtualmachineinstances/v/vnc/screenshot").unwrap();
        assert_eq!(action, Action::Screenshot, "{instance}");
        assert_eq!(attributes, r#"("get", ("virtualmachineinstances", "vnc/screenshot"), "a", "v") []"#);
        let (_, attributes) = of("GET", "namespaces/a/virtualmachineinstances/v/portforward/53/udp").unwrap();
        assert_eq!(
            attributes,
            r#"("get", ("virtualmachineinstances", "portforward"), "a", "v") ["53", "udp"]"#
        );
    }

    #[test]
    fn no_two_routes_are_the_same() {
        for (at, route) in ROUTES.iter().enumerate() {
            let same = ROUTES[at + 1..].iter().find(|other| {
                (other.scope, other.name, other.method()) == (route.scope, route.name, route.method())
            });
            assert_eq!(same, None);
        }
    }
}
