//! `TokenReview`: judging a token for somebody else.

use machinery::status::Status;
use serde_json::{Value, json};

use super::bearer;
use crate::{ApiServer, Result};

/// Returns the status of a review.
///
/// # Errors
/// Refuses a review of nothing.
pub(super) fn status(server: &ApiServer, review: &Value) -> Result<Value> {
    let token = review.pointer("/spec/token").and_then(Value::as_str).unwrap_or_default();
    if token.is_empty() {
        return Err(Status::bad_request("spec.token is empty; name the token to judge").into());
    }
    let asked = review.pointer("/spec/audiences").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut audiences: Vec<String> = asked.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    if audiences.is_empty() {
        audiences.clone_from(&server.auth().settings.audiences);
    }
    Ok(match bearer::verify(server, token, &audiences) {
        Ok(verified) => {
            json!({"authenticated": true, "user": verified.user, "audiences": verified.audiences})
        }
        Err(why) => {
            tracing::debug!(%why, "a reviewed token is refused");
            json!({"user": {}, "error": "invalid bearer token"})
        }
    })
}
