//! A node that cannot report itself.

use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use effects::{SeededEntropy, VirtualClock};
use network::pod::{NodeNetworkConfig, Uplink};

use super::*;

fn config() -> KubeletConfig {
    KubeletConfig {
        node: "node-0".into(),
        root: "/nowhere".into(),
        local_volumes: "/nowhere/volumes".into(),
        helper: host::Helper::new("/nowhere/helper"),
        builtin: Vec::new(),
        network: NodeNetworkConfig {
            instance: "test".into(),
            node: 0,
            network: None,
            state: "/nowhere/network".into(),
            namespace: None,
            uplink: Uplink::Bridge,
            peers: Vec::new(),
        },
        cluster_dns: None,
        resolv_conf: None,
        cgroup: "test".into(),
        image_space: None,
        kvm: false,
        address: IpAddr::from([127, 0, 0, 1]),
        release: "v0.1.0".into(),
        cpus: None,
        memory_bytes: None,
    }
}

#[tokio::test(start_paused = true)]
async fn pressure_that_could_not_be_told_is_told_with_the_next_try() {
    // The Node as the server has it; answers to what changes its status, and when.
    type Told = Vec<(Duration, bool, String)>;
    let told: Arc<Mutex<Told>> = Arc::default();
    let fails = Arc::new(AtomicU32::new(0));
    let clock: Arc<dyn effects::Clock> = Arc::new(VirtualClock::new(Timestamp::UNIX_EPOCH));
    let service = {
        let (told, fails, clock) = (Arc::clone(&told), Arc::clone(&fails), Arc::clone(&clock));
        tower::service_fn(move |request: hyper::Request<kube::client::Body>| {
            let (told, fails, clock) = (Arc::clone(&told), Arc::clone(&fails), Arc::clone(&clock));
            async move {
                let is_status = request.uri().path().ends_with("/status");
                let body = request.into_body().collect_bytes().await.expect("a body");
                let mut code = 200;
                if is_status {
                    let failed = fails
                        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                        .is_ok();
                    let body: Value = serde_json::from_slice(&body).expect("a patch");
                    let word = body["status"]["conditions"][0]["status"].as_str().map(str::to_owned);
                    told.lock().expect("no panic").push((clock.elapsed(), failed, word.expect("a word")));
                    code = if failed { 500 } else { 200 };
                }
                let ready = json!([{ "type": "Ready", "status": "True" }]);
                let node = json!({ "metadata": { "name": "node-0" }, "status": { "conditions": ready } });
                let answer = http_body_util::Full::new(bytes::Bytes::from(node.to_string()));
                hyper::Response::builder().status(code).body(answer)
            }
        })
    };
    let client = kube_ext::in_process(service, "kubelet");
    let context = Context::new(client, Arc::clone(&clock), Arc::new(SeededEntropy::new(1)));
    let pressure = Pressure::default();
    let keep = keep(config(), context, pressure.clone());
    let story = async {
        clock.sleep(Duration::from_secs(12)).await;
        for problem in [Some("hardly any".to_owned()), None] {
            fails.store(2, Ordering::SeqCst);
            pressure.set_memory(problem);
            clock.sleep(Duration::from_secs(25)).await;
        }
    };
    tokio::select! {
        () = keep => {}
        () = story => {}
    }
    let told = told.lock().expect("no panic").clone();
    let words: Vec<(bool, &str)> = told.iter().map(|(_, failed, word)| (*failed, word.as_str())).collect();
    let (no, yes) = ("False", "True");
    let first = [(false, no)];
    let short = [(true, yes), (true, yes), (false, yes)];
    let enough = [(true, no), (true, no), (false, no)];
    assert_eq!(words, [&first[..], &short, &enough].concat(), "{told:?}");
    for tries in [&told[1..4], &told[4..7]] {
        assert!(tries[2].0 <= tries[0].0 + 3 * RETRY, "{told:?}");
    }
}
