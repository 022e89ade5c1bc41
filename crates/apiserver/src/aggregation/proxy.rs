//! Sends requests on, with their user in headers, and answers back; connections that change their protocol become a pair
//! of pipes.

use http::header::{
    AUTHORIZATION, CONNECTION, HOST, HeaderName, LOCATION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt as _;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use machinery::admission::UserInfo;
use machinery::status::Status;

use super::front::Front;
use super::remote::Remote;
use crate::audit::ClientAddress;
use crate::request::query::encode_path;
use crate::{ApiServer, Body, body};

const TEXT: &str = "text/plain; charset=utf-8";

/// Headers that concern one connection alone (RFC 9110, section 7.6.1).
const OF_THE_CONNECTION: [HeaderName; 7] =
    [CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];

/// Answers a request of `user` with what `remote` says to it at `path`, which is the one that was judged.
pub(super) async fn forward(
    server: &ApiServer,
    front: &Front,
    remote: &Remote,
    user: &UserInfo,
    path: &str,
    request: Request<Body>,
) -> Response<Body> {
    let (mut parts, sent) = request.into_parts();
    let protocol = wanted_protocol(&parts.headers);
    let upgrade = protocol.is_some().then(|| parts.extensions.remove::<OnUpgrade>()).flatten();
    let address = parts.extensions.get::<ClientAddress>().copied();
    let target = match encode_path(path) {
        Ok(path) => with_query(path, parts.uri.query()),
        Err(part) => return refused(&format!("the path must not have the part {part:?}")),
    };
    let headers = headers(parts.headers, user, &remote.authority(), address);
    let (target, headers) = match (target, headers) {
        (Ok(target), Ok(headers)) => (target, headers),
        (Err(why), _) | (_, Err(why)) => return refused(&why),
    };
    let mut onward = Request::new(sent);
    *onward.method_mut() = parts.method;
    *onward.uri_mut() = target;
    *onward.headers_mut() = headers;
    if let Some(protocol) = protocol.filter(|_| upgrade.is_some()) {
        onward.headers_mut().insert(UPGRADE, protocol);
        onward.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    }
    let mut response = match remote.send(server, front, onward).await {
        Ok(response) => response,
        Err(why) => {
            tracing::warn!(
                group = &*remote.group,
                version = &*remote.version,
                "an aggregated API does not answer: {why}"
            );
            return unavailable(&format!("error trying to reach service: {why}"));
        }
    };
    // Clients would go there with their credentials, and take what they find for this server's answer.
    if response.status().is_redirection() && response.headers().contains_key(LOCATION) {
        tracing::warn!(
            group = &*remote.group,
            version = &*remote.version,
            "an aggregated API answers with a redirect, which is not handed on"
        );
        let why = "the backend attempted to redirect this request, which is not permitted";
        return body::answer(StatusCode::BAD_GATEWAY, TEXT, why);
    }
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let theirs = hyper::upgrade::on(&mut response);
        if let Some(ours) = upgrade {
            // What came with the request lasts as long as the stream.
            let ongoing = parts.extensions;
            tokio::spawn(async move {
                join(ours, theirs).await;
                drop(ongoing);
            });
        }
    } else {
        strip(response.headers_mut());
    }
    response.map(|received| received.map_err(Into::into).boxed_unsync())
}

fn with_query(path: String, query: Option<&str>) -> Result<Uri, String> {
    let whole = match query {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    whole.parse().map_err(|error| format!("{whole:?} cannot be asked for: {error}"))
}

/// The protocol that a client wants its connection to change to.
fn wanted_protocol(headers: &HeaderMap) -> Option<HeaderValue> {
    let options = headers.get_all(CONNECTION).into_iter().filter_map(|value| value.to_str().ok());
    let mut options = options.flat_map(|value| value.split(','));
    let wanted = options.any(|option| option.trim().eq_ignore_ascii_case("upgrade"));
    headers.get(UPGRADE).filter(|_| wanted).cloned()
}

/// Carries bytes both ways until both ends are done.
async fn join(ours: OnUpgrade, theirs: OnUpgrade) {
    match tokio::try_join!(ours, theirs) {
        Ok((ours, theirs)) => {
            let (mut ours, mut theirs) = (TokioIo::new(ours), TokioIo::new(theirs));
            if let Err(error) = tokio::io::copy_bidirectional(&mut ours, &mut theirs).await {
                tracing::debug!(%error, "an aggregated stream broke off");
            }
        }
        Err(error) => tracing::debug!(%error, "a connection was not upgraded"),
    }
}

/// Removes what concerns one connection alone.
fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&OF_THE_CONNECTION) {
        headers.remove(name);
    }
    headers.remove("keep-alive");
}

/// The headers with which a request goes on: no credentials and nothing of a client's own making about who it is, but
/// the user that was found out here.
///
/// # Errors
/// Names what of the user cannot stand in a header. To leave it out would name somebody else.
pub(super) fn headers(
    mut headers: HeaderMap,
    user: &UserInfo,
    host: &str,
    client: Option<ClientAddress>,
) -> Result<HeaderMap, String> {
    strip(&mut headers);
    let forged: Vec<HeaderName> = headers
        .keys()
        .filter(|name| {
            let name = name.as_str();
            name.starts_with("x-remote-") || name.starts_with("impersonate-")
        })
        .cloned()
        .collect();
    for name in forged.iter().chain(&[AUTHORIZATION, HOST]) {
        headers.remove(name);
    }
    let mut add = |name: &str, value: &str| {
        let shown = HeaderValue::from_bytes(value.as_bytes());
        match (name.parse::<HeaderName>(), shown) {
            (Ok(name), Ok(shown)) => drop(headers.append(name, shown)),
            _ => return Err(format!("{value:?} cannot stand in the header {name}")),
        }
        Ok(())
    };
    add("host", host)?;
    add("x-remote-user", &user.username)?;
    if !user.uid.is_empty() {
        add("x-remote-uid", &user.uid)?;
    }
    for group in &user.groups {
        add("x-remote-group", group)?;
    }
    for (key, values) in &user.extra {
        for value in values {
            add(&format!("x-remote-extra-{}", escaped(key)), value)?;
        }
    }
    if let Some(client) = client {
        add("x-forwarded-for", &client.0.to_string())?;
    }
    Ok(headers)
}

/// Writes the key of an extra so that it can be part of a header's name (RFC 9110, section 5.6.2); what cannot, and the
/// per cent sign, by numbers.
fn escaped(key: &str) -> String {
    let mut escaped = String::new();
    for byte in key.bytes() {
        if byte.is_ascii_alphanumeric() || b"!#$&'*+-.^_`|~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

/// 503, in the words and the form of kube-apiserver.
pub(super) fn unavailable(why: &str) -> Response<Body> {
    let mut response = body::answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{why}\n"));
    response.headers_mut().insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    response
}

/// What cannot be said to another program as it was judged here is not said.
fn refused(why: &str) -> Response<Body> {
    body::refusal(&Status::bad_request(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_names_himself() {
        let mut sent = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Bearer secret"),
            ("x-remote-user", "root"),
            ("x-remote-extra-a", "forged"),
            ("impersonate-user", "root"),
            ("connection", "keep-alive, x-hop"),
            ("x-hop", "1"),
            ("accept", "application/json"),
        ] {
            sent.append(name.parse::<HeaderName>().expect("a name"), HeaderValue::from_static(value));
        }
        let mut user = UserInfo { username: "u".to_owned(), uid: "7".to_owned(), ..UserInfo::default() };
        user.groups = vec!["a".to_owned(), "b".to_owned()];
        user.extra.insert("example.test/Team%".to_owned(), vec!["x".to_owned()]);
        let shown = headers(sent, &user, "s.ns.svc:443", None).expect("a name");
        let mut shown: Vec<(&str, &str)> =
            shown.iter().map(|(name, value)| (name.as_str(), value.to_str().expect("text"))).collect();
        shown.sort_unstable();
        assert_eq!(
            shown,
            [
                ("accept", "application/json"),
                ("host", "s.ns.svc:443"),
                ("x-remote-extra-example.test%2fteam%25", "x"),
                ("x-remote-group", "a"),
                ("x-remote-group", "b"),
                ("x-remote-uid", "7"),
                ("x-remote-user", "u"),
            ]
        );
    }

    #[test]
    fn who_cannot_be_named_is_not_named_otherwise() {
        let mut user =
            UserInfo { username: "u\nx-remote-group: system:masters".to_owned(), ..UserInfo::default() };
        let refused = headers(HeaderMap::new(), &user, "a", None).expect_err("it is no header");
        assert!(refused.contains("x-remote-user"), "{refused}");
        user.username = "u".to_owned();
        user.groups = vec!["a\0".to_owned()];
        assert!(headers(HeaderMap::new(), &user, "a", None).is_err());
    }
}
