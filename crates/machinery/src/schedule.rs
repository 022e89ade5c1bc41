//! Schedules as cron writes them.

use crate::duration;

const WORDS: [&str; 7] = ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// What a field may hold: the least and the greatest number, and names of numbers from the least on.
struct Field(u32, u32, &'static [&'static str]);

const FIELDS: [Field; 5] =
    [Field(0, 59, &[]), Field(0, 23, &[]), Field(1, 31, &[]), Field(1, 12, &MONTHS), Field(0, 6, &DAYS)];

/// Whether a text is a schedule: minute, hour, day of the month, month and day of the week, each of numbers, names, lists,
/// ranges and steps; or a word such as `@daily`; or `@every` with a duration.
pub fn is_valid(text: &str) -> bool {
    if let Some(every) = text.strip_prefix("@every ") {
        return duration::parse(every).is_some();
    }
    if WORDS.contains(&text) {
        return true;
    }
    let written: Vec<&str> = text.split_whitespace().collect();
    written.len() == FIELDS.len() && written.iter().zip(FIELDS).all(|(text, field)| field.fits(text))
}

impl Field {
    fn fits(&self, text: &str) -> bool {
        // Nothing between two commas is nothing.
        let mut items = text.split(',').filter(|item| !item.is_empty()).peekable();
        items.peek().is_some()
            && items.all(|item| {
                let (range, step) =
                    item.split_once('/').map_or((item, None), |(range, step)| (range, Some(step)));
                let steps = step.is_none_or(|step| step.parse::<u32>().is_ok_and(|step| step > 0));
                steps && (matches!(range, "*" | "?") || self.is_range(range))
            })
    }

    fn is_range(&self, range: &str) -> bool {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        matches!((self.number(from), self.number(to)), (Some(from), Some(to)) if from <= to)
    }

    fn number(&self, text: &str) -> Option<u32> {
        let named = self.2.iter().position(|name| name.eq_ignore_ascii_case(text));
        let number = match named {
            Some(place) => self.0 + u32::try_from(place).ok()?,
            None => text.parse().ok()?,
        };
        (self.0..=self.1).contains(&number).then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_hold_numbers_names_lists_ranges_and_steps() {
        for schedule in [
            "0 3 * * 1",
            "*/15 0-6,22 1 jan-Mar MON-fri",
            "@daily",
            "@every 1h30m",
            "5/10 ? * * *",
            " 1 2 3 4 5 ",
            "1,,2 0,3, * * *",
        ] {
            assert!(is_valid(schedule), "{schedule}");
        }
        for schedule in [
            "",
            "* * * *",
            "* * * * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 7",
            "*/0 * * * *",
            "5-1 * * * *",
            ", * * * *",
            "a * * * *",
            "@often",
            "@every",
            "@every soon",
            "1/2/3 * * * *",
        ] {
            assert!(!is_valid(schedule), "{schedule}");
        }
    }
}
