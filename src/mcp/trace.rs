//! Trace context, as W3C Trace Context level 1 writes it in `traceparent`.

use std::fmt;

use data_encoding::HEXLOWER;

/// A span of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    pub trace: [u8; 16],
    pub span: [u8; 8],
    /// Whoever began the trace wants its spans.
    pub sampled: bool,
}

impl TraceContext {
    /// Reads a `traceparent` (section 3.2.2). `None` where it is none: such a one is to be ignored.
    pub fn read(text: &str) -> Option<Self> {
        let mut parts = text.trim_matches([' ', '\t']).split('-');
        let [version] = bytes(parts.next()?)?;
        let trace = bytes(parts.next()?)?;
        let span = bytes(parts.next()?)?;
        let [flags] = bytes(parts.next()?)?;
        // later versions may say more
        let is_known = version != 0xff && (version > 0 || parts.next().is_none());
        let is_set = trace != [0; 16] && span != [0; 8];
        (is_known && is_set).then_some(Self {
            trace,
            span,
            sampled: flags & 1 == 1,
        })
    }
}

impl fmt::Display for TraceContext {
    /// As a `traceparent`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (trace, span) = (HEXLOWER.encode(&self.trace), HEXLOWER.encode(&self.span));
        write!(formatter, "00-{trace}-{span}-{:02x}", u8::from(self.sampled))
    }
}

fn bytes<const N: usize>(hex: &str) -> Option<[u8; N]> {
    HEXLOWER.decode(hex.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::TraceContext;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_read_and_written() {
        let context = TraceContext::read(GOOD).unwrap();
        assert!(context.sampled && context.to_string() == GOOD);
        let not_sampled = TraceContext::read(&GOOD.replace("-01", "-02")).unwrap();
        assert!(!not_sampled.sampled);
        let later = format!("{}-more", GOOD.replace("00-4", "cc-4"));
        assert_eq!(TraceContext::read(&later), Some(context));
    }

    #[test]
    fn what_is_no_traceparent_is_ignored() {
        let zero_trace = format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32));
        let zero_span = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{}-01", "0".repeat(16));
        for bad in [
            "",
            "00",
            &zero_trace,
            &zero_span,
            &format!("{GOOD}-more"),
            &GOOD.replace("00-4", "ff-4"),
            &GOOD.to_uppercase(),
            &GOOD.replace("-01", "-1"),
            &GOOD.replace("-01", ""),
            &GOOD.replace('-', "_"),
            &GOOD.replace("4bf9", "4bf"),
            "00-ü",
        ] {
            assert_eq!(TraceContext::read(bad), None, "{bad}");
        }
    }
}
