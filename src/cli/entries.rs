//! Lines of YAML for files that people keep by hand: an entry is made, printed, and added at the end.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};

pub(super) fn one_or_many(names: &[String]) -> anyhow::Result<String> {
    match names {
        [one] => text(one),
        many => Ok(format!(
            "[{}]",
            many.iter()
                .map(|name| text(name))
                .collect::<Result<Vec<_>, _>>()?
                .join(", ")
        )),
    }
}

/// A plain word where YAML reads it as one, else quoted.
pub(super) fn text(name: &str) -> anyhow::Result<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let is_word = name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(plain);
    let reserved = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    if is_word && !reserved.contains(&name.to_ascii_lowercase().as_str()) {
        return Ok(name.to_owned());
    }
    Ok(serde_json::to_string(name)?)
}

/// The part of an entry that says when it ends, if it does.
pub(super) fn until(expires: Option<&str>) -> anyhow::Result<String> {
    match expires {
        None => Ok(String::new()),
        Some(time) if time.parse::<jiff::Timestamp>().is_ok() => Ok(format!(", expires: {time}")),
        Some(time) => bail!("`{time}` is no time: write 2027-01-01T00:00:00Z"),
    }
}

/// A file that is a list of entries with ids under one key.
pub(super) struct Listing {
    pub(super) key: &'static str,
    /// What an entry is called.
    pub(super) what: &'static str,
    /// The ids of a text of this form.
    pub(super) ids: fn(&Path, &str) -> anyhow::Result<Vec<String>>,
}

impl Listing {
    /// Adds the line at the end and keeps everything else. The new file is read before it takes the old one's
    /// place, so that a file in another form is never damaged.
    pub(super) fn append_to(&self, path: &Path, id: &str, entry: &str) -> anyhow::Result<()> {
        let shown = path.display();
        let Self { key, what, ids } = self;
        let empty = format!("{key}:\n");
        let old = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => empty.clone(),
            Err(error) => return Err(error).with_context(|| format!("{shown}: cannot read the {key}")),
        };
        let before = ids(path, &old)?;
        if before.iter().any(|known| known == id) {
            bail!("{shown}: there is {what} `{id}` already: choose another --id, or remove that one first");
        }
        let stem = if old.trim().is_empty() { &empty } else { &old };
        let new = format!("{}\n{entry}\n", stem.trim_end());
        let remedy = || {
            format!("{shown}: the entry cannot be added at the end of this file; put it in by hand:\n{entry}")
        };
        let after = ids(path, &new).with_context(remedy)?;
        if after.len() != before.len() + 1 {
            bail!(remedy());
        }
        replace(path, &new).with_context(|| format!("{shown}: cannot write the {key}"))
    }
}

/// Prints a token with its entry, and adds the entry to a file where that is asked for.
pub(super) fn hand_out(
    listing: &Listing,
    (id, token, entry): (&str, &str, &str),
    append: Option<&Path>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    if let Some(path) = append {
        listing.append_to(path, id, entry)?;
    }
    // In one write: `| head -n 1` closes the pipe after the first line.
    out.write_all(format!("{token}\n{entry}\n").as_bytes())?;
    let done = match append {
        Some(path) => format!("added to {}", path.display()),
        None => format!("put the second line below `{0}:` in {0}.yaml", listing.key),
    };
    writeln!(
        std::io::stderr(),
        "the first line is the token, shown this once: keep it; {done}"
    )?;
    Ok(())
}

fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let mode = std::fs::metadata(path).map_or(0o600, |data| data.permissions().mode() & 0o777);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.new"));
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&beside, path)
}
