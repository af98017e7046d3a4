use std::sync::Arc;

use super::*;
use crate::fs::DeviceNumber;
use crate::fs::block::ram::RamDisk;
use crate::memory::FrameAllocator;
use crate::platform::Platform;
use crate::platform::fake::FakePlatform;

fn disk() -> Arc<BlockDevice> {
    let platform: Arc<dyn Platform> = FakePlatform::new(16 << 20).unwrap();
    let frames = FrameAllocator::new(&platform, 16 << 20);
    BlockDevice::whole("ram0".into(), DeviceNumber::new(1, 0), RamDisk::new(&frames), &frames)
}

/// Writes a table's sector with `entries`: type, first sector, sectors.
fn write_sector(disk: &BlockDevice, sector: u64, entries: &[(u8, u32, u32)]) {
    let mut bytes = [0; 512];
    for ((kind, start, len), entry) in entries.iter().zip(bytes[446..].chunks_exact_mut(16)) {
        entry[4] = *kind;
        entry[8..12].copy_from_slice(&start.to_le_bytes());
        entry[12..].copy_from_slice(&len.to_le_bytes());
    }
    bytes[510..].copy_from_slice(&[0x55, 0xaa]);
    disk.write_all(&bytes, sector * 512).unwrap();
}

fn found(disk: &BlockDevice) -> Vec<(u32, u64, u64)> {
    let table = read_table(disk).unwrap();
    table.iter().map(|found| (found.index, found.start / 512, found.end / 512)).collect()
}

#[test]
fn a_disk_without_a_table_has_no_partitions() {
    assert_eq!(found(&disk()), []);
}

#[test]
fn logical_partitions_are_counted_from_five() {
    let disk = disk();
    write_sector(&disk, 0, &[(0x83, 64, 100), (0x05, 200, 1000), (0, 0, 0), (0x82, 2000, 10)]);
    write_sector(&disk, 200, &[(0x83, 2, 50), (0x05, 100, 60)]);
    write_sector(&disk, 300, &[(0x83, 4, 20)]);
    assert_eq!(found(&disk), [(1, 64, 164), (5, 202, 252), (6, 304, 324), (4, 2000, 2010)]);
}

#[test]
fn a_chain_of_logical_partitions_in_a_circle_ends() {
    let disk = disk();
    write_sector(&disk, 0, &[(0x0f, 200, 1000)]);
    write_sector(&disk, 200, &[(0x83, 2, 50), (0x05, 0, 60)]);
    assert_eq!(found(&disk).len(), MAX_LOGICAL as usize);
}

#[test]
fn a_guid_table_is_read_where_its_header_says() {
    let disk = disk();
    write_sector(&disk, 0, &[(0xee, 1, u32::MAX)]);
    let mut header = [0; 92];
    header[..8].copy_from_slice(b"EFI PART");
    header[72] = 2;
    header[80] = 128;
    header[84] = 128;
    disk.write_all(&header, 512).unwrap();
    let mut entry = [0; 128];
    (entry[0], entry[32], entry[40]) = (1, 34, 99);
    disk.write_all(&entry, 1024 + 128).unwrap();
    assert_eq!(found(&disk), [(2, 34, 100)]);
}
