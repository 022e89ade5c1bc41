//! Documents by which others verify this server's tokens: the issuer's configuration and its key.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Response, StatusCode};
use serde_json::json;

use crate::{ApiServer, Body, body};

/// Path of the configuration.
pub const CONFIGURATION: &str = "/.well-known/openid-configuration";
/// Path of the keys.
pub const KEYS: &str = "/openid/v1/jwks";

/// Answers one of the two paths; nothing for others, or when this server issues no tokens.
pub fn answer(server: &ApiServer, path: &str) -> Option<Response<Body>> {
    let settings = &server.auth().settings;
    let key = settings.token_key.as_ref()?.public();
    let (media_type, document) = match path {
        CONFIGURATION => (
            body::JSON,
            json!({
                "issuer": settings.issuer,
                "jwks_uri": format!("{}{KEYS}", settings.issuer),
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"],
            }),
        ),
        KEYS => {
            let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
            let (x, y) = key.coordinates();
            let key = json!({
                "use": "sig", "kty": "EC", "kid": encode(key.identifier()), "crv": "P-256", "alg": "ES256",
                "x": encode(x), "y": encode(y),
            });
            ("application/jwk-set+json", json!({"keys": [key]}))
        }
        _ => return None,
    };
    Some(body::answer(StatusCode::OK, media_type, document.to_string()))
}
