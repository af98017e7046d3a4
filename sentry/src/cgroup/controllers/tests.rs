use super::*;

#[test]
fn the_last_word_on_a_controller_counts() {
    let changes = Controllers::parse_changes("+memory -pids +pids\n");
    assert_eq!(changes, Ok((Controllers::MEMORY | Controllers::PIDS, Controllers::empty())));
    for bad in ["memory", "+nothing", "+", "+cpu x"] {
        assert_eq!(Controllers::parse_changes(bad), Err(Errno::EINVAL), "{bad}");
    }
    assert_eq!(Controllers::all().to_string(), "cpu memory pids");
}
