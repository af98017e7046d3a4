use super::*;

const NONE: FileFlags = FileFlags::empty();

#[test]
fn each_file_system_keeps_its_own() {
    let keep = |flags, kept| FileFlags::to_keep(flags, FileKind::Regular, kept, NONE);
    assert_eq!(keep(FileFlags::APPEND, FileFlags::OF_TMPFS), Ok(FileFlags::APPEND));
    assert_eq!(keep(FileFlags::SYNC, FileFlags::OF_TMPFS), Err(Errno::EOPNOTSUPP));
    assert_eq!(keep(FileFlags::SYNC | FileFlags::EXTENT, FileFlags::OF_EXT), Ok(FileFlags::SYNC));
    assert_eq!(keep(FileFlags::DIRSYNC, FileFlags::OF_EXT), Err(Errno::EOPNOTSUPP));
    assert_eq!(keep(FileFlags::JOURNAL_DATA, FileFlags::OF_EXT), Err(Errno::EPERM));
    let stays = FileFlags::to_keep(NONE, FileKind::Regular, FileFlags::OF_EXT, FileFlags::EXTENT);
    assert_eq!(stays, Ok(FileFlags::EXTENT));
}

#[test]
fn extended_bits_mean_the_same() {
    let ask = |fsx_xflags, is_ext| {
        FileFlags::from_extended(&Fsxattr { fsx_xflags, ..Fsxattr::default() }, FileKind::Regular, is_ext)
    };
    assert_eq!(ask(uapi::FS_XFLAG_APPEND | uapi::FS_XFLAG_PREALLOC, false), Ok(FileFlags::APPEND));
    assert_eq!(ask(uapi::FS_XFLAG_EXTSIZE, false), Ok(NONE));
    assert_eq!(ask(uapi::FS_XFLAG_EXTSZINHERIT, false), Err(Errno::EINVAL));
    assert_eq!(ask(uapi::FS_XFLAG_NODEFRAG, false), Err(Errno::EOPNOTSUPP));
    assert_eq!(ask(uapi::FS_XFLAG_NODEFRAG, true), Ok(NONE));
    assert_eq!(ask(4, true), Err(Errno::EOPNOTSUPP));
    assert_eq!((FileFlags::NODUMP | FileFlags::IMMUTABLE).extended(), 0x88);
}

#[test]
fn protection_is_not_inherited() {
    let all = FileFlags::OF_EXT;
    assert_eq!(FileFlags::OF_TMPFS.inherited_by(FileKind::Regular), FileFlags::NODUMP | FileFlags::NOATIME);
    assert!(!all.inherited_by(FileKind::Directory).intersects(FileFlags::PROTECTING | FileFlags::TOPDIR));
    assert!(all.inherited_by(FileKind::Directory).contains(FileFlags::DIRSYNC));
}
