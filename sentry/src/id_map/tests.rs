use super::*;
use crate::task::Tid;

#[test]
fn what_stays_and_what_comes_and_goes_is_all_found() {
    let mut map: IdMap<u64, u64> = (0..50_000).step_by(2).map(|id| (id, id + 1)).collect();
    for id in 50_000..100_000_u64 {
        assert_eq!(map.insert(id, id + 1), None);
        assert_eq!(map.remove(&(id - 1)).is_some(), id > 50_000);
    }
    assert!((0..50_000).step_by(2).all(|id| map[&id] == id + 1));
    assert_eq!(map.len(), 25_001);
}

#[test]
fn neighbours_lie_side_by_side_and_differ() {
    let hash = |id: u64| {
        let mut hasher = IdHasher::default();
        hasher.write_u64(id);
        hasher.finish()
    };
    let place = |id| hash(id) & 0xffff_ffff;
    assert!((32..47).all(|id| place(id) + 1 == place(id + 1)));
    assert!((32..47).all(|id| hash(id) >> 57 != hash(id + 1) >> 57));
    assert_ne!(place(32) & !0xf, place(48) & !0xf);
}

#[test]
fn numbers_of_tasks_are_keys_too() {
    let map: IdMap<Tid, i32> = (1..=Tid::MAX.0).map(|number| (Tid(number), number)).collect();
    assert!((1..=Tid::MAX.0).all(|number| map[&Tid(number)] == number));
}
