//! The checksum of version 2: CRC-32C (RFC 9260 appendix A), of bytes that come in pieces.

/// What [`add`] begins with.
pub(super) const START: u32 = !0;

/// The checksum's state behind `bytes`; its complement is the checksum.
pub(super) fn add(state: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(state, |state, byte| (state >> 8) ^ TABLE[usize::from(state as u8 ^ byte)])
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < table.len() {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = (value >> 1) ^ (POLYNOMIAL * (value & 1));
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
};

/// Castagnoli's polynomial, its bits in reverse.
const POLYNOMIAL: u32 = 0x82f6_3b78;

#[cfg(test)]
#[test]
fn the_checksum_is_that_of_the_literature() {
    assert_eq!(!add(START, b"123456789"), 0xe306_9283);
    assert_eq!(!add(START, &[0; 32]), 0x8a91_36aa);
}
