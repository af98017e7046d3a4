use super::*;

#[test]
fn the_time_that_some_waited_is_read() {
    let text = "some avg10=99.57 avg60=99.54 avg300=99.36 total=3764201109\n\
                full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
    assert_eq!(waited(text), Some(Duration::from_micros(3_764_201_109)));
    for text in ["", "full avg10=0.00 total=7\n", "some avg10=1.00\n", "some total=x\n"] {
        assert_eq!(waited(text), None, "{text:?}");
    }
}

#[test]
fn a_host_on_which_others_wait_is_busy() {
    assert!(!is_much(Duration::ZERO, LOOKS_APART));
    assert!(!is_much(Duration::from_millis(3), LOOKS_APART));
    assert!(is_much(Duration::from_millis(4), LOOKS_APART));
}
