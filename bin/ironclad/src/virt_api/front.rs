//! Who asks: the API server in front authenticates users and names them in headers, which count only on connections that
//! show its certificate. How it does both it publishes in a ConfigMap.

use anyhow::{Context as _, Result};
use http::HeaderMap;
use k8s_openapi::api::core::v1::ConfigMap;
use kube_ext::{Api, Client, Key};
use machinery::admission::UserInfo;

const NAMESPACE: &str = "kube-system";
const NAME: &str = "extension-apiserver-authentication";

/// What the API server publishes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Front {
    /// The authorities of its certificate, PEM.
    pub(super) authorities: String,
    /// Common names that its certificate may have; any if there is none.
    names: Vec<String>,
    user_headers: Vec<String>,
    uid_headers: Vec<String>,
    group_headers: Vec<String>,
    extra_prefixes: Vec<String>,
}

impl Front {
    /// Reads what the API server behind `client` publishes.
    pub(super) async fn read(client: &Client) -> Result<Self> {
        let published = Api::<ConfigMap>::new(client).get(&Key::new(NAMESPACE, NAME)).await.context(
            "the API server does not say how it names users; bind the role extension-apiserver-authentication-reader \
             of kube-system to this component's account",
        )?;
        Self::of(&published)
    }

    fn of(published: &ConfigMap) -> Result<Self> {
        let text = |field: &str| published.data.as_ref().and_then(|data| data.get(field)).cloned();
        let list = |field: &str| -> Result<Vec<String>> {
            let Some(text) = text(field) else { return Ok(Vec::new()) };
            serde_json::from_str(&text).with_context(|| format!("{field} of {NAMESPACE}/{NAME} is no list"))
        };
        let authorities = text("requestheader-client-ca-file").with_context(|| {
            format!(
                "{NAMESPACE}/{NAME} has no requestheader-client-ca-file: start the API server with \
                 --requestheader-client-ca-file and its companions, so that it aggregates other servers"
            )
        })?;
        Ok(Self {
            authorities,
            names: list("requestheader-allowed-names")?,
            user_headers: list("requestheader-username-headers")?,
            uid_headers: list("requestheader-uid-headers")?,
            group_headers: list("requestheader-group-headers")?,
            extra_prefixes: list("requestheader-extra-headers-prefix")?,
        })
    }

    /// Returns the user of a request that came by a connection of `peer`, if that may name one.
    pub(super) fn user(&self, peer: Option<&UserInfo>, headers: &HeaderMap) -> Option<UserInfo> {
        let peer = peer?;
        if !self.names.is_empty() && !self.names.contains(&peer.username) {
            return None;
        }
        let first = |names: &[String]| {
            let mut values = names.iter().filter_map(|name| headers.get(name)?.to_str().ok());
            values.find(|value| !value.is_empty()).map(str::to_owned)
        };
        let mut user = UserInfo { username: first(&self.user_headers)?, ..UserInfo::default() };
        user.uid = first(&self.uid_headers).unwrap_or_default();
        for name in &self.group_headers {
            let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
            user.groups.extend(values.map(str::to_owned));
        }
        for (name, value) in headers {
            let prefixed = |prefix: &String| {
                // Headers have no case, and come in lower case here.
                name.as_str().strip_prefix(&prefix.to_ascii_lowercase()).filter(|rest| !rest.is_empty())
            };
            let Some(key) = self.extra_prefixes.iter().find_map(prefixed) else { continue };
            if let Ok(value) = value.to_str() {
                user.extra.entry(unescaped(key)).or_default().push(value.to_owned());
            }
        }
        Some(user)
    }
}

/// Undoes the percent escapes of a header's name; what is none stays as it is.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = (*first == b'%').then(|| after.get(..2)).flatten();
        let digits = escaped.and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            bytes.push(byte);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};
    use serde_json::json;

    fn front() -> Front {
        // As a Kubernetes 1.36 publishes it.
        let published = json!({"data": {
            "client-ca-file": "other",
            "requestheader-allowed-names": "[\"front-proxy\"]",
            "requestheader-client-ca-file": "pem",
            "requestheader-extra-headers-prefix": "[\"X-Remote-Extra-\"]",
            "requestheader-group-headers": "[\"X-Remote-Group\"]",
            "requestheader-uid-headers": "[\"X-Remote-Uid\"]",
            "requestheader-username-headers": "[\"X-Remote-User\"]",
        }});
        Front::of(&serde_json::from_value(published).unwrap()).unwrap()
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn the_api_server_names_the_user() {
        let peer = UserInfo { username: "front-proxy".to_owned(), ..UserInfo::default() };
        let sent = headers(&[
            ("x-remote-user", "alice"),
            ("x-remote-uid", "1"),
            ("x-remote-group", "a"),
            ("x-remote-group", "system:authenticated"),
            ("x-remote-extra-authentication.kubernetes.io%2fpod-name", "p"),
            ("x-remote-extra-", "nothing"),
        ]);
        let user = front().user(Some(&peer), &sent).unwrap();
        assert_eq!((&*user.username, &*user.uid), ("alice", "1"));
        assert_eq!(user.groups, ["a", "system:authenticated"]);
        assert_eq!(
            user.extra.into_iter().collect::<Vec<_>>(),
            [("authentication.kubernetes.io/pod-name".to_owned(), vec!["p".to_owned()])]
        );
    }

    #[test]
    fn nobody_else_does() {
        let peer = |name: &str| UserInfo { username: name.to_owned(), ..UserInfo::default() };
        let sent = headers(&[("x-remote-user", "system:admin"), ("x-remote-group", "system:masters")]);
        assert_eq!(front().user(None, &sent), None);
        assert_eq!(front().user(Some(&peer("alice")), &sent), None);
        assert_eq!(front().user(Some(&peer("front-proxy")), &HeaderMap::new()), None);
        let nameless = Front { names: Vec::new(), ..front() };
        assert!(nameless.user(Some(&peer("anyone")), &sent).is_some());
    }

    #[test]
    fn an_api_server_that_does_not_aggregate_is_told_of() {
        let error = Front::of(&ConfigMap::default()).unwrap_err().to_string();
        assert!(error.contains("--requestheader-client-ca-file"), "{error}");
    }

    #[test]
    fn escapes_are_undone_and_nothing_else() {
        for (text, plain) in [("a%2fb", "a/b"), ("a%", "a%"), ("%zz", "%zz"), ("%C3%A9", "é"), ("%é1", "%é1")]
        {
            assert_eq!(unescaped(text), plain);
        }
    }
}
