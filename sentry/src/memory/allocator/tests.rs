use super::*;
use crate::platform::fake::FakePlatform;

const MIB: u64 = 1 << 20;

pub(super) fn allocator(limit_bytes: u64) -> Arc<FrameAllocator> {
    let platform: Arc<dyn Platform> = FakePlatform::new(64 * MIB).unwrap();
    FrameAllocator::new(&platform, limit_bytes)
}

#[test]
fn a_frame_is_zero_again_after_its_reuse() {
    let frames = allocator(2 * MIB);
    let all: Vec<_> = (0..512).map(|_| frames.allocate().unwrap()).collect();
    all.iter().for_each(|frame| frame.slice().copy_from(&[7u8; 4096]));
    drop(all);
    for frame in (0..512).map(|_| frames.allocate().unwrap()) {
        let mut bytes = [1u8; 4096];
        frame.slice().copy_to(&mut bytes);
        assert_eq!(bytes, [0; 4096]);
    }
}

#[test]
fn past_the_limit_is_enomem_until_something_is_freed() {
    let frames = allocator(4 * MIB);
    let mut all: Vec<_> = (0..1024).map(|_| frames.allocate().unwrap()).collect();
    assert_eq!(frames.allocate().unwrap_err(), Errno::ENOMEM);
    let copy = all[3].clone();
    all.swap_remove(3);
    assert_eq!(frames.allocate().unwrap_err(), Errno::ENOMEM);
    drop(copy);
    assert!(frames.allocate().is_ok());
}

#[test]
fn chunks_of_small_pages_are_populated_where_they_are_used() {
    let frames = allocator(8 * MIB);
    let populated = || frames.state.lock().chunks[0].populated;
    let one = frames.allocate().unwrap();
    assert_eq!(populated(), 0b1);
    let span = frames.allocate_span(FrameUse::Anonymous, 130).unwrap();
    assert_eq!(populated(), 0b1_1111_1111);
    frames.release(&span.numbers().collect::<Vec<_>>());
    drop(one);
    let whole = frames.allocate_span(FrameUse::Anonymous, 511).unwrap();
    assert_eq!((whole.count, populated()), (511, u32::MAX));
}

#[test]
fn large_spans_are_whole_chunks() {
    let frames = allocator(64 * MIB);
    let _small = frames.allocate().unwrap();
    let span = frames.allocate_span(FrameUse::Anonymous, 600).unwrap();
    assert_eq!((span.count, span.first.0 % 512), (512, 0));
    frames.release(&span.numbers().collect::<Vec<_>>());
}

#[test]
fn free_chunks_beyond_the_reserve_go_back_to_the_host() {
    let frames = allocator(64 * MIB);
    let spans: Vec<_> = (0..16).map(|_| frames.allocate_span(FrameUse::Anonymous, 512).unwrap()).collect();
    for span in spans {
        frames.release(&span.numbers().collect::<Vec<_>>());
    }
    let state = frames.state.lock();
    assert_eq!((state.idle.len(), state.unbacked.len()), (RESERVE_CHUNKS, 16 - RESERVE_CHUNKS));
    drop(state);
    assert_eq!(frames.statistics().free_bytes, 64 * MIB);
}

#[test]
fn runs_are_found_across_words() {
    let mut bits = [0; WORDS];
    bits[0] = 0b1011 | 1 << 62 | 1 << 63;
    bits[1] = 0b11;
    assert_eq!(longest_run(&bits, 1), (0, 1));
    assert_eq!(longest_run(&bits, 2), (0, 2));
    assert_eq!(longest_run(&bits, 3), (62, 3));
    assert_eq!(longest_run(&bits, 9), (62, 4));
    assert_eq!(longest_run(&[u64::MAX; WORDS], 1000), (0, 512));
}
