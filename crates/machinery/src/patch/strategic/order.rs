//! The order of a merged list: what the patch names comes in the patch's order, the rest in the object's.

use serde_json::Value;

use crate::patch::PatchError;

/// Whether two elements are the same one: by key, or plain values by value.
fn same(a: &Value, b: &Value, key: Option<&str>) -> bool {
    match key {
        Some(key) => a.get(key).is_some() && a.get(key) == b.get(key),
        None => a == b,
    }
}

fn position(list: &[Value], item: &Value, key: Option<&str>) -> Option<usize> {
    list.iter().position(|other| same(other, item, key))
}

/// Arranges `items`. Those that `wanted` names follow its order, the others the order in `server`; where the two
/// meet, an element of the object goes first only if it stood before the other one in the object.
pub(super) fn arrange(
    items: Vec<Value>,
    wanted: &[Value],
    server: &[Value],
    key: Option<&str>,
) -> Vec<Value> {
    let (mut named, mut others): (Vec<Value>, Vec<Value>) =
        items.into_iter().partition(|item| position(wanted, item, key).is_some());
    named.sort_by_key(|item| position(wanted, item, key));
    others.sort_by_key(|item| position(server, item, key));
    let mut arranged = Vec::with_capacity(named.len() + others.len());
    let (mut named, mut others) = (named.into_iter().peekable(), others.into_iter().peekable());
    loop {
        let other_first = match (others.peek(), named.peek()) {
            (None, None) => return arranged,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some(other), Some(name)) => match (position(server, other, key), position(server, name, key)) {
                (Some(a), Some(b)) => a < b,
                _ => false,
            },
        };
        arranged.extend(if other_first { others.next() } else { named.next() });
    }
}

/// Checks that the patch lists its elements in an order that `wanted` agrees with, and names none beyond it.
pub(super) fn check_listed(
    patch: &[Value],
    wanted: &[Value],
    key: Option<&str>,
    name: &str,
) -> Result<(), PatchError> {
    let mut from = 0;
    for item in patch.iter().filter(|item| item.get(super::DIRECTIVE).is_none()) {
        match position(&wanted[from..], item, key) {
            Some(at) => from += at + 1,
            None => {
                return Err(PatchError::Form(format!(
                    "the elements of {name} in the patch must all stand in its $setElementOrder, in the same order"
                )));
            }
        }
    }
    Ok(())
}
