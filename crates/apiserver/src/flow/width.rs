//! How many seats a request needs: lists need more than one, by what they bring into memory.

use crate::ApiServer;
use crate::auth;
use crate::request::RequestInfo;
use crate::request::query::Query;

/// Bytes of objects for which a list needs a seat, as in kube-apiserver.
const BYTES: usize = 100_000;
/// Events that make so many bytes.
const EVENTS: usize = 100;
/// Seats of the widest list.
const WIDEST: usize = 10;

/// Seats of a request; between one and `most`.
pub(super) fn seats(server: &ApiServer, info: &RequestInfo, query: &str, most: u32) -> u32 {
    let parsed = Query::parse(query);
    let lists = match &*info.verb {
        "list" => true,
        // A watch that begins with what is there is a list first.
        "watch" => match parsed.get("sendInitialEvents") {
            "" => matches!(parsed.get("resourceVersion"), "" | "0"),
            _ => parsed.flag("sendInitialEvents"),
        },
        _ => false,
    };
    if !lists || !info.name.is_empty() || auth::attributes::selected_name(info, query).is_some() {
        return 1;
    }
    let snapshot = server.registry().snapshot();
    let Some(resource) = snapshot.resource(&info.group, &info.version, &info.resource) else { return 1 };
    let cache = server.caches().of(&resource.collection);
    let limit = parsed.get("limit").parse().ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    let seats = match cache.mean_size() {
        Some(size) => cache.len().min(limit).saturating_mul(size).div_ceil(BYTES),
        // Events stand in the store only, and nobody knows how many.
        None if !cache.keeps_objects() => limit.div_ceil(EVENTS),
        None => 1,
    };
    (seats.clamp(1, WIDEST) as u32).min(most.max(1))
}
