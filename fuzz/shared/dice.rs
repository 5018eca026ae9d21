//! Choices out of the bytes of an input: the fuzzer changes the bytes, and with them what is built.

pub struct Dice<'d> {
    bytes: &'d [u8],
}

impl<'d> Dice<'d> {
    pub fn new(bytes: &'d [u8]) -> Self {
        Self { bytes }
    }

    /// The next byte; 0 at the end, so that everything built ends too.
    pub fn byte(&mut self) -> u8 {
        let Some((byte, rest)) = self.bytes.split_first() else {
            return 0;
        };
        self.bytes = rest;
        *byte
    }

    /// 0 ..= `most`.
    pub fn up_to(&mut self, most: u8) -> u8 {
        match most.checked_add(1) {
            Some(sides) => self.byte() % sides,
            None => self.byte(),
        }
    }

    pub fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::from(self.byte()) % of.len()]
    }

    /// Once in `n` (never at the end of the input).
    pub fn rarely(&mut self, n: u8) -> bool {
        self.byte() % n == n - 1
    }

    /// Text out of the next bytes.
    pub fn text(&mut self) -> String {
        let length = usize::from(self.up_to(12)).min(self.bytes.len());
        let (text, rest) = self.bytes.split_at(length);
        self.bytes = rest;
        String::from_utf8_lossy(text).into_owned()
    }
}
