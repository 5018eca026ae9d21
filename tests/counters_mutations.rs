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
const CASES: usize = 200;

/// Whether brute force has this complaint (empty: any) over the cases, the same for every script.
fn complains(admit: &str, renew: &str, complaint: &str) -> bool {
    let server = RedisServer::start();
    let mut rig = Rig::with(server.connection(), admit, renew);
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
    broken_of(wire::ADMIT, from, to)
}

fn broken_of(script: &str, from: &str, to: &str) -> String {
    assert_eq!(
        script.matches(from).count(),
        1,
        "`{from}` is not in the script once"
    );
    script.replace(from, to)
}

#[track_caller]
fn assert_found(script: &str, complaint: &str) {
    assert!(
        complains(script, wire::RENEW, complaint),
        "the property suite did not notice the broken script"
    );
}

#[track_caller]
fn assert_found_in_renew(from: &str, to: &str, complaint: &str) {
    let renew = broken_of(wire::RENEW, from, to);
    assert!(
        complains(wire::ADMIT, &renew, complaint),
        "the property suite did not notice the broken script"
    );
}

#[test]
fn the_shipped_script_holds_over_the_same_cases() {
    assert!(!complains(wire::ADMIT, wire::RENEW, ""));
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

#[test]
fn a_lease_that_lapses_one_millisecond_early_is_found() {
    assert_found(
        &broken("ttl, a, cut = a, 0, moment", "ttl, a, cut = a, 0, moment + 1"),
        "retry after",
    );
}

#[test]
fn leases_of_two_lengths_that_lose_their_order_are_found() {
    assert_found(&broken("do place = place - 14 end", "do break end"), "");
}

#[test]
fn renewing_a_lease_that_has_lapsed_is_found() {
    assert_found_in_renew("if held < moment then return nil end", "", "renewal of");
}

#[test]
fn a_renewal_that_extends_nothing_is_found() {
    assert_found_in_renew("math.max(held, moment + ttl)", "held", "");
}

#[test]
fn a_renewal_that_shortens_a_lease_is_found() {
    assert_found_in_renew("math.max(held, moment + ttl)", "moment + 1", "");
}
