//! ResourceQuotas: what a namespace may hold, what it holds, and refusing what would be too much.
//!
//! A write that adds to a namespace is charged before it is stored: the quota's `status.used` grows by it, on the condition
//! that nobody changed the quota meanwhile, so that two writes cannot both take the last of something. What is charged and
//! then not stored, and what goes away, is set right by counting anew.

mod charge;
mod measure;
mod recount;
mod scope;

use machinery::quantity::Quantity;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

pub(crate) use charge::charge;
pub(crate) use recount::{Recount, run};

use crate::cache::{Caches, Entry};
use crate::registry::Collection;

/// How much of each resource, by the names that quotas use.
type Amounts = BTreeMap<String, Quantity>;

static QUOTAS: LazyLock<Collection> = LazyLock::new(|| Collection::new("", "resourcequotas"));

/// The quotas of a namespace.
fn of_namespace(caches: &Caches, namespace: &str) -> Vec<Arc<Entry>> {
    if namespace.is_empty() { Vec::new() } else { caches.of(&QUOTAS).snapshot(namespace).0 }
}

/// Reads amounts; what is no amount was refused when it was written.
fn read(amounts: &Value) -> Amounts {
    let amounts = amounts.as_object().into_iter().flatten();
    amounts.filter_map(|(name, text)| Some((name.clone(), Quantity::parse(text.as_str()?).ok()?))).collect()
}

fn write(amounts: &Amounts) -> Value {
    let amounts = amounts.iter().map(|(name, amount)| (name.clone(), amount.canonical().into()));
    Value::Object(amounts.collect::<Map<_, _>>())
}

/// Adds `more` to what is there under `name`.
fn add(amounts: &mut Amounts, name: String, more: Quantity) {
    let sum = amounts.get(&name).map_or(more, |amount| *amount + more);
    amounts.insert(name, sum);
}
