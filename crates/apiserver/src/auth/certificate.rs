//! Identities from client certificates: the common name is the user, the organizations are the groups.

use machinery::admission::UserInfo;
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{AttributeTypeAndValue, FromDer as _, X509Certificate};

use super::identity;

/// Reads the identity of a certificate that the TLS layer has verified; nothing if it names no user.
pub fn identity(der: &[u8]) -> Option<UserInfo> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let text = |part: &AttributeTypeAndValue<'_>| part.as_str().ok().map(str::to_owned);
    let name =
        certificate.subject().iter_common_name().next().and_then(text).filter(|name| !name.is_empty())?;
    let groups = certificate.subject().iter_organization().filter_map(text);
    let mut user = identity::user(name, groups);
    let credential = format!("X509SHA256={}", hex::encode(Sha256::digest(der)));
    user.extra.insert(identity::CREDENTIAL.to_owned(), vec![credential]);
    Some(user)
}

#[cfg(test)]
mod tests {
    use certs::{Authority, Profile};

    #[test]
    fn user_and_group_come_from_the_subject() {
        let now = "2027-01-01T00:00:00Z".parse().expect("a time");
        let authority = Authority::create("ca", now).expect("an authority");
        let issued =
            authority.issue(&Profile::client("alice", "system:masters"), now).expect("a certificate");
        let user = super::identity(&issued.certificate().expect("DER")).expect("an identity");
        assert_eq!(user.username, "alice");
        assert_eq!(user.groups, ["system:masters", "system:authenticated"]);
        let credential = &user.extra["authentication.kubernetes.io/credential-id"];
        assert!(
            credential[0].strip_prefix("X509SHA256=").is_some_and(|hash| hash.len() == 64),
            "{credential:?}"
        );
        assert_eq!(super::identity(b"no certificate"), None);
    }
}
