//! What this process takes, under the names that Prometheus' own client libraries use. Read from `/proc`.

use std::fs;

use prometheus::{Counter, Gauge, IntGauge, Registry};

/// Metrics of the process; up to date after [`ProcessMetrics::read`].
pub(super) struct ProcessMetrics {
    cpu: Counter,
    resident: IntGauge,
    virtual_memory: IntGauge,
    open_fds: IntGauge,
    max_fds: IntGauge,
    threads: IntGauge,
    start: Gauge,
}

/// What `/proc/self/stat` tells.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    cpu_ticks: u64,
    threads: u64,
    start_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl ProcessMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let int = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            prometheus::Result::Ok(gauge)
        };
        let cpu = Counter::new("process_cpu_seconds_total", "User and system CPU time.")?;
        let start = Gauge::new(
            "process_start_time_seconds",
            "When the process began, since 1970.",
        )?;
        registry.register(Box::new(cpu.clone()))?;
        registry.register(Box::new(start.clone()))?;
        Ok(Self {
            cpu,
            start,
            resident: int("process_resident_memory_bytes", "Resident memory.")?,
            virtual_memory: int("process_virtual_memory_bytes", "Virtual memory.")?,
            open_fds: int("process_open_fds", "Open file descriptors.")?,
            max_fds: int("process_max_fds", "How many file descriptors may be open.")?,
            threads: int("process_threads", "Threads.")?,
        })
    }

    /// Brings the metrics up to date; what cannot be read stays as it was.
    pub(super) fn read(&self) {
        let ticks = whole(rustix::param::clock_ticks_per_second());
        let page = u64::try_from(rustix::param::page_size()).unwrap_or_default();
        if let Some(stat) = fs::read_to_string("/proc/self/stat")
            .ok()
            .and_then(|text| stat(&text))
        {
            self.cpu
                .inc_by((whole(stat.cpu_ticks) / ticks - self.cpu.get()).max(0.0));
            set(&self.resident, stat.resident_pages.saturating_mul(page));
            set(&self.virtual_memory, stat.virtual_bytes);
            set(&self.threads, stat.threads);
            let booted = fs::read_to_string("/proc/stat").ok().and_then(|text| boot(&text));
            if let Some(booted) = booted {
                self.start.set(whole(booted) + whole(stat.start_ticks) / ticks);
            }
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            // one of them is the folder itself
            set(
                &self.open_fds,
                u64::try_from(open.count()).unwrap_or_default().saturating_sub(1),
            );
        }
        let limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        set(&self.max_fds, limits.current.unwrap_or(u64::MAX));
    }
}

fn set(gauge: &IntGauge, value: u64) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}

#[expect(
    clippy::cast_precision_loss,
    reason = "seconds and ticks are far below what a double counts exactly"
)]
const fn whole(value: u64) -> f64 {
    value as f64
}

/// Fields of proc_pid_stat(5), counted behind the name, which may hold anything but its last `)`.
fn stat(text: &str) -> Option<Stat> {
    let (_, fields) = text.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    // field 3, the state, is the first
    let field = |number: usize| fields.get(number.checked_sub(3)?)?.parse::<u64>().ok();
    Some(Stat {
        cpu_ticks: field(14)?.saturating_add(field(15)?),
        threads: field(20)?,
        start_ticks: field(22)?,
        virtual_bytes: field(23)?,
        resident_pages: field(24)?,
    })
}

/// When the machine booted, in seconds since 1970.
fn boot(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;

    use super::{ProcessMetrics, Stat, stat};

    #[test]
    fn fields_are_found_behind_any_name() {
        let text =
            "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 100 20 0 0 20 0 4 0 555 1000 25 18446744073709551615 1";
        let expected = Stat {
            cpu_ticks: 120,
            threads: 4,
            start_ticks: 555,
            virtual_bytes: 1000,
            resident_pages: 25,
        };
        assert_eq!(stat(text), Some(expected));
        assert_eq!(stat("7 (a"), None);
    }

    #[test]
    fn this_process_has_memory_threads_and_files() {
        let process = ProcessMetrics::new(&Registry::new()).unwrap();
        process.read();
        assert!(process.resident.get() > 1 << 20 && process.virtual_memory.get() > process.resident.get());
        assert!(process.threads.get() >= 1 && process.open_fds.get() >= 3);
        assert!(process.max_fds.get() >= process.open_fds.get());
        assert!(process.start.get() > 1.7e9 && process.cpu.get() >= 0.0);
    }
}
