//! The caches in few words (SDM 2A, CPUID 02H, "Encoding of CPUID Leaf 2 Descriptors").
//!
//! Today's processors say there only that leaf 4 knows. The C library asks fifteen times at the start of every program, and each
//! time goes on through leaf 4: 33 of the 67 exits by CPUID of a program that does nothing. So leaf 2 names the caches itself, as
//! it was made to. The table ends with the caches of its time: the largest is named that is no larger than the real one. Leaf 4
//! stays exact.

use kvm_bindings::{CpuId, kvm_cpuid_entry2};

use super::find;

/// "Leaf 4 knows."
const IN_LEAF_4: u8 = 0xff;
/// No cache of the second level, or if there is one, none of the third.
const NO_THIRD_LEVEL: u8 = 0x40;

/// Kinds of caches, as leaf 4 numbers them.
const DATA: u32 = 1;
const INSTRUCTIONS: u32 = 2;
const UNIFIED: u32 = 3;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Caches that have descriptors, with lines of 64 bytes.
struct Named {
    level: u32,
    kind: u32,
    /// Sizes in bytes with their descriptors, the smallest first.
    names: &'static [(u64, u8)],
}

const NAMED: [Named; 4] = [
    Named { level: 1, kind: DATA, names: &[(16 * KIB, 0x60), (24 * KIB, 0x0e), (32 * KIB, 0x2c)] },
    Named { level: 1, kind: INSTRUCTIONS, names: &[(32 * KIB, 0x30)] },
    Named {
        level: 2,
        kind: UNIFIED,
        names: &[
            (256 * KIB, 0x21),
            (512 * KIB, 0x86),
            (MIB, 0x87),
            (2 * MIB, 0x7d),
            (3 * MIB, 0x48),
            (6 * MIB, 0x4e),
        ],
    },
    Named {
        level: 3,
        kind: UNIFIED,
        names: &[
            (MIB, 0xd6),
            (2 * MIB, 0xe2),
            (4 * MIB, 0xe3),
            (8 * MIB, 0xe4),
            (12 * MIB, 0xea),
            (18 * MIB, 0xeb),
            (24 * MIB, 0xec),
        ],
    },
];

/// Has leaf 2 name the caches where it refers to leaf 4; nothing changes if one is too small for every name.
pub(crate) fn name_caches(cpuid: &mut CpuId) {
    let Some(mut descriptors) = find(cpuid, 2, 0).map(descriptors_of) else { return };
    if !descriptors.contains(&IN_LEAF_4) {
        return;
    }
    descriptors.retain(|&descriptor| descriptor != IN_LEAF_4);
    for named in NAMED {
        match descriptor_of(cpuid, &named) {
            Some(descriptor) => descriptors.push(descriptor),
            None => return,
        }
    }
    let Some(registers) = registers_of(descriptors) else { return };
    if let Some(leaf) = cpuid.as_mut_slice().iter_mut().find(|leaf| leaf.function == 2) {
        [leaf.eax, leaf.ebx, leaf.ecx, leaf.edx] = registers;
    }
}

/// The bytes of leaf 2 that say something.
fn descriptors_of(leaf: &kvm_cpuid_entry2) -> Vec<u8> {
    // The lowest byte is how often one has to ask; a register with its highest bit set says nothing.
    let registers = [leaf.eax & !0xff, leaf.ebx, leaf.ecx, leaf.edx];
    let valid = registers.into_iter().filter(|register| register >> 31 == 0);
    valid.flat_map(u32::to_le_bytes).filter(|&descriptor| descriptor != 0).collect()
}

fn descriptor_of(cpuid: &CpuId, named: &Named) -> Option<u8> {
    let is_meant =
        |leaf: &&kvm_cpuid_entry2| leaf.eax >> 5 & 7 == named.level && leaf.eax & 0x1f == named.kind;
    let leaf = match cpuid.as_slice().iter().filter(|leaf| leaf.function == 4).find(is_meant) {
        Some(leaf) => leaf,
        None => return (named.level == 3).then_some(NO_THIRD_LEVEL),
    };
    let field = |shift: u32, bits: u32| u64::from(leaf.ebx >> shift & ((1 << bits) - 1)) + 1;
    let size_bytes = field(22, 10) * field(12, 10) * field(0, 12) * (u64::from(leaf.ecx) + 1);
    named.names.iter().rfind(|(bytes, _)| *bytes <= size_bytes).map(|(_, descriptor)| *descriptor)
}

/// Descriptors as the four registers have them; `None` if there are too many.
fn registers_of(descriptors: Vec<u8>) -> Option<[u32; 4]> {
    // A highest bit that is set would make its register void.
    let (anywhere, mut not_last): (Vec<u8>, Vec<u8>) =
        descriptors.into_iter().partition(|byte| byte >> 7 == 0);
    let mut anywhere = anywhere.into_iter();
    let mut bytes = [0; 16];
    bytes[0] = 1;
    for place in [3, 7, 11, 15] {
        bytes[place] = anywhere.next().unwrap_or(0);
    }
    not_last.extend(anywhere);
    let places = [1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14];
    if not_last.len() > places.len() {
        return None;
    }
    for (place, descriptor) in places.into_iter().zip(not_last) {
        bytes[place] = descriptor;
    }
    let register = |first: usize| u32::from_le_bytes(std::array::from_fn(|index| bytes[first + index]));
    Some([register(0), register(4), register(8), register(12)])
}

#[cfg(test)]
mod tests;
