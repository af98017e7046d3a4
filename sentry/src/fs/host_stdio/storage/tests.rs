//! What a redirected file promises, kept.

use std::fs::File as HostFile;
use std::io::{Read, Seek, SeekFrom, Write};

use super::*;
use crate::cred::{KernelGid, KernelUid};
use crate::fs::{AttributeChanges, Viewer};
use crate::platform::Platform;
use crate::platform::fake::FakePlatform;

const OWNERS: Owners = Owners { host: (0, 0), guest: (7, 8) };

fn streams() -> StorageStreams {
    let platform: Arc<dyn Platform> = FakePlatform::new(16 << 20).unwrap();
    StorageStreams::new(&FrameAllocator::new(&platform, 16 << 20), &Arc::default(), OWNERS)
}

fn describe(streams: &mut StorageStreams, host: &HostFile, flags: OpenFlags) -> Arc<FileDescription> {
    streams.describe(host.as_fd(), flags, b"/place/file").unwrap().unwrap()
}

fn host_file(contents: &[u8]) -> HostFile {
    let mut host = tempfile::tempfile().unwrap();
    host.write_all(contents).unwrap();
    host.rewind().unwrap();
    host
}

fn contents(host: &HostFile) -> Vec<u8> {
    let mut copy = host.try_clone().unwrap();
    let position = copy.stream_position().unwrap();
    let mut bytes = Vec::new();
    copy.rewind().unwrap();
    copy.read_to_end(&mut bytes).unwrap();
    copy.seek(SeekFrom::Start(position)).unwrap();
    bytes
}

#[test]
fn the_position_is_the_caller_s() {
    let mut host = host_file(b"0123456789");
    host.seek(SeekFrom::Start(2)).unwrap();
    let stream = describe(&mut streams(), &host, OpenFlags::RDWR);
    assert_eq!(*stream.try_position().unwrap(), 2);
    let mut buffer = [0; 3];
    assert_eq!(stream.file().outer_position().unwrap().read(&mut buffer), Ok(3));
    assert_eq!((&buffer, host.stream_position().unwrap()), (b"234", 5));
    *stream.try_position().unwrap() = 7;
    assert_eq!(host.stream_position().unwrap(), 7);
    assert_eq!(stream.file().read_at(&mut buffer, 0), Ok(3));
    assert_eq!((&buffer, host.stream_position().unwrap()), (b"012", 7));
}

#[test]
fn one_that_is_opened_again_has_a_position_of_its_own() {
    let mut host = host_file(b"0123456789");
    let stream = describe(&mut streams(), &host, OpenFlags::RDWR);
    let inode = stream.path().unwrap().inode().clone();
    let again = inode.open(OpenFlags::empty(), &Viewer::test_kernel()).unwrap();
    assert!(again.outer_position().is_none());
    assert_eq!(again.read_at(&mut [0; 4], 0), Ok(4));
    assert_eq!(again.seek_data_or_hole(3, true), Ok(3));
    assert_eq!(host.stream_position().unwrap(), 0);
}

#[test]
fn access_is_never_more_than_the_caller_s() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let writable = HostFile::create(&path).unwrap();
    let readable = HostFile::open(&path).unwrap();
    for (host, flags, allowed) in [
        (&readable, OpenFlags::empty(), [true, false, false]),
        (&writable, OpenFlags::WRONLY, [false, true, false]),
    ] {
        let stream = describe(&mut streams(), host, flags);
        let inode = stream.path().unwrap().inode();
        for (flags, is_allowed) in
            [OpenFlags::empty(), OpenFlags::WRONLY, OpenFlags::RDWR].into_iter().zip(allowed)
        {
            let refused = inode.clone().open(flags, &Viewer::test_kernel()).err();
            assert_eq!(refused, (!is_allowed).then_some(Errno::EACCES), "{flags:?}");
        }
    }
}

#[test]
fn what_is_appended_to_only_grows() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, b"old").unwrap();
    let host = HostFile::options().read(true).append(true).open(&path).unwrap();
    let stream = describe(&mut streams(), &host, OpenFlags::RDWR | OpenFlags::APPEND);
    let inode = stream.path().unwrap().inode().clone();
    let cut = AttributeChanges { size_bytes: Some(0), ..AttributeChanges::default() };
    assert_eq!(inode.set_attributes(&cut), Err(Errno::EPERM));
    let again = inode.open(OpenFlags::RDWR, &Viewer::test_kernel()).unwrap();
    for file in [stream.file(), &again] {
        assert_eq!(file.truncate(1), Err(Errno::EPERM));
        assert_eq!(file.truncate_at_open(), Ok(()));
        assert_eq!(file.check_status_flags(OpenFlags::empty()), Err(Errno::EPERM));
        assert_eq!(file.check_writable_mapping(), Err(Errno::EACCES));
        file.write_at(b"+", 0).unwrap();
    }
    assert_eq!(stream.file().append(b"end"), Ok((3, 8)));
    assert_eq!(std::fs::read(&path).unwrap(), b"old++end");
}

#[test]
fn owner_mode_times_and_attributes_stay() {
    let host = host_file(b"x");
    let stream = describe(&mut streams(), &host, OpenFlags::RDWR);
    let inode = stream.path().unwrap().inode();
    let none = AttributeChanges::default();
    for changes in [
        AttributeChanges { permissions: Some(0o777), ..none },
        AttributeChanges { uid: Some(KernelUid(1)), ..none },
        AttributeChanges { gid: Some(KernelGid(1)), ..none },
    ] {
        assert_eq!(inode.set_attributes(&changes), Err(Errno::EPERM));
    }
    assert_eq!(inode.set_xattr(b"user.x", b"y", None), Err(Errno::EPERM));
    assert_eq!(inode.remove_xattr(b"user.x"), Err(Errno::EPERM));
    assert_eq!(inode.list_xattrs(), Ok(Vec::new()));
}

#[test]
fn what_is_the_caller_s_is_the_first_process_s() {
    let host = host_file(b"x");
    let stat = rustix::fs::fstat(&host).unwrap();
    let owners = Owners { host: (stat.st_uid, stat.st_gid), guest: (7, 8) };
    let mut streams = StorageStreams { owners, ..streams() };
    let metadata = describe(&mut streams, &host, OpenFlags::RDWR).metadata().unwrap();
    assert_eq!((metadata.uid, metadata.gid, metadata.size_bytes), (KernelUid(7), KernelGid(8), 1));
}

#[test]
fn two_streams_on_one_file_share_its_pages_locks_and_number() {
    let host = host_file(b"x");
    let mut streams = streams();
    let [a, b] = [0, 1].map(|_| describe(&mut streams, &host, OpenFlags::RDWR));
    assert_eq!(a.metadata().unwrap().inode, b.metadata().unwrap().inode);
    let cache = |stream: &FileDescription| stream.file().page_cache().unwrap().id();
    assert_eq!(cache(&a), cache(&b));
    let locks =
        |stream: &FileDescription| std::ptr::from_ref(stream.path().unwrap().inode().locks().unwrap()).addr();
    assert_eq!(locks(&a), locks(&b));
}

#[test]
fn pages_follow_what_is_written_and_what_is_written_to_them_goes_to_the_host() {
    let host = host_file(&[b'a'; 5000]);
    let mut streams = streams();
    let stream = describe(&mut streams, &host, OpenFlags::RDWR);
    let cache = stream.file().page_cache().unwrap();
    let mut byte = [0];
    assert_eq!((cache.read_at(&mut byte, 4999, None), byte), (Ok(1), [b'a']));
    stream.file().write_at(b"bc", 4999).unwrap();
    assert_eq!(cache.size(), 5001);
    assert_eq!((cache.read_at(&mut byte, 5000, None), byte), (Ok(1), [b'c']));
    cache.write_at(b"Z", 1, None).unwrap();
    assert_eq!((stream.file().read_at(&mut byte, 1), byte), (Ok(1), [b'Z']));
    cache.write_at(b"Y", 2, None).unwrap();
    streams.write_back();
    assert_eq!(contents(&host)[..4], *b"aZYa");
    stream.file().truncate(2).unwrap();
    assert_eq!((cache.size(), contents(&host).len()), (2, 2));
}

#[test]
fn directories_are_listed_and_what_is_in_them_is_out_of_reach() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("inside"), b"x").unwrap();
    let host = HostFile::open(directory.path()).unwrap();
    let stream = describe(&mut streams(), &host, OpenFlags::DIRECTORY);
    assert_eq!(stream.file().read_at(&mut [0; 4], 0), Err(Errno::EISDIR));
    for _ in 0..2 {
        let mut names = Vec::new();
        let mut sink = |entry: crate::fs::DirectoryEntry| {
            names.push(entry.name);
            true
        };
        stream.file().read_directory(0, &mut sink).unwrap();
        assert!(names.contains(&b"inside".to_vec()), "{names:?}");
    }
    assert_eq!(stream.path().unwrap().inode().lookup(b"inside").err(), Some(Errno::EACCES));
}
