//! A reset of counters as a line. Field names are part of the contract.

/// Most characters of a text that is kept.
const TEXT_CHARS: usize = 1_000;

/// What `toolgate counters reset` did.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ResetRecord {
    /// `counters_reset`.
    event: String,
    /// RFC 3339 in UTC with milliseconds.
    time: String,
    /// The same on every line about this reset.
    id: String,
    grant: String,
    /// Names of the counters that were set back.
    counters: Vec<String>,
    reason: String,
    /// The process of the command: its host and a random number.
    by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replica: Option<String>,
}

const EVENT: &str = "counters_reset";

impl ResetRecord {
    /// Texts are cut at 1 000 characters.
    pub fn new(time: String, id: String, grant: &str, counters: &[String], reason: &str, by: String) -> Self {
        Self {
            event: EVENT.to_owned(),
            time,
            id,
            grant: cut(grant),
            counters: counters.iter().map(|name| cut(name)).collect(),
            reason: cut(reason),
            by: cut(&by),
            replica: None,
        }
    }

    /// Reads what another process left; `None` for anything else.
    pub fn read(text: &str) -> Option<Self> {
        let read: Self = serde_json::from_str(text).ok()?;
        (read.event == EVENT).then(|| {
            Self::new(
                cut(&read.time),
                cut(&read.id),
                &read.grant,
                &read.counters,
                &read.reason,
                read.by,
            )
        })
    }

    /// With the replica that writes it down.
    #[must_use]
    pub fn by_replica(self, replica: &str) -> Self {
        Self {
            replica: Some(replica.to_owned()),
            ..self
        }
    }
}

fn cut(text: &str) -> String {
    text.chars().take(TEXT_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::ResetRecord;

    #[test]
    fn only_a_reset_is_read_back_and_its_texts_are_cut() {
        let long = "x".repeat(5_000);
        let reset = ResetRecord::new("t".into(), "i".into(), "ci", &["runs".into()], &long, "me".into());
        let text = serde_json::to_string(&reset).unwrap();
        assert!(text.len() < 1_200, "{}", text.len());
        assert_eq!(ResetRecord::read(&text), Some(reset));
        assert_eq!(
            ResetRecord::read(&text.replace("counters_reset", "allowed")),
            None
        );
        assert_eq!(ResetRecord::read("{}"), None);
    }
}
