//! Amounts of the API as numbers.

use api::quantity::Quantity;
use machinery::quantity::{Quantity as Exact, QuantityError};

/// Reads an amount exactly.
pub fn exact(quantity: &Quantity) -> Result<Exact, QuantityError> {
    Exact::parse(quantity.as_str())
}

/// Returns an amount as whole bytes, rounded up; `None` when it is no amount or negative.
pub fn bytes(quantity: &Quantity) -> Option<u64> {
    let amount = exact(quantity).ok()?;
    u64::try_from(amount.ceil()).ok()
}

/// Returns an amount as thousandths, rounded up; `None` when it is no amount or negative.
pub fn milli(quantity: &Quantity) -> Option<u64> {
    let amount = exact(quantity).ok()?;
    u64::try_from(amount.milli()).ok()
}

/// Returns bytes as an amount.
pub fn from_bytes(bytes: u64) -> Quantity {
    Quantity(Exact::from_bytes(bytes).canonical())
}

/// Returns thousandths as an amount.
pub fn from_milli(milli: u64) -> Quantity {
    Quantity(Exact::from_milli(i64::try_from(milli).unwrap_or(i64::MAX)).canonical())
}
