use std::sync::Arc;

use super::*;
use crate::fs::acl::CreationMode;
use crate::fs::host::{HostOwners, HostTree};
use crate::fs::operations::{self, OpenRequest};
use crate::fs::{
    FileDescription, FsView, Inode, MountNamespace, NewNode, OpenFlags, Path, RenameMode, Resolver, TaskFs,
    Viewer,
};
use crate::platform::Platform;
use crate::platform::fake::FakePlatform;

/// A namespace and a viewer to try things with.
struct World {
    view: FsView,
    viewer: Viewer,
}

fn resources() -> MemoryResources {
    let platform: Arc<dyn Platform> = FakePlatform::new(16 << 20).unwrap();
    MemoryResources::new(FrameAllocator::new(&platform, 16 << 20), &Arc::default(), &UserNamespace::initial())
}

impl World {
    fn of(mount: Arc<Mount>) -> Self {
        let view = TaskFs::new(MountNamespace::new(mount, &UserNamespace::initial())).view();
        Self { view, viewer: Viewer::test_kernel() }
    }

    fn empty(options: &TmpfsOptions) -> Self {
        Self::of(new_mount(&resources(), options, "tmpfs", MountFlags::empty()).unwrap())
    }

    fn over(directory: &std::path::Path) -> Self {
        let root = std::fs::File::open(directory).unwrap().into();
        let tree = HostTree::new(root, HostOwners::Told, 4);
        let (root, status) = tree.root().unwrap();
        let below = (root as Arc<dyn LowerFile>, &status);
        Self::of(new_mount_over(&resources(), &TmpfsOptions::default(), below, MountFlags::empty()).unwrap())
    }

    fn resolver(&self) -> Resolver<'_> {
        Resolver::new(&self.view, &self.viewer)
    }

    fn find(&self, path: &str) -> Result<Path, Errno> {
        self.resolver().resolve(&self.view.root, path.as_bytes(), false)
    }

    fn open(&self, path: &str, flags: OpenFlags) -> Result<Arc<FileDescription>, Errno> {
        let request = OpenRequest { flags, mode: CreationMode::exact(0o644) };
        operations::open(&self.resolver(), &self.view.root, path.as_bytes(), request)
    }

    fn write(&self, path: &str, data: &[u8]) -> Result<(), Errno> {
        let file = self.open(path, OpenFlags::CREAT | OpenFlags::WRONLY | OpenFlags::TRUNC)?;
        assert_eq!(file.file().write_at(data, 0)?, data.len());
        Ok(())
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, Errno> {
        let file = self.open(path, OpenFlags::empty())?;
        let mut data = vec![0; 1 << 16];
        let len = file.file().read_at(&mut data, 0)?;
        data.truncate(len);
        Ok(data)
    }

    fn make(&self, path: &str, node: NewNode<'_>) -> Result<Path, Errno> {
        operations::create_node(
            &self.resolver(),
            &self.view.root,
            path.as_bytes(),
            node,
            CreationMode::exact(0o755),
        )
    }

    fn unlink(&self, path: &str) -> Result<(), Errno> {
        operations::unlink(&self.resolver(), &self.view.root, path.as_bytes())
    }

    fn rmdir(&self, path: &str) -> Result<(), Errno> {
        operations::remove_directory(&self.resolver(), &self.view.root, path.as_bytes())
    }

    fn rename(&self, old: &str, new: &str, mode: RenameMode) -> Result<(), Errno> {
        let resolver = self.resolver();
        let last = |path: &str| resolver.resolve_parent(&self.view.root, path.as_bytes());
        operations::rename(&resolver, &last(old)?, &last(new)?, mode)
    }

    fn link(&self, old: &str, new: &str) -> Result<(), Errno> {
        let target = self.find(old)?;
        operations::link(&self.resolver(), &target, &self.view.root, new.as_bytes())
    }

    fn list(&self, path: &str) -> Vec<String> {
        let directory = self.open(path, OpenFlags::DIRECTORY).unwrap();
        let mut names = Vec::new();
        let mut sink = |entry: crate::fs::DirectoryEntry| {
            names.push(String::from_utf8(entry.name).unwrap());
            true
        };
        directory.file().read_directory(0, &mut sink).unwrap();
        names.retain(|name| name != "." && name != "..");
        names.sort();
        names
    }

    fn number(&self, path: &str) -> u64 {
        self.find(path).unwrap().inode().metadata().unwrap().inode
    }

    fn links(&self, path: &str) -> u32 {
        self.find(path).unwrap().inode().metadata().unwrap().links
    }
}

/// A lower directory with a bit of everything.
fn image() -> tempfile::TempDir {
    let image = tempfile::tempdir().unwrap();
    let root = image.path();
    std::fs::create_dir_all(root.join("etc/deep")).unwrap();
    std::fs::write(root.join("etc/passwd"), "root:x:0:0").unwrap();
    std::fs::write(root.join("etc/deep/file"), "deep").unwrap();
    std::fs::hard_link(root.join("etc/passwd"), root.join("etc/twin")).unwrap();
    std::os::unix::fs::symlink("passwd", root.join("etc/link")).unwrap();
    std::os::unix::fs::symlink("/etc/deep", root.join("absolute")).unwrap();
    std::os::unix::fs::symlink("loop", root.join("loop")).unwrap();
    image
}

#[test]
fn files_are_made_written_renamed_and_removed() {
    let world = World::empty(&TmpfsOptions::default());
    world.make("/dir", NewNode::Directory).unwrap();
    world.write("/dir/file", b"hello").unwrap();
    assert_eq!(world.read("dir/./../dir//file"), Ok(b"hello".to_vec()));
    assert_eq!(world.rmdir("/dir"), Err(Errno::ENOTEMPTY));
    world.rename("/dir/file", "/moved", RenameMode::Replace).unwrap();
    assert_eq!(world.find("/dir/file").err(), Some(Errno::ENOENT));
    assert_eq!(world.read("/moved"), Ok(b"hello".to_vec()));
    world.rmdir("/dir/").unwrap();
    assert_eq!(world.list("/"), ["moved"]);
    let open = world.open("/moved", OpenFlags::empty()).unwrap();
    world.unlink("/moved").unwrap();
    assert_eq!(open.path().unwrap().display_from(&world.view.root), b"/moved (deleted)");
    assert_eq!(open.file().metadata().unwrap().links, 0);
}

#[test]
fn rename_obeys_the_kinds_and_the_tree() {
    let world = World::empty(&TmpfsOptions::default());
    world.make("/a", NewNode::Directory).unwrap();
    world.make("/a/b", NewNode::Directory).unwrap();
    world.write("/file", b"x").unwrap();
    for (old, new, mode, error) in [
        ("/a", "/a/b/c", RenameMode::Replace, Errno::EINVAL),
        ("/a/b", "/a", RenameMode::Replace, Errno::ENOTEMPTY),
        ("/file", "/a", RenameMode::Replace, Errno::EISDIR),
        ("/a", "/file", RenameMode::Replace, Errno::ENOTDIR),
        ("/file", "/new/", RenameMode::Replace, Errno::ENOTDIR),
        ("/file", "/a", RenameMode::NoReplace, Errno::EEXIST),
        ("/file", "/absent", RenameMode::Exchange, Errno::ENOENT),
        ("/a/..", "/z", RenameMode::Replace, Errno::EBUSY),
    ] {
        assert_eq!(world.rename(old, new, mode), Err(error), "{old} {new}");
    }
    world.rename("/file", "/a/b", RenameMode::Exchange).unwrap();
    assert!(world.find("/file").unwrap().is_directory());
    assert_eq!(world.read("/a/b"), Ok(b"x".to_vec()));
    assert_eq!((world.links("/"), world.links("/a"), world.links("/file")), (4, 2, 2));
}

#[test]
fn links_are_followed_within_limits() {
    let world = World::empty(&TmpfsOptions::default());
    world.make("/dir", NewNode::Directory).unwrap();
    world.make("/dir/up", NewNode::Symlink(b"../target")).unwrap();
    world.make("/loop", NewNode::Symlink(b"loop")).unwrap();
    let follow = |path: &str| world.resolver().resolve(&world.view.root, path.as_bytes(), true).err();
    assert_eq!(follow("/dir/up"), Some(Errno::ENOENT));
    world.write("/dir/up", b"made through a link").unwrap();
    assert_eq!(world.read("/target"), Ok(b"made through a link".to_vec()));
    assert_eq!(follow("/loop"), Some(Errno::ELOOP));
    assert_eq!(follow("/target/"), Some(Errno::ENOTDIR));
    assert_eq!(follow(&format!("/{}", "n".repeat(256))), Some(Errno::ENAMETOOLONG));
    assert_eq!(follow(&"/".repeat(4096)), Some(Errno::ENAMETOOLONG));
    assert_eq!(follow("/../../dir/../.."), None);
    let excl = OpenFlags::CREAT | OpenFlags::EXCL;
    assert_eq!(world.open("/loop", excl).err(), Some(Errno::EEXIST));
    assert_eq!(world.open("/dir/up", OpenFlags::NOFOLLOW).err(), Some(Errno::ELOOP));
}

#[test]
fn a_listing_goes_on_while_entries_are_removed() {
    let world = World::empty(&TmpfsOptions::default());
    for index in 0..100 {
        world.write(&format!("/{index}"), b"").unwrap();
    }
    let directory = world.open("/", OpenFlags::DIRECTORY).unwrap();
    let (mut position, mut seen) = (0, 0);
    loop {
        let mut batch = Vec::new();
        let mut sink = |entry: crate::fs::DirectoryEntry| {
            batch.push(entry);
            batch.len() < 8
        };
        directory.file().read_directory(position, &mut sink).unwrap();
        let Some(last) = batch.last() else { break };
        position = last.next_position;
        for entry in batch.iter().filter(|entry| entry.name[0] != b'.') {
            world.unlink(std::str::from_utf8(&entry.name).unwrap()).unwrap();
            seen += 1;
        }
    }
    assert_eq!(seen, 100);
}

#[test]
fn limits_are_enospc_and_room_comes_back() {
    let world = World::empty(&TmpfsOptions { max_bytes: 8192, max_inodes: 3, ..Default::default() });
    world.write("/a", &[1; 8192]).unwrap();
    assert_eq!(world.write("/b", b"x"), Err(Errno::ENOSPC));
    assert_eq!(world.write("/c", b""), Err(Errno::ENOSPC), "no inode left");
    world.unlink("/a").unwrap();
    world.write("/b", b"x").unwrap();
    world.write("/c", b"x").unwrap();
}

#[test]
fn a_deep_tree_ends_without_recursion() {
    let world = World::empty(&TmpfsOptions::default());
    let mut current = world.view.root.clone();
    for _ in 0..50_000 {
        current = operations::create_node(
            &world.resolver(),
            &current,
            b"d",
            NewNode::Directory,
            CreationMode::exact(0o755),
        )
        .unwrap();
    }
    drop(current);
    drop(world);
}

#[test]
fn the_lower_layer_shows_through_and_stays_as_it_is() {
    let image = image();
    let world = World::over(image.path());
    assert_eq!(world.read("/etc/link"), Ok(b"root:x:0:0".to_vec()));
    assert_eq!(world.read("/absolute/file"), Ok(b"deep".to_vec()));
    assert_eq!(world.list("/etc"), ["deep", "link", "passwd", "twin"]);
    let before =
        (world.number("/etc/passwd"), world.find("/etc/passwd").unwrap().inode().metadata().unwrap().device);
    world.write("/etc/passwd", b"changed").unwrap();
    let after =
        (world.number("/etc/passwd"), world.find("/etc/passwd").unwrap().inode().metadata().unwrap().device);
    assert_eq!(before, after);
    assert_eq!(world.read("/etc/twin"), Ok(b"changed".to_vec()), "a hard link stays one");
    world.unlink("/etc/twin").unwrap();
    assert_eq!(world.links("/etc/passwd"), 1);
    world.rename("/etc/deep", "/shallow", RenameMode::Replace).unwrap();
    assert_eq!(world.read("/shallow/file"), Ok(b"deep".to_vec()));
    world.make("/etc/deep", NewNode::Directory).unwrap();
    assert_eq!(world.list("/etc/deep"), Vec::<String>::new(), "opaque");
    assert_eq!(world.list("/etc"), ["deep", "link", "passwd"]);
    assert_eq!(std::fs::read(image.path().join("etc/twin")).unwrap(), b"root:x:0:0");
    assert!(image.path().join("etc/deep/file").exists());
}

#[test]
fn partial_changes_of_a_lower_file_keep_the_rest() {
    let image = image();
    std::fs::write(image.path().join("big"), vec![7; 100_000]).unwrap();
    let world = World::over(image.path());
    let file = world.open("/big", OpenFlags::RDWR).unwrap();
    let reader = world.open("/big", OpenFlags::empty()).unwrap();
    file.file().write_at(b"12", 50_000).unwrap();
    let mut bytes = [0; 4];
    reader.file().read_at(&mut bytes, 49_999).unwrap();
    assert_eq!(bytes, *b"\x0712\x07");
    file.file().truncate(10).unwrap();
    file.file().truncate(20).unwrap();
    assert_eq!(reader.file().read_at(&mut [0; 64], 0), Ok(20));
    let appended = world.open("/big", OpenFlags::WRONLY | OpenFlags::APPEND).unwrap();
    assert_eq!(appended.file().append(b"end"), Ok((3, 23)));
}

#[test]
fn changes_outlive_the_dentry_cache() {
    let image = image();
    for index in 0..100 {
        std::fs::create_dir(image.path().join(format!("d{index}"))).unwrap();
    }
    let world = World::over(image.path());
    crate::fs::operations::change_mode(
        &world.find("/etc/deep/file").unwrap(),
        0o600,
        &world.viewer.credentials,
    )
    .unwrap();
    for index in 0..20_000 {
        let _ = world.find(&format!("/d{}/absent{index}", index % 100));
        world.write("/etc/new", b"").unwrap();
        world.unlink("/etc/new").unwrap();
    }
    assert_eq!(world.find("/etc/deep/file").unwrap().inode().metadata().unwrap().permissions(), 0o600);
}

#[test]
fn extended_attributes_and_unnamed_files() {
    let world = World::empty(&TmpfsOptions::default());
    let flags = OpenFlags::TMPFILE | OpenFlags::DIRECTORY | OpenFlags::RDWR;
    let file = world.open("/", flags).unwrap();
    file.file().write_at(b"unnamed", 0).unwrap();
    let path = file.path().unwrap().clone();
    assert_eq!(path.inode().metadata().unwrap().links, 0);
    operations::link(&world.resolver(), &path, &world.view.root, b"named").unwrap();
    assert_eq!(world.read("/named"), Ok(b"unnamed".to_vec()));
    let node: Arc<dyn Inode> = world.find("/named").unwrap().inode().clone();
    assert_eq!(node.set_xattr(b"user.a", b"1", Some(true)), Err(Errno::ENODATA));
    node.set_xattr(b"user.a", b"1", None).unwrap();
    assert_eq!(node.set_xattr(b"user.a", b"1", Some(false)), Err(Errno::EEXIST));
    assert_eq!(node.get_xattr(b"user.a"), Ok(b"1".to_vec()));
    assert_eq!(node.get_xattr(b"system.posix_acl_access"), Err(Errno::EOPNOTSUPP));
    assert_eq!(node.list_xattrs(), Ok(vec![b"user.a".to_vec()]));
}

#[test]
fn a_new_name_for_a_file_makes_link_counts() {
    let world = World::empty(&TmpfsOptions::default());
    world.write("/a", b"x").unwrap();
    world.link("/a", "/b").unwrap();
    assert_eq!(world.link("/a", "/b"), Err(Errno::EEXIST));
    assert_eq!((world.links("/a"), world.number("/a") == world.number("/b")), (2, true));
    world.rename("/a", "/b", RenameMode::Replace).unwrap();
    assert_eq!(world.links("/a"), 2, "renaming one name of a file to another does nothing");
}

/// Each change as a line: `+` for what is there, `=` for an opaque directory, `-` for what is gone.
fn told_changes(world: &World) -> Vec<String> {
    let told = |change: Change| {
        let mark = match change.kind {
            ChangeKind::Present(..) => '+',
            ChangeKind::Opaque => '=',
            ChangeKind::Absent => '-',
        };
        format!("{mark}{}", change.path.escape_ascii())
    };
    changes(world.view.root.inode()).unwrap().into_iter().map(told).collect()
}

#[test]
fn changes_are_told_as_a_layer_tells_them() {
    let image = image();
    std::fs::create_dir(image.path().join("much")).unwrap();
    let world = World::over(image.path());
    world.list("/etc");
    world.read("/etc/passwd").unwrap();
    assert_eq!(told_changes(&world), Vec::<String>::new(), "nothing has changed");
    world.write("/etc/twin", b"by one of two names").unwrap();
    assert_eq!(told_changes(&world), ["+etc/passwd", "+etc/twin"], "the directory is as it was");
    let found = changes(world.view.root.inode()).unwrap();
    let ways =
        found.iter().map(|change| change.directories().iter().map(|way| way.0.to_vec()).collect::<Vec<_>>());
    assert!(ways.eq([[b"etc".to_vec()], [b"etc".to_vec()]]));
    world.rename("/etc/deep", "/much/moved", RenameMode::Replace).unwrap();
    let moved = ["+etc", "-etc/deep", "+etc/passwd", "+etc/twin", "+much", "+much/moved", "+much/moved/file"];
    assert_eq!(told_changes(&world), moved);
    world.rename("/much/moved", "/etc/deep", RenameMode::Replace).unwrap();
    assert_eq!(told_changes(&world), ["+etc", "+etc/deep", "+etc/passwd", "+etc/twin", "+much"]);
    world.unlink("/etc/deep/file").unwrap();
    world.rmdir("/etc/deep").unwrap();
    world.make("/etc/deep", NewNode::Directory).unwrap();
    world.write("/etc/deep/new", b"").unwrap();
    let anew = ["+etc", "+etc/deep", "=etc/deep", "+etc/deep/new", "+etc/passwd", "+etc/twin", "+much"];
    assert_eq!(told_changes(&world), anew);
    let empty = World::empty(&TmpfsOptions::default());
    empty.write("/a", b"").unwrap();
    assert_eq!(told_changes(&empty), ["+", "+a"]);
}

/// Runs random changes on the overlay and on a plain directory of the host, and compares results and trees.
mod against_the_host {
    use std::io::{Read, Seek, SeekFrom, Write};
    use std::os::unix::fs::MetadataExt;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Change {
        Write(usize, u16, u8),
        Truncate(usize, u16),
        MakeDirectory(usize),
        MakeLink(usize, usize),
        Unlink(usize),
        RemoveDirectory(usize),
        Rename(usize, usize),
        HardLink(usize, usize),
    }

    const PATHS: &[&str] = &[
        "etc",
        "etc/passwd",
        "etc/twin",
        "etc/link",
        "etc/deep",
        "etc/deep/file",
        "new",
        "new/a",
        "new/b",
        "big",
    ];

    fn change() -> impl Strategy<Value = Change> {
        let path = 0..PATHS.len();
        prop_oneof![
            (path.clone(), 0u16..20_000, any::<u8>())
                .prop_map(|(path, at, byte)| Change::Write(path, at, byte)),
            (path.clone(), 0u16..20_000).prop_map(|(path, len)| Change::Truncate(path, len)),
            path.clone().prop_map(Change::MakeDirectory),
            (path.clone(), path.clone()).prop_map(|(path, to)| Change::MakeLink(path, to)),
            path.clone().prop_map(Change::Unlink),
            path.clone().prop_map(Change::RemoveDirectory),
            (path.clone(), path.clone()).prop_map(|(old, new)| Change::Rename(old, new)),
            (path.clone(), path).prop_map(|(old, new)| Change::HardLink(old, new)),
        ]
    }

    fn errno(result: std::io::Result<()>) -> Result<(), Errno> {
        result.map_err(Errno::from)
    }

    fn on_host(root: &std::path::Path, change: &Change) -> Result<(), Errno> {
        let path = |index: &usize| root.join(PATHS[*index]);
        errno(match change {
            Change::Write(index, at, byte) => (|| {
                let mut options = std::fs::OpenOptions::new();
                let mut file = options.write(true).create(true).truncate(false).open(path(index))?;
                file.seek(SeekFrom::Start(u64::from(*at)))?;
                file.write_all(&[*byte; 3000])
            })(),
            Change::Truncate(index, len) => {
                let file = std::fs::OpenOptions::new().write(true).open(path(index));
                file.and_then(|file| file.set_len(u64::from(*len)))
            }
            Change::MakeDirectory(index) => std::fs::create_dir(path(index)),
            Change::MakeLink(index, to) => std::os::unix::fs::symlink(PATHS[*to], path(index)),
            Change::Unlink(index) => std::fs::remove_file(path(index)),
            Change::RemoveDirectory(index) => std::fs::remove_dir(path(index)),
            Change::Rename(old, new) => std::fs::rename(path(old), path(new)),
            Change::HardLink(old, new) => std::fs::hard_link(path(old), path(new)),
        })
    }

    fn inside(world: &World, change: &Change) -> Result<(), Errno> {
        let path = |index: &usize| PATHS[*index];
        match change {
            Change::Write(index, at, byte) => {
                let file = world.open(path(index), OpenFlags::CREAT | OpenFlags::WRONLY)?;
                file.file().write_at(&[*byte; 3000], u64::from(*at)).map(drop)
            }
            Change::Truncate(index, len) => {
                world.open(path(index), OpenFlags::WRONLY)?.file().truncate(u64::from(*len))
            }
            Change::MakeDirectory(index) => world.make(path(index), NewNode::Directory).map(drop),
            Change::MakeLink(index, to) => {
                world.make(path(index), NewNode::Symlink(PATHS[*to].as_bytes())).map(drop)
            }
            Change::Unlink(index) => world.unlink(path(index)),
            Change::RemoveDirectory(index) => world.rmdir(path(index)),
            Change::Rename(old, new) => world.rename(path(old), path(new), RenameMode::Replace),
            Change::HardLink(old, new) => world.link(path(old), path(new)),
        }
    }

    type Tree = Vec<(String, u32, u64, Vec<u8>)>;

    /// `below`, which is the layer, with the changes of `world` done to it; links are not counted.
    fn with_changes(below: Tree, world: &World) -> Tree {
        let whole = guest_tree(world);
        let mut tree = below;
        for change in changes(world.view.root.inode()).unwrap() {
            let inode = change.inode();
            let path = String::from_utf8(change.path).unwrap();
            let is_within = |name: &str| name.starts_with(&format!("{path}/"));
            match change.kind {
                ChangeKind::Opaque => tree.retain(|(name, ..)| !is_within(name)),
                ChangeKind::Absent => tree.retain(|(name, ..)| *name != path && !is_within(name)),
                ChangeKind::Present(..) => {
                    let there = whole.iter().find(|(name, ..)| *name == path);
                    let Some(there) = there.filter(|_| !path.is_empty()) else { continue };
                    let is_directory = inode.unwrap().kind() == crate::fs::FileKind::Directory;
                    tree.retain(|(name, ..)| *name != path && (is_directory || !is_within(name)));
                    tree.push(there.clone());
                }
            }
        }
        tree.sort();
        without_links(tree)
    }

    fn without_links(tree: Tree) -> Tree {
        tree.into_iter().map(|(name, kind, _, contents)| (name, kind, 0, contents)).collect()
    }

    /// Kind, links and contents of everything, by path.
    fn host_tree(root: &std::path::Path) -> Tree {
        let mut tree = Vec::new();
        let mut pending = vec![root.to_path_buf()];
        while let Some(directory) = pending.pop() {
            for entry in std::fs::read_dir(&directory).unwrap().map(Result::unwrap) {
                let metadata = entry.metadata().unwrap();
                let mut contents = Vec::new();
                if metadata.is_dir() {
                    pending.push(entry.path());
                } else if metadata.is_symlink() {
                    contents =
                        std::fs::read_link(entry.path()).unwrap().into_os_string().into_encoded_bytes();
                } else {
                    std::fs::File::open(entry.path()).unwrap().read_to_end(&mut contents).unwrap();
                }
                let name = entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                tree.push((name, metadata.mode() & 0o170_000, metadata.nlink(), contents));
            }
        }
        tree.sort();
        tree
    }

    fn guest_tree(world: &World) -> Tree {
        let mut tree = Vec::new();
        let mut pending = vec![String::new()];
        while let Some(directory) = pending.pop() {
            for name in world.list(&format!("/{directory}")) {
                let path = if directory.is_empty() { name } else { format!("{directory}/{name}") };
                let place = world.find(&path).unwrap();
                let metadata = place.inode().metadata().unwrap();
                let contents = match metadata.kind() {
                    crate::fs::FileKind::Directory => {
                        pending.push(path.clone());
                        Vec::new()
                    }
                    crate::fs::FileKind::Symlink => place.inode().read_link(&world.viewer).unwrap(),
                    _ => world.read(&path).unwrap(),
                };
                tree.push((path, metadata.mode & 0o170_000, u64::from(metadata.links), contents));
            }
        }
        tree.sort();
        tree
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

        #[test]
        fn the_overlay_is_like_a_directory_of_the_host(
            changes in proptest::collection::vec(change(), 1..30),
        ) {
            let (lower, model) = (image(), image());
            let world = World::over(lower.path());
            let before = host_tree(lower.path());
            for change in &changes {
                let (expected, found) = (on_host(model.path(), change), inside(&world, change));
                prop_assert_eq!(expected, found, "{:?}", change);
            }
            prop_assert_eq!(with_changes(before.clone(), &world), without_links(host_tree(model.path())));
            prop_assert_eq!(host_tree(model.path()), guest_tree(&world));
            prop_assert_eq!(host_tree(lower.path()), before);
        }
    }
}
