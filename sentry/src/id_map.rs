//! Maps by serial numbers: ids that the sentry gives in ascending order and never takes from a guest's data.
//!
//! Nobody can choose such keys so that they collide, so the hash need not be costly. It keeps neighbours together:
//! sixteen ids in a row share a place, and what was made last is found in lines that are in the cache, however large
//! the map has grown. The places themselves are spread, so that old ids that stay do not pile up.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map whose keys are serial numbers, or hash as one.
pub(crate) type IdMap<K, V> = HashMap<K, V, BuildHasherDefault<IdHasher>>;

/// Hashes one number.
#[derive(Default)]
pub(crate) struct IdHasher(u64);

/// Ids that share a place: as many as the standard library's map looks at in one step.
const NEIGHBOURS_BITS: u32 = 4;
/// 2^64 divided by the golden ratio (Knuth, "The Art of Computer Programming" 3, 6.4).
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        let place = (self.0 >> NEIGHBOURS_BITS).wrapping_mul(SPREAD) >> 32;
        let neighbour = self.0 & ((1 << NEIGHBOURS_BITS) - 1);
        // The map looks for a key from where the low bits say, and tells keys apart by the highest seven.
        (place << NEIGHBOURS_BITS | neighbour) ^ self.0 << 57
    }

    fn write_u64(&mut self, id: u64) {
        self.0 ^= id;
    }

    fn write_i32(&mut self, number: i32) {
        self.write_u64(u64::from(number.cast_unsigned()));
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
}

#[cfg(test)]
mod tests;
