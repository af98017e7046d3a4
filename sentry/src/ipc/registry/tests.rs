use super::*;
use crate::cred::Credentials;
use crate::ipc::with_caller;

struct Thing(i32, Permissions);

impl Object for Thing {
    fn id(&self) -> i32 {
        self.0
    }

    fn permissions(&self) -> Permissions {
        self.1
    }
}

fn add(registry: &mut Registry<Thing>, key: i32) -> Result<i32, Errno> {
    with_caller(&Credentials::test_root(), |caller| {
        let place = registry.place(MAX_OBJECTS)?;
        let permissions = Permissions::new(key, 0o600, place.sequence, caller);
        registry.insert(place, Arc::new(Thing(place.id(), permissions)));
        Ok(place.id())
    })
}

#[test]
fn indexes_go_around_and_stale_identifiers_are_einval() {
    let mut registry = Registry::default();
    let first: Vec<_> = (0..64).map(|_| add(&mut registry, IPC_PRIVATE).unwrap()).collect();
    assert_eq!(first, (0..64).collect::<Vec<_>>());
    assert!(registry.remove(3).is_some());
    let again = add(&mut registry, IPC_PRIVATE).unwrap();
    assert_eq!(again, 64, "the circle has grown with what is in use");
    for id in (0..64).filter(|id| *id != 3) {
        assert!(registry.remove(id).is_some());
    }
    assert_eq!(add(&mut registry, IPC_PRIVATE), Ok(1 << 15));
    assert!(matches!(registry.get(0), Err(Errno::EINVAL)));
    assert!(registry.get(1 << 15).is_ok());
    assert!(registry.at_index(0).is_ok());
    assert!(matches!(registry.get(-1), Err(Errno::EINVAL)));
}

#[test]
fn a_key_names_one_object_until_that_is_removed() {
    let mut registry = Registry::default();
    let id = add(&mut registry, 77).unwrap();
    let open = |registry: &Registry<Thing>, flags| {
        with_caller(&Credentials::test_root(), |caller| registry.open(77, flags, caller, |_| Ok(())))
    };
    assert!(matches!(open(&registry, 0o600), Ok(Found::Existing(thing)) if thing.0 == id));
    assert!(matches!(open(&registry, 0o3600), Err(Errno::EEXIST)));
    registry.remove(id);
    assert!(matches!(open(&registry, 0o600), Err(Errno::ENOENT)));
    assert!(matches!(open(&registry, 0o1600), Ok(Found::Missing)));
}

#[test]
fn the_limit_is_enospc() {
    let mut registry = Registry::default();
    add(&mut registry, IPC_PRIVATE).unwrap();
    assert_eq!(registry.place(1), Err(Errno::ENOSPC));
    assert!(registry.place(2).is_ok());
}
