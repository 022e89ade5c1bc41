//! Images loaded from files, unpacked, listed, removed.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up should fail")]

mod support;

use std::collections::BTreeSet;
use std::path::Path;

use image::{Error, Limits, Store};
use support::{build, layer, write_layout};

fn tar_of(directory: &Path) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_dir_all(".", directory).unwrap();
    builder.into_inner().unwrap()
}

/// Returns every file below `root` that is not the lock.
fn files(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if !path.ends_with("lock") {
                found.push(path.strip_prefix(root).unwrap().display().to_string());
            }
        }
    }
    found
}

#[test]
fn a_layout_is_loaded_as_directory_and_as_tar() {
    let folder = tempfile::tempdir().unwrap();
    let layout = folder.path().join("layout");
    write_layout(
        &layout,
        &build(&[layer("disk/a.img", b"lower"), layer("disk/a.img", b"upper")]),
        "ironclad.local/a:1",
    );
    let archive = folder.path().join("a.tar.zst");
    std::fs::write(&archive, zstd::encode_all(tar_of(&layout).as_slice(), 1).unwrap()).unwrap();
    for (number, source) in [layout, archive].iter().enumerate() {
        let store = Store::open(&folder.path().join(format!("store{number}"))).unwrap();
        let images = store.load(source, None).unwrap();
        assert_eq!(images[0].reference, "ironclad.local/a:1");
        assert_eq!(images[0].settings.entrypoint, ["/bin/x"]);
        assert_eq!(store.resolve("ironclad.local/a:1").unwrap().as_ref(), Some(&images[0]));
        assert_eq!(store.list().unwrap(), images);
        let tree = store.unpacked(&images[0]).unwrap();
        assert_eq!(std::fs::read(tree.join("disk/a.img")).unwrap(), b"upper");
        assert_eq!(store.unpacked(&images[0]).unwrap(), tree);
    }
}

#[test]
fn what_docker_save_writes_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let content = layer("disk/a.img", b"content");
    let config =
        serde_json::json!({"architecture": "amd64", "rootfs": {"diff_ids": [support::digest(&content)]}});
    let manifest = r#"[{"Config":"cfg.json","RepoTags":["example.com/a:1","example.com/a:2"],"Layers":["abc/layer.tar"]}]"#;
    let mut builder = tar::Builder::new(Vec::new());
    let files = [
        ("abc/layer.tar", content),
        ("cfg.json", config.to_string().into_bytes()),
        ("manifest.json", manifest.into()),
    ];
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append_data(&mut header, path, content.as_slice()).unwrap();
    }
    let archive = folder.path().join("saved.tar");
    std::fs::write(&archive, builder.into_inner().unwrap()).unwrap();
    let store = Store::open(&folder.path().join("store")).unwrap();
    let names: Vec<String> =
        store.load(&archive, None).unwrap().into_iter().map(|image| image.reference).collect();
    assert_eq!(names, ["example.com/a:1", "example.com/a:2"]);
    let tree = store.unpacked(&store.resolve("example.com/a:2").unwrap().unwrap()).unwrap();
    assert_eq!(std::fs::read(tree.join("disk/a.img")).unwrap(), b"content");
}

#[test]
fn damage_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let image = build(&[layer("disk/a.img", b"content")]);
    let layout = folder.path().join("layout");
    write_layout(&layout, &image, "ironclad.local/a:1");
    let blob = layout.join("blobs/sha256").join(&support::digest(&image.layers[0])[7..]);
    let store = Store::open(&folder.path().join("store")).unwrap();
    std::fs::write(&blob, b"replaced").unwrap();
    assert!(matches!(store.load(&layout, None), Err(Error::Mismatch { .. })));
    std::fs::remove_file(&blob).unwrap();
    let error = store.load(&layout, None).unwrap_err().to_string();
    assert!(error.contains("is missing"), "{error}");
    assert_eq!(store.resolve("ironclad.local/a:1").unwrap(), None);
    assert!(files(&folder.path().join("store")).iter().all(|path| path.starts_with("blobs/")));
    store.collect(&BTreeSet::new()).unwrap();
    assert_eq!(files(&folder.path().join("store")), Vec::<String>::new());
}

#[test]
fn a_lying_configuration_is_not_unpacked() {
    let folder = tempfile::tempdir().unwrap();
    let mut image = build(&[layer("a", b"content")]);
    let text = String::from_utf8(image.config.clone()).unwrap();
    let id = support::digest(&layer("a", b"content"));
    image.config = text.replace(&id, &support::digest(b"other")).into_bytes();
    let mut manifest: serde_json::Value = serde_json::from_slice(&image.manifest).unwrap();
    manifest["config"] = support::descriptor("application/vnd.oci.image.config.v1+json", &image.config);
    image.manifest = serde_json::to_vec(&manifest).unwrap();
    let layout = folder.path().join("layout");
    write_layout(&layout, &image, "ironclad.local/a:1");
    let root = folder.path().join("store");
    let store = Store::open(&root).unwrap();
    let images = store.load(&layout, None).unwrap();
    assert!(matches!(store.unpacked(&images[0]), Err(Error::Mismatch { .. })));
    assert_eq!(std::fs::read_dir(root.join("unpacked")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(root.join("staging")).unwrap().count(), 0);
}

#[test]
fn a_full_disk_is_said_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let layout = folder.path().join("layout");
    write_layout(&layout, &build(&[layer("a", b"content")]), "ironclad.local/a:1");
    let limits = Limits { reserve: u64::MAX / 2, ..Limits::default() };
    let store = Store::open_with(&folder.path().join("store"), limits).unwrap();
    let error = store.load(&layout, None).unwrap_err();
    assert!(matches!(error, Error::Space { .. }) && error.to_string().contains("no space left"));
}

#[test]
fn images_in_use_stay() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store")).unwrap();
    let mut images = Vec::new();
    for name in ["a", "b"] {
        let layout = folder.path().join(name);
        write_layout(&layout, &build(&[layer("name", name.as_bytes())]), &format!("ironclad.local/{name}:1"));
        images.extend(store.load(&layout, None).unwrap());
    }
    for image in &images {
        store.unpacked(image).unwrap();
        assert!(store.remove(&image.reference).unwrap());
    }
    assert!(!store.remove("ironclad.local/none:1").unwrap());
    let removed = store.collect(&BTreeSet::from([images[0].digest])).unwrap();
    assert_eq!((removed.blobs, removed.trees), (3, 1));
    assert!(store.unpacked(&images[0]).unwrap().join("name").exists());
    assert!(store.unpacked(&images[1]).is_err());
}

#[test]
fn what_a_crash_left_is_cleared() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    drop(store);
    std::fs::write(folder.path().join("staging/1-1"), b"half").unwrap();
    std::fs::create_dir_all(folder.path().join("staging/1-2/disk")).unwrap();
    Store::open(folder.path()).unwrap();
    assert_eq!(std::fs::read_dir(folder.path().join("staging")).unwrap().count(), 0);
}

#[test]
fn threads_that_need_one_tree_get_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let layout = folder.path().join("layout");
    write_layout(&layout, &build(&[layer("disk/a.img", &vec![7; 1 << 20])]), "ironclad.local/a:1");
    let store = Store::open(&folder.path().join("store")).unwrap();
    let image = store.load(&layout, None).unwrap().remove(0);
    let paths: BTreeSet<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| store.unpacked(&image).unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(paths.len(), 1);
}
