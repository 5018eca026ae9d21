use proptest::prelude::*;

use super::*;

fn glob(text: &str) -> Glob {
    Glob::new(text).unwrap()
}

/// The definition, as short as it can be said.
fn reference(pattern: &[char], name: &[char]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, _) => name.is_empty(),
        (Some(('*', rest)), None) => reference(rest, name),
        (Some(('*', rest)), Some((_, after))) => reference(rest, name) || reference(pattern, after),
        (Some((want, rest)), Some((got, after))) => (*want == '?' || want == got) && reference(rest, after),
        (Some(_), None) => false,
    }
}

/// Every text over three letters, up to six long.
fn all_names() -> Vec<String> {
    let mut names = vec![String::new()];
    let mut from = 0;
    for _ in 0..6 {
        let until = names.len();
        for index in from..until {
            for letter in ['a', 'b', 'c'] {
                names.push(format!("{}{letter}", names[index]));
            }
        }
        from = until;
    }
    names
}

#[test]
fn a_text_without_wildcards_is_no_glob() {
    assert_eq!(Glob::new("start_run"), None);
    assert_eq!(Glob::new(""), None);
}

#[test]
fn a_star_is_any_run_slashes_and_dots_included() {
    assert!(glob("repo*").matches("repo/read.all"));
    assert!(glob("*").matches(""));
    assert!(glob("a*b*c").matches("abc") && glob("a*b*c").matches("a--b--c"));
    assert!(!glob("a*b").matches("abc") && !glob("a*a").matches("a"));
}

#[test]
fn a_question_mark_is_one_character_of_any_length_in_bytes() {
    assert!(glob("caf?").matches("café") && glob("?").matches("🚀"));
    assert!(!glob("?").matches("") && !glob("?").matches("ab"));
    assert!(glob("*?x").matches("éx") && !glob("*?x").matches("x"));
}

#[test]
fn the_prefix_ends_at_the_first_wildcard() {
    assert_eq!((glob("é?b*").prefix(), glob("é?b*").literals()), ("é", 2));
    assert_eq!((glob("*_delete").prefix(), glob("*_delete").literals()), ("", 7));
}

#[test]
fn a_long_name_is_matched_in_linear_time() {
    let name = "a".repeat(4 << 20);
    assert!(!glob("*aaaaaaaab*aaaaaaaab*a*a*a*a*c").matches(&name));
    assert!(glob("*a*a*a*a*a*a*a*").matches(&name));
}

proptest! {
    #[test]
    fn matching_follows_the_definition(pattern in "[ab*?é]{0,8}", name in "[abé]{0,8}") {
        if let Some(glob) = Glob::new(&pattern) {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(glob.matches(&name), reference(&chars(&pattern), &chars(&name)));
        }
    }

    #[test]
    fn two_globs_overlap_exactly_where_some_name_matches_both(left in "[ab*?]{1,3}", right in "[ab*?]{1,3}") {
        if let (Some(left), Some(right)) = (Glob::new(&left), Glob::new(&right)) {
            let both = all_names().iter().any(|name| left.matches(name) && right.matches(name));
            prop_assert_eq!(left.overlaps(&right), both);
        }
    }

    #[test]
    fn a_glob_covers_another_only_where_it_matches_all_its_names(outer in "[ab*?]{1,4}", inner in "[ab*?]{1,4}") {
        if let (Some(outer), Some(inner)) = (Glob::new(&outer), Glob::new(&inner))
            && outer.covers(&inner)
        {
            for name in all_names().iter().filter(|name| inner.matches(name)) {
                prop_assert!(outer.matches(name), "{}", name);
            }
        }
    }
}

#[test]
fn a_glob_covers_what_is_narrower() {
    for (outer, inner) in [
        ("*", "a*"),
        ("a*", "ab*"),
        ("a*", "a*b?"),
        ("a?", "a?"),
        ("*_x", "b*_x"),
        ("a*", "a?"),
    ] {
        assert!(glob(outer).covers(&glob(inner)), "{outer} {inner}");
        assert_eq!(
            glob(inner).covers(&glob(outer)),
            outer == inner,
            "{inner} {outer}"
        );
    }
}
