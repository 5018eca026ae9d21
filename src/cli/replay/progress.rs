//! A progress bar on a terminal's stderr; elsewhere nothing.

use std::io::Write as _;
use std::time::{Duration, Instant};

/// Lines between two looks at the clock.
const LINES: u32 = 2_048;
/// How often the bar is drawn.
const EVERY: Duration = Duration::from_millis(100);
/// Its width, in characters.
const WIDTH: u64 = 30;
const MIB: u64 = 1 << 20;

pub(super) struct Progress {
    total: Option<u64>,
    shown: bool,
    read: u64,
    lines: u32,
    drawn: Instant,
}

impl Progress {
    /// `total`: how many bytes there are, where that is known. `shown`: whether stderr is a terminal.
    pub(super) fn new(total: Option<u64>, shown: bool) -> Self {
        Self {
            total,
            shown,
            read: 0,
            lines: 0,
            drawn: Instant::now(),
        }
    }

    /// Counts one line of that many bytes.
    pub(super) fn read(&mut self, bytes: u64) {
        self.read = self.read.saturating_add(bytes);
        self.lines = self.lines.saturating_add(1);
        if self.shown && self.lines >= LINES {
            self.lines = 0;
            if self.drawn.elapsed() >= EVERY {
                self.drawn = Instant::now();
                write(&format!("\r{}", bar(self.read, self.total)));
            }
        }
    }

    /// Takes the bar away.
    pub(super) fn end(self) {
        if self.shown {
            write("\r\u{1b}[K");
        }
    }
}

/// A terminal that went away is no reason to stop.
fn write(text: &str) {
    let mut stderr = std::io::stderr();
    drop(stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush()));
}

fn bar(read: u64, total: Option<u64>) -> String {
    let done = read / MIB;
    let Some(total) = total.filter(|total| *total > 0) else {
        return format!("read {done} MiB");
    };
    let read = read.min(total);
    let of = |whole: u64| read.saturating_mul(whole).checked_div(total).unwrap_or(0);
    let full = usize::try_from(of(WIDTH)).unwrap_or(0);
    let rest = usize::try_from(WIDTH).unwrap_or(0).saturating_sub(full);
    format!(
        "[{}{}] {:>3} %  {done} of {} MiB",
        "=".repeat(full),
        " ".repeat(rest),
        of(100),
        total.div_ceil(MIB)
    )
}

#[cfg(test)]
mod tests {
    use super::{MIB, bar};

    #[test]
    fn the_bar_fills_up_with_what_was_read_and_never_overflows() {
        assert!(bar(0, Some(100 * MIB)).starts_with("[                              ]   0 %  0 of 100"));
        assert!(bar(50 * MIB, Some(100 * MIB)).starts_with("[===============               ]  50 %  50 of"));
        assert!(bar(200 * MIB, Some(100 * MIB)).contains("] 100 %"));
        assert_eq!(bar(7 * MIB, None), "read 7 MiB");
    }
}
