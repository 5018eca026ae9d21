//! What a grant is shown and what is written down of it: its own tools, its own calls, its own sessions.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{ECHOES, IDS, Play};

impl Play<'_> {
    /// Each sees what its own policy shows.
    pub(super) async fn list(&mut self, who: usize, at: usize) {
        let Some(opened) = self.sides[who].free(at) else {
            return;
        };
        let ask = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/list" });
        let list = opened.session.post(&ask).await.json();
        let tools = list["result"]["tools"].as_array().unwrap();
        let sees = |name: &str| tools.iter().any(|tool| tool["name"] == name);
        assert_eq!(
            (sees("secret-show"), sees("admin_create_user")),
            (who == 1, who == 0),
            "{list}"
        );
    }

    /// What was counted is on record for the grant that did it.
    pub(super) async fn on_record(&self) {
        let mut sessions: [BTreeSet<String>; 2] = Default::default();
        for (who, side) in self.sides.iter().enumerate() {
            let ran = |line: &Value| {
                line["grant"] == IDS[who] && line["method"] == "tools/call" && line["outcome"] == "allowed"
            };
            let wanted = usize::try_from(side.executed).unwrap();
            let lines = self
                .gate
                .until_decisions("every call is on record", wanted, ran)
                .await;
            assert_eq!(lines.len(), wanted);
            let left = lines
                .iter()
                .filter(|line| line["tool"] == "echo")
                .map(|line| line["charges"][0]["left"].as_u64().unwrap());
            assert!(left.eq((ECHOES - side.echoes..ECHOES).rev()), "{lines:?}");
            sessions[who].extend(
                lines
                    .iter()
                    .filter_map(|line| Some(line["session"].as_str()?.to_owned())),
            );
        }
        assert!(sessions[0].is_disjoint(&sessions[1]), "{sessions:?}");
    }
}
