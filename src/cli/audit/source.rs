//! Where `tail` and `top` read from, and which decisions they show.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use jiff::{SignedDuration, Timestamp};

use super::follow::Follower;
use crate::app;
use crate::audit::Filter;
use crate::counters::Journal;
use crate::settings;

/// Lines that are asked of a stream at once.
const AT_ONCE: usize = 1_000;
/// How often a source that has nothing new is looked at.
pub(super) const PAUSE: Duration = Duration::from_millis(250);

/// The log, and which of its decisions.
#[derive(Debug, clap::Args)]
pub struct Which {
    /// The file; `-` is stdin. Left out, it is the one that --config names.
    #[arg(value_name = "FILE", required_unless_present = "config")]
    file: Option<PathBuf>,
    /// Read the stream that all replicas share, in place of a file.
    #[arg(long, requires = "config", conflicts_with = "file")]
    redis: bool,
    /// Settings that name the file or the stream.
    #[arg(long, value_name = "SETTINGS")]
    config: Option<PathBuf>,
    /// Only this grant.
    #[arg(long, value_name = "ID")]
    grant: Option<String>,
    /// Only this tool, or this method where no tool was called.
    #[arg(long, value_name = "NAME")]
    tool: Option<String>,
    /// Only this outcome, such as `denied`.
    #[arg(long, value_name = "OUTCOME")]
    outcome: Option<String>,
    /// Only what is newer: 90s, 10m, 2h, 1d, or a time such as 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
}

/// A log that is read to its end, and then again for what is new.
pub(super) enum Source {
    File(Follower),
    Stream(Box<Stream>),
}

/// A stream, and the last line that was read of it.
pub(super) struct Stream {
    runtime: tokio::runtime::Runtime,
    journal: Journal,
    name: String,
    after: String,
}

impl Which {
    /// Opens the log. `last`: of a stream only so many lines, unless a time is asked for.
    pub(super) fn open(&self, last: Option<usize>) -> anyhow::Result<Source> {
        if self.redis {
            return Ok(Source::Stream(Box::new(self.stream(last)?)));
        }
        let path = match (&self.file, &self.config) {
            (Some(file), _) => file.clone(),
            (None, Some(config)) => settings::load(config)?.audit.file.ok_or_else(|| {
                anyhow!(
                    "{}: no `audit.file`: name a file, or say --redis",
                    config.display()
                )
            })?,
            (None, None) => bail!("name a file"),
        };
        Ok(Source::File(Follower::open(path)?))
    }

    fn stream(&self, last: Option<usize>) -> anyhow::Result<Stream> {
        super::super::install_crypto();
        let config = self.config.clone().unwrap_or_default();
        let settings = settings::load(&config)?;
        let name = settings
            .audit
            .redis_stream
            .ok_or_else(|| anyhow!("{}: no `audit.redis_stream`", config.display()))?
            .name;
        let runtime = super::super::runtime().context("the runtime cannot start")?;
        let journal = runtime.block_on(async { app::journal(&settings.counters) })?;
        let journal = journal.ok_or_else(|| anyhow!("{}: no Redis", config.display()))?;
        let mut stream = Stream {
            runtime,
            journal,
            name,
            after: "-".to_owned(),
        };
        if let Some(count) = last {
            stream.skip_to_last(count)?;
        }
        Ok(stream)
    }

    /// Which decisions are asked for.
    pub(super) fn filter(&self) -> anyhow::Result<Filter> {
        Ok(Filter {
            grant: self.grant.clone(),
            tool: self.tool.clone(),
            outcome: self.outcome.clone(),
            since: self.since.as_deref().map(|text| since(text, now())).transpose()?,
        })
    }
}

impl Source {
    /// Hands out every whole line that is there and was not yet handed out.
    ///
    /// # Errors
    /// Where the log cannot be read, or the receiver fails.
    pub(super) fn read(&mut self, each: &mut dyn FnMut(&[u8]) -> anyhow::Result<()>) -> anyhow::Result<()> {
        match self {
            Self::File(follower) => follower.read(each),
            Self::Stream(stream) => stream.read(each),
        }
    }

    /// Whether nothing can follow: stdin has ended.
    pub(super) const fn has_ended(&self) -> bool {
        match self {
            Self::File(follower) => follower.has_ended(),
            Self::Stream(_) => false,
        }
    }
}

impl Stream {
    /// So that of a long stream the last lines are read alone.
    fn skip_to_last(&mut self, count: usize) -> anyhow::Result<()> {
        let lines = self.journal.last(&self.name, count.saturating_add(1));
        let lines = self
            .runtime
            .block_on(lines)
            .context("the stream cannot be read")?;
        if lines.len() > count
            && let Some(before) = lines.first()
        {
            self.after.clone_from(&before.id);
        }
        Ok(())
    }

    fn read(&mut self, each: &mut dyn FnMut(&[u8]) -> anyhow::Result<()>) -> anyhow::Result<()> {
        loop {
            let lines = self.journal.after(&self.name, &self.after, AT_ONCE);
            let lines = self
                .runtime
                .block_on(lines)
                .context("the stream cannot be read")?;
            let Some(last) = lines.last() else { return Ok(()) };
            self.after.clone_from(&last.id);
            for line in &lines {
                each(&line.line)?;
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a span is counted back from now")]
pub(super) fn now() -> Timestamp {
    Timestamp::now()
}

/// A span before `now`, or a time, in the form in which records have it.
fn since(text: &str, now: Timestamp) -> anyhow::Result<String> {
    let time = match span(text) {
        Some(span) => now.checked_sub(span).ok(),
        None => text.parse::<Timestamp>().ok(),
    };
    let time = time
        .ok_or_else(|| anyhow!("--since: write 90s, 10m, 2h, 1d, or a time such as 2026-01-31T12:00:00Z"))?;
    Ok(format!("{time:.3}"))
}

fn span(text: &str) -> Option<SignedDuration> {
    let unit = text.chars().last()?;
    let number: i64 = text
        .strip_suffix(unit)?
        .parse()
        .ok()
        .filter(|number| *number >= 0)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    Some(SignedDuration::from_secs(number.checked_mul(seconds)?))
}

#[cfg(test)]
mod tests {
    use super::since;

    #[test]
    fn a_span_is_counted_back_and_a_time_is_taken_as_it_is() {
        let now = "2026-01-31T12:00:00Z".parse().unwrap();
        assert_eq!(since("90s", now).unwrap(), "2026-01-31T11:58:30.000Z");
        assert_eq!(since("1d", now).unwrap(), "2026-01-30T12:00:00.000Z");
        assert_eq!(
            since("2026-01-31T13:00:00+02:00", now).unwrap(),
            "2026-01-31T11:00:00.000Z"
        );
        for wrong in ["", "10", "m", "-5m", "1y", "yesterday", "99999999999999999d"] {
            assert!(
                since(wrong, now)
                    .unwrap_err()
                    .to_string()
                    .contains("--since: write"),
                "{wrong}"
            );
        }
    }
}
