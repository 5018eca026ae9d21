//! `toolgate grant new | hash | revoke`.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Subcommand;

use super::entries::{Listing, hand_out, one_or_many, text, until};
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

const LISTING: Listing = Listing {
    key: "grants",
    what: "a grant",
    ids: |path, text| {
        let file = GrantsFile::parse(path, text)?;
        Ok(file.ids().map(str::to_owned).collect())
    },
};

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
            hand_out(&LISTING, (id, &token, &entry), append.as_deref(), out)?;
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
    line.push_str(&until(expires)?);
    line.push_str(" }");
    Ok(line)
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
