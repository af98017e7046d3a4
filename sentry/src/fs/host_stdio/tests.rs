//! What standard streams promise, kept, on host pipes, files and sockets.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use super::*;
use crate::wait::Waiter;

fn again(descriptor: &impl AsFd) -> HostStream<'_> {
    HostStream { descriptor: descriptor.as_fd(), opening: Opening::Again }
}

fn stream(descriptor: impl AsFd) -> Arc<HostFile> {
    let terminals = Arc::default();
    let mut files = HostFile::standard_streams(
        &[again(&descriptor)],
        &HostNotifier::new(),
        &terminals,
        &OpenFiles::default(),
    )
    .unwrap();
    files.remove(0)
}

#[test]
fn a_pipe_s_own_flags_stay_and_an_empty_one_does_not_block() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let file = stream(&reader);
    assert_eq!(file.read_at(&mut [0; 4], 0), Err(Errno::EAGAIN));
    assert!(!rustix::fs::fcntl_getfl(&reader).unwrap().contains(OFlags::NONBLOCK));
    writer.write_all(b"hi").unwrap();
    let mut buffer = [0; 4];
    assert_eq!(file.read_at(&mut buffer, 0), Ok(2));
    assert_eq!(&buffer[..2], b"hi");
    drop(writer);
    assert_eq!(file.read_at(&mut buffer, 0), Ok(0));
}

#[test]
fn a_full_pipe_does_not_block_a_large_write() {
    let (reader, writer) = std::io::pipe().unwrap();
    let file = stream(&writer);
    let bytes = vec![1; 1 << 20];
    assert_eq!(file.write_at(&bytes, 0), Ok(65536));
    assert_eq!(file.write_at(&bytes, 0), Err(Errno::EAGAIN));
    assert!(!file.readiness().contains(Events::OUT));
    drop(reader);
    assert_eq!(file.write_at(&bytes, 0), Err(Errno::EPIPE));
}

#[test]
fn sockets_are_streams_too() {
    let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let file = stream(&ours);
    assert_eq!(file.manner, Manner::Socket);
    assert_eq!(file.read_at(&mut [0; 4], 0), Err(Errno::EAGAIN));
    assert_eq!(file.write_at(b"out", 0), Ok(3));
    let mut buffer = [0; 3];
    theirs.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"out");
}

#[test]
fn readiness_on_the_host_wakes_who_waits() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let file = stream(&reader);
    let waiter = Arc::new(Waiter::default());
    let _registration = file.wait_queue().unwrap().register(Events::IN, waiter.clone());
    while waiter.sleep(Some(Instant::now() + Duration::from_millis(20))) {}
    assert!(!file.readiness().contains(Events::IN));
    writer.write_all(b"x").unwrap();
    assert!(waiter.sleep(Some(Instant::now() + Duration::from_secs(10))));
    assert!(file.readiness().contains(Events::IN));
}

#[test]
fn dev_null_neither_blocks_nor_keeps() {
    let host = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null").unwrap();
    let file = stream(&host);
    assert_eq!(file.write_at(b"gone", 0), Ok(4));
    assert_eq!(file.read_at(&mut [0; 4], 0), Ok(0));
    assert_eq!(file.metadata().unwrap().special_device, DeviceNumber::new(1, 3));
}

#[test]
fn what_a_pipe_holds_can_be_looked_at_and_stays() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let file = stream(&reader);
    let pipe = file.pipe_end().unwrap();
    assert_eq!(pipe.peek(&mut [0; 4]), Err(Errno::EAGAIN));
    writer.write_all(b"hello").unwrap();
    for _ in 0..2 {
        let mut buffer = [0; 3];
        assert_eq!(pipe.peek(&mut buffer), Ok(3));
        assert_eq!(&buffer, b"hel");
    }
    let mut buffer = [0; 8];
    assert_eq!(file.read_at(&mut buffer, 0), Ok(5));
    drop(writer);
    assert_eq!(pipe.peek(&mut buffer), Ok(0));
}

#[test]
fn a_pipe_that_is_not_opened_again_does_not_block_either() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let stream = HostStream { descriptor: reader.as_fd(), opening: Opening::Never };
    let files =
        HostFile::standard_streams(&[stream], &HostNotifier::new(), &Arc::default(), &OpenFiles::default());
    let file = files.unwrap().remove(0);
    assert_eq!(file.manner, Manner::Polled);
    assert_eq!(file.read_at(&mut [0; 4], 0), Err(Errno::EAGAIN));
    writer.write_all(b"hi").unwrap();
    assert_eq!(file.read_at(&mut [0; 4], 0), Ok(2));
    // One that has been opened so is used as it is.
    rustix::fs::fcntl_setfl(&reader, OFlags::NONBLOCK).unwrap();
    let stream = HostStream { descriptor: reader.as_fd(), opening: Opening::Done };
    let files =
        HostFile::standard_streams(&[stream], &HostNotifier::new(), &Arc::default(), &OpenFiles::default());
    let file = files.unwrap().remove(0);
    assert_eq!(file.manner, Manner::NonBlocking);
    assert_eq!(file.read_at(&mut [0; 4], 0), Err(Errno::EAGAIN));
}

#[test]
fn a_pipe_s_capacity_is_the_host_s() {
    let (reader, writer) = std::io::pipe().unwrap();
    let files = HostFile::standard_streams(
        &[again(&reader), again(&writer)],
        &HostNotifier::new(),
        &Arc::default(),
        &OpenFiles::default(),
    )
    .unwrap();
    let [end, other] = [0, 1].map(|index| files[index].pipe_end().unwrap());
    assert_eq!(end.set_capacity(10_000, false), Ok(16384));
    assert_eq!(other.capacity_bytes(), Ok(16384));
    let inode = |file: &HostFile| file.metadata().unwrap().inode;
    assert_eq!(inode(&files[0]), inode(&files[1]));
}

#[test]
fn a_stream_that_was_read_only_is_not_opened_for_writing() {
    let (reader, _writer) = std::io::pipe().unwrap();
    let inode = stream(&reader).nameless_inode().unwrap();
    let open = |flags| inode.clone().open(flags, &Viewer::test_kernel()).err();
    assert_eq!(open(OpenFlags::empty()), None);
    assert_eq!(open(OpenFlags::WRONLY), Some(Errno::EACCES));
    assert_eq!(open(OpenFlags::RDWR), Some(Errno::EACCES));
}
