//! Groups without tasks of their own: what is charged, moved, frozen and killed is counted here.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use super::*;
use crate::Errno;
use crate::cred::{KernelGid, KernelUid};
use crate::memory::FrameAllocator;
use crate::platform::Platform;
use crate::platform::fake::FakePlatform;

const OWNER: FileOwner = FileOwner { uid: KernelUid::ROOT, gid: KernelGid::ROOT, permissions: 0o755 };

/// Counts what is done to it.
#[derive(Default)]
struct Recorder {
    kills: AtomicUsize,
    badness: AtomicI64,
    interrupts: AtomicUsize,
}

impl Member for Recorder {
    fn kill(&self) {
        self.kills.fetch_add(1, Ordering::Relaxed);
    }

    fn is_dying(&self) -> bool {
        self.kills.load(Ordering::Relaxed) > 0
    }

    fn interrupt(&self) {
        self.interrupts.fetch_add(1, Ordering::Relaxed);
    }

    fn kick(&self) {}

    fn set_payer(&self, _cgroup: &Cgroup) {}

    fn badness(&self, _total_pages: u64) -> Option<i64> {
        Some(self.badness.load(Ordering::Relaxed))
    }

    fn cpu_usage(&self) -> CpuUsage {
        CpuUsage::default()
    }
}

fn hierarchy() -> Arc<Hierarchy> {
    let platform: Arc<dyn Platform> = FakePlatform::new(16 << 20).unwrap();
    Hierarchy::new(&FrameAllocator::new(&platform, 16 << 20), &Arc::default())
}

fn make(hierarchy: &Hierarchy, parent: &Arc<Cgroup>, name: &str) -> Arc<Cgroup> {
    hierarchy.create(parent, name.as_bytes(), OWNER).unwrap()
}

fn key(process: u64, task: u64) -> MemberKey {
    MemberKey { process, task }
}

/// A task of a process of its own, made by nobody inside.
fn enter(hierarchy: &Arc<Hierarchy>, into: &Arc<Cgroup>, number: u64) -> (Membership, Arc<Recorder>) {
    let member = Arc::new(Recorder::default());
    let reservation = hierarchy.reserve(None, Some(into)).unwrap();
    (hierarchy.enter(reservation, key(number, number), member.clone()).0, member)
}

fn counts(groups: &[&Arc<Cgroup>]) -> Vec<u64> {
    groups.iter().map(|group| group.pids().current()).collect()
}

#[test]
fn a_reservation_charges_every_level_and_its_drop_takes_all_back() {
    let hierarchy = hierarchy();
    let a = make(&hierarchy, hierarchy.root(), "a");
    let b = make(&hierarchy, &a, "b");
    let (_first, _) = enter(&hierarchy, &b, 1);
    let reservation = hierarchy.reserve(Some(key(1, 1)), None).unwrap();
    assert_eq!(counts(&[hierarchy.root(), &a, &b]), [2, 2, 2]);
    drop(reservation);
    assert_eq!(counts(&[hierarchy.root(), &a, &b]), [1, 1, 1]);
}

#[test]
fn a_limit_anywhere_above_is_eagain_and_leaves_no_charge() {
    let hierarchy = hierarchy();
    let a = make(&hierarchy, hierarchy.root(), "a");
    let b = make(&hierarchy, &a, "b");
    let (_first, _) = enter(&hierarchy, &b, 1);
    a.pids().set_max(Some(1));
    assert_eq!(hierarchy.reserve(Some(key(1, 1)), None).err(), Some(Errno::EAGAIN));
    assert_eq!(counts(&[hierarchy.root(), &a, &b]), [1, 1, 1]);
    assert_eq!((a.pids().refusals(), b.pids().refusals()), ((1, 1), (0, 0)));
    // Nobody inside asks for this one: it is counted, and not refused.
    let (_outside, _) = enter(&hierarchy, &b, 2);
    assert_eq!(counts(&[&a, &b]), [2, 2]);
}

#[test]
fn a_charge_outlives_the_membership_until_the_task_is_reaped() {
    let hierarchy = hierarchy();
    let a = make(&hierarchy, hierarchy.root(), "a");
    let (membership, _) = enter(&hierarchy, &a, 1);
    let charge = membership.leave();
    assert!(!hierarchy.group_events(&a).is_populated);
    assert_eq!(counts(&[&a]), [1]);
    assert_eq!(hierarchy.remove(hierarchy.root(), b"a"), Ok(()), "a zombie does not keep its group");
    drop(charge);
    assert_eq!(counts(&[&a, hierarchy.root()]), [0, 0]);
}

#[test]
fn a_group_with_tasks_or_groups_or_reservations_is_not_removed() {
    let hierarchy = hierarchy();
    let root = hierarchy.root().clone();
    let a = make(&hierarchy, &root, "a");
    let b = make(&hierarchy, &a, "b");
    assert_eq!(hierarchy.remove(&root, b"a"), Err(Errno::EBUSY));
    let reservation = hierarchy.reserve(None, Some(&b)).unwrap();
    assert_eq!(hierarchy.remove(&a, b"b"), Err(Errno::EBUSY));
    drop(reservation);
    assert_eq!(hierarchy.remove(&a, b"b"), Ok(()));
    assert_eq!(hierarchy.create(&b, b"c", OWNER).err(), Some(Errno::ENODEV));
    assert_eq!(hierarchy.reserve(None, Some(&b)).err(), Some(Errno::ENODEV));
}

#[test]
fn migration_takes_the_charges_along() {
    let hierarchy = hierarchy();
    let (a, b) = (make(&hierarchy, hierarchy.root(), "a"), make(&hierarchy, hierarchy.root(), "b"));
    b.pids().set_max(Some(0));
    let (membership, _) = enter(&hierarchy, &a, 1);
    hierarchy.migrate(Moved::Process(1), &b).unwrap();
    assert_eq!(counts(&[hierarchy.root(), &a, &b]), [1, 0, 1], "limits do not count");
    assert!(Arc::ptr_eq(&membership.cgroup(), &b));
    drop(membership);
    assert_eq!(counts(&[hierarchy.root(), &a, &b]), [0, 0, 0]);
    assert_eq!(hierarchy.migrate(Moved::Process(1), &a), Err(Errno::ESRCH));
}

#[test]
fn a_task_follows_its_creator_that_moved_meanwhile() {
    let hierarchy = hierarchy();
    let (a, b) = (make(&hierarchy, hierarchy.root(), "a"), make(&hierarchy, hierarchy.root(), "b"));
    let (_creator, _) = enter(&hierarchy, &a, 1);
    let reservation = hierarchy.reserve(Some(key(1, 1)), None).unwrap();
    hierarchy.migrate(Moved::Process(1), &b).unwrap();
    let (membership, _) = hierarchy.enter(reservation, key(1, 2), Arc::<Recorder>::default());
    assert!(Arc::ptr_eq(&membership.cgroup(), &b));
    assert_eq!(counts(&[&a, &b]), [0, 2]);
}

#[test]
fn a_kill_reaches_whoever_is_being_made() {
    let hierarchy = hierarchy();
    let a = make(&hierarchy, hierarchy.root(), "a");
    let b = make(&hierarchy, &a, "b");
    let (_membership, recorder) = enter(&hierarchy, &b, 1);
    let reservation = hierarchy.reserve(Some(key(1, 1)), None).unwrap();
    hierarchy.kill(&a).unwrap();
    let (_child, was_killed) = hierarchy.enter(reservation, key(2, 2), Arc::<Recorder>::default());
    assert_eq!((recorder.kills.load(Ordering::Relaxed), was_killed), (1, true));
}

#[test]
fn a_group_is_frozen_once_all_its_tasks_stand_still() {
    let hierarchy = hierarchy();
    let a = make(&hierarchy, hierarchy.root(), "a");
    let b = make(&hierarchy, &a, "b");
    let (mut first, recorder) = enter(&hierarchy, &b, 1);
    let changes = a.events().changes();
    hierarchy.set_freezes(&a, true).unwrap();
    assert!(first.is_to_freeze() && recorder.interrupts.load(Ordering::Relaxed) == 1);
    assert!(!hierarchy.group_events(&a).is_frozen);
    first.set_frozen(true);
    assert!(hierarchy.group_events(&a).is_frozen && hierarchy.group_events(&b).is_frozen);
    assert_eq!(a.events().changes(), changes + 1);
    let (second, _) = enter(&hierarchy, &b, 2);
    assert!(second.is_to_freeze() && !hierarchy.group_events(&a).is_frozen);
    drop(second);
    hierarchy.migrate(Moved::Process(1), hierarchy.root()).unwrap();
    assert!(!first.is_to_freeze());
    assert!(hierarchy.group_events(&b).is_frozen, "an empty group freezes at once");
}

#[test]
fn controllers_and_processes_keep_apart() {
    let hierarchy = hierarchy();
    let root = hierarchy.root().clone();
    let a = make(&hierarchy, &root, "a");
    let none = Controllers::empty();
    assert_eq!(hierarchy.set_subtree_control(&a, Controllers::MEMORY, none), Err(Errno::ENOENT));
    hierarchy.set_subtree_control(&root, Controllers::all(), none).unwrap();
    assert_eq!(hierarchy.controllers(&a), Controllers::all());
    let (membership, _) = enter(&hierarchy, &a, 1);
    assert_eq!(hierarchy.set_subtree_control(&a, Controllers::MEMORY, none), Err(Errno::EBUSY));
    drop(membership);
    hierarchy.set_subtree_control(&a, Controllers::MEMORY, none).unwrap();
    assert_eq!(hierarchy.reserve(None, Some(&a)).err(), Some(Errno::EBUSY));
    assert_eq!(hierarchy.set_subtree_control(&root, none, Controllers::MEMORY), Err(Errno::EBUSY));
    hierarchy.set_subtree_control(&a, none, Controllers::MEMORY).unwrap();
    a.pids().set_max(Some(5));
    hierarchy.set_subtree_control(&root, none, Controllers::all()).unwrap();
    assert_eq!(a.pids().max(), None, "what is not controlled has no limit");
}

#[test]
fn threads_stay_in_the_domain_of_their_process() {
    let hierarchy = hierarchy();
    let domain = make(&hierarchy, hierarchy.root(), "domain");
    let inside = make(&hierarchy, &domain, "inside");
    let other = make(&hierarchy, hierarchy.root(), "other");
    hierarchy.make_threaded(&inside).unwrap();
    assert_eq!(hierarchy.kind(&domain), Ok(CgroupKind::ThreadedDomain));
    let below = make(&hierarchy, &inside, "below");
    assert_eq!(hierarchy.kind(&below), Ok(CgroupKind::InvalidDomain));
    let (_leader, _) = enter(&hierarchy, &domain, 1);
    assert_eq!(hierarchy.migrate(Moved::Process(1), &below), Err(Errno::EOPNOTSUPP));
    hierarchy.migrate(Moved::Thread(key(1, 1)), &inside).unwrap();
    assert_eq!(hierarchy.migrate(Moved::Thread(key(1, 1)), &other), Err(Errno::EOPNOTSUPP));
    assert_eq!(hierarchy.processes(&domain), Ok(vec![key(1, 1)]));
    assert_eq!(hierarchy.processes(&inside), Err(Errno::EOPNOTSUPP));
    assert_eq!(hierarchy.threads(&inside), Ok(vec![key(1, 1)]));
}

#[test]
fn depth_and_number_are_bounded() {
    let hierarchy = hierarchy();
    let mut deepest = hierarchy.root().clone();
    for _ in 1..MAX_DEPTH {
        deepest = make(&hierarchy, &deepest, "x");
    }
    assert_eq!(hierarchy.create(&deepest, b"x", OWNER).err(), Some(Errno::EAGAIN));
    let a = make(&hierarchy, hierarchy.root(), "a");
    a.set_limits(|limits| limits.max_descendants = Some(1));
    make(&hierarchy, &a, "b");
    assert_eq!(hierarchy.create(&a, b"c", OWNER).err(), Some(Errno::EAGAIN));
    a.set_limits(|limits| *limits = Limits { max_depth: Some(0), max_descendants: None });
    assert_eq!(hierarchy.create(&a, b"c", OWNER).err(), Some(Errno::EAGAIN));
}

#[test]
fn paths_are_seen_from_the_namespace_s_root() {
    let hierarchy = hierarchy();
    let a = make(&hierarchy, hierarchy.root(), "a");
    let b = make(&hierarchy, &a, "b");
    let c = make(&hierarchy, hierarchy.root(), "c");
    assert_eq!(b.path_from(hierarchy.root()), b"/a/b");
    assert_eq!(b.path_from(&b), b"/");
    assert_eq!(c.path_from(&b), b"/../../c");
    assert_eq!(hierarchy.root().path_from(&a), b"/..");
}

#[test]
fn in_a_shortage_the_largest_goes_and_with_it_the_outermost_group_that_is_kept_together() {
    let hierarchy = hierarchy();
    let outer = make(&hierarchy, hierarchy.root(), "outer");
    let inner = make(&hierarchy, &outer, "inner");
    outer.set_kills_group(true);
    let (_one, large) = enter(&hierarchy, &inner, 1);
    let (_two, small) = enter(&hierarchy, &outer, 2);
    let (_three, bystander) = enter(&hierarchy, hierarchy.root(), 3);
    for (member, badness) in [(&large, 9), (&small, -3), (&bystander, 8)] {
        member.badness.store(badness, Ordering::Relaxed);
    }
    let events = |group: &Arc<Cgroup>| group.memory().unwrap().events();
    assert_eq!(hierarchy.relieve(None, 1, true), Relief::Room);
    assert_eq!(hierarchy.relieve(None, 1, false), Relief::Awaited);
    let kills = [&large, &small, &bystander].map(|member| member.kills.load(Ordering::Relaxed));
    assert_eq!(kills, [1, 1, 0]);
    assert_eq!((events(&outer).kills, events(&outer).group_kills, events(&outer).out_of_memory), (2, 1, 0));
    assert_eq!((events(&inner).kills, events(&inner).group_kills), (1, 0));
    // Those two are ending, which is to be waited for.
    assert_eq!(hierarchy.relieve(None, 1, false), Relief::Awaited);
    assert_eq!(bystander.kills.load(Ordering::Relaxed), 0);
}
