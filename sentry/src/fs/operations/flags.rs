//! Flags of files that are no part of the mode (`man 2 ioctl_iflags`).

use crate::Errno;
use crate::abi::Fsxattr;
use crate::cred::{Capabilities, Credentials};
use crate::fs::permission::check_owner;
use crate::fs::{FileFlags, Path};

/// The flags of the file at `path`.
///
/// # Errors
/// EOPNOTSUPP: it has none.
pub(crate) fn file_flags(path: &Path) -> Result<FileFlags, Errno> {
    path.inode().file_flags().ok_or(Errno::EOPNOTSUPP)
}

/// Replaces them.
///
/// # Errors
/// EROFS; EOPNOTSUPP; EPERM for whom the file does not belong to, and without CAP_LINUX_IMMUTABLE for what protects it.
pub(crate) fn set_file_flags(path: &Path, flags: FileFlags, credentials: &Credentials) -> Result<(), Errno> {
    path.mount.check_writable()?;
    let old = file_flags(path)?;
    check_owner(&path.metadata()?, credentials)?;
    let may_protect = credentials.has(Capabilities::LINUX_IMMUTABLE);
    if (flags ^ old).intersects(FileFlags::PROTECTING) && !may_protect {
        return Err(Errno::EPERM);
    }
    path.inode().set_file_flags(flags)
}

/// As [`set_file_flags`], with the flags that `asked` has.
///
/// # Errors
/// The same, and EINVAL.
pub(crate) fn set_extended_flags(
    path: &Path,
    asked: &Fsxattr,
    credentials: &Credentials,
) -> Result<(), Errno> {
    path.mount.check_writable()?;
    let old = file_flags(path)?;
    check_owner(&path.metadata()?, credentials)?;
    let is_ext = path.inode().possible_file_flags().contains(FileFlags::SECRM);
    let flags = FileFlags::from_extended(asked, path.kind(), is_ext)?;
    set_file_flags(path, flags | old.difference(FileFlags::with_extended()), credentials)
}
