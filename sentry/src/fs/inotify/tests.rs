use std::sync::{Arc, Weak};

use super::{EntryChild, InotifyFile, WatchMask};
use crate::Errno;
use crate::cred::KernelUid;
use crate::fs::block::BlockDevices;
use crate::fs::sys::SysFileSystem;
use crate::fs::{Dentry, DeviceNumber, File, OpenFiles};
use crate::memory::FrameAllocator;
use crate::net::NetworkNamespace;
use crate::platform::Platform;
use crate::platform::fake::FakePlatform;

/// A file in a directory, without a file system that matters.
fn tree() -> (Arc<Dentry>, Arc<Dentry>) {
    let platform: Arc<dyn Platform> = FakePlatform::new(16 << 20).unwrap();
    let block = BlockDevices::new(&FrameAllocator::new(&platform, 16 << 20));
    let directory = Dentry::new_root(
        SysFileSystem::new(1, DeviceNumber::default(), Weak::<NetworkNamespace>::new(), block, Weak::new())
            .root(),
    );
    let inode = directory.inode().clone();
    let child = directory.lock().adopt(b"name", inode);
    (directory, child)
}

fn instance() -> Arc<InotifyFile> {
    InotifyFile::new(&Arc::default(), KernelUid::ROOT, &OpenFiles::default()).unwrap()
}

/// The watch, mask and name of each event that can be read.
fn events(instance: &InotifyFile) -> Vec<(i32, WatchMask, Vec<u8>)> {
    let mut buffer = [0; 4096];
    let len = instance.read_at(&mut buffer, 0).unwrap_or(0);
    let (mut rest, mut found) = (&buffer[..len], Vec::new());
    while let Some((header, after)) = rest.split_first_chunk::<16>() {
        let word = |at: usize| u32::from_ne_bytes(header[at..at + 4].try_into().unwrap());
        let (name, next) = after.split_at(word(12) as usize);
        let name = name.iter().copied().take_while(|&byte| byte != 0).collect();
        found.push((word(0) as i32, WatchMask::from_bits_retain(word(4)), name));
        rest = next;
    }
    found
}

#[test]
fn a_directory_s_watch_hears_of_its_entries_by_name() {
    let (directory, child) = tree();
    let instance = instance();
    let watch = instance.add_watch(&directory, WatchMask::OPEN | WatchMask::CREATE).unwrap();
    directory.announce_entry(WatchMask::CREATE, b"name", EntryChild::of(&child), 0);
    child.announce(WatchMask::OPEN);
    child.announce(WatchMask::MODIFY);
    let bit = WatchMask::ISDIR;
    let expected =
        [WatchMask::CREATE | bit, WatchMask::OPEN | bit].map(|mask| (watch, mask, b"name".to_vec()));
    assert_eq!(events(&instance), expected);
}

#[test]
fn the_same_event_twice_in_a_row_is_one_and_a_short_buffer_is_invalid() {
    let (directory, child) = tree();
    let instance = instance();
    instance.add_watch(&directory, WatchMask::MODIFY).unwrap();
    child.announce(WatchMask::MODIFY);
    child.announce(WatchMask::MODIFY);
    assert_eq!(instance.read_at(&mut [0; 31], 0), Err(Errno::EINVAL));
    assert_eq!(events(&instance).len(), 1);
    assert_eq!(instance.read_at(&mut [0; 31], 0), Err(Errno::EAGAIN));
}

#[test]
fn a_watch_ends_with_the_last_use_of_a_removed_file() {
    let (directory, child) = tree();
    let instance = instance();
    let watch = instance.add_watch(&child, WatchMask::DELETE_SELF).unwrap();
    directory.lock().removed(b"name", &child);
    assert_eq!(events(&instance), []);
    drop(child);
    let masks: Vec<_> = events(&instance).into_iter().map(|(watch, mask, _)| (watch, mask)).collect();
    assert_eq!(masks, [(watch, WatchMask::DELETE_SELF), (watch, WatchMask::IGNORED)]);
    assert_eq!(instance.remove_watch(watch), Err(Errno::EINVAL));
}

#[test]
fn adding_again_changes_the_watch() {
    let (directory, child) = tree();
    let instance = instance();
    let first = instance.add_watch(&directory, WatchMask::OPEN).unwrap();
    assert_eq!(instance.add_watch(&directory, WatchMask::ACCESS | WatchMask::MASK_ADD), Ok(first));
    child.announce(WatchMask::OPEN);
    assert_eq!(instance.add_watch(&directory, WatchMask::ACCESS), Ok(first));
    child.announce(WatchMask::OPEN);
    assert_eq!(events(&instance).len(), 1);
    assert_eq!(instance.add_watch(&directory, WatchMask::OPEN | WatchMask::MASK_CREATE), Err(Errno::EEXIST));
}

#[test]
fn a_queue_that_is_full_says_so_once() {
    let (directory, child) = tree();
    let instance = instance();
    instance.add_watch(&directory, WatchMask::ALL_EVENTS).unwrap();
    for _ in 0..20_000 {
        child.announce(WatchMask::OPEN);
        child.announce(WatchMask::ACCESS);
    }
    let (mut count, mut last) = (0, None);
    loop {
        let portion = events(&instance);
        if portion.is_empty() {
            break;
        }
        count += portion.len();
        last = portion.last().map(|(watch, mask, _)| (*watch, *mask));
    }
    assert_eq!((count, last), (16_385, Some((-1, WatchMask::Q_OVERFLOW))));
}
