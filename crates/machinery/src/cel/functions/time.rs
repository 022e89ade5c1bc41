//! Times and spans of time.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Zoned};

use super::super::EvalError;
use super::super::value::Value;
use super::Answer;

/// Writes a span as seconds: `90s`, `1.5s`.
pub(super) fn duration_text(span: SignedDuration) -> String {
    let nanos = span.as_nanos();
    let (whole, fraction) = (nanos / 1_000_000_000, (nanos % 1_000_000_000).unsigned_abs());
    if fraction == 0 {
        return format!("{whole}s");
    }
    let sign = if nanos < 0 && whole == 0 { "-" } else { "" };
    let digits = format!("{fraction:09}");
    format!("{sign}{whole}.{}s", digits.trim_end_matches('0'))
}

fn zoned(value: &Value, zone: Option<&Value>) -> Option<Result<Zoned, EvalError>> {
    let Value::Timestamp(at) = value else { return None };
    let zone = match zone {
        None => TimeZone::UTC,
        Some(Value::String(name)) => match zone_named(name) {
            Some(zone) => zone,
            None => return Some(Err(EvalError::failed(format!("unknown time zone {name}")))),
        },
        Some(_) => return None,
    };
    Some(Ok(at.to_zoned(zone)))
}

/// `UTC`, `Europe/Berlin`, `+02:00`.
fn zone_named(name: &str) -> Option<TimeZone> {
    let Some((hours, minutes)) = name.split_once(':') else {
        return if matches!(name, "" | "UTC") { Some(TimeZone::UTC) } else { TimeZone::get(name).ok() };
    };
    let negative = hours.starts_with('-');
    let seconds = hours.parse::<i32>().ok()?.abs() * 3600 + minutes.parse::<i32>().ok()? * 60;
    jiff::tz::Offset::from_seconds(if negative { -seconds } else { seconds }).ok().map(TimeZone::fixed)
}

pub(super) fn method(name: &str, args: &[Value]) -> Answer {
    if let [Value::Duration(span)] = args {
        let nanos = span.as_nanos();
        let part = match name {
            "getHours" => nanos / 3_600_000_000_000,
            "getMinutes" => nanos / 60_000_000_000,
            "getSeconds" => nanos / 1_000_000_000,
            "getMilliseconds" => nanos / 1_000_000 % 1000,
            _ => return None,
        };
        return Some(Ok(Value::Int(i64::try_from(part).unwrap_or_default())));
    }
    let (value, zone) = match args {
        [value] => (value, None),
        [value, zone] => (value, Some(zone)),
        _ => return None,
    };
    if !name.starts_with("get") {
        return None;
    }
    let at = match zoned(value, zone)? {
        Ok(at) => at,
        Err(error) => return Some(Err(error)),
    };
    let part = match name {
        "getFullYear" => i64::from(at.year()),
        "getMonth" => i64::from(at.month()) - 1,
        "getDate" => i64::from(at.day()),
        "getDayOfMonth" => i64::from(at.day()) - 1,
        "getDayOfWeek" => i64::from(at.weekday().to_sunday_zero_offset()),
        "getDayOfYear" => i64::from(at.day_of_year()) - 1,
        "getHours" => i64::from(at.hour()),
        "getMinutes" => i64::from(at.minute()),
        "getSeconds" => i64::from(at.second()),
        "getMilliseconds" => i64::from(at.millisecond()),
        _ => return None,
    };
    Some(Ok(Value::Int(part)))
}
