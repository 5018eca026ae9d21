//! The check is checked: scripts broken on purpose must be found out by the property suite.
#![cfg(test)]

#[path = "support/redis.rs"]
mod redis_server;
#[path = "support/script.rs"]
mod script;
#[path = "support/world.rs"]
mod world;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, TestRng, TestRunner};
use redis_server::RedisServer;
use script::Rig;
use toolgate::counters::wire;

/// Cases within which a broken script must be found; the sound one passes them all.
const CASES: usize = 100;

/// Whether brute force has this complaint (empty: any) over the cases, the same for every script.
fn complains(admit: &str, complaint: &str) -> bool {
    let server = RedisServer::start();
    let mut rig = Rig::with_admit(server.connection(), admit);
    let rng = TestRng::from_seed(proptest::test_runner::RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    (0..CASES).any(|number| {
        let case = world::case().new_tree(&mut runner).unwrap().current();
        let found = world::judge(&mut rig, false, &format!("m{number}"), &case);
        found.is_err_and(|found| found.contains(complaint))
    })
}

/// The shipped script with one passage replaced, which must be there exactly once.
fn broken(from: &str, to: &str) -> String {
    assert_eq!(
        wire::ADMIT.matches(from).count(),
        1,
        "`{from}` is not in admit.lua once"
    );
    wire::ADMIT.replace(from, to)
}

#[track_caller]
fn assert_found(script: &str, complaint: &str) {
    assert!(
        complains(script, complaint),
        "the property suite did not notice the broken script"
    );
}

#[test]
fn the_shipped_script_holds_over_the_same_cases() {
    assert!(!complains(wire::ADMIT, ""));
}

#[test]
fn a_fixed_window_is_found() {
    assert_found(
        &broken("cut = moment - a\n", "cut = moment - moment % a\n"),
        "admitted ",
    );
}

#[test]
fn a_window_one_millisecond_too_short_is_found() {
    assert_found(
        &broken("cut = moment - a\n", "cut = moment - a + 1\n"),
        "retry after",
    );
}

#[test]
fn a_script_without_ids_is_found() {
    assert_found(&broken("if place then held = true end", ""), "charged twice");
}

#[test]
fn forgetting_that_ids_were_merged_away_is_found() {
    assert_found(&broken("and first_sent > lost then", "then"), "charged twice");
}

#[test]
fn a_script_without_the_late_guard_is_found() {
    assert_found(
        &broken("if deadline > 0 and now > deadline then return {4, now} end", ""),
        "late guard",
    );
}

#[test]
fn merging_at_the_earliest_instead_of_the_latest_charge_is_found() {
    let earliest = broken(
        "last, sum = time, sum + units",
        "if sum == 0 then last = time end sum = sum + units",
    );
    assert_found(&earliest, "admitted ");
}

#[test]
fn a_clock_that_steps_back_and_reopens_a_window_is_found() {
    assert_found(&broken("if high > now then moment = high end", ""), "admitted ");
}

#[test]
fn charging_although_another_charge_denies_is_found() {
    assert_found(
        &broken("if denied then return reply end", "if denied then flags = 0 end"),
        "does not fit",
    );
}

#[test]
fn an_own_key_that_forgets_the_overflow_key_is_found() {
    assert_found(
        &broken("      value = over\n", "      value = nil\n"),
        "admitted ",
    );
}

#[test]
fn a_retry_time_one_millisecond_late_is_found() {
    assert_found(
        &broken("% mod + a + 1 - now\n    end", "% mod + a + 2 - now\n    end"),
        "retry after",
    );
}
