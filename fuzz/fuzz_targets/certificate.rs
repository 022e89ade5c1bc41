//! Requests for certificates and what signers answer with: nobody's bytes end the program, and what one reader takes is not
//! what the other does.

#![no_main]

use arbitrary::Arbitrary;
use certs::{CertificateRequest, is_certificate_chain};
use libfuzzer_sys::fuzz_target;
use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject as _;

#[derive(Debug, Arbitrary)]
enum Input<'a> {
    /// A document as it is sent.
    Text(&'a [u8]),
    /// The inside of a block, so that guesses get past its armour.
    Block { request: bool, der: &'a [u8] },
}

fn armoured(kind: &str, der: &[u8]) -> Vec<u8> {
    use base64::Engine as _;
    let inside = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN {kind}-----\n{inside}\n-----END {kind}-----\n").into_bytes()
}

fuzz_target!(|input: Input| {
    let text = match input {
        Input::Text(text) => text.to_vec(),
        Input::Block { request: true, der } => armoured("CERTIFICATE REQUEST", der),
        Input::Block { request: false, der } => armoured("CERTIFICATE", der),
    };
    let read = CertificateRequest::read(&text);
    let chain = is_certificate_chain(&text);
    assert!(!(chain && read.is_ok()), "a request and a chain at once");
    // A signature is about every byte: the same request with its last byte changed is not the same, or none.
    if read.is_ok() {
        let der = CertificateSigningRequestDer::from_pem_slice(&text).expect("it was read");
        let mut other = der.to_vec();
        if let Some(last) = other.last_mut() {
            *last ^= 1;
        }
        assert!(
            CertificateRequest::read(&armoured("CERTIFICATE REQUEST", &other)).is_err(),
            "a forged signature"
        );
    }
});
