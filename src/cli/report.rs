//! What `toolgate check` found, and the three forms in which it is told. The JSON form is an interface:
//! docs/check.md describes it.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::document::{Level, Problem, render};

/// How findings are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people: each problem with the line that it stands on.
    #[default]
    Text,
    /// One JSON document.
    Json,
    /// Commands that GitHub Actions shows as annotations beside the lines.
    Github,
}

/// Everything that one run looked at, in order.
#[derive(Debug, Default)]
pub struct Report {
    pub entries: Vec<Entry>,
    /// How many of the entries are policies.
    pub policies: usize,
}

/// One file.
#[derive(Debug)]
pub struct Entry {
    pub file: String,
    /// Its text, to show lines of it.
    pub source: Option<String>,
    pub findings: Vec<Finding>,
    pub readable: bool,
}

#[derive(Debug)]
pub enum Finding {
    /// At a place in the file.
    Placed(Level, Problem),
    /// About the file as a whole.
    Whole(Level, String),
}

impl Finding {
    pub const fn level(&self) -> Level {
        match self {
            Self::Placed(level, _) | Self::Whole(level, _) => *level,
        }
    }
}

impl Entry {
    pub fn new(file: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            source: None,
            findings: Vec::new(),
            readable: true,
        }
    }

    pub fn unreadable(file: impl Into<String>, why: &str) -> Self {
        let mut entry = Self::new(file);
        entry.readable = false;
        entry.whole(Level::Error, why);
        entry
    }

    /// Adds what is said about the file as a whole; its name in front of the text is cut.
    pub fn whole(&mut self, level: Level, text: impl Into<String>) {
        let text = text.into();
        let own = text
            .strip_prefix(self.file.as_str())
            .and_then(|rest| rest.strip_prefix(": "));
        let text = own.map(str::to_owned).unwrap_or(text);
        self.findings.push(Finding::Whole(level, text));
    }

    /// Neither errors nor warnings.
    fn is_ok(&self) -> bool {
        self.findings.iter().all(|finding| finding.level() == Level::Note)
    }
}

impl Report {
    /// What was found of one level; files that cannot be read are counted apart.
    pub fn count(&self, level: Level) -> usize {
        let readable = self.entries.iter().filter(|entry| entry.readable);
        let findings = readable.flat_map(|entry| &entry.findings);
        findings.filter(|finding| finding.level() == level).count()
    }

    pub fn unreadable(&self) -> usize {
        self.entries.iter().filter(|entry| !entry.readable).count()
    }

    /// # Errors
    /// Where `out` cannot be written to.
    pub fn write(&self, format: Format, out: &mut dyn Write) -> io::Result<()> {
        match format {
            Format::Json => writeln!(out, "{:#}", self.to_json()),
            Format::Text => {
                self.entries.iter().try_for_each(|entry| text(entry, out))?;
                writeln!(out, "{}", self.summary())
            }
            Format::Github => {
                for entry in &self.entries {
                    for finding in &entry.findings {
                        writeln!(out, "{}", annotation(entry, finding))?;
                    }
                }
                writeln!(out, "{}", self.summary())
            }
        }
    }

    fn summary(&self) -> String {
        let policies = counted(self.policies, "policy", "policies");
        let errors = counted(self.count(Level::Error), "error", "errors");
        let warnings = counted(self.count(Level::Warning), "warning", "warnings");
        let unreadable = match self.unreadable() {
            0 => String::new(),
            count => format!(", {count} unreadable"),
        };
        format!("checked {policies}: {errors}, {warnings}{unreadable}")
    }

    fn to_json(&self) -> Value {
        let files: Vec<Value> = self
            .entries
            .iter()
            .map(|entry| {
                let problems: Vec<Value> = entry.findings.iter().map(|found| problem(entry, found)).collect();
                json!({
                    "file": entry.file,
                    "ok": entry.is_ok(),
                    "readable": entry.readable,
                    "problems": problems,
                })
            })
            .collect();
        json!({
            "files": files,
            "errors": self.count(Level::Error),
            "warnings": self.count(Level::Warning),
            "unreadable": self.unreadable(),
        })
    }
}

fn text(entry: &Entry, out: &mut dyn Write) -> io::Result<()> {
    let file = &entry.file;
    for finding in &entry.findings {
        match finding {
            Finding::Placed(level, problem) => {
                out.write_all(render(problem, *level, entry.source.as_deref()).as_bytes())?;
            }
            Finding::Whole(level, text) => writeln!(out, "{file}: {}: {text}", level.as_str())?,
        }
    }
    if entry.is_ok() {
        writeln!(out, "{file}: ok")?;
    }
    Ok(())
}

fn problem(entry: &Entry, finding: &Finding) -> Value {
    let level = finding.level().as_str();
    match finding {
        Finding::Placed(_, problem) => json!({
            "level": level,
            "file": problem.file,
            "line": problem.line,
            "column": problem.column,
            "message": problem.message,
            "help": problem.help,
        }),
        Finding::Whole(_, text) => json!({
            "level": level,
            "file": entry.file,
            "line": null,
            "column": null,
            "message": text,
            "help": null,
        }),
    }
}

/// One workflow command. What a value holds cannot end it, nor the property that it stands in.
fn annotation(entry: &Entry, finding: &Finding) -> String {
    let command = match finding.level() {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Note => "notice",
    };
    let (place, message) = match finding {
        Finding::Placed(_, problem) => {
            let Problem {
                file,
                line,
                column,
                message,
                help,
            } = problem;
            let help = help
                .as_ref()
                .map_or_else(String::new, |help| format!("\nhelp: {help}"));
            let place = format!("file={},line={line},col={column}", property(file));
            (place, format!("{message}{help}"))
        }
        Finding::Whole(_, text) => (format!("file={}", property(&entry.file)), text.clone()),
    };
    format!("::{command} {place},title=toolgate check::{}", data(&message))
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

fn counted(count: usize, one: &str, many: &str) -> String {
    let word = if count == 1 { one } else { many };
    format!("{count} {word}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Place;

    fn report() -> Report {
        let problem = Problem::new("a,b:c%.yaml", Place { line: 3, column: 9 }, "100%\r\n::error::x")
            .with_help("write, less");
        let mut entry = Entry::new("a,b:c%.yaml");
        entry.findings.push(Finding::Placed(Level::Warning, problem));
        entry.whole(Level::Note, "a,b:c%.yaml: whole");
        let missing = Entry::unreadable("none.yaml", "cannot be read: gone");
        Report {
            entries: vec![entry, missing],
            policies: 2,
        }
    }

    fn written(format: Format) -> String {
        let mut out = Vec::new();
        report().write(format, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_annotation_is_one_line_whatever_it_holds() {
        let expected = "\
::warning file=a%2Cb%3Ac%25.yaml,line=3,col=9,title=toolgate check::100%25%0D%0A::error::x%0Ahelp: write, less
::notice file=a%2Cb%3Ac%25.yaml,title=toolgate check::whole
::error file=none.yaml,title=toolgate check::cannot be read: gone
checked 2 policies: 0 errors, 1 warning, 1 unreadable
";
        assert_eq!(written(Format::Github), expected);
    }

    #[test]
    fn json_is_one_document_with_every_key_in_its_place() {
        let value: Value = serde_json::from_str(&written(Format::Json)).unwrap();
        let expected = json!({
            "files": [
                {"file": "a,b:c%.yaml", "ok": false, "readable": true, "problems": [
                    {"level": "warning", "file": "a,b:c%.yaml", "line": 3, "column": 9,
                     "message": "100%\r\n::error::x", "help": "write, less"},
                    {"level": "note", "file": "a,b:c%.yaml", "line": null, "column": null, "message": "whole", "help": null},
                ]},
                {"file": "none.yaml", "ok": false, "readable": false, "problems": [
                    {"level": "error", "file": "none.yaml", "line": null, "column": null,
                     "message": "cannot be read: gone", "help": null},
                ]},
            ],
            "errors": 0, "warnings": 1, "unreadable": 1,
        });
        assert_eq!(value, expected);
    }
}
