//! Sending a file to the upload proxy.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use bytes::Bytes;
use futures::stream;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use tokio::time::sleep;

use crate::foreign::{self, Foreign};
use crate::progress::Progress;

/// Path that answers when the bytes are there, and works on them afterwards.
const ASYNC: &str = "/v1beta1/upload-async";
/// Path that answers when the work is done.
const SYNC: &str = "/v1beta1/upload";

/// Bytes that are read at once.
const CHUNK: usize = 256 << 10;
/// Wait after the first try in vain; those after the others are as many times longer.
const PAUSE: Duration = Duration::from_millis(50);

/// Sends a file.
///
/// # Errors
/// When the proxy cannot be reached or refuses, as often as it is tried.
pub(super) async fn send(proxy: &str, token: &str, file: &File, insecure: bool, tries: u32) -> Result<()> {
    let base: Uri = proxy.parse().map_err(|error| anyhow!("parse {proxy:?}: {error}"))?;
    let server = Foreign::new(&base, None, insecure).await?;
    let path = choose(&server, &base, token).await;
    let length = file.metadata()?.len();
    let progress = Progress::new("Uploading:", Some(length));
    let tries = tries.max(1);
    let mut last = anyhow!("it was not tried");
    for attempt in 1..=tries {
        progress.reset();
        match attempt_once(&server, &path, token, file, length, &progress).await {
            Ok(()) => {
                progress.finish();
                return Ok(());
            }
            Err(error) => last = error,
        }
        if attempt < tries {
            sleep(PAUSE * attempt).await;
        }
    }
    progress.finish();
    bail!("error uploading image after {tries} retries: {last}")
}

/// Chooses the path: the one that does not let the client wait, where it is offered.
async fn choose(server: &Foreign, base: &Uri, token: &str) -> String {
    let wanted = under(base, ASYNC);
    let asked =
        Request::builder().method(Method::HEAD).uri(&wanted).header(AUTHORIZATION, format!("Bearer {token}"));
    let Ok(asked) = asked.body(foreign::nothing()) else { return under(base, SYNC) };
    match server.send(asked).await {
        Ok(answer) if answer.status() == StatusCode::OK => wanted,
        _ => under(base, SYNC),
    }
}

/// Puts the proxy's path below that of its address, unless it is there already.
fn under(base: &Uri, path: &str) -> String {
    let base = base.to_string();
    if base.contains(path) { base } else { format!("{}{path}", base.trim_end_matches('/')) }
}

async fn attempt_once(
    server: &Foreign,
    path: &str,
    token: &str,
    file: &File,
    length: u64,
    progress: &Progress,
) -> Result<()> {
    let mut reader = file.try_clone()?;
    reader.rewind()?;
    let counted = progress.clone();
    let frames = stream::unfold(reader, move |mut reader| {
        let counted = counted.clone();
        async move {
            let mut buffer = vec![0; CHUNK];
            match reader.read(&mut buffer) {
                Ok(0) => None,
                Ok(read) => {
                    buffer.truncate(read);
                    counted.add(read);
                    Some((Ok(Frame::data(Bytes::from(buffer))), reader))
                }
                Err(error) => Some((Err(error), reader)),
            }
        }
    });
    let message = Request::post(path)
        .header(AUTHORIZATION, format!("Bearer {token}"))
        .header(CONTENT_TYPE, "application/octet-stream")
        .header(CONTENT_LENGTH, length)
        .body(StreamBody::new(frames).boxed_unsync())?;
    let answer = server.send(message).await?;
    let code = answer.status();
    if code == StatusCode::OK {
        return Ok(());
    }
    let said = answer.into_body().collect().await.context("reading the proxy's answer")?.to_bytes();
    bail!("unexpected return value {}, {}", code.as_u16(), String::from_utf8_lossy(&said))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_goes_below_that_of_the_proxy() {
        for (base, path) in [
            ("https://proxy", "https://proxy/v1beta1/upload-async"),
            ("https://proxy/below/", "https://proxy/below/v1beta1/upload-async"),
            ("https://proxy/v1beta1/upload-async", "https://proxy/v1beta1/upload-async"),
        ] {
            assert_eq!(under(&base.parse().unwrap(), ASYNC), path);
        }
        assert_eq!(under(&"https://proxy".parse().unwrap(), SYNC), "https://proxy/v1beta1/upload");
    }
}
