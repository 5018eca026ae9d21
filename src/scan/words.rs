//! Names and texts as words: `deleteUserById`, `delete-user`, `users.delete` and `DELETE_USER` say the same.

/// The longest name that is read, in characters.
const NAME: usize = 256;
/// The longest text that is read, in characters. What a tool does is said at the start.
const TEXT: usize = 400;

/// The words of a name, in lower case.
pub(super) fn of_name(name: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut chars = name.chars().take(NAME).peekable();
    let mut before: Option<char> = None;
    while let Some(c) = chars.next() {
        let starts = c.is_uppercase()
            && before.is_some_and(|before| {
                // `userId`, `user2Id`, and the last capital of `HTTPServer`
                !before.is_uppercase() || chars.peek().is_some_and(|next| next.is_lowercase())
            });
        if (starts || !c.is_alphanumeric()) && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
        before = Some(c);
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// The words of a text's start, as they were written.
pub(super) fn of_text(text: &str) -> Vec<&str> {
    let end = text.char_indices().nth(TEXT).map_or(text.len(), |(end, _)| end);
    let start = text.get(..end).unwrap_or_default();
    let words = start.split(|c: char| !c.is_alphanumeric() && c != '\'' && c != '-');
    words.filter(|word| !word.is_empty()).collect()
}

/// What a word may be a form of: itself, and what is left without `s`, `es`, `ies` or `ing`. Participles (`deleted`)
/// say what happened to something, and not what a tool does.
pub(super) fn stems(word: &str) -> Vec<String> {
    let word = word.to_lowercase();
    let mut stems = Vec::new();
    if let Some(stem) = word.strip_suffix("ies") {
        stems.push(format!("{stem}y"));
    }
    for ending in ["es", "s"] {
        stems.extend(word.strip_suffix(ending).map(str::to_owned));
    }
    if let Some(stem) = word.strip_suffix("ing") {
        stems.push(stem.to_owned());
        stems.push(format!("{stem}e"));
        let mut chars = stem.chars().rev();
        if chars.next() == chars.next() {
            let mut single = stem.to_owned();
            single.pop();
            stems.push(single);
        }
    }
    stems.insert(0, word);
    stems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_the_same_words_in_every_convention() {
        for name in [
            "delete_user_by_id",
            "deleteUserById",
            "delete-user-by-id",
            "delete.user.by.id",
            "DeleteUserByID",
            "DELETE_USER_BY_ID",
            "delete/user:by id",
            "__delete__userBy_id",
        ] {
            assert_eq!(of_name(name), ["delete", "user", "by", "id"], "{name}");
        }
        assert_eq!(of_name("getHTTPServerV2"), ["get", "http", "server", "v2"]);
        assert_eq!(of_name(""), Vec::<String>::new());
        assert_eq!(of_name("💥"), Vec::<String>::new());
    }

    #[test]
    fn a_form_of_a_verb_leads_to_it_and_a_participle_does_not() {
        for (word, stem) in [
            ("Deletes", "delete"),
            ("fetches", "fetch"),
            ("modifies", "modify"),
            ("running", "run"),
            ("removing", "remove"),
            ("DROP", "drop"),
        ] {
            assert!(stems(word).contains(&stem.to_owned()), "{word}");
        }
        assert!(!stems("deleted").contains(&"delete".to_owned()));
    }

    #[test]
    fn of_a_long_text_the_start_is_read() {
        let text = "é ".repeat(1_000);
        assert_eq!(of_text(&text).len(), 200);
    }
}
