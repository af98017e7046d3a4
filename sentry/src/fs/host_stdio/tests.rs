//! What standard streams promise, kept, on host pipes, files and sockets.

use std::io::{Read, Seek, Write};
use std::time::{Duration, Instant};

use super::*;
use crate::wait::Waiter;

fn stream(descriptor: impl AsFd) -> Arc<HostFile> {
    let terminals = Arc::default();
    let mut files =
        HostFile::standard_streams(&[descriptor.as_fd()], &HostNotifier::new(), &terminals).unwrap();
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
fn a_regular_file_moves_the_caller_s_position_and_is_always_ready() {
    let mut host = tempfile::tempfile().unwrap();
    host.write_all(b"0123456789").unwrap();
    host.seek(std::io::SeekFrom::Start(2)).unwrap();
    let file = stream(&host);
    let mut buffer = [0; 3];
    assert_eq!(file.read_at(&mut buffer, 0), Ok(3));
    assert_eq!(&buffer, b"234");
    assert_eq!(host.stream_position().unwrap(), 5);
    assert!(file.wait_queue().is_none());
    assert_eq!(file.metadata().unwrap().kind(), FileKind::Regular);
    assert_eq!(file.metadata().unwrap().size_bytes, 10);
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
