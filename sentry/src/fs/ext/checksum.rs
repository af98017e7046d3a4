//! Checksums of metadata (`Documentation/filesystems/ext4`, "Checksums").

/// What a checksum begins with.
pub(super) const START: u32 = !0;

/// CRC-32C of `bytes` behind what `crc` is of, without the inversion at the end.
pub(super) fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut index = 0;
        while index < 256 {
            let (mut value, mut bit) = (index as u32, 0);
            while bit < 8 {
                value = (value >> 1) ^ if value & 1 != 0 { POLYNOMIAL } else { 0 };
                bit += 1;
            }
            table[index] = value;
            index += 1;
        }
        table
    };
    bytes.iter().fold(crc, |crc, byte| {
        let index = (crc ^ u32::from(*byte)) & 0xff;
        (crc >> 8) ^ TABLE.get(index as usize).copied().unwrap_or(0)
    })
}

/// CRC-16 (ANSI) of `bytes` behind what `crc` is of.
pub(super) fn crc16(crc: u16, bytes: &[u8]) -> u16 {
    const POLYNOMIAL: u16 = 0xa001;
    bytes.iter().fold(crc, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 != 0 { POLYNOMIAL } else { 0 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_values_of_the_catalogue_come_out() {
        assert_eq!(!crc32c(START, b"123456789"), 0xe306_9283);
        assert_eq!(crc16(0, b"123456789"), 0xbb3d);
    }
}
