//! Images pulled over HTTP.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up should fail")]

mod support;

use image::{Access, Credential, Error, PullPolicy, Store};
use support::registry::Registry;
use support::{build, digest, index, layer};

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    (folder, store)
}

#[tokio::test]
async fn an_image_comes_by_tag_by_digest_and_from_an_index() {
    let registry = Registry::start(None).await;
    let image = build(&[layer("disk/a.img", b"content")]);
    registry.push("team/a", "1", &image);
    registry.state.manifests.lock().unwrap().insert("team/a@multi".to_owned(), index(&image));
    let (_folder, store) = store();
    let by_digest = format!("team/a@{}", digest(&image.manifest));
    for name in ["team/a:1", &by_digest, "team/a:multi"] {
        let pulled =
            store.pull(&registry.name(name), PullPolicy::IfNotPresent, &Access::default()).await.unwrap();
        assert_eq!(pulled.digest.to_string(), digest(&image.manifest));
        assert_eq!(std::fs::read(store.unpacked(&pulled).unwrap().join("disk/a.img")).unwrap(), b"content");
    }
    assert_eq!(registry.asked(&digest(&image.layers[0])), 1, "a layer was downloaded more than once");
}

#[tokio::test]
async fn the_policy_decides_when_the_registry_is_asked() {
    let registry = Registry::start(None).await;
    registry.push("a", "1", &build(&[layer("x", b"old")]));
    let (_folder, store) = store();
    let name = registry.name("a:1");
    let access = Access::default();
    let never = store.pull(&name, PullPolicy::Never, &access).await.unwrap_err();
    assert!(matches!(never, Error::Absent { .. }), "{never}");
    let old = store.pull(&name, PullPolicy::IfNotPresent, &access).await.unwrap();
    let new = build(&[layer("x", b"new")]);
    registry.push("a", "1", &new);
    assert_eq!(store.pull(&name, PullPolicy::IfNotPresent, &access).await.unwrap(), old);
    assert_eq!(store.pull(&name, PullPolicy::Never, &access).await.unwrap(), old);
    let moved = store.pull(&name, PullPolicy::Always, &access).await.unwrap();
    assert_eq!(moved.digest.to_string(), digest(&new.manifest));
    // What runs on the old image keeps it.
    assert!(store.unpacked(&old).is_ok());
}

#[tokio::test]
async fn damaged_and_cut_blobs_are_refused_and_can_be_pulled_again() {
    let registry = Registry::start(None).await;
    let image = build(&[layer("disk/a.img", b"content")]);
    registry.push("a", "1", &image);
    let key = digest(&image.layers[0]);
    let (folder, store) = store();
    let mut longer = image.layers[0].clone();
    longer.push(0);
    for wrong in [vec![7; image.layers[0].len()], image.layers[0][..5].to_vec(), longer] {
        registry.state.blobs.lock().unwrap().insert(key.clone(), wrong);
        let error = store
            .pull(&registry.name("a:1"), PullPolicy::IfNotPresent, &Access::default())
            .await
            .unwrap_err();
        let told =
            matches!(error.own(), Error::Mismatch { .. } | Error::Size { .. } | Error::Registry { .. });
        assert!(told, "{error:?}");
        assert_eq!(store.resolve(&registry.name("a:1")).unwrap(), None);
        assert_eq!(std::fs::read_dir(folder.path().join("staging")).unwrap().count(), 0);
    }
    registry.state.blobs.lock().unwrap().insert(key, image.layers[0].clone());
    assert!(store.pull(&registry.name("a:1"), PullPolicy::IfNotPresent, &Access::default()).await.is_ok());
}

#[tokio::test]
async fn a_manifest_that_is_not_the_one_asked_for_is_refused() {
    let registry = Registry::start(None).await;
    let image = build(&[layer("x", b"x")]);
    let name = format!("a@{}", digest(&image.manifest));
    registry.state.manifests.lock().unwrap().insert(name.clone(), build(&[layer("x", b"evil")]).manifest);
    let (_folder, store) = store();
    assert!(store.pull(&registry.name(&name), PullPolicy::Always, &Access::default()).await.is_err());
    assert_eq!(store.list().unwrap(), vec![]);
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let registry = Registry::start(None).await;
    let (_folder, store) = store();
    let access = Access::default();
    let name = registry.name("none:1");
    let error = store.pull(&name, PullPolicy::Always, &access).await.unwrap_err();
    let host = registry.address;
    assert_eq!(
        error.to_string(),
        format!(
            "cannot pull image {name}: its registry {host} has no such image; correct the name or the tag, or push it"
        )
    );
    let local = store.pull("ironclad.local/none:1", PullPolicy::Always, &access).await.unwrap_err();
    assert_eq!(
        local.to_string(),
        "image ironclad.local/none:1 is not on this node; load it with `ironclad image load`"
    );
}

#[tokio::test]
async fn credentials_are_sent_where_they_belong() {
    let registry = Registry::start(Some("Basic Ym9iOnNlY3JldA==")).await;
    registry.push("a", "1", &build(&[layer("x", b"x")]));
    let (_folder, store) = store();
    let mut access = Access::default();
    assert!(store.pull(&registry.name("a:1"), PullPolicy::Always, &access).await.is_err());
    let credential = Credential::Basic { username: "bob".to_owned(), password: "secret".to_owned() };
    access.credentials.insert(&registry.address.to_string(), credential);
    let pulled = store.pull(&registry.name("a:1"), PullPolicy::Always, &access).await;
    assert!(pulled.is_ok(), "{pulled:?}");
}

#[tokio::test]
async fn pulls_at_the_same_time_share_one_download() {
    let registry = Registry::start(None).await;
    let image = build(&[layer("disk/a.img", &vec![7; 1 << 20])]);
    registry.push("a", "1", &image);
    let (_folder, store) = store();
    let (name, access) = (registry.name("a:1"), Access::default());
    let pulls = (0..6).map(|_| store.pull(&name, PullPolicy::IfNotPresent, &access));
    for result in futures::future::join_all(pulls).await {
        result.unwrap();
    }
    assert_eq!(registry.asked(&digest(&image.layers[0])), 1);
    assert_eq!(registry.asked("/manifests/1"), 1);
}

#[tokio::test]
async fn room_is_made_only_of_what_nobody_uses_and_nobody_loaded() {
    let registry = Registry::start(None).await;
    for name in ["used", "idle"] {
        registry.push(name, "1", &build(&[layer("disk/a.img", name.as_bytes())]));
    }
    let (folder, store) = store();
    let layout = folder.path().join("layout");
    support::write_layout(&layout, &build(&[layer("x", b"loaded")]), "ironclad.local/loaded:1");
    let loaded = store.load(&layout, None).unwrap().remove(0);
    let mut links = Vec::new();
    for name in ["used:1", "idle:1"] {
        let name = registry.name(name);
        let image = store.pull(&name, PullPolicy::IfNotPresent, &Access::default()).await.unwrap();
        assert!(!image.pinned && loaded.pinned);
        let link = folder.path().join(format!("link-{}", links.len()));
        std::os::unix::fs::symlink(store.unpacked_for(&image, &link).unwrap(), &link).unwrap();
        links.push(link);
    }
    // The one that was idle is used no more.
    std::fs::remove_file(&links[1]).unwrap();
    age(&folder.path().join("users"));
    let used: Vec<bool> = store.stock().unwrap().iter().map(|stored| stored.used).collect();
    assert_eq!(used, [false, true, false], "idle, used, loaded");
    for name in ["used:1", "idle:1", "ironclad.local/loaded:1"] {
        let name = if name.contains('/') { name.to_owned() } else { registry.name(name) };
        store.make_room(Some(&name)).unwrap().unwrap();
    }
    let left: Vec<_> = store.stock().unwrap().into_iter().map(|stored| stored.image.reference).collect();
    assert_eq!(left, [registry.name("used:1"), "ironclad.local/loaded:1".to_owned()]);
    assert!(links[0].join("disk/a.img").exists(), "a tree in use stays");
}

/// Makes every file of a directory an hour older.
fn age(directory: &std::path::Path) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let file = std::fs::File::options().write(true).open(entry.unwrap().path()).unwrap();
        let modified = file.metadata().unwrap().modified().unwrap();
        file.set_modified(modified - std::time::Duration::from_secs(3600)).unwrap();
    }
}
