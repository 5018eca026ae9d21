//! What the process holds, from /proc.

use std::time::{Duration, Instant};

/// One look at the process.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub at: Duration,
    /// Resident memory, in KB.
    pub rss: u64,
    /// Open descriptors.
    pub open: usize,
    /// Event streams that the server has open.
    pub streams: usize,
    /// Calls that clients have counted so far.
    pub calls: usize,
}

pub fn rss(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

pub fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// Looks again and again until `load` has passed.
pub async fn watch(
    pid: u32,
    load: Duration,
    every: Duration,
    streams: impl Fn() -> usize,
    calls: impl Fn() -> usize,
) -> Vec<Sample> {
    let began = Instant::now();
    let mut samples = Vec::new();
    while began.elapsed() < load {
        tokio::time::sleep(every).await;
        samples.push(Sample {
            at: began.elapsed(),
            rss: rss(pid),
            open: descriptors(pid),
            streams: streams(),
            calls: calls(),
        });
    }
    samples
}

/// The median of resident memory in the first and in the last third, after a tenth for warming up.
pub fn thirds(samples: &[Sample]) -> (u64, u64) {
    let warm = &samples[samples.len() / 10..];
    let third = warm.len() / 3;
    (median(&warm[..third]), median(&warm[warm.len() - third..]))
}

fn median(samples: &[Sample]) -> u64 {
    let mut rss: Vec<u64> = samples.iter().map(|sample| sample.rss).collect();
    rss.sort_unstable();
    rss[rss.len() / 2]
}
