//! A registry that a test makes lie: each image of it has a fault until the registry is mended.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The manifest, by its tag or its digest.
    Manifest,
    /// The configuration.
    Config,
    /// The layer.
    Layer,
}

/// An image in its parts; a fault may change any.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The manifest.
    pub manifest: Value,
    /// The configuration.
    pub config: Vec<u8>,
    /// The only layer.
    pub layer: Vec<u8>,
}

impl Parts {
    /// Makes an image with one file.
    pub fn of(path: &str, content: &[u8]) -> Self {
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, path, content).expect("a file of the layer");
        let layer = archive.into_inner().expect("the layer's end");
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]},
        });
        let mut parts = Self { manifest: Value::Null, config: config.to_string().into_bytes(), layer };
        parts.describe("application/vnd.oci.image.layer.v1.tar");
        parts
    }

    /// Writes the manifest anew, for parts that were changed; `kind` is the layer's media type.
    pub fn describe(&mut self, kind: &str) {
        let describe =
            |kind: &str, part: &[u8]| json!({"mediaType": kind, "digest": digest(part), "size": part.len()});
        self.manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": describe("application/vnd.oci.image.config.v1+json", &self.config),
            "layers": [describe(kind, &self.layer)],
        });
    }
}

/// Returns the digest of some content as registries write it.
pub fn digest(content: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(content)))
}

/// What a faulty registry does: it may answer on the connection itself, or change the parts.
pub type Fault = fn(Asked, &mut Parts, &mut TcpStream) -> Done;

/// Whether a fault has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// It has.
    Answered,
    /// It has not; the parts are served, as they are now.
    Serve,
}

/// A running registry; it goes on until the test's process ends.
#[derive(Debug)]
pub struct FalseRegistry {
    address: String,
    mended: Arc<AtomicBool>,
}

impl FalseRegistry {
    /// Serves an image for each of `faults` under its name, with a file `disk/disk.img` that is different for each.
    ///
    /// # Panics
    /// When no port can be had.
    pub fn start(faults: &[(&'static str, Fault)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address").to_string();
        let mended = Arc::new(AtomicBool::new(false));
        let (faults, gate) = (faults.to_vec(), Arc::clone(&mended));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (faults, gate) = (faults.clone(), Arc::clone(&gate));
                // Who asks may hang up; that is his right.
                std::thread::spawn(move || answer(stream, &faults, &gate));
            }
        });
        Self { address, mended }
    }

    /// Returns the reference of the image `name`.
    pub fn reference(&self, name: &str) -> String {
        format!("{}/images/{name}:1", self.address)
    }

    /// Ends all faults.
    pub fn mend(&self) {
        self.mended.store(true, Ordering::SeqCst);
    }
}

/// Answers one request and hangs up.
fn answer(mut stream: TcpStream, faults: &[(&'static str, Fault)], mended: &AtomicBool) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut rest = String::new();
    while reader.read_line(&mut rest).ok()? > 2 {
        rest.clear();
    }
    let path = line.split(' ').nth(1)?.to_owned();
    let mut words = path.trim_start_matches("/v2/images/").split('/');
    let name = words.next()?;
    let (kind, wanted) = (words.next()?, words.next()?);
    let (_, fault) = faults.iter().find(|(known, _)| *known == name)?;
    // A megabyte, as the smallest disk has; the name keeps digests apart.
    let mut content = vec![0; 1 << 20];
    content[..name.len()].copy_from_slice(name.as_bytes());
    let mut parts = Parts::of("disk/disk.img", &content);
    let asked = match kind {
        "manifests" => Asked::Manifest,
        _ if wanted == digest(&parts.config) => Asked::Config,
        _ => Asked::Layer,
    };
    if !mended.load(Ordering::SeqCst) && fault(asked, &mut parts, &mut stream) == Done::Answered {
        return Some(());
    }
    let body = match asked {
        Asked::Manifest => parts.manifest.to_string().into_bytes(),
        Asked::Config => parts.config,
        Asked::Layer => parts.layer,
    };
    reply(&mut stream, "200 OK", "", &body);
    Some(())
}

/// Sends an answer that says how long it is; `headers` end with a line's end each.
pub fn reply(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) -> Done {
    head(stream, status, &format!("{headers}content-length: {}\r\n", body.len()));
    drop(stream.write_all(body));
    finish(stream)
}

/// Sends the beginning of an answer.
pub fn head(stream: &mut TcpStream, status: &str, headers: &str) {
    drop(write!(stream, "HTTP/1.1 {status}\r\nconnection: close\r\n{headers}\r\n"));
}

/// Sends the same piece until nobody listens any more.
pub fn send_for_ever(stream: &mut TcpStream, piece: &[u8]) -> Done {
    while stream.write_all(piece).is_ok() {}
    Done::Answered
}

/// Waits until the other side has got everything: a connection that is closed before may lose the end.
fn finish(stream: &mut TcpStream) -> Done {
    drop(stream.shutdown(std::net::Shutdown::Write));
    drop(stream.read(&mut [0]));
    Done::Answered
}
