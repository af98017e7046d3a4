use super::*;

fn queue() -> ByteQueue {
    ByteQueue::new(&Arc::default())
}

fn read(queue: &mut ByteQueue, max_bytes: usize, peek_offset: Option<usize>, is_inline: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut take = |piece: &[u8]| {
        bytes.extend_from_slice(piece);
        true
    };
    queue.read(Taking { max_bytes, peek_offset, is_urgent_inline: is_inline, take: &mut take }).unwrap();
    bytes
}

#[test]
fn bytes_come_out_in_order_and_give_their_memory_back() {
    let memory = Arc::<SocketMemory>::default();
    let mut queue = ByteQueue::new(&memory);
    let bytes: Vec<u8> = (0..200_000_u32).map(|byte| byte.to_le_bytes()[0]).collect();
    for part in bytes.chunks(777) {
        assert_eq!(queue.push(part), Ok(part.len()));
    }
    assert!(memory.queued_bytes() >= bytes.len());
    assert_eq!(read(&mut queue, 10, Some(5), false), &bytes[5..15]);
    let mut out = Vec::new();
    while queue.unread_bytes() > 0 {
        out.extend(read(&mut queue, 1001, None, false));
    }
    assert!(out == bytes);
    assert_eq!(memory.queued_bytes(), 0);
}

#[test]
fn a_read_stops_at_the_urgent_byte_and_passes_over_it() {
    let mut queue = queue();
    queue.push(b"abU").unwrap();
    queue.mark_urgent();
    queue.push(b"cd").unwrap();
    assert_eq!(queue.readable_bytes(false), 2);
    assert_eq!(read(&mut queue, 9, None, false), b"ab");
    assert!(queue.is_at_mark());
    assert_eq!((queue.take_urgent(true), queue.take_urgent(false)), (Ok(b'U'), Ok(b'U')));
    assert_eq!(queue.take_urgent(false), Err(Errno::EINVAL));
    assert_eq!(read(&mut queue, 9, None, false), b"cd");
}

#[test]
fn inline_the_urgent_byte_begins_a_read() {
    let mut queue = queue();
    queue.push(b"abU").unwrap();
    queue.mark_urgent();
    queue.push(b"cd").unwrap();
    assert_eq!(read(&mut queue, 9, None, true), b"ab");
    assert_eq!(read(&mut queue, 9, None, true), b"Ucd");
}
