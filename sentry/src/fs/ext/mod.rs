//! ext2, ext3 and ext4, read from a block device and written back to it.
//!
//! A mounted file system is one in memory over what the device holds ([`tmpfs`]): files are read from the device when they are
//! first used, and changed in memory. What has changed is written back by fsync(2), sync(2) and their like, and at the latest
//! when the file system is unmounted; until then the device is as it was. The journal is played back before a mount and not
//! written to: a sandbox that ends before the file system is unmounted leaves it as at the last of those calls.
//!
//! What a device holds comes from the guest and is never trusted: every number read from it is checked, and none makes the
//! sentry take more memory than a bound allows.

mod acl;
mod attributes;
mod bytes;
mod checksum;
mod directory;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzzing;
mod groups;
mod inode;
mod journal;
mod lower;
mod map;
mod store;
mod superblock;
mod volume;

use std::sync::Arc;

use self::lower::ExtFile;
use self::store::Store;
use self::superblock::Version;
use self::volume::ExtVolume;
use super::block::BlockDevice;
use super::file_system_type::{FileSystemType, MountRequest, Mounter, TypeFlags, block_device};
use super::mount::Instance;
use super::tmpfs;
use crate::Errno;
use crate::cred::UserNamespace;

/// The inode of the root directory.
const ROOT: u32 = 2;

/// The oldest.
pub(super) const EXT2: FileSystemType = FileSystemType {
    name: "ext2",
    flags: TypeFlags::REQUIRES_DEV.union(TypeFlags::ALLOW_IDMAP),
    shows: None,
    check_options: |_, options| check_options(options),
    make: |mounter, owner, request| make(mounter, owner, request, (Version::Ext2, "ext2")),
};
/// The same with a journal.
pub(super) const EXT3: FileSystemType = FileSystemType {
    name: "ext3",
    make: |mounter, owner, request| make(mounter, owner, request, (Version::Ext3, "ext3")),
    ..EXT2
};
/// The same with extents, checksums and more.
pub(super) const EXT4: FileSystemType = FileSystemType {
    name: "ext4",
    make: |mounter, owner, request| make(mounter, owner, request, (Version::Ext4, "ext4")),
    ..EXT2
};

/// Options without a value that change nothing here.
const FLAGS: &[&str] = &[
    "acl",
    "noacl",
    "user_xattr",
    "nouser_xattr",
    "barrier",
    "nobarrier",
    "bsddf",
    "minixdf",
    "grpid",
    "nogrpid",
    "bsdgroups",
    "sysvgroups",
    "debug",
    "nouid32",
    "discard",
    "nodiscard",
    "delalloc",
    "nodelalloc",
    "noload",
    "norecovery",
    "journal_checksum",
    "nojournal_checksum",
    "journal_async_commit",
    "block_validity",
    "noblock_validity",
    "i_version",
    "oldalloc",
    "orlov",
    "dioread_lock",
    "dioread_nolock",
    "init_itable",
    "noinit_itable",
    "auto_da_alloc",
    "noauto_da_alloc",
    "prefetch_block_bitmaps",
    "no_prefetch_block_bitmaps",
    "nocheck",
    "noquota",
    "quota",
    "usrquota",
    "grpquota",
    "bh",
    "nobh",
    "inlinecrypt",
    "reservation",
    "noreservation",
    "mblk_io_submit",
    "nomblk_io_submit",
    "nombcache",
    "no_mbcache",
    "warn_on_error",
    "nowarn_on_error",
];
/// Options with a number.
const NUMBERS: &[&str] = &[
    "auto_da_alloc",
    "barrier",
    "commit",
    "debug_want_extra_isize",
    "init_itable",
    "inode_readahead_blks",
    "journal_dev",
    "journal_ioprio",
    "max_batch_time",
    "max_dir_size_kb",
    "mb_optimize_scan",
    "min_batch_time",
    "resgid",
    "resuid",
    "sb",
    "stripe",
];
/// Options with a word.
const WORDS: &[(&str, &[&str])] = &[
    ("check", &["none"]),
    ("data", &["journal", "ordered", "writeback"]),
    ("data_err", &["abort", "ignore"]),
    ("errors", &["continue", "panic", "remount-ro"]),
    ("jqfmt", &["vfsold", "vfsv0", "vfsv1"]),
];

/// Fails for options that Linux's ext4 does not take. None of those that it takes changes anything here: what is written is in
/// order, and quotas are as on a kernel without them.
fn check_options(options: &str) -> Result<(), Errno> {
    let is_known = |option: &str| match option.split_once('=') {
        Some((name, value)) if NUMBERS.contains(&name) => value.parse::<u32>().is_ok(),
        Some((name, value)) => WORDS.iter().any(|(own, values)| *own == name && values.contains(&value)),
        None => FLAGS.contains(&option),
    };
    let is_valid = options.split(',').filter(|option| !option.is_empty()).all(is_known);
    if is_valid { Ok(()) } else { Err(Errno::EINVAL) }
}

fn make(
    mounter: &dyn Mounter,
    owner: Arc<UserNamespace>,
    request: &MountRequest<'_>,
    (version, name): (Version, &'static str),
) -> Result<Arc<Instance>, Errno> {
    let device = block_device(mounter, request)?;
    if let Some(instance) = device.mounted().filter(|known| known.file_system().type_name() == name) {
        let is_same = instance.is_read_only() == request.is_read_only;
        return if is_same { Ok(instance) } else { Err(Errno::EBUSY) };
    }
    let instance = open(mounter, owner, request, &device, (version, name))?;
    device.set_mounted(&instance);
    Ok(instance)
}

fn open(
    mounter: &dyn Mounter,
    owner: Arc<UserNamespace>,
    request: &MountRequest<'_>,
    device: &Arc<BlockDevice>,
    (version, name): (Version, &'static str),
) -> Result<Arc<Instance>, Errno> {
    let volume = ExtVolume::open(device, version, request.is_read_only)?;
    let (root, status) = ExtFile::new(&volume, ROOT)?;
    let store = Arc::new(Store(volume));
    let resources = &mounter.file_systems().memory;
    tmpfs::new_stored_instance(resources, (root, &status), store, (name, device.number()), owner)
}
