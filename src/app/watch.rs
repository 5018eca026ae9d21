//! Files watched by what they hold: Kubernetes swaps symlinks and editors rename, so neither times nor inodes tell.

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::sleep;

/// How often the files are read.
const EVERY: Duration = Duration::from_secs(1);
/// What changed must hold still for this long: a file may be in the middle of being written.
const SETTLE: Duration = Duration::from_millis(200);
/// Files that never hold still are taken as they are after so many looks.
const LOOKS: usize = 10;
/// More of a file is not looked at.
const AT_MOST: u64 = 64 << 20;

/// What some files hold. One that cannot be read differs from an empty one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Content([u8; 32]);

impl Content {
    /// Reads the files in a thread that may block. `None`: that thread died.
    pub(super) async fn of(paths: Vec<PathBuf>) -> Option<Self> {
        tokio::task::spawn_blocking(move || Self::read(&paths)).await.ok()
    }

    /// Reads the files; blocks.
    pub(super) fn read(paths: &[PathBuf]) -> Self {
        let mut all = Sha256::new();
        for path in paths {
            all.update(Sha256::digest(path.as_os_str().as_encoded_bytes()));
            let mut text = Vec::new();
            let read = std::fs::File::open(path).and_then(|file| file.take(AT_MOST).read_to_end(&mut text));
            all.update([u8::from(read.is_ok())]);
            all.update(Sha256::digest(&text));
        }
        Self(all.finalize().into())
    }
}

/// Waits until the files hold something else than `seen`, and hold still; `None` for `seen` is met at once.
/// Never ends where nothing changes. Dropping it loses nothing.
pub(super) async fn changed(paths: &[PathBuf], seen: Option<Content>) {
    loop {
        let Some(mut found) = Content::of(paths.to_vec()).await else {
            sleep(EVERY).await;
            continue;
        };
        if Some(found) == seen {
            sleep(EVERY).await;
            continue;
        }
        for _ in 0..LOOKS {
            sleep(SETTLE).await;
            match Content::of(paths.to_vec()).await {
                Some(again) if again == found => break,
                Some(again) => found = again,
                None => {}
            }
        }
        if Some(found) != seen {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::{Path, PathBuf};
    use std::time::Duration;

    use tokio::time::timeout;

    use super::{Content, changed};

    const PATIENCE: Duration = Duration::from_secs(20);

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("toolgate-watch-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&folder));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// Puts `text` behind `..data`, as the kubelet does.
    fn swap(folder: &Path, version: &str, text: &str) {
        fs::create_dir_all(folder.join(version)).unwrap();
        fs::write(folder.join(version).join("p.json"), text).unwrap();
        symlink(version, folder.join("..tmp")).unwrap();
        fs::rename(folder.join("..tmp"), folder.join("..data")).unwrap();
    }

    #[tokio::test]
    async fn a_swapped_symlink_is_a_change_where_it_leads_to_other_content() {
        let folder = folder("swap");
        swap(&folder, "1", "one");
        let paths = [folder.join("..data/p.json")];
        let seen = Content::read(&paths);
        swap(&folder, "2", "one");
        assert_eq!(Content::read(&paths), seen);
        swap(&folder, "3", "two");
        timeout(PATIENCE, changed(&paths, Some(seen))).await.unwrap();
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn missing_empty_and_moved_bytes_all_differ() {
        let folder = folder("differ");
        let paths = [folder.join("a"), folder.join("b")];
        let mut seen = vec![Content::read(&paths)];
        for (a, b) in [("", ""), ("xy", ""), ("x", "y"), ("", "xy")] {
            fs::write(&paths[0], a).unwrap();
            fs::write(&paths[1], b).unwrap();
            seen.push(Content::read(&paths));
        }
        seen.push(Content::read(&paths[1..]));
        let differ = |(at, one): (usize, &Content)| seen[at + 1..].iter().all(|other| other != one);
        assert!(seen.iter().enumerate().all(differ));
        fs::remove_dir_all(&folder).unwrap();
    }
}
