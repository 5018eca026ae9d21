//! Calendar windows: pure arithmetic on UTC milliseconds. Weeks start on Monday, months on the first.

use crate::policy::Unit;

const SECOND: u64 = 1_000;
const DAY: u64 = 86_400_000;
const WEEK: u64 = 7 * DAY;
/// The epoch was a Thursday: three days after the Monday on which its week began.
const EPOCH_INTO_WEEK: u64 = 3 * DAY;

/// The interval `[start, end)` of `unit` that holds `at`, in ms since the epoch.
///
/// The week that holds the epoch starts at 0 here, since earlier times do not exist. `None` only for
/// times beyond the calendar (about the year 280 million).
pub fn interval(unit: Unit, at: u64) -> Option<(u64, u64)> {
    match unit {
        Unit::Second => fixed(at, SECOND),
        Unit::Minute => fixed(at, 60 * SECOND),
        Unit::Hour => fixed(at, 3_600 * SECOND),
        Unit::Day => fixed(at, DAY),
        Unit::Week => {
            let (start, end) = fixed(at.checked_add(EPOCH_INTO_WEEK)?, WEEK)?;
            Some((
                start.saturating_sub(EPOCH_INTO_WEEK),
                end.checked_sub(EPOCH_INTO_WEEK)?,
            ))
        }
        Unit::Month => month(at),
    }
}

fn fixed(at: u64, length: u64) -> Option<(u64, u64)> {
    let start = at.checked_sub(at.checked_rem(length)?)?;
    Some((start, start.checked_add(length)?))
}

fn month(at: u64) -> Option<(u64, u64)> {
    let (year, month) = year_month(i64::try_from(at / DAY).ok()?)?;
    let next = if month == 12 {
        (year.checked_add(1)?, 1)
    } else {
        (year, month.checked_add(1)?)
    };
    let ms = |(year, month)| u64::try_from(days_to(year, month)?).ok()?.checked_mul(DAY);
    Some((ms((year, month))?, ms(next)?))
}

/// Days from the epoch to the first of a month, in the proleptic Gregorian calendar.
/// Years are counted from March, so that the leap day comes last.
fn days_to(year: i64, month: i64) -> Option<i64> {
    let (year, from_march) = if month > 2 {
        (year, month - 3)
    } else {
        (year.checked_sub(1)?, month + 9)
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let before_month = (153 * from_march + 2) / 5;
    year.checked_mul(365)?
        .checked_add(leap_days)?
        .checked_add(before_month)?
        .checked_sub(719_468)
}

/// The year and month (1 ..= 12) that hold the given day since the epoch.
fn year_month(day: i64) -> Option<(i64, i64)> {
    // 400 years have 146 097 days: a first guess is at most one year off.
    let mut year = day.checked_mul(400)?.div_euclid(146_097).checked_add(1970)?;
    while days_to(year, 1)? > day {
        year = year.checked_sub(1)?;
    }
    while days_to(year.checked_add(1)?, 1)? <= day {
        year = year.checked_add(1)?;
    }
    let mut month = 12;
    while month > 1 && days_to(year, month)? > day {
        month -= 1;
    }
    Some((year, month))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2024-02-29 12:34:56.789 UTC, a Thursday.
    const LEAP: u64 = 1_709_210_096_789;

    #[test]
    fn every_unit_starts_on_its_utc_boundary() {
        let of = |unit| interval(unit, LEAP).unwrap();
        assert_eq!(of(Unit::Second), (1_709_210_096_000, 1_709_210_097_000));
        assert_eq!(of(Unit::Minute), (1_709_210_040_000, 1_709_210_100_000));
        assert_eq!(of(Unit::Hour), (1_709_208_000_000, 1_709_211_600_000));
        assert_eq!(of(Unit::Day), (1_709_164_800_000, 1_709_251_200_000));
        // Monday 2024-02-26 to Monday 2024-03-04.
        assert_eq!(of(Unit::Week), (1_708_905_600_000, 1_709_510_400_000));
        assert_eq!(of(Unit::Month), (1_706_745_600_000, 1_709_251_200_000));
    }

    #[test]
    fn intervals_tile_time_without_gap_over_four_centuries() {
        for unit in [Unit::Week, Unit::Month] {
            let mut at = 0;
            let mut seen = 0;
            while at < 146_097 * DAY {
                let (start, end) = interval(unit, at).unwrap();
                assert_eq!(start, at, "{unit:?}");
                assert_eq!(interval(unit, end - 1), Some((start, end)), "{unit:?}");
                at = end;
                seen += 1;
            }
            assert!(seen >= 4_800, "{unit:?} {seen}");
        }
    }

    #[test]
    fn the_month_agrees_with_a_calendar_library() {
        for day in (0..60_000_i64).step_by(13) {
            let stamp = jiff::Timestamp::from_second(day * 86_400).unwrap();
            let date = stamp.to_zoned(jiff::tz::TimeZone::UTC).date();
            let first = date.first_of_month().to_zoned(jiff::tz::TimeZone::UTC).unwrap();
            let start = interval(Unit::Month, u64::try_from(day).unwrap() * DAY)
                .unwrap()
                .0;
            assert_eq!(
                i64::try_from(start).unwrap(),
                first.timestamp().as_millisecond(),
                "{date}"
            );
        }
    }

    #[test]
    fn a_time_beyond_the_calendar_has_no_interval() {
        assert_eq!(interval(Unit::Week, u64::MAX), None);
        assert_eq!(interval(Unit::Month, u64::MAX), None);
    }
}
