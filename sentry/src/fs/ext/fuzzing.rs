//! File systems as a fuzzer has them.

use std::sync::{Arc, LazyLock};

use super::ROOT;
use super::lower::ExtFile;
use super::superblock::Version;
use super::volume::ExtVolume;
use crate::Errno;
use crate::fs::FileKind;
use crate::fs::block::{BlockDevice, BlockDevices};
use crate::fs::lower::{LowerFile, LowerStatus};
use crate::memory::FrameAllocator;
use crate::platform::Platform;
use crate::platform::fake::FakePlatform;

const MEMORY_BYTES: u64 = 128 << 20;
/// How many files are looked at, how deep, and how much of each is read.
const MAX_FILES: usize = 200;
const MAX_DEPTH: usize = 8;
const READ_BYTES: usize = 16 << 10;

static FRAMES: LazyLock<Option<Arc<FrameAllocator>>> = LazyLock::new(|| {
    let platform: Arc<dyn Platform> = FakePlatform::new(2 * MEMORY_BYTES).ok()?;
    Some(FrameAllocator::new(&platform, MEMORY_BYTES))
});

/// A block device with an ext2, ext3 or ext4, which is mounted and looked through.
pub fn ext_image(bytes: &[u8]) {
    for (version, is_read_only) in [(Version::Ext2, true), (Version::Ext4, false)] {
        let Some(device) = device_of(bytes) else { return };
        // Anything may be refused.
        let _ = look_through(&device, version, is_read_only);
    }
}

/// A ramdisk that begins with these bytes.
fn device_of(bytes: &[u8]) -> Option<Arc<BlockDevice>> {
    let device = BlockDevices::new(FRAMES.as_ref()?).named(b"ram0")?;
    let len = usize::try_from(device.size_bytes()).ok()?.min(bytes.len());
    device.write_all(bytes.get(..len)?, 0).ok()?;
    Some(device)
}

fn look_through(device: &Arc<BlockDevice>, version: Version, is_read_only: bool) -> Result<(), Errno> {
    let volume = ExtVolume::open(device, version, is_read_only)?;
    let (root, status) = ExtFile::new(&volume, ROOT)?;
    let mut left = MAX_FILES;
    look_at(&*root, &status, 0, &mut left);
    Ok(())
}

fn look_at(file: &dyn LowerFile, status: &LowerStatus, depth: usize, left: &mut usize) {
    if *left == 0 || depth > MAX_DEPTH {
        return;
    }
    *left -= 1;
    let _ = file.xattrs();
    if status.kind != FileKind::Directory {
        let _ = file.check_readable().and_then(|()| file.read_at(&mut [0; READ_BYTES], 0));
        let _ = file.read_at(&mut [0; 16], status.size_bytes.saturating_sub(9));
        return;
    }
    for entry in file.list().unwrap_or_default() {
        if let Ok((below, status)) = file.lookup(&entry.name) {
            look_at(&*below, &status, depth + 1, left);
        }
    }
}
