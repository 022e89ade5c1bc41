//! The words for an answer that is not a success.
//!
//! A Kubernetes server explains itself in a `Status` object. Proxies, and servers that refuse before they know who asks,
//! answer in plain text or with nothing; for these there are the sentences that kubectl has, so that scripts that look
//! for them go on.

use serde_json::Value;

use crate::request::Request;

/// An answer with a code of 400 or more.
#[derive(Clone, Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) code: u16,
    /// Whether it says to be JSON.
    pub(crate) json: bool,
    /// Whether it says to be plain text.
    pub(crate) text: bool,
    pub(crate) body: &'a [u8],
}

impl Answer<'_> {
    /// Returns the message of the `Status` in the body, when it is one.
    fn status_message(&self) -> Option<String> {
        let status: Value = serde_json::from_slice(self.body).ok()?;
        if status["kind"] != "Status" || status["status"] == "Success" {
            return None;
        }
        status["message"].as_str().map(str::to_owned)
    }

    /// Says why `request` was refused.
    pub(crate) fn to_request(&self, request: &Request) -> String {
        if let Some(message) = self.status_message() {
            return message;
        }
        let said = String::from_utf8_lossy(self.body);
        let said = said.trim();
        let sentence = match self.code {
            400 => "the server rejected our request for an unknown reason",
            401 => "the server has asked for the client to provide credentials",
            403 if self.text && !said.is_empty() => said,
            403 => "the server does not allow access to the requested resource",
            404 => "the server could not find the requested resource",
            405 => "the server does not allow this method on the requested resource",
            406 => "the server was unable to respond with a content type that the client supports",
            409 => "the server reported a conflict",
            413 => "Request entity too large",
            415 => {
                "the body of the request was in an unknown format - accepted media types include: application/json"
            }
            422 => "the server rejected our request due to an error in our request",
            429 => "the server has received too many requests and has asked us to try again later",
            503 => "the server is currently unable to handle the request",
            504 => {
                "the server was unable to return a response in the time allotted, but may still be processing the request"
            }
            500.. => &format!(
                "an error on the server ({:?}) has prevented the request from succeeding",
                if said.is_empty() { "unknown" } else { said }
            ),
            code => &format!(
                "the server responded with the status code {code} but did not return more information"
            ),
        };
        let verb = request.verb.as_str().to_lowercase();
        match &request.about {
            Some((plural, name)) if name.is_empty() => format!("{sentence} ({verb} {plural})"),
            Some((plural, name)) => format!("{sentence} ({verb} {plural}.kubevirt.io {name})"),
            None => sentence.to_owned(),
        }
    }

    /// Says why a websocket was not opened.
    pub(crate) fn to_upgrade(&self) -> String {
        let handshake = format!("Can't connect to websocket ({}): websocket: bad handshake", self.code);
        if self.json {
            return self.status_message().unwrap_or(handshake);
        }
        if self.text && !self.body.is_empty() {
            return format!("{handshake}: application info: {}", String::from_utf8_lossy(self.body));
        }
        handshake
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Kind, Verb};

    const STATUS: &[u8] =
        br#"{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404,
        "message":"virtualmachine.kubevirt.io \"none\" not found"}"#;

    #[test]
    fn a_status_speaks_for_itself_and_others_get_kubectls_sentence() {
        let request = Request::subresource(Verb::Put, "ns", Kind::Machine, "none", "start").unwrap();
        let said = |code, body| Answer { code, json: false, text: true, body }.to_request(&request);
        assert_eq!(said(404, STATUS), "virtualmachine.kubevirt.io \"none\" not found");
        assert_eq!(
            said(401, b"request is not authenticated"),
            "the server has asked for the client to provide credentials (put virtualmachines.kubevirt.io none)"
        );
        assert_eq!(said(403, b"no\n"), "no (put virtualmachines.kubevirt.io none)");
        assert_eq!(
            said(502, b"bad gateway"),
            "an error on the server (\"bad gateway\") has prevented the request from succeeding (put virtualmachines.kubevirt.io none)"
        );
        assert_eq!(
            Answer { code: 418, json: false, text: false, body: b"" }.to_request(&Request::read("/version")),
            "the server responded with the status code 418 but did not return more information"
        );
    }

    #[test]
    fn a_refused_websocket_says_what_the_server_said() {
        let said = |code, json, body| Answer { code, json, text: !json, body }.to_upgrade();
        assert_eq!(said(404, true, STATUS), "virtualmachine.kubevirt.io \"none\" not found");
        assert_eq!(
            said(401, false, b"who are you"),
            "Can't connect to websocket (401): websocket: bad handshake: application info: who are you"
        );
        assert_eq!(said(502, true, b"{}"), "Can't connect to websocket (502): websocket: bad handshake");
    }
}
