//! A file that grows and is turned over, read as it does.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use anyhow::Context;

use crate::cli::lines::LONGEST;
use crate::record::turned_over;

/// What is read at once, in bytes.
const CHUNK: usize = 1 << 16;
/// How many turned-over files are looked through for the one that was open.
const NUMBERS: u32 = 1_000;

/// Reads whole lines; goes on in the next file where this one was moved away.
pub(super) struct Follower {
    path: PathBuf,
    input: Input,
    /// A line that has no end yet.
    begun: Vec<u8>,
    ended: bool,
}

enum Input {
    Stdin(io::Stdin),
    File(File),
}

impl Follower {
    pub(super) fn open(path: PathBuf) -> anyhow::Result<Self> {
        let input = if path.as_os_str() == "-" {
            Input::Stdin(io::stdin())
        } else {
            let file = File::open(&path);
            Input::File(file.with_context(|| format!("{}: cannot open the log", path.display()))?)
        };
        Ok(Self {
            path,
            input,
            begun: Vec::new(),
            ended: false,
        })
    }

    pub(super) const fn has_ended(&self) -> bool {
        self.ended
    }

    /// Hands out every whole line that is there, of this file and of those that came after it.
    pub(super) fn read(&mut self, each: &mut dyn FnMut(&[u8]) -> anyhow::Result<()>) -> anyhow::Result<()> {
        // found before the file is read to its end: what is written after it has moved on is in the next one
        let next = self.next_file()?;
        self.read_to_end(each)?;
        match &self.input {
            Input::Stdin(_) => self.ended = true,
            Input::File(_) => {
                for file in next {
                    self.input = Input::File(file);
                    self.begun.clear();
                    self.read_to_end(each)?;
                }
            }
        }
        Ok(())
    }

    fn read_to_end(&mut self, each: &mut dyn FnMut(&[u8]) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let mut chunk = vec![0; CHUNK];
        loop {
            let read = match &mut self.input {
                Input::Stdin(stdin) => stdin.read(&mut chunk),
                Input::File(file) => file.read(&mut chunk),
            };
            let read = read.with_context(|| format!("{}: cannot read the log", self.path.display()))?;
            if read == 0 {
                return Ok(());
            }
            self.split(chunk.get(..read).unwrap_or_default(), each)?;
        }
    }

    fn split(
        &mut self,
        bytes: &[u8],
        each: &mut dyn FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            // of what is too long for a line nothing is shown
            if self.begun.len() <= LONGEST {
                self.begun.extend_from_slice(piece);
            }
            if piece.ends_with(b"\n") {
                if self.begun.len() <= LONGEST {
                    each(self.begun.strip_suffix(b"\n").unwrap_or(&self.begun))?;
                }
                self.begun.clear();
            }
        }
        Ok(())
    }

    /// The files that came after the open one, oldest first: none while the path still leads to it.
    fn next_file(&self) -> anyhow::Result<Vec<File>> {
        let Input::File(open) = &self.input else {
            return Ok(Vec::new());
        };
        let own = identity(open)?;
        // between two names the path may lead nowhere for a moment
        let Ok(newest) = File::open(&self.path) else {
            return Ok(Vec::new());
        };
        if identity(&newest)? == own {
            return Ok(Vec::new());
        }
        let mut later = vec![newest];
        for number in 1..NUMBERS {
            let Ok(file) = File::open(turned_over(&self.path, number)) else {
                // it was moved to a name that is not ours to know
                later.truncate(1);
                break;
            };
            if identity(&file)? == own {
                break;
            }
            later.push(file);
        }
        later.reverse();
        Ok(later)
    }
}

fn identity(file: &File) -> io::Result<(u64, u64)> {
    let data = file.metadata()?;
    Ok((data.dev(), data.ino()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::Follower;

    fn lines(follower: &mut Follower) -> Vec<String> {
        let mut lines = Vec::new();
        follower
            .read(&mut |line| {
                lines.push(String::from_utf8(line.to_vec()).unwrap());
                Ok(())
            })
            .unwrap();
        lines
    }

    #[test]
    fn a_file_that_is_turned_over_twice_between_two_looks_is_read_without_a_gap() {
        let mut name = [0; 8];
        getrandom::fill(&mut name).unwrap();
        let folder = std::env::temp_dir().join(format!("toolgate-follow-{:016x}", u64::from_be_bytes(name)));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("log");
        let of = |number: u32| folder.join(format!("log.{number}"));
        fs::write(&path, "1\n2\nbeg").unwrap();
        let mut follower = Follower::open(path.clone()).unwrap();
        assert_eq!(lines(&mut follower), ["1", "2"]);
        let mut old = fs::OpenOptions::new().append(true).open(&path).unwrap();
        old.write_all(b"un\n3\n").unwrap();
        fs::rename(&path, of(1)).unwrap();
        fs::write(&path, "4\n").unwrap();
        fs::rename(of(1), of(2)).unwrap();
        fs::rename(&path, of(1)).unwrap();
        fs::write(&path, "5\n").unwrap();
        assert_eq!(lines(&mut follower), ["begun", "3", "4", "5"]);
        assert!(lines(&mut follower).is_empty());
        fs::rename(&path, folder.join("elsewhere")).unwrap();
        fs::write(&path, "6\n").unwrap();
        assert_eq!(lines(&mut follower), ["6"]);
        fs::remove_dir_all(&folder).unwrap();
    }
}
