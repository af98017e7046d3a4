use super::*;
use crate::time::Timekeeper;

fn log() -> Arc<KernelLog> {
    let (timekeeper, settings) = (Arc::new(Timekeeper::default()), Arc::default());
    KernelLog::new(&Arc::new(OpenFiles::new(&timekeeper, &settings)), &settings)
}

#[test]
fn messages_are_taken_once_and_shown_until_they_are_cleared() {
    let log = log();
    log.add(12, b"one\n");
    log.add(13, b"two");
    assert!(log.take(usize::MAX).ends_with(b"two\n"));
    assert_eq!((log.take(usize::MAX), log.unread_bytes()), (Vec::new(), 0));
    let all = log.last_messages(usize::MAX, true);
    assert!(all.starts_with(b"<12>[    0.0"));
    assert_eq!(all.iter().filter(|byte| **byte == b'\n').count(), 2);
    assert!(log.last_messages(usize::MAX, false).is_empty());
}

#[test]
fn one_who_reads_little_gets_parts_of_a_message() {
    let log = log();
    log.add(12, b"a message");
    let len_bytes = log.unread_bytes();
    let first = log.take(10);
    assert_eq!((first.len(), log.unread_bytes()), (10, len_bytes - 10));
    assert_eq!([first, log.take(1000)].concat(), log.last_messages(1000, false));
}

#[test]
fn the_oldest_messages_make_room() {
    let log = log();
    for _ in 0..1000 {
        log.add(12, &[b'x'; 1000]);
    }
    let (first, _, next) = log.numbers();
    assert_eq!(next, 1000);
    assert!(next - first < 128 && next - first > 100);
    assert!(matches!(log.read(0), ReadRecord::Lost(lost) if lost == first));
    assert!(matches!(log.read(999), ReadRecord::Found(999, _)));
    assert!(matches!(log.read(1000), ReadRecord::Missing));
}

#[test]
fn what_is_no_text_is_shown_by_numbers() {
    let log = log();
    log.add(12, b"a\\\x01\xff");
    let ReadRecord::Found(0, text) = log.read(0) else { panic!("there is no message") };
    assert!(text.ends_with(b",-;a\\x5c\\x01\\xff\n"));
}
