//! Guest memory.

use serde_json::json;
use wire::machine::Memory;

use super::builder::Builder;

/// Name of the memory object of a machine that has one.
pub(super) const BACKEND: &str = "ram";
/// Places for memory devices that are added later.
const SLOTS: u32 = 16;

/// Whether the memory needs an object of its own; otherwise it is QEMU's anonymous memory, the cheapest.
pub(super) fn has_backend(memory: &Memory) -> bool {
    memory.shared || memory.hugepage_size.is_some()
}

pub(super) fn add(builder: &mut Builder<'_>, memory: &Memory) {
    let mut value = format!("size={}", bytes(memory.size));
    if memory.max > memory.size {
        value = format!("{value},slots={SLOTS},maxmem={}", bytes(memory.max));
    }
    builder.option("-m", value);
    if has_backend(memory) {
        builder.json(
            "-object",
            json!({
                "qom-type": "memory-backend-memfd",
                "id": BACKEND,
                "size": memory.size,
                "share": memory.shared,
                "hugetlb": memory.hugepage_size.map(|_| true),
                "hugetlbsize": memory.hugepage_size,
                "prealloc": memory.hugepage_size.map(|_| true),
            }),
        );
    }
}

/// A size in the unit that needs no rounding: QEMU takes a bare number for MiB.
fn bytes(size: u64) -> String {
    format!("{}k", size.div_ceil(1024))
}
