//! What is here already: whom it is given to, and what keeps it while something else happens.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up should fail")]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use image::{Access, Credential, PullPolicy, Store};
use support::liar::{Liar, reply};
use support::registry::Registry;
use support::{build, digest, layer, write_layout};

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    (folder, store)
}

fn login(registry: &str) -> Access {
    let mut access = Access::default();
    let credential = Credential::Basic { username: "bob".to_owned(), password: "secret".to_owned() };
    access.credentials.insert(registry, credential);
    access
}

#[tokio::test]
async fn who_knows_a_private_layers_digest_does_not_get_it_by_that() {
    let private = Registry::start(Some("Basic Ym9iOnNlY3JldA==")).await;
    let image = build(&[layer("secret", b"the recipe")]);
    private.push("recipes", "1", &image);
    let (_folder, store) = store();
    let own = login(&private.address.to_string());
    store.pull(&private.name("recipes:1"), PullPolicy::IfNotPresent, &own).await.unwrap();

    // The stranger's registry has the manifest, which names the layer, and cannot have the layer.
    let stranger = Registry::start(None).await;
    stranger.push("copied", "1", &image);
    stranger.state.blobs.lock().unwrap().clear();
    let name = stranger.name("copied:1");
    let error = store.pull(&name, PullPolicy::IfNotPresent, &Access::default()).await.unwrap_err();
    assert!(error.to_string().contains("without its part"), "{error}");
    assert!(store.resolve(&name).unwrap().is_none());

    // One who has it may name it.
    stranger.push("copied", "1", &image);
    assert!(store.pull(&name, PullPolicy::IfNotPresent, &Access::default()).await.is_ok());
    let before = private.asked(&digest(&image.layers[0]));
    private.push("same", "1", &image);
    store.pull(&private.name("same:1"), PullPolicy::IfNotPresent, &own).await.unwrap();
    assert_eq!(private.asked(&digest(&image.layers[0])), before, "what one has is not downloaded again");
}

#[tokio::test]
async fn a_slow_pull_keeps_nobody_from_making_room_and_loses_nothing() {
    let image = build(&[layer("a", b"first"), layer("b", b"second")]);
    let released = Arc::new(AtomicBool::new(false));
    let (shown, gate) = (image.clone(), Arc::clone(&released));
    let liar = Liar::start(move |path, _| {
        if path.contains("/manifests/") {
            reply("200 OK", "", &shown.manifest)
        } else if path.ends_with(&digest(&shown.config)) {
            reply("200 OK", "", &shown.config)
        } else if path.ends_with(&digest(&shown.layers[0])) {
            reply("200 OK", "", &shown.layers[0])
        } else if gate.load(Ordering::SeqCst) {
            reply("200 OK", "", &shown.layers[1])
        } else {
            // It breaks in the middle, and again.
            reply("200 OK", "", &shown.layers[1])[..90].to_vec()
        }
    })
    .await;
    let (folder, store) = store();
    let (name, access) = (liar.name("slow:1"), Access::default());
    let old = build(&[layer("old", b"old")]);
    write_layout(&folder.path().join("layout"), &old, "ironclad.local/old:1");
    store.load(&folder.path().join("layout"), None).unwrap();
    let last = digest(&image.layers[1]);
    let pull = store.pull(&name, PullPolicy::IfNotPresent, &access);
    let rest = async {
        while liar.seen(&last).is_empty() {
            tokio::task::yield_now().await;
        }
        // The pull is under way: the first layer is here, the second is not.
        assert!(store.remove("ironclad.local/old:1").unwrap());
        let removed = store.collect(&BTreeSet::new()).unwrap();
        assert_eq!(removed.blobs, 3, "the old image's, and nothing of the new one");
        // Another process that opens the store leaves alone what is being written.
        Store::open(folder.path()).unwrap();
        released.store(true, Ordering::SeqCst);
    };
    let (pulled, ()) = futures::future::join(pull, rest).await;
    let pulled = pulled.unwrap();
    assert!(store.unpacked(&pulled).unwrap().join("b").exists());
    assert_eq!(std::fs::read_dir(folder.path().join("pulls")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(folder.path().join("staging")).unwrap().count(), 0);
}

#[tokio::test]
async fn those_who_wait_for_one_pull_share_its_failure() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let liar = Liar::start(move |_, _| {
        count.fetch_add(1, Ordering::SeqCst);
        reply("503 Busy", "", b"")
    })
    .await;
    let (_folder, store) = store();
    let (name, access) = (liar.name("a:1"), Access::default());
    let pulls = (0..50).map(|_| store.pull(&name, PullPolicy::IfNotPresent, &access));
    for pulled in futures::future::join_all(pulls).await {
        assert!(pulled.unwrap_err().to_string().contains("answers 503"));
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    // Who comes later asks again.
    assert!(store.pull(&name, PullPolicy::IfNotPresent, &access).await.is_err());
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_loaded_image_is_used_when_its_registry_does_not_give_one() {
    let registry = Registry::start(None).await;
    let (folder, store) = store();
    let name = registry.name("team/a:latest");
    let layout = folder.path().join("layout");
    let loaded = build(&[layer("x", b"loaded")]);
    write_layout(&layout, &loaded, &name);
    store.load(&layout, None).unwrap();
    let access = Access::default();
    let pull = || store.pull_or_loaded(&name, PullPolicy::Always, &access);
    let (image, instead) = pull().await.unwrap();
    assert_eq!(image.digest.to_string(), digest(&loaded.manifest));
    assert!(instead.unwrap().to_string().contains("has no such image"));
    // The policy is what it says: what the registry has comes first.
    let pushed = build(&[layer("x", b"pushed")]);
    registry.push("team/a", "latest", &pushed);
    let (image, instead) = pull().await.unwrap();
    assert_eq!((image.digest.to_string(), instead), (digest(&pushed.manifest), None));
    // What was pulled can be pulled again, and is not taken for what somebody loaded.
    registry.state.manifests.lock().unwrap().clear();
    assert!(pull().await.is_err());
}

#[tokio::test]
async fn an_image_that_cannot_be_unpacked_is_asked_for_again() {
    let registry = Registry::start(None).await;
    let mut broken = build(&[layer("x", b"x")]);
    let garbage = [&[0x1f, 0x8b][..], &[7; 100]].concat();
    let text = String::from_utf8(broken.manifest.clone()).unwrap();
    let (old, size) = (digest(&broken.layers[0]), broken.layers[0].len());
    let text = text.replace(&old, &digest(&garbage)).replace(&format!("\"size\":{size}"), "\"size\":102");
    (broken.manifest, broken.layers) = (text.into_bytes(), vec![garbage]);
    registry.push("a", "1", &broken);
    let (folder, store) = store();
    let (name, access) = (registry.name("a:1"), Access::default());
    let image = store.pull(&name, PullPolicy::IfNotPresent, &access).await.unwrap();
    let error = store.unpacked_for(&image, &folder.path().join("link")).unwrap_err().to_string();
    assert!(error.contains("cannot be unpacked: "), "{error}");
    registry.push("a", "1", &build(&[layer("x", b"x")]));
    let image = store.pull(&name, PullPolicy::IfNotPresent, &access).await.unwrap();
    assert!(store.unpacked_for(&image, &folder.path().join("link")).is_ok());
}
