use std::sync::Arc;
use std::sync::mpsc;

use super::*;

#[test]
fn a_thread_does_its_work_on_a_stack_of_its_own() {
    let (sender, receiver) = mpsc::channel();
    let work = move || sender.send(std::thread::current().id()).unwrap();
    start_thread(128 << 10, Box::new(work)).unwrap();
    assert_ne!(receiver.recv().unwrap(), std::thread::current().id());
}

#[test]
fn a_thread_that_there_is_no_room_for_is_an_error_and_leaves_nothing() {
    let kept = Arc::new(());
    let held = kept.clone();
    let error = start_thread(1 << 60, Box::new(move || drop(held))).unwrap_err();
    assert!(matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINVAL | libc::ENOMEM)), "{error}");
    assert_eq!(Arc::strong_count(&kept), 1);
}
