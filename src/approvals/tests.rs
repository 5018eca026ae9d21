//! A book in memory on a clock of the test's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{Approval, ApprovalId, Approvals, Asked, Consumed, Decided, Request, State};

const MINUTE: Duration = Duration::from_secs(60);

struct Desk {
    approvals: Approvals,
    clock: Arc<AtomicU64>,
}

impl Desk {
    fn new() -> Self {
        let clock = Arc::new(AtomicU64::new(1_000));
        let hand = Arc::clone(&clock);
        let approvals = Approvals::in_memory(move || hand.load(Ordering::Relaxed), MINUTE).unwrap();
        Self { approvals, clock }
    }

    fn passes(&self, ms: u64) {
        self.clock.fetch_add(ms, Ordering::Relaxed);
    }

    async fn asked(&self, request: &Request) -> (Approval, bool) {
        match self.approvals.ask(request).await.unwrap() {
            Asked::Stands { approval, opened } => (*approval, opened),
            Asked::Full => panic!("as many wait as may"),
        }
    }

    async fn says(&self, by: &str, approve: bool, of: &Approval) -> Decided {
        self.approvals
            .decide(&of.id, &of.digest, approve, by, "because")
            .await
            .unwrap()
    }

    async fn state(&self, id: ApprovalId) -> Option<State> {
        self.approvals.get(&id).await.unwrap().map(|known| known.state)
    }

    async fn runs(&self, of: &Approval) -> Consumed {
        self.approvals.consume(of.id, &of.digest).await.unwrap()
    }
}

fn request(arguments: &str, needed: u32) -> Request {
    Request {
        grant: "ci".into(),
        identity: "identity".into(),
        server: "s".into(),
        tool: "t".into(),
        arguments: Some(arguments.into()),
        digest: format!("digest of {arguments}"),
        needed,
    }
}

#[tokio::test]
async fn an_approved_call_runs_once_and_is_then_asked_about_anew() {
    let desk = Desk::new();
    let (first, opened) = desk.asked(&request("{}", 1)).await;
    assert!(opened);
    assert_eq!(first.state, State::Pending);
    assert_eq!(desk.runs(&first).await, Consumed::No(Some(State::Pending)));
    let Decided::Done(approved) = desk.says("ann", true, &first).await else {
        panic!("not decided");
    };
    assert_eq!(approved.state, State::Approved);
    assert!(matches!(desk.runs(&first).await, Consumed::Yes(_)));
    assert_eq!(desk.runs(&first).await, Consumed::No(Some(State::Consumed)));
    let (second, opened) = desk.asked(&request("{}", 1)).await;
    assert!(opened);
    assert_ne!(first.id, second.id);
}

#[tokio::test]
async fn a_repeated_call_joins_its_request_and_another_opens_one() {
    let desk = Desk::new();
    let (first, _) = desk.asked(&request("{}", 1)).await;
    let (again, opened) = desk.asked(&request("{}", 1)).await;
    assert_eq!((again.id, opened), (first.id, false));
    let (other, opened) = desk.asked(&request("[]", 1)).await;
    assert!(opened);
    assert_ne!(other.id, first.id);
}

#[tokio::test]
async fn a_no_stands_until_it_expires() {
    let desk = Desk::new();
    let (first, _) = desk.asked(&request("{}", 1)).await;
    assert!(matches!(desk.says("ann", false, &first).await, Decided::Done(_)));
    desk.passes(59_999);
    let (again, opened) = desk.asked(&request("{}", 1)).await;
    assert_eq!((again.id, again.state, opened), (first.id, State::Denied, false));
    assert_eq!(again.decisions[0].reason, "because");
    desk.passes(1);
    let (next, opened) = desk.asked(&request("{}", 1)).await;
    assert!(opened);
    assert_ne!(next.id, first.id);
}

#[tokio::test]
async fn two_different_people_must_agree_where_two_are_needed_and_one_may_refuse() {
    let desk = Desk::new();
    let (first, _) = desk.asked(&request("{}", 2)).await;
    assert!(matches!(desk.says("ann", true, &first).await, Decided::Done(_)));
    assert_eq!(desk.says("ann", true, &first).await, Decided::AlreadyBy);
    assert_eq!(desk.state(first.id).await, Some(State::Pending));
    assert!(matches!(desk.says("bob", true, &first).await, Decided::Done(_)));
    assert_eq!(desk.state(first.id).await, Some(State::Approved));

    let (second, _) = desk.asked(&request("[]", 2)).await;
    assert!(matches!(desk.says("ann", true, &second).await, Decided::Done(_)));
    // she may change her mind while it is open
    assert!(matches!(desk.says("ann", false, &second).await, Decided::Done(_)));
    assert_eq!(
        desk.says("bob", true, &second).await,
        Decided::NotPending(State::Denied)
    );
}

#[tokio::test]
async fn time_ends_what_waits_and_what_was_approved() {
    let desk = Desk::new();
    let (waits, _) = desk.asked(&request("{}", 1)).await;
    let (approved, _) = desk.asked(&request("[]", 1)).await;
    desk.says("ann", true, &approved).await;
    desk.passes(60_000);
    assert_eq!(
        desk.says("ann", true, &waits).await,
        Decided::NotPending(State::Expired)
    );
    assert_eq!(desk.runs(&approved).await, Consumed::No(Some(State::Expired)));
    let ended = desk.approvals.expire().await.unwrap();
    assert_eq!(ended.len(), 2);
    assert!(
        desk.approvals.expire().await.unwrap().is_empty(),
        "each ends once"
    );
}

#[tokio::test]
async fn a_word_counts_for_the_call_that_it_was_said_of_alone() {
    let desk = Desk::new();
    let (first, _) = desk.asked(&request("{}", 1)).await;
    let decided = desk.approvals.decide(&first.id, "another", true, "ann", "");
    assert_eq!(decided.await.unwrap(), Decided::OtherDigest);
    let nobody = ApprovalId::random().unwrap();
    let decided = desk.approvals.decide(&nobody, &first.digest, true, "ann", "");
    assert_eq!(decided.await.unwrap(), Decided::Unknown);
    assert_eq!(
        desk.approvals.consume(first.id, "another").await.unwrap(),
        Consumed::No(None)
    );
}

#[tokio::test]
async fn arguments_are_shown_while_the_request_is_open_and_gone_then() {
    let desk = Desk::new();
    let (first, _) = desk.asked(&request(r#"{"a":1}"#, 1)).await;
    let shown = |known: Option<Approval>| known.and_then(|known| known.arguments);
    let known = desk.approvals.get(&first.id).await.unwrap();
    assert_eq!(shown(known).as_deref(), Some(r#"{"a":1}"#));
    desk.says("ann", false, &first).await;
    assert_eq!(shown(desk.approvals.get(&first.id).await.unwrap()), None);
}

#[tokio::test]
async fn at_most_ten_wait_for_one_grant_and_what_is_decided_makes_room() {
    let desk = Desk::new();
    let mut first = None;
    for number in 0..10 {
        let (approval, opened) = desk.asked(&request(&number.to_string(), 1)).await;
        assert!(opened);
        first.get_or_insert(approval);
    }
    let more = request("more", 1);
    assert_eq!(desk.approvals.ask(&more).await.unwrap(), Asked::Full);
    let (joined, opened) = desk.asked(&request("3", 1)).await;
    assert!(!opened, "{joined:?} was asked before");
    let another = Request {
        identity: "another".into(),
        digest: "its".into(),
        ..more.clone()
    };
    assert!(desk.asked(&another).await.1);
    desk.says("ann", true, &first.unwrap()).await;
    assert!(desk.asked(&more).await.1);
}

#[tokio::test]
async fn an_approval_is_given_back_by_whoever_used_it_up_and_once() {
    let desk = Desk::new();
    let (first, _) = desk.asked(&request("{}", 1)).await;
    desk.says("ann", true, &first).await;
    let Consumed::Yes(ticket) = desk.runs(&first).await else {
        panic!("not used up");
    };
    assert!(desk.approvals.give_back(&ticket).await.unwrap());
    assert!(!desk.approvals.give_back(&ticket).await.unwrap());
    let Consumed::Yes(other) = desk.runs(&first).await else {
        panic!("not used up");
    };
    assert!(!desk.approvals.give_back(&ticket).await.unwrap(), "another's");
    desk.passes(60_000);
    assert!(!desk.approvals.give_back(&other).await.unwrap(), "too late");
}

#[tokio::test]
async fn whoever_watches_is_told_of_each_change() {
    let desk = Desk::new();
    let mut changes = desk.approvals.changes();
    let (first, _) = desk.asked(&request("{}", 1)).await;
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    desk.asked(&request("{}", 1)).await;
    assert!(!changes.has_changed().unwrap());
    desk.says("ann", true, &first).await;
    assert!(changes.has_changed().unwrap());
}

#[tokio::test]
async fn a_list_is_in_order_of_time_and_of_one_state_where_asked() {
    let desk = Desk::new();
    let (first, _) = desk.asked(&request("1", 1)).await;
    desk.passes(5);
    let (second, _) = desk.asked(&request("2", 1)).await;
    desk.says("ann", true, &first).await;
    let ids = |list: Vec<Approval>| list.iter().map(|one| one.id).collect::<Vec<_>>();
    assert_eq!(
        ids(desk.approvals.list(None).await.unwrap()),
        [first.id, second.id]
    );
    let pending = desk.approvals.list(Some(State::Pending)).await.unwrap();
    assert_eq!(ids(pending), [second.id]);
}

#[tokio::test]
async fn a_state_is_good_for_the_grant_that_got_it_and_says_which_call() {
    let (desk, other) = (Desk::new(), Desk::new());
    let (first, _) = desk.asked(&request("{}", 1)).await;
    let state = desk.approvals.state_for("identity", &first).unwrap();
    let read = desk.approvals.resumed("identity", &state).unwrap();
    assert_eq!((read.id, read.expires_ms), (first.id, first.expires_ms));
    assert!(read.is_of(&first.digest) && !read.is_of("another"));
    assert_eq!(desk.approvals.resumed("another", &state), None);
    assert_eq!(other.approvals.resumed("identity", &state), None);
    for place in 0..state.len() {
        let mut forged = state.clone().into_bytes();
        forged[place] = if forged[place] == b'0' { b'1' } else { b'0' };
        let forged = String::from_utf8(forged).unwrap();
        assert_eq!(desk.approvals.resumed("identity", &forged), None, "{forged}");
    }
}
