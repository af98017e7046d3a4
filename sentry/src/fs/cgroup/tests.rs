//! The files of groups: names, texts, refusals.

use std::sync::Arc;

use super::*;
use crate::cgroup::{CgroupNamespace, Controllers};
use crate::cred::{KernelGid, KernelUid};
use crate::fs::{NewNode, NodeCreation, OpenFlags};
use crate::memory::FrameAllocator;
use crate::platform::Platform;
use crate::platform::fake::FakePlatform;
use crate::wait::Events;

/// Nobody is anywhere.
struct Nobody;

impl TaskDirectory for Nobody {
    fn find(&self, _viewer: &Viewer, _number: i32) -> Option<MemberKey> {
        None
    }

    fn numbers(&self, _viewer: &Viewer, keys: &[MemberKey], _of_processes: bool) -> Vec<i32> {
        keys.iter().map(|_| 0).collect()
    }

    fn namespace_of(&self, _viewer: &Viewer) -> Option<Arc<CgroupNamespace>> {
        None
    }
}

fn root() -> (Arc<CgroupFileSystem>, Arc<dyn Inode>) {
    let platform: Arc<dyn Platform> = FakePlatform::new(16 << 20).unwrap();
    let hierarchy = Hierarchy::new(&FrameAllocator::new(&platform, 16 << 20), &Arc::default());
    let file_system = CgroupFileSystem::new(&hierarchy, Arc::new(Nobody), DeviceNumber::default());
    let root = file_system.root_for(&Viewer::test_kernel());
    (file_system, root)
}

fn make(directory: &Arc<dyn Inode>, name: &str) -> Arc<dyn Inode> {
    let creation = NodeCreation {
        node: NewNode::Directory,
        permissions: 0o755,
        uid: KernelUid(5),
        gid: KernelGid(6),
        acls: None,
    };
    directory.create(name.as_bytes(), &creation).unwrap()
}

fn open(directory: &Arc<dyn Inode>, name: &str, flags: OpenFlags) -> Arc<dyn crate::fs::File> {
    directory.lookup(name.as_bytes()).unwrap().open(flags, &Viewer::test_kernel()).unwrap()
}

fn read(directory: &Arc<dyn Inode>, name: &str) -> String {
    let mut buffer = [0; 4096];
    let len = open(directory, name, OpenFlags::empty()).read_at(&mut buffer, 0).unwrap();
    String::from_utf8(buffer[..len].to_vec()).unwrap()
}

fn write(directory: &Arc<dyn Inode>, name: &str, text: &str) -> Result<usize, Errno> {
    open(directory, name, OpenFlags::WRONLY).write_at(text.as_bytes(), 0)
}

#[test]
fn a_group_s_files_are_its_maker_s_and_follow_its_controllers() {
    let (_, root) = root();
    let group = make(&root, "a");
    assert_eq!(group.lookup(b"pids.max").err(), Some(Errno::ENOENT));
    write(&root, "cgroup.subtree_control", "+pids\n").unwrap();
    assert_eq!(read(&group, "cgroup.controllers"), "pids\n");
    let metadata = group.lookup(b"pids.max").unwrap().metadata().unwrap();
    assert_eq!((metadata.uid, metadata.gid, metadata.permissions()), (KernelUid(5), KernelGid(6), 0o644));
    assert_eq!(root.lookup(b"pids.max").err(), Some(Errno::ENOENT), "the root has no limits");
    assert_eq!(root.lookup(b"cgroup.type").err(), Some(Errno::ENOENT));
}

#[test]
fn settings_are_read_back_and_nonsense_is_refused() {
    let (file_system, root) = root();
    let hierarchy = &file_system.hierarchy;
    hierarchy.set_subtree_control(hierarchy.root(), Controllers::all(), Controllers::empty()).unwrap();
    let group = make(&root, "a");
    for (name, text, expected) in [
        ("pids.max", "7\n", "7\n"),
        ("pids.max", "max", "max\n"),
        ("memory.max", "1M", "1048576\n"),
        ("memory.high", "5000", "4096\n"),
        ("cpu.max", "50000", "50000 100000\n"),
        ("cpu.weight", "10", "10\n"),
        ("cgroup.freeze", "1", "1\n"),
        ("cgroup.max.depth", "3", "3\n"),
    ] {
        write(&group, name, text).unwrap();
        assert_eq!(read(&group, name), expected, "{name}");
    }
    for (name, text, error) in [
        ("pids.max", "-1", Errno::EINVAL),
        ("pids.max", "x", Errno::EINVAL),
        ("memory.max", "1x", Errno::EINVAL),
        ("cpu.weight", "0", Errno::ERANGE),
        ("cpu.max", "max 1", Errno::EINVAL),
        ("cgroup.freeze", "2", Errno::ERANGE),
        ("cgroup.kill", "0", Errno::ERANGE),
        ("cgroup.procs", "x", Errno::EINVAL),
        ("cgroup.procs", "77", Errno::ESRCH),
        ("cgroup.type", "domain", Errno::EINVAL),
        ("cgroup.subtree_control", "+io", Errno::EINVAL),
    ] {
        assert_eq!(write(&group, name, text), Err(error), "{name} {text}");
    }
}

#[test]
fn some_files_are_only_read_and_some_only_written() {
    let (_, root) = root();
    let group = make(&root, "a");
    let kill = open(&group, "cgroup.kill", OpenFlags::RDWR);
    assert_eq!(kill.read_at(&mut [0; 8], 0), Err(Errno::EINVAL));
    assert_eq!(write(&group, "cgroup.events", "1"), Err(Errno::EINVAL));
}

#[test]
fn a_removed_group_s_open_files_are_enodev() {
    let (_, root) = root();
    let group = make(&root, "a");
    let file = open(&group, "cgroup.procs", OpenFlags::RDWR);
    assert_eq!(root.rmdir(b"a"), Ok(()));
    assert_eq!(file.read_at(&mut [0; 16], 0), Err(Errno::ENODEV));
    assert_eq!(file.write_at(b"0", 0), Err(Errno::ENODEV));
    assert_eq!(root.rmdir(b"a"), Err(Errno::ENOENT));
}

#[test]
fn a_change_of_events_is_polled_until_it_is_read() {
    let (_, root) = root();
    let group = make(&root, "a");
    let events = open(&group, "cgroup.events", OpenFlags::empty());
    let mut buffer = [0; 64];
    let text = |buffer: &[u8], len: usize| String::from_utf8(buffer[..len].to_vec()).unwrap();
    let len = events.read_at(&mut buffer, 0).unwrap();
    assert_eq!(text(&buffer, len), "populated 0\nfrozen 0\n");
    assert!(!events.readiness().contains(Events::PRI));
    write(&group, "cgroup.freeze", "1").unwrap();
    assert!(events.readiness().contains(Events::PRI | Events::ERR));
    let len = events.read_at(&mut buffer, 0).unwrap();
    assert_eq!(text(&buffer, len), "populated 0\nfrozen 1\n");
    assert!(!events.readiness().contains(Events::PRI));
}
