//! Lines on their way into a log: each is given its place in the chain.

use std::io::Write as _;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

/// The `previous` of a chain's first line.
const START: [u8; 32] = [0; 32];

/// The last line of a chain: what must be kept elsewhere to see that lines were cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// How many lines the chain counts, from 1; 0 before the first.
    pub sequence: u64,
    pub hash: [u8; 32],
}

/// One chain: the lines of one boot of one replica in one sink.
#[derive(Clone, Debug)]
pub struct Chain {
    boot: String,
    head: Head,
}

impl Chain {
    /// A new chain, named by random bytes.
    pub fn new(boot: [u8; 8]) -> Self {
        Self {
            boot: HEXLOWER.encode(&boot),
            head: Head {
                sequence: 0,
                hash: START,
            },
        }
    }

    /// The chain's name, 16 hexadecimal digits.
    pub fn boot(&self) -> &str {
        &self.boot
    }

    pub const fn head(&self) -> Head {
        self.head
    }

    /// Appends one sealed line, with its end, and returns the new head. `json` is an object without line ends.
    /// `dropped` lines before it were lost: their numbers stay empty, which tells that the gate knew.
    pub fn seal(&mut self, json: &[u8], dropped: u64, into: &mut Vec<u8>) -> Head {
        let sequence = self.head.sequence.saturating_add(dropped).saturating_add(1);
        let start = into.len();
        into.extend_from_slice(json.strip_suffix(b"}").unwrap_or(json));
        let previous = HEXLOWER.encode(&self.head.hash);
        let boot = &self.boot;
        // writing to memory cannot fail
        let _ = write!(
            into,
            r#","boot":"{boot}","sequence":{sequence},"previous":"{previous}""#
        );
        self.head = Head {
            sequence,
            hash: close(start, into),
        };
        self.head
    }

    /// The first line of a file that takes the chain over from another file, after the line at `head`.
    pub fn continued(boot: &str, head: Head) -> Vec<u8> {
        let (after, previous) = (head.sequence, HEXLOWER.encode(&head.hash));
        let line =
            format!(r#"{{"event":"continued","boot":"{boot}","sequence":{after},"previous":"{previous}""#);
        let mut line = line.into_bytes();
        close(0, &mut line);
        line
    }
}

/// Adds the hash of what stands from `start` on, and the end of the line.
fn close(start: usize, line: &mut Vec<u8>) -> [u8; 32] {
    let hash: [u8; 32] = Sha256::digest(line.get(start..).unwrap_or_default()).into();
    let _ = writeln!(line, r#","hash":"{}"}}"#, HEXLOWER.encode(&hash));
    hash
}
