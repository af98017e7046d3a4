use super::*;

#[test]
fn a_charge_over_the_limit_is_eagain_and_costs_nothing() {
    let user = Arc::new(UserCounters::default());
    let charge = user.charge_process(Some(1)).unwrap();
    assert_eq!(user.charge_process(Some(1)).err(), Some(Errno::EAGAIN));
    assert_eq!(user.processes(), 1);
    drop(charge);
    assert_eq!(user.processes(), 0);
}

#[test]
fn only_the_privileged_raise_a_hard_limit() {
    let mut limits = Limits::default();
    let lower = Limit { soft: 10, hard: 20 };
    limits.set(Resource::OPEN_FILES, lower, false).unwrap();
    let higher = Limit { soft: 10, hard: 30 };
    assert_eq!(limits.set(Resource::OPEN_FILES, higher, false), Err(Errno::EPERM));
    assert_eq!(limits.set(Resource::OPEN_FILES, Limit { soft: 2, hard: 1 }, true), Err(Errno::EINVAL));
    limits.set(Resource::OPEN_FILES, higher, true).unwrap();
}
