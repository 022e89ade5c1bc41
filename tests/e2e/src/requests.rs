//! Plain requests as any identity, many by one process: `curl` with the installation's address and authority.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kit::Installation;
use serde_json::Value;

/// Between one answer and the next.
const MARK: &str = "\n@@answer@@ ";

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The administrator by certificate.
    Administrator,
    /// A user whom the administrator plays.
    User(String),
    /// The holder of a token.
    Token(String),
    /// Somebody who shows nothing.
    Nobody,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Question {
    /// Who asks.
    pub identity: Identity,
    /// Method.
    pub method: &'static str,
    /// Path as it is sent.
    pub path: String,
    /// Body; empty for none.
    pub body: String,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status code; 0 when the connection was closed instead.
    pub code: u16,
    /// Media type.
    pub media_type: String,
    /// Body.
    pub body: String,
}

impl Answer {
    /// Returns the body as JSON, or null.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

/// Sends the questions one after another and returns an answer to each.
///
/// # Panics
/// When curl fails.
pub fn ask(installation: &Installation, questions: &[Question]) -> Vec<Answer> {
    let credentials = Credentials::of(installation);
    let script: Vec<String> =
        questions.iter().enumerate().map(|(at, question)| credentials.describe(question, at)).collect();
    let config = credentials.file("requests");
    std::fs::write(&config, script.join("next\n")).expect("writing the requests");
    let output = Command::new("curl")
        .arg("--config")
        .arg(&config)
        .stderr(Stdio::inherit())
        .output()
        .expect("curl is installed by make deps");
    let text = String::from_utf8_lossy(&output.stdout);
    let mut pieces = text.split(MARK);
    let mut body = pieces.next().unwrap_or_default().to_owned();
    let mut answers = Vec::new();
    for piece in pieces {
        let (line, next) = piece.split_once('\n').unwrap_or((piece, ""));
        let (code, media_type) = line.split_once(' ').unwrap_or((line, ""));
        let code = code.parse().expect("a status code");
        let body = std::mem::replace(&mut body, next.to_owned());
        answers.push(Answer { code, media_type: media_type.to_owned(), body });
    }
    assert_eq!(answers.len(), questions.len(), "an answer to each request");
    answers
}

/// Where the server is, and the files that prove who asks.
struct Credentials {
    server: String,
    folder: tempfile::TempDir,
}

impl Credentials {
    fn of(installation: &Installation) -> Self {
        let view = installation.kubectl(&["config", "view", "--raw", "-o", "json"]).expect("kubectl");
        let view: Value = serde_json::from_str(&view).expect("kubectl prints JSON");
        let cluster = &view["clusters"][0]["cluster"];
        let user = &view["users"][0]["user"];
        let folder = tempfile::tempdir().expect("a temporary directory");
        let parts = [
            ("authority", &cluster["certificate-authority-data"]),
            ("certificate", &user["client-certificate-data"]),
            ("key", &user["client-key-data"]),
        ];
        for (name, data) in parts {
            decode(data.as_str().expect("the kubeconfig holds it"), &folder.path().join(name));
        }
        Self { server: cluster["server"].as_str().expect("an address").to_owned(), folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Describes a request to curl; `at` is its place among the others.
    fn describe(&self, question: &Question, at: usize) -> String {
        let mut script = String::from("silent\nhttp1.1\npath-as-is\nmax-time = 60\n");
        let mut line = |key: &str, value: &str| {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"");
            writeln!(script, "{key} = \"{value}\"").expect("writing into memory");
        };
        line("url", &format!("{}{}", self.server, question.path));
        line("request", question.method);
        line("cacert", &self.file("authority").display().to_string());
        line("write-out", &format!("{}%{{http_code}} %{{content_type}}\\n", MARK.replace('\n', "\\n")));
        if !question.body.is_empty() {
            line("header", "Content-Type: application/json");
            // A line of the description may not be as long as a body.
            let body = self.file(&format!("body-{at}"));
            std::fs::write(&body, &question.body).expect("writing a body");
            line("data-binary", &format!("@{}", body.display()));
        }
        match &question.identity {
            Identity::Nobody => {}
            Identity::Token(token) => line("header", &format!("Authorization: Bearer {token}")),
            Identity::Administrator | Identity::User(_) => {
                line("cert", &self.file("certificate").display().to_string());
                line("key", &self.file("key").display().to_string());
            }
        }
        if let Identity::User(name) = &question.identity {
            line("header", &format!("Impersonate-User: {name}"));
        }
        script
    }
}

/// Writes what `base64` decodes to into `file`.
fn decode(text: &str, file: &Path) {
    let script = r#"printf %s "$0" | base64 -d > "$1""#;
    let status = Command::new("sh").args(["-c", script, text]).arg(file).status().expect("a shell");
    assert!(status.success(), "decoding the kubeconfig");
}
