//! The times that records carry: RFC 3339 in UTC, as `2026-11-22T21:04:10.123Z`.

const DAY_MS: u64 = 86_400_000;

/// Milliseconds since 1970. Finer digits are cut, since the counters' own clock is floored too. `None` for
/// any other form, another offset than `Z`, and times before 1970.
pub(super) fn millis(text: &str) -> Option<u64> {
    let (date, rest) = text.split_at_checked(10)?;
    let time = rest.strip_prefix('T')?.strip_suffix('Z')?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
    let fits = (1..=12).contains(&month)
        && (1..=days_in(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    let days = days_to(year, month)?.checked_add(day.checked_sub(1)?)?;
    let seconds = hour
        .checked_mul(3_600)?
        .checked_add(minute.checked_mul(60)?)?
        .checked_add(second)?;
    let ms = seconds.checked_mul(1_000)?.checked_add(thousandths(fraction)?)?;
    fits.then_some(days.checked_mul(DAY_MS)?.checked_add(ms)?)
}

fn numbers(text: &str, separator: char, widths: [usize; 3]) -> Option<[u64; 3]> {
    let mut parts = text.split(separator);
    let mut found = [0; 3];
    for (number, width) in found.iter_mut().zip(widths) {
        let part = parts.next().filter(|part| part.len() == width)?;
        *number = digits(part)?;
    }
    parts.next().is_none().then_some(found)
}

fn digits(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

fn thousandths(fraction: &str) -> Option<u64> {
    digits(fraction)?;
    let three: String = fraction.chars().chain("00".chars()).take(3).collect();
    digits(&three)
}

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

const fn days_in(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from the epoch to the first of a month (1 ..= 12).
fn days_to(year: u64, month: u64) -> Option<u64> {
    let before = year.checked_sub(1)?;
    let leap_days = |year: u64| year / 4 - year / 100 + year / 400;
    let years = year.checked_sub(1970)?.checked_mul(365)?;
    let leaps = leap_days(before).checked_sub(leap_days(1969))?;
    let months: u64 = (1..month).map(|month| days_in(year, month)).sum();
    years.checked_add(leaps)?.checked_add(months)
}

#[cfg(test)]
mod tests {
    use super::millis;

    #[test]
    fn a_time_is_that_of_a_calendar_library() {
        for seconds in (0..4_102_444_800_i64).step_by(7_654_321) {
            let stamp = jiff::Timestamp::from_second(seconds).unwrap();
            let text = format!("{stamp:.3}");
            assert_eq!(millis(&text), u64::try_from(seconds * 1_000).ok(), "{text}");
        }
        assert_eq!(millis("2024-02-29T12:34:56.789Z"), Some(1_709_210_096_789));
        assert_eq!(millis("2024-02-29T12:34:56.7899Z"), Some(1_709_210_096_789));
        assert_eq!(millis("2024-02-29T12:34:56.7Z"), Some(1_709_210_096_700));
        assert_eq!(millis("2024-02-29T12:34:56Z"), Some(1_709_210_096_000));
    }

    #[test]
    fn any_other_form_is_no_time() {
        for text in [
            "",
            "2023-02-29T00:00:00.000Z",
            "2023-13-01T00:00:00Z",
            "2023-00-01T00:00:00Z",
            "2023-01-00T00:00:00Z",
            "2023-01-01T24:00:00Z",
            "2023-01-01T00:60:00Z",
            "2023-01-01T00:00:60Z",
            "2023-01-01T00:00:00",
            "2023-01-01T00:00:00+01:00",
            "2023-01-01 00:00:00Z",
            "1969-12-31T23:59:59Z",
            "2023-1-01T00:00:00Z",
            "2023-01-01T00:00:00.Z",
            "2023-01-01T00:00:00.-1Z",
            "2023-01-01T+1:00:00Z",
            "ääääääääää",
        ] {
            assert_eq!(millis(text), None, "{text}");
        }
    }
}
