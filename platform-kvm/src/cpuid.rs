//! What the guest's CPUID says: what KVM supports, less what cannot work here.
//!
//! Some hosts let the guest execute CPUID itself; then this has no effect and the sentry's answers
//! (ENOSYS, EINVAL) say what does not work.

mod caches;

use kvm_bindings::{CpuId, kvm_cpuid_entry2};

pub(crate) use self::caches::name_caches;

/// XCR0: x87, SSE, AVX and AVX-512 (SDM 1 13.3). Not MPX, PKRU (CR4.PKE stays off) or AMX (17, 18: needs
/// leave from the host's kernel, `arch_prctl(ARCH_REQ_XCOMP_GUEST_PERM)`).
const USER_FEATURES: u64 = 0b1110_0111;

/// The features of XCR0 that user code gets: those of the host that KVM supports too.
pub(crate) fn extended_features(supported: &CpuId, host_xcr0: u64) -> u64 {
    let kvms = find(supported, 0xd, 0).map_or(3, |leaf| u64::from(leaf.edx) << 32 | u64::from(leaf.eax));
    (kvms & host_xcr0 & USER_FEATURES) | 3
}

/// Bytes of the XSAVE area in standard format (SDM 1 13.4.3): leaf 0DH gives offset and size by component.
pub(crate) fn extended_state_len_bytes(supported: &CpuId, features: u64) -> usize {
    (2..63)
        .filter(|component| features >> component & 1 == 1)
        .filter_map(|component| find(supported, 0xd, component))
        .map(|leaf| leaf.ebx as usize + leaf.eax as usize)
        .max()
        .unwrap_or(0)
        .max(576)
}

/// Where each component of the XSAVE area ends, by its bit in XCR0.
pub(crate) fn extended_state_ends(supported: &CpuId, features: u64) -> Vec<(u64, usize)> {
    (2..63)
        .filter(|component| features >> component & 1 == 1)
        .filter_map(|component| find(supported, 0xd, component).map(|leaf| (component, leaf)))
        .map(|(component, leaf)| (1 << component, leaf.ebx as usize + leaf.eax as usize))
        .collect()
}

/// Bits of a guest-physical address that KVM can map: MAXPHYADDR, or less where its page tables reach less far (SDM 2A
/// and APM 3, CPUID 80000008H: PhysAddrSize and GuestPhysAddrSize).
pub(crate) fn physical_address_bits(supported: &CpuId) -> u32 {
    let Some(leaf) = find(supported, 0x8000_0008, 0) else { return 36 };
    match (leaf.eax & 0xff, leaf.eax >> 16 & 0xff) {
        (all, 0) => all,
        (all, mapped) => all.min(mapped),
    }
}

/// Hides what the guest cannot have: virtualisation, and features whose bit in CR4 or XCR0 stays off.
pub(crate) fn hide_unusable(cpuid: &mut CpuId, features: u64) {
    for leaf in cpuid.as_mut_slice() {
        match (leaf.function, leaf.index) {
            (1, _) => leaf.ecx &= !(1 << 5), // VMX
            (7, 0) => {
                leaf.ebx &= !(1 << 14); // MPX
                leaf.ecx &= !(1 << 3 | 1 << 4 | 1 << 7 | 1 << 16); // PKU, OSPKE, CET_SS, LA57
                leaf.edx &= !(1 << 20); // CET_IBT
            }
            (7, 1) => leaf.eax &= !(1 << 26), // LAM
            (0xd, 0) => {
                leaf.eax &= features as u32;
                leaf.edx &= (features >> 32) as u32;
            }
            (0xd, component @ 2..63) if features >> component & 1 == 0 => {
                (leaf.eax, leaf.ebx, leaf.ecx, leaf.edx) = (0, 0, 0, 0);
            }
            (0x8000_0001, _) => leaf.ecx &= !(1 << 2), // SVM
            _ => {}
        }
    }
}

/// Whether the processor has SMEP and SMAP (SDM 2A, CPUID 07H: EBX 7 and 20).
pub(crate) fn has_supervisor_protection(supported: &CpuId) -> bool {
    find(supported, 7, 0).is_some_and(|leaf| leaf.ebx >> 7 & 1 == 1 && leaf.ebx >> 20 & 1 == 1)
}

/// Whether the processor has RDTSCP (SDM 2A, CPUID 80000001H: EDX 27).
pub(crate) fn has_rdtscp(supported: &CpuId) -> bool {
    find(supported, 0x8000_0001, 0).is_some_and(|leaf| leaf.edx >> 27 & 1 == 1)
}

fn find(cpuid: &CpuId, function: u32, index: u32) -> Option<&kvm_cpuid_entry2> {
    cpuid.as_slice().iter().find(|leaf| leaf.function == function && leaf.index == index)
}

#[cfg(test)]
mod tests;
