//! A server that answers with whatever bytes a test wants, over a loopback port, one request a connection.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A running server.
#[derive(Debug)]
pub(crate) struct Liar {
    pub(crate) address: SocketAddr,
    /// The head of each request, in lower case.
    seen: Arc<Mutex<Vec<String>>>,
}

impl Liar {
    /// Starts a server that answers a request for a path with the bytes that `answer` gives; with none it stays silent.
    pub(crate) async fn start(answer: impl Fn(&str, &str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let (heads, answer) = (seen.clone(), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (heads, answer) = (heads.clone(), answer.clone());
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        match stream.read_u8().await {
                            Ok(byte) => head.push(byte),
                            Err(_) => return,
                        }
                    }
                    let head = String::from_utf8_lossy(&head).to_lowercase();
                    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                    heads.lock().unwrap().push(head.clone());
                    let bytes = answer(&path, &head);
                    if bytes.is_empty() {
                        std::future::pending::<()>().await;
                    }
                    // Who does not want to hear more hangs up.
                    drop(stream.write_all(&bytes).await);
                });
            }
        });
        Self { address, seen }
    }

    pub(crate) fn name(&self, image: &str) -> String {
        format!("{}/{image}", self.address)
    }

    /// Returns the heads of the requests whose path ends so.
    pub(crate) fn seen(&self, end: &str) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        seen.iter()
            .filter(|head| head.split(' ').nth(1).is_some_and(|path| path.ends_with(end)))
            .cloned()
            .collect()
    }
}

/// An answer with these headers, which says how long it is.
pub(crate) fn reply(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 {status}\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}
