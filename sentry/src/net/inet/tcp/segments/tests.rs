use super::*;

#[test]
fn the_first_segments_are_acknowledged_one_by_one_and_later_ones_by_twos() {
    let arrivals = Arrivals::new(&Arc::default());
    assert_eq!((arrivals.take(1), arrivals.acknowledge()), (1, 1));
    assert_eq!((arrivals.take(16), arrivals.acknowledge()), (16, 16));
    assert_eq!((arrivals.take(1), arrivals.take(1)), (0, 1));
    assert_eq!((arrivals.acknowledge(), arrivals.take(1)), (2, 0));
    assert!(arrivals.are_read());
    assert_eq!((arrivals.acknowledge(), arrivals.are_read()), (1, false));
    assert_eq!(arrivals.counts().data_segments, 20);
}

#[test]
fn an_end_that_answers_acknowledges_with_its_answers() {
    let arrivals = Arrivals::new(&Arc::default());
    arrivals.take(1);
    arrivals.acknowledge();
    arrivals.answer();
    assert_eq!(arrivals.take(1), 0);
    assert!(!arrivals.are_read());
    assert!(arrivals.counts().owes);
    assert_eq!(arrivals.acknowledge(), 1);
    assert!(!arrivals.end());
}
