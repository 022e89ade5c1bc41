//! A server that has a few answers and records what it is asked for.

#![allow(dead_code, reason = "each test file has a use for a part of it")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// What the peer answers: method, how the path ends or what it contains, code, body. The first that fits is taken; one that
/// is named `once` fits a single time.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) once: bool,
    pub(crate) code: u16,
    pub(crate) body: Value,
    /// Bytes instead of a document.
    pub(crate) bytes: Option<Vec<u8>>,
}

/// An answer that is given as often as it is asked for.
pub(crate) fn answer(method: &'static str, path: &'static str, code: u16, body: Value) -> Answer {
    Answer { method, path, once: false, code, body, bytes: None }
}

/// A request that the peer was sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Asked {
    pub(crate) line: String,
    /// Headers, in small letters.
    pub(crate) headers: Vec<String>,
    /// A document, or text.
    pub(crate) body: Value,
}

/// A server.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Peer {
    /// Begins to answer.
    pub(crate) fn start(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answers, seen) = (Arc::new(Mutex::new(answers)), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answers, seen) = (Arc::clone(&answers), Arc::clone(&seen));
                std::thread::spawn(move || while serve(&stream, &answers, &seen).is_some() {});
            }
        });
        Self { address, asked }
    }

    /// Runs virtctl against it.
    pub(crate) fn run(&self, line: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_virtctl"));
        command.env_clear().arg(format!("--server=http://{}", self.address)).args(line.split_whitespace());
        command.output().expect("virtctl starts")
    }

    /// Runs virtctl, which succeeds; returns what it prints.
    #[track_caller]
    pub(crate) fn says(&self, line: &str) -> String {
        let output = self.run(line);
        assert!(output.status.success(), "{line}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Runs virtctl, which fails; returns what it complains of.
    #[track_caller]
    pub(crate) fn refuses(&self, line: &str) -> String {
        let output = self.run(line);
        assert_eq!(output.status.code(), Some(1), "{line}: {}", text(&output.stdout));
        text(&output.stderr)
    }

    /// Takes what was asked since it was taken last.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.asked.lock().expect("nobody panicked"))
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Answers one request; `None` when the connection has ended.
fn serve(stream: &TcpStream, answers: &Mutex<Vec<Answer>>, seen: &Mutex<Vec<Asked>>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    if reader.read_line(&mut first).ok()? == 0 {
        return None;
    }
    let (mut length, mut headers) = (0, Vec::new());
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let header = header.trim().to_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        headers.push(header);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let line = first.rsplit_once(' ')?.0.to_owned();
    let body = serde_json::from_slice(&body).unwrap_or_else(|_| text(&body).into());
    seen.lock().ok()?.push(Asked { line: line.clone(), headers, body });
    let mut answers = answers.lock().ok()?;
    let fits = |answer: &Answer| {
        let path = line.strip_prefix(answer.method).map(str::trim).unwrap_or_default();
        path.ends_with(answer.path)
            || answer.path.ends_with('*') && path.contains(answer.path.trim_end_matches('*'))
    };
    let found = answers.iter().position(fits);
    let missing = || {
        let message = format!("{line} is not here");
        answer("", "", 404, json!({"kind": "Status", "status": "Failure", "code": 404, "message": message}))
    };
    let chosen = match found {
        None => missing(),
        Some(at) if answers[at].once => answers.remove(at),
        Some(at) => answers[at].clone(),
    };
    drop(answers);
    let body = match (&chosen.bytes, &chosen.body) {
        (Some(bytes), _) => bytes.clone(),
        (None, Value::Null) => Vec::new(),
        (None, document) => document.to_string().into_bytes(),
    };
    let head = format!(
        "HTTP/1.1 {} Answer\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        chosen.code,
        body.len()
    );
    let mut stream = stream;
    stream.write_all(&[head.as_bytes(), &body].concat()).ok()
}
