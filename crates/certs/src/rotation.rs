//! Renewing certificates before they end, without restarting what serves them.

use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::X509Certificate;

use crate::{Authority, Error, Issued, Profile, Result, provider};

/// Says whether a certificate should be replaced: less than a third of its life is left, or it is unreadable.
pub fn due(issued: &Issued, now: Timestamp) -> bool {
    let Ok(der) = issued.certificate() else {
        return true;
    };
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(&der) else {
        return true;
    };
    ends_soon(&certificate, now)
}

fn ends_soon(certificate: &X509Certificate<'_>, now: Timestamp) -> bool {
    let (start, end) =
        (certificate.validity().not_before.timestamp(), certificate.validity().not_after.timestamp());
    let now = now.as_second();
    now < start || end - now < (end - start) / 3
}

/// Says whether a stored certificate can be used on: it is `authority`'s, says what `profile` says, is not due,
/// and its key belongs to it.
pub(crate) fn serves(issued: &Issued, authority: &Authority, profile: &Profile, now: Timestamp) -> bool {
    let Ok(der) = issued.certificate() else {
        return false;
    };
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(&der) else {
        return false;
    };
    let Ok((_, parent)) = x509_parser::parse_x509_certificate(authority.certificate()) else {
        return false;
    };
    // The name alone would also match an authority that was made anew.
    let signed =
        key_identifier(&parent).is_some() && key_identifier(&parent) == authority_identifier(&certificate);
    let subject = certificate.subject();
    let common: Vec<_> = subject.iter_common_name().filter_map(|part| part.as_str().ok()).collect();
    let organizations: Vec<_> = subject.iter_organization().filter_map(|part| part.as_str().ok()).collect();
    let mut names = names(&certificate);
    let mut wanted = profile.names.clone();
    names.sort();
    wanted.sort();
    signed
        && !ends_soon(&certificate, now)
        && common == [profile.common_name.as_str()]
        && organizations == profile.organization.iter().map(String::as_str).collect::<Vec<_>>()
        && names == wanted
        && certified(issued).is_ok()
}

fn key_identifier<'a>(certificate: &'a X509Certificate<'_>) -> Option<&'a [u8]> {
    certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        x509_parser::extensions::ParsedExtension::SubjectKeyIdentifier(identifier) => Some(identifier.0),
        _ => None,
    })
}

fn authority_identifier<'a>(certificate: &'a X509Certificate<'_>) -> Option<&'a [u8]> {
    certificate.iter_extensions().find_map(|extension| match extension.parsed_extension() {
        x509_parser::extensions::ParsedExtension::AuthorityKeyIdentifier(identifier) => {
            identifier.key_identifier.as_ref().map(|identifier| identifier.0)
        }
        _ => None,
    })
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|octets| std::net::Ipv4Addr::from(octets).to_string()),
            16 => {
                <[u8; 16]>::try_from(*bytes).ok().map(|octets| std::net::Ipv6Addr::from(octets).to_string())
            }
            _ => None,
        },
        _ => None,
    };
    extension.value.general_names.iter().filter_map(text).collect()
}

fn certified(issued: &Issued) -> Result<CertifiedKey> {
    CertifiedKey::from_der(vec![issued.certificate()?], issued.key()?, &provider()).map_err(Error::Tls)
}

/// A server's certificate that can be replaced while it serves.
#[derive(Debug)]
pub struct Rotating {
    current: RwLock<(Issued, Arc<CertifiedKey>)>,
}

impl Rotating {
    /// Starts with `issued`.
    ///
    /// # Errors
    /// Fails when certificate and key do not belong together.
    pub fn new(issued: Issued) -> Result<Arc<Self>> {
        let certified = Arc::new(certified(&issued)?);
        Ok(Arc::new(Self { current: RwLock::new((issued, certified)) }))
    }

    /// Says whether the certificate should be replaced.
    pub fn due(&self, now: Timestamp) -> bool {
        due(&self.current.read().unwrap_or_else(PoisonError::into_inner).0, now)
    }

    /// Uses `issued` for connections from now on.
    ///
    /// # Errors
    /// Fails when certificate and key do not belong together; the old ones stay.
    pub fn replace(&self, issued: Issued) -> Result<()> {
        let certified = Arc::new(certified(&issued)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = (issued, certified);
        Ok(())
    }
}

impl ResolvesServerCert for Rotating {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(days: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + days * 24 * 3600).unwrap()
    }

    #[test]
    fn certificates_are_kept_until_they_are_due_or_say_something_else() {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::load_or_create(directory.path(), "ca", at(0)).unwrap();
        let profile =
            Profile::server("api", ["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()]);
        let load = |authority: &Authority, profile: &Profile, now| {
            authority.load_or_issue(directory.path(), "api", profile, now).unwrap().certificate_pem
        };
        let first = load(&authority, &profile, at(0));
        assert_eq!(load(&authority, &profile, at(240)), first);
        let second = load(&authority, &profile, at(245));
        assert_ne!(second, first);
        let elsewhere = Profile { names: vec!["example.test".to_owned()], ..profile.clone() };
        let third = load(&authority, &elsewhere, at(245));
        assert_ne!(third, second);
        let stranger = Authority::create("ca", at(245)).unwrap();
        assert_ne!(load(&stranger, &elsewhere, at(245)), third);
    }

    #[test]
    fn a_rotating_certificate_refuses_a_key_of_another() {
        let authority = Authority::create("ca", at(0)).unwrap();
        let issue = || authority.issue(&Profile::server("api", ["localhost".to_owned()]), at(0)).unwrap();
        let rotating = Rotating::new(issue()).unwrap();
        assert!(!rotating.due(at(1)) && rotating.due(at(300)));
        let mixed = Issued { key_pem: issue().key_pem, ..issue() };
        assert!(rotating.replace(mixed).is_err());
        rotating.replace(authority.issue(&Profile::server("api", []), at(300)).unwrap()).unwrap();
        assert!(!rotating.due(at(301)));
    }
}
