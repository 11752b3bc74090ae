//! What a set of vector instructions does for us, and the loops over it.

/// Bytes that are classed at once.
pub(crate) const LANE_BYTES: usize = 32;
/// Bytes that are classed in one turn of a loop.
pub(crate) const BLOCK_BYTES: usize = 64;
/// One bit for each byte of a lane, the first byte lowest.
pub(crate) type LaneMask = u32;
/// One bit for each byte of a block, the first byte lowest.
pub(crate) type Mask = u64;
/// As many bytes as are classed at once.
pub(crate) type Lane = [u8; LANE_BYTES];

/// A set of instructions; a value of it is the proof that the processor has them.
pub(crate) trait Simd: Copy {
    /// Which bytes may not stand in a field value.
    fn value_stops(self, lane: &Lane) -> LaneMask;

    /// Which bytes may not stand in a request target.
    fn target_stops(self, lane: &Lane) -> LaneMask;

    /// Which bytes may not stand in a token.
    fn token_stops(self, lane: &Lane) -> LaneMask;

    /// Which bytes are colons.
    fn colons(self, lane: &Lane) -> LaneMask;

    /// Which bytes differ from `lower`, where the letters of `lane` count as lower case.
    ///
    /// `lower` has no byte from 0x60 to 0x7f but letters: the others would be alike to 0x40 to 0x5f.
    fn unlike(self, lane: &Lane, lower: &Lane) -> LaneMask;
}

/// Something that is compiled once for each set of instructions.
///
/// `run` and what it calls is `#[inline(always)]`, and no vector passes through a closure: only what is inlined
/// there gets the instructions.
pub(crate) trait Work {
    /// What comes of it.
    type Output;

    /// Does it.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// A class of bytes.
pub(crate) trait Class {
    /// Which bytes are outside of it.
    fn stops<S: Simd>(simd: S, lane: &Lane) -> LaneMask;
}

/// Bytes of field values.
pub(crate) struct Value;

impl Class for Value {
    #[inline(always)]
    fn stops<S: Simd>(simd: S, lane: &Lane) -> LaneMask {
        simd.value_stops(lane)
    }
}

/// Bytes of request targets.
pub(crate) struct Target;

impl Class for Target {
    #[inline(always)]
    fn stops<S: Simd>(simd: S, lane: &Lane) -> LaneMask {
        simd.target_stops(lane)
    }
}

/// Finds how many bytes at the front are of a class.
pub(super) struct Len<'a, C>(pub(super) &'a [u8], pub(super) C);

impl<C: Class> Work for Len<'_, C> {
    type Output = usize;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> usize {
        end_of::<S, C>(simd, self.0, 0)
    }
}

/// Where the bytes of class `C` that begin at `at` end.
#[inline(always)]
pub(crate) fn end_of<S: Simd, C: Class>(simd: S, bytes: &[u8], mut at: usize) -> usize {
    while let Some(block) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let found = block_stops::<S, C>(simd, block);
        if found != 0 {
            return at + found.trailing_zeros() as usize;
        }
        at += BLOCK_BYTES;
    }
    if at >= bytes.len() {
        return bytes.len();
    }
    let found = last_stops::<S, C>(simd, bytes, at);
    if found != 0 { at + found.trailing_zeros() as usize } else { bytes.len() }
}

/// Which of the bytes from `at` on, which are fewer than a block, are outside of class `C`.
#[inline(always)]
pub(crate) fn last_stops<S: Simd, C: Class>(simd: S, bytes: &[u8], at: usize) -> Mask {
    debug_assert!(at < bytes.len() && bytes.len() - at < BLOCK_BYTES);
    if let Some(block) = bytes.last_chunk() {
        // The block reaches back into what is before `at`: its bits fall out.
        return block_stops::<S, C>(simd, block) >> (at + BLOCK_BYTES - bytes.len());
    }
    let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) else {
        return few_stops::<S, C>(simd, bytes) >> at;
    };
    // Two lanes that overlap.
    let behind_first = (Mask::from(C::stops(simd, last)) << LANE_BYTES) >> (BLOCK_BYTES - bytes.len());
    (Mask::from(C::stops(simd, first)) | behind_first) >> at
}

/// Which of `bytes`, which are fewer than a lane, are outside of class `C`.
#[inline(always)]
fn few_stops<S: Simd, C: Class>(simd: S, bytes: &[u8]) -> Mask {
    let stops = stops_of_ends::<S, C, 16>(simd, bytes)
        .or_else(|| stops_of_ends::<S, C, 8>(simd, bytes))
        .or_else(|| stops_of_ends::<S, C, 4>(simd, bytes))
        .or_else(|| stops_of_ends::<S, C, 2>(simd, bytes))
        .or_else(|| stops_of_ends::<S, C, 1>(simd, bytes));
    stops.unwrap_or(0)
}

/// [`few_stops`] for at least `N` and at most two times as many: the first and the last ones, which may overlap, side
/// by side in one lane. (In their order they would be stored and loaded again, and the load wait for both stores.)
#[inline(always)]
fn stops_of_ends<S: Simd, C: Class, const N: usize>(simd: S, bytes: &[u8]) -> Option<Mask> {
    let (first, last) = (bytes.first_chunk::<N>()?, bytes.last_chunk::<N>()?);
    let mut lane = [0; LANE_BYTES];
    lane[..N].copy_from_slice(first);
    lane[N..2 * N].copy_from_slice(last);
    let stops = Mask::from(C::stops(simd, &lane));
    let ones = (1 << N) - 1;
    Some((stops & ones) | (((stops >> N) & ones) << (bytes.len() - N)))
}

#[inline(always)]
pub(crate) fn block_stops<S: Simd, C: Class>(simd: S, block: &[u8; BLOCK_BYTES]) -> Mask {
    let (lanes, _) = block.as_chunks();
    Mask::from(C::stops(simd, &lanes[0])) | (Mask::from(C::stops(simd, &lanes[1])) << LANE_BYTES)
}
