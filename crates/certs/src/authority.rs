//! The certificate authority of an installation and what it issues.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::files::{self, PRIVATE, PUBLIC};
use crate::{Error, Result};

/// How long an authority is valid: ten years.
const AUTHORITY_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// Certificates begin to be valid this long before they are issued: clocks of peers may be behind, and our own may be set back
/// by hours when it was wrong about its time zone.
const LEEWAY: Duration = Duration::from_secs(25 * 3600);

/// What a certificate may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// Authenticating a server.
    Server,
    /// Authenticating a client.
    Client,
    /// Both, for peers that connect to each other.
    Peer,
}

/// What a certificate shall say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Common name: for clients, the user name.
    pub common_name: String,
    /// Organization: for clients, the group. (Kubernetes reads several; rcgen writes one.)
    pub organization: Option<String>,
    /// DNS names and IP addresses: for servers, where they are reached.
    pub names: Vec<String>,
    /// Its use.
    pub usage: Usage,
    /// How long it is valid.
    pub life: Duration,
}

impl Profile {
    /// A certificate of a server that is reached under `names`, for a year.
    pub fn server(common_name: impl Into<String>, names: impl IntoIterator<Item = String>) -> Self {
        Self {
            common_name: common_name.into(),
            organization: None,
            names: names.into_iter().collect(),
            usage: Usage::Server,
            life: Duration::from_secs(365 * 24 * 3600),
        }
    }

    /// A certificate of a user in a group, for a year.
    pub fn client(user: impl Into<String>, group: impl Into<String>) -> Self {
        Self {
            common_name: user.into(),
            organization: Some(group.into()),
            names: Vec::new(),
            usage: Usage::Client,
            life: Duration::from_secs(365 * 24 * 3600),
        }
    }
}

/// An issued certificate with its key. Both texts can stand in a kubeconfig after base64 encoding.
#[derive(Clone)]
pub struct Issued {
    /// The certificate, PEM.
    pub certificate_pem: String,
    /// The private key, PEM (PKCS #8).
    pub key_pem: String,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued").field("certificate_pem", &self.certificate_pem).finish_non_exhaustive()
    }
}

impl Issued {
    /// Returns the certificate in binary form.
    ///
    /// # Errors
    /// Fails when the text is not a PEM certificate.
    pub fn certificate(&self) -> Result<CertificateDer<'static>> {
        CertificateDer::from_pem_slice(self.certificate_pem.as_bytes())
            .map_err(|error| unreadable("the certificate", error))
    }

    /// Returns the key in binary form.
    ///
    /// # Errors
    /// Fails when the text is not a PEM private key.
    pub fn key(&self) -> Result<PrivateKeyDer<'static>> {
        PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes()).map_err(|error| unreadable("the key", error))
    }
}

/// A certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
    certificate: CertificateDer<'static>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("certificate_pem", &self.certificate_pem).finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes a new authority, kept nowhere.
    ///
    /// # Errors
    /// Fails when no key can be made.
    pub fn create(name: &str, now: Timestamp) -> Result<Self> {
        let (pem, key) = Self::generate(name, now)?;
        Self::from_pem(&pem, &key, name)
    }

    /// Loads the authority from `<directory>/<name>.crt` and `.key`, making both if neither exists.
    ///
    /// # Errors
    /// Fails when the files cannot be read or written, or only one of them is there.
    pub fn load_or_create(directory: &Path, name: &str, now: Timestamp) -> Result<Self> {
        let (certificate, key) =
            (directory.join(format!("{name}.crt")), directory.join(format!("{name}.key")));
        if let Some((pem, key_pem)) = files::read_pair(&certificate, &key)? {
            return Self::from_pem(&pem, &key_pem, &certificate.display().to_string());
        }
        let (pem, key_pem) = Self::generate(name, now)?;
        files::write(&key, &key_pem, PRIVATE)?;
        files::write(&certificate, &pem, PUBLIC)?;
        Self::from_pem(&pem, &key_pem, name)
    }

    fn generate(name: &str, now: Timestamp) -> Result<(String, String)> {
        let wrap = |source| Error::Issue { subject: name.to_owned(), source };
        let key = KeyPair::generate().map_err(wrap)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        set_validity(&mut params, now, AUTHORITY_LIFE);
        let certificate = params.self_signed(&key).map_err(wrap)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }

    fn from_pem(pem: &str, key_pem: &str, what: &str) -> Result<Self> {
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|e| unreadable(what, e))?;
        let key = KeyPair::from_pem(key_pem).map_err(|e| unreadable(&format!("the key of {what}"), e))?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(|e| unreadable(what, e))?;
        Ok(Self { issuer, certificate_pem: pem.to_owned(), certificate })
    }

    /// Returns the authority's certificate, PEM: what clients trust.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Returns the authority's certificate in binary form.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Issues a certificate with a new key.
    ///
    /// # Errors
    /// Fails when a name of the profile is not a DNS name or IP address.
    pub fn issue(&self, profile: &Profile, now: Timestamp) -> Result<Issued> {
        let wrap = |source| Error::Issue { subject: profile.common_name.clone(), source };
        let key = KeyPair::generate().map_err(wrap)?;
        let mut params = CertificateParams::new(profile.names.clone()).map_err(wrap)?;
        params.distinguished_name = DistinguishedName::new();
        if let Some(organization) = &profile.organization {
            params.distinguished_name.push(DnType::OrganizationName, organization.as_str());
        }
        params.distinguished_name.push(DnType::CommonName, profile.common_name.as_str());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = match profile.usage {
            Usage::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
            Usage::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
            Usage::Peer => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
        };
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, now, profile.life);
        let certificate = params.signed_by(&key, &self.issuer).map_err(wrap)?;
        Ok(Issued { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }

    /// Loads a certificate from `<directory>/<name>.crt` and `.key`, or issues and writes a new one: when there
    /// is none, when it is from another authority, says something else than `profile`, or is [due](crate::due).
    ///
    /// # Errors
    /// Fails when the files cannot be read or written.
    pub fn load_or_issue(
        &self,
        directory: &Path,
        name: &str,
        profile: &Profile,
        now: Timestamp,
    ) -> Result<Issued> {
        let (certificate, key) =
            (directory.join(format!("{name}.crt")), directory.join(format!("{name}.key")));
        // Half a pair, or a damaged one, can be made anew: nothing else depends on it.
        if let Ok(Some((certificate_pem, key_pem))) = files::read_pair(&certificate, &key) {
            let issued = Issued { certificate_pem, key_pem };
            if crate::rotation::serves(&issued, self, profile, now) {
                return Ok(issued);
            }
        }
        let issued = self.issue(profile, now)?;
        files::write(&key, &issued.key_pem, PRIVATE)?;
        files::write(&certificate, &issued.certificate_pem, PUBLIC)?;
        Ok(issued)
    }
}

pub(crate) fn unreadable(what: &str, error: impl std::fmt::Display) -> Error {
    Error::Unreadable { what: what.to_owned(), detail: error.to_string() }
}

fn set_validity(params: &mut CertificateParams, now: Timestamp, life: Duration) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let now = Duration::from_secs(now.as_second().max(0).unsigned_abs());
    params.not_before = epoch + now.saturating_sub(LEEWAY);
    params.not_after = epoch + now + life;
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn an_authority_is_made_once_and_kept_private() {
        let directory = tempfile::tempdir().unwrap();
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let made = Authority::load_or_create(directory.path(), "ca", now).unwrap();
        let loaded = Authority::load_or_create(directory.path(), "ca", now).unwrap();
        assert_eq!(made.certificate_pem(), loaded.certificate_pem());
        let metadata = std::fs::metadata(directory.path().join("ca.key")).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        std::fs::remove_file(directory.path().join("ca.key")).unwrap();
        let error = Authority::load_or_create(directory.path(), "ca", now).unwrap_err();
        assert!(matches!(error, Error::HalfPair { .. }), "{error}");
    }

    #[test]
    fn certificates_say_what_the_profile_says() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let authority = Authority::create("ca", now).unwrap();
        let issued = authority.issue(&Profile::client("alice", "system:masters"), now).unwrap();
        let der = issued.certificate().unwrap();
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).unwrap();
        let values = |parts: Vec<&x509_parser::x509::AttributeTypeAndValue<'_>>| {
            parts.iter().map(|part| part.as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(values(parsed.subject().iter_common_name().collect()), ["alice"]);
        assert_eq!(values(parsed.subject().iter_organization().collect()), ["system:masters"]);
        assert_eq!(parsed.validity().not_after.timestamp(), 1_800_000_000 + 365 * 24 * 3600);
    }
}
