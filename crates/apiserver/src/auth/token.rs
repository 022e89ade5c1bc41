//! JSON Web Tokens of service accounts: what they say, and their signature (ES256).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use certs::{SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

/// The algorithm, as tokens name it.
const ALGORITHM: &str = "ES256";

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claims {
    pub(super) aud: Vec<String>,
    /// Seconds since 1970, as all times here.
    pub(super) exp: i64,
    pub(super) iat: i64,
    pub(super) iss: String,
    pub(super) jti: String,
    #[serde(rename = "kubernetes.io")]
    pub(super) kubernetes: Bound,
    pub(super) nbf: i64,
    pub(super) sub: String,
}

/// What a token is bound to: it dies with these objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Bound {
    pub(super) namespace: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) node: Option<Reference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) pod: Option<Reference>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) secret: Option<Reference>,
    pub(super) serviceaccount: Reference,
}

/// An object by name and uid.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reference {
    pub(super) name: String,
    pub(super) uid: String,
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: String,
}

/// Writes and signs a token.
pub(super) fn sign(claims: &Claims, key: &SigningKey) -> certs::Result<String> {
    let header = Header { alg: ALGORITHM.to_owned(), kid: key_name(key.public()) };
    // Serialising plain structs of strings and numbers does not fail.
    let part = |json: serde_json::Result<Vec<u8>>| URL_SAFE_NO_PAD.encode(json.unwrap_or_default());
    let signed = format!("{}.{}", part(serde_json::to_vec(&header)), part(serde_json::to_vec(claims)));
    let signature = key.sign(signed.as_bytes())?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// Reads a token whose signature holds, or says why it is none. Times and names are for the caller to judge.
pub(super) fn read(token: &str, key: &VerifyingKey) -> Result<Claims, &'static str> {
    let (signed, signature) = token.rsplit_once('.').ok_or("it is not a token")?;
    let (header, claims) = signed.split_once('.').ok_or("it is not a token")?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| "it is not base64");
    let header: Header =
        serde_json::from_slice(&decode(header)?).map_err(|_| "its header is not understood")?;
    // The algorithm is ours to choose, not the token's.
    if header.alg != ALGORITHM || header.kid != key_name(key) {
        return Err("it is not signed with this server's key");
    }
    if !key.verify(signed.as_bytes(), &decode(signature)?) {
        return Err("its signature does not hold");
    }
    serde_json::from_slice(&decode(claims)?).map_err(|_| "its claims are not understood")
}

fn key_name(key: &VerifyingKey) -> String {
    URL_SAFE_NO_PAD.encode(key.identifier())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Claims {
        Claims {
            aud: vec!["a".to_owned()],
            exp: 2,
            iat: 1,
            iss: "i".to_owned(),
            jti: "j".to_owned(),
            kubernetes: Bound { namespace: "n".to_owned(), ..Bound::default() },
            nbf: 1,
            sub: "s".to_owned(),
        }
    }

    #[test]
    fn tokens_hold_for_their_key_and_text() {
        let key = SigningKey::create().expect("a key");
        let token = sign(&claims(), &key).expect("a token");
        assert_eq!(read(&token, key.public()), Ok(claims()));
        let other = SigningKey::create().expect("a key");
        assert!(read(&token, other.public()).is_err());
        let mut parts: Vec<&str> = token.split('.').collect();
        let forged = URL_SAFE_NO_PAD.encode(br#"{"sub":"root"}"#);
        parts[1] = &forged;
        assert_eq!(read(&parts.join("."), key.public()), Err("its signature does not hold"));
        let unsigned = URL_SAFE_NO_PAD.encode(br#"{"alg":"none"}"#);
        let parts: Vec<&str> = token.split('.').collect();
        assert!(read(&format!("{unsigned}.{}.", parts[1]), key.public()).is_err());
        for garbage in ["", ".", "..", "a.b.c", "garbage"] {
            assert!(read(garbage, key.public()).is_err(), "{garbage}");
        }
    }
}
