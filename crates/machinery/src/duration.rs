//! Spans of time as Go writes them, and with it Kubernetes: numbers with units.

use jiff::SignedDuration;

/// Units of a duration's text, in nanoseconds. `ms` stands before `m`.
const UNITS: [(&str, i128); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads a span such as `1h30m`, `-1.5s` or `0`.
pub fn parse(text: &str) -> Option<SignedDuration> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(SignedDuration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut nanos: i128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let (number, unit) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || whole.len() > 18 || fraction.len() > 18 {
            return None;
        }
        let (name, size) = UNITS.into_iter().find(|(name, _)| unit.starts_with(name))?;
        let digits = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<i128>().ok() };
        nanos += digits(whole)? * size;
        nanos += digits(fraction)? * size / 10i128.pow(fraction.len() as u32);
        rest = &unit[name.len()..];
    }
    let nanos = i64::try_from(if negative { -nanos } else { nanos }).ok()?;
    Some(SignedDuration::from_nanos(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_gos() {
        let table = [
            ("5m0s", Some(300_000)),
            ("1h", Some(3_600_000)),
            ("1.5s", Some(1500)),
            ("0s", Some(0)),
            ("0", Some(0)),
            ("250ms", Some(250)),
            ("-5s", Some(-5000)),
            ("", None),
            ("5", None),
            ("5 m", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text), expected.map(SignedDuration::from_millis), "{text}");
        }
    }
}
