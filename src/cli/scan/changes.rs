//! `--drift`: what has changed on a server.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::cli::check;
use crate::document::{Level, render, shown};
use crate::policy::{Pins, load};
use crate::scan::{Against, Change, Drift, Kept, Live, drift};

/// What a server is compared with, by file.
pub(super) type Files = Vec<(String, Against)>;

/// Reads each file as what it is.
///
/// # Errors
/// Where one cannot be read, or is none of the three.
pub(super) fn read(files: &[PathBuf]) -> anyhow::Result<Files> {
    let read = |path: &PathBuf| {
        let file = path.display().to_string();
        let against = of_file(path, &file).with_context(|| format!("--drift {file}"))?;
        Ok((file, against))
    };
    files.iter().map(read).collect()
}

fn of_file(path: &Path, file: &str) -> anyhow::Result<Against> {
    let text = check::read(path).context("cannot be read")?;
    let whole: Value = serde_json::from_str(&text).unwrap_or_default();
    if whole.get("tools").is_some_and(Value::is_array) {
        return Ok(Against::Scan(Kept::read(&text)?));
    }
    if let (Some(server), Some(_)) = (
        whole.get("server").and_then(Value::as_str),
        whole.get("version").and_then(Value::as_u64),
    ) {
        return Ok(Against::Pins(Pins::read(&text, server)?));
    }
    match load("policy", file, &text) {
        Ok(loaded) => Ok(Against::Policy(Box::new(loaded.policy))),
        Err(problems) => {
            let problems = problems.iter();
            let rendered: String = problems
                .map(|problem| render(problem, Level::Error, Some(&text)))
                .collect();
            bail!("this is no policy that can be used, no pins and no scan\n{rendered}")
        }
    }
}

/// Writes what has changed; returns whether something has.
pub(super) fn write(
    against: &Files,
    live: &Live<'_>,
    as_json: bool,
    out: &mut dyn Write,
) -> io::Result<bool> {
    let found: Vec<(&str, Vec<Drift>)> = against
        .iter()
        .map(|(file, against)| (file.as_str(), drift(against, live)))
        .collect();
    let changes: usize = found.iter().map(|(_, drifts)| drifts.len()).sum();
    if as_json {
        let drifts = found
            .iter()
            .flat_map(|(file, drifts)| drifts.iter().map(|drift| written(file, drift)));
        let drifts: Vec<Value> = drifts.collect();
        writeln!(out, "{:#}", json!({ "drift": drifts }))?;
    } else {
        for (file, drifts) in &found {
            for Drift { tool, change } in drifts {
                writeln!(out, "{:<8} {}", word(change), line(&shown(tool), change))?;
            }
            writeln!(out, "{file}: {}", counted(drifts.len()))?;
        }
    }
    Ok(changes > 0)
}

const fn word(change: &Change) -> &'static str {
    match change {
        Change::New(..) => "new",
        Change::Gone => "gone",
        Change::Changed(_) => "changed",
        Change::Unclear => "unclear",
        Change::Raised { .. } => "raised",
    }
}

fn line(tool: &str, change: &Change) -> String {
    match change {
        Change::New(class, risk) => format!("{tool}: {}, {}", class.word(), risk.word()),
        Change::Gone => tool.to_owned(),
        Change::Changed(parts) => format!("{tool}: {}", parts.join(", ")),
        Change::Unclear => format!("{tool}: its definition can be read in two ways"),
        Change::Raised { from, to } => format!("{tool}: held for {}, is {}", from.word(), to.word()),
    }
}

fn written(file: &str, Drift { tool, change }: &Drift) -> Value {
    let mut written = json!({ "file": file, "tool": tool, "change": word(change) });
    let more = match change {
        Change::New(class, risk) => json!({ "class": class.word(), "risk": risk.word() }),
        Change::Changed(parts) => json!({ "parts": parts }),
        Change::Raised { from, to } => json!({ "from": from.word(), "to": to.word() }),
        Change::Gone | Change::Unclear => json!({}),
    };
    if let (Some(written), Value::Object(more)) = (written.as_object_mut(), more) {
        written.extend(more);
    }
    written
}

fn counted(changes: usize) -> String {
    match changes {
        0 => "nothing has changed".to_owned(),
        1 => "1 difference".to_owned(),
        many => format!("{many} differences"),
    }
}
