use super::*;

#[test]
fn more_than_there_is_is_enomem_and_costs_nothing() {
    let budget = Arc::default();
    let charge = Charge::new(&budget, 100).unwrap();
    assert_eq!(Charge::new(&budget, MAX_BYTES).err(), Some(Errno::ENOMEM));
    assert_eq!(Charge::new(&budget, usize::MAX).err(), Some(Errno::ENOMEM));
    drop(charge);
    assert!(Charge::new(&budget, MAX_BYTES).is_ok());
}
