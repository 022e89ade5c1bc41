//! Console, screen and forwarded ports: judged, opened, and carried over a websocket.
//!
//! The other end is opened before the upgrade, so that a client learns from an ordinary answer what is wrong.

use std::collections::HashMap;
use std::sync::Arc;

use effects::Clock;
use http::{Request, Response, StatusCode};
use machinery::status::Status;
use parking_lot::Mutex;
use tokio::net::{TcpStream, UdpSocket};
use wire::agent::Channel;

use super::datagrams::Datagrams;
use super::node::{self, Stream};
use super::objects::Instance;
use super::refusal::{Refusal, answer};
use super::route::Scope;
use super::websocket;
use super::{Body, Call};

const NOT_RUNNING: &str = "VMI is not running";

/// Streams of one instance at the same time.
const PER_INSTANCE: usize = 64;
/// Streams of the instances of one namespace at the same time: nobody takes all there are.
const PER_NAMESPACE: usize = 256;
/// Streams at the same time.
const IN_ALL: usize = 1024;

/// The streams that are open: their numbers by namespace and instance.
#[derive(Debug, Default)]
pub(super) struct Open(Mutex<HashMap<String, HashMap<String, usize>>>);

/// One of them; ends with the value.
#[derive(Debug)]
struct Slot {
    open: Arc<Open>,
    namespace: String,
    instance: String,
}

impl Open {
    fn take(self: &Arc<Self>, instance: &Instance) -> Result<Slot, Refusal> {
        let (namespace, uid) = (&instance.metadata.namespace, &instance.metadata.uid);
        let mut open = self.0.lock();
        let in_all: usize = open.values().flat_map(HashMap::values).sum();
        let neighbours = open.get(namespace);
        let in_namespace: usize = neighbours.into_iter().flat_map(HashMap::values).sum();
        let own = neighbours.and_then(|open| open.get(uid)).copied().unwrap_or_default();
        let name = &instance.metadata.name;
        let full = if own >= PER_INSTANCE {
            Some(format!("{own} streams to {name} are open already; close some"))
        } else if in_namespace >= PER_NAMESPACE {
            Some(format!("{in_namespace} streams to machines in {namespace} are open already; close some"))
        } else if in_all >= IN_ALL {
            Some(format!("{in_all} streams to machines are open already; try again later"))
        } else {
            None
        };
        if let Some(message) = full {
            return Err(Refusal::Status(Box::new(Status::too_many_requests(message, 1))));
        }
        open.entry(namespace.clone()).or_default().insert(uid.clone(), own + 1);
        Ok(Slot { open: self.clone(), namespace: namespace.clone(), instance: uid.clone() })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.open.0.lock();
        let Some(neighbours) = open.get_mut(&self.namespace) else { return };
        let left = neighbours.get(&self.instance).map_or(0, |count| count - 1);
        if left == 0 {
            neighbours.remove(&self.instance);
        } else {
            neighbours.insert(self.instance.clone(), left);
        }
        if neighbours.is_empty() {
            open.remove(&self.namespace);
        }
    }
}

/// The serial console.
pub(super) async fn console(
    call: &Call<'_>,
    open: &Arc<Open>,
    clock: &Arc<dyn Clock>,
    request: Request<Body>,
) -> Result<Response<Body>, Refusal> {
    let instance = call.instance().await?;
    if instance.spec.domain.devices.autoattach_serial_console == Some(false) {
        return Err(Refusal::bad("No serial consoles are present."));
    }
    if instance.status.phase == "Failed" {
        return Err(instance.conflict("VMI is in failed status"));
    }
    if !instance.is_running() {
        return Err(Refusal::bad(NOT_RUNNING));
    }
    let reached = node::reach(call.nodes, &instance).await?;
    let slot = open.take(&instance)?;
    let target = reached.agent.open(&reached.target, Channel::Console).await.map_err(Refusal::internal)?;
    carry(request, target, slot, clock)
}

/// The screen, as VNC.
pub(super) async fn screen(
    call: &Call<'_>,
    open: &Arc<Open>,
    clock: &Arc<dyn Clock>,
    request: Request<Body>,
) -> Result<Response<Body>, Refusal> {
    let instance = call.instance().await?;
    judge_screen(&instance)?;
    let reached = node::reach(call.nodes, &instance).await?;
    let slot = open.take(&instance)?;
    let channel = Channel::Vnc { preserve_session: preserves(request.uri().query().unwrap_or_default()) };
    let target = reached.agent.open(&reached.target, channel).await.map_err(Refusal::internal)?;
    carry(request, target, slot, clock)
}

/// A picture of the screen. Refusals are plain text, as the reference's.
pub(super) async fn screenshot(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    picture(call).await.map_err(Refusal::into_text)
}

async fn picture(call: &Call<'_>) -> Result<Response<Body>, Refusal> {
    let instance = call.instance().await?;
    judge_screen(&instance)?;
    let reached = node::reach(call.nodes, &instance).await?;
    let png = reached.agent.screenshot(&reached.target).await.map_err(Refusal::internal)?;
    Ok(answer(StatusCode::OK, "image/png", png))
}

fn judge_screen(instance: &Instance) -> Result<(), Refusal> {
    if instance.spec.domain.devices.autoattach_graphics_device == Some(false) {
        return Err(Refusal::bad("No graphics devices are present."));
    }
    if instance.is_running() { Ok(()) } else { Err(Refusal::bad(NOT_RUNNING)) }
}

/// Whether the query asks not to disturb another viewer.
fn preserves(query: &str) -> bool {
    let value = query.split('&').find_map(|pair| pair.strip_prefix("preserveSession="));
    matches!(value, Some("1" | "t" | "T" | "true" | "TRUE" | "True"))
}

/// A port of the guest.
pub(super) async fn port(
    call: &Call<'_>,
    parameters: &[&str],
    open: &Arc<Open>,
    clock: &Arc<dyn Clock>,
    mut request: Request<Body>,
) -> Result<Response<Body>, Refusal> {
    if call.route.scope == Scope::Machine {
        let machine = call.machine().await?;
        if !machine.status.is_some_and(|status| status.created) {
            return Err(Refusal::conflict(Scope::Machine, call.name, "VMI is not started"));
        }
    }
    let instance = call.instance().await?;
    if instance.is_paused() {
        return Err(instance.conflict("VMI is paused"));
    }
    let interface = instance.status.interfaces.first();
    // An instance that its node has just been given has interfaces, and no address yet.
    let is_coming = instance.is_on_node() && !instance.spec.domain.devices.interfaces.is_empty();
    if interface.is_none() && !is_coming {
        return Err(Refusal::bad("no network interfaces are present"));
    }
    let address = interface.map(|interface| interface.ip_address.as_str()).unwrap_or_default();
    let channel = channel(parameters).map_err(|why| Refusal::internal(format!("dialing VM: {why}")))?;
    // Datagrams are dialled without an answer, so that clients know a wrong handshake to be told of first.
    let handshake = matches!(channel, Channel::Udp { .. }).then(|| websocket::accept(&mut request));
    let handshake = handshake.transpose()?;
    let slot = open.take(&instance)?;
    let agent = call.nodes.agent(&instance.status.node_name).await;
    let target = match (agent, instance.is_on_node()) {
        (Some(_), true) => {
            let reached = node::reach(call.nodes, &instance).await?;
            reached.agent.open(&reached.target, channel).await.map_err(|error| error.to_string())
        }
        // An agent of another process: its Pods are reached on the cluster's network.
        _ => dial(address, &channel).await,
    };
    let target = target.map_err(|why| Refusal::internal(format!("dialing VM: {why}")))?;
    match handshake {
        Some((response, accepted)) => Ok(carried(response, accepted, target, slot, clock)),
        None => carry(request, target, slot, clock),
    }
}

/// Reads port and protocol. Failures are worded as dialling words them, since clients show them as such.
fn channel(parameters: &[&str]) -> Result<Channel, String> {
    let text = parameters.first().copied().unwrap_or_default();
    let protocol = parameters.get(1).copied().unwrap_or("tcp");
    let port = text.parse::<u16>().ok().filter(|port| *port > 0);
    match (protocol, port) {
        ("tcp", Some(port)) => Ok(Channel::Tcp { port }),
        ("udp", Some(port)) => Ok(Channel::Udp { port }),
        ("tcp" | "udp", None) => Err(format!("dial {protocol}: lookup {protocol}/{text}: unknown port")),
        _ => Err(format!("dial {protocol}: unknown network {protocol}; use tcp or udp")),
    }
}

/// Connects to the address that the instance's status shows.
async fn dial(address: &str, channel: &Channel) -> Result<Box<dyn Stream>, String> {
    let (protocol, port) = match *channel {
        Channel::Tcp { port } => ("tcp", port),
        Channel::Udp { port } => ("udp", port),
        Channel::Console | Channel::Vnc { .. } => return Err("only ports are dialled".to_owned()),
    };
    if address.is_empty() {
        return Err(format!("dial {protocol} :{port}: the instance has no address yet"));
    }
    let failed =
        |error: std::io::Error| format!("dial {protocol} {address}:{port}: connect: {}", error.kind());
    if protocol == "udp" {
        let own = if address.contains(':') { "[::]:0" } else { "0.0.0.0:0" };
        let socket = UdpSocket::bind(own).await.map_err(failed)?;
        socket.connect((address, port)).await.map_err(failed)?;
        return Ok(Box::new(Datagrams(socket)));
    }
    let stream = TcpStream::connect((address, port)).await.map_err(failed)?;
    // Keystrokes must not wait for more to send.
    let _ = stream.set_nodelay(true);
    Ok(Box::new(stream))
}

/// Answers the handshake and carries bytes from then on.
fn carry(
    mut request: Request<Body>,
    target: Box<dyn Stream>,
    slot: Slot,
    clock: &Arc<dyn Clock>,
) -> Result<Response<Body>, Refusal> {
    let (response, accepted) = websocket::accept(&mut request)?;
    Ok(carried(response, accepted, target, slot, clock))
}

/// Carries bytes once the answer to the handshake is out.
fn carried(
    response: Response<Body>,
    accepted: websocket::Accepted,
    target: Box<dyn Stream>,
    slot: Slot,
    clock: &Arc<dyn Clock>,
) -> Response<Body> {
    let clock = clock.clone();
    tokio::spawn(async move {
        let _slot = slot;
        accepted.carry(target, clock).await;
    });
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_numbers_with_a_protocol() {
        assert_eq!(channel(&["22"]), Ok(Channel::Tcp { port: 22 }));
        assert_eq!(channel(&["53", "udp"]), Ok(Channel::Udp { port: 53 }));
        for wrong in [&["abc"][..], &["0"], &["70000"], &["22", "sctp"]] {
            assert!(channel(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_session_is_preserved_when_the_query_says_so() {
        for (query, expected) in [
            ("", false),
            ("preserveSession=true", true),
            ("a=b&preserveSession=1", true),
            ("preserveSession=no", false),
        ] {
            assert_eq!(preserves(query), expected, "{query}");
        }
    }

    #[test]
    fn streams_are_bounded_by_instance_namespace_and_in_all() {
        let open = Arc::new(Open::default());
        let of = |namespace: &str, uid: &str| -> Instance {
            let metadata = serde_json::json!({"namespace": namespace, "uid": uid});
            serde_json::from_value(serde_json::json!({"metadata": metadata})).expect("an instance")
        };
        let take = |namespace: &str, uid: &str| open.take(&of(namespace, uid));
        let many = |namespace: &str, uid: &str| -> Vec<Slot> {
            (0..PER_INSTANCE).map(|_| take(namespace, uid).expect("a slot")).collect()
        };
        let first = many("n", "0");
        assert!(take("n", "0").is_err());
        let mut others: Vec<_> =
            (1..PER_NAMESPACE / PER_INSTANCE).map(|uid| many("n", &uid.to_string())).collect();
        assert!(take("n", "another").is_err());
        assert!(take("m", "0").is_ok());
        drop(first);
        assert!(take("n", "another").is_ok());
        for machine in 0..(IN_ALL - (PER_NAMESPACE - PER_INSTANCE)) / PER_INSTANCE {
            others.push(many(&format!("m{}", machine % 4), &format!("{machine}")));
        }
        assert!(take("o", "0").is_err());
        drop(others);
        assert!(take("n", "0").is_ok());
        assert!(open.0.lock().is_empty());
    }
}
