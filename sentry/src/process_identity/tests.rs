use super::*;

#[test]
fn a_process_has_no_number_where_it_is_not_seen() {
    let process = ProcessIdentity::new([(7, 1), (0, 42)]);
    assert_eq!([0, 7, 8].map(|namespace| process.number_in(namespace)), [42, 1, 0]);
    assert_eq!((process.own_number(), ProcessIdentity::default().own_number()), (1, 0));
    assert_eq!(ProcessIdentity::default().number_in(0), 0);
}
