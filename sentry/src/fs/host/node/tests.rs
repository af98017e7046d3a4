use super::super::HostOwners;
use super::*;

#[test]
fn procfs_below_an_image_is_an_empty_directory() {
    let tree = HostTree::new(std::fs::File::open("/").unwrap().into(), HostOwners::Told, 64);
    let (root, _) = tree.root().unwrap();
    let (proc, status) = root.lookup(b"proc").unwrap();
    assert_eq!((status.kind, status.mode, status.links), (FileKind::Directory, 0o40755, 2));
    assert!(proc.list().unwrap().is_empty());
    assert!(proc.xattrs().is_empty());
    for name in [&b"self"[..], b"1", b"version", b"."] {
        assert_eq!(proc.lookup(name).err(), Some(Errno::ENOENT), "{}", name.escape_ascii());
    }
}

#[test]
fn what_the_host_mounts_over_a_file_later_is_not_opened() {
    let tree = HostTree::new(std::fs::File::open("/").unwrap().into(), HostOwners::Told, 64);
    // As if they had been looked up when another file system was there.
    for (path, flags) in [("proc", OFlags::PATH), ("proc/version", OFlags::RDONLY)] {
        assert_eq!(tree.open(path.as_bytes(), flags, 1).err(), Some(Errno::ESTALE), "{path}");
    }
    assert!(tree.open(b"etc", OFlags::PATH, 1).is_ok(), "one with files is as good as the other");
}

#[test]
fn kernel_interfaces_are_no_images() {
    for (path, is_fine) in [("/", true), ("/proc", false), ("/proc/self/task", false)] {
        let directory = std::fs::File::open(path).unwrap();
        assert_eq!(super::super::holds_files(directory).unwrap(), is_fine, "{path}");
    }
}
