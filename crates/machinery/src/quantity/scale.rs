//! Suffixes, and the exact arithmetic of digits with a suffix.

use super::{Format, MAX, NANO};

pub(super) const BINARY: [(&str, u32); 6] =
    [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];
pub(super) const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];

/// The family of a suffix, and its power of two and of ten.
pub(super) fn scale_of(suffix: &str) -> Option<(Format, u32, i32)> {
    if let Some((_, power)) = BINARY.iter().find(|(s, _)| *s == suffix) {
        return Some((Format::Binary, *power, 0));
    }
    if let Some((_, power)) = DECIMAL.iter().find(|(s, _)| *s == suffix) {
        return Some((Format::Decimal, 0, *power));
    }
    let digits = suffix.strip_prefix(['e', 'E'])?;
    let power: i32 = digits.parse().ok()?;
    Some((Format::Exponent, 0, power.clamp(-1000, 1000)))
}

/// The amount in nano-units, rounded up and capped.
pub(super) fn amount(whole: &str, fraction: &str, power2: u32, power10: i32) -> i128 {
    let mut nano: i128 = 0;
    let mut inexact = false;
    let mut power = i64::try_from(whole.len()).unwrap_or(i64::MAX) + i64::from(power10) + 9;
    // Each digit counts 10^(power-1) nano-units; the digits below that are only remembered as "something".
    for digit in whole.bytes().chain(fraction.bytes()) {
        power -= 1;
        let digit = i128::from(digit - b'0');
        if power2 == 0 {
            if digit == 0 {
                continue;
            }
            match u32::try_from(power).ok().map(|p| 10_i128.checked_pow(p)) {
                Some(Some(unit)) => nano = nano.saturating_add(unit.saturating_mul(digit)),
                Some(None) => return MAX,
                None => inexact = true,
            }
        }
    }
    if power2 > 0 {
        return binary_amount(whole, fraction, power2);
    }
    (nano.saturating_add(i128::from(inexact))).min(MAX)
}

/// The same for a binary suffix: digits × 2^power2, exact to the nano-unit.
fn binary_amount(whole: &str, fraction: &str, power2: u32) -> i128 {
    let unit = 1_i128 << power2;
    let Ok(whole) = (if whole.is_empty() { Ok(0) } else { whole.parse::<i128>() }) else {
        return MAX;
    };
    let Some(mut nano) = whole.checked_mul(unit).and_then(|v| v.checked_mul(NANO)) else {
        return MAX;
    };
    // Eighteen digits of the fraction are more than any real text has; 10^18 · 2^60 still fits.
    let digits = &fraction[..fraction.len().min(18)];
    if !digits.is_empty() {
        let scale = 10_i128.pow(digits.len() as u32);
        let part = digits.parse::<i128>().unwrap_or(0);
        let product = part.saturating_mul(unit);
        let whole_part = product / scale * NANO;
        let rest = product % scale;
        let fine = rest.saturating_mul(NANO);
        nano = nano.saturating_add(whole_part).saturating_add(fine.div_euclid(scale));
        if fine % scale != 0 {
            nano += 1;
        }
    }
    nano.min(MAX)
}
