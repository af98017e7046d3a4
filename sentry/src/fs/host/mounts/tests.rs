use super::*;

#[test]
fn file_systems_hold_files_and_kernel_interfaces_do_not() {
    const ZFS: u32 = 0x2fc1_2fc1;
    for (magic, blocks, expected) in [
        (uapi::EXT4_SUPER_MAGIC, 1000, Nature::Files),
        (uapi::XFS_SUPER_MAGIC, 1000, Nature::Files),
        (uapi::BTRFS_SUPER_MAGIC, 1000, Nature::Files),
        (uapi::SQUASHFS_MAGIC, 1000, Nature::Files),
        (uapi::ISOFS_SUPER_MAGIC, 1000, Nature::Files),
        (uapi::MSDOS_SUPER_MAGIC, 1000, Nature::Files),
        (ZFS, 1000, Nature::Files),
        (uapi::TMPFS_MAGIC, 0, Nature::Files),
        (uapi::RAMFS_MAGIC, 0, Nature::Files),
        (uapi::OVERLAYFS_SUPER_MAGIC, 0, Nature::Files),
        (uapi::NFS_SUPER_MAGIC, 0, Nature::Files),
        (uapi::V9FS_MAGIC, 0, Nature::Files),
        (uapi::PROC_SUPER_MAGIC, 0, Nature::Kernel),
        (uapi::SYSFS_MAGIC, 0, Nature::Kernel),
        (uapi::HUGETLBFS_MAGIC, 1000, Nature::Kernel),
        (uapi::EFIVARFS_MAGIC, 1000, Nature::Kernel),
        (uapi::FUSE_SUPER_MAGIC, 1000, Nature::Daemon),
        // Of tomorrow.
        (0x1234_5678, 0, Nature::Kernel),
        (0x1234_5678, 1, Nature::Files),
    ] {
        assert_eq!(nature(magic, blocks, None), expected, "{magic:#x}, {blocks} blocks");
    }
}

#[test]
fn types_that_share_a_number_are_told_by_the_table_of_mounts() {
    for (line, magic, expected) in [
        ("22 1 0:5 / /dev rw,nosuid shared:2 - devtmpfs udev rw", uapi::TMPFS_MAGIC, Nature::Kernel),
        ("22 1 0:5 / /dev rw,nosuid - devtmpfs udev rw", uapi::RAMFS_MAGIC, Nature::Kernel),
        ("22 1 0:5 / /dev rw,nosuid - tmpfs udev rw", uapi::TMPFS_MAGIC, Nature::Files),
        ("22 1 0:5 / /a rw - virtiofs share rw", uapi::FUSE_SUPER_MAGIC, Nature::Files),
        ("22 1 0:5 / /a rw - fuseblk /dev/sda1 rw", uapi::FUSE_SUPER_MAGIC, Nature::Files),
        ("22 1 0:5 / /a rw - fuse.lxcfs lxcfs rw", uapi::FUSE_SUPER_MAGIC, Nature::Daemon),
        ("22 1 0:6 / /a rw - virtiofs share rw", uapi::FUSE_SUPER_MAGIC, Nature::Daemon),
        ("", uapi::FUSE_SUPER_MAGIC, Nature::Daemon),
    ] {
        let mounts = HostMounts { ambiguous: ambiguous_type(line.as_bytes()).into_iter().collect() };
        let device = DeviceNumber::new(0, 5).as_u64();
        assert_eq!(nature(magic, 1, mounts.ambiguous.get(&device).copied()), expected, "{line}");
    }
}
