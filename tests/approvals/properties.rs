//! The scripts and the model, on the same random steps and a clock of the test's.

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use redis::{Connection, Script, Value};
use toolgate::approvals::ApprovalId;
use toolgate::approvals::model::{Change, Found, Model, Open, Written};
use toolgate::approvals::wire::{self, Names};

use crate::support::redis::RedisServer;

/// More than may wait for one grant.
const IDS: usize = 16;
const CASES: usize = 150;

#[derive(Clone, Debug)]
pub enum Step {
    Open {
        id: usize,
        call: usize,
        grant: usize,
        /// Names what is there, or something else.
        instead: Instead,
        run: usize,
        stands: u64,
        lingers: u64,
    },
    Change {
        id: usize,
        grant: usize,
        from_what_is: bool,
        to: u8,
        run: usize,
        since: u64,
        until: u64,
        decided: bool,
        ended: bool,
    },
    Passes(u64),
    /// The server restarts.
    Restarts,
}

#[derive(Clone, Debug)]
pub enum Instead {
    Last,
    Nothing,
    Id(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let instead = prop_oneof![6 => Just(Instead::Last), 1 => Just(Instead::Nothing), 1 => (0..IDS).prop_map(Instead::Id)];
    let open = (
        0..IDS,
        0..24_usize,
        0..2_usize,
        instead,
        0..2_usize,
        0..60_u64,
        0..20_u64,
    )
        .prop_map(|(id, call, grant, instead, run, stands, lingers)| Step::Open {
            id,
            call,
            grant,
            instead,
            run,
            stands,
            lingers,
        });
    let change = (
        (0..IDS, 0..9_usize, any::<bool>(), 0..4_u8, 0..2_usize),
        (0..8_u64, 0..60_u64, any::<bool>(), any::<bool>()),
    )
        .prop_map(
            |((id, grant, from_what_is, to, run), (since, until, decided, ended))| Step::Change {
                id,
                grant: grant / 8,
                from_what_is,
                to,
                run,
                since,
                until,
                decided,
                ended,
            },
        );
    prop_oneof![24 => open, 6 => change, 3 => (0..8_u64).prop_map(Step::Passes), 1 => Just(Step::Restarts)]
}

fn id(number: usize) -> ApprovalId {
    ApprovalId::parse(&format!("{number:032x}")).unwrap()
}

/// The scripts, as they are shipped or broken.
pub struct Scripts {
    pub open: String,
    pub change: String,
    pub read: String,
}

impl Scripts {
    pub fn shipped() -> Self {
        Self {
            open: wire::OPEN.to_owned(),
            change: wire::CHANGE.to_owned(),
            read: wire::READ.to_owned(),
        }
    }
}

struct Rig {
    connection: Connection,
    open: Script,
    change: Script,
    read: Script,
}

impl Rig {
    fn ask(&mut self, script: &Script, keys: &[String], argv: &[Vec<u8>]) -> Value {
        let mut call = script.prepare_invoke();
        keys.iter().for_each(|key| {
            call.key(key);
        });
        argv.iter().for_each(|arg| {
            call.arg(&arg[..]);
        });
        call.invoke(&mut self.connection).unwrap()
    }

    fn open(&mut self, names: &Names, open: &Open, at: (u64, &str)) -> Written {
        let (keys, argv) = (names.open(open), wire::open_argv(open, Some(at)));
        wire::written(self.ask(&self.open.clone(), &keys, &argv))
            .unwrap()
            .0
    }

    fn change(&mut self, names: &Names, change: &Change, at: (u64, &str)) -> Written {
        let (keys, argv) = (names.change(change), wire::change_argv(change, Some(at)));
        wire::written(self.ask(&self.change.clone(), &keys, &argv))
            .unwrap()
            .0
    }

    fn find(&mut self, names: &Names, ids: &[ApprovalId], at: (u64, &str)) -> Vec<Found> {
        let (keys, argv) = (names.read(ids), wire::read_argv(Some(at)));
        let (now, run, found) = wire::read(self.ask(&self.read.clone(), &keys, &argv), ids.len()).unwrap();
        assert_eq!((now, run.as_str()), at);
        found
    }

    fn not_ended(&mut self, names: &Names) -> Vec<ApprovalId> {
        let ids: Vec<String> = redis::cmd("ZRANGE")
            .arg(names.not_ended())
            .arg(0)
            .arg(-1)
            .query(&mut self.connection)
            .unwrap();
        ids.iter().map(|id| ApprovalId::parse(id).unwrap()).collect()
    }

    fn changes(&mut self, names: &Names) -> u64 {
        let count: Option<u64> = redis::cmd("GET")
            .arg(names.changes())
            .query(&mut self.connection)
            .unwrap();
        count.unwrap_or(0)
    }
}

/// One world: the model, and what happens in it.
struct World {
    model: Model,
    now: u64,
    run: usize,
}

const RUNS: [&str; 4] = ["a", "b", "c", "d"];

impl World {
    fn run(&self) -> &'static str {
        RUNS[self.run % RUNS.len()]
    }

    /// The server that a record names: this one, or now and then another.
    fn named(&self, run: usize) -> String {
        RUNS[(self.run + run / 2 + usize::from(run == 1 && self.now.is_multiple_of(3))) % RUNS.len()]
            .to_owned()
    }

    fn opening(&self, step: &Step) -> Option<Open> {
        let Step::Open {
            id: number,
            call,
            grant,
            instead,
            run,
            stands,
            lingers,
        } = step
        else {
            return None;
        };
        let call = format!("call {call}");
        Some(Open {
            id: id(*number),
            instead_of: match instead {
                Instead::Last => self.model.last(self.now, &call),
                Instead::Nothing => None,
                Instead::Id(number) => Some(id(*number)),
            },
            call,
            grant: format!("grant {grant}"),
            record: format!("opened at {}", self.now).into_bytes(),
            arguments: b"{\"a\":1}".to_vec(),
            run: self.named(*run),
            expires_ms: self.now + stands,
            drops_ms: self.now + stands + lingers,
        })
    }

    fn changing(&self, step: &Step) -> Option<Change> {
        let Step::Change {
            id: number,
            grant,
            from_what_is,
            to,
            run,
            since,
            until,
            decided,
            ended,
        } = step
        else {
            return None;
        };
        let found = self.model.find(self.now, id(*number)).record;
        let from = found.filter(|_| *from_what_is);
        Some(Change {
            id: id(*number),
            grant: format!("grant {grant}"),
            from: from.unwrap_or_else(|| vec![9]),
            to: vec![*to],
            run: self.named(*run),
            since_ms: (self.now + since).saturating_sub(4),
            until_ms: (self.now + until).saturating_sub(4),
            decided: *decided,
            ended: *ended,
            expires_ms: self.now + until,
        })
    }
}

/// The first step at which the scripts do otherwise than the model.
fn differs(rig: &mut Rig, prefix: &str, steps: &[Step]) -> Option<String> {
    let names = Names::new(prefix);
    let mut world = World {
        model: Model::default(),
        now: 1_000,
        run: 0,
    };
    let all: Vec<ApprovalId> = (0..IDS).map(id).collect();
    for step in steps {
        let at = (world.now, world.run());
        let (wanted, got) = if let Some(open) = world.opening(step) {
            let got = rig.open(&names, &open, at);
            (Some(world.model.open(at.0, at.1, open)), Some(got))
        } else if let Some(change) = world.changing(step) {
            let got = rig.change(&names, &change, at);
            (Some(world.model.change(at.0, at.1, &change)), Some(got))
        } else {
            match step {
                Step::Passes(ms) => world.now += ms,
                _ => world.run += 1,
            }
            (None, None)
        };
        let at = (world.now, world.run());
        let kept: Vec<Found> = all.iter().map(|id| world.model.find(at.0, *id)).collect();
        let found = rig.find(&names, &all, at);
        let open = rig.not_ended(&names) == world.model.not_ended(IDS);
        if wanted != got || kept != found || !open || rig.changes(&names) != world.model.changes() {
            return Some(format!(
                "{step:?} at {}: {wanted:?}, and the script {got:?}",
                at.0
            ));
        }
    }
    None
}

/// The first difference over the cases, the same for all scripts; what came of the steps is counted.
pub fn first_difference(scripts: &Scripts) -> Option<String> {
    let server = RedisServer::start();
    let mut rig = Rig {
        connection: server.connection(),
        open: Script::new(&scripts.open),
        change: Script::new(&scripts.change),
        read: Script::new(&scripts.read),
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[8; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    (0..CASES).find_map(|number| {
        let steps = vec(step(), 1..120).new_tree(&mut runner).unwrap().current();
        differs(&mut rig, &format!("p{number}"), &steps)
    })
}

#[test]
fn the_scripts_and_the_model_do_the_same_at_every_step() {
    assert_eq!(first_difference(&Scripts::shipped()), None);
}
