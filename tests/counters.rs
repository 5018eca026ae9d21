//! One behaviour suite, run over every store.
#![cfg(test)]

#[path = "support/charges.rs"]
mod charges;
#[path = "support/redis_cluster.rs"]
mod redis_cluster;
#[path = "support/redis_sentinel.rs"]
mod redis_sentinel;
#[path = "support/redis.rs"]
mod redis_server;
#[path = "support/stores.rs"]
mod stores;

use std::sync::Arc;
use std::time::Duration;

use charges::{HOUR, admit, call, global, grant, grant_of, limit, peek};
use redis_server::RedisServer;
use stores::{PATIENT, stores};
use toolgate::counters::command::Span;
use toolgate::counters::history::{Event, Judge, Options, Wanted, What};
use toolgate::counters::{ChargeState, Fit, Place, RedisOptions, RedisTls, Store, Verdict};
use toolgate::policy::{Charge, Limit, Scope, Subject, Unit, Window};

fn session(id: &str, max: u64, max_values: u32) -> Charge {
    let limit = Limit {
        max_values: Some(max_values),
        ..limit("calls", max, HOUR, Scope::Session)
    };
    let session = Some(id.to_owned());
    let subject = Subject::Session {
        grant: "ci".into(),
        server: "s".into(),
        session,
    };
    Charge {
        limit: Arc::new(limit),
        weight: 1,
        subject,
    }
}

fn customer(digest: &str, max: u64) -> Charge {
    let limit = Limit {
        max_values: Some(9),
        ..limit("refunds", max, HOUR, Scope::Argument)
    };
    let subject = Subject::Argument {
        grant: "ci".into(),
        path: "customer.id".into(),
        digest: digest.into(),
    };
    Charge {
        limit: Arc::new(limit),
        weight: 1,
        subject,
    }
}

#[tokio::test]
async fn a_limit_admits_exactly_max_calls() {
    let (stores, _server) = stores();
    for store in stores {
        for left in [2, 1, 0] {
            assert_eq!(admit(&store, &[grant("c", 3)]).await, Ok(vec![left]));
        }
        assert_eq!(admit(&store, &[grant("c", 3)]).await, Err(0));
    }
}

#[tokio::test]
async fn a_call_without_charges_is_admitted_without_the_store() {
    let nowhere = RedisOptions {
        deadline: PATIENT,
        connections: 1,
        ..RedisOptions::single("redis://127.0.0.1:1/", "t")
    };
    let store = Store::redis(nowhere).unwrap();
    assert_eq!(admit(&store, &[]).await, Ok(vec![]));
}

#[tokio::test]
async fn a_denied_call_charges_nothing_on_any_of_its_counters() {
    let (stores, _server) = stores();
    for store in stores {
        assert_eq!(
            admit(&store, &[grant("narrow", 1), grant("wide", 9)]).await,
            Ok(vec![0, 8])
        );
        assert_eq!(
            admit(&store, &[grant("wide", 9), grant("narrow", 1)]).await,
            Err(1)
        );
        assert_eq!(peek(&store, &[grant("wide", 9)]).await, Ok(vec![8]));
    }
}

#[tokio::test]
async fn a_wider_scope_that_denies_gives_the_narrower_charge_back() {
    let (stores, _server) = stores();
    for store in stores {
        assert_eq!(
            admit(&store, &[global("all", 1), grant("own", 9)]).await,
            Ok(vec![0, 8])
        );
        assert_eq!(admit(&store, &[grant("own", 9), global("all", 1)]).await, Err(1));
        assert_eq!(peek(&store, &[grant("own", 9)]).await, Ok(vec![8]));
    }
}

#[tokio::test]
async fn a_narrower_scope_that_denies_leaves_the_wider_one_alone() {
    let (stores, _server) = stores();
    for store in stores {
        assert_eq!(
            admit(&store, &[global("all", 9), grant("own", 1)]).await,
            Ok(vec![8, 0])
        );
        assert_eq!(admit(&store, &[global("all", 9), grant("own", 1)]).await, Err(1));
        assert_eq!(peek(&store, &[global("all", 9)]).await, Ok(vec![8]));
    }
}

#[tokio::test]
async fn a_denial_tells_when_the_whole_call_would_fit() {
    let (stores, _server) = stores();
    let short = || grant_of(limit("short", 1, Window::Sliding { ms: 60_000 }, Scope::Grant), 1);
    for store in stores {
        assert!(admit(&store, &[short(), global("all", 1)]).await.is_ok());
        let denied = store.admit(&call(&[short(), global("all", 1)])).await.unwrap();
        let Verdict::Limited {
            charge: 0,
            retry_after_ms: Some(retry),
            states,
            ..
        } = denied
        else {
            panic!("{denied:?}")
        };
        // Both are full; the global one frees last.
        assert!((3_500_000..=3_600_001).contains(&retry), "{retry}");
        assert_eq!(states[0].left, 0);
        assert!((50_000..=60_001).contains(&states[0].frees_ms), "{states:?}");
    }
}

#[tokio::test]
async fn a_charge_above_max_never_fits() {
    let (stores, _server) = stores();
    for store in stores {
        let spend = grant_of(limit("spend", 100, HOUR, Scope::Grant), 101);
        let denied = store.admit(&call(&[spend])).await.unwrap();
        assert!(
            matches!(
                denied,
                Verdict::Limited {
                    charge: 0,
                    retry_after_ms: None,
                    ..
                }
            ),
            "{denied:?}"
        );
    }
}

#[tokio::test]
async fn a_window_frees_its_units_when_it_is_over() {
    let (stores, _server) = stores();
    let short = || {
        [grant_of(
            limit("short", 1, Window::Sliding { ms: 60 }, Scope::Grant),
            1,
        )]
    };
    for store in stores {
        assert_eq!(admit(&store, &short()).await, Ok(vec![0]));
        let denied = store.admit(&call(&short())).await.unwrap();
        if let Verdict::Limited { retry_after_ms, .. } = denied {
            tokio::time::sleep(Duration::from_millis(retry_after_ms.unwrap() + 2)).await;
        }
        assert_eq!(admit(&store, &short()).await, Ok(vec![0]));
    }
}

#[tokio::test]
async fn a_refund_gives_back_one_calls_charges_at_most_once() {
    let (stores, _server) = stores();
    for store in stores {
        let charges = [grant("a", 5), global("b", 5)];
        let verdict = store.admit(&call(&charges)).await.unwrap();
        let Verdict::Admitted { receipt, .. } = verdict else {
            panic!("{verdict:?}")
        };
        assert!(admit(&store, &charges).await.is_ok());
        assert!(store.refund(&receipt).await.unwrap());
        assert!(!store.refund(&receipt).await.unwrap());
        assert_eq!(peek(&store, &charges).await, Ok(vec![4, 4]));
    }
}

#[tokio::test]
async fn the_same_counter_twice_in_a_call_is_charged_once_against_the_smaller_max() {
    let (stores, _server) = stores();
    for store in stores {
        let both = [grant("c", 9), grant("c", 2)];
        assert_eq!(admit(&store, &both).await, Ok(vec![1, 1]));
        assert_eq!(admit(&store, &both).await, Ok(vec![0, 0]));
        assert_eq!(admit(&store, &both).await, Err(1));
        assert_eq!(peek(&store, &[grant("c", 9)]).await, Ok(vec![7]));
    }
}

#[tokio::test]
async fn the_same_counter_with_two_weights_in_a_call_is_refused() {
    let (stores, _server) = stores();
    for store in stores {
        let two = [grant("c", 9), grant_of(limit("c", 9, HOUR, Scope::Grant), 2)];
        assert_eq!(store.admit(&call(&two)).await.unwrap_err().code(), "charges");
        assert_eq!(peek(&store, &[grant("c", 9)]).await, Ok(vec![9]));
    }
}

#[tokio::test]
async fn charges_that_cannot_be_counted_exactly_are_refused() {
    let (stores, _server) = stores();
    for store in stores {
        for (max, weight, window) in [
            (9, 0, HOUR),
            (1 << 54, 1, HOUR),
            (9, 1, Window::Sliding { ms: 0 }),
        ] {
            let odd = grant_of(limit("c", max, window, Scope::Grant), weight);
            assert_eq!(store.admit(&call(&[odd])).await.unwrap_err().code(), "charges");
        }
    }
}

#[tokio::test]
async fn weights_add_up_to_max_and_no_further() {
    let (stores, _server) = stores();
    for store in stores {
        let spend = |weight| grant_of(limit("spend", 100, HOUR, Scope::Grant), weight);
        assert_eq!(admit(&store, &[spend(60)]).await, Ok(vec![40]));
        assert_eq!(admit(&store, &[spend(41)]).await, Err(0));
        assert_eq!(admit(&store, &[spend(40)]).await, Ok(vec![0]));
    }
}

#[tokio::test]
async fn calendar_limits_count_in_every_unit_and_free_at_its_end() {
    let (stores, _server) = stores();
    for store in stores {
        for unit in [Unit::Hour, Unit::Day, Unit::Week, Unit::Month] {
            let counter = format!("{unit:?}");
            let charge = || {
                [grant_of(
                    limit(&counter, 2, Window::Calendar(unit), Scope::Grant),
                    1,
                )]
            };
            let verdict = store.admit(&call(&charge())).await.unwrap();
            let Verdict::Admitted { receipt, states } = verdict else {
                panic!("{verdict:?}")
            };
            let at = receipt.at_ms();
            let (_, end) = toolgate::counters::calendar::interval(unit, at).unwrap();
            assert_eq!(
                states,
                [ChargeState {
                    left: 1,
                    frees_ms: end - at,
                    fit: Fit::Now,
                }],
                "{unit:?}"
            );
        }
    }
}

#[tokio::test]
async fn sessions_beyond_max_values_share_one_overflow_counter() {
    let (stores, _server) = stores();
    for store in stores {
        assert_eq!(admit(&store, &[session("a", 2, 2)]).await, Ok(vec![1]));
        assert_eq!(admit(&store, &[session("b", 2, 2)]).await, Ok(vec![1]));
        assert_eq!(admit(&store, &[session("c", 2, 2)]).await, Ok(vec![1]));
        assert_eq!(admit(&store, &[session("d", 2, 2)]).await, Ok(vec![0]));
        assert_eq!(admit(&store, &[session("e", 2, 2)]).await, Err(0));
        assert_eq!(admit(&store, &[session("a", 2, 2)]).await, Ok(vec![0]));
        assert_eq!(admit(&store, &[session("a", 2, 2)]).await, Err(0));
    }
}

#[tokio::test]
async fn each_value_of_an_argument_has_a_counter_of_its_own() {
    let (stores, _server) = stores();
    for store in stores {
        assert_eq!(admit(&store, &[customer("a", 1)]).await, Ok(vec![0]));
        assert_eq!(admit(&store, &[customer("a", 1)]).await, Err(0));
        assert_eq!(admit(&store, &[customer("b", 1)]).await, Ok(vec![0]));
    }
}

#[tokio::test]
async fn a_charge_on_the_overflow_counter_can_be_refunded() {
    let (stores, _server) = stores();
    for store in stores {
        assert!(admit(&store, &[session("a", 1, 1)]).await.is_ok());
        let verdict = store.admit(&call(&[session("b", 1, 1)])).await.unwrap();
        let Verdict::Admitted { receipt, .. } = verdict else {
            panic!("{verdict:?}")
        };
        assert_eq!(admit(&store, &[session("c", 1, 1)]).await, Err(0));
        assert!(store.refund(&receipt).await.unwrap());
        assert_eq!(admit(&store, &[session("c", 1, 1)]).await, Ok(vec![0]));
    }
}

#[tokio::test]
async fn a_look_charges_nothing() {
    let (stores, _server) = stores();
    for store in stores {
        for _ in 0..3 {
            assert_eq!(peek(&store, &[grant("c", 1)]).await, Ok(vec![1]));
        }
        assert_eq!(admit(&store, &[grant("c", 1)]).await, Ok(vec![0]));
        assert_eq!(peek(&store, &[grant("c", 1)]).await, Err(0));
    }
}

#[tokio::test]
async fn the_first_secret_offered_is_shared_by_all() {
    let (stores, _server) = stores();
    for store in stores {
        assert_eq!(store.shared_secret("cookie", [1; 32]).await.unwrap(), [1; 32]);
        assert_eq!(store.shared_secret("cookie", [2; 32]).await.unwrap(), [1; 32]);
        assert_eq!(store.shared_secret("other", [2; 32]).await.unwrap(), [2; 32]);
        store.ping().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_replicas_and_four_hundred_calls_at_once_admit_exactly_max() {
    let server = RedisServer::start();
    let options = RedisOptions {
        deadline: PATIENT,
        ..RedisOptions::single(server.url(), "t")
    };
    let replicas: Vec<_> = (0..4)
        .map(|_| Arc::new(Store::redis(options.clone()).unwrap()))
        .collect();
    let calls: Vec<_> = (0..400)
        .map(|turn| {
            let store = Arc::clone(&replicas[turn % 4]);
            tokio::spawn(async move { admit(&store, &[grant("start_run", 10)]).await.is_ok() })
        })
        .collect();
    let mut admitted = 0;
    for call in calls {
        admitted += usize::from(call.await.unwrap());
    }
    assert_eq!(admitted, 10);
}

/// A charge of 1, for the checker of histories.
fn admission(id: u64, t_ms: u64, max: u64, window: u64) -> Event {
    let span = Span::Window { window };
    Event {
        id,
        key: "load".into(),
        t_ms,
        replica: String::new(),
        what: What::Admission(Wanted { charge: 1, max, span }),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_the_worst_window_reaches_max_and_none_is_above() {
    let (stores, _server) = stores();
    for store in stores {
        let window = 300;
        let until = tokio::time::Instant::now() + Duration::from_millis(1_500);
        let charge = grant_of(limit("load", 10, Window::Sliding { ms: window }, Scope::Grant), 1);
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let (store, charge) = (Arc::clone(&store), charge.clone());
                tokio::spawn(async move {
                    let mut history = Vec::new();
                    while tokio::time::Instant::now() < until {
                        let verdict = store.admit(&call(std::slice::from_ref(&charge))).await.unwrap();
                        if let Verdict::Admitted { receipt, .. } = verdict {
                            history.push((receipt.id(), receipt.at_ms()));
                        }
                        tokio::task::yield_now().await;
                    }
                    history
                })
            })
            .collect();
        let mut judge = Judge::new(Options {
            disorder_ms: 60_000,
            tight: true,
        });
        let mut admitted = 0;
        for worker in workers {
            for (id, t_ms) in worker.await.unwrap() {
                admitted += 1;
                judge
                    .take(admission(u64::from_be_bytes(id.0), t_ms, 10, window))
                    .unwrap();
            }
        }
        let report = judge.end().unwrap();
        assert!(report.holds(), "{report:?}");
        assert!(admitted >= 40, "{admitted}");
    }
}

#[tokio::test]
async fn options_that_cannot_work_are_refused_without_showing_the_url() {
    let good = RedisOptions {
        deadline: PATIENT,
        connections: 1,
        ..RedisOptions::single("redis://:hunter2@h/", "t")
    };
    assert!(!format!("{good:?}").contains("hunter2"));
    let store = Store::redis(good.clone()).unwrap();
    assert!(!format!("{store:?}").contains("hunter2"));
    for bad in [
        RedisOptions {
            place: Place::Single("hunter2".into()),
            ..good.clone()
        },
        RedisOptions {
            prefix: "a{b".into(),
            ..good.clone()
        },
        RedisOptions {
            place: Place::Single("rediss://:hunter2@h/#insecure".into()),
            ..good.clone()
        },
        RedisOptions {
            place: Place::Cluster(vec!["redis://:hunter2@h/".into(), "rediss://h/".into()]),
            ..good.clone()
        },
        RedisOptions {
            place: Place::Cluster(Vec::new()),
            ..good.clone()
        },
        RedisOptions {
            tls: RedisTls {
                ca: Some(b"ca".to_vec()),
                client: None,
            },
            ..good.clone()
        },
        RedisOptions {
            place: Place::Single("rediss://h/".into()),
            tls: RedisTls {
                ca: None,
                client: Some((b"hunter2".to_vec(), b"hunter2".to_vec())),
            },
            ..good.clone()
        },
        RedisOptions {
            prefix: String::new(),
            ..good.clone()
        },
        RedisOptions {
            deadline: Duration::ZERO,
            ..good.clone()
        },
        RedisOptions {
            connections: 0,
            ..good.clone()
        },
    ] {
        let error = Store::redis(bad).unwrap_err();
        assert!(!format!("{error:?} {error}").contains("hunter2"), "{error:?}");
    }
}
