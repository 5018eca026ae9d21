//! The headers that mirror a body, and the body: `method` US `name` US `version` US `body` (US is the byte 0x1F; an empty
//! header is absent).

use toolgate::mcp::envelope::read;
use toolgate::mcp::headers::{agree, is_modern};

use super::reading::{self, Reading, text};

pub fn run(data: &[u8]) {
    let mut parts = data.splitn(4, |byte| *byte == 0x1F);
    let mut header = || parts.next().filter(|value| !value.is_empty());
    let (method, name, version) = (header(), header(), header());
    if let Some(version) = version.and_then(|version| str::from_utf8(version).ok()) {
        let later = version >= "2026-07-28" && version.len() == 10 && version.is_ascii();
        assert!(later || !is_modern(version), "an earlier or no version is modern");
    }
    let Some(body) = header() else { return };
    let Ok(envelope) = read(body) else { return };
    let agreed = agree(&envelope, method, name, version).is_ok();
    let own = str::from_utf8(body).ok().and_then(reading::read);
    let own = own.expect("what is accepted is JSON");
    let says = |header: Option<&[u8]>, read: Option<&Reading>| {
        let Some(header) = header else { return true };
        let Ok(header) = str::from_utf8(header) else {
            return false;
        };
        read.and_then(Reading::as_text) == Some(&text(header))
    };
    let params = own.last("params");
    let member = |key| params.and_then(|params: &Reading| params.last(key));
    let called = envelope.method.as_deref().unwrap_or_default();
    let mirrored = match called {
        "tools/call" | "prompts/get" => Some(member("name")),
        "resources/read" => Some(member("uri")),
        method if method.starts_with("tasks/") => Some(member("taskId")),
        _ => None,
    };
    let plain = name.map(plain);
    let named = match (mirrored, plain) {
        (Some(read), Some(Some(header))) => says(Some(&header), read),
        (Some(_), Some(None)) => false,
        _ => true,
    };
    let stated = member("_meta").and_then(|meta| meta.last("io.modelcontextprotocol/protocolVersion"));
    let stated = stated.filter(|version| version.as_text().is_some());
    let versions = stated.is_none() || says(version, stated);
    let right = says(method, own.last("method")) && named && versions;
    assert_eq!(
        agreed, right,
        "headers and body agree, or only one of us thinks so"
    );
}

/// The header without its Base64 sentinel, decoded with a table of our own. `None`: not the canonical Base64 of anything.
fn plain(header: &[u8]) -> Option<Vec<u8>> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let Some(inside) = header.strip_prefix(b"=?base64?") else {
        return Some(header.to_vec());
    };
    let Some(inside) = inside.strip_suffix(b"?=") else {
        return Some(header.to_vec());
    };
    let mut out = Vec::new();
    for (index, group) in inside.chunks(4).enumerate() {
        let last = (index + 1) * 4 == inside.len();
        let padding = group.iter().rev().take_while(|byte| **byte == b'=').count();
        if group.len() < 4 || padding > 2 || (padding > 0 && !last) {
            return None;
        }
        let mut bits = 0_u32;
        for byte in group.iter().take(4 - padding) {
            let digit = DIGITS.iter().position(|digit| digit == byte)?;
            bits = bits << 6 | u32::try_from(digit).ok()?;
        }
        bits <<= 6 * padding;
        let [_, bytes @ ..] = bits.to_be_bytes();
        let (whole, rest) = bytes.split_at(3 - padding);
        if rest.iter().any(|byte| *byte != 0) {
            return None;
        }
        out.extend_from_slice(whole);
    }
    Some(out)
}
