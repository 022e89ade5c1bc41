//! One look: what a probe asks, asked.

use std::io::Read as _;
use std::path::Path;

use launcher_channel::Client;
use wire::launcher::SESSION;
use wire::launcher::v1::ProbeGuestRequest;
use wire::probe::GuestProbe;

use super::http::{self, Page};
use super::spec::Question;
use crate::inside;
use crate::record::Record;
use crate::runtime::{Runtime, Unreached};

/// Bytes of a launcher's secret that are read.
const SECRET_LENGTH: u64 = 4096;
/// Characters of an answer that people are shown.
const SHOWN: usize = 400;

/// What came of a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// All is well.
    Good,
    /// It is not; why.
    Bad(String),
    /// The question could not be asked, which says nothing about the guest.
    Unable(String),
}

impl From<Unreached> for Answer {
    fn from(why: Unreached) -> Self {
        match why {
            Unreached::Failed(why) => Self::Bad(why),
            Unreached::Untried(why) => Self::Unable(why),
        }
    }
}

impl Answer {
    /// Shortens its words, and takes out of them what would confuse a terminal: guests, servers and the Pod's owner have a
    /// part in them.
    pub(super) fn shown(self) -> Self {
        let cut = |said: String| said.chars().filter(|one| !one.is_control()).take(SHOWN).collect();
        match self {
            Self::Good => Self::Good,
            Self::Bad(why) => Self::Bad(cut(why)),
            Self::Unable(why) => Self::Unable(cut(why)),
        }
    }
}

/// Asks `question` of the Pod of `record`, whose directory on the host is `pod`.
pub(super) async fn ask(question: &Question, record: &Record, pod: &Path, runtime: &dyn Runtime) -> Answer {
    match question {
        Question::Never(why) => Answer::Unable(why.clone()),
        Question::Tcp { host, port } => match runtime.dial(record, host.as_deref(), *port).await {
            Ok(_) => Answer::Good,
            Err(why) => why.into(),
        },
        Question::Http { tls, host, port, path, headers } => {
            let named = host.clone().or_else(|| record.addresses().into_iter().next()).unwrap_or_default();
            let authority =
                if named.contains(':') { format!("[{named}]:{port}") } else { format!("{named}:{port}") };
            let page = Page { tls: *tls, authority, path: path.clone(), headers };
            http::get(page, || runtime.dial(record, host.as_deref(), *port)).await
        }
        Question::Guest { private, sockets, probe } => guest(pod, private, sockets, probe).await,
    }
}

/// Has the launcher ask the guest's agent. Both directories are in `pod`, and nothing in there leads out of it.
async fn guest(pod: &Path, private: &Path, sockets: &Path, probe: &GuestProbe) -> Answer {
    // Only read: the first secret that a launcher hears is the one that it keeps, and that is the agent's to choose.
    let mut secret = Vec::new();
    let read = inside::open(pod, &pod.join(private).join(SESSION))
        .and_then(|file| file.take(SECRET_LENGTH).read_to_end(&mut secret));
    if let Err(error) = read {
        return Answer::Bad(format!("nobody has spoken to the launcher yet: {error}"));
    }
    let wanted = ProbeGuestRequest { command: probe.command.clone(), timeout_seconds: probe.timeout_seconds };
    let answered = async { Client::connect_beneath(pod, sockets, &secret).await?.probe_guest(wanted).await };
    match answered.await {
        Ok(answer) if answer.exit_code == 0 => Answer::Good,
        Ok(answer) => {
            let said = answer.output.trim();
            let said = if said.is_empty() { String::new() } else { format!(": {said}") };
            Answer::Bad(format!("{} ended with {}{said}", probe.command.join(" "), answer.exit_code))
        }
        Err(error @ launcher_channel::Error::Unknown { .. }) => Answer::Unable(error.to_string()),
        Err(error) => Answer::Bad(error.to_string()),
    }
}
