//! Tests of what steers the clock.

use super::{Adjustment, AdjustmentRequest};
use crate::Errno;

fn request(modes: u32, values: Adjustment) -> AdjustmentRequest {
    AdjustmentRequest { modes, values, step: [0; 2] }
}

#[test]
fn whoever_may_not_set_the_clock_may_read_it() {
    let values = Adjustment::default();
    assert_eq!(request(0, values).check(false), Ok(()));
    assert_eq!(request(0xa001, values).check(false), Ok(()));
    assert_eq!(request(2, values).check(false), Err(Errno::EPERM));
    // What is wrong by itself is said first.
    assert_eq!(request(0x8000, values).check(false), Err(Errno::EINVAL));
}

#[test]
fn values_are_checked_or_brought_into_range() {
    let tick = Adjustment { tick: 8_999, ..Adjustment::default() };
    assert_eq!(request(0x4000, tick).check(true), Err(Errno::EINVAL));
    let step = AdjustmentRequest { modes: 0x100, step: [1, 1_000_000], ..AdjustmentRequest::default() };
    assert_eq!(step.check(true), Err(Errno::EINVAL));
    assert_eq!(AdjustmentRequest { step: [-1, 500_000], ..step }.step_ns(), Some(-500_000_000));
    let mut kept = Adjustment::default();
    let far = Adjustment { frequency: 1 << 40, constant: 99, ..Adjustment::default() };
    assert_eq!(kept.change(&request(2 | 0x20, far)), None);
    assert_eq!((kept.frequency, kept.constant), (500 << 16, 10));
}

#[test]
fn a_single_offset_tells_the_one_before() {
    let mut kept = Adjustment::default();
    let values = Adjustment { offset: 7, ..Adjustment::default() };
    assert_eq!(kept.change(&request(0x8001, values)), Some(0));
    assert_eq!(kept.change(&request(0xa001, Adjustment::default())), Some(7));
    assert_eq!(kept.single, 7);
}
