//! The corpus files: one input a line, escaped as in a Rust byte string. corpus.py writes them.

use std::path::Path;

/// The inputs in a file. A file that is missing or holds anything else is a broken checkout.
pub fn inputs(file: &Path) -> Vec<Vec<u8>> {
    let corpus = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    corpus.lines().map(unescaped).collect()
}

fn unescaped(line: &str) -> Vec<u8> {
    let mut bytes = line.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'\\' => match bytes.next() {
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(b't') => b'\t',
                Some(b'x') => {
                    let digit = |byte: Option<u8>| char::from(byte.unwrap_or_default()).to_digit(16);
                    let value = digit(bytes.next()).zip(digit(bytes.next()));
                    let value = value.and_then(|(high, low)| u8::try_from(high << 4 | low).ok());
                    value.unwrap_or_else(|| panic!("`\\x` without two digits in a corpus"))
                }
                Some(plain @ (b'\\' | b'\'' | b'"')) => plain,
                other => panic!("`\\` before {other:?} in a corpus"),
            },
            plain => plain,
        });
    }
    assert_eq!(
        out.escape_ascii().to_string(),
        line,
        "the line is not as corpus.py writes it"
    );
    out
}
