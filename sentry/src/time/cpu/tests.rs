use super::*;

#[test]
fn a_thread_s_time_grows_and_ends_with_it() {
    let own = rustix::thread::gettid().as_raw_nonzero().get();
    let before = thread_cpu_time(own).unwrap();
    let mut sum = 0_u64;
    for number in 0..3_000_000_u64 {
        sum = std::hint::black_box(sum.wrapping_add(number));
    }
    let after = thread_cpu_time(own).unwrap();
    assert!(after > before && own_cpu_time() >= after);
    assert_eq!(thread_cpu_time(i32::MAX >> 4), None);
}
