//! A tenant who means harm: Pods with links and pipes where the node reads, machines with paths that lead elsewhere,
//! streams without end. Nothing of the host is shown, and nobody else notices.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use e2e::requests::{Answer, Identity, Question, ask};
use e2e::streams::{Proxy, Stream};
use e2e::{BLANK, blank, container_disk, machine};
use kit::{Installation, Options, until, until_some};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

const PATIENCE: Duration = Duration::from_secs(120);
/// Image with a shell.
const TOOLS: &str = "test.local/tools:1";
/// What is in a file of the host that no tenant may read.
const SECRET: &str = "for the host's eyes only";
/// Streams that one machine has at most.
const MOST_STREAMS: usize = 64;
/// Connections that say nothing.
const SILENT: usize = 200;
/// Bytes that the control plane may grow by under a flood.
const GROWTH: u64 = 192 << 20;

#[test]
fn a_hostile_tenant_reaches_nothing_and_disturbs_nobody() {
    let installation = Installation::start(Options { images: false, ..Options::default() });
    installation.load(BLANK, &[("disk/disk.img", &blank())]);
    let shell = std::fs::read("/usr/bin/busybox").expect("busybox is installed by make deps");
    installation.load(TOOLS, &[("busybox", &shell)]);
    let secret = installation.data_dir().join("secret");
    std::fs::write(&secret, SECRET).expect("a file of the host");
    let tenant = Tenant::of(&installation);

    let victims =
        format!("{}{}", machine("first", &container_disk(BLANK)), machine("second", &container_disk(BLANK)));
    installation.apply(&victims);
    pods_do_not_lead_out(&tenant, &secret.display().to_string());
    paths_do_not_lead_out(&tenant, &secret.display().to_string());
    for name in ["first", "second"] {
        until(&format!("{name} runs"), PATIENCE, || {
            let machine = installation.get("vm", "default", name).unwrap_or_default();
            machine["status"]["printableStatus"] == "Running"
        });
    }
    floods_are_bounded(&installation);
}

/// Somebody with the standard role `edit` in one namespace.
struct Tenant<'a> {
    installation: &'a Installation,
    token: String,
}

impl<'a> Tenant<'a> {
    fn of(installation: &'a Installation) -> Self {
        let account = ["create", "serviceaccount", "tenant"];
        let binding =
            ["create", "rolebinding", "tenant", "--clusterrole=edit", "--serviceaccount=default:tenant"];
        installation.kubectl(&account).expect("an account");
        installation.kubectl(&binding).expect("its rights");
        let token = installation.kubectl(&["create", "token", "tenant"]).expect("a token");
        Self { installation, token: token.trim().to_owned() }
    }

    fn ask(&self, method: &'static str, path: &str, body: &str) -> Answer {
        let identity = Identity::Token(self.token.clone());
        let question = Question { identity, method, path: path.to_owned(), body: body.to_owned() };
        ask(self.installation, &[question]).remove(0)
    }

    fn create(&self, path: &str, object: &Value) -> Answer {
        self.ask("POST", path, &object.to_string())
    }
}

const PODS: &str = "/api/v1/namespaces/default/pods";

/// A Pod whose program is the tenant's, and which asks the node to show one of its files as a log.
fn pod(name: &str, script: &str) -> Value {
    let image = "ironclad.local/virt-launcher:1";
    let private = json!({"name": "private", "mountPath": "/var/run/kubevirt-private"});
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 0,
            "initContainers": [{
                "name": "log", "image": image, "restartPolicy": "Always",
                "command": ["/usr/bin/ironclad-launcher", "virt-tail", "--logfile", "/var/run/kubevirt-private/serial0.log"],
                "volumeMounts": [private],
            }],
            "containers": [{
                "name": "main", "image": image,
                "command": ["/tools/busybox", "sh", "-c", script],
                "volumeMounts": [private, {"name": "tools", "mountPath": "/tools"}],
            }],
            "volumes": [
                {"name": "private", "emptyDir": {}},
                {"name": "tools", "image": {"reference": TOOLS, "pullPolicy": "Never"}},
            ],
        },
    })
}

fn pods_do_not_lead_out(tenant: &Tenant<'_>, secret: &str) {
    let begin = "cd /var/run/kubevirt-private; b=/tools/busybox";
    let end = "$b mkfifo exit-code; echo ready; exec $b sleep 600";
    let link = format!("{begin}; $b ln -s {secret} serial0.log; $b ln -s {secret} serial0.log.1; {end}");
    let pipe = format!("{begin}; $b mkfifo serial0.log; {end}");
    let up = format!("{begin}; $b ln -s / door; $b ln -s door{secret} serial0.log; {end}");
    let scripts = [("link", link), ("pipe", pipe), ("up", up)];
    for (name, script) in &scripts {
        let answer = tenant.create(PODS, &pod(name, script));
        assert_eq!(answer.code, 201, "{}", answer.body);
    }
    for (name, _) in &scripts {
        let log = |container: &str| {
            tenant.ask("GET", &format!("{PODS}/{name}/log?container={container}&tailLines=100"), "")
        };
        until(&format!("the Pod {name} is ready"), PATIENCE, || log("main").body.contains("ready"));
        let asked = Instant::now();
        let answer = log("log");
        assert!(asked.elapsed() < Duration::from_secs(20), "{name}: the node waits for the tenant");
        assert_ne!(answer.code, 200, "{name}: {}", answer.body);
        assert!(!answer.body.contains(SECRET), "{name}: {}", answer.body);
    }
    // Numbers that mean "nobody else" to the system would leave a Pod root.
    for user in [4_294_967_295_i64, 4_294_967_296, -1] {
        let mut root = pod("root", "exit 0");
        root["spec"]["securityContext"] = json!({"runAsUser": user});
        let answer = tenant.create(PODS, &root);
        assert_eq!(answer.code, 422, "{user}: {}", answer.body);
    }
    for (name, _) in &scripts {
        let answer = tenant.ask("DELETE", &format!("{PODS}/{name}"), "");
        assert_eq!(answer.code, 200, "{}", answer.body);
    }
    until("the Pods are gone, pipes or not", PATIENCE, || {
        scripts.iter().all(|(name, _)| tenant.ask("GET", &format!("{PODS}/{name}"), "").code == 404)
    });
}

/// A machine with one volume.
fn hostile_machine(name: &str, volume: &Value) -> Value {
    json!({
        "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": {"name": name},
        "spec": {"runStrategy": "Always", "template": {"spec": {
            "terminationGracePeriodSeconds": 0,
            "domain": {
                "memory": {"guest": "64Mi"},
                "devices": {"disks": [{"name": volume["name"], "disk": {"bus": "virtio"}}]},
            },
            "volumes": [volume],
        }}},
    })
}

fn paths_do_not_lead_out(tenant: &Tenant<'_>, secret: &str) {
    const MACHINES: &str = "/apis/kubevirt.io/v1/namespaces/default/virtualmachines";
    let from_image = |path: String| json!({"name": "d", "containerDisk": {"image": BLANK, "path": path}});
    let from_secret = |name: &str| json!({"name": "d", "cloudInitNoCloud": {"secretRef": {"name": name}}});
    let named = |name: &str| json!({"name": name, "containerDisk": {"image": BLANK}});
    let mut refused = vec![
        ("a volume's name leads up", named("../../d")),
        ("a volume's name has a slash", named("a/b")),
        ("a volume's name ends early", named("a\0b")),
        ("a volume's name is long", named(&"n".repeat(4096))),
        ("a disk of the host", json!({"name": "d", "hostDisk": {"path": secret, "type": "Disk"}})),
    ];
    let large = "x".repeat(8 << 20);
    refused.push(("megabytes of user data", json!({"name": "d", "cloudInitNoCloud": {"userData": large}})));
    for (what, volume) in &refused {
        let answer = tenant.create(MACHINES, &hostile_machine("refused", volume));
        assert!((400..500).contains(&answer.code), "{what}: {} {:.300}", answer.code, answer.body);
    }
    for name in ["..", "a/b", "a%2Fb", "A", &"n".repeat(300)] {
        let answer = tenant.create(MACHINES, &hostile_machine(name, &named("d")));
        assert!((400..500).contains(&answer.code), "{name}: {} {:.300}", answer.code, answer.body);
    }
    let let_in = [
        ("up", from_image(format!("../../../../../../..{secret}"))),
        ("absolute", from_image(secret.to_owned())),
        ("through", from_image(format!("/proc/self/root{secret}"))),
        ("foreign", from_secret("../../kube-system/secrets/x")),
        ("query", from_secret("x?watch=true")),
        (
            "claim",
            json!({"name": "d", "persistentVolumeClaim": {"claimName": "../../two/persistentvolumeclaims/x"}}),
        ),
    ];
    for (name, volume) in &let_in {
        let answer = tenant.create(MACHINES, &hostile_machine(name, volume));
        if (400..500).contains(&answer.code) {
            continue;
        }
        assert_eq!(answer.code, 201, "{name}: {}", answer.body);
        let told = until_some(&format!("{name} says why it does not run"), PATIENCE, || {
            let instance = tenant.installation.get("vm", "default", name)?;
            let conditions = instance["status"]["conditions"].as_array()?.clone();
            conditions.into_iter().find_map(|condition| {
                let message = condition["message"].as_str()?;
                let names_it = ["d: ", "volumes[0]", "claim", "does not exist"]
                    .iter()
                    .any(|word| message.contains(word));
                (condition["status"] != "True" || condition["type"] == "Failure").then_some(())?;
                names_it.then(|| message.to_owned())
            })
        });
        assert!(!told.contains(SECRET), "{name}: {told}");
        let machine = tenant.installation.get("vm", "default", name).unwrap_or_default();
        assert_ne!(machine["status"]["printableStatus"], "Running", "{name}");
        let gone = tenant.ask("DELETE", &format!("{MACHINES}/{name}"), "");
        assert_eq!(gone.code, 200, "{}", gone.body);
    }
}

fn floods_are_bounded(installation: &Installation) {
    let proxy = Proxy::start(installation);
    let before = memory(installation.pid());
    let mut streams: Vec<Stream> = (0..MOST_STREAMS).map(|_| proxy.open("/first/console")).collect();
    assert_eq!(proxy.refused("/first/console"), 429);
    assert_eq!(proxy.refused("/first/portforward/22"), 429);
    let neighbour = proxy.open("/second/console");

    // Connections that say nothing, or begin and do not go on.
    let server = address(installation);
    let mut silent: Vec<TcpStream> =
        (0..SILENT).map(|_| TcpStream::connect(&server).expect("the API listens")).collect();
    for connection in silent.iter_mut().step_by(2) {
        connection.write_all(&[22, 3, 1, 2, 0, 1]).expect("the beginning of a handshake");
    }
    let asked = Instant::now();
    installation.kubectl(&["get", "vm"]).expect("the API answers in a flood");
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());

    // Masked, in binary, of all the bytes there are: nobody makes room for that.
    let endless = [0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4, 5, 6];
    for stream in streams.iter_mut().take(8) {
        stream.socket.get_mut().write_all(&endless).expect("sending");
    }
    let mut ended = String::new();
    for stream in streams.iter_mut().take(8) {
        stream.socket.get_ref().set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let end = loop {
            match stream.socket.read() {
                Ok(Message::Close(_)) => break "closed".to_owned(),
                Ok(_) => {}
                Err(error) => break error.to_string(),
            }
        };
        writeln!(ended, "{end}").expect("memory");
    }
    assert!(!ended.contains("timed out") && !ended.contains("temporarily"), "a frame is waited for: {ended}");
    until("their places are free", PATIENCE, || proxy.try_open("/first/console").is_ok());
    // As large as is taken, all at once, into a machine that reads nothing.
    let piece = vec![b'x'; 1 << 20];
    for stream in streams.iter_mut().skip(8) {
        stream.socket.get_ref().set_write_timeout(Some(Duration::from_millis(20))).expect("a timeout");
        // It may not all go out, and that is as it should be.
        drop(stream.socket.send(Message::Binary(piece.clone().into())));
    }
    let grown = memory(installation.pid()).saturating_sub(before);
    assert!(grown < GROWTH, "the control plane grew by {} MiB", grown >> 20);

    // Gone without a word.
    drop((streams, silent));
    until("what was left behind is given back", PATIENCE, || proxy.try_open("/first/console").is_ok());
    drop(neighbour);
    installation.kubectl(&["get", "vm"]).expect("the API answers afterwards");
}

/// Bytes of memory that a process holds.
fn memory(pid: i32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).expect("it runs");
    let pages: u64 = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
    pages * rustix::param::page_size() as u64
}

/// Where the API listens.
fn address(installation: &Installation) -> String {
    let template = "jsonpath={.clusters[0].cluster.server}";
    let server = installation.kubectl(&["config", "view", "-o", template]).expect("kubectl");
    server.trim().trim_start_matches("https://").to_owned()
}
