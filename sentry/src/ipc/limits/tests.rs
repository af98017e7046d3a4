use super::*;

#[test]
fn a_limit_that_cannot_be_leaves_the_old_one() {
    let mut limits = IpcLimits::default();
    assert_eq!(limits.set(IpcLimit::Segments, 32_769), Err(Errno::EINVAL));
    assert_eq!(limits.get(IpcLimit::Segments), 4096);
    limits.set(IpcLimit::PosixMessages, 50).unwrap();
    assert_eq!(limits.get(IpcLimit::PosixMessages), 50);
    assert_eq!(limits.set_semaphores(&[1, 2, 3, 40_000]), Err(Errno::EINVAL));
    assert_eq!(limits, {
        let mut same = IpcLimits::default();
        same.set(IpcLimit::PosixMessages, 50).unwrap();
        same
    });
    limits.set_semaphores(&[100, 200]).unwrap();
    assert_eq!((limits.semaphores.set_len, limits.semaphores.sets), (100, 32_000));
}
