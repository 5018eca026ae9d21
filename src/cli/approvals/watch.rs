//! What waits, and what becomes of it, as it happens.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::value::RawValue;

use super::read;
use super::told::Told;
use crate::client::{ConsoleClient, ConsoleError, ListedApproval};

/// How often the console is asked.
const EVERY: Duration = Duration::from_secs(1);

#[derive(serde::Deserialize)]
struct Raw<'t> {
    #[serde(borrow)]
    approvals: Vec<&'t RawValue>,
}

/// Ends only with an error: a console that is away is waited for, one that refuses is not.
pub(super) async fn watch(client: &ConsoleClient, told: &mut Told<'_>) -> anyhow::Result<()> {
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    let mut away = false;
    let mut begun = false;
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let text = match client.list_text(None).await {
            Ok(text) => text,
            Err(error @ (ConsoleError::Connect(_) | ConsoleError::Deadline(_) | ConsoleError::Broken)) => {
                if !begun {
                    return Err(error.into());
                }
                if !away {
                    tracing::warn!(%error, "waiting for the console");
                }
                away = true;
                continue;
            }
            Err(ConsoleError::Refused {
                status: 503, message, ..
            }) if begun => {
                if !away {
                    tracing::warn!(error = message, "waiting for the console");
                }
                away = true;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        away = false;
        known = changes(&text, &known, begun, told)?;
        begun = true;
    }
}

/// Tells what differs from `known`; of the first list only what is pending. Returns the states by id.
fn changes(
    text: &str,
    known: &BTreeMap<String, String>,
    begun: bool,
    told: &mut Told<'_>,
) -> anyhow::Result<BTreeMap<String, String>> {
    let raw: Raw<'_> = serde_json::from_str(text).map_err(|_| ConsoleError::NotConsole(200))?;
    let mut now = BTreeMap::new();
    for one in raw.approvals {
        let approval: ListedApproval = read(one.get())?;
        let state = format!("{} {}", approval.state, approval.decisions.len());
        let is_new = known.get(&approval.id) != Some(&state);
        if is_new && (begun || approval.state == "pending") {
            told.change(one.get(), &approval)?;
        }
        now.insert(approval.id, state);
    }
    Ok(now)
}
