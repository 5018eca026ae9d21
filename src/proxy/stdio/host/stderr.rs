//! What a server process writes to its stderr, as lines of the log.

use tokio::process::ChildStderr;

use crate::proxy::stdio::lines::{Line, Lines};

/// Longest line of it in the log, in bytes.
const LONGEST: usize = 2_048;

/// Logs it until the process and all that it started have closed it.
pub(super) async fn log(server: String, stderr: ChildStderr) {
    let mut lines = Lines::new(stderr, LONGEST);
    loop {
        match lines.next().await {
            // as Debug: control characters could forge lines or steer a terminal
            Ok(Some(Line::Whole(line))) => {
                let line = String::from_utf8_lossy(&line);
                tracing::info!(server, ?line, "stderr of a server process");
            }
            Ok(Some(Line::TooLong(_))) => {
                tracing::info!(
                    server,
                    "stderr of a server process: a line of more than {LONGEST} bytes"
                );
            }
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(server, %error, "the stderr of a server process cannot be read");
                return;
            }
        }
    }
}
