//! `toolgate audit verify` and `audit heads`.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};

use crate::app::{self, KeptHead};
use crate::audit::{Gravity, Head, Report, Verifier};
use crate::cli::lines::{LONGEST, LogReader};
use crate::cli::shown::escaped;
use crate::settings;

const WHOLE: u8 = 0;
const TAMPERED: u8 = 1;
const UNREADABLE: u8 = 2;
const INCOMPLETE: u8 = 3;

pub(super) const EXAMPLES: &str = "\
Examples:
  toolgate audit verify audit.jsonl*
  toolgate audit verify audit.jsonl* --head --config toolgate.yaml
  toolgate audit verify audit.jsonl* --heads kept-elsewhere.jsonl
  kubectl logs toolgate-0 | toolgate audit verify --partial -
  toolgate audit tail --redis --config toolgate.yaml --lines 100000 --no-follow --format json | toolgate audit verify --partial -

Exit code: 0 whole, 1 changed, 2 unreadable, 3 unchanged but lines were lost.";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The files of the log; `-` is stdin.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Accept a log that starts in the middle, because older lines were thrown away on purpose.
    #[arg(long)]
    partial: bool,
    /// Hold the ends of the chains against the heads that the replicas keep in Redis.
    #[arg(long, requires = "config")]
    head: bool,
    /// Settings that name the Redis.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Hold the ends against heads that were kept in a file: lines of `toolgate audit heads`.
    #[arg(long, value_name = "FILE")]
    heads: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub struct HeadsArgs {
    /// Settings that name the Redis.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<u8> {
    let report = match verify(args) {
        Ok(report) => report,
        Err(error) => {
            // nothing can be done if stderr is closed too
            drop(writeln!(io::stderr(), "toolgate: {error:#}"));
            return Ok(UNREADABLE);
        }
    };
    show(&report, out)?;
    Ok(match report.gravity {
        Some(Gravity::Tampered) => TAMPERED,
        Some(Gravity::Incomplete) => INCOMPLETE,
        Some(Gravity::Note) | None => WHOLE,
    })
}

pub(super) fn heads(args: &HeadsArgs, out: &mut dyn Write) -> anyhow::Result<u8> {
    for head in kept_in_store(&args.config)? {
        serde_json::to_writer(&mut *out, &head).map_err(io::Error::from)?;
        writeln!(out)?;
    }
    Ok(WHOLE)
}

fn verify(args: &Args) -> anyhow::Result<Report> {
    let mut kept = Vec::new();
    if let Some(path) = &args.heads {
        kept.extend(kept_in_file(path)?);
    }
    if let (true, Some(config)) = (args.head, &args.config) {
        kept.extend(kept_in_store(config)?);
    }
    let mut heads: HashMap<String, Head> = HashMap::new();
    for one in kept {
        let head = one
            .head()
            .ok_or_else(|| anyhow!("the head of boot `{}` has no hash", escaped(&one.boot)))?;
        let later = heads
            .get(&one.boot)
            .is_none_or(|other| other.sequence < head.sequence);
        if later {
            heads.insert(one.boot, head);
        }
    }
    let mut verifier = Verifier::new(args.partial, heads);
    for path in &args.files {
        let mut log = LogReader::open(path, "toolgate audit verify")?;
        verifier.open(&log.name);
        while log
            .read_line()
            .with_context(|| format!("{}: cannot read the log", log.name))?
            .is_some()
        {
            let bare = log.buffer.strip_suffix(b"\n");
            // what is too long for a line of a log is none, whatever it ends with
            let ended = bare.is_some() || log.is_too_long();
            verifier.line(bare.unwrap_or(&log.buffer), ended);
        }
    }
    Ok(verifier.end())
}

fn kept_in_file(path: &Path) -> anyhow::Result<Vec<KeptHead>> {
    let mut log = LogReader::open(path, "toolgate audit verify --heads -")?;
    let mut heads = Vec::new();
    while log.read_line()?.is_some() {
        let name = path.display();
        if log.buffer.len() > LONGEST {
            bail!("{name}: a line is too long for a head");
        }
        let head = serde_json::from_slice(&log.buffer)
            .map_err(|_| anyhow!("{name}: a line is no head as `toolgate audit heads` prints them"))?;
        heads.push(head);
    }
    Ok(heads)
}

fn kept_in_store(config: &Path) -> anyhow::Result<Vec<KeptHead>> {
    super::super::install_crypto();
    let settings = settings::load(config)?;
    let runtime = super::super::runtime().context("the runtime cannot start")?;
    runtime.block_on(async {
        let journal = app::journal(&settings.counters)?;
        let journal = journal.ok_or_else(|| {
            anyhow!(
                "{}: heads are kept in Redis, and `counters.store` is another",
                config.display()
            )
        })?;
        let kept = journal
            .heads()
            .await
            .context("the heads cannot be read from Redis")?;
        let read = |(_, text): (String, String)| serde_json::from_str::<KeptHead>(&text).ok();
        Ok(kept.into_iter().filter_map(read).collect())
    })
}

fn show(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    for finding in &report.findings {
        let word = match finding.gravity {
            Gravity::Tampered => "error",
            Gravity::Incomplete => "lost",
            Gravity::Note => "note",
        };
        writeln!(out, "{word}: {}", escaped(&finding.to_string()))?;
    }
    if report.more > 0 {
        writeln!(out, "and {} findings more", report.more)?;
    }
    for (boot, head) in &report.absent {
        writeln!(
            out,
            "note: boot {boot}: its {} lines are not in these files",
            head.sequence
        )?;
    }
    for (boot, replica, head) in &report.chains {
        let replica = escaped(replica);
        writeln!(out, "{replica} boot {boot}: up to line {}", head.sequence)?;
    }
    let verdict = match report.gravity {
        Some(Gravity::Tampered) => "this is not the log that was written",
        Some(Gravity::Incomplete) => "nothing was changed, but lines were lost",
        Some(Gravity::Note) | None => "whole",
    };
    writeln!(
        out,
        "{} decisions, {} other events: {verdict}",
        report.lines, report.events
    )
}
