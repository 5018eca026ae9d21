//! A store of each kind, for suites that hold them all to the same behaviour.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use toolgate::counters::{FileStore, RedisOptions, Store};

use super::redis_server::RedisServer;

/// Tests of exactness do not depend on how busy the machine is.
pub const PATIENT: Duration = Duration::from_secs(5);

/// What the stores need for as long as they are used.
pub struct Kept {
    _redis: RedisServer,
    folder: PathBuf,
}

impl Drop for Kept {
    fn drop(&mut self) {
        // what is left behind is in nobody's way
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A folder in memory, where the system has one: these tests are not about the speed of the disk.
fn folder() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() {
        memory
    } else {
        Path::new(env!("CARGO_TARGET_TMPDIR"))
    };
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    parent.join(format!("toolgate-counters-{}-{number}", std::process::id()))
}

/// A store of each kind, and what must outlive them: memory, a file, Redis in one step, and Redis step by step as
/// on a cluster.
pub fn stores() -> (Vec<Arc<Store>>, Kept) {
    let server = RedisServer::start();
    let redis = |prefix: &str, by_slot_group| {
        let options = RedisOptions {
            url: server.url(),
            prefix: prefix.into(),
            deadline: PATIENT,
            connections: 2,
            by_slot_group,
        };
        Arc::new(Store::redis(options).unwrap())
    };
    let folder = folder();
    let file = Store::File(FileStore::new(folder.join("s.counters"), PATIENT));
    let stores = vec![
        Arc::new(Store::memory()),
        Arc::new(file),
        redis("t", false),
        redis("g", true),
    ];
    let kept = Kept {
        _redis: server,
        folder,
    };
    (stores, kept)
}
