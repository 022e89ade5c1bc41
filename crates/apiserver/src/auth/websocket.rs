//! Tokens of pages in a browser, which cannot give a websocket headers of their own: one of its subprotocols is the prefix
//! [`PREFIX`] and the token in base64url without padding. Kubernetes, `authentication/request/websocket`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{
    AUTHORIZATION, CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};

const PREFIX: &str = "base64url.bearer.authorization.k8s.io.";

/// Puts such a token where others have theirs, so that nobody further on sees it. What is no token (two of them, not
/// base64url, none to speak beside it) becomes one that is refused.
pub(crate) fn settle(headers: &mut HeaderMap) {
    let is_websocket = has_word(headers, CONNECTION, "upgrade") && has_word(headers, UPGRADE, "websocket");
    if !is_websocket {
        return;
    }
    let offered: Vec<String> = words(headers, SEC_WEBSOCKET_PROTOCOL).map(str::to_owned).collect();
    let (tokens, protocols): (Vec<_>, Vec<_>) = offered.iter().partition(|word| word.starts_with(PREFIX));
    let Some(first) = tokens.first() else { return };
    headers.remove(SEC_WEBSOCKET_PROTOCOL);
    let list = protocols.iter().map(|word| word.as_str()).collect::<Vec<_>>().join(", ");
    if let Some(list) = HeaderValue::from_str(&list).ok().filter(|list| !list.is_empty()) {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, list);
    }
    if super::bearer_token(headers).is_some() {
        return;
    }
    let decoded = URL_SAFE_NO_PAD.decode(&first[PREFIX.len()..]).ok();
    let is_alone = tokens.len() == 1 && !protocols.is_empty();
    let token = decoded.filter(|_| is_alone).and_then(|token| String::from_utf8(token).ok());
    let value = token.and_then(|token| HeaderValue::try_from(format!("Bearer {token}")).ok());
    let mut value = value.unwrap_or(HeaderValue::from_static("Bearer -"));
    value.set_sensitive(true);
    headers.insert(AUTHORIZATION, value);
}

/// The protocols that a client offers to speak, its token aside.
pub(crate) fn protocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    words(headers, SEC_WEBSOCKET_PROTOCOL).filter(|word| !word.starts_with(PREFIX))
}

fn words(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|word| !word.is_empty())
}

/// Whether a header whose value is a list has a word in it.
pub(crate) fn has_word(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    words(headers, name).any(|found| found.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a request that offers these: its protocols and its authorization.
    fn settled(offers: &[&str], upgrade: &str, own: Option<&str>) -> (String, String) {
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, HeaderValue::from_static("keep-alive, Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_str(upgrade).unwrap());
        for offer in offers {
            headers.append(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_str(offer).unwrap());
        }
        if let Some(own) = own {
            headers.insert(AUTHORIZATION, HeaderValue::from_str(own).unwrap());
        }
        settle(&mut headers);
        let text = |name: HeaderName| {
            headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
        };
        (text(SEC_WEBSOCKET_PROTOCOL), text(AUTHORIZATION))
    }

    #[test]
    fn a_token_among_the_protocols_is_one_like_any_other() {
        let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode("abc.d_e-f"));
        let plain = "plain.kubevirt.io";
        let both = format!("{token}, {plain}");
        let wanted = (plain.to_owned(), "Bearer abc.d_e-f".to_owned());
        assert_eq!(settled(&[&both], "websocket", None), wanted);
        assert_eq!(settled(&[plain, &token], "WebSocket", None), wanted);
        let refused = "Bearer -".to_owned();
        assert_eq!(
            settled(&[&token], "websocket", None),
            (String::new(), refused.clone()),
            "nothing to speak"
        );
        assert_eq!(settled(&[&token, &both], "websocket", None), (plain.to_owned(), refused.clone()), "two");
        let broken = format!("{PREFIX}*, {plain}");
        assert_eq!(settled(&[&broken], "websocket", None), (plain.to_owned(), refused), "no base64url");
        assert_eq!(
            settled(&[&both], "websocket", Some("Basic eDp5")),
            wanted,
            "nobody is known by another kind"
        );
        let own = (plain.to_owned(), "Bearer own".to_owned());
        assert_eq!(settled(&[&both], "websocket", Some("Bearer own")), own, "a header of one's own counts");
        assert_eq!(settled(&[&both], "h2c", None), (both.clone(), String::new()), "no websocket");
        assert_eq!(settled(&[plain], "websocket", None), (plain.to_owned(), String::new()));
    }
}
