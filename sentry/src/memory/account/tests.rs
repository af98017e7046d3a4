use super::*;

fn accounts() -> (Arc<Accounts>, Arc<MemoryAccount>, Arc<MemoryAccount>) {
    let accounts = Arc::<Accounts>::default();
    let parent = MemoryAccount::new(&accounts, None);
    let child = MemoryAccount::new(&accounts, Some(parent.clone()));
    (accounts, parent, child)
}

#[test]
fn a_charge_counts_at_every_level_and_stops_at_the_lowest_limit() {
    let (_, parent, child) = accounts();
    parent.set_max_bytes(Some(10 << PAGE_SHIFT));
    assert_eq!(child.charge(8, FrameUse::File), 8);
    assert_eq!(child.charge(8, FrameUse::Anonymous), 2);
    assert_eq!(child.charge(1, FrameUse::Shared), 0);
    assert_eq!(parent.bytes_of(FrameUse::File), 8 << PAGE_SHIFT);
    assert_eq!(child.current_bytes(), 10 << PAGE_SHIFT);
    assert_eq!(parent.current_bytes(), 10 << PAGE_SHIFT);
    assert_eq!((parent.events().max, child.events().max), (1, 0));
    assert!(child.exhausted(1).unwrap().is(&parent));
    child.uncharge(4, FrameUse::File);
    assert_eq!(child.bytes_of(FrameUse::File), 4 << PAGE_SHIFT);
    assert!(child.exhausted(1).is_none());
    assert_eq!(parent.peak_bytes(), 10 << PAGE_SHIFT);
}

#[test]
fn who_is_above_what_it_should_have_is_known() {
    let (_, parent, child) = accounts();
    parent.set_high_bytes(Some(4 << PAGE_SHIFT));
    child.charge(4, FrameUse::Anonymous);
    assert!(child.above_high().is_none());
    child.charge(1, FrameUse::Anonymous);
    assert!(child.above_high().unwrap().is(&parent));
    assert_eq!(parent.family().len(), 2);
    assert_eq!(child.family(), [child.number()].into());
}

#[test]
fn an_account_is_remembered_until_its_last_frame_is_free() {
    let (accounts, parent, child) = accounts();
    let number = child.number();
    assert_eq!(child.charge(3, FrameUse::Shared), 3);
    drop(child);
    accounts.uncharge(number, 2, FrameUse::Shared);
    assert_eq!(parent.current_bytes(), 1 << PAGE_SHIFT);
    accounts.uncharge(number, 1, FrameUse::Shared);
    assert_eq!(parent.current_bytes(), 0);
    drop(parent);
    assert!(accounts.ledgers.read().is_empty());
}

#[test]
fn the_heap_is_charged_whole_or_not_at_all() {
    let (accounts, parent, child) = accounts();
    parent.set_max_bytes(Some(10 << PAGE_SHIFT));
    assert_eq!(child.charge_heap(8), Ok(()));
    assert_eq!(child.charge_heap(3), Err(Refusal::Shortage));
    assert_eq!(child.charge_heap(11), Err(Refusal::Limit));
    assert_eq!(parent.events().max, 2);
    assert!(child.exhausted(2).is_none() && child.exhausted(3).is_some_and(|account| account.is(&parent)));
    assert_eq!(parent.bytes_of(FrameUse::Heap), 8 << PAGE_SHIFT);
    child.force_heap(3);
    assert_eq!((child.current_bytes(), parent.current_bytes()), (11 << PAGE_SHIFT, 11 << PAGE_SHIFT));
    child.uncharge_heap(11);
    assert_eq!(parent.bytes_of(FrameUse::Heap), 0);
    drop((child, parent));
    assert!(accounts.ledgers.read().is_empty());
}
