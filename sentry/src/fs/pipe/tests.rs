//! What a pipe promises, kept.

use super::*;
use crate::cred::{KernelGid, KernelUid};

fn pair() -> (Arc<PipeFile>, Arc<PipeFile>) {
    Pipe::pair(&Arc::default(), OpenFlags::empty(), KernelUid::ROOT, KernelGid::ROOT).unwrap()
}

fn read(file: &PipeFile, len_bytes: usize) -> Result<Vec<u8>, Errno> {
    let mut buffer = vec![0; len_bytes];
    let read = file.read_at(&mut buffer, 0)?;
    buffer.truncate(read);
    Ok(buffer)
}

fn fill(writer: &PipeFile) -> usize {
    let mut total = 0;
    while let Ok(written) = writer.write_at(&[7; SEGMENT_BYTES], 0) {
        total += written;
    }
    total
}

#[test]
fn bytes_come_out_as_they_went_in_across_segments() {
    let (reader, writer) = pair();
    let bytes: Vec<u8> = (0..10_000u32).map(|n| n as u8).collect();
    assert_eq!(writer.write_at(&bytes, 0), Ok(bytes.len()));
    assert_eq!(read(&reader, 3), Ok(bytes[..3].to_vec()));
    assert_eq!(read(&reader, 20_000), Ok(bytes[3..].to_vec()));
    assert_eq!(read(&reader, 1), Err(Errno::EAGAIN));
}

#[test]
fn an_empty_pipe_is_eof_once_the_last_writer_is_gone() {
    let (reader, writer) = pair();
    writer.write_at(b"last", 0).unwrap();
    drop(writer);
    assert!(reader.readiness().contains(Events::IN | Events::HUP));
    assert_eq!(read(&reader, 9), Ok(b"last".to_vec()));
    assert_eq!(read(&reader, 9), Ok(vec![]));
    assert_eq!(reader.readiness(), Events::HUP);
}

#[test]
fn a_write_without_a_reader_is_epipe() {
    let (reader, writer) = pair();
    drop(reader);
    assert_eq!(writer.write_at(b"x", 0), Err(Errno::EPIPE));
    assert!(writer.readiness().contains(Events::ERR | Events::OUT));
}

#[test]
fn a_pipe_holds_64_kib_and_a_partly_read_segment_stays_occupied() {
    let (reader, writer) = pair();
    assert_eq!(fill(&writer), 65536);
    assert_eq!(writer.readiness(), Events::empty());
    read(&reader, 4095).unwrap();
    assert_eq!(writer.write_at(b"x", 0), Err(Errno::EAGAIN));
    read(&reader, 1).unwrap();
    assert_eq!(writer.write_at(b"x", 0), Ok(1));
}

#[test]
fn writes_up_to_pipe_buf_are_whole_or_not_at_all() {
    let (reader, writer) = pair();
    assert_eq!(writer.write_at(&[1; 65536 - 100], 0), Ok(65436));
    assert_eq!(writer.write_at(&[2; 101], 0), Err(Errno::EAGAIN));
    assert_eq!(writer.write_at(&[2; 100], 0), Ok(100));
    read(&reader, SEGMENT_BYTES).unwrap();
    assert_eq!(writer.write_at(&[3; 9000], 0), Ok(SEGMENT_BYTES), "a larger one may be cut");
}

#[test]
fn packets_keep_their_bounds_and_lose_their_excess() {
    let (reader, writer) =
        Pipe::pair(&Arc::default(), OpenFlags::DIRECT, KernelUid::ROOT, KernelGid::ROOT).unwrap();
    writer.write_at(b"one", 0).unwrap();
    writer.write_at(b"two", 0).unwrap();
    assert_eq!(read(&reader, 100), Ok(b"one".to_vec()));
    assert_eq!(read(&reader, 1), Ok(b"t".to_vec()));
    assert_eq!(read(&reader, 100), Err(Errno::EAGAIN));
    writer.flags_changed(OpenFlags::empty());
    writer.write_at(b"a", 0).unwrap();
    writer.write_at(b"b", 0).unwrap();
    assert_eq!(read(&reader, 100), Ok(b"ab".to_vec()));
}

#[test]
fn capacity_is_rounded_up_and_never_below_what_is_inside() {
    let (reader, writer) = pair();
    assert_eq!(writer.capacity_bytes(), Ok(65536));
    assert_eq!(writer.set_capacity(70_000, false), Ok(131_072));
    assert_eq!(fill(&writer), 131_072);
    assert_eq!(writer.set_capacity(4096, false), Err(Errno::EBUSY));
    read(&reader, 131_072).unwrap();
    assert_eq!(reader.set_capacity(0, false), Ok(4096));
    assert_eq!(fill(&writer), 4096);
    assert_eq!(writer.set_capacity(2 << 20, false), Err(Errno::EPERM));
    assert_eq!(writer.set_capacity(1 << 32, true), Err(Errno::EINVAL));
}

#[test]
fn the_wrong_end_is_ebadf() {
    let (reader, writer) = pair();
    assert_eq!(reader.write_at(b"x", 0), Err(Errno::EBADF));
    assert_eq!(read(&writer, 1), Err(Errno::EBADF));
}

#[test]
fn a_pipe_opened_by_its_inode_is_one_more_end() {
    let (reader, writer) = pair();
    let inode = reader.nameless_inode().unwrap();
    let again = inode.open(OpenFlags::WRONLY, &Viewer::test_kernel()).unwrap();
    drop(writer);
    again.write_at(b"still", 0).unwrap();
    assert_eq!(read(&reader, 9), Ok(b"still".to_vec()));
    drop(again);
    assert_eq!(read(&reader, 9), Ok(vec![]));
}

#[test]
fn a_fifo_s_ends_wait_for_each_other() {
    let files = Arc::<OpenFiles>::default();
    let pipe = Pipe::new(&files);
    let inode: Arc<dyn Inode> =
        Arc::new(NamelessPipe { pipe: pipe.clone(), inode: AnonymousInode::new(&files) });
    let nonblocking_write = OpenFlags::WRONLY | OpenFlags::NONBLOCK;
    assert_eq!(pipe.open_fifo(inode.clone(), nonblocking_write).err(), Some(Errno::ENXIO));
    let reader = pipe.open_fifo(inode.clone(), OpenFlags::empty()).unwrap();
    assert!(!reader.has_met_peer());
    assert_eq!(reader.readiness(), Events::empty(), "nobody has hung up yet");
    let writer = pipe.open_fifo(inode.clone(), OpenFlags::WRONLY).unwrap();
    assert!(reader.has_met_peer() && writer.has_met_peer());
    drop(writer);
    assert!(reader.has_met_peer(), "a writer that came and went was met");
    assert_eq!(reader.readiness(), Events::HUP);
    assert!(pipe.open_fifo(inode, OpenFlags::RDWR).unwrap().has_met_peer());
}
