//! A primary that sentinels name.

use std::time::Duration;

use toolgate::counters::{Place, RedisOptions};

use crate::charges::{admit, call, grant};
use crate::redis_sentinel::{MASTER, Sentinels};
use crate::{PATIENT, open, until};

fn options(urls: Vec<String>) -> RedisOptions {
    let master = MASTER.into();
    RedisOptions {
        deadline: Duration::from_millis(300),
        ..RedisOptions::new(Place::Sentinel { master, urls }, "t")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_dies_is_followed_by_the_one_that_the_sentinels_choose() {
    let mut sentinels = Sentinels::start(2, 3);
    let store = open(options(sentinels.urls()));
    let ask = async || store.admit(&call(&[grant("own", 100)])).await.is_ok();
    until("the primary is found", ask, |admitted| *admitted).await;
    // who is asked first goes, too
    sentinels.kill_sentinel(0);
    let before = sentinels.servers[0].port;
    sentinels.servers[0].kill();
    assert!(store.admit(&call(&[grant("own", 100)])).await.is_err());
    until("the new primary is found", ask, |admitted| *admitted).await;
    sentinels.until_primary_is_not(before);
    assert_eq!(sentinels.primary(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_was_replaced_and_lives_on_is_left() {
    let sentinels = Sentinels::start(2, 1);
    let store = open(options(sentinels.urls()));
    let ask = async || store.admit(&call(&[grant("own", 100)])).await.is_ok();
    until("the primary is found", ask, |admitted| *admitted).await;
    sentinels.fail_over();
    assert_eq!(sentinels.primary(), 1);
    let clients = |of: usize| {
        let mut list = redis::cmd("CLIENT");
        list.arg("LIST").arg("TYPE").arg("normal");
        let list: String = list.query(&mut sentinels.servers[of].connection()).unwrap();
        list.lines().filter(|line| line.contains("cmd=evalsha")).count()
    };
    until(
        "calls go to the new primary",
        async || (ask().await, clients(1)),
        |(admitted, clients)| *admitted && *clients > 0,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_that_do_not_know_the_name_are_an_error_that_says_so() {
    let sentinels = Sentinels::start(1, 1);
    let store = open(RedisOptions {
        deadline: PATIENT,
        ..RedisOptions::new(
            Place::Sentinel {
                master: "another".into(),
                urls: sentinels.urls(),
            },
            "t",
        )
    });
    let quick = open(RedisOptions {
        deadline: Duration::from_millis(300),
        ..options(vec!["redis://127.0.0.1:1/".into()])
    });
    assert_eq!(
        quick.admit(&call(&[grant("own", 1)])).await.unwrap_err().code(),
        "unavailable"
    );
    let error = store.admit(&call(&[grant("own", 1)])).await.unwrap_err();
    assert!(
        error.to_string().contains("`counters.sentinel.master`"),
        "{error}"
    );
    // one that does not answer is passed over
    let urls = [vec!["redis://127.0.0.1:1/".to_owned()], sentinels.urls()].concat();
    let store = open(RedisOptions {
        deadline: PATIENT,
        ..options(urls)
    });
    assert_eq!(admit(&store, &[grant("own", 2)]).await, Ok(vec![1]));
}
