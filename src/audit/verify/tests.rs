use std::collections::HashMap;

use proptest::prelude::*;

use super::{Report, Verifier};
use crate::audit::{Chain, Gravity, Head};

/// A log of some boots, one after the other, and the heads of their chains.
fn log(boots: &[u8]) -> (Vec<Vec<u8>>, HashMap<String, Head>) {
    let (mut lines, mut heads) = (Vec::new(), HashMap::new());
    for (index, count) in boots.iter().enumerate() {
        let mut chain = Chain::new([u8::try_from(index).unwrap() + 1; 8]);
        for number in 0..*count {
            let json = format!(r#"{{"grant":"g{number}","n":{number},"replica":"r-{index}"}}"#);
            let mut line = Vec::new();
            chain.seal(json.as_bytes(), 0, &mut line);
            lines.push(line);
        }
        heads.insert(chain.boot().to_owned(), chain.head());
    }
    (lines, heads)
}

fn read(verifier: &mut Verifier, name: &str, text: &[u8]) {
    verifier.open(name);
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        let bare = line.strip_suffix(b"\n");
        verifier.line(bare.unwrap_or(line), bare.is_some());
    }
}

fn verify(text: &[u8], heads: HashMap<String, Head>) -> Report {
    let mut verifier = Verifier::new(false, heads);
    read(&mut verifier, "log", text);
    verifier.end()
}

fn boots() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(1..6_u8, 1..4)
}

proptest! {
    #[test]
    fn a_log_as_it_was_written_is_whole(boots in boots()) {
        let (lines, heads) = log(&boots);
        let report = verify(&lines.concat(), heads);
        prop_assert_eq!(report.gravity, None);
        prop_assert_eq!(report.lines, boots.iter().map(|count| u64::from(*count)).sum::<u64>());
        prop_assert_eq!(report.chains.len(), boots.len());
    }

    #[test]
    fn any_byte_that_changes_is_found(boots in boots(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let (lines, _) = log(&boots);
        let mut text = lines.concat();
        let place = at.index(text.len());
        prop_assume!(text[place] != to);
        text[place] = to;
        // without the heads: the lines tell it themselves
        let report = verify(&text, HashMap::new());
        prop_assert!(report.gravity >= Some(Gravity::Incomplete), "byte {place} became {to}");
        let line = u64::try_from(lines.iter().scan(0, |end, line| { *end += line.len(); Some(*end) })
            .take_while(|end| *end <= place).count()).unwrap() + 1;
        let named = report.findings.iter().any(|found| found.place.line.abs_diff(line) <= 1);
        prop_assert!(named, "line {line}: {:?}", report.findings);
    }

    #[test]
    fn any_line_that_is_missing_is_found(boots in boots(), at in any::<prop::sample::Index>()) {
        let (mut lines, heads) = log(&boots);
        lines.remove(at.index(lines.len()));
        let left = u64::try_from(lines.len()).unwrap();
        let report = verify(&lines.concat(), heads);
        // of a chain that is gone as a whole only its head tells
        let gone = report.chains.len() < boots.len();
        prop_assert!(report.gravity == Some(Gravity::Tampered) || (gone && !report.absent.is_empty()));
        prop_assert_eq!(report.lines, left);
    }

    #[test]
    fn any_two_lines_that_are_swapped_are_found(boots in boots(), a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>()) {
        let (mut lines, heads) = log(&boots);
        let (a, b) = (a.index(lines.len()), b.index(lines.len()));
        // whole boots of one line each may stand in either order: nothing is lost or moved within a chain
        prop_assume!(a != b && boots.iter().any(|count| *count > 1));
        lines.swap(a, b);
        let moved_within = {
            let (original, _) = log(&boots);
            let boot_of = |line: &[u8]| crate::audit::Sealed::read(line.strip_suffix(b"\n").unwrap()).unwrap().boot.to_owned();
            let order = |lines: &[Vec<u8>]| {
                let mut by: HashMap<String, Vec<Vec<u8>>> = HashMap::new();
                for line in lines { by.entry(boot_of(line)).or_default().push(line.clone()); }
                by
            };
            order(&original) != order(&lines)
        };
        let report = verify(&lines.concat(), heads);
        prop_assert_eq!(report.gravity == Some(Gravity::Tampered), moved_within);
    }

    #[test]
    fn any_line_that_is_there_twice_or_was_added_is_found(boots in boots(), from in any::<prop::sample::Index>(), to in any::<prop::sample::Index>(), forged in any::<bool>()) {
        let (mut lines, heads) = log(&boots);
        let line = if forged { b"{\"grant\":\"g\",\"outcome\":\"allowed\"}\n".to_vec() } else { lines[from.index(lines.len())].clone() };
        lines.insert(to.index(lines.len() + 1), line);
        let report = verify(&lines.concat(), heads);
        prop_assert!(report.gravity >= Some(Gravity::Incomplete));
    }

    #[test]
    fn a_log_cut_anywhere_is_read_up_to_its_last_whole_line(boots in boots(), at in any::<prop::sample::Index>()) {
        let (lines, _) = log(&boots);
        let text = lines.concat();
        let text = &text[..at.index(text.len())];
        let whole = text.iter().filter(|&&byte| byte == b'\n').count();
        let report = verify(text, HashMap::new());
        let between = text.is_empty() || text.ends_with(b"\n");
        prop_assert_eq!(report.gravity, (!between).then_some(Gravity::Incomplete));
        prop_assert_eq!(report.lines, u64::try_from(whole).unwrap());
    }
}

/// One chain over three files, as a sink that is turned over writes them.
fn turned_over() -> Vec<Vec<u8>> {
    let mut chain = Chain::new([9; 8]);
    let mut files = Vec::new();
    for _ in 0..3 {
        let mut file = Vec::new();
        if chain.head().sequence > 0 {
            file.extend(Chain::continued(chain.boot(), chain.head()));
        }
        for number in 0..4 {
            chain.seal(format!("{{\"n\":{number}}}").as_bytes(), 0, &mut file);
        }
        files.push(file);
    }
    files
}

fn verify_files(files: &[&[u8]]) -> Report {
    let mut verifier = Verifier::new(false, HashMap::new());
    for (index, file) in files.iter().enumerate() {
        read(&mut verifier, &format!("log.{index}"), file);
    }
    verifier.end()
}

#[test]
fn a_chain_over_several_files_is_whole_in_any_order_of_them() {
    let files = turned_over();
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
        let report = verify_files(&order.map(|index| files[index].as_slice()));
        assert_eq!(
            (report.gravity, report.lines),
            (None, 12),
            "{:?}",
            report.findings
        );
    }
}

#[test]
fn a_file_that_is_missing_between_two_others_is_found_and_one_that_is_too_old_is_only_noted() {
    let files = turned_over();
    let report = verify_files(&[&files[0], &files[2]]);
    assert_eq!(report.gravity, Some(Gravity::Tampered));
    assert!(
        report.findings[0]
            .to_string()
            .starts_with("log.1:1: lines 5 to 8"),
        "{:?}",
        report.findings
    );
    let report = verify_files(&[&files[1], &files[2]]);
    assert_eq!(report.gravity, Some(Gravity::Note), "{:?}", report.findings);
}

#[test]
fn the_first_and_the_last_line_of_a_file_cannot_be_taken_away() {
    let files = turned_over();
    let lines: Vec<&[u8]> = files[1].split_inclusive(|&byte| byte == b'\n').collect();
    for removed in 0..lines.len() {
        let mut less = lines.clone();
        less.remove(removed);
        let report = verify_files(&[&less.concat(), &files[2]]);
        assert_eq!(
            report.gravity,
            Some(Gravity::Tampered),
            "without line {}",
            removed + 1
        );
    }
}

#[test]
fn what_the_gate_dropped_itself_is_told_apart_from_what_was_taken_away() {
    let mut chain = Chain::new([9; 8]);
    let mut text = Vec::new();
    chain.seal(b"{}", 0, &mut text);
    chain.seal(b"{}", 7, &mut text);
    let report = verify(&text, HashMap::new());
    assert_eq!(report.gravity, Some(Gravity::Incomplete));
    assert!(
        report.findings[0].what.contains("dropped lines 2 to 8"),
        "{:?}",
        report.findings
    );
}

#[test]
fn a_piece_that_a_crash_left_is_no_tampering_before_the_next_boot_and_is_one_elsewhere() {
    let (lines, _) = log(&[2, 2]);
    let piece = b"{\"grant\":\"g\n".to_vec();
    let at = |index: usize| {
        let mut lines = lines.clone();
        lines.insert(index, piece.clone());
        verify(&lines.concat(), HashMap::new()).gravity
    };
    assert_eq!(
        (at(2), at(1)),
        (Some(Gravity::Incomplete), Some(Gravity::Tampered))
    );
}

#[test]
fn a_line_that_was_written_anew_with_a_hash_of_its_own_is_found_by_the_next_one() {
    let mut chain = Chain::new([9; 8]);
    let mut text = Vec::new();
    chain.seal(b"{\"n\":1}", 0, &mut text);
    let mut forger = chain.clone();
    forger.seal(b"{\"n\":7}", 0, &mut text);
    chain.seal(b"{\"n\":2}", 0, &mut Vec::new());
    chain.seal(b"{\"n\":3}", 0, &mut text);
    let report = verify(&text, HashMap::new());
    assert_eq!(report.gravity, Some(Gravity::Tampered));
    assert_eq!(
        report.findings[0].to_string(),
        "log:3: line 3 does not follow line 2 as it stands here"
    );
    // the last one is found by the chain's head
    let mut end = Vec::new();
    chain.clone().seal(b"{\"n\":8}", 0, &mut end);
    chain.seal(b"{\"n\":4}", 0, &mut Vec::new());
    let report = verify(&end, HashMap::from([(chain.boot().to_owned(), chain.head())]));
    assert!(
        report
            .findings
            .iter()
            .any(|found| found.what.contains("another than the chain's head")),
        "{report:?}"
    );
}

#[test]
fn a_tail_that_was_cut_off_shows_by_the_head() {
    let (mut lines, heads) = log(&[5]);
    lines.truncate(3);
    assert_eq!(verify(&lines.concat(), HashMap::new()).gravity, None);
    let report = verify(&lines.concat(), heads);
    assert_eq!(report.gravity, Some(Gravity::Tampered));
    assert!(
        report.findings[0].what.contains("head is line 5"),
        "{:?}",
        report.findings
    );
}
