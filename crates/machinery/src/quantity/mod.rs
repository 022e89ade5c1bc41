//! Quantities: numbers with a suffix, such as `250m`, `1.5Gi` or `1e3`, kept exactly down to 10⁻⁹.

use std::cmp::Ordering;
use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;

use thiserror::Error;

mod scale;

use scale::{BINARY, DECIMAL, amount, scale_of};

const NANO: i128 = 1_000_000_000;
/// Largest magnitude in nano-units: 2⁶³-1 whole units, as Kubernetes caps it.
const MAX: i128 = i64::MAX as i128 * NANO;

/// Why a text is no quantity.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum QuantityError {
    /// Nothing there.
    #[error("a quantity must not be empty: write a number such as 1, 500m or 2Gi")]
    Empty,
    /// No number in front.
    #[error("quantity {0:?} has no number: write one such as 1, 500m or 2Gi")]
    Number(String),
    /// A suffix that is none.
    #[error(
        "quantity {text:?} has the unknown suffix {suffix:?}: use n u m k M G T P E, Ki Mi Gi Ti Pi Ei, or e<exponent>"
    )]
    Suffix {
        /// The whole text.
        text: String,
        /// What stood behind the number.
        suffix: String,
    },
}

/// How a quantity is written: powers of 1024, powers of 1000, or an exponent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// `Ki`, `Mi`, ...
    Binary,
    /// `k`, `M`, `m`, ...
    Decimal,
    /// `e3`, `E6`, ...
    Exponent,
}

/// An exact amount and the family of suffixes it was written with.
///
/// Comparison, equality and hashing look at the amount only: `1Gi` equals `1024Mi`.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    nano: i128,
    format: Format,
}

impl Quantity {
    /// A whole number of units.
    pub fn new(units: i64, format: Format) -> Self {
        Self { nano: i128::from(units) * NANO, format }
    }

    /// A number of thousandths, written with decimal suffixes (CPU).
    pub fn from_milli(milli: i64) -> Self {
        Self { nano: (i128::from(milli) * (NANO / 1000)).clamp(-MAX, MAX), format: Format::Decimal }
    }

    /// A number of bytes, written with binary suffixes (memory, storage).
    pub fn from_bytes(bytes: u64) -> Self {
        Self { nano: (i128::from(bytes) * NANO).min(MAX), format: Format::Binary }
    }

    /// Reads a quantity. More digits than 10⁻⁹ can hold are rounded away from zero; more than 2⁶³-1 becomes that.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Err(QuantityError::Empty);
        }
        let (negative, unsigned) = match trimmed.as_bytes()[0] {
            b'-' => (true, &trimmed[1..]),
            b'+' => (false, &trimmed[1..]),
            _ => (false, trimmed),
        };
        let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(QuantityError::Number(trimmed.to_owned()));
        }
        let unknown = || QuantityError::Suffix { text: trimmed.to_owned(), suffix: suffix.to_owned() };
        let (format, power2, power10) = scale_of(suffix).ok_or_else(unknown)?;
        let magnitude = amount(whole, fraction, power2, power10);
        let mut format = format;
        if format == Format::Binary && magnitude < NANO && magnitude > 0 {
            // Below one unit a binary suffix cannot be written any more.
            format = Format::Decimal;
        }
        Ok(Self { nano: if negative { -magnitude } else { magnitude }, format })
    }

    /// The canonical text: the largest suffix that keeps the number whole.
    pub fn canonical(&self) -> String {
        let small = self.nano.abs() < 1024 * NANO;
        match self.format {
            Format::Binary if !small && self.nano % NANO == 0 => self.binary(),
            Format::Exponent => self.decimal(true),
            _ => self.decimal(false),
        }
    }

    fn binary(&self) -> String {
        let mut number = self.nano / NANO;
        let mut suffix = "";
        for (name, _) in BINARY {
            if number % 1024 != 0 {
                break;
            }
            number /= 1024;
            suffix = name;
        }
        format!("{number}{suffix}")
    }

    fn decimal(&self, exponent: bool) -> String {
        if self.nano == 0 {
            return "0".to_owned();
        }
        let mut number = self.nano;
        let mut power = -9;
        while number % 1000 == 0 && power < 18 {
            number /= 1000;
            power += 3;
        }
        if exponent {
            return if power == 0 { number.to_string() } else { format!("{number}e{power}") };
        }
        let suffix = DECIMAL.iter().find(|(_, p)| *p == power).map_or("", |(s, _)| s);
        format!("{number}{suffix}")
    }

    /// Whole units, rounded up (away from zero).
    pub fn ceil(&self) -> i64 {
        rounded_up(self.nano, NANO)
    }

    /// Thousandths, rounded up (away from zero); saturates.
    pub fn milli(&self) -> i64 {
        rounded_up(self.nano, NANO / 1000)
    }

    /// Whole units as bytes: rounded up, nothing below zero.
    pub fn bytes(&self) -> u64 {
        u64::try_from(self.ceil()).unwrap_or(0)
    }

    /// The whole number of units, if there is no fraction.
    pub fn as_integer(&self) -> Option<i64> {
        (self.nano % NANO == 0).then(|| i64::try_from(self.nano / NANO).unwrap_or(i64::MAX))
    }

    /// As a floating-point number, for shares and ratios only.
    pub fn as_f64(&self) -> f64 {
        self.nano as f64 / NANO as f64
    }

    /// Whether this is nothing.
    pub fn is_zero(&self) -> bool {
        self.nano == 0
    }

    /// Whether this is less than nothing.
    pub fn is_negative(&self) -> bool {
        self.nano < 0
    }

    /// How it was written.
    pub fn format(&self) -> Format {
        self.format
    }
}

fn rounded_up(nano: i128, unit: i128) -> i64 {
    let magnitude = (nano.abs() + unit - 1) / unit;
    let value = if nano < 0 { -magnitude } else { magnitude };
    i64::try_from(value).unwrap_or(if nano < 0 { i64::MIN } else { i64::MAX })
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nano == other.nano
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nano.cmp(&other.nano)
    }
}

impl std::hash::Hash for Quantity {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.nano.hash(state);
    }
}

impl Add for Quantity {
    type Output = Self;

    /// The sum, capped; a zero takes the other's format.
    fn add(self, other: Self) -> Self {
        let format = if self.nano == 0 { other.format } else { self.format };
        Self { nano: (self.nano + other.nano).clamp(-MAX, MAX), format }
    }
}

impl Sub for Quantity {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        let format = if self.nano == 0 { other.format } else { self.format };
        Self { nano: (self.nano - other.nano).clamp(-MAX, MAX), format }
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        Self::parse(text)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.canonical())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn canonical_texts() {
        let cases = [
            ("0", "0"),
            ("1", "1"),
            ("1000", "1k"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("0.5", "500m"),
            (".5", "500m"),
            ("5.", "5"),
            ("1000m", "1"),
            ("1500m", "1500m"),
            ("100m", "100m"),
            ("1e3", "1e3"),
            ("1E3", "1e3"),
            ("1E", "1E"),
            ("12e4", "120e3"),
            ("-2Gi", "-2Gi"),
            ("1023Ki", "1023Ki"),
            ("1024", "1024"),
            ("512Ki", "512Ki"),
            ("0.5Ki", "512"),
            ("0.1Ki", "102400m"),
            ("1Ki", "1Ki"),
            ("0Ki", "0"),
            ("128974848", "128974848"),
            ("1.0000000001", "1000000001n"),
            ("0.0000000001", "1n"),
            ("9223372036854775807", "9223372036854775807"),
            ("99999999999999999999", "9223372036854775807"),
            ("100Ei", "9223372036854775807"),
        ];
        for (text, canonical) in cases {
            assert_eq!(Quantity::parse(text).expect(text).canonical(), canonical, "{text}");
        }
    }

    #[test]
    fn refused_texts() {
        for text in ["", " ", "Mi", "1.2.3", "1 Gi", "1ki", "1KB", "abc", "--1", "1e", "1e1.5", "."] {
            assert!(Quantity::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn amounts_compare_across_suffixes() {
        let q = |t: &str| Quantity::parse(t).expect(t);
        assert_eq!(q("1Gi"), q("1024Mi"));
        assert!(q("1G") < q("1Gi"));
        assert_eq!((q("1Gi") + q("512Mi")).canonical(), "1536Mi");
        assert_eq!((q("1") - q("250m")).milli(), 750);
        assert_eq!((q("0.1").milli(), q("1.1").ceil(), q("-1").bytes()), (100, 2, 0));
        assert_eq!(q("250m").as_integer(), None);
    }

    proptest! {
        #[test]
        fn canonical_text_means_the_same(number in 0_u64..1 << 40, suffix in 0_usize..17) {
            let suffixes = ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "e2"];
            let first = Quantity::parse(&format!("{number}{}", suffixes[suffix])).expect("parses");
            let again = Quantity::parse(&first.canonical()).expect("canonical parses");
            prop_assert_eq!(first, again);
            prop_assert_eq!(first.canonical(), again.canonical());
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,12}") {
            let _ = Quantity::parse(&text);
        }
    }
}
