//! The check is checked: scripts broken on purpose must be found out.

use crate::properties::{Scripts, first_difference};

/// The text with one passage replaced, which must be there exactly once.
fn replaced(script: &str, from: &str, to: &str) -> String {
    assert_eq!(
        script.matches(from).count(),
        1,
        "`{from}` is not in the script once"
    );
    script.replace(from, to)
}

#[track_caller]
fn found(break_it: impl FnOnce(&mut Scripts)) {
    let mut scripts = Scripts::shipped();
    break_it(&mut scripts);
    assert!(
        first_difference(&scripts).is_some(),
        "nobody noticed the broken script"
    );
}

fn in_open(from: &str, to: &str) {
    found(|scripts| scripts.open = replaced(&scripts.open, from, to));
}

fn in_change(from: &str, to: &str) {
    found(|scripts| scripts.change = replaced(&scripts.change, from, to));
}

#[test]
fn a_change_of_what_somebody_else_changed_before_is_found() {
    in_change("if record ~= ARGV[4] then return {0, now} end", "");
}

#[test]
fn a_change_after_its_time_is_found() {
    in_change(" or now >= tonumber(ARGV[8])", "");
}

#[test]
fn a_change_on_another_server_is_found() {
    in_change("if run ~= ARGV[6] then return {4, now} end", "");
}

#[test]
fn keeping_the_arguments_of_an_ended_request_is_found() {
    in_change("  call('DEL', KEYS[2])\n", "");
}

#[test]
fn an_ended_request_that_stays_among_the_open_ones_is_found() {
    in_change("  call('ZREM', KEYS[4], id)\n", "");
}

#[test]
fn a_decided_request_that_still_takes_a_place_is_found() {
    in_change("if flags % 2 == 1 then call('ZREM', KEYS[3], id) end", "");
}

#[test]
fn a_second_request_for_one_call_is_found() {
    in_open("if last ~= ARGV[6] then return {0, now} end", "");
}

#[test]
fn more_than_may_wait_is_found() {
    in_open("waits >= tonumber(ARGV[10])", "waits > tonumber(ARGV[10])");
}

#[test]
fn an_expired_request_that_still_takes_a_place_is_found() {
    in_open(
        "call('ZCOUNT', KEYS[4], '(' .. now, '+inf')",
        "call('ZCARD', KEYS[4])",
    );
}

#[test]
fn arguments_that_are_shown_after_their_time_are_found() {
    found(|scripts| scripts.read = replaced(&scripts.read, "and now < unpk('>I6', value) ", ""));
}
