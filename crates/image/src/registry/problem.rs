//! Why a registry does not give what it is asked for, in words that a user can act on.

/// What went wrong between this node and a registry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// No connection.
    #[error("its registry {host} cannot be reached: {cause}; correct the name, or the way there")]
    Unreachable {
        /// Host and port.
        host: String,
        /// What the network answered.
        cause: String,
    },
    /// The server's certificate comes from nobody who is trusted.
    #[error(
        "the certificate of its registry {host} is not trusted: {cause}; put its authority's certificate into \
         registries/{host}/ca.crt of the data directory"
    )]
    Untrusted {
        /// Host and port.
        host: String,
        /// What the check found.
        cause: String,
    },
    /// The server does not speak TLS.
    #[error(
        "its registry {host} does not speak TLS; give it a certificate, or make the file registries/{host}/insecure in \
         the data directory"
    )]
    Plain {
        /// Host and port.
        host: String,
    },
    /// What was to be trusted cannot be read.
    #[error(
        "the authorities for its registry {host} cannot be used: {cause}; write PEM certificates into ca.crt"
    )]
    Authorities {
        /// Host and port.
        host: String,
        /// What is wrong with them.
        cause: String,
    },
    /// Connected, and then nothing.
    #[error("its registry {host} fell silent for {seconds} s; it is tried again")]
    Silent {
        /// Host and port.
        host: String,
        /// How long was waited.
        seconds: u64,
    },
    /// A redirection that is not followed.
    #[error("its registry {host} leads nowhere: {cause}")]
    Redirected {
        /// Host and port.
        host: String,
        /// Why it was not followed.
        cause: String,
    },
    /// A login is missing.
    #[error("its registry {host} asks for a login; name a Secret with one by imagePullSecret")]
    LoginMissing {
        /// Host and port.
        host: String,
    },
    /// The login is not good.
    #[error(
        "its registry {host} refuses the login of the pull Secret; correct the user, the password, or their rights"
    )]
    LoginRefused {
        /// Host and port.
        host: String,
    },
    /// The service that gives out tokens fails.
    #[error("the login service {service} of its registry fails: {cause}")]
    LoginService {
        /// Host of the service.
        service: String,
        /// What it answered.
        cause: String,
    },
    /// There is no such image.
    #[error("its registry {host} has no such image; correct the name or the tag, or push it")]
    Absent {
        /// Host and port.
        host: String,
    },
    /// The image is there, and a part of it is not.
    #[error("its registry {host} has the image without its part {digest}; push the image again")]
    Incomplete {
        /// Host and port.
        host: String,
        /// The part.
        digest: String,
    },
    /// Something else answers.
    #[error(
        "what answers in the place of its registry {host} sends a web page; log in to the network, or correct the name"
    )]
    NoRegistry {
        /// Host and port.
        host: String,
    },
    /// Bytes come, and too few of them.
    #[error("its registry {host} sends less than {bytes} bytes in {seconds} s; it is tried again")]
    Slow {
        /// Host and port.
        host: String,
        /// The least that is expected.
        bytes: u64,
        /// In how long.
        seconds: u64,
    },
    /// Any other refusal.
    #[error("its registry {host} answers {status}{detail}")]
    Status {
        /// Host and port.
        host: String,
        /// The HTTP status.
        status: u16,
        /// What it says, after a colon; empty when it says nothing.
        detail: String,
    },
    /// The work itself broke off.
    #[error("the download broke off: {0}")]
    Interrupted(String),
}

/// Most characters of a foreign sentence that are passed on.
const LONGEST: usize = 200;

/// Makes one short line of what somebody else says, who may be hostile.
pub(super) fn quote(text: &str) -> String {
    let words: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    let line = words.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

/// Returns what an error is made of, at its end: the part that says what happened.
pub(super) fn deepest(error: &dyn std::error::Error) -> String {
    let mut current = error;
    while let Some(below) = current.source() {
        current = below;
    }
    quote(&current.to_string())
}

/// Says why a request did not get an answer.
pub(super) fn of_request(host: &str, patience: u64, error: &reqwest::Error) -> Problem {
    let (host, cause) = (host.to_owned(), deepest(error));
    if error.is_redirect() {
        Problem::Redirected { host, cause }
    } else if cause.contains("InvalidContentType") {
        Problem::Plain { host }
    } else if cause.contains("certificate") {
        Problem::Untrusted { host, cause }
    } else if error.is_timeout() {
        Problem::Silent { host, seconds: patience }
    } else {
        Problem::Unreachable { host, cause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_words_become_one_short_line() {
        assert_eq!(quote("a\r\n\x1b[31m  b"), "a [31m b");
        let long = quote(&"ä ".repeat(10_000));
        assert_eq!(long.chars().count(), LONGEST + 3);
    }
}
