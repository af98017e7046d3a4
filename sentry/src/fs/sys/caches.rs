//! The processor's caches, as CPUID tells of them (SDM volume 2A, CPUID, leaf 4; AMD's manual has the same at 0x8000001D).

use std::arch::x86_64::{__cpuid, __cpuid_count, CpuidResult};

/// Leaves that hold a cache's parameters in each subleaf: Intel's and AMD's.
const LEAVES: [u32; 2] = [4, 0x8000_001d];
/// No processor has more.
const MAX_CACHES: u32 = 16;
/// Caches from this level on belong to all CPUs of a package.
const SHARED_LEVEL: u32 = 3;

/// What a cache holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contents {
    Data,
    Instructions,
    Both,
}

impl Contents {
    /// sysfs's word for it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Data => "Data",
            Self::Instructions => "Instruction",
            Self::Both => "Unified",
        }
    }
}

/// One of the caches that a CPU uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cache {
    pub(super) contents: Contents,
    pub(super) level: u32,
    pub(super) line_bytes: u32,
    pub(super) partitions: u32,
    pub(super) ways: u32,
    pub(super) sets: u64,
}

impl Cache {
    /// All caches of a CPU; none if the processor does not tell. CPUID is slow in a virtual machine, so that this is for
    /// who looks at the files, and not for start-up.
    pub(super) fn all() -> Vec<Self> {
        let is_known = |leaf: u32| __cpuid(leaf & 0x8000_0000).eax >= leaf;
        let told = LEAVES.into_iter().filter(|leaf| is_known(*leaf)).map(|leaf| {
            (0..MAX_CACHES).map_while(|index| Self::from_cpuid(__cpuid_count(leaf, index))).collect()
        });
        told.into_iter().find(|caches: &Vec<Self>| !caches.is_empty()).unwrap_or_default()
    }

    /// Decodes a subleaf; `None` beyond the last cache.
    fn from_cpuid(CpuidResult { eax, ebx, ecx, .. }: CpuidResult) -> Option<Self> {
        let contents = match eax & 0x1f {
            1 => Contents::Data,
            2 => Contents::Instructions,
            3 => Contents::Both,
            _ => return None,
        };
        Some(Self {
            contents,
            level: eax >> 5 & 7,
            line_bytes: (ebx & 0xfff) + 1,
            partitions: (ebx >> 12 & 0x3ff) + 1,
            ways: (ebx >> 22) + 1,
            sets: u64::from(ecx) + 1,
        })
    }

    pub(super) fn size_bytes(&self) -> u64 {
        let line = u64::from(self.line_bytes) * u64::from(self.partitions) * u64::from(self.ways);
        line.saturating_mul(self.sets)
    }

    /// Whether all CPUs use it together.
    pub(super) fn is_shared(&self) -> bool {
        self.level >= SHARED_LEVEL
    }
}

#[cfg(test)]
mod tests;
