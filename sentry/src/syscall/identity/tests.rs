use super::*;

#[test]
fn setreuid_saves_the_effective_user_when_either_changes() {
    let old = [1000, 1000, 1000];
    assert_eq!(change_real_and_effective(old, [None, Some(5)], true), Ok([1000, 5, 5]));
    assert_eq!(change_real_and_effective(old, [None, Some(1000)], true), Ok([1000, 1000, 1000]));
    assert_eq!(change_real_and_effective([1, 2, 3], [Some(2), Some(1)], false), Ok([2, 1, 1]));
    assert_eq!(change_real_and_effective([1, 2, 3], [Some(3), None], false), Err(Errno::EPERM));
}

#[test]
fn setresuid_without_privilege_permutes_only() {
    assert_eq!(change_all([1, 2, 3], [Some(3), None, Some(1)], false), Ok([3, 2, 1]));
    assert_eq!(change_all([1, 2, 3], [Some(4), None, Some(1)], false), Err(Errno::EPERM));
    assert_eq!(change_all([1, 2, 3], [4, 5, 6].map(Some), true), Ok([4, 5, 6]));
}
