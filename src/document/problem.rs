//! Problems: a place, what is wrong there, and how to put it right.

use std::fmt::{self, Write as _};

use super::place::Place;

/// One problem in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file's name, as it was given.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    pub message: String,
    /// The remedy, where there is one to name.
    pub help: Option<String>,
}

/// How grave a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Error,
    Warning,
    /// What is worth knowing and wrong in no way.
    Note,
}

impl Level {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

impl Problem {
    pub fn new(file: &str, place: Place, message: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: place.line,
            column: place.column,
            message: message.into(),
            help: None,
        }
    }

    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub fn place(&self) -> Place {
        Place {
            line: self.line,
            column: self.column,
        }
    }
}

/// `file:line:column: message`, on one line.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Problem {}

/// The problem with the line that it stands on, a caret below the place, and the remedy. `source` is
/// the text of the file; without it (or where the line does not exist) the excerpt is left out.
pub fn render(problem: &Problem, level: Level, source: Option<&str>) -> String {
    let level = level.as_str();
    let Problem {
        file,
        line,
        column,
        message,
        help,
    } = problem;
    let mut out = format!("{file}:{line}:{column}: {level}: {message}\n");
    if let Some(excerpt) = source.and_then(|text| excerpt(text, problem.place())) {
        out.push_str(&excerpt);
    }
    if let Some(help) = help {
        let margin = " ".repeat(line.to_string().len());
        // Writing to a string cannot fail.
        let _ = writeln!(out, " {margin} = help: {help}");
    }
    out
}

/// How much of a line is shown on each side of the place, in characters.
const REACH: usize = 60;

/// The line of a text that holds the place, with its number, and a caret below the place: two lines. `None`
/// where nothing stands there.
pub fn excerpt(text: &str, place: Place) -> Option<String> {
    let (excerpt, before) = around(text, place)?;
    let number = place.line.to_string();
    let margin = " ".repeat(number.len());
    let indent = " ".repeat(before);
    Some(format!(" {number} | {excerpt}\n {margin} | {indent}^\n"))
}

/// The part of the line around the place, and how many characters stand before the place in it.
/// Control characters are replaced one for one, so that the caret stays below its place and a file
/// cannot steer the terminal.
fn around(text: &str, place: Place) -> Option<(String, usize)> {
    let line = line(text.strip_prefix('\u{feff}').unwrap_or(text), place.line)?;
    let at = usize::try_from(place.column).ok()?.checked_sub(1)?;
    let from = at.saturating_sub(REACH);
    let mut shown = String::new();
    if from > 0 {
        shown.push('…');
    }
    let mut rest = line.chars().skip(from);
    for c in rest.by_ref().take(2 * REACH) {
        shown.push(match c {
            '\t' => ' ',
            c if c.is_control() || is_invisible(c) => '\u{fffd}',
            c => c,
        });
    }
    if rest.next().is_some() {
        shown.push('…');
    }
    if shown.trim().is_empty() {
        return None;
    }
    let before = at - from + usize::from(from > 0);
    Some((shown.trim_end().to_owned(), before))
}

fn line(text: &str, number: u32) -> Option<&str> {
    let mut rest = text;
    for _ in 1..number {
        let at = rest.find(['\n', '\r'])?;
        let next = rest.get(at..)?;
        rest = next.strip_prefix("\r\n").or_else(|| next.get(1..))?;
    }
    rest.split(['\n', '\r']).next()
}

/// Characters that show nothing, or turn the direction of what follows: a name that holds one is not
/// the name that a reader sees.
pub fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// `text` as [`shown`] shows it, in back-ticks, or in double quotes where it holds back-ticks or nothing.
pub fn quoted(text: &str) -> String {
    let mark = if text.is_empty() || text.contains('`') {
        '"'
    } else {
        '`'
    };
    format!("{mark}{}{mark}", shown(text))
}

/// `text`, fit for a message: at most 80 characters, nothing invisible as it came.
pub fn shown(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    for c in chars.by_ref().take(80) {
        if c.is_control() || is_invisible(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    if chars.next().is_some() {
        out.push('…');
    }
    out
}
