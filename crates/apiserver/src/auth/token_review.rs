//! `TokenReview`: judging a token for somebody else.

use serde_json::{Value, json};

use super::bearer;
use crate::ApiServer;

/// Returns the status of a review.
pub(super) fn status(server: &ApiServer, review: &Value) -> Value {
    let token = review.pointer("/spec/token").and_then(Value::as_str).unwrap_or_default();
    let asked = review.pointer("/spec/audiences").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut audiences: Vec<String> = asked.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    if audiences.is_empty() {
        audiences.clone_from(&server.auth().settings.audiences);
    }
    match bearer::verify(server, token, &audiences) {
        Ok(verified) => {
            json!({"authenticated": true, "user": verified.user, "audiences": verified.audiences})
        }
        Err(why) => {
            tracing::debug!(%why, "a reviewed token is refused");
            json!({"user": {}, "error": "invalid bearer token"})
        }
    }
}
