//! Reading one object.

use http::{Response, StatusCode};
use machinery::status::Status;

use super::{Call, present, storage};
use crate::{Body, Result, conversion};

/// Answers a get.
pub(crate) async fn get(call: &mut Call) -> Result<Response<Body>> {
    wait_for_revision(call).await?;
    let found = storage::current(&call.server, &call.resource, &call.key()).await?;
    let entry = found.ok_or_else(|| call.not_found(&call.info.name))?;
    let entry = conversion::shown(&call.server, &call.resource, &entry).await?;
    present::object(call, StatusCode::OK, &entry)
}

/// Makes sure that the answer is not older than the client asks.
pub(crate) async fn wait_for_revision(call: &Call) -> Result<()> {
    let wanted = call.query.get("resourceVersion");
    if wanted.is_empty() || wanted == "0" {
        return Ok(());
    }
    let Ok(revision) = wanted.parse::<u64>() else { return Err(invalid_revision(wanted)) };
    let caches = call.server.caches();
    if revision <= caches.applied() {
        return Ok(());
    }
    tokio::select! {
        biased;
        () = caches.wait_for(revision) => Ok(()),
        () = call.server.clock().sleep(std::time::Duration::from_secs(3)) => Err(too_large(revision, caches.applied())),
    }
}

/// The refusal of a resourceVersion that is not a number.
pub(crate) fn invalid_revision(text: &str) -> Box<Status> {
    use machinery::field::{FieldError, Path};
    let error = FieldError::invalid(Path::new("resourceVersion"), text, "must be an unsigned decimal number");
    Status::invalid(&machinery::gvk::Gvk::new("meta.k8s.io", "v1", "ListOptions"), "", &[error]).into()
}

/// The refusal of a resourceVersion that this server has not reached.
pub(crate) fn too_large(wanted: u64, current: u64) -> Box<Status> {
    use machinery::status::{Cause, Details};
    let message = format!("Too large resource version: {wanted}, current: {current}");
    let cause = Cause {
        reason: "ResourceVersionTooLarge".into(),
        message: "Too large resource version".into(),
        field: String::new(),
    };
    let details = Details { causes: vec![cause], retry_after_seconds: 1, ..Details::default() };
    Status::timeout(message, 1).with_details(details).into()
}
