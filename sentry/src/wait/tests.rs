use std::time::Duration;

use super::*;

#[test]
fn a_wake_before_the_sleep_is_not_lost() {
    let waiter = Waiter::default();
    waiter.wake();
    assert!(waiter.sleep(None));
    assert!(!waiter.sleep(Some(Instant::now() + Duration::from_millis(1))));
}

#[test]
fn of_exclusive_observers_one_hears() {
    let (queue, waiters) = (WaitQueue::default(), [(), (), ()].map(|()| Arc::new(Waiter::default())));
    let [shared, first, second] = &waiters;
    let _registrations = [
        queue.register_exclusive(Events::IN, first.clone()),
        queue.register_exclusive(Events::IN, second.clone()),
        queue.register(Events::IN, shared.clone()),
    ];
    queue.notify(Events::IN);
    let now = Some(Instant::now());
    assert_eq!([shared, first, second].map(|waiter| waiter.sleep(now)), [true, true, false]);
}

#[test]
fn only_interested_observers_hear_of_an_event() {
    let (queue, waiter) = (WaitQueue::default(), Arc::new(Waiter::default()));
    let registration = queue.register(Events::OUT, waiter.clone());
    queue.notify(Events::IN);
    assert!(!waiter.sleep(Some(Instant::now())));
    queue.notify(Events::HUP);
    assert!(waiter.sleep(Some(Instant::now())));
    drop(registration);
    assert!(queue.is_empty());
}
