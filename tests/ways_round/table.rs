//! Every way on every server, directly and through a gate.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::columns::{self, Column};
use crate::page::{Cell, Page, Row, Table, Transport};
use crate::post::Target;
use crate::sse;
use crate::steps::{effect, with_session};
use crate::support::gate::{Gate, Setup, token_sha256};
use crate::support::http::address_of;
use crate::ways::{self, Do, Effect, Requests, Way};

const TOKEN: &str = "tg_test_ways_round";
const OTHER: &str = "tg_test_other";
/// How long a server may take to run what it accepted without an answer.
const SETTLE: Duration = Duration::from_millis(700);
/// How often a way is tried directly, unless the page says that it does not work: a server may be slow.
const TRIES: usize = 4;

pub async fn http(page: &Page) -> Table {
    table(page, Transport::Http, columns::http()).await
}

pub async fn sse(page: &Page) -> Table {
    table(page, Transport::Sse, columns::sse()).await
}

/// Each server has a policy of its own, and two grants that carry it.
fn gate_before(columns: &[Arc<Column>]) -> Gate {
    let mut setup = Setup::new();
    for (index, column) in columns.iter().enumerate() {
        let (server, tools) = (format!("s{index}"), column.tools);
        let policy = json!({ "version": "1", "default": "allow", "hide": [tools.hidden],
            "tools": { tools.denied: { "action": "deny" } } });
        setup = setup.server(&server, &column.url).policy(&server, policy);
        for token in [TOKEN, OTHER] {
            let token = token_at(token, index);
            setup = setup.entry(json!({ "id": token, "token_sha256": token_sha256(&token), "server": server, "policy": server }));
        }
    }
    setup.start()
}

fn token_at(token: &str, index: usize) -> String {
    format!("{token}_{index}")
}

fn target(column: &Column, url: &str, index: usize) -> Target {
    let address = address_of(url).to_owned();
    Target {
        path: url.split_once(&address).unwrap().1.to_owned(),
        address,
        token: token_at(TOKEN, index),
        other_token: token_at(OTHER, index),
        session: None,
        modern: column.modern,
        tools: column.tools,
    }
}

async fn table(page: &Page, transport: Transport, columns: Vec<Column>) -> Table {
    let columns: Vec<Arc<Column>> = columns.into_iter().map(Arc::new).collect();
    let gate = gate_before(&columns);
    let names: Vec<String> = columns.iter().map(|column| column.name.to_owned()).collect();
    let mut running = JoinSet::new();
    for (index, column) in columns.into_iter().enumerate() {
        let through = target(&column, &gate.url(&format!("s{index}")), index);
        let directly = target(&column, &column.url, index);
        let expected: Vec<Option<bool>> = ways::all()
            .iter()
            .map(|way| page.expects(transport, way.name).get(&index).copied())
            .collect();
        let sides = Sides {
            column,
            directly,
            through,
            transport,
        };
        running.spawn(async move { (index, sides.cells(&expected).await) });
    }
    let mut columns: Vec<Vec<Option<Cell>>> = vec![Vec::new(); names.len()];
    while let Some(cells) = running.join_next().await {
        let (index, cells) = cells.expect("a column failed");
        columns[index] = cells;
    }
    let row = |(index, way): (usize, Way)| Row {
        way: way.name.to_owned(),
        cells: columns.iter().map(|cells| cells[index]).collect(),
    };
    let rows = ways::all().into_iter().enumerate().map(row);
    Table {
        columns: names,
        rows: rows.filter(|row| row.cells.iter().any(Option::is_some)).collect(),
    }
}

/// One server, directly and through the gate.
pub struct Sides {
    column: Arc<Column>,
    directly: Target,
    through: Target,
    transport: Transport,
}

impl Sides {
    async fn cells(&self, expected: &[Option<bool>]) -> Vec<Option<Cell>> {
        let mut cells = Vec::new();
        for (way, expected) in ways::all().iter().zip(expected) {
            cells.push(self.cell(way, *expected).await);
        }
        cells
    }

    /// Tries a way through toolgate, where nothing may come of it, and then directly.
    async fn cell(&self, way: &Way, expected: Option<bool>) -> Option<Cell> {
        let through = self.works(way, &self.through).await?;
        assert!(
            !through,
            "{}: `{}` had its effect through toolgate ({:?})",
            self.column.name, way.name, self.transport
        );
        let tries = if expected == Some(false) { 1 } else { TRIES };
        let mut effect = false;
        for _ in 0..tries {
            effect = effect || self.works(way, &self.directly).await?;
        }
        let word = match way.effect {
            Effect::Denied | Effect::Allowed | Effect::Hidden => "ran",
            Effect::Seen => "seen",
            Effect::Session => "worked",
        };
        Some(Cell { word, effect })
    }

    async fn works(&self, way: &Way, target: &Target) -> Option<bool> {
        match (way.what, self.transport) {
            (Do::Anywhere(requests), Transport::Sse) => sse::works(self, way.effect, target, requests).await,
            (Do::Steps(steps), Transport::Sse) => sse::stolen(self, way.effect, target, steps).await,
            (_, Transport::Sse) => None,
            (Do::Anywhere(requests) | Do::Http(requests), _) => {
                let target = with_session(&self.column, target.clone()).await;
                Some(self.sent(way.effect, &target, requests).await)
            }
            (Do::Steps(steps), _) => {
                let target = with_session(&self.column, target.clone()).await;
                effect(steps, &self.column, &target).await
            }
        }
    }

    async fn sent(&self, effect: Effect, target: &Target, requests: Requests) -> bool {
        let tool = self.trace(effect);
        let before = self.column.count(tool).await;
        let mut unanswered = false;
        for request in requests(target) {
            let heard = request.send(&target.address, None).await;
            if effect == Effect::Seen && heard.contains(target.tools.hidden) {
                return true;
            }
            unanswered |= !heard.starts_with("HTTP/1.1 4");
        }
        // whoever is refused gets no more than that; all else may still run
        effect != Effect::Seen && self.ran(tool, before, unanswered).await
    }

    /// Whether the tool has run since; `wait`: it may still.
    pub async fn ran(&self, tool: &str, before: u64, wait: bool) -> bool {
        let until = Instant::now() + if wait { SETTLE } else { Duration::ZERO };
        loop {
            if self.column.count(tool).await > before {
                return true;
            }
            if Instant::now() >= until {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn count(&self, effect: Effect) -> u64 {
        self.column.count(self.trace(effect)).await
    }

    pub fn trace(&self, effect: Effect) -> &'static str {
        match effect {
            Effect::Hidden => self.column.tools.hidden,
            Effect::Allowed => self.column.tools.allowed,
            Effect::Denied | Effect::Seen | Effect::Session => self.column.tools.denied,
        }
    }
}
