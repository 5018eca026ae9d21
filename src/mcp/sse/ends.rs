//! Where events end: a blank line, whatever its lines end with.

const BOM: [u8; 3] = [0xEF, 0xBB, 0xBF];

/// The state of a stream between two of its bytes.
#[derive(Debug)]
pub(super) struct Ends {
    /// Bytes of a byte order mark seen at the start of the stream; `None` once past it.
    bom: Option<usize>,
    /// The last byte was a CR: a LF that follows belongs to it.
    after_cr: bool,
    /// Nothing stands in the current line.
    line_start: bool,
    /// A line of the current event has begun.
    open: bool,
}

impl Default for Ends {
    fn default() -> Self {
        Self {
            bom: Some(0),
            after_cr: false,
            line_start: true,
            open: false,
        }
    }
}

impl Ends {
    pub(super) fn after_cr(&self) -> bool {
        self.after_cr
    }

    pub(super) fn between_events(&self) -> bool {
        self.line_start && !self.open && matches!(self.bom, None | Some(0))
    }

    /// Goes on to the end of the next event. Returns how many of `bytes` stand before it; `None`:
    /// all were looked at and no event ends in them.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut rest = self.skip_bom(bytes);
        loop {
            if self.after_cr && !rest.is_empty() {
                self.after_cr = false;
                rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            }
            let Some(length) = memchr::memchr2(b'\n', b'\r', rest) else {
                if !rest.is_empty() {
                    self.line_start = false;
                    self.open = true;
                }
                return None;
            };
            let blank = self.line_start && length == 0;
            let (line_end, after) = rest.get(length..)?.split_first()?;
            self.after_cr = *line_end == b'\r';
            self.line_start = true;
            self.open = !blank;
            rest = after;
            if blank {
                if let Some(after) = rest.strip_prefix(b"\n").filter(|_| self.after_cr) {
                    self.after_cr = false;
                    rest = after;
                }
                return bytes.len().checked_sub(rest.len());
            }
        }
    }

    /// Steps over a byte order mark at the start of the stream. What only begins like one is the
    /// start of a line.
    fn skip_bom<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let mut rest = bytes;
        while let (Some(matched), Some((byte, after))) = (self.bom, rest.split_first()) {
            if BOM.get(matched) == Some(byte) {
                rest = after;
                self.bom = Some(matched.saturating_add(1)).filter(|matched| *matched < BOM.len());
            } else {
                self.bom = None;
                self.line_start = matched == 0;
                self.open = matched > 0;
            }
        }
        rest
    }
}

/// `bytes` without a byte order mark at their start.
pub(super) fn without_bom(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(&BOM).unwrap_or(bytes)
}
