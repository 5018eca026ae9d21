//! Byte offsets → lines and columns.

/// A place in a text. Lines end with LF, CRLF or CR; columns count characters. Both start at 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub line: u32,
    pub column: u32,
}

impl Place {
    pub const START: Self = Self { line: 1, column: 1 };
}

/// Finds places in one pass: readers ask for offsets that only grow, so a file on one long line
/// costs no more than one on many.
#[derive(Debug)]
pub(super) struct Places<'t> {
    text: &'t str,
    offset: usize,
    place: Place,
}

impl<'t> Places<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            text,
            offset: 0,
            place: Place::START,
        }
    }

    /// The place of the character that starts at byte `offset`.
    pub(super) fn at(&mut self, offset: usize) -> Place {
        if offset < self.offset {
            *self = Self::new(self.text);
        }
        let rest = self.text.get(self.offset..).unwrap_or_default();
        let mut chars = rest.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            if self.offset.saturating_add(at) >= offset {
                break;
            }
            let cr_before_lf = c == '\r' && chars.peek().is_some_and(|(_, next)| *next == '\n');
            if matches!(c, '\n' | '\r') && !cr_before_lf {
                self.place = Place {
                    line: self.place.line.saturating_add(1),
                    column: 1,
                };
            } else {
                self.place.column = self.place.column.saturating_add(1);
            }
        }
        self.offset = offset.min(self.text.len());
        self.place
    }
}
