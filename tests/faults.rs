//! Real processes and real faults, and the checker of histories at the end of each run.
//!
//! Replicas are this same program: each drives the store client as the proxy does, and writes down what was admitted.
//! `make faults` runs every scene for `FAULTS_SECONDS` and adds a row for each to docs/guarantees.md; the tests that
//! always run are the same scenes, short.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test and its helpers a failed unwrap is a failed test"
)]

#[path = "support/child.rs"]
#[allow(dead_code, reason = "a part of it is used here")]
mod child;
#[path = "support/gate.rs"]
#[allow(dead_code, reason = "a part of it is used here")]
mod gate;
#[path = "faults/gates.rs"]
mod gates;
#[path = "faults/ground.rs"]
mod ground;
#[path = "support/http.rs"]
#[allow(dead_code, reason = "a part of it is used here")]
mod http;
#[path = "support/mcp.rs"]
#[allow(dead_code, reason = "a part of it is used here")]
mod mcp;
#[path = "support/redis_cluster.rs"]
mod redis_cluster;
#[path = "support/redis_sentinel.rs"]
mod redis_sentinel;
#[path = "support/redis.rs"]
mod redis_server;
#[path = "support/relay.rs"]
mod relay;
#[path = "faults/replica.rs"]
mod replica;
#[path = "faults/running.rs"]
mod running;
#[path = "faults/scene.rs"]
mod scene;
#[path = "faults/stage.rs"]
mod stage;
#[path = "faults/table.rs"]
mod table;
#[path = "support/wait.rs"]
mod wait;

use std::time::Duration;

use scene::Scene;

async fn short(scene: Scene) {
    let row = stage::run(scene, scene.short(), 3).await;
    row.assert_sound();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_faults_every_window_is_used_up_and_no_denial_is_needless() {
    short(Scene::Calm).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_are_killed_and_started_never_open_a_window() {
    short(Scene::Replicas).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_frozen_never_opens_a_window() {
    short(Scene::Frozen).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_killed_and_keeps_its_log_never_opens_a_window() {
    short(Scene::Killed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_and_connections_that_are_taken_away_never_open_a_window() {
    short(Scene::Forgetful).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wire_that_is_cut_stalled_slowed_and_half_closed_never_opens_a_window() {
    short(Scene::Wire).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_out_of_memory_never_opens_a_window() {
    short(Scene::Memory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_whose_clock_jumps_ahead_never_opens_a_window() {
    short(Scene::ClockAhead).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_whose_clock_is_set_back_never_opens_a_window() {
    short(Scene::ClockBack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_with_other_clocks_never_open_a_window() {
    short(Scene::ReplicaClocks).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_whose_clocks_are_set_never_open_a_window() {
    short(Scene::ReplicaSteps).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_are_stopped_and_go_on_never_open_a_window() {
    short(Scene::Stopped).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_lagged_and_is_promoted_never_opens_a_window() {
    short(Scene::Promotion).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_promoted_replica_lacks_is_charged_again_and_never_opens_a_window() {
    short(Scene::Restored).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_a_sentinel_replaces_never_opens_a_window() {
    short(Scene::Sentinel).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_that_move_never_open_a_window() {
    short(Scene::Migration).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gates_that_are_killed_and_stopped_never_open_a_window() {
    short(Scene::Gates).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slot_groups_in_turn_under_every_fault_never_open_a_window() {
    short(Scene::Everything).await;
}

/// Every scene, long; for `make faults`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: make faults"]
async fn long() {
    let length = Duration::from_secs(table::setting("FAULTS_SECONDS", 60));
    let wanted = table::word("FAULTS_SCENE");
    let scenes = Scene::ALL.into_iter();
    for scene in scenes.filter(|scene| wanted.is_empty() || format!("{scene:?}") == wanted) {
        let row = stage::run(scene, length, scene.replicas()).await;
        table::add(&row);
        row.assert_sound();
    }
}
