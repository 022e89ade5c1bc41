//! Keys for token signatures: ECDSA on P-256 with SHA-256, the `ES256` of JSON Web Tokens.

use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use rcgen::{KeyPair, PublicKeyData as _};

use crate::files::{self, PRIVATE};
use crate::{Error, Result, authority::unreadable};

/// A key that signs tokens.
#[derive(Debug)]
pub struct SigningKey {
    pair: EcdsaKeyPair,
    public: VerifyingKey,
}

/// The public half of a [`SigningKey`].
#[derive(Clone, Debug)]
pub struct VerifyingKey {
    identifier: Box<[u8]>,
    point: Box<[u8]>,
}

impl SigningKey {
    /// Makes a new key, kept nowhere.
    ///
    /// # Errors
    /// Fails when the system gives no randomness.
    pub fn create() -> Result<Self> {
        let pair = KeyPair::generate().map_err(|_| Error::Key)?;
        Self::from_pem(&pair.serialize_pem(), "the new key")
    }

    /// Loads the key from a PEM file, making it if there is none.
    ///
    /// # Errors
    /// Fails when the file cannot be read or written, or is not a P-256 key.
    pub fn load_or_create(path: &Path) -> Result<Self> {
        if let Some(pem) = files::read(path)? {
            return Self::from_pem(&pem, &path.display().to_string());
        }
        let pem = KeyPair::generate().map_err(|_| Error::Key)?.serialize_pem();
        files::write(path, &pem, PRIVATE)?;
        Self::from_pem(&pem, "the new key")
    }

    fn from_pem(pem: &str, what: &str) -> Result<Self> {
        let key = KeyPair::from_pem(pem).map_err(|error| unreadable(what, error))?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.serialized_der())
            .map_err(|error| unreadable(what, error))?;
        let identifier = digest(&SHA256, &key.subject_public_key_info()).as_ref().into();
        let public = VerifyingKey { identifier, point: pair.public_key().as_ref().into() };
        Ok(Self { pair, public })
    }

    /// Signs a message; the signature is r and s, 32 bytes each.
    ///
    /// # Errors
    /// Fails when the system gives no randomness.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let signature = self.pair.sign(&SystemRandom::new(), message).map_err(|_| Error::Key)?;
        Ok(signature.as_ref().to_vec())
    }

    /// Returns the public half.
    pub fn public(&self) -> &VerifyingKey {
        &self.public
    }
}

impl VerifyingKey {
    /// Says whether `signature` is of this key over `message`.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.point).verify(message, signature).is_ok()
    }

    /// Returns the SHA-256 of the public key's DER form: what tokens name their key by.
    pub fn identifier(&self) -> &[u8] {
        &self.identifier
    }

    /// Returns the coordinates x and y of the public point, 32 bytes each, for a JSON Web Key.
    pub fn coordinates(&self) -> (&[u8], &[u8]) {
        // The first byte says that the point is not compressed.
        self.point.split_at(1).1.split_at(32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_hold_for_their_message_and_key_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sa.key");
        let key = SigningKey::load_or_create(&path).unwrap();
        let signature = key.sign(b"message").unwrap();
        assert_eq!(signature.len(), 64);
        let again = SigningKey::load_or_create(&path).unwrap();
        assert!(again.public().verify(b"message", &signature));
        assert!(!again.public().verify(b"massage", &signature));
        assert!(!SigningKey::create().unwrap().public().verify(b"message", &signature));
        assert_eq!(key.public().coordinates().1.len(), 32);
        assert_eq!(key.public().identifier(), again.public().identifier());
    }
}
