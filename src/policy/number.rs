//! Numbers as they are written: compared exactly, and as the doubles that servers in JavaScript and
//! Go read. Where the two comparisons give different answers, nobody can say what a server would do.

use std::cmp::Ordering;

/// A number in the units of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Units {
    Exactly(u64),
    Negative,
    /// It has more decimal places than the counter.
    TooPrecise,
    /// Above every `max`.
    TooLarge,
}

/// A JSON number, exactly: ±0.DIGITS × 10^`exponent`, without zeros at either end of the digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    exponent: i64,
}

impl Decimal {
    /// Reads a number of RFC 8259, section 6. `None` where the text is none, or where its exponent is
    /// beyond all reason (no such number would fit a double either).
    pub(super) fn read(text: &str) -> Option<Self> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, read_exponent(exponent)?),
            None => (text, 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((whole, fraction)) if is_digits(fraction) => (whole, fraction),
            Some(_) => return None,
            None => (mantissa, ""),
        };
        if !is_digits(whole) || (whole.len() > 1 && whole.starts_with('0')) {
            return None;
        }
        let all: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let leading = all.iter().take_while(|digit| **digit == b'0').count();
        let trailing = all.iter().rev().take_while(|digit| **digit == b'0').count();
        let kept = all.len().saturating_sub(leading).saturating_sub(trailing);
        let digits: Vec<u8> = all.into_iter().skip(leading).take(kept).collect();
        if digits.is_empty() {
            return Some(Self {
                negative: false,
                digits,
                exponent: 0,
            });
        }
        let shift = i64::try_from(whole.len())
            .ok()?
            .checked_sub(i64::try_from(leading).ok()?)?;
        Some(Self {
            negative,
            digits,
            exponent: exponent.checked_add(shift)?,
        })
    }

    /// The number times 10^`scale`, where that is a whole number that counters can take.
    pub(super) fn units(&self, scale: u8) -> Units {
        if self.digits.is_empty() {
            return Units::Exactly(0);
        }
        if self.negative {
            return Units::Negative;
        }
        // ±0.DIGITS × 10^places: as many digits as places are whole.
        let places = self.exponent.saturating_add(i64::from(scale));
        if i64::try_from(self.digits.len()).is_ok_and(|digits| digits <= places) {
            let shown = self.digits.iter().map(|digit| char::from(*digit));
            let zeros = places.saturating_sub(i64::try_from(self.digits.len()).unwrap_or(i64::MAX));
            if places > 20 {
                return Units::TooLarge;
            }
            let zeros = usize::try_from(zeros).unwrap_or(usize::MAX);
            let text: String = shown.chain(std::iter::repeat_n('0', zeros)).collect();
            return text.parse().map_or(Units::TooLarge, Units::Exactly);
        }
        Units::TooPrecise
    }

    /// One text for each number.
    pub(super) fn canonical(&self) -> String {
        let sign = if self.negative { "-" } else { "" };
        let digits: String = self.digits.iter().map(|digit| char::from(*digit)).collect();
        format!("{sign}{digits}e{}", self.exponent)
    }

    pub(super) fn compare(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => self.magnitude(other),
            (true, true) => other.magnitude(self),
        }
    }

    fn magnitude(&self, other: &Self) -> Ordering {
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => self
                .exponent
                .cmp(&other.exponent)
                .then_with(|| self.digits.cmp(&other.digits)),
        }
    }
}

fn read_exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let size: i64 = if is_digits(digits) {
        digits.parse().ok()?
    } else {
        return None;
    };
    if size > 1_000_000 {
        return None;
    }
    Some(if text.starts_with('-') { -size } else { size })
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// How two numbers compare: exactly, and as doubles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Compared {
    exact: Ordering,
    doubles: Ordering,
}

impl Compared {
    /// `None` where one of them is no number that a double could hold.
    pub(super) fn new(left: &str, right: &str) -> Option<Self> {
        let exact = Decimal::read(left)?.compare(&Decimal::read(right)?);
        let doubles = double(left)?.partial_cmp(&double(right)?)?;
        Some(Self { exact, doubles })
    }

    /// The answer to a question about the order; `None` where it depends on who reads the numbers.
    pub(super) fn answers(self, question: impl Fn(Ordering) -> bool) -> Option<bool> {
        let exact = question(self.exact);
        (exact == question(self.doubles)).then_some(exact)
    }
}

/// The double that a reader makes of the number; `None` beyond its range.
pub(super) fn double(text: &str) -> Option<f64> {
    text.parse().ok().filter(|value: &f64| value.is_finite())
}

/// Whether a reader of doubles sees the number as it is written.
pub(super) fn is_exact(text: &str) -> bool {
    let read = double(text).and_then(|value| Decimal::read(&format!("{value:e}")));
    read.is_some() && read == Decimal::read(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_one_value_however_they_are_written() {
        for same in ["100", "1e2", "100.0", "0.1e3", "10E1", "1000e-1", "1.00e+2"] {
            assert_eq!(Decimal::read(same), Decimal::read("100"), "{same}");
        }
        for zero in ["0", "-0", "0.000", "0e7", "-0.0e-3"] {
            assert_eq!(Decimal::read(zero), Decimal::read("0"), "{zero}");
        }
        assert_ne!(Decimal::read("100"), Decimal::read("-100"));
    }

    #[test]
    fn the_order_is_that_of_the_numbers() {
        let rising = [
            "-1e300",
            "-100",
            "-99.5",
            "-1",
            "-0.001",
            "0",
            "1e-400",
            "0.001",
            "0.0011",
            "0.99",
            "1",
            "1.5",
            "2",
            "10",
            "9007199254740992",
            "9007199254740993",
            "1e300",
        ];
        for (at, left) in rising.iter().enumerate() {
            for (other, right) in rising.iter().enumerate() {
                let exact = Decimal::read(left)
                    .unwrap()
                    .compare(&Decimal::read(right).unwrap());
                assert_eq!(exact, at.cmp(&other), "{left} {right}");
            }
        }
    }

    #[test]
    fn what_json_does_not_call_a_number_is_none() {
        for text in [
            "",
            "-",
            "01",
            "1.",
            ".5",
            "+1",
            "1e",
            "1e+",
            "0x1",
            "NaN",
            "inf",
            "1_0",
            " 1",
            "1e9999999999999999999",
        ] {
            assert_eq!(Decimal::read(text), None, "{text}");
        }
    }

    #[test]
    fn an_answer_that_a_reader_of_doubles_would_not_give_is_none() {
        let compared = Compared::new("9007199254740993", "9007199254740992").unwrap();
        assert_eq!(compared.answers(Ordering::is_ne), None);
        assert_eq!(compared.answers(Ordering::is_gt), None);
        assert_eq!(compared.answers(Ordering::is_ge), Some(true));
        assert_eq!(Compared::new("1e999", "1"), None);
        let plain = Compared::new("2.50", "2.5").unwrap();
        assert_eq!(plain.answers(Ordering::is_eq), Some(true));
    }

    #[test]
    fn units_are_whole_or_not_at_all() {
        let units = |text: &str, scale| Decimal::read(text).unwrap().units(scale);
        assert_eq!(units("0.99", 2), Units::Exactly(99));
        assert_eq!(units("19.9", 2), Units::Exactly(1990));
        assert_eq!(units("1e3", 0), Units::Exactly(1000));
        assert_eq!(units("100.00", 0), Units::Exactly(100));
        assert_eq!(units("-0", 0), Units::Exactly(0));
        assert_eq!(units("0.99", 0), Units::TooPrecise);
        assert_eq!(units("0.999", 2), Units::TooPrecise);
        assert_eq!(units("1e-300", 2), Units::TooPrecise);
        assert_eq!(units("-1", 0), Units::Negative);
        assert_eq!(units("1e300", 0), Units::TooLarge);
        assert_eq!(units("99999999999999999999", 0), Units::TooLarge);
        assert_eq!(units("18446744073709551615", 0), Units::Exactly(u64::MAX));
    }

    #[test]
    fn a_number_is_exact_where_a_double_gives_it_back() {
        for text in [
            "0",
            "-0",
            "0.1",
            "19.99",
            "9007199254740992",
            "1e300",
            "100",
            "1.50",
        ] {
            assert!(is_exact(text), "{text}");
        }
        for text in ["9007199254740993", "100.00000000000000001", "1e-400", "1e999"] {
            assert!(!is_exact(text), "{text}");
        }
    }
}
