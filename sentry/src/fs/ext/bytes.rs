//! Little-endian fields at fixed places of a block. What lies outside reads as zero, and is not written.

/// The 16 bits at `offset`.
pub(super) fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    let field = bytes.get(offset..).and_then(<[u8]>::first_chunk::<2>);
    field.map_or(0, |field| u16::from_le_bytes(*field))
}

/// The 32 bits at `offset`.
pub(super) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    let field = bytes.get(offset..).and_then(<[u8]>::first_chunk::<4>);
    field.map_or(0, |field| u32::from_le_bytes(*field))
}

/// Sets the 16 bits at `offset`.
pub(super) fn set_u16(bytes: &mut [u8], offset: usize, value: u16) {
    if let Some(field) = bytes.get_mut(offset..).and_then(<[u8]>::first_chunk_mut::<2>) {
        *field = value.to_le_bytes();
    }
}

/// Sets the 32 bits at `offset`.
pub(super) fn set_u32(bytes: &mut [u8], offset: usize, value: u32) {
    if let Some(field) = bytes.get_mut(offset..).and_then(<[u8]>::first_chunk_mut::<4>) {
        *field = value.to_le_bytes();
    }
}

/// The lower 16 bits.
pub(super) fn low(value: u32) -> u16 {
    (value & 0xffff) as u16
}

/// The upper 16 bits.
pub(super) fn high(value: u32) -> u16 {
    (value >> 16) as u16
}
