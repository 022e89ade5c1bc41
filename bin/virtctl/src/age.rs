//! How long ago, in kubectl's words.

use jiff::Timestamp;

/// Returns the time.
#[allow(clippy::disallowed_methods, reason = "this program serves one user once; nobody replays it")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// Returns how long ago `then` was.
pub(crate) fn since(then: Timestamp, now: Timestamp) -> String {
    between(then, now)
}

/// Returns the time from one moment to another in its two largest units, or in one where the second says little.
pub(crate) fn between(from: Timestamp, to: Timestamp) -> String {
    let seconds = (to.as_second() - from.as_second()).max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    let two = |large: i64, unit: char, small: i64, fine: char| match small {
        0 => format!("{large}{unit}"),
        small => format!("{large}{unit}{small}{fine}"),
    };
    match () {
        () if seconds < 120 => format!("{seconds}s"),
        () if minutes < 10 => two(minutes, 'm', seconds % 60, 's'),
        () if minutes < 180 => format!("{minutes}m"),
        () if hours < 8 => two(hours, 'h', minutes % 60, 'm'),
        () if hours < 48 => format!("{hours}h"),
        () if days < 8 => two(days, 'd', hours % 24, 'h'),
        () if days < 730 => format!("{days}d"),
        () if days < 2920 => two(days / 365, 'y', days % 365, 'd'),
        () => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_said_as_kubectl_says_them() {
        let said =
            |seconds: i64| between(Timestamp::UNIX_EPOCH, Timestamp::from_second(seconds).expect("a time"));
        for (seconds, words) in [
            (-5, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (600, "10m"),
            (3 * 3600, "3h"),
            (3 * 3600 + 61, "3h1m"),
            (8 * 3600 + 61, "8h"),
            (49 * 3600, "2d1h"),
            (10 * 86400, "10d"),
            (800 * 86400, "2y70d"),
            (3000 * 86400, "8y"),
        ] {
            assert_eq!(said(seconds), words);
        }
    }
}
