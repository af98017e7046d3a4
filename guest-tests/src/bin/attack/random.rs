//! Numbers that a seed makes (splitmix64).

/// A sequence of numbers.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

/// Numbers at which things change.
const EDGES: [u64; 12] = [
    0,
    1,
    0xfff,
    0x1000,
    0x40_0000,
    0x7fff_ffff,
    0xffff_ffff,
    0x7fff_ffff_f000,
    0x8000_0000_0000,
    i64::MAX as u64,
    u64::MAX - 0xfff,
    u64::MAX,
];

impl Random {
    /// The sequence of `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `end`, or 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// A number at which something changes, or near it.
    pub(crate) fn edge(&mut self) -> u64 {
        let place = self.below(EDGES.len() as u64) as usize;
        EDGES.get(place).copied().unwrap_or_default().wrapping_add(self.below(5)).wrapping_sub(2)
    }
}
