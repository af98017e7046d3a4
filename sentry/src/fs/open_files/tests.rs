use super::*;

#[test]
fn the_setting_bounds_the_unprivileged_and_the_end_everybody() {
    let files = Arc::<OpenFiles>::default();
    assert_eq!(files.check(false), Ok(()));
    let registration = Registration::new(&files);
    files.set(1);
    assert_eq!((files.check(false), files.check(true)), (Err(Errno::ENFILE), Ok(())));
    drop(registration);
    assert_eq!(files.check(false), Ok(()));
    files.set(u64::MAX);
    files.used.store(END, Ordering::Relaxed);
    assert_eq!((files.check(false), files.check(true)), (Err(Errno::ENFILE), Err(Errno::ENFILE)));
}
