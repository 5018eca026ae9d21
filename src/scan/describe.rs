//! What a tool's description says.

use super::Class;
use super::verbs::class_of;
use super::words::{of_text, stems};

/// Where the verb of a description is looked for, in words from its start.
const START: usize = 12;
/// After these a verb is denied (`does not delete`).
const DENIED: &[&str] = &[
    "not", "never", "cannot", "can't", "don't", "doesn't", "without", "no",
];
/// A verb of running counts only before something that can be run: `run a search` runs nothing.
const RUN: &[&str] = &[
    "agent",
    "agents",
    "bash",
    "build",
    "code",
    "command",
    "commands",
    "function",
    "javascript",
    "job",
    "jobs",
    "pipeline",
    "process",
    "program",
    "python",
    "script",
    "scripts",
    "shell",
    "snippet",
    "sql",
    "workflow",
    "workflows",
];
/// Statements of SQL that take something away, as they stand in texts.
const SQL: &[&str] = &["DELETE", "DROP", "TRUNCATE"];
/// What a text says of something that cannot be taken back, in lower case.
const FOR_GOOD: &[&str] = &[
    "cannot be undone",
    "can't be undone",
    "irreversibl",
    "permanently delet",
    "permanently remov",
];

/// Words after which a text says a second thing.
const JOINTS: &[&str] = &["and", "or", "then"];
/// Verbs that only texts use for reading.
const IN_TEXTS: &[&str] = &["return"];

/// What was found in a description.
#[derive(Default)]
pub(super) struct Description {
    /// The class of its first verb, and the verb in its base form.
    pub(super) verb: Option<(Class, String)>,
    /// A second verb that takes away or pays, behind `and`.
    pub(super) graver: Option<(Class, String)>,
    /// It says that what is done cannot be taken back.
    pub(super) for_good: bool,
    /// A statement of SQL that takes something away.
    pub(super) sql: Option<String>,
    /// Its words, in lower case.
    words: Vec<String>,
}

impl Description {
    pub(super) fn read(text: &str) -> Self {
        let words = of_text(text);
        let lower = words.join(" ").to_lowercase();
        let sql = words.iter().find(|word| SQL.contains(word));
        Self {
            verb: first_verb(&words),
            graver: graver(&words),
            for_good: FOR_GOOD.iter().any(|saying| lower.contains(saying)),
            sql: sql.map(|word| (*word).to_owned()),
            words: words.iter().map(|word| word.to_lowercase()).collect(),
        }
    }

    /// The first of these words that it holds, in lower case.
    pub(super) fn has(&self, sought: &[&str]) -> Option<&str> {
        let found = self.words.iter().find(|word| sought.contains(&word.as_str()));
        found.map(String::as_str)
    }

    /// The same at its start, where it says what the tool does.
    pub(super) fn starts_with_one_of(&self, sought: &[&str]) -> Option<&str> {
        let mut start = self.words.iter().take(START);
        let found = start.find(|word| sought.contains(&word.as_str()));
        found.map(String::as_str)
    }
}

fn first_verb(words: &[&str]) -> Option<(Class, String)> {
    let mut denied = false;
    for (index, word) in words.iter().take(START).enumerate() {
        let lower = word.to_lowercase();
        if DENIED.contains(&lower.as_str()) {
            denied = true;
            continue;
        }
        let verb = stems(&lower)
            .into_iter()
            .find_map(|stem| Some((class_of(&stem)?, stem)));
        let behind = words.iter().skip(index.saturating_add(1)).take(5);
        match verb {
            Some(_) if denied => denied = false,
            Some((Class::Execute, _)) if !runs(behind.copied()) => {}
            Some(verb) => return Some(verb),
            None => {}
        }
    }
    None
}

fn verb_of(word: &str) -> Option<(Class, String)> {
    let class = |stem: &str| {
        let reads = IN_TEXTS.contains(&stem).then_some(Class::Read);
        reads.or_else(|| class_of(stem))
    };
    stems(word)
        .into_iter()
        .find_map(|stem| Some((class(&stem)?, stem)))
}

fn graver(words: &[&str]) -> Option<(Class, String)> {
    let pairs = words.iter().zip(words.iter().skip(1));
    let joined = pairs.filter(|(joint, _)| JOINTS.contains(&joint.to_lowercase().as_str()));
    let verbs = joined.filter_map(|(_, word)| verb_of(word));
    verbs
        .filter(|(class, _)| *class >= Class::Destructive)
        .max_by_key(|(class, _)| *class)
}

fn runs<'w>(behind: impl Iterator<Item = &'w str>) -> bool {
    behind
        .into_iter()
        .any(|word| RUN.contains(&word.to_lowercase().as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verb(text: &str) -> Option<Class> {
        Description::read(text).verb.map(|(class, _)| class)
    }

    #[test]
    fn the_first_verb_of_a_description_counts_in_any_form() {
        for (text, class) in [
            ("Retrieves a user", Some(Class::Read)),
            ("This tool will create a price", Some(Class::Write)),
            ("🛡️ Guardrails: this tool modifies data", Some(Class::Write)),
            ("Permanently deletes a page", Some(Class::Destructive)),
            ("Run a find query", Some(Class::Read)),
            ("Runs a shell command", Some(Class::Execute)),
            ("Does not delete anything, lists what is there", Some(Class::Read)),
            ("Notion", None),
            ("", None),
        ] {
            assert_eq!(verb(text), class, "{text}");
        }
    }

    #[test]
    fn what_is_taken_away_besides_is_seen() {
        let graver = |text| Description::read(text).graver.map(|(class, _)| class);
        assert_eq!(
            graver("Gets the first message and deletes it"),
            Some(Class::Destructive)
        );
        assert_eq!(
            graver("Looks up the basket, then pays for it"),
            Some(Class::Financial)
        );
        assert_eq!(graver("Lists archived and deleted items and their sizes"), None);
    }

    #[test]
    fn what_cannot_be_undone_is_noted() {
        assert!(Description::read("It cannot be\nundone.").for_good);
        assert!(Description::read("Permanently deletes it").for_good);
        assert_eq!(
            Description::read("INSERT, UPDATE, or DELETE").sql.as_deref(),
            Some("DELETE")
        );
        assert_eq!(Description::read("use delete instead").sql, None);
    }
}
