//! Downloading from an export.

use std::fmt::Arguments;
use std::fs::{File, Permissions};
use std::io::{Seek as _, Write, copy, stdout};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::write::GzDecoder;
use http::header::ACCEPT;
use http::{Request as Message, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::Value;
use tempfile::NamedTempFile;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep};

use super::links::Link;
use super::{Draft, create, forward, links};
use crate::api::Api;
use crate::foreign::{self, Foreign};
use crate::progress::Progress;
use crate::request::{Kind, Request};
use crate::say::say;

/// Between two looks at an export, and before a download is tried again.
const PAUSE: Duration = Duration::from_secs(2);

/// Header that an export's server wants its token in.
const TOKEN: &str = "x-kubevirt-export-token";

/// Where what is downloaded goes, and what is told then.
#[derive(Debug)]
pub(crate) enum Output {
    /// Nothing is downloaded.
    Told,
    /// Standard output, so that messages go elsewhere.
    Stream,
    File(PathBuf),
}

/// Where a download is written while it comes.
enum Sink {
    Stream,
    /// A device or a pipe, which is there already.
    Open(File),
    /// Beside the file that it becomes when it is whole; gone if it does not.
    Part(NamedTempFile, PathBuf),
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Stream => stdout().write(bytes),
            Self::Open(file) => file.write(bytes),
            Self::Part(file, _) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Stream => stdout().flush(),
            Self::Open(file) => file.flush(),
            Self::Part(file, _) => file.flush(),
        }
    }
}

impl Sink {
    /// Says that all is there.
    fn finish(mut self) -> Result<()> {
        self.flush()?;
        let Self::Part(part, path) = self else { return Ok(()) };
        let written = (|| {
            part.as_file().sync_all()?;
            let Ok(known) = path.metadata() else {
                return part.persist(&path).map(drop).map_err(|e| e.error);
            };
            if known.nlink() > 1 || known.uid() != rustix::process::geteuid().as_raw() {
                return pour(part, &path);
            }
            part.as_file().set_permissions(known.permissions())?;
            // A file that something is mounted on cannot be replaced.
            part.persist(&path).map(drop).or_else(|failed| pour(failed.file, &path))
        })();
        written.with_context(|| format!("writing {}", path.display()))
    }
}

/// Writes what a download brought into a file that has to stay the one that it is.
fn pour(mut part: NamedTempFile, path: &Path) -> std::io::Result<()> {
    part.rewind()?;
    let mut file = File::options().write(true).truncate(true).open(path)?;
    copy(&mut part, &mut file)?;
    file.sync_all()
}

impl Output {
    /// Chooses a file; none, and `-`, are standard output. What the file holds stays until all of the download is there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn to(file: &str) -> Result<Self> {
        match file {
            "" | "-" => Ok(Self::Stream),
            file => {
                let output = Self::File(file.into());
                // Now is better than after the export was made. A pipe is opened but once: its reader sees it close.
                if !Path::new(file).metadata().is_ok_and(|known| known.file_type().is_fifo()) {
                    output.sink().map_err(|error| anyhow!("open {file}: {error:#}"))?;
                }
                Ok(output)
            }
        }
    }

    /// Tells the user something.
    pub(super) fn tell(&self, text: Arguments<'_>) {
        if matches!(self, Self::Stream) {
            eprintln!("{text}");
        } else {
            say!("{text}");
        }
    }

    /// Begins to write.
    fn sink(&self) -> Result<Sink> {
        let Self::File(path) = self else { return Ok(Sink::Stream) };
        // What a link leads to is meant, not the link.
        let path = path.canonicalize().unwrap_or_else(|_| path.clone());
        let known = path.metadata().ok();
        if let Some(known) = &known {
            if known.is_dir() {
                bail!("it is a directory");
            }
            // Who may not write the file may not replace it either.
            let file = File::options().write(true).open(&path)?;
            if !known.is_file() {
                return Ok(Sink::Open(file));
            }
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        // What replaces a file is nobody's to read before it has that file's mode.
        let mode = if known.is_some() { 0o600 } else { 0o666 };
        let part = tempfile::Builder::new()
            .prefix(".virtctl-")
            .permissions(Permissions::from_mode(mode))
            .tempfile_in(folder.unwrap_or_else(|| Path::new(".")))?;
        Ok(Sink::Part(part, path))
    }
}

/// What is wanted of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    Volume { name: String, unpacked: bool },
    Manifests { json: bool, secret: bool },
}

/// A download.
#[derive(Debug)]
pub(crate) struct Download {
    pub(crate) draft: Draft,
    pub(crate) want: Want,
    pub(crate) output: Output,
    pub(crate) insecure: bool,
    pub(crate) keep: bool,
    pub(crate) delete: bool,
    /// Where the export's server is reached, if not where it says.
    pub(crate) service: Option<String>,
    /// The local port through which it is reached by the API server.
    pub(crate) forward: Option<u16>,
    pub(crate) retries: u64,
    pub(crate) readiness: Duration,
}

impl Download {
    /// Downloads, as often as it is to be tried.
    ///
    /// # Errors
    /// When the export does not become ready, or its server does not give what is wanted.
    pub(crate) async fn run(&self, api: &Api) -> Result<()> {
        for attempt in 0..=self.retries {
            if self.attempt(api).await? {
                return Ok(());
            }
            if attempt < self.retries {
                self.output.tell(format_args!("Retrying..."));
                sleep(PAUSE).await;
            }
        }
        bail!("retry count reached, exiting unsuccesfully")
    }

    /// Tries once; `false` when the export's server refused.
    async fn attempt(&self, api: &Api) -> Result<bool> {
        let mut keep = self.keep;
        if !self.draft.source.is_null() {
            match create::create(api, &self.draft, &self.output).await {
                Ok(_) => {}
                // What was there before stays.
                Err(error) if error.is::<create::Exists>() => keep = true,
                Err(error) => return Err(error),
            }
        }
        let outcome = tokio::select! {
            outcome = self.fetch(api) => outcome,
            () = ended() => Err(anyhow!("interrupted")),
        };
        let volume = matches!(self.want, Want::Volume { .. });
        if volume && (self.delete || (!self.draft.source.is_null() && !keep)) {
            create::delete(api, &self.draft.name, &self.output).await?;
        }
        outcome
    }

    async fn fetch(&self, api: &Api) -> Result<bool> {
        let Some(port) = self.forward else { return self.fetch_at(api, self.service.as_deref()).await };
        let listening = forward::Forward::start(api, self, port).await?;
        self.output.tell(format_args!("Port forwarding is ready."));
        let service = self.service.clone().unwrap_or_else(|| format!("127.0.0.1:{}", listening.port()));
        tokio::select! {
            outcome = self.fetch_at(api, Some(&service)) => outcome,
            outcome = listening.serve() => outcome.map(|()| false),
        }
    }

    async fn fetch_at(&self, api: &Api, service: Option<&str>) -> Result<bool> {
        let export = self.ready(api, |export| links::are_there(export, service)).await?;
        let token = token(api, &export).await?;
        match &self.want {
            Want::Volume { name, unpacked } => {
                let link = links::volume(&export, name, service)?;
                let Some(answer) = self.get(&export, &link, service, &token, "*/*").await? else {
                    return Ok(false);
                };
                self.store(answer, *unpacked && link.packed).await?;
                self.output.tell(format_args!("Download finished succesfully"));
            }
            Want::Manifests { json, secret } => {
                let accept = if *json { "application/json" } else { "application/yaml" };
                let kinds = ["all", "auth-header-secret"];
                let mut manifests = Vec::new();
                for kind in &kinds[..if *secret { 2 } else { 1 }] {
                    let link = links::manifest(&export, kind, service)?;
                    let Some(answer) = self.get(&export, &link, service, &token, accept).await? else {
                        return Ok(false);
                    };
                    manifests.push(answer.into_body().collect().await?.to_bytes());
                }
                if matches!(self.output, Output::File(_)) {
                    let mut sink = self.output.sink()?;
                    manifests.iter().try_for_each(|manifest| sink.write_all(manifest))?;
                    sink.finish()?;
                } else {
                    manifests.iter().try_for_each(|manifest| crate::say::document(manifest))?;
                }
            }
        }
        Ok(true)
    }

    /// Waits until the export is ready.
    pub(super) async fn ready(&self, api: &Api, fits: impl Fn(&Value) -> bool) -> Result<Value> {
        let name = &self.draft.name;
        let end = Instant::now() + self.readiness;
        loop {
            let export = create::read(api, name).await?;
            let why = match &export {
                None => format!("couldn't get VM Export {name}, waiting for it to be created..."),
                Some(export) if export["status"]["phase"] != "Ready" => {
                    format!("waiting for VM Export {name} status to be ready...")
                }
                Some(export) if fits(export) => return Ok(export.clone()),
                Some(_) => format!("waiting for VM Export {name} links to be available..."),
            };
            if Instant::now() >= end {
                let phase =
                    export.as_ref().and_then(|export| export["status"]["phase"].as_str()).unwrap_or("none");
                bail!(
                    "VM Export {name} is not ready after {} s (phase: {phase}); `kubectl describe vmexport {name}` says more, \
                     --readiness-timeout waits longer",
                    self.readiness.as_secs()
                );
            }
            self.output.tell(format_args!("{why}"));
            sleep(PAUSE).await;
        }
    }

    /// Asks the export's server; `None` when it refuses.
    async fn get(
        &self,
        export: &Value,
        link: &Link,
        service: Option<&str>,
        token: &str,
        accept: &str,
    ) -> Result<Option<Response<Incoming>>> {
        let certificates = links::of(export, service).and_then(|links| links["cert"].as_str());
        let server = Foreign::new(&link.url, certificates, self.insecure).await?;
        let message = Message::get(link.url.clone()).header(ACCEPT, accept).header(TOKEN, token);
        let answer = server.send(message.body(foreign::nothing())?).await;
        let answer = answer.map_err(|error| anyhow!("Get \"{}\": {error}", link.url))?;
        if answer.status() != StatusCode::OK {
            self.output.tell(format_args!("Bad status: {}", foreign::status(&answer)));
            return Ok(None);
        }
        Ok(Some(answer))
    }

    async fn store(&self, answer: Response<Incoming>, unpack: bool) -> Result<()> {
        let length = answer.headers().get(http::header::CONTENT_LENGTH);
        let total = length.and_then(|length| length.to_str().ok()?.parse().ok());
        let progress = Progress::new("Downloading file:", total);
        let mut sink = self.output.sink()?;
        if unpack {
            self.output.tell(format_args!("Decompressing image:"));
            let mut decoder = GzDecoder::new(sink);
            receive(answer.into_body(), &mut decoder, &progress).await?;
            sink = decoder.finish().context("unpacking what was downloaded")?;
        } else {
            receive(answer.into_body(), &mut sink, &progress).await?;
        }
        sink.finish()?;
        progress.finish();
        Ok(())
    }
}

/// Waits until somebody wants this to end.
async fn ended() {
    let caught = |kind| async move {
        match signal(kind) {
            Ok(mut signals) => drop(signals.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = caught(SignalKind::interrupt()) => {}
        () = caught(SignalKind::terminate()) => {}
        () = caught(SignalKind::hangup()) => {}
    }
}

async fn receive(mut body: Incoming, writer: &mut impl Write, progress: &Progress) -> Result<()> {
    while let Some(frame) = body.frame().await {
        if let Ok(bytes) = frame.context("the download broke off")?.into_data() {
            writer.write_all(&bytes).context("writing what was downloaded")?;
            progress.add(bytes.len());
        }
    }
    Ok(())
}

/// Reads the token that the export's server wants to see.
async fn token(api: &Api, export: &Value) -> Result<String> {
    let name =
        export["status"]["tokenSecretRef"].as_str().or_else(|| export["spec"]["tokenSecretRef"].as_str());
    let secret = api.read(&Request::object(&api.namespace, Kind::Secret, name.unwrap_or_default())?).await?;
    let token = STANDARD.decode(secret["data"]["token"].as_str().unwrap_or_default())?;
    Ok(String::from_utf8(token)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn write(path: &Path, finish: bool) {
        let output = Output::to(path.to_str().expect("a path")).expect("it can be written");
        let mut sink = output.sink().expect("it is opened");
        sink.write_all(b"new").expect("it is written");
        if finish {
            sink.finish().expect("it is whole");
        }
    }

    #[test]
    fn a_file_is_replaced_when_all_is_there_and_keeps_who_may_read_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("disk.img");
        std::fs::write(&file, "old").expect("a file");
        std::fs::set_permissions(&file, Permissions::from_mode(0o640)).expect("its mode");
        let link = folder.path().join("link");
        symlink(&file, &link).expect("a link");
        write(&link, false);
        assert_eq!(std::fs::read(&file).expect("a file"), b"old");
        write(&link, true);
        assert_eq!(std::fs::read(&file).expect("a file"), b"new");
        assert!(link.is_symlink());
        assert_eq!(file.metadata().expect("a file").mode() & 0o777, 0o640);
        let count = std::fs::read_dir(folder.path()).expect("a folder").count();
        assert_eq!(count, 2, "nothing is left beside it");
    }

    #[test]
    fn all_names_of_a_file_have_what_was_downloaded() {
        let folder = tempfile::tempdir().expect("a folder");
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        std::fs::write(&one, "old and long").expect("a file");
        std::fs::hard_link(&one, &other).expect("another name");
        write(&one, true);
        assert_eq!(std::fs::read(&other).expect("a file"), b"new");
    }

    #[test]
    fn folders_are_refused_and_pipes_are_left_alone_until_something_comes() {
        let folder = tempfile::tempdir().expect("a folder");
        let refused = Output::to(folder.path().to_str().expect("a path")).expect_err("a folder is no file");
        assert!(refused.to_string().contains("it is a directory"), "{refused}");
        let pipe = folder.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0)
            .expect("a pipe");
        // Whoever opens a pipe without a reader waits for one.
        Output::to(pipe.to_str().expect("a path")).expect("it is there");
    }
}
