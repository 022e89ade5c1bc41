//! TCP: each connection here is one tunnel.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::net::{TcpListener, TcpStream};

use super::{COMPONENT, Destination};
use crate::log;
use crate::target::Forward;
use crate::tunnel::join;

/// Time to wait when no connection can be taken: without descriptors, the next try fails at once too.
const PAUSE: Duration = Duration::from_millis(200);

/// Listens, and returns with the port that was taken.
pub(super) async fn listen(destination: Destination, address: IpAddr, port: Forward) -> Result<Forward> {
    let listener = TcpListener::bind((address, port.local))
        .await
        .map_err(|error| anyhow!("listen tcp {address}:{}: {error}", port.local))?;
    let port = Forward { local: listener.local_addr()?.port(), ..port };
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((client, _)) => {
                    tokio::spawn(carry(destination.clone(), client, port));
                }
                Err(error) => {
                    log::error(COMPONENT, &format!("error accepting connection: {error}"));
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    });
    Ok(port)
}

async fn carry(destination: Destination, client: TcpStream, port: Forward) {
    let Some(tunnel) = destination.open_and_tell(port).await else { return };
    log::info(COMPONENT, &format!("handling tcp connection for {}", port.local));
    if let Err(error) = client.set_nodelay(true) {
        log::error(COMPONENT, &format!("error handling connection for {}: {error}", port.local));
    }
    let (reader, writer) = client.into_split();
    if let Err(error) = join(tunnel, reader, writer).await {
        log::error(COMPONENT, &format!("error handling connection for {}: {error}", port.local));
    }
}
