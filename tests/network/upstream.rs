//! TLS with upstreams: own authorities, the wrong ones, and a certificate of the gate's own.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::pki::{Authority, Pair, Says, Terminator};
use crate::wire::client::call;
use crate::wire::gate::{Gate, Setup};
use crate::wire::upstream::Upstream;

fn client_pair(authority: &Authority) -> Pair {
    authority.issue(&Says {
        common_name: "toolgate",
        ..Says::default()
    })
}

async fn gate(setup: Setup, terminator: &Terminator) -> Gate {
    setup.https().before(terminator.addr).await
}

const CA: &str = ", upstream_tls: { ca: up.crt }";
const BOTH: &str = ", upstream_tls: { ca: up.crt, cert: gate.crt, key: gate.key }";

/// What a call comes to: the text of the answer, and whether it ran.
async fn ran(gate: &Gate) -> (bool, String) {
    let answer = gate.ask(&call("run")).await;
    (answer.ran(), answer.text())
}

async fn until_it_runs(gate: &Gate, wanted: bool) {
    let start = Instant::now();
    while ran(gate).await.0 != wanted {
        assert!(start.elapsed().as_secs() < 15, "it did not come to {wanted}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn an_upstream_by_an_authority_of_its_own_is_asked() {
    let upstream = Upstream::start().await;
    let authority = Authority::new("ca");
    let terminator = Terminator::before(upstream.addr, &authority.server(), None).await;
    let gate = gate(
        Setup::default().server(CA).file("up.crt", &authority.pem()),
        &terminator,
    )
    .await;
    assert!(ran(&gate).await.0);
    assert_eq!(terminator.shown(), 0);
}

#[tokio::test]
async fn an_upstream_whose_certificate_is_not_good_gets_no_byte_and_charges_nothing() {
    let upstream = Upstream::start().await;
    let (right, wrong) = (Authority::new("ca"), Authority::new("ca"));
    let expired = right.issue(&Says {
        names: &["127.0.0.1"],
        expired: true,
        ..Says::default()
    });
    let elsewhere = right.issue(&Says {
        names: &["elsewhere.example"],
        ..Says::default()
    });
    let terminator = Terminator::before(upstream.addr, &wrong.server(), None).await;
    let setup = Setup::runs(1, "grant");
    let pinned = gate(setup.clone().server(CA).file("up.crt", &right.pem()), &terminator).await;
    for (why, pair) in [
        ("another authority", wrong.server()),
        ("expired", expired),
        ("another name", elsewhere),
    ] {
        terminator.change(&pair, None);
        let (ran, text) = ran(&pinned).await;
        assert!(
            !ran && text.contains("cannot be reached") && text.contains("not executed"),
            "{why}: {text}"
        );
        assert!(!text.contains("certificate"), "{why}: {text}");
    }
    assert_eq!(upstream.count(), 0);
    // the system's authorities know none of them
    let system = gate(setup, &terminator).await;
    terminator.change(&right.server(), None);
    assert!(!ran(&system).await.0);
    // nothing was charged
    assert!(ran(&pinned).await.0);
}

#[tokio::test]
async fn an_upstream_that_asks_for_a_certificate_gets_the_gates() {
    let upstream = Upstream::start().await;
    let (authority, clients) = (Authority::new("ca"), Authority::new("clients"));
    let terminator = Terminator::before(upstream.addr, &authority.server(), Some(&clients)).await;
    let pair = client_pair(&clients);
    let files = Setup::default()
        .file("up.crt", &authority.pem())
        .file("gate.crt", &pair.cert)
        .file("gate.key", &pair.key);
    let bare = gate(files.clone().server(CA), &terminator).await;
    assert!(!ran(&bare).await.0);
    let gate = gate(files.server(BOTH), &terminator).await;
    assert!(ran(&gate).await.0);
    assert_eq!((terminator.shown(), upstream.count()), (1, 1));
}

#[tokio::test]
async fn a_new_authority_and_a_new_certificate_are_in_force_without_a_restart() {
    let upstream = Upstream::start().await;
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let terminator = Terminator::before(upstream.addr, &old.server(), Some(&old)).await;
    let pair = client_pair(&old);
    let setup = Setup::default()
        .server(BOTH)
        .file("up.crt", &old.pem())
        .file("gate.crt", &pair.cert)
        .file("gate.key", &pair.key);
    let gate = gate(setup, &terminator).await;
    assert!(ran(&gate).await.0);
    terminator.change(&new.server(), Some(&new));
    until_it_runs(&gate, false).await;
    let pair = client_pair(&new);
    let write = |name: &str, text: &str| std::fs::write(Path::new(&gate.folder).join(name), text).unwrap();
    write("up.crt", &new.pem());
    write("gate.crt", &pair.cert);
    write("gate.key", &pair.key);
    until_it_runs(&gate, true).await;
}
