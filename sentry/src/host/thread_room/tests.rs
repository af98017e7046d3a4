use super::*;

#[test]
fn the_lowest_bound_counts_and_some_threads_are_left_for_other_work() {
    assert_eq!(ThreadRoom::default().task_threads(), usize::MAX);
    let usual = ThreadRoom { mappings: Some(65_530), host_threads: Some(32_768), ..ThreadRoom::default() };
    assert_eq!(usual.task_threads(), 15_294);
    assert_eq!(ThreadRoom { group_threads: Some(500), ..usual }.task_threads(), 436);
    assert_eq!(ThreadRoom { user_threads: Some(3), ..usual }.task_threads(), 1);
}

#[test]
fn this_host_bounds_mappings() {
    assert!(ThreadRoom::of_this_process().mappings.is_some());
}
