//! Bits of requests by position.

/// Growing bit set with one bit for each request.
#[derive(Default)]
pub(crate) struct Bits(Vec<u64>);

impl Bits {
    /// Returns whether a bit is set.
    pub(crate) fn get(&self, at: u32) -> bool {
        let word = self.0.get((at / 64) as usize);
        word.is_some_and(|word| word & 1 << (at % 64) != 0)
    }

    /// Sets a bit. Returns `false` if the bit was set already.
    pub(crate) fn set(&mut self, at: u32) -> bool {
        let (word, bit) = ((at / 64) as usize, 1 << (at % 64));
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        let is_new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        is_new
    }
}
