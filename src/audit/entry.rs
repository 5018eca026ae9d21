//! A line as people read it.

use std::borrow::Cow;

use serde::Deserialize;

/// What a table shows of one decision.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Entry<'l> {
    #[serde(borrow)]
    pub time: Cow<'l, str>,
    #[serde(borrow)]
    pub grant: Option<Cow<'l, str>>,
    #[serde(borrow)]
    pub server: Cow<'l, str>,
    #[serde(borrow)]
    pub method: Cow<'l, str>,
    #[serde(borrow)]
    pub tool: Option<Cow<'l, str>>,
    #[serde(borrow)]
    pub outcome: Cow<'l, str>,
    #[serde(borrow)]
    pub rule: Option<Cow<'l, str>>,
    #[serde(default)]
    pub degraded: bool,
    pub upstream: Option<Upstream>,
    /// Decisions that the line stands for.
    #[serde(default = "one")]
    pub count: u64,
}

/// What became of the forwarded request.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct Upstream {
    pub status: Option<u16>,
    pub ms: f64,
}

const fn one() -> u64 {
    1
}

impl<'l> Entry<'l> {
    /// `None` for what is no decision.
    pub fn read(line: &'l [u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }

    /// The tool, or else the method.
    pub fn what(&self) -> &str {
        self.tool.as_deref().unwrap_or(&self.method)
    }
}

/// Which decisions are shown. What is left out lets everything pass.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub grant: Option<String>,
    pub tool: Option<String>,
    pub outcome: Option<String>,
    /// RFC 3339 in UTC, with milliseconds as records have them.
    pub since: Option<String>,
}

impl Filter {
    pub fn takes(&self, entry: &Entry<'_>) -> bool {
        let is = |wanted: &Option<String>, own: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| own == Some(wanted))
        };
        is(&self.grant, entry.grant.as_deref())
            && is(&self.tool, Some(entry.what()))
            && is(&self.outcome, Some(&entry.outcome))
            // times of one form sort as their texts do
            && self.since.as_deref().is_none_or(|since| &*entry.time >= since)
    }
}
