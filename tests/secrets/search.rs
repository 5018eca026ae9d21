//! Looks for the mark of secrets in a text, in every form in which it could stand there.

use data_encoding::{BASE64, HEXLOWER};

use crate::support::gate::token_sha256;
use crate::{ARGUMENT, ENV, MARK, TOKEN};

/// The mark in every form in which a secret of these could show.
fn forms() -> Vec<String> {
    let mut forms = vec![
        MARK.to_owned(),
        MARK.to_uppercase(),
        HEXLOWER.encode(MARK.as_bytes()),
    ];
    let secrets = ENV.iter().map(|(_, value)| *value).chain([TOKEN, ARGUMENT]);
    for secret in secrets.filter(|secret| secret.contains(MARK)) {
        forms.push(token_sha256(secret));
        forms.push(BASE64.encode(secret.as_bytes()).trim_end_matches('=').to_owned());
        // a part of base64 begins at one of three places, and its ends depend on what stands beside it
        for skip in 0..3 {
            let encoded = BASE64.encode(&[&vec![b'-'; skip][..], MARK.as_bytes()].concat());
            let (from, to) = ((skip * 8).div_ceil(6), (skip + MARK.len()) * 8 / 6);
            forms.push(encoded.get(from..to).unwrap().to_owned());
        }
    }
    // what is too short says nothing
    forms.retain(|form| form.len() >= 6);
    forms
}

/// Panics where the text holds any part of a secret.
pub fn search(what: &str, text: &str) {
    for form in forms() {
        if let Some(at) = text.find(&form) {
            let start = text
                .get(..at)
                .and_then(|before| before.rfind('\n'))
                .map_or(0, |at| at + 1);
            let line = text
                .get(start..)
                .and_then(|rest| rest.lines().next())
                .unwrap_or_default();
            panic!("{what}: `{form}` stands in: {line}");
        }
    }
}

#[test]
fn the_search_finds_a_mark_in_each_of_its_clothes() {
    let basic = BASE64.encode(format!("c:{TOKEN}").as_bytes());
    for text in [
        TOKEN.to_owned(),
        token_sha256(TOKEN),
        basic,
        BASE64.encode(b"Bearer zqmark-upstream"),
    ] {
        assert!(
            std::panic::catch_unwind(|| search("a test", &text)).is_err(),
            "{text}"
        );
    }
    search("a test", "nothing here");
}
