//! What a request asks for is the same however its path and query are spelt.

#![no_main]

use apiserver::request::RequestInfo;
use apiserver::request::negotiate::{Offer, accepted, is_known, preferred};
use apiserver::request::query::{Query, decode, decode_path, encode_path};
use arbitrary::Arbitrary;
use http::header::{ACCEPT, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Method};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    method: u8,
    path: &'a str,
    query: &'a str,
    accept: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

const METHODS: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

const VERBS: [&str; 9] =
    ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", ""];

/// Every byte as an escape.
fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

/// The meaning, but for the spelling of the path.
fn meaning(mut info: RequestInfo) -> RequestInfo {
    info.path = "".into();
    info
}

fn check_path(method: &Method, input: &Input<'_>) {
    let path = decode_path(input.path);
    let info = RequestInfo::parse(method, &path, Some(input.query));
    assert!(!info.is_resource || VERBS.contains(&&*info.verb), "{info:?}");
    assert!(
        !info.is_resource || info.resource.is_empty() == info.verb.is_empty() || method != Method::GET,
        "{info:?}"
    );
    assert_eq!(decode_path(&escaped(&path)), path);
    // A path that is its own escape means what it means when it is written in the one way.
    if let Ok(written) = encode_path(&path) {
        assert!(written.is_ascii() && !written.contains("//"), "{written:?}");
        let read = decode_path(&written);
        assert_eq!(encode_path(&read).as_ref(), Ok(&written), "{path:?}");
        let again = RequestInfo::parse(method, &read, Some(input.query));
        assert_eq!(meaning(info), meaning(again), "{path:?} written {written:?}");
    }
}

fn check_query(input: &Input<'_>) {
    let written: Vec<String> = input
        .parameters
        .iter()
        .map(|(name, value)| format!("{}={}", escaped(name), escaped(value)))
        .collect();
    let query = Query::parse(&written.join("&"));
    for (name, _) in &input.parameters {
        let values: Vec<&str> =
            input.parameters.iter().filter(|(n, _)| n == name).map(|(_, value)| *value).collect();
        assert_eq!(query.all(name).collect::<Vec<_>>(), values, "{written:?}");
        assert_eq!((query.has(name), query.get(name)), (true, values[0]));
        let _ = query.flag(name);
    }
    // Nothing but an escape of two digits, and a plus, is anything else than itself.
    let plain: String = input.query.chars().filter(|letter| !matches!(letter, '%' | '+')).collect();
    assert_eq!(decode(&plain), plain);
    for (at, _) in input.query.match_indices('%') {
        let digits = input.query.as_bytes().get(at + 1..at + 3);
        if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
            let tail = &input.query[at..at + 1];
            assert_eq!(decode(tail), "%");
            let short: String = input.query[at..].chars().take(3).collect();
            assert!(decode(&short).starts_with('%'), "{short:?} is no escape");
        }
    }
    let parsed = Query::parse(input.query);
    let _ = (parsed.flag("watch"), parsed.get("limit"));
}

fn check_accept(input: &Input<'_>) {
    let Ok(header) = HeaderValue::from_str(input.accept) else { return };
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, header.clone());
    headers.insert(IF_NONE_MATCH, header);
    let query = Query::parse(input.query);
    for offer in [Offer::BuiltIn, Offer::Custom, Offer::Plain] {
        let _ = accepted(&headers, &query, offer);
    }
    let offered = ["json", "yaml"];
    assert!(preferred(&headers, &offered).is_none_or(|chosen| chosen < offered.len()));
    let _ = is_known(&headers, "tag");
}

fuzz_target!(|input: Input<'_>| {
    let method = &METHODS[usize::from(input.method) % METHODS.len()];
    check_path(method, &input);
    check_query(&input);
    check_accept(&input);
});
