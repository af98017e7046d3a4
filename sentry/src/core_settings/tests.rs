use super::*;

#[test]
fn a_pattern_ends_with_its_line_and_with_its_room() {
    let settings = CoreSettings::default();
    settings.set_pattern(b"/tmp/core.%p\nmore");
    assert_eq!(settings.pattern(), b"/tmp/core.%p");
    settings.set_pattern(&[b'x'; 200]);
    assert_eq!(settings.pattern(), [b'x'; 127]);
}

#[test]
fn the_limit_of_handlers_counts_those_that_run() {
    let settings = Arc::<CoreSettings>::default();
    settings.set_pipe_limit(1);
    let first = settings.begin_piped_dump();
    assert!(first.is_some());
    assert!(settings.begin_piped_dump().is_none());
    drop(first);
    assert!(settings.begin_piped_dump().is_some());
}
