//! The script against the model and against brute force, on random steps, in a real Redis.
#![cfg(test)]

#[path = "support/redis.rs"]
mod redis_server;
#[path = "support/script.rs"]
mod script;
#[path = "support/world.rs"]
mod world;

use std::cell::{Cell, RefCell};

use proptest::test_runner::{Config, TestRunner};
use redis_server::RedisServer;
use script::Rig;

fn run(cases: u32, with_model: bool) {
    let server = RedisServer::start();
    let rig = RefCell::new(Rig::new(server.connection()));
    let number = Cell::new(0_u32);
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    });
    let result = runner.run(&world::case(), |case| {
        number.set(number.get() + 1);
        let found = world::judge(
            &mut rig.borrow_mut(),
            with_model,
            &format!("p{}", number.get()),
            &case,
        );
        found.map_err(proptest::test_runner::TestCaseError::fail)
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn the_script_and_the_model_give_the_same_reply_at_every_step() {
    run(cases(120), true);
}

#[test]
fn no_sequence_breaks_a_window_and_no_denial_is_needless_or_leaves_a_trace() {
    run(cases(80), false);
}

/// `PROPTEST_CASES` asks for more, in a long run.
#[expect(
    clippy::disallowed_methods,
    reason = "how long a test runs is no setting of toolgate"
)]
fn cases(usual: u32) -> u32 {
    std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(usual)
}
