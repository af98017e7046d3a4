use super::*;
use crate::cred::{NamespaceKind, UserNamespace};
use crate::time::ClockOffset;

fn namespace() -> Arc<TimeNamespace> {
    let initial = TimeNamespace::initial(Identity::initial(NamespaceKind::Time, &UserNamespace::initial()));
    initial.duplicate(Identity::initial(NamespaceKind::Time, &UserNamespace::initial()))
}

#[test]
fn offsets_can_be_set_until_a_task_enters() {
    let offsets = ClockOffsets { monotonic: ClockOffset::new(7, 0).unwrap(), ..ClockOffsets::default() };
    let new = namespace();
    assert_eq!(new.set_offsets(offsets), Ok(()));
    assert!(new.settle(|_| Err(Errno::ENOMEM)).is_err());
    assert_eq!(new.set_offsets(ClockOffsets::default()), Ok(()));
    assert!(new.settle(|_| Err(Errno::ENOMEM)).is_ok_and(|vdso| vdso.is_none()), "nothing is shifted");
    assert_eq!(new.set_offsets(offsets), Err(Errno::EACCES));
}

#[test]
fn a_new_namespace_begins_with_the_offsets_of_the_old() {
    let offsets = ClockOffsets { boottime: ClockOffset::new(9, 1).unwrap(), ..ClockOffsets::default() };
    let outer = namespace();
    outer.set_offsets(offsets).unwrap();
    assert_eq!(
        outer.duplicate(Identity::initial(NamespaceKind::Time, &UserNamespace::initial())).offsets(),
        offsets
    );
}
