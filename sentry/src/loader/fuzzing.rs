//! Programs as a fuzzer has them.

use std::any::Any;

use super::elf::Image;
use super::{HEAD_BYTES, script};
use crate::Errno;
use crate::cred::{KernelGid, KernelUid};
use crate::fs::{DeviceNumber, File, Metadata, Timestamp};

/// An ELF file.
pub fn elf(bytes: &[u8]) {
    let head = bytes.get(..HEAD_BYTES).unwrap_or(bytes);
    if let Ok(image) = Image::parse(&Bytes(bytes.to_vec()), head) {
        let _ = (image.interpreter().map(<[u8]>::len), image.has_executable_stack());
    }
}

/// A script.
pub fn script(bytes: &[u8]) {
    let head = bytes.get(..HEAD_BYTES).unwrap_or(bytes);
    if let Ok(Some(script)) = script::parse(head) {
        assert!(script.arguments_for(b"script", &[]).len() <= 3);
    }
}

/// A file of these bytes.
pub(super) struct Bytes(pub(super) Vec<u8>);

impl File for Bytes {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.0.len());
        let len = buffer.len().min(self.0.len() - start);
        buffer[..len].copy_from_slice(&self.0[start..start + len]);
        Ok(len)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(Metadata {
            device: DeviceNumber::default(),
            inode: 1,
            mode: 0o100_755,
            links: 1,
            uid: KernelUid::ROOT,
            gid: KernelGid::ROOT,
            special_device: DeviceNumber::default(),
            size_bytes: self.0.len() as u64,
            block_size_bytes: 4096,
            blocks: 0,
            accessed: Timestamp::default(),
            modified: Timestamp::default(),
            changed: Timestamp::default(),
            created: None,
        })
    }
}
