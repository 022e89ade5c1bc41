//! What the server tells about itself at `/metrics`, in the text format of Prometheus.

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
    text
}
