//! A real registry of images on loopback, with TLS from an authority of its own and a user with a password.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use certs::{Authority, Profile};
use serde_json::{Value, json};

use crate::images::image;
use crate::paths::repository;

/// Who may pull and push.
pub const REGISTRY_USER: &str = "puller";
/// With which password.
pub const REGISTRY_PASSWORD: &str = "swordfish";
/// The same as `htpasswd -nbB` writes it.
const PASSWORDS: &str = "puller:$2b$04$yRGClnXA.h.GpGhz98YFRecPOZYbqCr1UlXyMzNVyUykO5ZtNJ5mm\n";

/// A running registry; it ends with the value.
#[derive(Debug)]
pub struct Registry {
    directory: tempfile::TempDir,
    process: Child,
    address: String,
    authority: String,
}

impl Registry {
    /// Starts Debian's docker-registry on a free port.
    ///
    /// # Panics
    /// When it is not there or does not start.
    pub fn start() -> Self {
        let program = repository().join(".cache/registry/usr/bin/docker-registry");
        assert!(program.exists(), "{} is not there: run `scripts/registry` first", program.display());
        let directory = tempfile::tempdir().expect("a temporary directory");
        let root = directory.path();
        #[allow(clippy::disallowed_methods, reason = "certificates for the programs of this very day")]
        let now = jiff::Timestamp::now();
        let authority = Authority::create("registry's own", now).expect("an authority");
        let profile = Profile::server("registry", ["127.0.0.1".to_owned(), "localhost".to_owned()]);
        let issued = authority.issue(&profile, now).expect("a certificate");
        for (name, text) in [
            ("server.crt", issued.certificate_pem.as_str()),
            ("server.key", issued.key_pem.as_str()),
            ("ca.crt", authority.certificate_pem()),
            ("passwords", PASSWORDS),
        ] {
            std::fs::write(root.join(name), text).expect("writing the registry's files");
        }
        let config = json!({
            "version": "0.1",
            "log": {"level": "info"},
            "storage": {"filesystem": {"rootdirectory": root.join("store")}},
            "http": {
                "addr": "127.0.0.1:0",
                "tls": {"certificate": root.join("server.crt"), "key": root.join("server.key")},
            },
            "auth": {"htpasswd": {"realm": "test", "path": root.join("passwords")}},
        });
        let path = root.join("config.yml");
        std::fs::write(&path, config.to_string()).expect("writing the configuration");
        let mut process = Command::new(program)
            .arg("serve")
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starting the registry");
        let mut log = BufReader::new(process.stderr.take().expect("its log")).lines();
        // It says where it listens only there.
        let address = log.by_ref().map_while(Result::ok).find_map(|line| {
            let (_, rest) = line.split_once("listening on ")?;
            Some(rest.split([',', '"']).next()?.to_owned())
        });
        let address = address.expect("the registry starts");
        // It must not wait for somebody to read its log.
        std::thread::spawn(move || log.for_each(drop));
        Self { directory, process, address, authority: authority.certificate_pem().to_owned() }
    }

    /// Returns host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns the authority that its certificate comes from, as PEM.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Pushes an image with `files` as `name:tag` and returns its reference.
    ///
    /// # Panics
    /// When the registry refuses.
    pub fn push(&self, name: &str, tag: &str, files: &[(&str, &[u8])]) -> String {
        let reference = format!("{}/{name}:{tag}", self.address);
        let layout = image(self.directory.path(), &reference, files);
        let blob = |descriptor: &Value| {
            let digest = descriptor["digest"].as_str().expect("a digest").to_owned();
            let file = layout.join("blobs").join(digest.replace(':', "/"));
            (digest, file)
        };
        let read = |path: &Path| -> Value {
            serde_json::from_slice(&std::fs::read(path).expect("a file of the layout")).expect("JSON")
        };
        let index = read(&layout.join("index.json"));
        let (_, manifest_file) = blob(&index["manifests"][0]);
        let manifest = read(&manifest_file);
        let layers = manifest["layers"].as_array().cloned().unwrap_or_default();
        for descriptor in layers.iter().chain([&manifest["config"]]) {
            let (digest, file) = blob(descriptor);
            let begun = self.curl(&["-i", "-X", "POST", &self.url(&format!("{name}/blobs/uploads/"))]);
            let location = begun.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case("location").then(|| value.trim().to_owned())
            });
            let location = location.unwrap_or_else(|| panic!("no place to upload to: {begun}"));
            let url = format!("{location}&digest={digest}");
            let body = format!("@{}", file.display());
            let kind = "Content-Type: application/octet-stream";
            self.curl(&["-X", "PUT", "-H", kind, "--data-binary", &body, &url]);
        }
        let kind = format!("Content-Type: {}", manifest["mediaType"].as_str().unwrap_or_default());
        let body = format!("@{}", manifest_file.display());
        self.curl(&[
            "-X",
            "PUT",
            "-H",
            &kind,
            "--data-binary",
            &body,
            &self.url(&format!("{name}/manifests/{tag}")),
        ]);
        reference
    }

    /// Returns the stored files of all blobs with more than `size` bytes, to be broken.
    pub fn blobs_above(&self, size: u64) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.directory.path().join("store/docker/registry/v2/blobs")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let metadata = entry.metadata().expect("a file of the store");
                if metadata.is_dir() {
                    folders.push(entry.path());
                } else if metadata.len() > size {
                    found.push(entry.path());
                }
            }
        }
        found
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}/v2/{path}", self.address)
    }

    fn curl(&self, arguments: &[&str]) -> String {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--fail", "--cacert"])
            .arg(self.directory.path().join("ca.crt"))
            .args(["--user", &format!("{REGISTRY_USER}:{REGISTRY_PASSWORD}")])
            .args(arguments)
            .output()
            .expect("curl is installed by make deps");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "curl {arguments:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // One that is gone already is what is wanted.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
