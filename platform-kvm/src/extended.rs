//! Extended state: the XSAVE area in standard format (SDM 1 13.4).
//!
//! KVM keeps the MXCSR that a vCPU had if an area leaves SSE in its initial state. So what we hand to KVM
//! always spells x87 and SSE out.

use kvm_bindings::{CpuId, Xsave};
use sentry::platform::{InvalidExtendedState, PlatformError};

use crate::cpuid;

/// Length of the legacy region (FXSAVE).
const LEGACY_LEN: usize = 512;
/// Length of the legacy region and the header.
pub(crate) const HEADER_END: usize = 576;
/// Length of the part of `struct kvm_xsave` that is always there.
const KVM_XSAVE_LEN: usize = 4096;
/// XSTATE_BV, in the header.
const XSTATE_BV: std::ops::Range<usize> = 512..520;
const MXCSR: std::ops::Range<usize> = 24..28;
/// x87 and SSE.
pub(crate) const LEGACY_FEATURES: u64 = 3;
/// FCW after FNINIT.
const INITIAL_FCW: [u8; 2] = 0x37f_u16.to_le_bytes();
/// MXCSR after reset.
const INITIAL_MXCSR: [u8; 4] = 0x1f80_u32.to_le_bytes();
/// The bits of MXCSR that exist: all of the low 16, and AMD's MM (SDM 1 10.2.3).
const MXCSR_MASK: u32 = 0x2_ffff;

/// The extended state that this machine's user code has.
#[derive(Debug)]
pub(crate) struct Format {
    /// XCR0.
    pub(crate) features: u64,
    /// Length of the area in bytes: at least [`HEADER_END`].
    pub(crate) len_bytes: usize,
    /// Where each component beyond SSE ends.
    ends: Vec<(u64, usize)>,
    /// Entries of [`Xsave`]'s tail, beyond its 4096 bytes.
    tail_words: usize,
}

impl Format {
    /// Reads the format from CPUID. `kvm_len_bytes` is KVM_CAP_XSAVE2: what KVM copies.
    pub(crate) fn new(supported: &CpuId, host_xcr0: u64, kvm_len_bytes: usize) -> Self {
        let features = cpuid::extended_features(supported, host_xcr0);
        Self {
            features,
            len_bytes: cpuid::extended_state_len_bytes(supported, features),
            ends: cpuid::extended_state_ends(supported, features),
            tail_words: kvm_len_bytes.saturating_sub(KVM_XSAVE_LEN).div_ceil(4),
        }
    }

    /// An area for KVM to write to.
    pub(crate) fn buffer(&self) -> Result<Xsave, PlatformError> {
        Xsave::new(self.tail_words).map_err(|error| PlatformError::Unexpected {
            attempt: "make room for a vCPU's extended state",
            reason: format!("{error:?}"),
        })
    }

    /// The bytes of an area that KVM wrote, without the components that are not the guest's: where XCR0 is not switched, KVM
    /// tells of the host's as well (PKRU, which Linux keeps in use).
    pub(crate) fn to_bytes(&self, area: &Xsave) -> Vec<u8> {
        let mut bytes = vec![0; self.len_bytes];
        let words = area.as_fam_struct_ref().xsave.region.iter().chain(area.as_slice());
        for (bytes, word) in bytes.chunks_mut(4).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes()[..bytes.len()]);
        }
        for (byte, features) in bytes[XSTATE_BV].iter_mut().zip(self.features.to_le_bytes()) {
            *byte &= features;
        }
        bytes
    }

    /// An area for KVM with the given bytes, which came from [`Format::normalize`] or [`Format::to_bytes`].
    pub(crate) fn to_xsave(&self, bytes: &[u8]) -> Result<Xsave, PlatformError> {
        let mut area = self.buffer()?;
        let mut words =
            bytes.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
        for (target, word) in area.as_mut_slice_of_head().iter_mut().zip(&mut words) {
            *target = word;
        }
        for (target, word) in area.as_mut_slice().iter_mut().zip(&mut words) {
            *target = word;
        }
        Ok(area)
    }

    /// The state of a new task.
    pub(crate) fn initial(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len_bytes];
        bytes[..2].copy_from_slice(&INITIAL_FCW);
        bytes[MXCSR].copy_from_slice(&INITIAL_MXCSR);
        bytes[XSTATE_BV].copy_from_slice(&LEGACY_FEATURES.to_le_bytes());
        bytes
    }

    /// Checks an area as XRSTOR would, and spells out what it leaves in its initial state.
    pub(crate) fn normalize(&self, area: &[u8]) -> Result<Vec<u8>, InvalidExtendedState> {
        let area = area.get(..self.len_bytes).unwrap_or(area);
        let legacy = area.get(..LEGACY_LEN).ok_or(InvalidExtendedState)?;
        let mut bytes = self.initial();
        let mxcsr = &legacy[MXCSR];
        if mxcsr.iter().zip(MXCSR_MASK.to_le_bytes()).any(|(byte, mask)| byte & !mask != 0) {
            return Err(InvalidExtendedState);
        }
        let present = match area.get(LEGACY_LEN..HEADER_END) {
            None => LEGACY_FEATURES,
            Some(header) => self.present(header, area.len())?,
        };
        if present & 1 != 0 {
            bytes[..MXCSR.start].copy_from_slice(&legacy[..MXCSR.start]);
            bytes[32..160].copy_from_slice(&legacy[32..160]);
        }
        if present & 2 != 0 {
            bytes[160..416].copy_from_slice(&legacy[160..416]);
        }
        bytes[MXCSR].copy_from_slice(mxcsr);
        bytes[XSTATE_BV].copy_from_slice(&(present | LEGACY_FEATURES).to_le_bytes());
        if let Some(tail) = area.get(HEADER_END..) {
            bytes[HEADER_END..HEADER_END + tail.len()].copy_from_slice(tail);
        }
        Ok(bytes)
    }

    /// The components that a header says are present and that the area is long enough to hold.
    fn present(&self, header: &[u8], len_bytes: usize) -> Result<u64, InvalidExtendedState> {
        let (present, rest) = header.split_at(8);
        let present = u64::from_le_bytes(present.try_into().map_err(|_| InvalidExtendedState)?);
        // XCOMP_BV and the reserved bytes are zero in standard format (SDM 1 13.8.1).
        if present & !self.features != 0 || rest.iter().any(|byte| *byte != 0) {
            return Err(InvalidExtendedState);
        }
        let cut_off = self
            .ends
            .iter()
            .filter(|(_, end)| *end > len_bytes)
            .fold(0, |features, (feature, _)| features | feature);
        Ok(present & !cut_off)
    }
}

/// An area that waits for a vCPU, without its zeros: of the two to eleven KiB that the processor's features make of it, few are
/// ever anything else.
pub(crate) struct Packed {
    len_bytes: usize,
    /// A bit for each word of the area, then the words that are not zero.
    words: Box<[u64]>,
}

impl Packed {
    /// Packs an area.
    pub(crate) fn new(area: &[u8]) -> Self {
        let count = area.len().div_ceil(8);
        let mut words = vec![0; count.div_ceil(64)];
        for (index, bytes) in area.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..bytes.len()].copy_from_slice(bytes);
            let word = u64::from_le_bytes(word);
            if word != 0 {
                words[index / 64] |= 1 << (index % 64);
                words.push(word);
            }
        }
        Self { len_bytes: area.len(), words: words.into() }
    }

    /// The area.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let (present, words) = self.words.split_at(self.len_bytes.div_ceil(8).div_ceil(64));
        let mut words = words.iter();
        let mut bytes = vec![0; self.len_bytes];
        for (index, bytes) in bytes.chunks_mut(8).enumerate() {
            if present[index / 64] >> (index % 64) & 1 == 1
                && let Some(word) = words.next()
            {
                bytes.copy_from_slice(&word.to_le_bytes()[..bytes.len()]);
            }
        }
        bytes
    }
}

/// The fixed part of an [`Xsave`].
trait Head {
    fn as_mut_slice_of_head(&mut self) -> &mut [u32];
}

impl Head for Xsave {
    fn as_mut_slice_of_head(&mut self) -> &mut [u32] {
        // SAFETY: the length of the flexible tail is not touched through this reference.
        unsafe { &mut self.as_mut_fam_struct().xsave.region }
    }
}

#[cfg(test)]
mod tests;
