//! Identities from client certificates: the common name is the user, the organizations are the groups.

use machinery::admission::UserInfo;
use x509_parser::prelude::{AttributeTypeAndValue, FromDer as _, X509Certificate};

use super::identity;

/// Reads the identity of a certificate that the TLS layer has verified; nothing if it names no user.
pub fn identity(der: &[u8]) -> Option<UserInfo> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let text = |part: &AttributeTypeAndValue<'_>| part.as_str().ok().map(str::to_owned);
    let name =
        certificate.subject().iter_common_name().next().and_then(text).filter(|name| !name.is_empty())?;
    let groups = certificate.subject().iter_organization().filter_map(text);
    Some(identity::user(name, groups))
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
        assert_eq!(super::identity(b"no certificate"), None);
    }
}
