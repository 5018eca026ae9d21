use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::jwk::read_set;
use super::*;
use crate::settings::Algorithm;

/// A set with these names; the keys themselves verify nothing here.
fn set(kids: &[&str]) -> Vec<u8> {
    let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let key = |kid: &&str| format!(r#"{{"kty":"OKP","crv":"Ed25519","kid":"{kid}","x":"{x}"}}"#);
    let keys: Vec<String> = kids.iter().map(key).collect();
    format!(r#"{{"keys":[{}]}}"#, keys.join(",")).into_bytes()
}

/// A place whose answers are given by the test, one permit each.
struct Place {
    answer: Mutex<Result<Vec<u8>, String>>,
    may: Semaphore,
    asked: AtomicUsize,
}

fn place(permits: usize) -> Arc<Place> {
    Arc::new(Place {
        answer: Mutex::new(Ok(set(&["a"]))),
        may: Semaphore::new(permits),
        asked: AtomicUsize::new(0),
    })
}

fn keys(place: &Arc<Place>, pace: Pace) -> Arc<Keys> {
    let place = Arc::clone(place);
    let fetch = Box::new(move || -> Fetched {
        let place = Arc::clone(&place);
        Box::pin(async move {
            place.asked.fetch_add(1, SeqCst);
            place.may.acquire().await.unwrap().forget();
            place.answer.lock().unwrap().clone()
        })
    });
    Keys::new("i", fetch, pace)
}

const OPEN: usize = 1_000;
/// Longer than any test.
const LONG: Duration = Duration::from_secs(3_600);

fn patient() -> Pace {
    Pace {
        wait: Duration::from_secs(30),
        ..Pace::default()
    }
}

async fn found(keys: &Arc<Keys>, kid: Option<&str>) -> Result<usize, NotVerified> {
    keys.find(kid, Algorithm::EdDSA).await.map(|keys| keys.len())
}

const UNKNOWN: Result<usize, NotVerified> = Err(NotVerified::Invalid("its issuer has no such key"));

#[tokio::test]
async fn keys_are_fetched_once_for_all_who_wait() {
    let place = place(0);
    let keys = keys(&place, patient());
    let asking = (0..50).map(|_| {
        let keys = Arc::clone(&keys);
        tokio::spawn(async move { found(&keys, Some("a")).await })
    });
    let asking: Vec<_> = asking.collect();
    while place.asked.load(SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    place.may.add_permits(OPEN);
    for asked in asking {
        assert_eq!(asked.await.unwrap(), Ok(1));
    }
    assert_eq!(place.asked.load(SeqCst), 1);
}

#[tokio::test]
async fn a_request_that_leaves_does_not_end_the_fetch_that_others_wait_for() {
    let place = place(0);
    let keys = keys(&place, patient());
    let leaving = tokio::spawn({
        let keys = Arc::clone(&keys);
        async move { found(&keys, Some("a")).await }
    });
    while place.asked.load(SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    leaving.abort();
    assert!(leaving.await.is_err());
    place.may.add_permits(OPEN);
    assert_eq!(found(&keys, Some("a")).await, Ok(1));
    assert_eq!(place.asked.load(SeqCst), 1);
}

#[tokio::test]
async fn an_unknown_kid_fetches_once_in_its_time_and_a_rotated_key_is_found_by_it() {
    let place = place(OPEN);
    let keys = keys(&place, patient());
    assert_eq!(found(&keys, Some("a")).await, Ok(1));
    *place.answer.lock().unwrap() = Ok(set(&["b"]));
    assert_eq!(found(&keys, Some("b")).await, Ok(1));
    assert_eq!(found(&keys, Some("a")).await, UNKNOWN);
    for number in 0..100 {
        assert_eq!(found(&keys, Some(&format!("x{number}"))).await, UNKNOWN);
    }
    assert_eq!(place.asked.load(SeqCst), 2);
}

#[tokio::test]
async fn once_the_time_is_over_an_unknown_kid_fetches_again() {
    let place = place(OPEN);
    let unknown = Duration::ZERO;
    let keys = keys(&place, Pace { unknown, ..patient() });
    for _ in 0..3 {
        assert_eq!(found(&keys, Some("x")).await, UNKNOWN);
    }
    // the first found no keys at all
    assert_eq!(place.asked.load(SeqCst), 3);
}

#[tokio::test]
async fn a_request_waits_no_longer_than_it_may_and_is_answered_once_the_keys_are_there() {
    let place = place(0);
    let wait = Duration::from_millis(20);
    let retry = LONG;
    let keys = keys(
        &place,
        Pace {
            wait,
            retry,
            ..Pace::default()
        },
    );
    assert_eq!(found(&keys, Some("a")).await, Err(NotVerified::NoKeys));
    place.may.add_permits(OPEN);
    while found(&keys, Some("a")).await != Ok(1) {
        tokio::task::yield_now().await;
    }
    assert_eq!(place.asked.load(SeqCst), 1);
}

#[tokio::test]
async fn keys_that_are_known_stay_while_the_issuer_is_down_or_talks_nonsense() {
    let place = place(OPEN);
    let keys = keys(
        &place,
        Pace {
            unknown: Duration::ZERO,
            ..patient()
        },
    );
    assert_eq!(found(&keys, Some("a")).await, Ok(1));
    let endless: Vec<u8> = set(&(0..101).map(|_| "k").collect::<Vec<_>>());
    for bad in [
        Err("down".to_owned()),
        Ok(b"<html>".to_vec()),
        Ok(b"{\"keys\":[]}".to_vec()),
        Ok(b"{\"keys\":[],\"keys\":[]}".to_vec()),
        Ok(endless),
    ] {
        *place.answer.lock().unwrap() = bad;
        assert_eq!(found(&keys, Some("x")).await, UNKNOWN);
        assert_eq!(found(&keys, Some("a")).await, Ok(1));
    }
    assert_eq!(place.asked.load(SeqCst), 6);
}

#[tokio::test]
async fn keys_are_not_used_for_ever() {
    let place = place(OPEN);
    let keep = Duration::ZERO;
    let keys = keys(
        &place,
        Pace {
            keep,
            retry: LONG,
            ..patient()
        },
    );
    assert_eq!(found(&keys, Some("a")).await, Err(NotVerified::NoKeys));
    assert_eq!(place.asked.load(SeqCst), 1);
}

#[tokio::test]
async fn a_token_without_a_kid_is_for_the_only_key_that_fits() {
    let place = place(OPEN);
    let keys = keys(
        &place,
        Pace {
            unknown: Duration::ZERO,
            ..patient()
        },
    );
    assert_eq!(found(&keys, None).await, Ok(1));
    *place.answer.lock().unwrap() = Ok(set(&["a", "b"]));
    assert_eq!(found(&keys, Some("b")).await, Ok(1));
    let two = Err(NotVerified::Invalid(
        "it does not say which key it is signed with",
    ));
    assert_eq!(found(&keys, None).await, two);
    assert_eq!(
        keys.find(None, Algorithm::RS256).await.map(|keys| keys.len()),
        UNKNOWN
    );
}

#[test]
fn only_keys_for_signatures_of_known_kinds_are_taken() {
    let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let taken = |more: &str| {
        let text = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","x":"{x}"{more}}}]}}"#);
        read_set(text.as_bytes()).is_ok()
    };
    for good in [
        "",
        r#","use":"sig""#,
        r#","alg":"EdDSA""#,
        r#","key_ops":["verify"]"#,
        r#","x5c":[1]"#,
    ] {
        assert!(taken(good), "{good}");
    }
    for bad in [
        r#","use":"enc""#,
        r#","alg":"HS256""#,
        r#","alg":"none""#,
        r#","key_ops":["sign"]"#,
        r#","kid":7"#,
        r#","kid":"a","kid":"b""#,
    ] {
        assert!(!taken(bad), "{bad}");
    }
    for other in [
        r#"{"kty":"oct","k":"c2VjcmV0","kid":"a"}"#,
        r#"{"kty":"EC","crv":"P-521","x":"AA","y":"AA"}"#,
        r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#,
        r#"{"kty":"OKP","crv":"X25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
        r#"{"kty":"RSA","n":"AQAB"}"#,
        "7",
    ] {
        let text = format!(r#"{{"keys":[{other}]}}"#);
        assert!(read_set(text.as_bytes()).is_err(), "{other}");
        let beside = format!(r#"{{"keys":[{other},{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}]}}"#);
        assert_eq!(
            read_set(beside.as_bytes()).map(|keys| keys.len()),
            Ok(1),
            "{other}"
        );
    }
    let only = format!(r#"{{"keys":[{{"kty":"RSA","n":"{x}","e":"AQAB","alg":"RS256"}}]}}"#);
    let keys = read_set(only.as_bytes()).unwrap();
    assert!(
        keys[0].fits(Algorithm::RS256) && !keys[0].fits(Algorithm::PS256) && !keys[0].fits(Algorithm::ES256)
    );
}
