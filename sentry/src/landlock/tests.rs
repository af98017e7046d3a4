//! Tests of domains that need no file system.

use std::sync::Arc;

use super::{Domain, FileAccess, FileKey, Handled, LayerMasks, PortAccess, Ruleset, Scopes};
use crate::Errno;

const KEY: FileKey = FileKey { device: 1, inode: 2 };

fn ruleset(files: FileAccess, ports: PortAccess, scopes: Scopes) -> Ruleset {
    Ruleset::new(Handled { files, ports, scopes }).unwrap()
}

#[test]
fn a_ruleset_that_restricts_nothing_is_enomsg() {
    assert_eq!(Ruleset::new(Handled::default()).err(), Some(Errno::ENOMSG));
}

#[test]
fn every_layer_has_to_allow() {
    let reads = ruleset(FileAccess::READ_FILE, PortAccess::empty(), Scopes::empty());
    reads.allow_file(KEY, FileAccess::READ_FILE, Arc::new(())).unwrap();
    let outer = Domain::within(None, &reads).unwrap();
    let (mut masks, handled) = LayerMasks::new(&outer, FileAccess::READ_FILE | FileAccess::WRITE_FILE);
    assert_eq!((handled, masks.denied()), (FileAccess::READ_FILE, FileAccess::READ_FILE));
    assert!(masks.unmask(&outer, Some(KEY), handled));

    let strict = ruleset(FileAccess::READ_FILE, PortAccess::empty(), Scopes::empty());
    let inner = Domain::within(Some(&outer), &strict).unwrap();
    let (mut masks, handled) = LayerMasks::new(&inner, FileAccess::READ_FILE);
    assert!(!masks.unmask(&inner, Some(KEY), handled));
    assert_eq!(masks.denied(), FileAccess::READ_FILE);
}

#[test]
fn a_rule_added_later_does_not_reach_the_domain() {
    let rules = ruleset(FileAccess::empty(), PortAccess::all(), Scopes::empty());
    let domain = Domain::within(None, &rules).unwrap();
    rules.allow_port(80, PortAccess::BIND_TCP).unwrap();
    assert_eq!(domain.check_port(80, PortAccess::BIND_TCP), Err(Errno::EACCES));
    let domain = Domain::within(None, &rules).unwrap();
    assert_eq!(domain.check_port(80, PortAccess::BIND_TCP), Ok(()));
    assert_eq!(domain.check_port(80, PortAccess::CONNECT_TCP), Err(Errno::EACCES));
}

#[test]
fn scopes_hold_for_who_is_outside() {
    let scoped = ruleset(FileAccess::empty(), PortAccess::empty(), Scopes::SIGNAL);
    let plain = ruleset(FileAccess::READ_DIR, PortAccess::empty(), Scopes::empty());
    let outer = Domain::within(None, &scoped).unwrap();
    let inner = Domain::within(Some(&outer), &plain).unwrap();
    assert!(outer.is_scoped_from(None, Scopes::SIGNAL));
    assert!(!outer.is_scoped_from(None, Scopes::ABSTRACT_UNIX_SOCKET));
    assert!(!outer.is_scoped_from(Some(&inner), Scopes::SIGNAL));
    assert!(!inner.is_scoped_from(Some(&outer), Scopes::SIGNAL));
    assert!(outer.is_around(Some(&inner)) && !inner.is_around(Some(&outer)));
}

#[test]
fn layers_are_bounded() {
    let rules = ruleset(FileAccess::empty(), PortAccess::all(), Scopes::empty());
    let mut domain = Domain::within(None, &rules).unwrap();
    for _ in 1..16 {
        domain = Domain::within(Some(&domain), &rules).unwrap();
    }
    assert_eq!(Domain::within(Some(&domain), &rules).err(), Some(Errno::E2BIG));
}
