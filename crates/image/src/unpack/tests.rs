//! What a layer may and may not do to the directory that it is unpacked into.

use super::*;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use tar::{EntryType, Header};

/// One entry of a layer under test.
enum Put<'a> {
    File(&'a str, &'a [u8]),
    Directory(&'a str),
    Symlink(&'a str, &'a str),
    Hardlink(&'a str, &'a str),
    Device(&'a str),
}

fn pack(entries: &[Put<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for entry in entries {
        let (path, kind, link, content): (_, _, _, &[u8]) = match entry {
            Put::File(path, content) => (path, EntryType::Regular, "", content),
            Put::Directory(path) => (path, EntryType::Directory, "", &[]),
            Put::Symlink(path, target) => (path, EntryType::Symlink, *target, &[]),
            Put::Hardlink(path, target) => (path, EntryType::Link, *target, &[]),
            Put::Device(path) => (path, EntryType::Char, "", &[]),
        };
        let mut header = Header::new_gnu();
        // The builder's own setters refuse what these tests are about.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o6777);
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, content).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

fn file_of(bytes: &[u8]) -> File {
    use std::io::{Seek as _, Write as _};
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    file
}

fn apply_with(root: &Path, blob: &[u8], limits: &Limits) -> Result<(), Error> {
    layer(root, Digest::of(blob), file_of(blob), None, &mut Budget::new(limits))
}

fn apply(root: &Path, entries: &[Put<'_>]) -> Result<(), Error> {
    apply_with(root, &pack(entries), &Limits::default())
}

#[test]
fn entries_arrive_without_privileges() {
    let folder = tempfile::tempdir().unwrap();
    let entries = [
        Put::Directory("./disk/"),
        Put::File("disk/a", b"content"),
        Put::Hardlink("disk/b", "disk/a"),
        Put::Symlink("link", "disk/a"),
        Put::File("/absolute", b"is below the root too"),
        Put::Device("dev/null"),
        Put::File("deep/below/missing/parents", b"x"),
    ];
    apply(folder.path(), &entries).unwrap();
    let at = |name: &str| folder.path().join(name);
    assert_eq!(std::fs::read(at("disk/b")).unwrap(), b"content");
    assert_eq!(std::fs::metadata(at("disk/a")).unwrap().permissions().mode() & 0o7777, 0o555);
    assert_eq!(std::fs::read_link(at("link")).unwrap(), Path::new("disk/a"));
    assert!(at("absolute").exists() && at("deep/below/missing/parents").exists());
    assert!(!at("dev/null").exists());
}

#[test]
fn nothing_leads_out() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    std::fs::create_dir(&root).unwrap();
    std::fs::write(folder.path().join("secret"), b"secret").unwrap();
    let refused = |entries: &[Put<'_>]| assert!(matches!(apply(&root, entries), Err(Error::Entry { .. })));
    refused(&[Put::File("../secret", b"changed")]);
    refused(&[Put::File("a/../../secret", b"changed")]);
    refused(&[Put::Hardlink("hard", "../secret")]);
    refused(&[Put::Symlink("up", ".."), Put::Hardlink("hard", "up/secret")]);
    refused(&[Put::File(".wh...", b"")]);
    // A link is followed as inside the image: its root is the tree's.
    apply(&root, &[Put::Symlink("up", "../.."), Put::File("up/secret", b"changed")]).unwrap();
    apply(&root, &[Put::Symlink("abs", "/"), Put::File("abs/other", b"here")]).unwrap();
    apply(&root, &[Put::Symlink("out", "/etc/passwd"), Put::File("out", b"replaced")]).unwrap();
    assert_eq!(std::fs::read(folder.path().join("secret")).unwrap(), b"secret");
    assert_eq!(std::fs::read(root.join("secret")).unwrap(), b"changed");
    assert_eq!(std::fs::read(root.join("other")).unwrap(), b"here");
    assert_eq!(std::fs::read(root.join("out")).unwrap(), b"replaced");
}

#[test]
fn whiteouts_reach_the_layers_below_only() {
    let folder = tempfile::tempdir().unwrap();
    let lower =
        [Put::File("a", b"1"), Put::File("d/x", b"1"), Put::File("d/y", b"1"), Put::File("e/x/z", b"1")];
    apply(folder.path(), &lower).unwrap();
    let upper = [
        Put::File(".wh.a", b""),
        Put::File("d/new", b"2"),
        Put::File("d/.wh..wh..opq", b""),
        Put::File("e/.wh.x", b""),
        Put::File("kept", b"2"),
        Put::File(".wh.kept", b""),
    ];
    apply(folder.path(), &upper).unwrap();
    let at = |name: &str| folder.path().join(name).exists();
    assert_eq!(
        (at("a"), at("d/x"), at("d/y"), at("e/x"), at("d/new"), at("e"), at("kept")),
        (false, false, false, false, true, true, true)
    );
}

#[test]
fn bombs_stop_at_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let zeros = gzip(&pack(&[Put::File("bomb", &vec![0; 8 << 20])]));
    let small = Limits { apparent: 1 << 20, ..Limits::default() };
    assert!(zeros.len() < 64 << 10);
    assert!(matches!(apply_with(folder.path(), &zeros, &small), Err(Error::Limit { .. })));
    let data: Vec<u8> = (0..4u32 << 20).map(|at| (at % 251) as u8 + 1).collect();
    let dense = gzip(&pack(&[Put::File("dense", &data)]));
    let small = Limits { allocated: 1 << 20, ..Limits::default() };
    assert!(matches!(apply_with(folder.path(), &dense, &small), Err(Error::Limit { .. })));
    let many = pack(&[Put::Directory("a"), Put::Directory("b"), Put::Directory("c")]);
    let few = Limits { entries: 2, ..Limits::default() };
    assert!(matches!(apply_with(folder.path(), &many, &few), Err(Error::Limit { .. })));
    // A trailer without end, after the archive's end mark.
    let mut trailer = pack(&[Put::Directory("a")]);
    trailer.resize(4 << 20, 0);
    let small = Limits { apparent: 1 << 20, ..Limits::default() };
    assert!(matches!(apply_with(folder.path(), &gzip(&trailer), &small), Err(Error::Limit { .. })));
}

#[test]
fn zeros_become_holes() {
    let folder = tempfile::tempdir().unwrap();
    let mut content = vec![0; 16 << 20];
    content[9 << 20] = 7;
    apply_with(
        folder.path(),
        &zstd::encode_all(pack(&[Put::File("disk.img", &content)]).as_slice(), 1).unwrap(),
        &Limits::default(),
    )
    .unwrap();
    let path = folder.path().join("disk.img");
    let data = std::fs::metadata(&path).unwrap();
    assert_eq!(data.len(), 16 << 20);
    assert!(data.blocks() * 512 <= 2 << 20, "{} bytes are allocated", data.blocks() * 512);
    assert_eq!(std::fs::read(&path).unwrap(), content);
}

#[test]
fn damage_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let plain = pack(&[Put::File("a", b"content")]);
    let blob = gzip(&plain);
    let limits = Limits::default();
    let check = |unpacked| {
        layer(folder.path(), Digest::of(&blob), file_of(&blob), Some(unpacked), &mut Budget::new(&limits))
    };
    check(Digest::of(&plain)).unwrap();
    assert!(matches!(check(Digest::of(b"other")), Err(Error::Mismatch { .. })));
    assert!(matches!(
        apply_with(folder.path(), &blob[..blob.len() / 2], &limits),
        Err(Error::Entry { .. } | Error::Layer { .. })
    ));
    assert!(matches!(apply_with(folder.path(), &plain[..700], &limits), Err(Error::Layer { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_path_escapes(path in "(\\.\\.|/|a|b|\\.|\\.wh\\.a|up){1,8}", target in "(\\.\\.|/|a|b|\\.){1,6}") {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        std::fs::create_dir(&root).unwrap();
        drop(apply(&root, &[Put::Symlink("up", &target), Put::Symlink("a", "../.."), Put::File(&path, b"x")]));
        let outside = std::fs::read_dir(folder.path()).unwrap().count();
        prop_assert_eq!(outside, 1);
    }
}
