//! `toolgate grant new | hash | revoke`.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Subcommand;

use crate::app;
use crate::document::shown;
use crate::grants::{GrantsFile, TokenHash, new_token};
use crate::settings::{self, Counters};

/// Subcommands of `toolgate grant`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a token: printed once, with the entry for grants.yaml.
    ///
    /// stdout: the token on the first line, the entry on the second.
    #[command(
        after_help = "Examples:\n  toolgate grant new --id ci-runner --server coalesce --policy coalesce-default\n  toolgate grant new --id laptop --server a --server b --policy org --policy team --append grants.yaml"
    )]
    New {
        /// Who calls; unique among all grants.
        #[arg(long)]
        id: String,
        /// A server of the settings; may be given several times.
        #[arg(long, required = true)]
        server: Vec<String>,
        /// A policy of the settings; may be given several times. Without one every tool call is denied.
        #[arg(long)]
        policy: Vec<String>,
        /// When the grant ends, such as 2027-01-01T00:00:00Z.
        #[arg(long)]
        expires: Option<String>,
        /// Add the entry to this file; it is made where it does not exist.
        #[arg(long, value_name = "FILE")]
        append: Option<PathBuf>,
    },
    /// Print the SHA-256 of a token read from stdin, for `token_sha256`.
    #[command(after_help = "Example:\n  printf %s \"$TOKEN\" | toolgate grant hash")]
    Hash,
    /// Refuse a grant from now on, on every replica that shares the store, within two seconds.
    ///
    /// Its open streams end. The id is the one in records; of an entry for an issuer's tokens, its `id` as written
    /// revokes all that it stands for. Write `revoked: true` into grants.yaml too: the store may lose its data.
    #[command(
        after_help = "Examples:\n  toolgate grant revoke laptop\n  toolgate grant revoke 'ci:{sub}'\n  toolgate grant revoke --undo laptop"
    )]
    Revoke {
        /// The grant's id, or its `grant_key` in records.
        id: String,
        /// The settings, which name the store.
        #[arg(long, value_name = "FILE", default_value = "toolgate.yaml")]
        config: PathBuf,
        /// Take the revocation back.
        #[arg(long)]
        undo: bool,
    },
}

/// Runs one of them.
pub fn run(command: &Command, out: &mut dyn Write) -> anyhow::Result<u8> {
    match command {
        Command::Hash => hash(out)?,
        Command::Revoke { id, config, undo } => revoke(id, config, *undo, out)?,
        Command::New {
            id,
            server,
            policy,
            expires,
            append,
        } => {
            let token =
                new_token().map_err(|error| anyhow::anyhow!("no random bytes for a token: {error}"))?;
            let entry = entry(id, &token, server, policy, expires.as_deref())?;
            if let Some(path) = append {
                append_to(path, id, &entry)?;
            }
            // In one write: `| head -n 1` closes the pipe after the first line.
            out.write_all(format!("{token}\n{entry}\n").as_bytes())?;
            let done = match append {
                Some(path) => format!("added to {}", path.display()),
                None => "put the second line below `grants:` in grants.yaml".to_owned(),
            };
            let mut stderr = std::io::stderr();
            writeln!(
                stderr,
                "the first line is the token, shown this once: keep it; {done}"
            )?;
        }
    }
    Ok(0)
}

fn hash(out: &mut dyn Write) -> anyhow::Result<()> {
    let mut token = String::new();
    std::io::stdin()
        .take(64 << 10)
        .read_to_string(&mut token)
        .context("cannot read a token from stdin")?;
    let token = token.trim_end_matches(['\r', '\n']);
    if token.is_empty() {
        bail!("stdin is empty: pipe the token in, as in `printf %s \"$TOKEN\" | toolgate grant hash`");
    }
    writeln!(out, "{}", TokenHash::of(token.as_bytes()).to_hex())?;
    Ok(())
}

fn revoke(id: &str, config: &Path, undo: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    super::install_crypto();
    let settings = settings::load(config)?;
    if !matches!(settings.counters, Counters::Redis { .. }) {
        bail!(
            "{}: no other process reads this store: write `revoked: true` beside the grant, or set `counters.store: redis`",
            config.display()
        );
    }
    let runtime = super::runtime().context("the runtime cannot start")?;
    let changed = runtime.block_on(async {
        let store = app::store(&settings.counters)?;
        let changed = if undo {
            store.unrevoke(id).await
        } else {
            store.revoke(id).await
        };
        changed.context("the store did not take it: nothing is known to have changed")
    })?;
    let done = match (undo, changed) {
        (false, true) => "is revoked",
        (false, false) => "was revoked before",
        (true, true) => "is no longer revoked",
        (true, false) => "was not revoked",
    };
    writeln!(out, "`{}` {done}", shown(id))?;
    Ok(())
}

/// One line of YAML. JSON strings are YAML strings.
pub(super) fn entry(
    id: &str,
    token: &str,
    servers: &[String],
    policies: &[String],
    expires: Option<&str>,
) -> anyhow::Result<String> {
    let mut line = format!("  - {{ id: {}", text(id)?);
    write!(
        line,
        ", token_sha256: \"{}\"",
        TokenHash::of(token.as_bytes()).to_hex()
    )?;
    write!(line, ", server: {}", one_or_many(servers)?)?;
    if !policies.is_empty() {
        write!(line, ", policy: {}", one_or_many(policies)?)?;
    }
    if let Some(expires) = expires {
        if expires.parse::<jiff::Timestamp>().is_err() {
            bail!("`{expires}` is no time: write 2027-01-01T00:00:00Z");
        }
        write!(line, ", expires: {expires}")?;
    }
    line.push_str(" }");
    Ok(line)
}

fn one_or_many(names: &[String]) -> anyhow::Result<String> {
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
fn text(name: &str) -> anyhow::Result<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let is_word = name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(plain);
    let reserved = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    if is_word && !reserved.contains(&name.to_ascii_lowercase().as_str()) {
        return Ok(name.to_owned());
    }
    Ok(serde_json::to_string(name)?)
}

/// Adds the line at the end and keeps everything else. The new file is read before it takes the old one's
/// place, so that a file in another form is never damaged.
fn append_to(path: &Path, id: &str, entry: &str) -> anyhow::Result<()> {
    let shown = path.display();
    let old = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => "grants:\n".to_owned(),
        Err(error) => return Err(error).with_context(|| format!("{shown}: cannot read the grants")),
    };
    let before = GrantsFile::parse(path, &old)?;
    if before.ids().any(|known| known == id) {
        bail!("{shown}: there is a grant `{id}` already: choose another --id, or remove that one first");
    }
    let stem = if old.trim().is_empty() {
        "grants:\n"
    } else {
        old.as_str()
    };
    let new = format!("{}\n{entry}\n", stem.trim_end());
    let remedy =
        || format!("{shown}: the entry cannot be added at the end of this file; put it in by hand:\n{entry}");
    let after = GrantsFile::parse(path, &new).with_context(remedy)?;
    if after.ids().count() != before.ids().count() + 1 {
        bail!(remedy());
    }
    replace(path, &new).with_context(|| format!("{shown}: cannot write the grants"))
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

#[cfg(test)]
mod tests {
    use super::{Command, run};

    fn new(path: &std::path::Path, id: &str) -> anyhow::Result<String> {
        let command = Command::New {
            id: id.to_owned(),
            server: vec!["s".to_owned()],
            policy: vec!["p".to_owned(), "on".to_owned()],
            expires: None,
            append: Some(path.to_owned()),
        };
        let mut out = Vec::new();
        run(&command, &mut out)?;
        Ok(String::from_utf8(out)?)
    }

    #[test]
    fn entries_are_added_to_the_file_and_the_token_is_not_in_it() {
        let path = std::env::temp_dir().join(format!("toolgate-grants-{}.yaml", std::process::id()));
        drop(std::fs::remove_file(&path));
        let first = new(&path, "one").unwrap();
        new(&path, "two").unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let token = first.lines().next().unwrap();
        assert!(token.starts_with("tg_") && !text.contains(token));
        assert!(
            text.contains("id: one") && text.contains("id: two") && text.contains("policy: [p, \"on\"]"),
            "{text}"
        );

        let error = new(&path, "one").unwrap_err().to_string();
        assert!(error.contains("`one`"), "{error}");

        std::fs::write(&path, "grants: []\n").unwrap();
        let error = format!("{:#}", new(&path, "one").unwrap_err());
        assert!(
            error.contains("by hand") && std::fs::read_to_string(&path).unwrap() == "grants: []\n",
            "{error}"
        );
        std::fs::remove_file(&path).unwrap();
    }
}
