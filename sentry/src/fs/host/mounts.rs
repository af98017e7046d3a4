//! Which file systems of the host hold files, and which show its kernel.
//!
//! An image is a tree of files. What the host has mounted below it may be more files, or a live interface: procfs tells of
//! the host's processes, sysfs of its devices, FUSE of whatever a daemon makes up. The latter are never seen inside. They
//! are told by the type that statfs(2) gives, at every crossing from one device to another: a file system has one device
//! number, and two have two.
//!
//! Types that are not known here are told by whether they count storage: kernel interfaces do not, since they take
//! `simple_statfs` of Linux's libfs, and so would one that is yet to be written; a file system that holds files says
//! how many it has room for, or df(1) is of no use on it. Those files of which Linux counts no storage are listed.
//!
//! Two types are two things. devtmpfs says that it is tmpfs, and virtiofs that it is FUSE; the table of mounts, read once when
//! the sandbox begins, has their names. A devtmpfs that is first mounted later passes for a tmpfs: its nodes are as inert
//! as any device node of an image. A virtiofs that is first mounted later is not seen.

use std::collections::HashMap;
use std::os::fd::AsFd;

use linux_raw_sys::general as uapi;
use rustix::fs::fstatfs;

use crate::fs::metadata::DeviceNumber;
use crate::host::{HostCall, count_call};

/// The mounts of this process (`man 5 proc_pid_mountinfo`).
const MOUNT_TABLE: &str = "/proc/self/mountinfo";

/// Types that show the kernel, or files that are not files.
const KERNEL_INTERFACES: [u32; 42] = [
    uapi::AAFS_MAGIC,
    uapi::ANON_INODE_FS_MAGIC,
    uapi::AUTOFS_SUPER_MAGIC,
    uapi::BDEVFS_MAGIC,
    uapi::BINDERFS_SUPER_MAGIC,
    uapi::BINFMTFS_MAGIC,
    uapi::BPF_FS_MAGIC,
    uapi::CGROUP_SUPER_MAGIC,
    uapi::CGROUP2_SUPER_MAGIC,
    CONFIGFS_MAGIC,
    uapi::DAXFS_MAGIC,
    uapi::DEBUGFS_MAGIC,
    uapi::DEVMEM_MAGIC,
    uapi::DEVPTS_SUPER_MAGIC,
    DLMFS_MAGIC,
    uapi::DMA_BUF_MAGIC,
    uapi::EFIVARFS_MAGIC,
    FUNCTIONFS_MAGIC,
    FUSE_CONTROL_MAGIC,
    uapi::FUTEXFS_SUPER_MAGIC,
    GADGETFS_MAGIC,
    uapi::HUGETLBFS_MAGIC,
    MQUEUE_MAGIC,
    uapi::MTD_INODE_FS_MAGIC,
    NFSD_MAGIC,
    uapi::NSFS_MAGIC,
    uapi::OPENPROM_SUPER_MAGIC,
    uapi::PID_FS_MAGIC,
    uapi::PIPEFS_MAGIC,
    uapi::PROC_SUPER_MAGIC,
    uapi::PSTOREFS_MAGIC,
    uapi::RDTGROUP_SUPER_MAGIC,
    RPC_PIPEFS_MAGIC,
    uapi::SECRETMEM_MAGIC,
    uapi::SECURITYFS_MAGIC,
    uapi::SELINUX_MAGIC,
    uapi::SMACK_MAGIC,
    uapi::SOCKFS_MAGIC,
    uapi::SYSFS_MAGIC,
    uapi::TRACEFS_MAGIC,
    uapi::USBDEVICE_SUPER_MAGIC,
    uapi::XENFS_SUPER_MAGIC,
];

// Types that linux/magic.h leaves to their file systems.
/// fs/configfs/mount.c.
const CONFIGFS_MAGIC: u32 = 0x6265_6570;
/// fs/ocfs2/dlmfs/dlmfs.c.
const DLMFS_MAGIC: u32 = 0x76a9_f425;
/// drivers/usb/gadget/function/f_fs.c.
const FUNCTIONFS_MAGIC: u32 = 0x0a64_7361;
/// fs/fuse/control.c.
const FUSE_CONTROL_MAGIC: u32 = 0x6573_5543;
/// drivers/usb/gadget/legacy/inode.c.
const GADGETFS_MAGIC: u32 = 0xaee7_1ee7;
/// ipc/mqueue.c.
const MQUEUE_MAGIC: u32 = 0x1980_0202;
/// fs/nfsd/nfsctl.c.
const NFSD_MAGIC: u32 = 0x6e66_7364;
/// net/sunrpc/rpc_pipe.c.
const RPC_PIPEFS_MAGIC: u32 = 0x6759_6969;

/// Types that hold files, and may count no storage: overlays of a tmpfs without limit, servers that do not tell.
const FILES_WITHOUT_BLOCKS: [u32; 11] = [
    uapi::AFS_SUPER_MAGIC,
    uapi::AFS_FS_MAGIC,
    uapi::CEPH_SUPER_MAGIC,
    uapi::CIFS_SUPER_MAGIC,
    uapi::CODA_SUPER_MAGIC,
    uapi::ECRYPTFS_SUPER_MAGIC,
    uapi::HOSTFS_SUPER_MAGIC,
    uapi::NFS_SUPER_MAGIC,
    uapi::OVERLAYFS_SUPER_MAGIC,
    uapi::SMB2_SUPER_MAGIC,
    uapi::V9FS_MAGIC,
];

/// What is known of the host's mounts.
#[derive(Default)]
pub(in crate::fs) struct HostMounts {
    /// The types of file systems whose magic number does not tell them apart, by device.
    ambiguous: HashMap<u64, AmbiguousType>,
}

/// A type that shares its magic number with another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AmbiguousType {
    Devtmpfs,
    /// FUSE whose files are a device's (virtiofs, fuseblk).
    FuseOfDevice,
}

impl HostMounts {
    /// The mounts of now. Without a procfs to tell, none is known.
    pub(in crate::fs) fn read() -> Self {
        let table = std::fs::read(MOUNT_TABLE).unwrap_or_default();
        Self { ambiguous: table.split(|byte| *byte == b'\n').filter_map(ambiguous_type).collect() }
    }

    /// Whether `file`, open at least for O_PATH, lies on a file system that holds files, given its device.
    ///
    /// # Errors
    /// The host's.
    pub(in crate::fs) fn hold_files(&self, file: impl AsFd, device: u64) -> rustix::io::Result<bool> {
        self.judge(file, device).map(|nature| nature == Nature::Files)
    }

    /// Whether `directory` may be the root of an image. One that FUSE serves may: somebody has named it.
    ///
    /// # Errors
    /// The host's.
    pub(in crate::fs) fn allow_root(&self, directory: impl AsFd, device: u64) -> rustix::io::Result<bool> {
        self.judge(directory, device).map(|nature| nature != Nature::Kernel)
    }

    fn judge(&self, file: impl AsFd, device: u64) -> rustix::io::Result<Nature> {
        count_call(HostCall::StatFs);
        let statistics = fstatfs(file)?;
        // Linux keeps magic numbers in a word, and gives out no more than 32 bits of them.
        let magic = statistics.f_type as u32;
        Ok(nature(magic, statistics.f_blocks, self.ambiguous.get(&device).copied()))
    }
}

/// What a file system is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nature {
    Files,
    /// What a daemon of the host says.
    Daemon,
    Kernel,
}

fn nature(magic: u32, blocks: u64, ambiguous: Option<AmbiguousType>) -> Nature {
    match (magic, ambiguous) {
        (uapi::TMPFS_MAGIC | uapi::RAMFS_MAGIC, Some(AmbiguousType::Devtmpfs)) => Nature::Kernel,
        (uapi::TMPFS_MAGIC | uapi::RAMFS_MAGIC, _) => Nature::Files,
        (uapi::FUSE_SUPER_MAGIC, Some(AmbiguousType::FuseOfDevice)) => Nature::Files,
        (uapi::FUSE_SUPER_MAGIC, _) => Nature::Daemon,
        _ if KERNEL_INTERFACES.contains(&magic) => Nature::Kernel,
        _ if blocks > 0 || FILES_WITHOUT_BLOCKS.contains(&magic) => Nature::Files,
        _ => Nature::Kernel,
    }
}

/// The device and the type that a line of the table tells of: `ID PARENT MAJOR:MINOR ... - TYPE SOURCE OPTIONS`.
fn ambiguous_type(line: &[u8]) -> Option<(u64, AmbiguousType)> {
    let text = String::from_utf8_lossy(line);
    let (mount, file_system) = text.split_once(" - ")?;
    let ambiguous = match file_system.split(' ').next()? {
        "devtmpfs" => AmbiguousType::Devtmpfs,
        "virtiofs" | "fuseblk" => AmbiguousType::FuseOfDevice,
        _ => return None,
    };
    let (major, minor) = mount.split(' ').nth(2)?.split_once(':')?;
    let device = DeviceNumber::new(major.parse().ok()?, minor.parse().ok()?);
    Some((device.as_u64(), ambiguous))
}

#[cfg(test)]
mod tests;
