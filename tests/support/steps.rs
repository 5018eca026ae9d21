//! Random steps over a handful of keys.

use std::collections::HashSet;

use proptest::prelude::*;

/// One charge of a step, before keys and spans are known.
#[derive(Clone, Debug)]
pub struct Wish {
    /// 0 ..= 2: window keys, 3: calendar, 4 ..= 7: values of a bounded scope, 8: leases, 9: leases of two
    /// lengths, 10 ..= 13: leases by the values of a bounded scope.
    pub key: usize,
    pub weight: u64,
    pub max: u64,
    pub advisory: bool,
}

#[derive(Clone, Debug)]
pub enum Step {
    /// Milliseconds the clock moves; negative: it steps back.
    Clock(i64),
    /// So many calls alike, `every` ms apart.
    Calls {
        wishes: Vec<Wish>,
        times: u32,
        every: u64,
        peek: bool,
    },
    /// A command that arrives so many ms after its deadline (negative: before).
    Late { wishes: Vec<Wish>, by: i64 },
    /// The call that was sent so many calls ago is sent again.
    Resend(usize),
    /// The call that was sent so many calls ago is refunded.
    Refund(usize),
    /// The call that was sent so many calls ago has ended: its leases are given back.
    Release(usize),
    /// The call that was sent so many calls ago still runs: its leases are renewed.
    Renew(usize),
}

/// A whole case: the length of the windows and what happens.
#[derive(Clone, Debug)]
pub struct Case {
    pub window: u64,
    pub steps: Vec<Step>,
}

fn wish() -> impl Strategy<Value = Wish> {
    let weight = prop_oneof![6 => Just(1), 2 => 1..5_u64, 1 => Just(300), 1 => Just(1 << 52)];
    let max = prop_oneof![4 => 1..6_u64, 3 => 6..40_u64, 2 => 100..400_u64, 1 => Just(1_000_000), 1 => Just(1 << 53)];
    let advisory = prop_oneof![9 => Just(false), 1 => Just(true)];
    let key = prop_oneof![2 => 0..8_usize, 1 => 8..14_usize];
    (key, weight, max, advisory).prop_map(|(key, weight, max, advisory)| Wish {
        key,
        weight,
        max,
        advisory,
    })
}

fn wishes() -> impl Strategy<Value = Vec<Wish>> {
    prop::collection::vec(wish(), 1..4).prop_map(|mut wishes| {
        let mut seen = HashSet::new();
        // One call has one value of a bounded scope, and no key twice.
        wishes.retain(|wish| {
            seen.insert(match wish.key {
                4..=7 => 4,
                10..=13 => 10,
                key => key,
            })
        });
        wishes
    })
}

fn step(window: u64) -> impl Strategy<Value = Step> {
    let length = i64::try_from(window).unwrap();
    let calls = (
        wishes(),
        prop_oneof![6 => Just(1), 2 => 2..9_u32, 1 => 100..200_u32],
        0..window / 60 + 2,
    );
    prop_oneof![
        4 => (0..length / 4 + 2).prop_map(Step::Clock),
        2 => (length - 1..length + 3).prop_map(Step::Clock),
        1 => (-length..0).prop_map(Step::Clock),
        10 => (calls, prop::bool::weighted(0.1))
            .prop_map(|((wishes, times, every), peek)| Step::Calls { wishes, times, every, peek }),
        1 => (wishes(), -2..3_i64).prop_map(|(wishes, by)| Step::Late { wishes, by }),
        2 => (0..200_usize).prop_map(Step::Resend),
        2 => (0..60_usize).prop_map(Step::Refund),
        2 => (0..12_usize).prop_map(Step::Release),
        3 => (0..12_usize).prop_map(Step::Renew),
    ]
}

/// Steady demand above a `max` that is large enough for merging, over more than one window, then bursts:
/// whatever a slot gives back too early is taken at once.
fn demand(window: u64) -> impl Strategy<Value = Vec<Step>> {
    (
        0..3_usize,
        129..200_u64,
        250..350_u32,
        window / 250 + 1..window / 150 + 2,
    )
        .prop_map(|(key, max, times, every)| {
            let wishes = vec![Wish {
                key,
                weight: 1,
                max,
                advisory: false,
            }];
            let calls = |times, every| Step::Calls {
                wishes: wishes.clone(),
                times,
                every,
                peek: false,
            };
            let on = i64::try_from(every).unwrap();
            let bursts = (0..4).flat_map(|_| [Step::Clock(on), calls(4, 0)]);
            [calls(times, every)].into_iter().chain(bursts).collect()
        })
}

/// Calls that run beside each other, end and are renewed, around the lengths of their leases.
fn in_flight(window: u64) -> impl Strategy<Value = Vec<Step>> {
    let length = i64::try_from(window).unwrap();
    let call = (8..10_usize, 1..4_u64).prop_map(|(key, max)| Step::Calls {
        wishes: vec![Wish {
            key,
            weight: 1,
            max,
            advisory: false,
        }],
        times: 1,
        every: 0,
        peek: false,
    });
    let step = prop_oneof![
        4 => call,
        2 => (0..length / 3 + 2).prop_map(Step::Clock),
        1 => (length / 3..length / 3 + 3).prop_map(Step::Clock),
        1 => (-length / 3 - 1..0).prop_map(Step::Clock),
        3 => (0..4_usize).prop_map(Step::Renew),
        1 => (0..4_usize).prop_map(Step::Release),
    ];
    prop::collection::vec(step, 10..40)
}

pub fn case() -> impl Strategy<Value = Case> {
    let window = prop_oneof![
        1..70_u64,
        200..2_000_u64,
        Just(60_000),
        Just(86_400_000),
        Just(4_294_967_296)
    ];
    window.prop_flat_map(|window| {
        let steps = prop::collection::vec(step(window), 1..40);
        let demand = prop::option::weighted(0.12, demand(window));
        let in_flight = prop::option::weighted(0.2, in_flight(window));
        (demand, steps, in_flight).prop_map(move |(demand, mut steps, in_flight)| {
            steps.splice(0..0, demand.into_iter().flatten());
            steps.extend(in_flight.into_iter().flatten());
            Case { window, steps }
        })
    })
}
