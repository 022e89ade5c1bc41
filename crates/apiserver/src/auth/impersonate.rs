//! Acting as somebody else: the `Impersonate-*` headers.

use http::HeaderMap;
use machinery::admission::UserInfo;
use machinery::status::Status;

use super::attributes::Attributes;
use super::identity::{self, ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED};
use crate::request::query::decode_path;
use crate::{ApiServer, Result, audit};

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";
/// Group of the resources that permission to take on a uid or extra is given for.
const AUTHENTICATION: &str = "authentication.k8s.io";

/// Returns the identity that the headers ask for, or `user` itself when they ask for none.
///
/// Every part of the wanted identity needs the permission to impersonate it.
pub(super) fn apply(server: &ApiServer, user: UserInfo, headers: &HeaderMap) -> Result<UserInfo> {
    let Some(mut wanted) = wanted(headers)? else {
        return Ok(user);
    };
    let allow = |attributes: Attributes<'_>| {
        super::require(server, &user, &Attributes { verb: "impersonate", ..attributes })
    };
    match identity::parse_service_account(&wanted.username) {
        Some((namespace, name)) => {
            allow(Attributes { resource: "serviceaccounts", namespace, name, ..Attributes::default() })?;
            if wanted.groups.is_empty() {
                wanted.groups.extend(identity::service_account_groups(namespace));
            }
        }
        None => allow(Attributes { resource: "users", name: &wanted.username, ..Attributes::default() })?,
    }
    for group in header_values(headers, GROUP) {
        allow(Attributes { resource: "groups", name: group, ..Attributes::default() })?;
    }
    for (key, values) in &wanted.extra {
        for value in values {
            let (group, resource) = (AUTHENTICATION, "userextras");
            allow(Attributes { group, resource, subresource: key, name: value, ..Attributes::default() })?;
        }
    }
    if !wanted.uid.is_empty() {
        let (group, name) = (AUTHENTICATION, wanted.uid.as_str());
        allow(Attributes { group, resource: "uids", name, ..Attributes::default() })?;
    }
    let everyone = if wanted.username == ANONYMOUS { UNAUTHENTICATED } else { AUTHENTICATED };
    if !wanted.groups.iter().any(|group| group == AUTHENTICATED || group == UNAUTHENTICATED) {
        wanted.groups.push(everyone.to_owned());
    }
    audit::impersonated(&wanted);
    Ok(wanted)
}

fn header_values<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok())
}

/// Reads the headers.
fn wanted(headers: &HeaderMap) -> Result<Option<UserInfo>> {
    let mut wanted = UserInfo {
        username: header_values(headers, USER).next().unwrap_or_default().to_owned(),
        uid: header_values(headers, UID).next().unwrap_or_default().to_owned(),
        groups: header_values(headers, GROUP).map(str::to_owned).collect(),
        ..UserInfo::default()
    };
    for (name, value) in headers {
        if let Some(key) = name.as_str().strip_prefix(EXTRA)
            && let Ok(value) = value.to_str()
        {
            wanted.extra.entry(decode_path(key).to_lowercase()).or_default().push(value.to_owned());
        }
    }
    if !wanted.username.is_empty() {
        return Ok(Some(wanted));
    }
    if wanted == UserInfo::default() {
        return Ok(None);
    }
    let why =
        "the request impersonates groups, a uid or extra without a user; add the header Impersonate-User";
    Err(Status::bad_request(why).into())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn headers_name_an_identity() {
        let mut headers = HeaderMap::new();
        assert_eq!(wanted(&headers).expect("fine"), None);
        headers.append(GROUP, HeaderValue::from_static("a"));
        assert!(wanted(&headers).is_err());
        headers.append(GROUP, HeaderValue::from_static("b"));
        headers.append(USER, HeaderValue::from_static("bob"));
        headers.append("impersonate-extra-example.test%2fteam", HeaderValue::from_static("x"));
        let user = wanted(&headers).expect("fine").expect("somebody");
        assert_eq!((user.username.as_str(), user.groups), ("bob", vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(user.extra["example.test/team"], ["x"]);
    }
}
