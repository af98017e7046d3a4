//! Keys of tasks that do not run.

use std::time::Duration;

use super::*;
use crate::Errno;
use crate::cred::{Capabilities, KernelGid, KernelUid};

const THREAD: i32 = -1;
const PROCESS: i32 = -2;
const SESSION: i32 = -3;
const USER: i32 = -4;

/// A task that uses keys.
struct Task {
    keys: Arc<Keys>,
    keyrings: TaskKeyrings,
    credentials: Credentials,
}

impl Task {
    fn new(keys: &Arc<Keys>, uid: u32) -> Self {
        let credentials = if uid == 0 { Credentials::test_root() } else { Credentials::test_user(uid, uid) };
        Self { keys: keys.clone(), keyrings: TaskKeyrings::new(keys), credentials }
    }

    /// One with a session of its own.
    fn in_session(keys: &Arc<Keys>, uid: u32) -> Self {
        let mut task = Self::new(keys, uid);
        task.act(|caller| caller.join_session(None)).unwrap();
        task
    }

    fn fork(&self) -> Self {
        let keyrings = self.keyrings.for_process();
        Self { keys: self.keys.clone(), keyrings, credentials: self.credentials.clone() }
    }

    fn thread(&self) -> Self {
        let keyrings = self.keyrings.for_thread(&self.credentials).unwrap();
        Self { keys: self.keys.clone(), keyrings, credentials: self.credentials.clone() }
    }

    fn act<R>(&mut self, action: impl FnOnce(&mut Caller<'_>) -> R) -> R {
        self.keys.with(&mut self.keyrings, &self.credentials, action)
    }

    fn add(&mut self, name: &str, payload: &str, ring: i32) -> Result<i32, Errno> {
        let payload = payload.as_bytes().to_vec();
        self.act(|caller| caller.add(Some(KeyType::User), name.as_bytes(), payload, ring)).map(|key| key.0)
    }

    fn add_ring(&mut self, name: &str, ring: i32) -> Result<i32, Errno> {
        let kind = Some(KeyType::Keyring);
        self.act(|caller| caller.add(kind, name.as_bytes(), Vec::new(), ring)).map(|key| key.0)
    }

    fn read(&mut self, key: i32) -> Result<Vec<u8>, Errno> {
        self.act(|caller| caller.read(key, 0))
    }

    fn request(&mut self, name: &str) -> Result<i32, Errno> {
        self.act(|caller| caller.request(Some(KeyType::User), name.as_bytes(), false, 0)).map(|key| key.0)
    }

    fn ring(&mut self, id: i32) -> Result<i32, Errno> {
        self.act(|caller| caller.keyring_serial(id, false)).map(|key| key.0)
    }

    fn bytes(&self) -> u32 {
        let store = self.keys.store.lock();
        store.accounts.0.get(&self.credentials.fs_uid).map_or(0, |account| account.quota_bytes)
    }
}

fn new_keys() -> Arc<Keys> {
    Keys::new(&Arc::default())
}

#[test]
fn nothing_stays_of_tasks_that_have_gone() {
    let keys = new_keys();
    let mut task = Task::in_session(&keys, 7);
    let ring = task.add_ring("ring", SESSION).unwrap();
    task.add("key", "payload", ring).unwrap();
    task.add("own", "payload", THREAD).unwrap();
    task.add("shared", "payload", PROCESS).unwrap();
    let others = [task.fork(), task.thread()];
    drop(task);
    assert!(!keys.store.lock().is_empty());
    drop(others);
    assert!(keys.store.lock().is_empty());
}

#[test]
fn a_fork_has_the_session_and_a_thread_the_process_too() {
    let keys = new_keys();
    let mut task = Task::in_session(&keys, 7);
    task.add("own", "x", THREAD).unwrap();
    task.add("shared", "x", PROCESS).unwrap();
    let (mut child, mut thread) = (task.fork(), task.thread());
    assert_eq!(child.ring(SESSION), task.ring(SESSION));
    assert_eq!([child.ring(PROCESS), child.ring(THREAD)], [Err(Errno::ENOKEY); 2]);
    assert_eq!(thread.ring(PROCESS), task.ring(PROCESS));
    assert_ne!(thread.ring(THREAD).unwrap(), task.ring(THREAD).unwrap());
    task.keyrings.begin_program();
    assert_eq!([task.ring(PROCESS), task.ring(THREAD)], [Err(Errno::ENOKEY); 2]);
    assert_eq!(child.ring(SESSION), task.ring(SESSION));
}

#[test]
fn who_has_no_session_finds_the_user_s_and_adds_to_a_new_one() {
    let keys = new_keys();
    let mut task = Task::new(&keys, 7);
    let users = task.ring(SESSION).unwrap();
    assert_eq!(task.ring(-5), Ok(users));
    task.add("key", "x", SESSION).unwrap();
    assert_ne!(task.ring(SESSION), Ok(users));
}

#[test]
fn a_key_of_the_same_name_is_changed_and_a_keyring_is_displaced() {
    let keys = new_keys();
    let mut task = Task::in_session(&keys, 7);
    let key = task.add("key", "first", SESSION).unwrap();
    assert_eq!(task.add("key", "second", SESSION), Ok(key));
    assert_eq!(task.read(key).unwrap(), b"second");
    let ring = task.add_ring("ring", SESSION).unwrap();
    assert_ne!(task.add_ring("ring", SESSION).unwrap(), ring);
    assert_eq!(task.ring(ring), Err(Errno::ENOKEY));
}

#[test]
fn possession_comes_from_what_the_task_holds() {
    let keys = new_keys();
    let (mut task, mut other) = (Task::in_session(&keys, 7), Task::in_session(&keys, 7));
    let key = task.add("key", "x", SESSION).unwrap();
    assert!(task.read(key).is_ok());
    // The same user may see it, no more.
    assert!(other.act(|caller| caller.describe(key)).is_ok());
    assert_eq!(other.read(key), Err(Errno::EACCES));
    let mut stranger = Task::in_session(&keys, 8);
    assert_eq!(stranger.act(|caller| caller.describe(key)), Err(Errno::EACCES));
}

#[test]
fn a_search_goes_six_keyrings_deep() {
    let keys = new_keys();
    let mut task = Task::in_session(&keys, 7);
    let mut rings = vec![SESSION];
    for depth in 1..=6 {
        let ring = task.add_ring(&depth.to_string(), *rings.last().unwrap()).unwrap();
        rings.push(ring);
    }
    let deepest = task.add("deepest", "x", rings[6]).unwrap();
    assert_eq!(task.request("deepest"), Ok(deepest));
    let seventh = task.add_ring("7", rings[6]).unwrap();
    assert!(task.add("too deep", "x", seventh).is_ok(), "the seventh is possessed");
    assert_eq!(task.request("too deep"), Err(Errno::ENOKEY));
}

#[test]
fn keyrings_make_no_circles_and_no_deep_trees() {
    let keys = new_keys();
    let mut task = Task::in_session(&keys, 7);
    let (a, b) = (task.add_ring("a", SESSION).unwrap(), task.add_ring("b", SESSION).unwrap());
    assert_eq!(task.act(|caller| caller.link(a, b)), Ok(()));
    assert_eq!(task.act(|caller| caller.link(b, a)), Err(Errno::EDEADLK));
    assert_eq!(task.act(|caller| caller.link(a, a)), Err(Errno::EDEADLK));
    let mut deep = task.add_ring("0", USER).unwrap();
    let top = deep;
    for depth in 1..=7 {
        // Linked by hand: what is deep is not possessed, and so closed.
        let ring = task.add_ring(&depth.to_string(), USER).unwrap();
        task.act(|caller| caller.store.link(Serial(deep), Serial(ring), caller.now)).unwrap();
        task.act(|caller| caller.unlink(ring, USER)).unwrap();
        deep = ring;
    }
    let linked = task.act(|caller| caller.store.link(Serial(a), Serial(top), caller.now));
    assert_eq!(linked, Err(Errno::ELOOP));
}

#[test]
fn shared_keyrings_are_searched_once() {
    let keys = new_keys();
    let mut task = Task::in_session(&keys, 0);
    // Each keyring of a layer is in each of the layer above: more than a million ways down.
    let mut above = vec![SESSION];
    for layer in 0..6 {
        let names: Vec<String> = (0..12).map(|index| format!("{layer} {index}")).collect();
        let rings: Vec<i32> = names.iter().map(|name| task.add_ring(name, above[0]).unwrap()).collect();
        for ring in &rings {
            for parent in &above[1..] {
                task.act(|caller| caller.link(*ring, *parent)).unwrap();
            }
        }
        above = rings;
    }
    assert_eq!(task.request("nothing"), Err(Errno::ENOKEY));
}

#[test]
fn every_byte_and_link_is_paid_for_and_paid_back() {
    let keys = new_keys();
    let mut task = Task::in_session(&keys, 7);
    let before = task.bytes();
    let key = task.add("key", "payload", SESSION).unwrap();
    assert_eq!(task.bytes(), before + 4 + 7 + 4, "name and NUL, payload, link");
    task.act(|caller| caller.update(key, b"x".to_vec())).unwrap();
    assert_eq!(task.bytes(), before + 4 + 1 + 4);
    task.act(|caller| caller.unlink(key, SESSION)).unwrap();
    assert_eq!(task.bytes(), before);
}

#[test]
fn a_user_at_the_quota_gets_edquot() {
    let keys = new_keys();
    let mut task = Task::in_session(&keys, 7);
    keys.set_limit(KeyLimit::Keys, 3);
    task.add("a", "x", SESSION).unwrap();
    task.add("b", "x", SESSION).unwrap();
    assert_eq!(task.add("c", "x", SESSION), Err(Errno::EDQUOT));
    keys.set_limit(KeyLimit::Keys, 200);
    keys.set_limit(KeyLimit::Bytes, task.bytes() + 8);
    let before = task.bytes();
    assert_eq!(task.add("c", "xxxxxx", SESSION), Err(Errno::EDQUOT));
    assert_eq!(task.add("c", "xxxxx", SESSION), Err(Errno::EDQUOT), "the link counts");
    assert_eq!(task.bytes(), before, "what failed is paid back");
    // The task's own keyrings come whatever the quota says.
    assert!(task.act(|caller| caller.keyring_serial(THREAD, true)).is_ok());
    let mut root = Task::in_session(&keys, 0);
    assert!(root.add("c", "xxxxxxxxxxxxx", SESSION).is_ok());
}

#[test]
fn a_revoked_key_says_so_and_an_invalidated_one_is_gone() {
    let keys = new_keys();
    let mut task = Task::in_session(&keys, 7);
    let key = task.add("key", "x", SESSION).unwrap();
    task.act(|caller| caller.revoke(key)).unwrap();
    assert_eq!(task.read(key), Err(Errno::EKEYREVOKED));
    assert_eq!(task.request("key"), Err(Errno::EKEYREVOKED));
    let new = task.add("key", "y", SESSION).unwrap();
    assert_ne!(new, key);
    task.act(|caller| caller.invalidate(new)).unwrap();
    assert_eq!(task.read(new), Err(Errno::ENOKEY));
}

#[test]
fn an_expired_key_says_so_until_it_is_collected() {
    let keys = new_keys();
    let mut task = Task::in_session(&keys, 7);
    let key = task.add("key", "x", SESSION).unwrap();
    task.act(|caller| caller.set_timeout(key, 60)).unwrap();
    let later = |seconds| keys.timekeeper.monotonic() + Duration::from_secs(seconds);
    let read_at = |task: &mut Task, now| {
        task.act(|caller| {
            caller.store.collect(now);
            caller.now = now;
            caller.read(key, 0)
        })
    };
    assert!(read_at(&mut task, later(50)).is_ok());
    assert_eq!(read_at(&mut task, later(70)), Err(Errno::EKEYEXPIRED));
    assert_eq!(read_at(&mut task, later(370)), Err(Errno::ENOKEY));
}

#[test]
fn a_named_session_is_joined_by_who_may_search_it() {
    let keys = new_keys();
    let mut first = Task::new(&keys, 7);
    let name = Some(&b"name"[..]);
    let ring = first.act(|caller| caller.join_session(name)).unwrap();
    let mut second = Task::new(&keys, 7);
    assert_ne!(second.act(|caller| caller.join_session(name)), Ok(ring), "the user may not search it");
    first.act(|caller| caller.set_permissions(ring.0, 0x3f3f_0000)).unwrap();
    let mut third = Task::new(&keys, 7);
    assert_eq!(third.act(|caller| caller.join_session(name)), Ok(ring));
    let mut stranger = Task::new(&keys, 8);
    assert_ne!(stranger.act(|caller| caller.join_session(name)), Ok(ring));
}

#[test]
fn only_an_administrator_gives_keys_away() {
    let keys = new_keys();
    let mut task = Task::in_session(&keys, 7);
    let key = task.add("key", "x", SESSION).unwrap();
    assert_eq!(task.act(|caller| caller.change_owner(key, Some(KernelUid(8)), None)), Err(Errno::EACCES));
    assert_eq!(task.act(|caller| caller.change_owner(key, None, Some(KernelGid(9)))), Err(Errno::EACCES));
    task.credentials.effective = Capabilities::SYS_ADMIN;
    let before = task.bytes();
    task.act(|caller| caller.change_owner(key, Some(KernelUid(8)), None)).unwrap();
    assert_eq!(task.bytes(), before - 5, "the new owner pays for it");
}

#[test]
fn a_request_that_nobody_answers_is_remembered() {
    let keys = new_keys();
    let mut task = Task::in_session(&keys, 7);
    let request = |task: &mut Task, asks| {
        task.act(|caller| caller.request(Some(KeyType::User), b"key", asks, 0)).map(|key| key.0)
    };
    assert_eq!(request(&mut task, false), Err(Errno::ENOKEY));
    assert_eq!(request(&mut task, true), Err(Errno::ENOENT));
    assert_eq!(request(&mut task, true), Err(Errno::ENOKEY));
    let key = task.add("key", "x", SESSION).unwrap();
    assert_eq!(request(&mut task, true), Ok(key));
}

#[test]
fn a_session_is_handed_on_to_the_same_user() {
    let keys = new_keys();
    let (mut child, mut parent) = (Task::in_session(&keys, 7), Task::in_session(&keys, 7));
    let session = child.act(|caller| caller.hold_session()).unwrap();
    assert_eq!(parent.keyrings.take_session(&session, KernelUid(8)), Err(Errno::EPERM));
    parent.keyrings.take_session(&session, KernelUid(7)).unwrap();
    assert_eq!(parent.ring(SESSION), child.ring(SESSION));
    let mut stranger = Task::in_session(&keys, 8);
    assert_eq!(stranger.keyrings.take_session(&session, KernelUid(7)), Err(Errno::EPERM));
    assert!(stranger.ring(SESSION).is_ok());
}
