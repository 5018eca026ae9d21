//! `check-history`: what it reads, what it finds, and its exit codes.

use serde_json::json;

use super::Folder;

fn line(id: u64, t_ms: u64, more: &str) -> String {
    format!(
        r#"{{"id":"{id:016x}","key":"k","t_ms":{t_ms},"charge":1,"max":2,"window_ms":1000,"replica":"a"{more}}}"#
    ) + "\n"
}

fn sound() -> String {
    [
        line(1, 0, ""),
        line(2, 5, ""),
        line(3, 900, r#","kind":"denial""#),
        line(4, 1_001, ""),
    ]
    .concat()
}

#[test]
fn a_history_that_holds_exits_with_0_and_says_what_was_judged() {
    let folder = Folder::new(&[("h.jsonl", &sound())]);
    let ran = folder.run(&["check-history", "--tight", "h.jsonl"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(
        ran.out,
        "4 lines: 3 admissions, 1 denials, 0 refunds on 1 keys\n\
         fullest window: 2 of 2 on `k`, from 0 to 5 ms\nit holds\n"
    );
}

#[test]
fn a_broken_history_exits_with_1_and_shows_the_window() {
    let folder = Folder::new(&[("h.jsonl", &(sound() + &line(5, 1_000, "")))]);
    let ran = folder.run(&["check-history", "h.jsonl"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.out
            .starts_with("key `k`: 3 of 2 charged from 0 to 1000 ms\n    0 ms  id "),
        "{}",
        ran.out
    );
    assert!(ran.out.ends_with("it is broken: 2 faults\n"), "{}", ran.out);
    let found = folder
        .run(&["check-history", "--format", "json", "h.jsonl"])
        .json();
    assert_eq!(found["holds"], json!(false));
    assert_eq!(found["findings"][0]["fault"], json!("window_exceeded"));
    assert_eq!(found["fullest"]["sum"], json!(3));
}

#[test]
fn each_planted_fault_is_found() {
    let tight = |more: &str| {
        let folder = Folder::new(&[("h.jsonl", &(sound() + more))]);
        let found = folder.run(&["check-history", "--tight", "--format", "json", "h.jsonl"]);
        found.json()["findings"][0]["fault"]
            .as_str()
            .unwrap_or("none")
            .to_owned()
    };
    assert_eq!(tight(""), "none");
    assert_eq!(tight(&line(4, 1_100, "")), "charged_twice");
    assert_eq!(tight(&line(3, 1_050, "")), "charged_though_denied");
    assert_eq!(tight(&line(9, 1_050, r#","kind":"refund""#)), "refunded_unknown");
    let refund = line(4, 1_050, r#","kind":"refund""#);
    assert_eq!(tight(&refund), "none");
    assert_eq!(tight(&(refund.clone() + &refund)), "refunded_twice");
    assert_eq!(tight(&line(9, 2_002, r#","kind":"denial""#)), "denied_needlessly");
    let other = line(9, 0, "")
        .replace(r#""k""#, r#""other""#)
        .replace(r#""max":2"#, r#""max":9"#);
    let folder = Folder::new(&[("h.jsonl", &other)]);
    assert_eq!(folder.run(&["check-history", "h.jsonl"]).code, 0);
    let ran = folder.run(&["check-history", "--tight", "h.jsonl"]);
    assert_eq!((ran.code, ran.out.contains("holds 1 of 9")), (1, true), "{ran:?}");
}

#[test]
fn several_files_are_merged_by_time_and_stdin_is_one() {
    let first = line(1, 0, "") + &line(2, 300_000, "") + &line(3, 400_000, "");
    let second = line(4, 5, "") + &line(5, 400_001, "");
    let folder = Folder::new(&[
        ("a", &first),
        ("b", &second),
        ("both", &(first.clone() + &second)),
    ]);
    assert_eq!(folder.run(&["check-history", "a", "b"]).code, 0);
    let piped = folder.run_with(&["check-history", "a", "-"], &second);
    assert_eq!(piped.code, 0, "{piped:?}");
    let ran = folder.run(&["check-history", "both"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("both:4: the line of 5 ms comes"), "{}", ran.err);
    assert_eq!(
        folder
            .run(&["check-history", "--disorder", "500000", "both"])
            .code,
        0
    );
}

#[test]
fn what_cannot_be_read_exits_with_2_and_names_its_place() {
    let folder = Folder::new(&[
        ("h", &(sound() + "{\"id\":1}\n")),
        ("half", &(sound() + "{\"id\":\"1")),
    ]);
    let ran = folder.run(&["check-history", "h"]);
    assert_eq!(
        (ran.code, ran.err.starts_with("toolgate: h:5: ")),
        (2, true),
        "{ran:?}"
    );
    let ran = folder.run(&["check-history", "none"]);
    assert_eq!(
        (ran.code, ran.err.contains("none: cannot open")),
        (2, true),
        "{ran:?}"
    );
    // a gzip file begins so (RFC 1952 section 2.3.1)
    std::fs::write(folder.0.join("h.gz"), [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]).unwrap();
    let ran = folder.run(&["check-history", "--decisions", "h.gz"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    let remedy = "h.gz: the log is compressed: `gzip -dc h.gz | toolgate check-history … -`";
    assert!(ran.err.contains(remedy), "{ran:?}");
    // a writer that was killed leaves half a line
    assert_eq!(folder.run(&["check-history", "half"]).code, 0);
}

fn decision(id: u64, store_ms: u64, charge: &str, more: &str) -> String {
    format!(
        r#"{{"time":"2026-01-01T00:00:00.000Z","id":"{id:016x}","grant":"ci","server":"s","method":"tools/call","tool":"run","outcome":"allowed","rule":null,"charges":[{{"rule":"/r","counter":"runs","weight":1,"max":1,"left":0,"store_ms":{store_ms},{charge}}}],"upstream":{{"status":200,"ms":1.0,"ended":"answered","refunded":false}},"degraded":false,"replica":"a"{more}}}"#
    ) + "\n"
}

#[test]
fn decisions_of_serve_are_judged_by_grant_counter_and_window() {
    const GRANT: &str = r#""scope":"grant","window_ms":1000"#;
    let log = |more: &[String]| {
        let text = format!(
            "{{\"event\":\"listening\"}}\n{}{}",
            decision(1, 5_000, GRANT, ""),
            more.concat()
        );
        let folder = Folder::new(&[("log", &text)]);
        let ran = folder.run(&["check-history", "--decisions", "--tight", "log"]);
        (ran.code, ran.out)
    };
    assert_eq!(log(&[decision(2, 6_001, GRANT, "")]).0, 0);
    let (code, out) = log(&[decision(2, 6_000, GRANT, "")]);
    assert_eq!(code, 1, "{out}");
    assert!(
        out.starts_with("key `grant ci: runs/1000/0`: 2 of 1 charged"),
        "{out}"
    );
    let other = decision(2, 5_500, GRANT, "").replace("\"ci\"", "\"other\"");
    let refunded = decision(3, 5_500, GRANT, "").replace("\"refunded\":false", "\"refunded\":true");
    let shadow = decision(4, 5_500, r#""scope":"grant","window_ms":1000,"shadow":true"#, "");
    assert_eq!(log(&[other, refunded, shadow]).0, 0);
    let limited = decision(5, 5_500, GRANT, ",\"store_ms\":5500")
        .replace("allowed", "limited")
        .replace("\"rule\":null", "\"rule\":\"/r\"")
        .replacen("\"store_ms\":5500", "\"store_ms\":null", 1);
    let (code, out) = log(&[limited]);
    assert_eq!((code, out.contains("1 denials")), (0, true), "{out}");
    let session = decision(6, 5_500, r#""scope":"session","window_ms":1000"#, "");
    let flight = decision(7, 5_500, r#""scope":"grant","lease_ms":1000"#, "");
    let (code, out) = log(&[session, flight]);
    assert_eq!((code, out.contains("not judged: 2 charges")), (0, true), "{out}");
    let day = |id, at| decision(id, at, r#""scope":"server","calendar":"second""#, "");
    assert_eq!(log(&[day(8, 6_999), day(9, 7_000)]).0, 0);
    assert_eq!(log(&[day(8, 6_000), day(9, 6_999)]).0, 1);
}
