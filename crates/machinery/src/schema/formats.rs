//! The string formats that structural schemas can ask for.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::civil::Date;

/// Whether `text` has the format; formats that nobody checks are always fine.
pub(crate) fn holds(format: &str, text: &str) -> bool {
    match format {
        "date-time" => text.parse::<Timestamp>().is_ok(),
        "date" => text.parse::<Date>().is_ok(),
        "byte" => STANDARD.decode(text.replace(['\r', '\n'], "")).is_ok(),
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        "cidr" => is_cidr(text),
        "mac" => is_mac(text),
        "uuid" | "uuid3" | "uuid4" | "uuid5" => is_uuid(format, text),
        "hostname" => is_hostname(text),
        "email" => text.split_once('@').is_some_and(|(user, host)| !user.is_empty() && is_hostname(host)),
        "uri" => {
            text.split_once(':').is_some_and(|(scheme, rest)| is_scheme(scheme) && !rest.is_empty())
                || text.starts_with('/')
        }
        "duration" => is_duration(text),
        _ => true,
    }
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else {
        return false;
    };
    let most = match address.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(_)) => 32,
        Ok(std::net::IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    bits.parse::<u8>().is_ok_and(|bits| bits <= most)
}

fn is_mac(text: &str) -> bool {
    let separator = if text.contains('-') { '-' } else { ':' };
    let groups: Vec<&str> = text.split(separator).collect();
    matches!(groups.len(), 6 | 8)
        && groups.iter().all(|g| g.len() == 2 && g.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn is_uuid(format: &str, text: &str) -> bool {
    let bare = text.replace('-', "");
    let version = match format.strip_prefix("uuid") {
        Some("") | None => true,
        Some(digit) => bare.get(12..13) == Some(digit),
    };
    bare.len() == 32 && bare.bytes().all(|b| b.is_ascii_hexdigit()) && version
}

fn is_hostname(text: &str) -> bool {
    let is_label = |label: &str| {
        let inner = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        !label.is_empty() && label.len() <= 63 && inner && !label.starts_with('-') && !label.ends_with('-')
    };
    text.len() <= 255 && text.trim_end_matches('.').split('.').all(is_label)
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
}

/// Durations such as `1h30m`, `1.5s`, `300ms`, `2 days`.
fn is_duration(text: &str) -> bool {
    const UNITS: [&str; 27] = [
        "ns",
        "nano",
        "nanosecond",
        "nanoseconds",
        "us",
        "µs",
        "micro",
        "microsecond",
        "microseconds",
        "ms",
        "milli",
        "millisecond",
        "milliseconds",
        "s",
        "sec",
        "second",
        "seconds",
        "m",
        "min",
        "minute",
        "minutes",
        "h",
        "hr",
        "hour",
        "hours",
        "d",
        "day",
    ];
    let mut rest = text.trim_start_matches(['-', '+']).trim();
    if rest == "0" {
        return true;
    }
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (digits, tail) = rest.split_at(number);
        let tail = tail.trim_start();
        let end = tail.find(|c: char| !c.is_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let known = UNITS.contains(&unit) || matches!(unit, "days" | "w" | "week" | "weeks");
        if digits.parse::<f64>().is_err() || !known {
            return false;
        }
        rest = tail.trim_start();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_hold_or_not() {
        let cases = [
            ("date-time", "2024-01-02T03:04:05Z", true),
            ("date-time", "2024-01-02", false),
            ("date", "2024-02-29", true),
            ("date", "2023-02-29", false),
            ("ipv4", "10.0.0.1", true),
            ("ipv4", "10.0.0.256", false),
            ("ipv6", "fe80::1", true),
            ("cidr", "10.0.0.0/8", true),
            ("cidr", "10.0.0.0/33", false),
            ("mac", "02:00:00:00:00:01", true),
            ("mac", "02:00", false),
            ("uuid", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", true),
            ("uuid4", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", false),
            ("hostname", "a.example.com", true),
            ("hostname", "-a", false),
            ("email", "a@example.com", true),
            ("uri", "https://example.com", true),
            ("uri", "no", false),
            ("duration", "1h30m", true),
            ("duration", "1.5s", true),
            ("duration", "soon", false),
            ("byte", "aGk=", true),
            ("byte", "a", false),
            ("something-else", "x", true),
        ];
        for (format, text, expected) in cases {
            assert_eq!(holds(format, text), expected, "{format} {text}");
        }
    }
}
