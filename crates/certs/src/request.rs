//! What somebody wants to have signed: certification requests (PKCS #10).

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;

use crate::provider;

/// A request for a certificate, whose signature shows that its sender has the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRequest {
    /// Who it is for.
    pub common_name: String,
    /// The groups that it is for.
    pub organizations: Vec<String>,
}

/// Why something is no request for a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// There is no such block.
    #[error("PEM block type must be CERTIFICATE REQUEST")]
    NoBlock,
    /// The block holds something else.
    #[error("the block holds no certification request (PKCS #10)")]
    Malformed,
    /// The signature is not that of the key in it.
    #[error(
        "the signature is not of the key in the request, or of an algorithm that is not taken: sign it by ECDSA, Ed25519, or RSA with 2048 bits or more, and SHA-256 or more"
    )]
    Signature,
}

impl CertificateRequest {
    /// Reads a request in PEM and checks its signature.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn read(pem: &[u8]) -> Result<Self, RequestError> {
        let der = CertificateSigningRequestDer::from_pem_slice(pem).map_err(|_| RequestError::NoBlock)?;
        let (rest, request) =
            X509CertificationRequest::from_der(&der).map_err(|_| RequestError::Malformed)?;
        if !rest.is_empty() {
            return Err(RequestError::Malformed);
        }
        if !is_signed(&request) {
            return Err(RequestError::Signature);
        }
        let subject = &request.certification_request_info.subject;
        let common_name = subject.iter_common_name().find_map(|part| part.as_str().ok());
        let organizations = subject.iter_organization().filter_map(|part| part.as_str().ok());
        Ok(Self {
            common_name: common_name.unwrap_or_default().to_owned(),
            organizations: organizations.map(str::to_owned).collect(),
        })
    }
}

/// Whether a request is signed by its own key.
fn is_signed(request: &X509CertificationRequest<'_>) -> bool {
    let info = &request.certification_request_info;
    // The identifier of an algorithm begins with its name: tag, length, name.
    let name = request.signature_algorithm.algorithm.as_bytes();
    let Ok(length) = u8::try_from(name.len()) else { return false };
    let named = [&[6, length], name].concat();
    let (key, signature) = (&info.subject_pki.subject_public_key.data, &request.signature_value.data);
    let known = provider().signature_verification_algorithms;
    // The same name stands for several curves; the key fits one of them.
    let mut candidates =
        known.all.iter().filter(|known| known.signature_alg_id().as_ref().starts_with(&named));
    candidates.any(|known| known.verify_signature(key, info.raw, signature).is_ok())
}

/// Whether these are one certificate or more in PEM, without headers (RFC 1421), and no blocks of another kind. Text around
/// the blocks is allowed (RFC 7468, 5.2).
pub fn is_certificate_chain(pem: &[u8]) -> bool {
    let only = std::str::from_utf8(pem).is_ok_and(|text| {
        let mut inside = false;
        text.lines().all(|line| {
            let line = line.trim_end();
            let fits = match line.strip_prefix("-----BEGIN ") {
                Some(kind) => kind == "CERTIFICATE-----",
                None => !inside || !line.contains(':'),
            };
            inside = line.starts_with("-----BEGIN ") || inside && !line.starts_with("-----END ");
            fits
        })
    });
    let mut found = false;
    only && CertificateDer::pem_slice_iter(pem).all(|der| {
        found = true;
        der.is_ok_and(|der| x509_parser::parse_x509_certificate(&der).is_ok())
    }) && found
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};

    use super::*;

    fn request(key: &KeyPair) -> String {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "jane");
        params.distinguished_name.push(DnType::OrganizationName, "developers");
        params.serialize_request(key).unwrap().pem().unwrap()
    }

    #[test]
    fn requests_say_whom_they_are_for() {
        for key in [
            KeyPair::generate(),
            KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
            KeyPair::generate_for(&PKCS_ED25519),
        ] {
            let read = CertificateRequest::read(request(&key.unwrap()).as_bytes());
            let expected =
                CertificateRequest { common_name: "jane".into(), organizations: vec!["developers".into()] };
            assert_eq!(read, Ok(expected));
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let good = request(&KeyPair::generate().unwrap());
        assert_eq!(CertificateRequest::read(b""), Err(RequestError::NoBlock));
        let other = good.replace("CERTIFICATE REQUEST", "CERTIFICATE");
        assert_eq!(CertificateRequest::read(other.as_bytes()), Err(RequestError::NoBlock));
        let der = CertificateSigningRequestDer::from_pem_slice(good.as_bytes()).unwrap();
        let longer = [&der[..], &[0]].concat();
        let longer = format!(
            "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n",
            STANDARD.encode(&longer)
        );
        assert_eq!(CertificateRequest::read(longer.as_bytes()), Err(RequestError::Malformed));
        let mut forged = der.to_vec();
        // A letter of the name, which the signature is about.
        let at = forged.windows(4).position(|four| four == b"jane").unwrap();
        forged[at] = b'k';
        assert!(!is_signed(&X509CertificationRequest::from_der(&forged).unwrap().1));
        assert!(is_signed(&X509CertificationRequest::from_der(&der).unwrap().1));
    }

    #[test]
    fn chains_are_told_from_other_text() {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::default().self_signed(&key).unwrap().pem();
        assert!(is_certificate_chain(certificate.as_bytes()));
        assert!(is_certificate_chain(format!("{certificate}{certificate}").as_bytes()));
        assert!(!is_certificate_chain(b"nothing"));
        assert!(!is_certificate_chain(request(&key).as_bytes()));
        // What `openssl x509 -text` and `openssl ca` write before it.
        let told = format!(
            "Certificate:\n    Data:\n        Version: 3 (0x2)\n{certificate}issuer: somebody\n{certificate}"
        );
        assert!(is_certificate_chain(told.as_bytes()));
        let headed = certificate.replacen("-----\n", "-----\nProc-Type: 4,ENCRYPTED\n\n", 1);
        assert!(!is_certificate_chain(headed.as_bytes()));
    }
}
