use super::*;
use crate::memory::allocator::tests::allocator;

const MIB: u64 = 1 << 20;

#[test]
fn what_the_heap_has_user_code_cannot_have_and_the_reverse() {
    for limit in [4 * MIB, 64 * MIB] {
        let frames = allocator(limit);
        let all = limit >> 12;
        frames.sell(all / 2, 0).unwrap();
        assert_eq!(frames.statistics().heap_bytes, limit / 2);
        assert!(frames.free_frames() <= all / 2);
        let mut taken = Vec::new();
        while let Ok(span) = frames.allocate_span(FrameUse::Anonymous, 512) {
            taken.extend(span.numbers());
        }
        assert!(taken.len() as u64 <= all / 2);
        assert_eq!(frames.sell(all / 8, 0), Err(Refusal::Shortage));
        frames.release(&taken);
        frames.sell(all / 8, 0).unwrap();
        frames.buy_back(all / 2 + all / 8);
        assert!(frames.free_frames() >= all - 2 * frames.heap_step_frames());
        assert_eq!(frames.statistics().heap_bytes, 0);
    }
}

#[test]
fn the_heap_leaves_some_to_user_code_and_the_large_some_to_the_small() {
    let frames = allocator(64 * MIB);
    let limit = frames.heap_limit_frames();
    assert_eq!(limit, (48 * MIB) >> 12);
    assert_eq!(frames.sell(limit + 1, 0), Err(Refusal::Limit));
    frames.sell(limit / 2, 0).unwrap();
    assert_eq!(frames.sell(limit / 2, 0), Err(Refusal::Limit));
    frames.sell(limit / 8 * 3, limit / 2).unwrap();
    // Who has less may have more of the rest.
    assert_eq!(frames.sell(1, limit / 2), Err(Refusal::Limit));
    frames.sell(limit / 16, 0).unwrap();
    assert_eq!(frames.sell(limit / 16, 0), Err(Refusal::Limit));
    frames.sell(16, 16).unwrap();
}
