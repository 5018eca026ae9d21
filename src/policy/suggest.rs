//! What an author probably meant.

/// Distances of long texts are dear to compute, and no word of the language is that long.
const LONGEST: usize = 64;

/// The known word that differs from `written` by a slip of the pen: one in three characters at most.
pub(super) fn nearest<'k>(written: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    if written.len() > LONGEST {
        return None;
    }
    let folded = written.to_lowercase();
    known
        .filter(|word| word.len() > 2)
        .map(|word| (strsim::damerau_levenshtein(&folded, word), word))
        .filter(|(distance, word)| *distance <= (word.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// The known word that begins and sounds like `written`: `hidden` for `hide`.
pub(super) fn resembling<'k>(written: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    if written.len() > LONGEST {
        return None;
    }
    let folded = written.to_lowercase();
    known
        .filter(|word| word.len() > 2)
        .map(|word| (strsim::jaro_winkler(&folded, word), word))
        .filter(|(likeness, _)| *likeness >= 0.85)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, word)| word)
}

/// `a, b and c`.
pub(super) fn list(words: impl Iterator<Item = String>, joint: &str) -> String {
    let mut words: Vec<String> = words.collect();
    match words.pop() {
        None => "nothing".to_owned(),
        Some(last) if words.is_empty() => last,
        Some(last) => format!("{} {joint} {last}", words.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 5] = ["version", "default", "hide", "all_tools", "tools"];

    #[test]
    fn a_slip_of_the_pen_finds_its_word() {
        for (written, meant) in [
            ("defualt", "default"),
            ("Version", "version"),
            ("tool", "tools"),
            ("alltools", "all_tools"),
        ] {
            assert_eq!(nearest(written, KEYS.into_iter()), Some(meant), "{written}");
        }
    }

    #[test]
    fn another_word_finds_none() {
        for written in ["", "x", "rulez", "permissions", &"tools".repeat(1_000)] {
            assert_eq!(nearest(written, KEYS.into_iter()), None, "{written}");
            assert_eq!(resembling(written, KEYS.into_iter()), None, "{written}");
        }
    }

    #[test]
    fn a_word_of_the_same_stem_is_resembled() {
        assert_eq!(resembling("hidden", KEYS.into_iter()), Some("hide"));
    }

    #[test]
    fn words_are_listed_as_people_list_them() {
        let listed = |words: &[&str]| list(words.iter().map(|word| (*word).to_owned()), "or");
        assert_eq!(listed(&[]), "nothing");
        assert_eq!(listed(&["a"]), "a");
        assert_eq!(listed(&["a", "b", "c"]), "a, b or c");
    }
}
