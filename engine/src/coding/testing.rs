//! Content for the tests of this module: from a seed, so that what failed can be had again.

/// Numbers that look random (xorshift64*).
pub(super) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        ((self.next() >> 32) as usize) % end
    }

    /// Bytes that nothing makes shorter.
    pub(super) fn noise(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| (self.next() >> 56) as u8).collect()
    }

    /// Up to `len_max` bytes of noise, text, repetition, or pieces of all.
    pub(super) fn content(&mut self, len_max: usize) -> Vec<u8> {
        let len = self.below(len_max + 1);
        let mut content = Vec::with_capacity(len);
        while content.len() < len {
            let piece = self.below(len - content.len() + 1).max(1);
            match self.below(4) {
                0 => content.extend(self.noise(piece.min(10_000))),
                1 => content.extend(text(piece)),
                2 => content.extend(std::iter::repeat_n(b'a', piece)),
                _ => {
                    let from = self.below(content.len() + 1);
                    content.extend_from_within(from..content.len().min(from + piece));
                }
            }
        }
        content
    }
}

/// `len` bytes of words, as in JSON.
pub(super) fn text(len: usize) -> Vec<u8> {
    const WORDS: &[&str] = &["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel"];
    let mut random = Random(7);
    let mut text = Vec::with_capacity(len + 100);
    while text.len() < len {
        let (word, other) = (WORDS[random.below(8)], WORDS[random.below(8)]);
        let (id, price) = (random.below(1_000_000), random.below(10_000));
        text.extend(format!("{{\"id\":{id},\"name\":\"{word} {other}\",\"price\":{price}}},\n").into_bytes());
    }
    text.truncate(len);
    text
}
