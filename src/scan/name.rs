//! What a tool's name says.

use super::Class;
use super::verbs::{class_of, hidden_destruction, is_actor, is_subject, is_told};
use super::words;

/// Words after which a name says a second thing (`find_and_modify`, `get_or_create`).
const JOINTS: &[&str] = &["and", "or", "then"];
/// Starts whose verb is the noun behind it (`take_screenshot`, `post_search`).
const EMPTY: &[&str] = &["post", "perform", "take"];

/// After `check` these make another verb of it.
const CHECK: &[&str] = &["in", "out"];

/// What was found in a name.
pub(super) struct Name {
    pub(super) words: Vec<String>,
    /// The class of its verb, and the verb.
    pub(super) verb: Option<(Class, String)>,
    /// A second verb that is graver: behind `and`, or a destructive one anywhere.
    pub(super) graver: Option<(Class, String)>,
    /// Without a verb: what it names at its end, and what that does.
    pub(super) noun: Option<(Class, String)>,
}

impl Name {
    /// `brand`: a word that all tools of the server begin with and that is a part of the server's name. Where it is a
    /// harmless verb it says nothing (`fetch_page` and `fetch_write` of a server `fetch`).
    pub(super) fn read(name: &str, brand: Option<&str>) -> Self {
        let words = words::of_name(name);
        let skipped = usize::from(words.first().is_some_and(|first| Some(first.as_str()) == brand));
        let own = words.get(skipped..).unwrap_or_default();
        let verb = main_verb(own);
        let graver = graver(own, verb.as_ref().map(|(class, _)| *class));
        let last = own.last().filter(|_| verb.is_none());
        let noun = last.and_then(|last| match last.as_str() {
            word if is_told(word) => Some((Class::Read, last.clone())),
            word if is_actor(word) => Some((Class::Execute, last.clone())),
            _ => None,
        });
        Self {
            verb,
            graver,
            noun,
            words,
        }
    }

    /// Whether it has a verb that moves money and none that reads.
    pub(super) fn pays(&self) -> bool {
        let pays = |word: &String| class_of(word) == Some(Class::Financial);
        !matches!(self.verb, Some((Class::Read, _))) && self.words.iter().any(pays)
    }

    pub(super) fn has(&self, sought: &[&str]) -> Option<&str> {
        let found = self.words.iter().find(|word| sought.contains(&word.as_str()));
        found.map(String::as_str)
    }
}

fn main_verb(words: &[String]) -> Option<(Class, String)> {
    let known = |word: &String| class_of(word).map(|class| (class, word.clone()));
    let at = words.iter().position(|word| class_of(word).is_some())?;
    let first = words.get(at).and_then(known)?;
    let after = words.get(at.saturating_add(1));
    let next = after.and_then(known);
    let last = words.last().and_then(known);
    match (&next, &last) {
        (Some((Class::Read, _)), _) if EMPTY.contains(&first.1.as_str()) => next,
        (_, Some((class, _))) if *class > Class::Read && is_subject(&first.1) => last,
        _ if first.1 == "check" && after.is_some_and(|word| CHECK.contains(&word.as_str())) => {
            Some((Class::Write, first.1))
        }
        _ => Some(first),
    }
}

fn graver(words: &[String], than: Option<Class>) -> Option<(Class, String)> {
    let pairs = words.iter().zip(words.iter().skip(1));
    let joined = pairs.filter(|(joint, _)| JOINTS.contains(&joint.as_str()));
    let joined = joined.filter_map(|(_, word)| Some((class_of(word)?, word.clone())));
    let hidden = words.iter().filter_map(|word| hidden_destruction(word));
    let hidden = hidden.map(|verb| (Class::Destructive, verb.to_owned()));
    let gravest = joined.chain(hidden).max_by_key(|(class, _)| *class)?;
    (Some(gravest.0) > than).then_some(gravest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(name: &str) -> Option<Class> {
        let name = Name::read(name, None);
        let graver = name.graver.map(|(class, _)| class);
        graver.or(name.verb.map(|(class, _)| class))
    }

    #[test]
    fn the_first_verb_counts_and_a_graver_one_behind_it() {
        for (name, expected) in [
            ("get_file", Some(Class::Read)),
            ("users.list", Some(Class::Read)),
            ("issueCreate", Some(Class::Write)),
            ("get_create_fields", Some(Class::Read)),
            ("get-or-create", Some(Class::Write)),
            ("findAndModify", Some(Class::Write)),
            ("searchThenDestroy", Some(Class::Destructive)),
            ("list_deleted_items", Some(Class::Read)),
            ("comment_delete", Some(Class::Destructive)),
            ("read_deletefile", Some(Class::Destructive)),
            ("post_search", Some(Class::Read)),
            ("post_message", Some(Class::Write)),
            ("take_screenshot", Some(Class::Read)),
            ("run_query", Some(Class::Execute)),
            ("query_update", Some(Class::Write)),
            ("scan_run", Some(Class::Execute)),
            ("check_out", Some(Class::Write)),
            ("get_last_update", Some(Class::Read)),
            ("chargeCustomer", Some(Class::Financial)),
            ("get_and_pay", Some(Class::Financial)),
            ("zap", None),
        ] {
            assert_eq!(class(name), expected, "{name}");
        }
    }

    #[test]
    fn a_brand_is_passed_over_and_hides_nothing() {
        let fetch = Name::read("fetch_create", Some("fetch"));
        assert_eq!(fetch.verb.unwrap().0, Class::Write);
        assert_eq!(
            Name::read("db-stats", None).noun.unwrap(),
            (Class::Read, "stats".to_owned())
        );
    }
}
