//! One line of a log, read back by its bytes.

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

const HEX: usize = 64;
const BOOT_HEX: usize = 16;
const EVENT: &[u8] = br#"{"event":"#;
/// What stands before the chain's fields in the line that takes a chain over.
const CONTINUED: &[u8] = br#"{"event":"continued""#;

/// What stands at a sealed line's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed<'l> {
    pub boot: &'l str,
    pub sequence: u64,
    pub previous: [u8; 32],
    pub hash: [u8; 32],
    /// The line's bytes before those.
    pub body: &'l [u8],
}

/// A line that is no sealed one as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken<'l> {
    /// It has the form of a sealed line, but another content than its hash.
    Changed(Sealed<'l>),
    /// Another event of the process that wrote the log, such as `listening`.
    Event,
    /// Nothing that a log holds, or a piece of it.
    Foreign,
}

impl<'l> Sealed<'l> {
    /// Reads one line without its end.
    ///
    /// # Errors
    /// [`Broken`]: what the line is instead.
    pub fn read(line: &'l [u8]) -> Result<Self, Broken<'l>> {
        let Some((sealed, covered)) = Self::form(line) else {
            let event =
                line.starts_with(EVENT) && serde_json::from_slice::<serde::de::IgnoredAny>(line).is_ok();
            return Err(if event { Broken::Event } else { Broken::Foreign });
        };
        if <[u8; 32]>::from(Sha256::digest(covered)) == sealed.hash {
            Ok(sealed)
        } else {
            Err(Broken::Changed(sealed))
        }
    }

    /// Whether the line only says where its file takes the chain over.
    pub fn is_continued(&self) -> bool {
        self.body == CONTINUED
    }

    /// The name of the process that wrote the line; empty where it has none.
    pub fn replica(&self) -> &'l str {
        let marker = br#""replica":""#;
        let found = memchr::memmem::rfind(self.body, marker);
        let rest = found.and_then(|at| self.body.get(at.saturating_add(marker.len())..));
        let name = rest.and_then(|rest| rest.split(|&byte| byte == b'"').next());
        name.and_then(|name| str::from_utf8(name).ok())
            .unwrap_or_default()
    }

    /// The parts, and the bytes that the hash covers.
    fn form(line: &'l [u8]) -> Option<(Self, &'l [u8])> {
        let rest = line.strip_suffix(br#""}"#)?;
        let (covered, hash) = hex_after(rest, br#","hash":""#)?;
        let rest = covered.strip_suffix(b"\"")?;
        let (rest, previous) = hex_after(rest, br#","previous":""#)?;
        let digits = rest.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
        let (rest, number) = rest.split_at_checked(rest.len().checked_sub(digits)?)?;
        let sequence = str::from_utf8(number).ok()?.parse().ok()?;
        let rest = rest.strip_suffix(br#"","sequence":"#)?;
        let (rest, boot) = rest.split_at_checked(rest.len().checked_sub(BOOT_HEX)?)?;
        let boot = str::from_utf8(boot).ok()?;
        let body = rest.strip_suffix(br#","boot":""#)?;
        let plain = |c: char| matches!(c, '0'..='9' | 'a'..='f');
        let sealed = Self {
            boot: Some(boot).filter(|boot| boot.chars().all(plain))?,
            sequence,
            previous,
            hash,
            body,
        };
        Some((sealed, covered))
    }
}

/// Splits 64 hexadecimal digits behind `key` off the end.
fn hex_after<'l>(line: &'l [u8], key: &[u8]) -> Option<(&'l [u8], [u8; 32])> {
    let (rest, hex) = line.split_at_checked(line.len().checked_sub(HEX)?)?;
    let mut bytes = [0; 32];
    // lower case alone: there is one way to write a line
    HEXLOWER.decode_mut(hex, &mut bytes).ok()?;
    Some((rest.strip_suffix(key)?, bytes))
}

#[cfg(test)]
mod tests {
    use super::{Broken, Sealed};
    use crate::audit::Chain;

    #[test]
    fn a_sealed_line_reads_back_and_its_hash_is_that_of_its_bytes() {
        let mut chain = Chain::new([7; 8]);
        let mut text = Vec::new();
        chain.seal(br#"{"a":1,"replica":"r-1"}"#, 0, &mut text);
        let head = chain.seal(br#"{"a":2,"replica":"r-1"}"#, 3, &mut text);
        let lines: Vec<_> = text.split(|&byte| byte == b'\n').collect();
        let (first, second) = (Sealed::read(lines[0]).unwrap(), Sealed::read(lines[1]).unwrap());
        assert_eq!((first.sequence, first.previous), (1, [0; 32]));
        assert_eq!((second.sequence, second.previous), (5, first.hash));
        assert_eq!((second.boot, second.hash), ("0707070707070707", head.hash));
        assert_eq!(
            (first.body, first.replica()),
            (&br#"{"a":1,"replica":"r-1""#[..], "r-1")
        );
    }

    #[test]
    fn the_line_that_takes_a_chain_over_says_after_which_line() {
        let mut chain = Chain::new([7; 8]);
        let head = chain.seal(b"{\"a\":1}", 0, &mut Vec::new());
        let line = Chain::continued(chain.boot(), head);
        let read = Sealed::read(line.strip_suffix(b"\n").unwrap()).unwrap();
        assert!(read.is_continued());
        assert_eq!((read.sequence, read.previous), (1, head.hash));
    }

    #[test]
    fn events_and_foreign_lines_are_told_apart() {
        assert_eq!(
            Sealed::read(br#"{"event":"listening","proxy":"x"}"#),
            Err(Broken::Event)
        );
        assert_eq!(Sealed::read(br#"{"event":"liste"#), Err(Broken::Foreign));
        assert_eq!(Sealed::read(b""), Err(Broken::Foreign));
    }
}
