use proptest::prelude::*;

use super::*;
use crate::counters::CallId;
use crate::counters::command::Bound;
use crate::counters::model::Model;

fn charge(key: &str, weight: u64, max: u64, window: u64) -> KeyCharge {
    KeyCharge {
        weight,
        max,
        ..KeyCharge::one(key, Span::Window { window })
    }
}

fn command(id: u64, charges: Vec<KeyCharge>) -> Command {
    Command {
        id: CallId(id.to_be_bytes()),
        deadline: 0,
        first_sent: 0,
        peek: false,
        charges,
    }
}

/// A store and a replica, on one clock.
struct World {
    model: Model,
    memo: Memo,
    origin: Instant,
    now: u64,
    ids: u64,
}

/// Store time at the start.
const START: u64 = 1_700_000_000_000;

impl World {
    fn new() -> Self {
        let origin = Instant::now();
        Self {
            model: Model::default(),
            memo: Memo::new(),
            origin,
            now: 0,
            ids: 0,
        }
    }

    fn here(&self) -> Instant {
        self.origin + Duration::from_millis(self.now)
    }

    fn ask(&mut self, charges: &[KeyCharge]) -> Reply {
        self.ids += 1;
        let command = command(self.ids, charges.to_vec());
        let reply = self.model.admit(START + self.now, &command);
        let asked = Asked {
            sent: self.here(),
            answered: self.here(),
        };
        self.memo.note(&command, &reply, asked);
        reply
    }

    fn remembered(&self, charges: &[KeyCharge]) -> Option<Reply> {
        self.memo.answer(charges.iter(), self.here())
    }
}

#[test]
fn a_denial_is_remembered_for_its_charge_and_stricter_ones_until_it_fits() {
    let mut world = World::new();
    let wish = |weight, max| [charge("k", weight, max, 300)];
    assert_eq!(world.ask(&wish(6, 10)).outcome, Outcome::Admitted);
    assert_eq!(world.remembered(&wish(1, 10)), None, "an admission is no denial");
    assert_eq!(world.ask(&wish(5, 10)).outcome, Outcome::Limited);
    world.now = 300;
    let known = world.remembered(&wish(5, 10)).unwrap();
    assert_eq!((known.outcome, known.now), (Outcome::Limited, START + 300));
    let state = KeyState {
        left: 4,
        frees_ms: 1,
        fit: Fit::After(1),
    };
    assert_eq!(known.states, [state]);
    assert!(world.remembered(&wish(9, 10)).is_some() && world.remembered(&wish(5, 9)).is_some());
    assert!(world.remembered(&wish(4, 10)).is_none(), "a smaller one may fit");
    assert!(
        world.remembered(&wish(5, 11)).is_none(),
        "a larger `max` may have room"
    );
    world.now = 301;
    assert!(world.remembered(&wish(5, 10)).is_none());
    assert_eq!(world.ask(&wish(5, 10)).outcome, Outcome::Admitted);
}

#[test]
fn nothing_is_remembered_for_longer_than_a_second() {
    let mut world = World::new();
    let wish = [charge("k", 1, 1, 60_000)];
    world.ask(&wish);
    world.ask(&wish);
    world.now = 999;
    assert_eq!(world.remembered(&wish).unwrap().states[0].fit, Fit::After(59_002));
    world.now = 1_000;
    assert!(world.remembered(&wish).is_none());
}

#[test]
fn a_wire_that_takes_time_shortens_the_memory_and_lengthens_the_retry_time() {
    let mut world = World::new();
    let wish = [charge("k", 1, 1, 300)];
    world.ask(&wish);
    let denied = world.model.admit(START, &command(9, wish.to_vec()));
    let asked = Asked {
        sent: world.here(),
        answered: world.here() + Duration::from_millis(40),
    };
    world.memo.note(&command(9, wish.to_vec()), &denied, asked);
    world.now = 300;
    assert_eq!(world.remembered(&wish).unwrap().states[0].fit, Fit::After(41));
    world.now = 301;
    assert!(world.remembered(&wish).is_none());
}

#[test]
fn what_was_taken_back_here_is_forgotten() {
    let mut world = World::new();
    let wish = [charge("k", 1, 1, 300)];
    world.ask(&wish);
    world.ask(&wish);
    world.memo.forget(&["other".into()]);
    assert!(world.remembered(&wish).is_some());
    world.memo.forget(&["k".into()]);
    assert!(world.remembered(&wish).is_none());
}

#[test]
fn leases_and_limits_in_shadow_are_not_remembered_and_an_unseen_key_is_asked_for() {
    let mut world = World::new();
    let mut lease = charge("l", 1, 1, 300);
    lease.span = Span::Lease { ttl: 300 };
    let mut shadow = charge("s", 1, 1, 300);
    shadow.advisory = true;
    let full = charge("k", 1, 1, 300);
    for wish in [&lease, &shadow, &full] {
        world.ask(std::slice::from_ref(wish));
    }
    world.ask(std::slice::from_ref(&lease));
    assert!(world.remembered(std::slice::from_ref(&lease)).is_none());
    world.ask(&[shadow.clone(), full.clone()]);
    assert!(world.remembered(std::slice::from_ref(&shadow)).is_none());
    assert!(world.remembered(&[shadow, full.clone()]).is_some());
    assert!(world.remembered(&[full, charge("new", 1, 1, 300)]).is_none());
}

#[test]
fn a_flood_of_keys_does_not_grow_it_beyond_its_bound() {
    let mut world = World::new();
    for number in 0..3 * KEYS {
        let wish = [charge(&number.to_string(), 1, 1, 60_000)];
        world.ask(&wish);
        world.ask(&wish);
    }
    let inner = world.memo.inner.lock().unwrap();
    assert_eq!((inner.young.len(), inner.old.len()), (KEYS, 0));
    drop(inner);
    assert!(world.remembered(&[charge("0", 1, 1, 60_000)]).is_some());
    assert!(
        world
            .remembered(&[charge(&KEYS.to_string(), 1, 1, 60_000)])
            .is_none()
    );
    for weight in 1..100 {
        world.ask(&[charge("0", weight, 100, 60_000), charge("1", 1, 1, 60_000)]);
        world.ask(&[charge("0", weight + 100, 200, 60_000)]);
    }
    let inner = world.memo.inner.lock().unwrap();
    assert!(inner.young["0"].denials.len() <= DENIALS);
}

/// A call of one to three charges; keys 0 to 2 are windows, 3 and 4 values of a bounded scope.
fn wishes() -> impl Strategy<Value = Vec<KeyCharge>> {
    let wish = (0..5_usize, prop_oneof![3 => Just(1), 1 => 1..6_u64], 1..9_u64);
    prop::collection::vec(wish, 1..4).prop_map(|mut wishes| {
        let mut keys = std::collections::HashSet::new();
        wishes.retain(|(key, ..)| keys.insert((*key).min(3)));
        let one = |(key, weight, max): (usize, u64, u64)| {
            let bound = (key >= 3).then(|| Bound {
                overflow: "overflow".into(),
                index: "index".into(),
                max_values: 1,
            });
            let window = [200, 900, 5_000, 400, 400][key];
            KeyCharge {
                bound,
                ..charge(&format!("k{key}"), weight, max.max(weight), window)
            }
        };
        wishes.into_iter().map(one).collect()
    })
}

proptest! {
    /// Whatever else is charged meanwhile, here or elsewhere: what the memo denies the store would deny too, and
    /// of the call that was denied it tells the same retry time as long as nothing else came.
    #[test]
    fn it_is_never_stricter_than_the_store(steps in prop::collection::vec((wishes(), 0..80_u64, any::<bool>()), 1..120)) {
        let mut world = World::new();
        for (wishes, pause, elsewhere) in steps {
            world.now += pause;
            if elsewhere {
                world.ids += 1;
                world.model.admit(START + world.now, &command(world.ids, wishes));
                continue;
            }
            let Some(known) = world.remembered(&wishes) else {
                let denied = world.ask(&wishes);
                if denied.outcome == Outcome::Limited {
                    let known = world.remembered(&wishes);
                    prop_assert!(known.is_some_and(|known| known.states == denied.states));
                }
                continue;
            };
            let peek = Command { peek: true, ..command(0, wishes) };
            let real = world.model.admit(START + world.now, &peek);
            prop_assert_eq!(real.outcome, Outcome::Limited);
            for (known, real) in known.states.iter().zip(&real.states) {
                if let (Fit::After(known), Fit::After(real)) = (known.fit, real.fit) {
                    prop_assert!(known <= real, "told {} ms, it takes {}", known, real);
                } else {
                    prop_assert!(known.fit == Fit::Now, "{:?} but {:?}", known, real);
                }
            }
        }
    }
}
