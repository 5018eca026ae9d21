use proptest::prelude::*;

use super::*;

/// The entry that the rule names, found by looking at all of them.
fn reference<'n>(keys: &'n [String], name: &str) -> Option<&'n String> {
    if let Some(exact) = keys.iter().find(|key| *key == name) {
        return Some(exact);
    }
    let globs = keys.iter().filter_map(|key| Some((key, Glob::new(key)?)));
    let matching = globs.filter(|(_, glob)| glob.matches(name));
    matching
        .max_by_key(|(_, glob)| (glob.prefix().len(), glob.literals()))
        .map(|(key, _)| key)
}

fn names(keys: &[String]) -> Names<String> {
    Names::new(keys.iter().map(|key| (key.clone(), key.clone())))
}

/// Keys of which no two globs have one rank, so that the answer is decided.
fn distinct(keys: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for key in keys {
        let rank = |key: &String| Glob::new(key).map(|glob| (glob.prefix().len(), glob.literals()));
        let tie = kept
            .iter()
            .any(|other| *other == key || (rank(&key).is_some() && rank(other) == rank(&key)));
        if !tie {
            kept.push(key);
        }
    }
    kept
}

proptest! {
    #[test]
    fn the_entry_found_is_the_one_that_the_rule_names(
        keys in prop::collection::vec("[abé*?]{1,5}", 0..12),
        name in "[abé]{0,5}",
    ) {
        let keys = distinct(keys);
        let names = names(&keys);
        prop_assert_eq!(names.get(&name), reference(&keys, &name));
    }
}

#[test]
fn an_exact_name_beats_a_glob_and_a_longer_prefix_a_shorter_one() {
    let keys = ["*", "a*", "ab*", "a*_delete", "abc"].map(str::to_owned);
    let names = names(&keys);
    for (name, key) in [
        ("abc", "abc"),
        ("abd", "ab*"),
        ("ax_delete", "a*_delete"),
        ("ax", "a*"),
        ("x", "*"),
    ] {
        assert_eq!(names.get(name).map(String::as_str), Some(key), "{name}");
    }
}

#[test]
fn a_prefix_that_ends_inside_a_character_of_the_name_does_not_match() {
    let keys = ["a*".to_owned()];
    assert_eq!(names(&keys).get("é"), None);
}

#[test]
fn only_exact_names_are_listed() {
    let keys = ["a*", "b", "c"].map(str::to_owned);
    let names = names(&keys);
    let mut listed: Vec<_> = names.exact_names().collect();
    listed.sort_unstable();
    assert_eq!(listed, ["b", "c"]);
}
