//! Probes of a Pod whose guest never answers, against a server that only counts.

use std::convert::Infallible;
use std::sync::atomic::AtomicU32;

use bytes::Bytes;
use effects::{Clock, SeededEntropy, VirtualClock};
use http_body_util::Full;
use jiff::Timestamp;
use kube_ext::{Tasks, in_process, work};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::*;
use crate::record::Starved;
use crate::runtime::{Life, Order, RuntimeError, Unreached};
use crate::view::StatusView;

/// Refuses each connection in other words.
#[derive(Default)]
struct Silence(AtomicU32);

#[async_trait::async_trait]
impl Runtime for Silence {
    async fn dial(&self, _: &Record, _: Option<&str>, _: u16) -> Result<TcpStream, Unreached> {
        let number = self.0.fetch_add(1, Ordering::SeqCst);
        Err(Unreached::Failed(format!("\x1b[31mrefusal {number} {}", "and so on ".repeat(100))))
    }
    async fn adopt(&self) -> Vec<Record> {
        Vec::new()
    }
    async fn start(&self, order: Order) -> Result<Record, RuntimeError> {
        Err(RuntimeError { reason: "Untested", message: order.name })
    }
    async fn life(&self, _: &Record) -> Life {
        Life::Running
    }
    async fn starved(&self, _: &Record) -> Option<Starved> {
        None
    }
    async fn ended(&self, _: &Record) {}
    async fn terminate(&self, _: &Record) -> Result<(), RuntimeError> {
        Ok(())
    }
    async fn kill(&self, _: &Record) -> Result<(), RuntimeError> {
        Ok(())
    }
    async fn release(&self, _: &Record) -> Result<(), RuntimeError> {
        Ok(())
    }
    async fn forget(&self, _: &str) -> Result<(), RuntimeError> {
        Ok(())
    }
}

/// What a Pod's probes lead to.
struct World {
    clock: Arc<dyn Clock>,
    probes: Probes,
    record: Record,
    pod: PodView,
    /// Bodies of requests to the server.
    written: Arc<Mutex<Vec<Value>>>,
    decisions: Arc<AtomicU32>,
}

impl World {
    /// Begins with one probe, each second; a third failure in a row counts.
    fn new(kind: Kind) -> Self {
        let written: Arc<Mutex<Vec<Value>>> = Arc::default();
        let notes = Arc::clone(&written);
        let service = tower::service_fn(move |request: hyper::Request<kube::client::Body>| {
            let notes = Arc::clone(&notes);
            async move {
                let body = request.into_body().collect_bytes().await.expect("a body");
                let body: Value = serde_json::from_slice(&body).expect("an object");
                let answer = Full::new(Bytes::from(body.to_string()));
                notes.lock().expect("no panic").push(body);
                Ok::<_, Infallible>(hyper::Response::new(answer))
            }
        });
        let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new(Timestamp::UNIX_EPOCH));
        let client = in_process(service, "kubelet");
        let context = Context::new(client, Arc::clone(&clock), Arc::new(SeededEntropy::new(1)));
        let mut tasks = Tasks::new();
        let recorder = Recorder::start(&context, "kubelet", &mut tasks);
        let queue = Queue::new(Arc::clone(&clock));
        let decisions = Arc::new(AtomicU32::new(0));
        let (count, asked) = (Arc::clone(&decisions), queue.clone());
        tasks.add(work(asked, 1, move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            async { Ok(None) }
        }));
        tokio::spawn(tasks.run(std::future::pending()));
        let second = Duration::from_secs(1);
        let probe = Probe {
            kind,
            question: Question::Tcp { host: None, port: 22 },
            delay: Duration::ZERO,
            period: second,
            timeout: second,
            successes: 1,
            failures: 3,
        };
        let pod = PodView {
            uid: "u".into(),
            grace: None,
            has_finalizers: false,
            containers: vec![("compute".into(), "image".into())],
            init_containers: Vec::new(),
            gates: BTreeMap::new(),
            opens: Vec::new(),
            probes: vec![probe],
            paused: false,
            end_grace: second,
            status: StatusView::default(),
        };
        let record = Record::lost(&Key::new("n", "p"), "u", Timestamp::UNIX_EPOCH);
        let runtime = Arc::new(Silence::default());
        let probes = Probes::new(context, recorder, queue, runtime, "/nowhere".into());
        Self { clock, probes, record, pod, written, decisions }
    }

    /// Lets time pass; returns what the probes have found then.
    async fn after(&self, milliseconds: u64) -> Verdict {
        self.look();
        self.clock.sleep(Duration::from_millis(milliseconds)).await;
        self.look()
    }

    fn look(&self) -> Verdict {
        self.probes.verdict(&Key::new("n", "p"), &self.record, &self.pod, true)
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_ended_for_silence_while_standing_still() {
    let mut world = World::new(Kind::Liveness);
    world.pod.paused = true;
    assert_eq!(world.after(60_500).await.dead, None);
    assert_eq!(world.written.lock().expect("no panic").len(), 0, "it has not failed");
    // Going on, it has all its tries again, each time.
    for _ in 0..3 {
        world.pod.paused = false;
        assert_eq!(world.after(2_100).await.dead, None);
        world.pod.paused = true;
        assert_eq!(world.after(10_000).await.dead, None);
    }
    world.pod.paused = false;
    let dead = world.after(4_100).await.dead.expect("an end");
    assert!(dead.starts_with("Liveness probe failed: [31mrefusal"), "{dead}");
}

#[tokio::test(start_paused = true)]
async fn looks_that_fail_in_other_words_each_time_are_seldom_news() {
    let world = World::new(Kind::Readiness);
    let unready = world.after(1_000_500).await.unready.expect("it fails");
    assert!(
        unready.starts_with("Readiness probe failed: [31mrefusal 9"),
        "the words are late ones: {unready}"
    );
    assert!(unready.len() < 450, "{} bytes", unready.len());
    let decisions = world.decisions.load(Ordering::SeqCst);
    assert!((2..=1 + 1000 / 30).contains(&decisions), "{decisions} decisions: words count for half a minute");
    let written = world.written.lock().expect("no panic").clone();
    // As many as one may have at once, and one for each five minutes.
    assert_eq!(written.len(), 25 + 3, "of a thousand looks");
    for event in &written {
        let said = event["message"].as_str().expect("words");
        assert!(said.len() < 450 && !said.contains('\x1b'), "{said}");
    }
    assert_eq!(
        written[0]["involvedObject"],
        json!({
            "apiVersion": "v1", "kind": "Pod", "name": "p", "namespace": "n", "uid": "u",
        })
    );
}
