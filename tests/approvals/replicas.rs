//! Several replicas over one real Redis.

use std::time::Duration;

use toolgate::approvals::{Approval, ApprovalId, Approvals, Asked, Consumed, Decided, Request, State};
use toolgate::counters::{Place, RedisOptions, Store};

use crate::support::redis::RedisServer;

const KEY: &[u8] = b"a key that the store never holds";
const EXPIRES: Duration = Duration::from_secs(600);

pub fn replica_with(server: &RedisServer, key: &[u8], expires: Duration) -> Approvals {
    let place = Place::Single(server.url());
    let options = RedisOptions {
        deadline: Duration::from_secs(5),
        ..RedisOptions::new(place, "toolgate")
    };
    let Store::Redis(store) = Store::redis(options).unwrap() else {
        panic!("not in Redis");
    };
    Approvals::in_redis(store, key, expires).unwrap()
}

fn replica(server: &RedisServer) -> Approvals {
    replica_with(server, KEY, EXPIRES)
}

fn request(call: &str, needed: u32) -> Request {
    Request {
        grant: "ci".into(),
        identity: "identity".into(),
        server: "s".into(),
        tool: "refund".into(),
        arguments: Some(format!(r#"{{"card":"{call}"}}"#)),
        digest: format!("digest {call}"),
        needed,
    }
}

async fn asked(by: &Approvals, request: &Request) -> (Approval, bool) {
    match by.ask(request).await.unwrap() {
        Asked::Stands { approval, opened } => (*approval, opened),
        Asked::Full => panic!("as many wait as may"),
    }
}

async fn approve(by: &Approvals, of: &Approval) {
    let decided = by.decide(&of.id, &of.digest, true, "ann", "").await.unwrap();
    assert!(matches!(decided, Decided::Done(_)), "{decided:?}");
}

async fn state(by: &Approvals, id: ApprovalId) -> Option<State> {
    by.get(&id).await.unwrap().map(|known| known.state)
}

#[tokio::test]
async fn what_one_replica_asks_another_decides_and_a_third_runs() {
    let server = RedisServer::start();
    let [one, two, three] = [replica(&server), replica(&server), replica(&server)];
    let (approval, opened) = asked(&one, &request("1", 1)).await;
    assert!(opened);
    let (joined, opened) = asked(&three, &request("1", 1)).await;
    assert_eq!((joined.id, opened), (approval.id, false));
    let known = two.get(&approval.id).await.unwrap().unwrap();
    assert_eq!(known.arguments.as_deref(), Some(r#"{"card":"1"}"#));
    approve(&two, &known).await;
    let consumed = three.consume(approval.id, &approval.digest).await.unwrap();
    assert!(matches!(consumed, Consumed::Yes(_)));
    assert_eq!(state(&one, approval.id).await, Some(State::Consumed));
}

#[tokio::test]
async fn of_many_replicas_one_alone_uses_an_approval_up() {
    let server = RedisServer::start();
    let replicas: Vec<Approvals> = (0..8).map(|_| replica(&server)).collect();
    for round in 0..20 {
        let (approval, _) = asked(&replicas[0], &request(&round.to_string(), 1)).await;
        approve(&replicas[1], &approval).await;
        let mut tries = tokio::task::JoinSet::new();
        for replica in replicas.clone() {
            let (id, digest) = (approval.id, approval.digest.clone());
            tries.spawn(async move { replica.consume(id, &digest).await.unwrap() });
        }
        let results = tries.join_all().await;
        let won = results.iter().filter(|result| matches!(result, Consumed::Yes(_)));
        assert_eq!(won.count(), 1, "round {round}: {results:?}");
    }
}

#[tokio::test]
async fn of_a_yes_and_a_no_at_once_one_alone_counts_and_the_call_runs_accordingly() {
    let server = RedisServer::start();
    let (one, two) = (replica(&server), replica(&server));
    for round in 0..30 {
        let (approval, _) = asked(&one, &request(&round.to_string(), 1)).await;
        let (id, digest) = (&approval.id, approval.digest.as_str());
        let (yes, no) = tokio::join!(
            one.decide(id, digest, true, "ann", "fine"),
            two.decide(id, digest, false, "bob", "no"),
        );
        let (yes, no) = (yes.unwrap(), no.unwrap());
        let won = match (&yes, &no) {
            (Decided::Done(_), Decided::NotPending(State::Approved)) => true,
            (Decided::NotPending(State::Denied), Decided::Done(_)) => false,
            odd => panic!("{odd:?}"),
        };
        let runs = two.consume(approval.id, digest).await.unwrap();
        assert_eq!(matches!(runs, Consumed::Yes(_)), won, "round {round}");
    }
}

#[tokio::test]
async fn calls_at_once_open_one_request() {
    let server = RedisServer::start();
    let replicas: Vec<Approvals> = (0..8).map(|_| replica(&server)).collect();
    let mut calls = tokio::task::JoinSet::new();
    for replica in replicas {
        calls.spawn(async move { asked(&replica, &request("same", 1)).await });
    }
    let results = calls.join_all().await;
    assert_eq!(results.iter().filter(|(_, opened)| *opened).count(), 1);
    let first = results[0].0.id;
    assert!(results.iter().all(|(approval, _)| approval.id == first));
}

#[tokio::test]
async fn the_store_holds_no_argument_in_clear_and_none_once_the_request_ended() {
    let server = RedisServer::start();
    let replica = replica(&server);
    let card = Request {
        digest: replica.digest(&[b"4242-4242"]).unwrap(),
        ..request("4242-4242", 1)
    };
    let (approval, _) = asked(&replica, &card).await;
    let mut connection = server.connection();
    let mut values = || -> Vec<(String, Vec<u8>)> {
        let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut connection).unwrap();
        let text = keys
            .into_iter()
            .filter(|key| key.contains(":record:") || key.contains(":arguments:"));
        text.map(|key| {
            let value = redis::cmd("GET").arg(&key).query(&mut connection).unwrap();
            (key, value)
        })
        .collect()
    };
    let open = values();
    assert_eq!(open.len(), 2);
    assert!(
        !open
            .iter()
            .any(|(_, value)| value.windows(4).any(|part| part == b"4242"))
    );
    replica
        .decide(&approval.id, &approval.digest, false, "ann", "no")
        .await
        .unwrap();
    let ended = values();
    assert!(ended.len() == 1 && ended[0].0.contains(":record:"), "{ended:?}");
}

/// What an attacker who can write to the store can put there, here and in the test behind it.
#[tokio::test]
async fn a_record_that_no_replica_made_counts_for_nothing() {
    let server = RedisServer::start();
    let replica = replica(&server);
    let foreign = replica_with(&server, b"another key, which the attacker has", EXPIRES);
    let mut connection = server.connection();
    let names = toolgate::approvals::wire::Names::new("toolgate");

    // a pending record that now says that it is approved
    let (first, _) = asked(&replica, &request("1", 1)).await;
    let key = names.record(first.id);
    let record: Vec<u8> = redis::cmd("GET").arg(&key).query(&mut connection).unwrap();
    let text = String::from_utf8_lossy(&record).into_owned();
    assert!(text.contains(r#""state":"pending""#));
    let place = record
        .windows(9)
        .position(|part| part == br#""pending""#)
        .unwrap();
    let mut forged = record.clone();
    forged.splice(place..place + 9, br#""approved""#.iter().copied());
    let _: () = redis::cmd("SET")
        .arg(&key)
        .arg(&forged)
        .query(&mut connection)
        .unwrap();
    assert_eq!(
        replica.consume(first.id, &first.digest).await.unwrap(),
        Consumed::No(None)
    );
    assert_eq!(replica.get(&first.id).await.unwrap(), None);
    let (again, opened) = asked(&replica, &request("1", 1)).await;
    assert!(opened && again.id != first.id, "it is asked anew");

    // a whole approval, made with another key
    let (theirs, _) = asked(&foreign, &request("2", 1)).await;
    approve(&foreign, &theirs).await;
    assert_eq!(
        replica.consume(theirs.id, &theirs.digest).await.unwrap(),
        Consumed::No(None)
    );
}

#[tokio::test]
async fn a_good_record_counts_under_its_own_id_and_until_it_is_used_up() {
    let server = RedisServer::start();
    let replica = replica(&server);
    let mut connection = server.connection();
    let names = toolgate::approvals::wire::Names::new("toolgate");

    // a good approval, under the id of another call's request
    let (good, _) = asked(&replica, &request("3", 1)).await;
    approve(&replica, &good).await;
    let (wanted, _) = asked(&replica, &request("4", 1)).await;
    let copy: Vec<u8> = redis::cmd("GET")
        .arg(names.record(good.id))
        .query(&mut connection)
        .unwrap();
    let _: () = redis::cmd("SET")
        .arg(names.record(wanted.id))
        .arg(&copy)
        .query(&mut connection)
        .unwrap();
    assert_eq!(
        replica.consume(wanted.id, &wanted.digest).await.unwrap(),
        Consumed::No(None)
    );

    // a good approval that was used up, as it was before
    let consumed = replica.consume(good.id, &good.digest).await.unwrap();
    assert!(matches!(consumed, Consumed::Yes(_)));
    let _: () = redis::cmd("SET")
        .arg(names.record(good.id))
        .arg(&copy)
        .query(&mut connection)
        .unwrap();
    assert_eq!(
        replica.consume(good.id, &good.digest).await.unwrap(),
        Consumed::No(Some(State::Consumed))
    );
}

async fn after_a_restart(keeps: bool) {
    let args: &[&str] = if keeps {
        &["--appendonly", "yes", "--appendfsync", "always"]
    } else {
        &[]
    };
    let mut server = RedisServer::start_with(args);
    let replica = replica(&server);
    let (approved, _) = asked(&replica, &request("1", 1)).await;
    approve(&replica, &approved).await;
    let (waits, _) = asked(&replica, &request("2", 1)).await;
    server.restart();
    let size = crate::support::wait::until("it has read what it kept", || async {
        redis::cmd("DBSIZE").query::<usize>(&mut server.connection()).ok()
    })
    .await;
    assert_eq!(size > 0, keeps);
    // it may not be known yet that the connection is gone
    let consumed = crate::support::wait::until("the store answers", || async {
        replica.consume(approved.id, &approved.digest).await.ok()
    })
    .await;
    assert_eq!(consumed, Consumed::No(None));
    assert_eq!(replica.get(&waits.id).await.unwrap(), None);
    let (again, opened) = asked(&replica, &request("1", 1)).await;
    assert!(opened && again.id != approved.id && again.state == State::Pending);
    approve(&replica, &again).await;
    let consumed = replica.consume(again.id, &again.digest).await.unwrap();
    assert!(matches!(consumed, Consumed::Yes(_)));
}

#[tokio::test]
async fn what_a_store_lost_is_asked_about_again() {
    after_a_restart(false).await;
}

/// It may have missed the last things that were written, and an approval that was used up be one of them.
#[tokio::test]
async fn what_a_store_kept_over_a_restart_is_asked_about_again() {
    after_a_restart(true).await;
}

#[tokio::test]
async fn what_another_replica_changes_is_noticed() {
    let server = RedisServer::start();
    let (one, two) = (replica(&server), replica(&server));
    let mut changes = one.changes();
    let following = tokio::spawn({
        let one = one.clone();
        async move { one.follow().await }
    });
    // what is there already is the first tick
    asked(&two, &request("0", 1)).await;
    tokio::time::timeout(crate::support::wait::PATIENCE, changes.changed())
        .await
        .unwrap()
        .unwrap();
    let (approval, _) = asked(&two, &request("1", 1)).await;
    tokio::time::timeout(crate::support::wait::PATIENCE, changes.changed())
        .await
        .unwrap()
        .unwrap();
    approve(&two, &approval).await;
    tokio::time::timeout(crate::support::wait::PATIENCE, changes.changed())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(state(&one, approval.id).await, Some(State::Approved));
    following.abort();
}

#[tokio::test]
async fn time_ends_a_request_and_one_replica_alone_says_so() {
    let server = RedisServer::start();
    let short = Duration::from_millis(300);
    let replicas = [
        replica_with(&server, KEY, short),
        replica_with(&server, KEY, short),
    ];
    let (approval, _) = asked(&replicas[0], &request("1", 1)).await;
    crate::support::wait::until("it expires", || async {
        (state(&replicas[0], approval.id).await == Some(State::Expired)).then_some(())
    })
    .await;
    let decided = replicas[1].decide(&approval.id, &approval.digest, true, "ann", "");
    assert_eq!(decided.await.unwrap(), Decided::NotPending(State::Expired));
    let (one, two) = tokio::join!(replicas[0].expire(), replicas[1].expire());
    assert_eq!(one.unwrap().len() + two.unwrap().len(), 1);
}
