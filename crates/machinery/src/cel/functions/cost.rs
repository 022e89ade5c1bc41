//! What calls cost: Kubernetes' figures, so that what stays within its limits stays within ours.

use super::super::toll::{search, traversal};
use super::super::value::Value;

/// A question to the authoriser.
const QUESTION: u64 = 350_000;
/// Length of the longest pattern of a named format.
const FORMAT_PATTERN: u64 = 128;

/// The cost of a call; of methods, the first value is the one before the dot.
pub(super) fn of_call(name: &str, method: bool, args: &[Value]) -> u64 {
    let size = |at: usize| args.get(at).map_or(0, Value::count);
    match (name, args) {
        ("check", _) => QUESTION,
        ("isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf", [whole, ..]) => everything(whole),
        ("ip", [Value::Cidr(..)]) => 1,
        (
            "url" | "lowerAscii" | "upperAscii" | "substring" | "trim" | "cidr" | "isIP" | "isCIDR" | "ip"
            | "quantity" | "isQuantity" | "semver" | "isSemver" | "strings.quote" | "format" | "startsWith"
            | "endsWith",
            _,
        )
        | ("bytes", [Value::String(_)])
        | ("string", [Value::Bytes(_)]) => traversal(size(0)),
        ("replace" | "split" | "ip.isCanonical", _) => traversal(2 * size(0)),
        ("join", [Value::List(items), ..]) => {
            let between = items.len().saturating_sub(1) as u64 * if args.len() > 1 { size(1) } else { 0 };
            traversal(2 * (items.iter().map(Value::count).sum::<u64>() + between))
        }
        ("find" | "findAll", _) => search(size(0), size(1)),
        ("matches", _) if method => search(size(0), size(1)),
        ("contains", _) => traversal(size(0)) * traversal(size(1)),
        ("validate", [_, text]) => search(text.count(), FORMAT_PATTERN),
        ("containsIP" | "containsCIDR", [Value::Cidr(address, _), other]) => {
            let bytes = if address.is_ipv4() { 4 } else { 16 };
            let text = if matches!(other, Value::String(_)) { traversal(other.count()) } else { 0 };
            let prefix = if name == "containsCIDR" { traversal(bytes) + 1 } else { 0 };
            traversal(2 * bytes) + prefix + text
        }
        ("sets.contains" | "sets.equivalent" | "sets.intersects", _) => 1 + size(0) * size(1),
        ("distinct", _) => 1 + size(0) * size(0),
        ("flatten" | "slice" | "sort" | "reverse", _) => 1 + size(0),
        _ => 1,
    }
}

/// Looking at all that is in a value.
fn everything(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.len() as u64 / 10,
        Value::Bytes(bytes) => bytes.len() as u64 / 10,
        Value::List(items) => items.iter().map(everything).sum(),
        Value::Map(entries) => {
            entries.iter().map(|(key, value)| everything(&key.value()) + everything(value)).sum()
        }
        _ => 1,
    }
}
