use super::*;
use crate::memory::FrameUse;
use crate::platform::Platform;
use crate::platform::fake::FakePlatform;

fn table_of(pages: &[u64]) -> (Arc<FrameAllocator>, FrameTable) {
    let platform: Arc<dyn Platform> = FakePlatform::new(4 << 20).unwrap();
    let frames = FrameAllocator::new(&platform, 4 << 20);
    let mut table = FrameTable::new(&frames);
    let mut displaced = FrameBatch::new(&frames);
    for &page in pages {
        let span = frames.allocate_span(FrameUse::Anonymous, 1).unwrap();
        table.insert(page, Entry::new(span.first, EntryFlags::PRIVATE), &mut displaced);
    }
    drop(displaced);
    (frames, table)
}

#[test]
fn ranges_and_gaps_are_each_other_s_complement() {
    let (_, table) = table_of(&[3, 4, 63, 64, 200]);
    let pages: Vec<_> = table.range(4..200).map(|(page, _)| page).collect();
    assert_eq!(pages, [4, 63, 64]);
    assert_eq!(table.gaps(3..201), [5..63, 65..200]);
    assert_eq!(table.gaps(64..65), []);
}

#[test]
fn frames_are_free_when_they_are_taken_or_the_table_dies() {
    let (frames, mut table) = table_of(&[0, 1, 100]);
    let mut taken = FrameBatch::new(&frames);
    assert_eq!(table.take(0..100, &mut taken, |page, _| page != 0), Some(1..2));
    assert_eq!((taken.len(), table.len(), table.marked_len()), (1, 2, 2));
    assert_eq!(frames.free_frames(), 1024 - 3);
    drop(taken);
    drop(table);
    assert_eq!(frames.free_frames(), 1024);
}

#[test]
fn shifting_keeps_frames_and_distances() {
    let (_, mut table) = table_of(&[10, 12]);
    let before = table.get(12);
    assert!(table.shift(10..13, 1000));
    assert_eq!((table.get(12), table.get(1002), table.len()), (None, before, 2));
}
