//! The real-time clock.

use wire::machine::{Clock, MissedTicks, RtcTrack};

use super::builder::Builder;

/// `now` is the host's time in seconds since the epoch.
pub(super) fn add(builder: &mut Builder<'_>, clock: &Clock, now: i64) {
    let base = match (&clock.timezone, clock.offset_seconds) {
        (Some(zone), _) => {
            builder.timezone(zone);
            "localtime".to_owned()
        }
        (None, 0) => "utc".to_owned(),
        (None, offset) => date(now.saturating_add(offset)),
    };
    let fix = match clock.timers.rtc_ticks {
        None | Some(MissedTicks::Catchup) => "slew",
        Some(MissedTicks::Delay | MissedTicks::Discard) => "none",
    };
    let follows = match clock.timers.rtc_track {
        None => "",
        Some(RtcTrack::Guest) => ",clock=vm",
        Some(RtcTrack::Wall) => ",clock=host",
    };
    builder.option("-rtc", format!("base={base}{follows},driftfix={fix}"));
}

/// Writes a time as QEMU reads it: `2006-06-17T16:01:21`, in UTC.
fn date(seconds: i64) -> String {
    let (days, time) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days since 0000-03-01 make leap days the last ones of their year (Hinnant, "chrono-compatible dates").
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}", time / 3600, time / 60 % 60, time % 60)
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00"),
            (-1, "1969-12-31T23:59:59"),
            (951_782_400, "2000-02-29T00:00:00"),
            (1_709_251_199, "2024-02-29T23:59:59"),
            (4_107_542_400, "2100-03-01T00:00:00"),
        ] {
            assert_eq!(date(seconds), expected);
        }
    }
}
