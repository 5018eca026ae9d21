//! One name or glob over tool names, outside of a policy: what an approver may decide.

use super::glob::Glob;
use crate::document::{is_invisible, quoted};

/// A tool's name, or a glob as policies have them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern {
    text: String,
    /// `None`: the text is the name.
    glob: Option<Glob>,
}

impl NamePattern {
    /// # Errors
    /// A text that could match no tool as it was meant; says why and what to write.
    pub fn read(text: &str) -> Result<Self, String> {
        let odd = |c: char| c.is_control() || c.is_whitespace() || is_invisible(c) || "`[]{}".contains(c);
        if text.is_empty() || text.contains(odd) {
            return Err(format!(
                "{} is no name or glob of tools: write the name alone; `*` (any run of characters) and `?` (one) are the only wildcards",
                quoted(text)
            ));
        }
        Ok(Self {
            text: text.to_owned(),
            glob: Glob::new(text),
        })
    }

    pub fn matches(&self, tool: &str) -> bool {
        self.glob
            .as_ref()
            .map_or(self.text == tool, |glob| glob.matches(tool))
    }
}

#[cfg(test)]
mod tests {
    use super::NamePattern;

    #[test]
    fn a_name_matches_itself_alone_and_a_glob_what_it_stands_for() {
        for (text, tool, matches) in [
            ("refund", "refund", true),
            ("refund", "refunds", false),
            ("refund*", "refunds", true),
            ("*", "anything/at.all", true),
            ("get_?", "get_ab", false),
        ] {
            assert_eq!(
                NamePattern::read(text).unwrap().matches(tool),
                matches,
                "{text} {tool}"
            );
        }
    }

    #[test]
    fn what_could_never_match_is_refused() {
        for text in [
            "",
            "`refund`",
            "two words",
            "re{fund,turn}",
            "re\u{200b}fund",
            "[ab]",
        ] {
            let message = NamePattern::read(text).unwrap_err();
            assert!(message.contains("write the name alone"), "{message}");
        }
    }
}
