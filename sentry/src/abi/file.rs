//! Structures about files (`asm/stat.h`, `linux/stat.h`, `asm/statfs.h`, `linux/fcntl.h`, `linux/mount.h`,
//! `linux/dirent.h`, `linux/inotify.h`).

use linux_raw_sys::general as uapi;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{same_layout, structures};

structures! {
    /// `struct stat` (`man 3type stat`).
    Stat {
        st_dev: u64,
        st_ino: u64,
        st_nlink: u64,
        st_mode: u32,
        st_uid: u32,
        st_gid: u32,
        padding: u32,
        st_rdev: u64,
        st_size: i64,
        st_blksize: i64,
        st_blocks: i64,
        /// Linux's header declares the seconds as unsigned; they are two's complement.
        st_atime: i64,
        st_atime_nsec: u64,
        st_mtime: i64,
        st_mtime_nsec: u64,
        st_ctime: i64,
        st_ctime_nsec: u64,
        unused: [u64; 3],
    }

    /// `struct statx_timestamp` (`man 2 statx`).
    StatxTimestamp {
        tv_sec: i64,
        tv_nsec: u32,
        reserved: u32,
    }

    /// `struct statx` (`man 2 statx`).
    Statx {
        stx_mask: u32,
        stx_blksize: u32,
        stx_attributes: u64,
        stx_nlink: u32,
        stx_uid: u32,
        stx_gid: u32,
        stx_mode: u16,
        padding: u16,
        stx_ino: u64,
        stx_size: u64,
        stx_blocks: u64,
        stx_attributes_mask: u64,
        stx_atime: StatxTimestamp,
        stx_btime: StatxTimestamp,
        stx_ctime: StatxTimestamp,
        stx_mtime: StatxTimestamp,
        stx_rdev_major: u32,
        stx_rdev_minor: u32,
        stx_dev_major: u32,
        stx_dev_minor: u32,
        stx_mnt_id: u64,
        stx_dio_mem_align: u32,
        stx_dio_offset_align: u32,
        stx_subvol: u64,
        unused: [u64; 11],
    }

    /// `struct statfs` (`man 2 statfs`).
    Statfs {
        f_type: i64,
        f_bsize: i64,
        f_blocks: i64,
        f_bfree: i64,
        f_bavail: i64,
        f_files: i64,
        f_ffree: i64,
        f_fsid: [i32; 2],
        f_namelen: i64,
        f_frsize: i64,
        f_flags: i64,
        f_spare: [i64; 4],
    }

    /// `struct ustat` (`man 2 ustat`).
    Ustat {
        f_tfree: i32,
        padding: u32,
        f_tinode: u64,
        f_fname: [u8; 6],
        f_fpack: [u8; 6],
        tail: u32,
    }

    /// `struct flock` (`man 2 F_GETLK`).
    Flock {
        l_type: i16,
        l_whence: i16,
        padding: u32,
        l_start: i64,
        l_len: i64,
        l_pid: i32,
        tail_padding: u32,
    }

    /// `struct pollfd` (`man 2 poll`).
    PollFd {
        fd: i32,
        events: u16,
        revents: u16,
    }

    /// `struct epoll_event`, which is packed on x86-64 (`man 3type epoll_event`): the data is a word of 64 bits.
    EpollEvent {
        events: u32,
        data: [u32; 2],
    }

    /// `struct inotify_event` without the name (`man 7 inotify`).
    InotifyEvent {
        wd: i32,
        mask: u32,
        cookie: u32,
        len: u32,
    }

    /// `struct f_owner_ex` (`man 2 F_GETOWN_EX`).
    FileOwner {
        type_: i32,
        pid: i32,
    }

    /// `struct open_how` (`man 2 openat2`).
    OpenHow {
        flags: u64,
        mode: u64,
        resolve: u64,
    }

    /// `struct file_handle` up to the handle itself (`man 2 name_to_handle_at`).
    FileHandleHead {
        handle_bytes: u32,
        handle_type: i32,
    }

    /// `struct if_dqblk` (`man 2 quotactl`).
    IfDqblk {
        limits: [u64; 8],
        dqb_valid: u32,
        padding: u32,
    }

    /// `struct if_dqinfo` (`man 2 quotactl`).
    IfDqinfo {
        dqi_bgrace: u64,
        dqi_igrace: u64,
        dqi_flags: u32,
        dqi_valid: u32,
    }

    /// `struct fs_disk_quota` (`man 2 quotactl`), of which nothing is looked at.
    FsDiskQuota {
        bytes: [u64; 14],
    }

    /// `struct fstrim_range` (linux/fs.h), in bytes.
    FstrimRange {
        start: u64,
        len: u64,
        minlen: u64,
    }

    /// `struct space_resv` (linux/falloc.h).
    SpaceReservation {
        l_type: i16,
        l_whence: i16,
        padding: [u8; 4],
        l_start: i64,
        l_len: i64,
        l_sysid: i32,
        l_pid: u32,
        l_pad: [i32; 4],
    }

    /// `struct fsxattr` (`man 2 ioctl_xfs_fsgetxattr`).
    Fsxattr {
        fsx_xflags: u32,
        fsx_extsize: u32,
        fsx_nextents: u32,
        fsx_projid: u32,
        fsx_cowextsize: u32,
        fsx_pad: [u8; 8],
    }

    /// `struct file_attr` (`man 2 file_getattr`).
    FileAttr {
        fa_xflags: u64,
        fa_extsize: u32,
        fa_nextents: u32,
        fa_projid: u32,
        fa_cowextsize: u32,
    }

    /// `struct file_clone_range` (`man 2 ioctl_ficlonerange`).
    FileCloneRange {
        src_fd: i64,
        src_offset: u64,
        src_length: u64,
        dest_offset: u64,
    }

    /// The head of `struct file_dedupe_range` (`man 2 ioctl_fideduperange`).
    FileDedupeRange {
        src_offset: u64,
        src_length: u64,
        dest_count: u16,
        reserved1: u16,
        reserved2: u32,
    }

    /// `struct xattr_args` (`man 2 setxattrat`).
    XattrArgs {
        value: u64,
        size: u32,
        flags: u32,
    }

    /// `struct mount_attr` (`man 2 mount_setattr`).
    MountAttributes {
        attr_set: u64,
        attr_clr: u64,
        propagation: u64,
        userns_fd: u64,
    }
}

same_layout! {
    Stat, uapi::stat:
    st_dev st_ino st_nlink st_mode st_uid st_gid st_rdev st_size st_blksize st_blocks st_atime st_atime_nsec st_mtime
    st_mtime_nsec st_ctime st_ctime_nsec
}
same_layout! { StatxTimestamp, uapi::statx_timestamp: tv_sec tv_nsec }
same_layout! {
    Statx, uapi::statx:
    stx_mask stx_blksize stx_attributes stx_nlink stx_uid stx_gid stx_mode stx_ino stx_size stx_blocks
    stx_attributes_mask stx_atime stx_btime stx_ctime stx_mtime stx_rdev_major stx_rdev_minor stx_dev_major
    stx_dev_minor stx_mnt_id stx_dio_mem_align stx_dio_offset_align stx_subvol
}
same_layout! {
    Statfs, uapi::statfs:
    f_type f_bsize f_blocks f_bfree f_bavail f_files f_ffree f_fsid f_namelen f_frsize f_flags f_spare
}
same_layout! { Flock, uapi::flock: l_type l_whence l_start l_len l_pid }
same_layout! { PollFd, uapi::pollfd: fd events revents }
same_layout! { EpollEvent, uapi::epoll_event: events data }
same_layout! { InotifyEvent, uapi::inotify_event: wd mask cookie len }
same_layout! { FileOwner, uapi::f_owner_ex: type_ pid }
same_layout! { FstrimRange, uapi::fstrim_range: start len minlen }
same_layout! { Fsxattr, uapi::fsxattr: fsx_xflags fsx_extsize fsx_nextents fsx_projid fsx_cowextsize }
same_layout! { FileCloneRange, uapi::file_clone_range: src_fd src_offset src_length dest_offset }
same_layout! { OpenHow, uapi::open_how: flags mode resolve }
same_layout! { MountAttributes, uapi::mount_attr: attr_set attr_clr propagation userns_fd }

/// `struct linux_dirent64` up to the name, which follows without a gap (`man 2 getdents`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C, packed)]
pub(crate) struct LinuxDirent64 {
    pub(crate) d_ino: u64,
    pub(crate) d_off: u64,
    pub(crate) d_reclen: u16,
    pub(crate) d_type: u8,
}

/// `struct linux_dirent` up to the name; the type is the last byte of the record (`man 2 getdents`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C, packed)]
pub(crate) struct LinuxDirent {
    pub(crate) d_ino: u64,
    pub(crate) d_off: u64,
    pub(crate) d_reclen: u16,
}

const _: () = assert!(size_of::<LinuxDirent64>() == std::mem::offset_of!(uapi::linux_dirent64, d_name));
