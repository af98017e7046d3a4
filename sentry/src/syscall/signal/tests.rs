use super::*;
use crate::cred::KernelUid;

#[test]
fn one_may_signal_one_s_own_and_with_a_capability_all() {
    let (user, other) = (Credentials::test_user(1000, 1000), Credentials::test_user(1001, 1001));
    assert!(may_signal(&user, &user));
    assert!(!may_signal(&user, &other));
    assert!(may_signal(&Credentials::test_root(), &other));
    // A set-user-ID program can still be signalled by whoever started it.
    let set_uid = Credentials { effective_uid: KernelUid::ROOT, saved_uid: KernelUid::ROOT, ..user.clone() };
    assert!(may_signal(&user, &set_uid));
}
