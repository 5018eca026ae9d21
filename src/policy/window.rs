//! Windows as written: a word, seconds as a number, or a duration such as `"15m"`.

use super::types::{Unit, Window};
use crate::document::Value;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const WEEK: u64 = 7 * DAY;

/// The longest window, in milliseconds: 366 days.
const LONGEST: u64 = 366 * DAY;

/// How long a window is, before the mode says what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Length {
    /// A word, which both modes know.
    Unit(Unit),
    /// Milliseconds from seconds or a duration; sliding only.
    Exact(u64),
}

/// The words for windows, shortest first.
pub(super) const UNITS: [(&str, Unit); 6] = [
    ("second", Unit::Second),
    ("minute", Unit::Minute),
    ("hour", Unit::Hour),
    ("day", Unit::Day),
    ("week", Unit::Week),
    ("month", Unit::Month),
];

/// The letters that a duration may end with, longest first.
const LETTERS: [(char, u64, &str); 5] = [
    ('w', WEEK, "week"),
    ('d', DAY, "day"),
    ('h', HOUR, "hour"),
    ('m', MINUTE, "minute"),
    ('s', SECOND, "second"),
];

impl Length {
    /// `None` where the value is not a window, or longer than 366 days.
    pub(super) fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Text(text) => Self::read_text(text),
            Value::Number(number) => exact(number, SECOND),
            _ => None,
        }
    }

    pub(super) fn read_text(text: &str) -> Option<Self> {
        if let Some((_, unit)) = UNITS.iter().find(|(word, _)| *word == text) {
            return Some(Self::Unit(*unit));
        }
        let (_, ms, _) = LETTERS.iter().find(|(letter, ..)| text.ends_with(*letter))?;
        exact(text.get(..text.len().checked_sub(1)?)?, *ms)
    }

    /// `None` for a month, which has no length of its own.
    pub(super) fn sliding(self) -> Option<Window> {
        self.ms().map(|ms| Window::Sliding { ms })
    }

    /// Milliseconds; `None` for a month, which has no length of its own.
    pub(super) fn ms(self) -> Option<u64> {
        match self {
            Self::Unit(unit) => unit_ms(unit),
            Self::Exact(ms) => Some(ms),
        }
    }

    /// `None` for a month.
    pub(super) fn lease(self) -> Option<Window> {
        self.ms().map(|ms| Window::Lease { ms })
    }

    /// `None` for anything but a word.
    pub(super) fn calendar(self) -> Option<Window> {
        match self {
            Self::Unit(unit) => Some(Window::Calendar(unit)),
            Self::Exact(_) => None,
        }
    }
}

fn exact(count: &str, unit: u64) -> Option<Length> {
    if !count.bytes().all(|byte| byte.is_ascii_digit()) || count.starts_with('0') {
        return None;
    }
    let ms = count.parse::<u64>().ok()?.checked_mul(unit)?;
    (ms <= LONGEST).then_some(Length::Exact(ms))
}

/// Milliseconds of a unit; `None` for a month.
pub(super) fn unit_ms(unit: Unit) -> Option<u64> {
    match unit {
        Unit::Second => Some(SECOND),
        Unit::Minute => Some(MINUTE),
        Unit::Hour => Some(HOUR),
        Unit::Day => Some(DAY),
        Unit::Week => Some(WEEK),
        Unit::Month => None,
    }
}

/// The window as it follows `per` in a sentence: `minute`, `15 minutes`, `calendar day`; the length of a lease.
pub(super) fn shown_window(window: Window) -> String {
    match window {
        Window::Sliding { ms } | Window::Lease { ms } => shown_ms(ms),
        Window::Calendar(unit) => {
            let word = UNITS
                .iter()
                .find(|(_, known)| *known == unit)
                .map_or("window", |(word, _)| word);
            format!("calendar {word}")
        }
    }
}

fn shown_ms(ms: u64) -> String {
    let whole = LETTERS
        .iter()
        .find(|(_, unit, _)| ms >= *unit && ms.is_multiple_of(*unit));
    match whole.map(|(_, unit, word)| (ms / unit, word)) {
        Some((1, word)) => (*word).to_owned(),
        Some((count, word)) => format!("{count} {word}s"),
        None => format!("{ms} milliseconds"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Option<Window> {
        Length::read_text(text)?.sliding()
    }

    #[test]
    fn the_three_forms_of_a_minute_are_one_window() {
        let minute = Some(Window::Sliding { ms: 60_000 });
        assert_eq!(text("minute"), minute);
        assert_eq!(text("60s"), minute);
        assert_eq!(text("1m"), minute);
        let seconds = Length::read(&Value::Number("60".into())).and_then(Length::sliding);
        assert_eq!(seconds, minute);
    }

    #[test]
    fn what_is_not_a_window_is_none() {
        for bad in [
            "", "m", "0m", "01m", "-1m", "1.5h", "1 m", "15M", "minutes", "Minute", "1y", "367d", "١m",
        ] {
            assert_eq!(Length::read_text(bad), None, "{bad:?}");
        }
        for bad in ["0", "-1", "1.5", "1e3", "31622401", "99999999999999999999"] {
            assert_eq!(Length::read(&Value::Number(bad.into())), None, "{bad}");
        }
        assert_eq!(text("366d"), Some(Window::Sliding { ms: 31_622_400_000 }));
    }

    #[test]
    fn a_month_is_a_calendar_window_only_and_a_duration_a_sliding_one_only() {
        assert_eq!(Length::Unit(Unit::Month).sliding(), None);
        assert_eq!(
            Length::Unit(Unit::Month).calendar(),
            Some(Window::Calendar(Unit::Month))
        );
        assert_eq!(Length::Exact(900_000).calendar(), None);
    }

    #[test]
    fn windows_are_shown_in_their_largest_whole_unit() {
        let shown = |ms| shown_window(Window::Sliding { ms });
        assert_eq!(shown(1_000), "second");
        assert_eq!(shown(90_000), "90 seconds");
        assert_eq!(shown(900_000), "15 minutes");
        assert_eq!(shown(604_800_000), "week");
        assert_eq!(shown_window(Window::Calendar(Unit::Day)), "calendar day");
    }
}
