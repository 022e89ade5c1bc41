//! Registries that are down or lie, each with a machine that waits for its image: one sentence for each, nothing left of
//! what was bad, and all of them run when the registries are mended.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use e2e::{container_disk, machine};
use kit::false_registry::{Asked, Done, FalseRegistry, Fault, Parts, head, reply, send_for_ever};
use kit::{Installation, Options, until, until_none, until_some};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(120);
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// Name, fault, and what people are told.
const CASES: &[(&str, Fault, &str)] = &[
    ("status", |_, _, to| reply(to, "503 Busy", "retry-after: 3600\r\n", b"oh"), "answers 503: oh"),
    (
        "login",
        |_, _, to| reply(to, "401 Who", "www-authenticate: Basic realm=x\r\n", b""),
        "asks for a login",
    ),
    ("redirects", |_, _, to| reply(to, "302 There", "location: 1\r\n", b""), "redirects again and again"),
    ("hangs-up", |_, _, _| Done::Answered, "cannot be reached"),
    ("page", |_, _, to| reply(to, "200 OK", "", b"<html>hotel</html>"), "sends a web page"),
    ("old", |_, _, to| reply(to, "200 OK", "", br#"{"schemaVersion":1}"#), "old schema 1"),
    ("endless", endless, "exceeds the limit of 4194304 bytes"),
    ("platform", platform, "has no variant for linux/amd64; it offers linux/s390x"),
    ("index", index, "it was damaged or replaced on its way"),
    (
        "chart",
        |_, parts, _| described(parts, "application/vnd.cncf.helm.chart.content.v1.tar+gzip"),
        "layer of the type",
    ),
    ("config", |asked, _, to| wrong(asked == Asked::Config, to, b"{}"), "instead of"),
    ("layer", |asked, _, to| wrong(asked == Asked::Layer, to, b"x"), "1 bytes instead of"),
    ("absent", absent, "has the image without its part"),
    ("cut", cut, "end of file before message length reached"),
    ("garbage", garbage, "cannot be unpacked"),
    ("bomb", bomb, "unpacked image's size exceeds the limit"),
];

fn endless(asked: Asked, _: &mut Parts, to: &mut TcpStream) -> Done {
    if asked != Asked::Manifest {
        return Done::Serve;
    }
    head(to, "200 OK", "");
    send_for_ever(to, &[b' '; 8192])
}

fn platform(_: Asked, parts: &mut Parts, _: &mut TcpStream) -> Done {
    parts.manifest = list(&parts.manifest, "s390x", &kit::false_registry::digest(b"other"));
    Done::Serve
}

/// An index whose entry is not what its digest says.
fn index(asked: Asked, parts: &mut Parts, to: &mut TcpStream) -> Done {
    let index = list(&parts.manifest, "amd64", &kit::false_registry::digest(b"other"));
    wrong(asked == Asked::Manifest, to, index.to_string().as_bytes())
}

fn list(manifest: &Value, architecture: &str, digest: &str) -> Value {
    json!({"schemaVersion": 2, "manifests": [{
        "mediaType": manifest["mediaType"], "digest": digest, "size": 2,
        "platform": {"architecture": architecture, "os": "linux"},
    }]})
}

fn described(parts: &mut Parts, kind: &str) -> Done {
    parts.describe(kind);
    Done::Serve
}

fn wrong(is_it: bool, to: &mut TcpStream, body: &[u8]) -> Done {
    if is_it { reply(to, "200 OK", "", body) } else { Done::Serve }
}

fn absent(asked: Asked, _: &mut Parts, to: &mut TcpStream) -> Done {
    if asked == Asked::Layer { reply(to, "404 No", "", b"") } else { Done::Serve }
}

/// Half of a layer, and that late: the next attempt is due before this one has ended.
fn cut(asked: Asked, parts: &mut Parts, to: &mut TcpStream) -> Done {
    if asked != Asked::Layer {
        return Done::Serve;
    }
    std::thread::sleep(Duration::from_secs(1));
    head(to, "200 OK", &format!("content-length: {}\r\n", parts.layer.len()));
    drop(to.write_all(&parts.layer[..1000]));
    Done::Answered
}

fn garbage(_: Asked, parts: &mut Parts, _: &mut TcpStream) -> Done {
    parts.layer = [&[0x1f, 0x8b][..], &[7; 1000]].concat();
    described(parts, LAYER)
}

/// A layer of some hundred bytes that says it holds a file of 64 TiB.
fn bomb(_: Asked, parts: &mut Parts, _: &mut TcpStream) -> Done {
    parts.layer = Parts::of("disk/disk.img", b"").layer;
    let header = &mut parts.layer[..512];
    header[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0]);
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    described(parts, LAYER)
}

#[test]
fn machines_tell_what_is_wrong_with_their_registry_and_run_when_it_is_mended() {
    let faults: Vec<_> = CASES.iter().map(|(name, fault, _)| (*name, *fault)).collect();
    let registry = FalseRegistry::start(&faults);
    let installation = Installation::start(Options { images: false, ..Options::default() });
    let mut manifest = String::new();
    for (name, ..) in CASES {
        let machine = machine(name, &container_disk(&registry.reference(name)));
        // So that all of them have a place on a small machine at the same time.
        let small = machine.replace("memory: {guest: 64Mi}", "memory: {guest: 16Mi}");
        manifest += &small.replace("devices:", "resources: {requests: {cpu: 1m}}\n        devices:");
    }
    // Nobody listens there, and nobody has the name.
    let nowhere = [("refused", "127.0.0.1:1", "Connection refused"), ("nameless", "a.invalid", "lookup")];
    for (name, host, _) in &nowhere {
        write!(manifest, "{}", machine(name, &container_disk(&format!("{host}/a:1")))).expect("a text");
    }
    installation.apply(&manifest);

    let told = CASES.iter().map(|(name, _, told)| (*name, *told));
    for (name, sentence) in told.chain(nowhere.iter().map(|(name, _, told)| (*name, *told))) {
        let told = until_some(&format!("{name} says {sentence:?}"), PATIENCE, || {
            installation.condition("vmi", name, "Synchronized").filter(|told| told.contains(sentence))
        });
        assert!(told.len() < 500 && (told.contains("/images/") || told.contains("/a:1")), "{name}: {told}");
        until(&format!("{name} shows it"), PATIENCE, || {
            let machine = installation.get("vm", "default", name).expect("the machine");
            let word = machine["status"]["printableStatus"].as_str().unwrap_or_default();
            ["ErrImagePull", "ImagePullBackOff"].contains(&word)
        });
    }
    for reason in ["Pulling", "Failed", "BackOff"] {
        has_event(&installation, &registry.reference("status"), reason);
    }

    registry.mend();
    for (name, ..) in CASES {
        until(&format!("{name} runs"), PATIENCE, || {
            installation.get("vmi", "default", name).is_some_and(|vmi| vmi["status"]["phase"] == "Running")
        });
    }
    has_event(&installation, &registry.reference("status"), "Pulled");
    installation.kubectl(&["delete", "vm", "refused", "nameless", "--timeout", "60s"]).expect("deleting");
    for folder in ["staging", "pulls"] {
        until_none(&format!("nothing is left in {folder}"), PATIENCE, || {
            let left = std::fs::read_dir(installation.data_dir().join("images").join(folder));
            left.expect("the folder").map(|entry| format!("{:?}", entry.expect("a file").path())).collect()
        });
    }
}

/// Waits for an Event that names an image: good news are written some seconds later than the rest.
fn has_event(installation: &Installation, image: &str, reason: &str) {
    until(&format!("an event tells of {image}: {reason}"), PATIENCE, || {
        installation.list("events").iter().any(|event| {
            event["reason"] == reason && event["message"].as_str().is_some_and(|text| text.contains(image))
        })
    });
}
