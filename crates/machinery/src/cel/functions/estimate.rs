//! What calls cost at most, told from the sizes of what they are given.

use super::super::estimate::{Known, Size};
use super::super::toll::{search, traversal};
use super::super::types::Type;

/// Calling a function that makes a list.
const LISTED: u64 = 11;
/// The regular expression of the longest named format costs that much for a tenth of a character.
const FORMAT_PATTERN: u64 = 32;

/// The cost of a call without that of its parts, and the size of what it gives. `own` is what stands before the dot,
/// `first` the type of the first argument, `limit` the second one where it is a number.
pub(in super::super) fn call(
    name: &str,
    own: Option<&(Known, Type)>,
    args: &[Known],
    first: Option<&Type>,
    limit: Option<u64>,
) -> Known {
    let size = |at: usize| args.get(at).map_or(Size::exactly(0), Known::size);
    let target = own.map_or(Size::exactly(0), |(own, _)| own.size());
    let one = Known::costing(1);
    match (name, own) {
        ("check", Some(_)) => Known::costing(350_000),
        ("isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf", Some((own, kind))) => {
            Known::costing(whole(own, kind))
        }
        ("url", None) => Known::costing(traversal(size(0).max)).sized(size(0)),
        ("lowerAscii" | "upperAscii" | "substring" | "trim", Some(_)) => {
            Known::costing(traversal(target.max)).sized(target)
        }
        ("replace", Some(_)) => {
            let known = Known::costing(traversal(target.max.saturating_mul(2)));
            known.sized(replaced(target, size(0), size(1)))
        }
        ("split", Some(_)) => {
            let parts = Size { min: 0, max: limit.unwrap_or(target.max) };
            Known::costing(traversal(target.max.saturating_mul(2))).sized(parts)
        }
        ("join", Some((own, _))) => {
            let between = Size { min: target.min.saturating_sub(1), max: target.max.saturating_sub(1) };
            let joined = target.times(element(own)).plus(size(0).times(between));
            Known::costing(traversal(joined.max)).sized(joined)
        }
        ("find" | "findAll", Some(_)) => {
            Known::costing(search(target.max, size(0).max)).sized(Size { min: 0, max: target.max })
        }
        ("matches", Some(_)) => Known::costing(search(target.max, size(0).max)),
        ("contains", Some(_)) => Known::costing(traversal(target.max).saturating_mul(traversal(size(0).max))),
        ("startsWith" | "endsWith", Some(_)) => Known::costing(traversal(size(0).max)),
        ("format", Some(_)) => Known::costing(traversal(target.max)),
        ("strings.quote", None) => {
            let quoted = size(0).plus(size(0)).plus(Size::exactly(2));
            Known::costing(traversal(size(0).max)).sized(quoted)
        }
        ("cidr" | "isIP" | "isCIDR" | "ip" | "quantity" | "isQuantity" | "semver" | "isSemver", None) => {
            Known::costing(traversal(size(0).max))
        }
        ("ip.isCanonical", None) => Known::costing(traversal(size(0).max.saturating_mul(2))),
        ("containsIP", Some(_)) => Known::costing(4u64.saturating_add(address(args))),
        ("containsCIDR", Some(_)) => Known::costing(7u64.saturating_add(address(args))),
        ("validate", Some(_)) => Known::costing(traversal(size(0).max).saturating_mul(FORMAT_PATTERN)),
        ("sets.contains" | "sets.equivalent" | "sets.intersects", None) => {
            Known::costing(size(0).times(size(1)).max.saturating_add(1))
        }
        ("distinct" | "sort", Some(_)) => {
            let pairs = target.times(target);
            Known::costing(pairs.max.saturating_mul(2).saturating_add(LISTED)).sized(pairs)
        }
        ("reverse" | "flatten" | "slice", Some((_, Type::List(_)))) => {
            Known::costing(target.max.saturating_add(LISTED)).sized(target)
        }
        ("bytes", None) if may_be(first, "string") => {
            let bytes = Size { min: size(0).min, max: size(0).max.saturating_mul(4) };
            Known::costing(traversal(size(0).max).max(1)).sized(bytes)
        }
        ("string", None) if may_be(first, "bytes") => {
            let text = Size { min: size(0).min / 4, max: size(0).max };
            Known::costing(traversal(size(0).max).max(1)).sized(text)
        }
        _ => one,
    }
}

/// Whether a value may be of a type.
fn may_be(kind: Option<&Type>, name: &str) -> bool {
    match kind {
        Some(Type::Plain(known)) => *known == name,
        kind => matches!(kind, Some(Type::Dyn)),
    }
}

/// Going through a list and what its elements hold, or through a text.
fn whole(own: &Known, kind: &Type) -> u64 {
    match kind {
        Type::List(items) => {
            let text = matches!(**items, Type::Plain("string" | "bytes"));
            let each = if text { traversal(element(own).max).saturating_add(1) } else { 1 };
            own.size().max.saturating_mul(each)
        }
        _ => traversal(own.size().max),
    }
}

/// The size of a list's elements.
fn element(own: &Known) -> Size {
    let declared = own.track.declared().and_then(|declared| declared.element());
    declared.map_or(Size::UNKNOWN, |element| Size { min: 0, max: element.most })
}

/// Reading an address, where it is a text.
fn address(args: &[Known]) -> u64 {
    args.first().and_then(|arg| arg.size).map_or(0, |size| traversal(size.max))
}

/// The size of a text after parts of it were replaced.
fn replaced(text: Size, part: Size, by: Size) -> Size {
    let (count, kept) = match (part.min, by.max <= part.min) {
        (0, _) => (text.max.saturating_add(1), text.max),
        (_, true) => (0, text.max),
        (least, false) => (text.max.div_ceil(least), 0),
    };
    Size { min: 0, max: count.saturating_mul(by.max).saturating_add(kept) }
}
