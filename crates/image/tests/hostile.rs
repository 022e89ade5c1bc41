//! Registries that fail, lie and spy: each gets one short sentence with the image's name, and nothing else.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up should fail")]

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};

use image::{Access, Credential, Limits, PullPolicy, Store};
use support::liar::{Liar, reply};
use support::registry::Registry;
use support::{build, descriptor, digest, layer};

const SIZE: usize = 100_000;

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open_with(folder.path(), Limits { document: 1 << 16, ..Limits::default() }).unwrap();
    (folder, store)
}

fn is_clean(folder: &tempfile::TempDir) -> bool {
    std::fs::read_dir(folder.path().join("staging")).unwrap().count() == 0
}

fn login(registry: &str, password: &str) -> Access {
    let mut access = Access::default();
    let credential = Credential::Basic { username: "bob".to_owned(), password: password.to_owned() };
    access.credentials.insert(registry, credential);
    access
}

/// Pulls from a server that answers everything so, and returns the sentence.
async fn told(answer: Vec<u8>) -> (String, String) {
    let liar = Liar::start(move |_, _| answer.clone()).await;
    let (folder, store) = store();
    let name = liar.name("team/a:1");
    let error = store.pull(&name, PullPolicy::Always, &Access::default()).await.unwrap_err().to_string();
    assert!(is_clean(&folder) && store.list().unwrap().is_empty(), "{error}");
    (name, error)
}

#[tokio::test]
async fn each_way_to_fail_has_its_sentence() {
    let loud =
        format!(r#"{{"errors":[{{"code":"DENIED","message":"\u001b[31m{}\n"}}]}}"#, "x".repeat(10_000));
    let bearer = |realm: &str| format!("www-authenticate: Bearer realm=\"{realm}\",service=\"s\"\r\n");
    let oci = "content-type: application/vnd.oci.image.manifest.v1+json\r\n";
    let odd = serde_json::json!({
        "schemaVersion": 2, "config": descriptor("application/vnd.cncf.helm.config.v1+json", b"{}"),
        "layers": [descriptor("application/vnd.cncf.helm.chart.content.v1.tar+gzip", b"x")],
    });
    let mut other = descriptor("application/vnd.oci.image.manifest.v1+json", b"other");
    other["platform"] = serde_json::json!({"architecture": "s390x", "os": "linux"});
    let foreign = serde_json::json!({"schemaVersion": 2, "manifests": vec![other; 50]});
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (reply("302 Found", "location: /v2/team/a/manifests/1\r\n", b""), "redirects again and again"),
        (reply("403 Forbidden", "", loud.as_bytes()), "answers 403: DENIED [31mxxx"),
        (reply("500 Oh", "", b"<html>\r\nbroken</html>"), "answers 500: <html> broken</html>"),
        (reply("503 Busy", "", b""), "answers 503"),
        (reply("404 No", "", b""), "has no such image; correct the name or the tag"),
        (reply("401 Who", "www-authenticate: Basic realm=\"x\"\r\n", b""), "asks for a login; name a Secret"),
        (reply("401 Who", &bearer("nowhere"), b""), "the login service nowhere of its registry fails"),
        (
            reply("401 Who", &bearer("http://127.0.0.1:9/t"), b""),
            "login service 127.0.0.1 of its registry fails",
        ),
        (reply("200 OK", oci, &vec![b' '; 100_000]), "exceeds the limit of 65536 bytes"),
        (reply("200 OK", oci, br#"{"schemaVersion":1,"fsLayers":[]}"#), "old schema 1"),
        (reply("200 OK", oci, b"[[[["), "is not a valid OCI document"),
        (reply("200 OK", oci, &"[".repeat(60_000).into_bytes()), "is not a valid OCI document"),
        (reply("200 OK", oci, odd.to_string().as_bytes()), "has a layer of the type"),
        (reply("200 OK", oci, foreign.to_string().as_bytes()), "has no variant for linux/"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{".to_vec(), "cannot be reached"),
        (b"SSH-2.0-OpenSSH\r\n".to_vec(), "cannot be reached"),
    ];
    for (answer, sentence) in cases {
        let (name, error) = told(answer).await;
        assert!(
            error.contains(sentence) && error.contains(&name),
            "{sentence:?} or {name} is not in: {error}"
        );
        assert!(error.len() < 600 && !error.contains(char::is_control), "{error}");
    }
}

#[tokio::test]
async fn a_registry_that_is_down_is_named() {
    // Nobody listens on a port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (_folder, store) = store();
    let pulled = store.pull(&format!("{port}/a:1"), PullPolicy::Always, &Access::default()).await;
    let error = pulled.unwrap_err().to_string();
    assert!(error.contains("cannot be reached: Connection refused"), "{error}");
}

#[tokio::test]
async fn a_broken_download_goes_on_where_it_broke() {
    let noise: Vec<u8> = (0..SIZE as u32).map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let image = build(&[layer("disk/a.img", &noise)]);
    let blob = image.layers[0].clone();
    let (manifest, config) = (image.manifest.clone(), image.config.clone());
    let wanted = digest(&blob);
    let tries = AtomicUsize::new(0);
    let liar = Liar::start(move |path, head| {
        if path.contains("/manifests/") {
            reply("200 OK", "", &manifest)
        } else if path.ends_with(&digest(&config)) {
            reply("200 OK", "", &config)
        } else {
            let from = head.split("range: bytes=").nth(1).and_then(|rest| rest.split('-').next());
            let from: usize = from.map_or(0, |text| text.parse().unwrap());
            let whole = reply("200 OK", "", &blob);
            match tries.fetch_add(1, Ordering::SeqCst) {
                0 => whole[..whole.len() / 3].to_vec(),
                // One that knows no ranges begins again, and breaks again.
                1 => whole[..whole.len() / 2].to_vec(),
                _ => reply("206 Partial Content", "", &blob[from..]),
            }
        }
    })
    .await;
    let (_folder, store) = store();
    let pulled = store.pull(&liar.name("a:1"), PullPolicy::Always, &Access::default()).await.unwrap();
    assert_eq!(std::fs::read(store.unpacked(&pulled).unwrap().join("disk/a.img")).unwrap(), noise);
    assert_eq!(liar.seen(&wanted).len(), 3);
}

#[tokio::test]
async fn a_login_is_sent_nowhere_else() {
    let image = build(&[layer("x", b"x")]);
    let blob = image.layers[0].clone();
    let elsewhere = Liar::start(move |_, _| reply("200 OK", "", &blob)).await;
    let greedy = Liar::start(|_, _| reply("401 Who", "www-authenticate: Basic realm=\"x\"\r\n", b"")).await;
    for other in [&elsewhere, &greedy] {
        let (image, target) = (image.clone(), other.address);
        let own = Liar::start(move |path, head| {
            if !head.contains("authorization: basic") {
                reply("401 Who", "www-authenticate: Basic realm=\"x\"\r\n", b"")
            } else if path.contains("/manifests/") {
                reply("200 OK", "", &image.manifest)
            } else if path.ends_with(&digest(&image.config)) {
                reply("200 OK", "", &image.config)
            } else {
                reply("307 There", &format!("location: http://{target}/blob\r\n"), b"")
            }
        })
        .await;
        let (_folder, store) = store();
        let access = login(&own.address.to_string(), "secret");
        let pulled = store.pull(&own.name("a:1"), PullPolicy::Always, &access).await;
        assert_eq!(pulled.is_ok(), target == elsewhere.address, "{pulled:?}");
        let heads = other.seen("/blob");
        assert!(!heads.is_empty() && heads.iter().all(|head| !head.contains("authorization")), "{heads:?}");
    }
}

#[tokio::test]
async fn a_token_is_fetched_where_the_registry_says() {
    let service = Liar::start(|_, head| {
        if head.contains("authorization: basic") {
            reply("200 OK", "", br#"{"token":"t0ken","expires_in":60}"#)
        } else {
            reply("500 Oh", "", b"")
        }
    })
    .await;
    let image = build(&[layer("x", b"x")]);
    let (realm, shown) = (service.address, image.clone());
    let registry = Liar::start(move |path, head| {
        if !head.contains("authorization: bearer t0ken") {
            let asked = format!("www-authenticate: Bearer realm=\"http://{realm}/token\",service=\"me\"\r\n");
            reply("401 Who", &asked, b"")
        } else if path.contains("/manifests/") {
            reply("200 OK", "", &shown.manifest)
        } else if path.ends_with(&digest(&shown.config)) {
            reply("200 OK", "", &shown.config)
        } else {
            reply("200 OK", "", &shown.layers[0])
        }
    })
    .await;
    let (_folder, store) = store();
    let name = registry.name("team/a:1");
    let error = store.pull(&name, PullPolicy::Always, &Access::default()).await.unwrap_err().to_string();
    assert!(error.contains("login service 127.0.0.1 of its registry fails: it answers 500"), "{error}");
    let access = login(&registry.address.to_string(), "secret");
    store.pull(&name, PullPolicy::Always, &access).await.unwrap();
    let asked = service.seen("scope=repository%3ateam%2fa%3apull");
    assert!(asked.iter().all(|head| head.contains("service=me")) && asked.len() == 2, "{asked:?}");
}

#[tokio::test]
async fn a_pull_that_is_given_up_leaves_nothing() {
    let image = build(&[layer("disk/a.img", &vec![7; 1 << 16])]);
    let (shown, cut) = (image.clone(), AtomicUsize::new(0));
    let liar = Liar::start(move |path, _| {
        if path.contains("/manifests/") {
            reply("200 OK", "", &shown.manifest)
        } else if path.ends_with(&digest(&shown.config)) {
            reply("200 OK", "", &shown.config)
        } else if cut.fetch_add(1, Ordering::SeqCst) == 0 {
            Vec::new()
        } else {
            reply("200 OK", "", &shown.layers[0])
        }
    })
    .await;
    let (folder, store) = store();
    let (name, access) = (liar.name("a:1"), Access::default());
    let blob = digest(&image.layers[0]);
    tokio::select! {
        _ = store.pull(&name, PullPolicy::Always, &access) => unreachable!("the server is silent"),
        () = async {
            while liar.seen(&blob).is_empty() {
                tokio::task::yield_now().await;
            }
        } => {}
    }
    // The next one does not wait for it.
    store.pull(&name, PullPolicy::IfNotPresent, &access).await.unwrap();
    while !is_clean(&folder) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_was_pulled_with_a_login_is_for_those_who_have_one() {
    let registry = Registry::start(Some("Basic Ym9iOnNlY3JldA==")).await;
    registry.push("private", "1", &build(&[layer("x", b"x")]));
    let open = Registry::start(None).await;
    open.push("public", "1", &build(&[layer("x", b"y")]));
    let (folder, store) = store();
    let (name, own) = (registry.name("private:1"), login(&registry.address.to_string(), "secret"));
    let pull = |policy, access: Access| {
        let (store, name) = (store.clone(), name.clone());
        async move { store.pull(&name, policy, &access).await }
    };
    pull(PullPolicy::IfNotPresent, own.clone()).await.unwrap();
    let before = registry.asked("/manifests/1");
    assert!(pull(PullPolicy::IfNotPresent, own.clone()).await.is_ok());
    assert!(pull(PullPolicy::Never, own.clone()).await.is_ok());
    assert_eq!(registry.asked("/manifests/1"), before, "the same login is not asked for again");

    let refused = pull(PullPolicy::IfNotPresent, Access::default()).await.unwrap_err().to_string();
    assert!(refused.contains("asks for a login"), "{refused}");
    let wrong = login(&registry.address.to_string(), "guess");
    let refused = pull(PullPolicy::IfNotPresent, wrong).await.unwrap_err().to_string();
    assert!(refused.contains("refuses the login"), "{refused}");
    let refused = pull(PullPolicy::Never, Access::default()).await.unwrap_err().to_string();
    assert!(refused.contains("pulled with a login"), "{refused}");
    // Another one who was refused takes nothing from the first.
    assert!(pull(PullPolicy::Never, own).await.is_ok());

    // A login that nobody asked for was not sent, and shuts nobody out.
    let spare = login(&open.address.to_string(), "secret");
    store.pull(&open.name("public:1"), PullPolicy::IfNotPresent, &spare).await.unwrap();
    assert!(store.pull(&open.name("public:1"), PullPolicy::Never, &Access::default()).await.is_ok());
    for record in std::fs::read_dir(folder.path().join("references")).unwrap() {
        let path = record.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("secret") && !text.contains("bob"), "{text}");
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o077, 0);
    }
}
