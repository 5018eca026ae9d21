use super::*;

const WINDOW: Span = Span::Window { window: 1_000 };

fn event(id: u64, key: &str, t_ms: u64, what: What) -> Event {
    Event {
        id,
        key: key.into(),
        t_ms,
        replica: "r".into(),
        what,
    }
}

const fn wanted(charge: u64, max: u64) -> Wanted {
    Wanted {
        charge,
        max,
        span: WINDOW,
    }
}

fn admitted(id: u64, t_ms: u64, charge: u64, max: u64) -> Event {
    event(id, "k", t_ms, What::Admission(wanted(charge, max)))
}

fn denied(id: u64, t_ms: u64, charge: u64, max: u64) -> Event {
    event(id, "k", t_ms, What::Denial(wanted(charge, max)))
}

fn refunded(id: u64, t_ms: u64) -> Event {
    event(id, "k", t_ms, What::Refund)
}

fn judge_as(tight: bool, events: &[Event]) -> Result<Report, Unusable> {
    let mut judge = Judge::new(Options {
        disorder_ms: 10_000,
        tight,
    });
    for event in events {
        judge.take(event.clone())?;
    }
    judge.end()
}

fn judge(events: &[Event]) -> Report {
    judge_as(false, events).unwrap()
}

fn faults(report: &Report) -> Vec<Fault> {
    report.findings.iter().map(|finding| finding.fault).collect()
}

#[test]
fn charges_exactly_one_window_apart_share_an_interval_and_one_ms_more_do_not() {
    let apart = |by| judge(&[admitted(1, 0, 1, 1), admitted(2, by, 1, 1)]);
    assert_eq!(faults(&apart(1_000)), [Fault::WindowExceeded]);
    assert!(apart(1_001).holds());
}

#[test]
fn the_window_that_is_too_full_is_shown_with_its_charges() {
    let times = [0, 500, 900, 5_000];
    let events: Vec<Event> = (1..).zip(times).map(|(id, at)| admitted(id, at, 1, 2)).collect();
    let report = judge(&events);
    let [finding] = report.findings.as_slice() else {
        panic!("{report:?}")
    };
    assert_eq!(
        (finding.from_ms, finding.to_ms, finding.sum, finding.max),
        (0, 900, 3, 2)
    );
    assert_eq!(finding.charges.len(), 3);
    let text = finding.to_string();
    assert!(text.starts_with("key `k`: 3 of 2 charged from 0 to 900 ms\n    0 ms  id 0000000000000001"));
}

#[test]
fn a_history_out_of_order_is_sorted_and_one_beyond_the_disorder_is_refused() {
    let events = [
        admitted(1, 900, 1, 2),
        admitted(2, 0, 1, 2),
        admitted(3, 500, 1, 2),
    ];
    assert_eq!(faults(&judge(&events)), [Fault::WindowExceeded]);
    let events = [
        admitted(1, 0, 1, 9),
        admitted(2, 20_000, 1, 9),
        admitted(3, 31_000, 1, 9),
        admitted(4, 19_999, 1, 9),
    ];
    assert_eq!(
        judge_as(false, &events),
        Err(Unusable::OutOfOrder {
            t_ms: 19_999,
            by_ms: 11_001
        })
    );
}

#[test]
fn keys_are_judged_one_by_one_and_weights_add_up() {
    let on = |key: &str, id, t_ms, charge| event(id, key, t_ms, What::Admission(wanted(charge, 41)));
    let sound = [
        on("a", 1, 0, 20),
        on("a", 2, 1, 21),
        on("b", 3, 0, 1),
        on("b", 4, 1, 40),
    ];
    let report = judge(&sound);
    assert!(report.holds());
    assert_eq!(report.fullest.as_ref().map(|it| (it.sum, it.max)), Some((41, 41)));
    let report = judge(&[sound.as_slice(), &[on("b", 5, 2, 1)]].concat());
    assert_eq!(
        report.findings.first().map(|it| (it.key.as_str(), it.sum)),
        Some(("b", 42))
    );
}

#[test]
fn one_key_may_be_charged_against_two_maxima_and_within_a_moment_the_smaller_goes_first() {
    assert!(judge(&[admitted(1, 5, 1, 3), admitted(2, 5, 1, 3), admitted(3, 5, 1, 1)]).holds());
    let later = judge(&[admitted(1, 5, 1, 3), admitted(2, 5, 1, 3), admitted(3, 6, 1, 1)]);
    assert_eq!(faults(&later), [Fault::WindowExceeded]);
}

#[test]
fn one_id_charged_twice_on_a_key_is_found() {
    let report = judge(&[admitted(7, 0, 1, 9), admitted(7, 400, 1, 9)]);
    assert_eq!(faults(&report), [Fault::ChargedTwice]);
}

#[test]
fn a_call_that_was_denied_and_charged_is_found_whichever_line_comes_first() {
    let charged = event(7, "other", 10, What::Admission(wanted(1, 9)));
    for at in [5, 10, 15] {
        assert_eq!(
            faults(&judge(&[charged.clone(), denied(7, at, 1, 9)])),
            [Fault::ChargedThoughDenied]
        );
    }
    assert!(judge(&[charged, denied(8, 10, 1, 9)]).holds());
}

#[test]
fn a_refund_makes_room_from_its_moment_on() {
    let calls = |refund| judge(&[admitted(1, 0, 1, 1), refunded(1, refund), admitted(2, 500, 1, 1)]);
    assert!(calls(0).holds() && calls(500).holds());
    assert_eq!(faults(&calls(501)), [Fault::WindowExceeded]);
}

#[test]
fn a_refund_of_what_is_not_held_or_for_the_second_time_is_found() {
    let twice = [admitted(1, 0, 1, 1), refunded(1, 5), refunded(1, 6)];
    assert_eq!(faults(&judge(&twice)), [Fault::RefundedTwice]);
    assert_eq!(
        faults(&judge(&[admitted(1, 0, 1, 1), refunded(2, 5)])),
        [Fault::RefundedUnknown]
    );
    // the store may hold a charge a little longer than it counts
    let late = [admitted(1, 0, 1, 1), admitted(2, 1_001, 1, 1), refunded(1, 1_002)];
    assert!(judge(&late).holds());
}

#[test]
fn a_refund_of_a_call_that_was_charged_step_by_step_makes_room_on_each_key() {
    let on = |key: &str, id, t_ms, what| event(id, key, t_ms, what);
    let charged = || What::Admission(wanted(1, 1));
    let events = [
        on("own", 1, 0, charged()),
        on("own", 1, 0, What::Refund),
        on("shared", 1, 5, charged()),
        on("shared", 1, 5, What::Refund),
        on("shared", 2, 9, charged()),
    ];
    assert!(judge(&events).holds());
}

#[test]
fn a_denial_for_which_there_was_room_is_found_in_a_tight_history_alone() {
    let needless = [
        admitted(1, 0, 1, 2),
        denied(2, 1_000, 1, 2),
        admitted(3, 1_000, 1, 2),
    ];
    assert!(judge_as(true, &needless).unwrap().holds());
    let needless = [admitted(1, 0, 1, 1), denied(2, 1_001, 1, 1)];
    assert_eq!(
        faults(&judge_as(true, &needless).unwrap()),
        [Fault::DeniedNeedlessly]
    );
    assert!(judge(&needless).holds());
    // a larger charge does not fit beside what is there
    assert!(
        judge_as(true, &[admitted(1, 0, 1, 2), denied(2, 5, 2, 2)])
            .unwrap()
            .holds()
    );
}

#[test]
fn charges_that_may_have_been_merged_count_a_slot_longer_when_a_denial_is_judged() {
    let full = |count: u64| (0..count).map(move |id| admitted(id, 0, 1, count));
    let held = |count: u64, at| {
        let events: Vec<Event> = full(count).chain([denied(999, at, 1, count)]).collect();
        judge_as(true, &events).unwrap().holds()
    };
    assert!(held(100, 1_016) && !held(100, 1_017));
    assert!(held(10, 1_000) && !held(10, 1_001));
}

#[test]
fn a_window_that_is_never_full_is_found_in_a_tight_history_alone() {
    let slack = [
        admitted(1, 0, 1, 3),
        admitted(2, 500, 1, 3),
        admitted(3, 1_400, 1, 3),
    ];
    assert_eq!(faults(&judge_as(true, &slack).unwrap()), [Fault::MaxNotReached]);
    assert!(judge(&slack).holds());
    // with denials, only keys that denied had demand
    let other = event(9, "other", 0, What::Admission(wanted(1, 3)));
    let full = [admitted(1, 0, 1, 1), denied(2, 5, 1, 1), other];
    assert!(judge_as(true, &full).unwrap().holds());
}

#[test]
fn a_calendar_window_starts_afresh() {
    let in_day = |id, t_ms, start| {
        let span = Span::Calendar {
            start,
            end: start + 1_000,
        };
        let wanted = Wanted {
            charge: 1,
            max: 1,
            span,
        };
        event(id, "k", t_ms, What::Admission(wanted))
    };
    assert!(judge(&[in_day(1, 999, 0), in_day(2, 1_000, 1_000)]).holds());
    assert_eq!(
        faults(&judge(&[in_day(1, 0, 0), in_day(2, 999, 0)])),
        [Fault::WindowExceeded]
    );
    let mixed = [in_day(1, 0, 0), admitted(2, 5, 1, 1)];
    assert_eq!(judge_as(false, &mixed), Err(Unusable::TwoWindows("k".into())));
}

#[test]
fn memory_does_not_grow_with_the_length_of_a_history() {
    let mut judge = Judge::new(Options {
        disorder_ms: 100,
        tight: true,
    });
    for id in 0..50_000 {
        judge.take(admitted(id, id, 1, 1_001)).unwrap();
        judge.take(denied(1_000_000 + id, id, 1_001, 1_001)).unwrap();
    }
    assert!(judge.order.len() <= 300);
    assert!(judge.keys["k"].len() <= 1_100);
    assert!(judge.end().unwrap().holds());
}

#[test]
fn lines_are_read_with_the_contracts_names() {
    let line =
        br#"{"id":"00000000000000ff","key":"k","t_ms":5,"charge":2,"max":9,"window_ms":1000,"replica":"r"}"#;
    assert_eq!(Line::read(line), Ok(admitted(255, 5, 2, 9)));
    let line = br#"{"kind":"refund","id":"00000000000000ff","key":"k","t_ms":5,"replica":"r","more":1}"#;
    assert_eq!(Line::read(line), Ok(refunded(255, 5)));
    let line = br#"{"kind":"denial","id":"call \"1\"","key":"k","t_ms":5,"charge":1,"max":1,"from_ms":0,"until_ms":9}"#;
    let event = Line::read(line).unwrap();
    assert_eq!(event.id, id_of("call \"1\""));
    for bad in [
        r#"{"id":"1","key":"k","t_ms":5,"charge":1,"max":1}"#,
        r#"{"id":"1","key":"k","t_ms":5,"max":1,"window_ms":5}"#,
        r#"{"id":"1","key":"k","t_ms":5,"charge":1,"max":1,"from_ms":9,"until_ms":9}"#,
        r#"{"id":"1","key":"k","t_ms":-5,"charge":1,"max":1,"window_ms":5}"#,
        r#"{"kind":"other","id":"1","key":"k","t_ms":5,"charge":1,"max":1,"window_ms":5}"#,
        "",
    ] {
        assert!(Line::read(bad.as_bytes()).is_err(), "{bad}");
    }
}
