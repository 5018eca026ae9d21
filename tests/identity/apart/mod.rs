//! Two grants on the wire, over random steps of both: nothing of the one (sessions, ids, streams, running calls, counters,
//! places, lists, records) is seen, ended or spent by the other. A real gate, a server on the official SDK.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::gate::{Gate, Setup};
use crate::support::http::Events;
use crate::support::mcp::{Reply, Session};
use crate::support::servers::{Era, Fixture};
use crate::support::wait::{PATIENCE, within};

const TOKENS: [&str; 2] = ["tg_one", "tg_two"];
const IDS: [&str; 2] = ["ci", "ci:two"];
/// What each may do: `echo` for a grant, `stop_run` in a session, `start_run` for a value of its argument.
const ECHOES: u64 = 4;
const STOPS: u64 = 2;
const STARTS: u64 = 2;

/// How one grant tries a session of the other.
#[derive(Clone, Copy, Debug)]
enum Tries {
    Call,
    Listen,
    End,
    /// The other's id with a signature of its own.
    Forge,
}

/// A step of one grant (`usize`: which), in one of its sessions (`usize`: which of those that are open).
#[derive(Clone, Debug)]
enum Step {
    Open(usize),
    Echo(usize, usize),
    Stop(usize, usize),
    Start(usize, usize, &'static str),
    List(usize, usize),
    Listen(usize, usize),
    End(usize, usize),
    Slow(usize, usize),
    /// Cancels what runs under the id that all calls here have.
    Cancel(usize, usize),
    Foreign(usize, usize, Tries),
    /// Both call at once, under one id.
    Both(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    use Step::{Both, Cancel, Echo, End, Foreign, List, Listen, Open, Slow, Start, Stop};
    (0..2_usize, 0..3_usize).prop_flat_map(|(who, at)| {
        prop_oneof![
            2 => Just(Open(who)),
            4 => Just(Echo(who, at)),
            4 => Just(Stop(who, at)),
            4 => select(vec!["x", "y"]).prop_map(move |pipeline| Start(who, at, pipeline)),
            1 => Just(List(who, at)),
            2 => Just(Listen(who, at)),
            1 => Just(End(who, at)),
            3 => Just(Slow(who, at)),
            2 => Just(Cancel(who, at)),
            6 => select(vec![Tries::Call, Tries::Listen, Tries::End, Tries::Forge])
                .prop_map(move |tries| Foreign(who, at, tries)),
            2 => Just(Both(who, at)),
        ]
    })
}

struct Opened {
    session: Session,
    stops: u64,
    stream: Option<Events>,
    runs: Option<(String, JoinHandle<Reply>)>,
}

/// One grant, as it should be: counted a second time, as plainly as can be.
#[derive(Default)]
struct Side {
    sessions: Vec<Opened>,
    echoes: u64,
    starts: BTreeMap<&'static str, u64>,
    executed: u64,
}

impl Side {
    fn session(&mut self, at: usize) -> Option<&mut Opened> {
        let count = self.sessions.len();
        self.sessions.get_mut(at.checked_rem(count)?)
    }

    /// One in which nothing runs: in one session a server mixes up two requests under one id.
    fn free(&mut self, at: usize) -> Option<&mut Opened> {
        self.session(at).filter(|opened| opened.runs.is_none())
    }

    fn runs(&self) -> bool {
        self.sessions.iter().any(|opened| opened.runs.is_some())
    }

    /// What a call should come to while `spent` of `max` are used.
    fn expects(&mut self, reply: &Reply, spent: u64, max: u64) -> bool {
        let fits = spent < max;
        assert_eq!(
            reply.outcome(),
            if fits { "executed" } else { "limited" },
            "{:?}",
            reply.message
        );
        self.executed += u64::from(fits);
        fits
    }
}

fn same(session: &Session) -> Session {
    Session {
        caller: session.caller.clone(),
        id: session.id.clone(),
    }
}

struct Play<'f> {
    gate: Gate,
    fixture: &'f Fixture,
    /// Sessions of the server that were open before: of a case that failed.
    before: u64,
    sides: [Side; 2],
    slow: usize,
}

fn policy(hide: &str) -> Value {
    let limit = |counter: &str, max: u64, scope: &str| json!({ "limits": [{ "counter": counter, "window": "hour", "max": max, "scope": scope }] });
    json!({ "version": "1", "default": "allow", "hide": [hide], "tools": {
        "echo": limit("echoes", ECHOES, "grant"),
        "stop_run": limit("stops", STOPS, "session"),
        "start_run": limit("starts", STARTS, "arg:pipeline"),
        "slow": { "concurrency": { "counter": "slow", "max": 1 } } } })
}

impl Play<'_> {
    async fn open(&mut self, who: usize) {
        let session = self.gate.caller("fixture", TOKENS[who]).open_session().await;
        self.sides[who].sessions.push(Opened {
            session,
            stops: 0,
            stream: None,
            runs: None,
        });
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Open(who) => self.open(who).await,
            Step::Echo(who, at) => self.echo(who, at).await,
            Step::Stop(who, at) => {
                let Some(opened) = self.sides[who].free(at) else {
                    return;
                };
                let reply = opened.session.call("stop_run", &json!({})).await;
                let spent = opened.stops;
                opened.stops += u64::from(spent < STOPS);
                self.sides[who].expects(&reply, spent, STOPS);
            }
            Step::Start(who, at, pipeline) => {
                let Some(opened) = self.sides[who].free(at) else {
                    return;
                };
                let reply = opened
                    .session
                    .call("start_run", &json!({ "pipeline": pipeline }))
                    .await;
                let spent = self.sides[who].starts.get(pipeline).copied().unwrap_or_default();
                if self.sides[who].expects(&reply, spent, STARTS) {
                    self.sides[who].starts.insert(pipeline, spent + 1);
                }
            }
            Step::List(who, at) => self.list(who, at).await,
            Step::Listen(who, at) => {
                let Some(opened) = self.sides[who].free(at) else {
                    return;
                };
                if opened.stream.is_none() {
                    let (head, events) = opened.session.listen().await;
                    assert_eq!(head.status, 200);
                    opened.stream = Some(events);
                }
            }
            Step::End(who, at) => self.end(who, at).await,
            Step::Slow(who, at) => self.slow(who, at).await,
            Step::Cancel(who, at) => {
                let Some(opened) = self.sides[who].free(at) else {
                    return;
                };
                let cancel = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 7 } });
                assert_eq!(opened.session.post(&cancel).await.status, 202);
            }
            Step::Foreign(who, at, tries) => self.foreign(who, at, tries).await,
            Step::Both(one, other) => self.both(one, other).await,
        }
    }

    async fn echo(&mut self, who: usize, at: usize) {
        let Some(opened) = self.sides[who].free(at) else {
            return;
        };
        let reply = opened
            .session
            .call("echo", &json!({ "message": TOKENS[who] }))
            .await;
        self.echoed(who, &reply);
    }

    fn echoed(&mut self, who: usize, reply: &Reply) {
        let side = &mut self.sides[who];
        let spent = side.echoes;
        if side.expects(reply, spent, ECHOES) {
            side.echoes += 1;
            assert_eq!(reply.text(), format!("Echo: {}", TOKENS[who]));
        }
    }

    async fn both(&mut self, one: usize, other: usize) {
        let [first, second] = &mut self.sides;
        let (Some(first), Some(second)) = (first.free(one), second.free(other)) else {
            return;
        };
        let messages = TOKENS.map(|token| json!({ "message": token }));
        let (first, second) = tokio::join!(
            first.session.call("echo", &messages[0]),
            second.session.call("echo", &messages[1])
        );
        self.echoed(0, &first);
        self.echoed(1, &second);
    }

    /// Each sees what its own policy shows.
    async fn list(&mut self, who: usize, at: usize) {
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

    async fn end(&mut self, who: usize, at: usize) {
        let side = &mut self.sides[who];
        let Some(place) = at.checked_rem(side.sessions.len()) else {
            return;
        };
        if side.sessions[place].runs.is_some() {
            return;
        }
        let ended = side.sessions.remove(place);
        assert_eq!(ended.session.delete().await.status, 200);
        assert_eq!(
            ended
                .session
                .post(&json!({ "jsonrpc": "2.0", "id": 7, "method": "ping" }))
                .await
                .status,
            404
        );
    }

    /// A call that goes on, unless one of the same grant does already.
    async fn slow(&mut self, who: usize, at: usize) {
        let taken = self.sides[who].runs();
        let Some(opened) = self.sides[who].free(at) else {
            return;
        };
        let (session, name) = (same(&opened.session), format!("slow-{}", self.slow));
        self.slow += 1;
        if taken {
            let reply = session.call("slow", &json!({ "name": name })).await;
            assert_eq!(reply.outcome(), "limited", "{:?}", reply.message);
            return;
        }
        let arguments = json!({ "name": name });
        let runs = tokio::spawn(async move { session.call("slow", &arguments).await });
        opened.runs = Some((name.clone(), runs));
        self.fixture.until_waiting(&name).await;
    }

    async fn foreign(&mut self, who: usize, at: usize, tries: Tries) {
        let [first, second] = &mut self.sides;
        let (own, theirs) = if who == 0 {
            (first, second)
        } else {
            (second, first)
        };
        let Some(theirs) = theirs.session(at) else { return };
        let mut stolen = Session {
            caller: self.gate.caller("fixture", TOKENS[who]),
            id: theirs.session.id.clone(),
        };
        let status = match tries {
            Tries::Call => stolen.call("echo", &json!({ "message": "stolen" })).await.status,
            Tries::Listen => stolen.listen().await.0.status,
            Tries::End => stolen.delete().await.status,
            Tries::Forge => {
                let Some(mine) = own.session(at) else { return };
                let (id, tag) = (
                    stolen.id.rsplit_once('.').unwrap().0,
                    mine.session.id.rsplit_once('.').unwrap().1,
                );
                stolen.id = format!("{id}.{tag}");
                stolen.call("echo", &json!({ "message": "forged" })).await.status
            }
        };
        assert_eq!(status, 404, "{tries:?}");
    }

    /// What is open still is, and what was counted is on record for the grant that did it.
    async fn settle(mut self) {
        let open: usize = self.sides.iter().map(|side| side.sessions.len()).sum();
        let known = self.fixture.state().await["sessions"].as_u64().unwrap();
        assert_eq!(known, self.before + open as u64, "sessions of the server");
        self.fixture.notify().await;
        for side in &mut self.sides {
            for opened in &mut side.sessions {
                if let Some(stream) = &mut opened.stream {
                    let event = stream.next().await.expect("its stream has ended");
                    assert_eq!(event["method"], "notifications/tools/list_changed");
                }
                if let Some((name, runs)) = opened.runs.take() {
                    assert!(!runs.is_finished(), "{name} did not go on");
                    self.fixture.release(&name).await;
                    assert_eq!(runs.await.unwrap().text(), format!("{name} released after 1"));
                    side.executed += 1;
                }
                assert_eq!(opened.session.delete().await.status, 200);
            }
        }
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

async fn play(fixture: &Fixture, steps: Vec<Step>) {
    let gate = Setup::new()
        .server("fixture", &fixture.url)
        .policy("one", policy("secret-*"))
        .policy("two", policy("admin_*"))
        .grant(IDS[0], TOKENS[0], "fixture", "one")
        .grant(IDS[1], TOKENS[1], "fixture", "two")
        .start();
    let mut play = Play {
        before: fixture.state().await["sessions"].as_u64().unwrap(),
        gate,
        fixture,
        sides: Default::default(),
        slow: 0,
    };
    play.open(0).await;
    play.open(1).await;
    for step in steps {
        let what = format!("{step:?}");
        within(&what, PATIENCE, play.step(step)).await;
    }
    within("what is open goes on", PATIENCE, play.settle()).await;
}

#[test]
fn whatever_two_grants_do_neither_sees_ends_or_spends_what_is_the_others() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let config = Config {
        cases: 24,
        failure_persistence: None,
        // each step of it is a gate
        max_shrink_iters: 40,
        ..Config::default()
    };
    let steps = proptest::collection::vec(step(), 12..36);
    let fixture = Fixture::start(Era::Session);
    let ended = TestRunner::new(config).run(&steps, |steps| {
        runtime.block_on(play(&fixture, steps));
        Ok(())
    });
    ended.unwrap_or_else(|error| panic!("{error}"));
}
