//! The socket where consoles of the serial port connect: bytes both ways, for any number of them. Each is shown the
//! last output first.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use super::serial::Port;
use crate::files;

/// Consoles at a time; virt-api lets as many streams through to one machine.
const MOST: usize = 64;
/// After a console that could not be accepted.
const PAUSE: Duration = Duration::from_millis(200);

/// Binds the socket, replacing one that an earlier launcher left.
pub(super) fn bind(path: &Path) -> io::Result<UnixListener> {
    files::remove(path)?;
    let listener = UnixListener::bind(path)?;
    // The directory keeps others out already; this keeps out whoever shares it.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves consoles until dropped.
pub(super) async fn serve(listener: UnixListener, port: Port) {
    let mut consoles = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if consoles.len() < MOST => {
                    consoles.spawn(attach(stream, port.clone()));
                }
                Ok(_) => tracing::warn!("refuse a console: {MOST} are attached"),
                Err(error) => {
                    // Mostly a lack of descriptors, which passes.
                    tracing::warn!(%error, "accept a console");
                    tokio::time::sleep(PAUSE).await;
                }
            },
            Some(_) = consoles.join_next() => {}
        }
    }
}

async fn attach(stream: UnixStream, port: Port) {
    let mut output = port.output.listen();
    let (mut reader, mut writer) = stream.into_split();
    let shown = async { while writer.write_all(&output.next().await).await.is_ok() {} };
    let typed = async {
        let mut buffer = vec![0; 512];
        while let Ok(count @ 1..) = reader.read(&mut buffer).await {
            if port.input.send(buffer[..count].to_vec()).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = shown => {}
        () = typed => {}
    }
}
