//! What the server tells about itself at `/metrics`, in the text format of Prometheus.

pub(crate) mod histogram;
pub(crate) mod requests;

use std::fmt::Write as _;

use crate::ApiServer;

/// Writes the metrics.
pub fn render(server: &ApiServer) -> String {
    let mut text = String::new();
    text.push_str("# TYPE apiserver_storage_objects gauge\n");
    for (collection, count) in server.caches().counts() {
        // Writing to a string does not fail.
        let _ = writeln!(text, "apiserver_storage_objects{{resource=\"{collection}\"}} {count}");
    }
    let _ = writeln!(text, "# TYPE apiserver_storage_revision counter");
    let _ = writeln!(text, "apiserver_storage_revision {}", server.caches().applied());
    server.requests().write(&mut text);
    server.flow().write(&mut text);
    if let Some(audit) = server.audit() {
        let count = audit.log().count();
        let _ = writeln!(
            text,
            "# TYPE apiserver_audit_event_total counter\napiserver_audit_event_total {}",
            count.events
        );
        let _ = writeln!(text, "# TYPE apiserver_audit_error_total counter");
        let _ = writeln!(text, "apiserver_audit_error_total{{plugin=\"log\"}} {}", count.lost);
    }
    text
}
