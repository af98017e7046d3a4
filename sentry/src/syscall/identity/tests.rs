use super::*;

#[test]
fn setreuid_saves_the_effective_user_when_either_changes() {
    let old = [1000, 1000, 1000];
    assert_eq!(change_real_and_effective(old, [UNCHANGED, 5], true), Ok([1000, 5, 5]));
    assert_eq!(change_real_and_effective(old, [UNCHANGED, 1000], true), Ok([1000, 1000, 1000]));
    assert_eq!(change_real_and_effective([1, 2, 3], [2, 1], false), Ok([2, 1, 1]));
    assert_eq!(change_real_and_effective([1, 2, 3], [3, UNCHANGED], false), Err(Errno::EPERM));
}

#[test]
fn setresuid_without_privilege_permutes_only() {
    assert_eq!(change_all([1, 2, 3], [3, UNCHANGED, 1], false), Ok([3, 2, 1]));
    assert_eq!(change_all([1, 2, 3], [4, UNCHANGED, 1], false), Err(Errno::EPERM));
    assert_eq!(change_all([1, 2, 3], [4, 5, 6], true), Ok([4, 5, 6]));
}
