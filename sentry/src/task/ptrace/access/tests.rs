use super::*;
use crate::cred::KernelUid;

#[test]
fn one_may_look_into_one_s_own_processes_and_with_a_capability_into_all() {
    let (user, other) = (Credentials::test_user(1000, 1000), Credentials::test_user(1001, 1001));
    assert!(is_allowed(&user, &user));
    assert!(!is_allowed(&user, &other));
    assert!(is_allowed(&Credentials::test_root(), &other));
    let set_uid = Credentials { effective_uid: KernelUid::ROOT, saved_uid: KernelUid::ROOT, ..user.clone() };
    assert!(!is_allowed(&user, &set_uid));
    let capable = Credentials { permitted: Capabilities::KILL, ..user.clone() };
    assert!(!is_allowed(&user, &capable));
    assert!(is_allowed(&capable, &user));
    // Who made a user namespace may look into what is in it; nobody in it may look out.
    let inside = user.in_new_namespace().unwrap();
    assert!(is_allowed(&user, &inside));
    assert!(!is_allowed(&inside, &user));
}
