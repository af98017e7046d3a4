use super::*;
use super::{KernelUid, Uid};

const ALLOWED: Result<(), Errno> = Ok(());
const REFUSED: Result<(), Errno> = Err(Errno::EPERM);

fn user() -> Credentials {
    Credentials::test_user(1000, 100)
}

/// The credentials of the first task of a namespace that `creator` makes.
fn within(creator: &Credentials) -> Credentials {
    creator.in_new_namespace().unwrap()
}

#[test]
fn a_namespace_over_the_limit_is_enospc_and_costs_nothing() {
    let outer = UserNamespace::new(&Credentials::test_root()).unwrap();
    outer.write_map(IdKind::User, b"0 0 1", &Credentials::test_root()).unwrap();
    outer.write_map(IdKind::Group, b"0 0 1", &Credentials::test_root()).unwrap();
    outer.set_limit(NamespaceKind::Uts, 1).unwrap();
    let inner = UserNamespace::new(&Credentials::test_root().in_namespace(outer.clone())).unwrap();
    let first = Identity::new(NamespaceKind::Uts, &inner, KernelUid::ROOT).unwrap();
    assert_eq!(Identity::new(NamespaceKind::Uts, &inner, KernelUid::ROOT).err(), Some(Errno::ENOSPC));
    let count =
        |namespace: &UserNamespace| namespace.totals[NamespaceKind::Uts as usize].load(Ordering::Relaxed);
    assert_eq!((count(&inner), count(&outer)), (1, 1));
    // What another makes within it counts for who made the inner one, too.
    assert_eq!(Identity::new(NamespaceKind::Uts, &inner, KernelUid(7)).err(), Some(Errno::ENOSPC));
    drop(first);
    assert_eq!((count(&inner), count(&outer)), (0, 0));
    assert!(inner.counts.lock().is_empty());
    outer.set_limit(NamespaceKind::Uts, 2).unwrap();
    inner.set_limit(NamespaceKind::Uts, 1).unwrap();
    let _others = [0, 7].map(KernelUid).map(|uid| Identity::new(NamespaceKind::Uts, &inner, uid).unwrap());
    assert_eq!(Identity::new(NamespaceKind::Uts, &inner, KernelUid(7)).err(), Some(Errno::ENOSPC));
}

#[test]
fn user_namespaces_nest_33_deep() {
    let mut credentials = Credentials::test_root();
    for _ in 0..=MAX_LEVEL {
        credentials = within(&credentials);
        let namespace = credentials.user_namespace.clone();
        namespace.write_map(IdKind::User, b"0 0 1", &credentials).unwrap();
        if namespace.level() == 1 {
            namespace.set_allows_setgroups(false).unwrap();
        }
        namespace.write_map(IdKind::Group, b"0 0 1", &credentials).unwrap();
    }
    assert_eq!(UserNamespace::new(&credentials).err(), Some(Errno::ENOSPC));
}

#[test]
fn who_has_no_number_in_a_namespace_makes_none_within_it() {
    assert_eq!(UserNamespace::new(&within(&user())).err(), Some(Errno::EPERM));
}

#[test]
fn a_user_maps_oneself_alone() {
    let inside = within(&user());
    let namespace = &inside.user_namespace;
    for text in ["0 1001 1", "0 1000 2", "0 1000 1\n1 1001 1", "0 0 1"] {
        assert_eq!(namespace.write_map(IdKind::User, text.as_bytes(), &inside), REFUSED, "{text}");
    }
    assert_eq!(namespace.write_map(IdKind::User, b"0 1000 1", &inside), ALLOWED);
    assert_eq!(namespace.write_map(IdKind::User, b"0 1000 1", &inside), REFUSED);
    assert_eq!(namespace.root_uid(), Some(KernelUid(1000)));
    assert_eq!([1000, 0].map(|uid| namespace.from_kernel_uid(KernelUid(uid))), [Uid::ROOT, Uid::OVERFLOW]);
}

#[test]
fn a_user_maps_the_own_group_once_setgroups_is_denied() {
    let inside = within(&user());
    let namespace = &inside.user_namespace;
    assert_eq!(namespace.write_map(IdKind::Group, b"0 100 1", &inside), REFUSED);
    assert_eq!(namespace.set_allows_setgroups(false), ALLOWED);
    assert_eq!(namespace.set_allows_setgroups(true), REFUSED);
    assert!(!namespace.may_set_groups());
    assert_eq!(namespace.write_map(IdKind::Group, b"0 100 1", &inside), ALLOWED);
    assert_eq!(namespace.set_allows_setgroups(false), REFUSED);
}

#[test]
fn who_may_change_users_outside_maps_any() {
    let inside = within(&user());
    let namespace = &inside.user_namespace;
    let mut helper = Credentials::test_user(1001, 100);
    helper.effective = Capabilities::SETUID;
    let text = b"0 1000 1\n1 100000 65536";
    // It has to be privileged within, too.
    assert_eq!(namespace.write_map(IdKind::User, text, &helper), REFUSED);
    helper.effective_uid = KernelUid(1000);
    assert_eq!(namespace.write_map(IdKind::User, text, &helper), ALLOWED);
    assert_eq!(namespace.write_map(IdKind::Group, text, &helper), REFUSED);
    assert_eq!(namespace.write_map(IdKind::Project, text, &user()), ALLOWED);
}

#[test]
fn mapping_the_outer_root_needs_cap_setfcap_outside() {
    let mut weak = Credentials::test_root();
    weak.effective.remove(Capabilities::SETFCAP);
    let made_by_weak = within(&weak);
    assert_eq!(made_by_weak.user_namespace.write_map(IdKind::User, b"0 0 1", &made_by_weak), REFUSED);
    let inside = within(&Credentials::test_root());
    assert_eq!(inside.user_namespace.write_map(IdKind::User, b"0 0 1", &inside), ALLOWED);
    let namespace = within(&Credentials::test_root()).user_namespace;
    // Who made it has every capability within it.
    assert_eq!(namespace.write_map(IdKind::User, b"0 0 1", &weak), REFUSED);
    assert_eq!(namespace.write_map(IdKind::User, b"0 1 9", &weak), ALLOWED);
}

#[test]
fn maps_are_shown_as_the_reader_numbers_users() {
    let inside = within(&user());
    let namespace = &inside.user_namespace;
    namespace.write_map(IdKind::User, b"5 1000 1", &inside).unwrap();
    let initial = UserNamespace::initial();
    let line = "         5       1000          1\n";
    assert_eq!(namespace.show_map(IdKind::User, &initial), line);
    assert_eq!(namespace.show_map(IdKind::User, namespace), line);
    assert_eq!(namespace.show_map(IdKind::Group, namespace), "");
    let other = within(&user().in_namespace(namespace.outermost().clone())).user_namespace;
    assert_eq!(namespace.show_map(IdKind::User, &other), "         5 4294967295          1\n");
    assert_eq!(initial.show_map(IdKind::User, &initial), "         0          0 4294967295\n");
}
