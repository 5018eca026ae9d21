//! A store of each kind, for suites that hold them all to the same behaviour.

use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use toolgate::counters::{FileStore, Place, RedisOptions, Store};

use super::redis_cluster::RedisCluster;
use super::redis_sentinel::{MASTER, Sentinels};
use super::redis_server::{RedisServer, end_with_us};

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

/// A cluster, a primary behind a sentinel and a Valkey, for all tests of a file.
struct Shared {
    valkey: RedisServer,
    cluster: RedisCluster,
    sentinels: Sentinels,
    _guard: Child,
}

fn shared() -> &'static Shared {
    static SHARED: LazyLock<Shared> = LazyLock::new(|| {
        let (cluster, sentinels) = (RedisCluster::start(), Sentinels::start(1, 1));
        let valkey = RedisServer::start_valkey();
        let mut pids = sentinels.pids();
        pids.push(valkey.pid());
        pids.extend(cluster.nodes.iter().map(RedisServer::pid));
        let mut folders = sentinels.folders();
        folders.extend(cluster.nodes.iter().map(RedisServer::folder));
        folders.push(valkey.folder());
        let _guard = end_with_us(&pids, &folders);
        Shared {
            valkey,
            cluster,
            sentinels,
            _guard,
        }
    });
    &SHARED
}

/// A store of each kind, and what must outlive them: memory, a file, Redis in one step, Redis step by step, a
/// cluster, a primary that a sentinel names, and Valkey.
pub fn stores() -> (Vec<Arc<Store>>, Kept) {
    let server = RedisServer::start();
    let redis = |place: Place, prefix: &str, by_slot_group| {
        let options = RedisOptions {
            deadline: PATIENT,
            by_slot_group,
            ..RedisOptions::new(place, prefix)
        };
        Arc::new(Store::redis(options).unwrap())
    };
    let folder = folder();
    let file = Store::File(FileStore::new(folder.join("s.counters"), PATIENT));
    let shared = shared();
    let sentinel = Place::Sentinel {
        master: MASTER.into(),
        urls: shared.sentinels.urls(),
    };
    // these servers are other tests' too
    let own = format!("t{}", folder.file_name().unwrap().to_str().unwrap());
    let stores = vec![
        Arc::new(Store::memory()),
        Arc::new(file),
        redis(Place::Single(server.url()), "t", false),
        redis(Place::Single(server.url()), "g", true),
        redis(Place::Cluster(shared.cluster.urls()), &own, false),
        redis(sentinel, &own, false),
        redis(Place::Single(shared.valkey.url()), &own, false),
    ];
    let kept = Kept {
        _redis: server,
        folder,
    };
    (stores, kept)
}
