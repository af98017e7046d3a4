//! Segments as the processes that attach them see them, on a platform without a machine.

use super::*;
use crate::cred::Credentials;
use crate::ipc::with_caller;
use crate::pace::Unhurried;
use crate::platform::Platform;
use crate::platform::fake::FakePlatform;
use crate::process_identity::ProcessIdentity;

const MIB: u64 = 1 << 20;

struct Fixture {
    platform: Arc<dyn Platform>,
    frames: Arc<FrameAllocator>,
    segments: Arc<SharedMemory>,
}

impl Fixture {
    fn new() -> Self {
        let platform: Arc<dyn Platform> = FakePlatform::new(64 * MIB).unwrap();
        let frames = FrameAllocator::new(&platform, 32 * MIB);
        Self { platform, frames, segments: Arc::default() }
    }

    /// The address space of the process with this number.
    fn process(&self, number: i32) -> Arc<MemoryManager> {
        let memory = MemoryManager::new(&self.platform, &self.frames).unwrap();
        memory.set_owner(ProcessIdentity::new([(0, number)]));
        memory
    }

    fn get(&self, key: i32, size_bytes: u64, flags: u32) -> Result<i32, Errno> {
        let limits = IpcLimits::default();
        as_root(|caller| self.segments.get((key, size_bytes, flags), &limits, &self.frames, caller, 7))
    }

    fn attach(&self, id: i32, memory: &MemoryManager) -> Result<VirtualAddress, Errno> {
        let flags = AttachFlags::empty();
        as_root(|caller| self.segments.attach(id, VirtualAddress::NULL, flags, memory, caller))
    }

    fn status(&self, id: i32) -> Result<SegmentStatus, Errno> {
        as_root(|caller| self.segments.status(id, Lookup::Id, caller))
    }

    fn remove(&self, id: i32) -> Result<(), Errno> {
        as_root(|caller| self.segments.remove(id, caller))
    }
}

fn as_root<T>(call: impl FnOnce(&IpcCaller<'_>) -> T) -> T {
    with_caller(&Credentials::test_root(), call)
}

#[test]
fn a_segment_lives_until_the_last_detachment_after_its_removal() {
    let fixture = Fixture::new();
    let id = fixture.get(5, 2 * PAGE_SIZE, 0o1600).unwrap();
    let (one, two) = (fixture.process(1), fixture.process(2));
    let address = fixture.attach(id, &one).unwrap();
    one.write_bytes(address, b"shared").unwrap();
    fixture.remove(id).unwrap();
    assert_eq!(fixture.get(5, 1, 0o600), Err(Errno::ENOENT));
    let elsewhere = fixture.attach(id, &two).unwrap();
    let mut bytes = [0; 6];
    two.read_bytes(elsewhere, &mut bytes).unwrap();
    assert_eq!(&bytes, b"shared");
    one.detach_segment(address, &Unhurried).unwrap();
    assert_eq!(fixture.status(id).map(|status| status.attachments), Ok(1));
    drop(two);
    assert!(matches!(fixture.status(id), Err(Errno::EINVAL)));
    assert_eq!(fixture.segments.usage().total_pages, 0);
}

#[test]
fn fork_attaches_and_the_end_of_a_process_detaches() {
    let fixture = Fixture::new();
    let id = fixture.get(IPC_PRIVATE, PAGE_SIZE, 0o600).unwrap();
    let parent = fixture.process(1);
    fixture.attach(id, &parent).unwrap();
    let child = parent.fork(&Unhurried).unwrap();
    child.set_owner(ProcessIdentity::new([(0, 2)]));
    let status = fixture.status(id).unwrap();
    assert_eq!((status.attachments, status.last_process.number_in(0)), (2, 1));
    drop(child);
    let status = fixture.status(id).unwrap();
    assert_eq!((status.attachments, status.last_process.number_in(0)), (1, 2));
    assert!(status.detached_seconds > 0);
}

#[test]
fn detaching_removes_all_pieces_of_one_attachment_and_nothing_else() {
    let fixture = Fixture::new();
    let id = fixture.get(IPC_PRIVATE, 4 * PAGE_SIZE, 0o600).unwrap();
    let memory = fixture.process(1);
    let address = fixture.attach(id, &memory).unwrap();
    let other = fixture.attach(id, &memory).unwrap();
    let page = |number: u64| VirtualAddress(address.0 + number * PAGE_SIZE);
    memory.munmap(page(1), PAGE_SIZE, &Unhurried).unwrap();
    memory.mprotect(page(2), PAGE_SIZE, Protection::READ).unwrap();
    assert_eq!(fixture.status(id).unwrap().attachments, 4);
    assert_eq!(memory.detach_segment(page(2), &Unhurried), Err(Errno::EINVAL));
    memory.detach_segment(address, &Unhurried).unwrap();
    assert_eq!(memory.detach_segment(address, &Unhurried), Err(Errno::EINVAL));
    assert_eq!(fixture.status(id).unwrap().attachments, 1);
    memory.detach_segment(other, &Unhurried).unwrap();
    assert!(memory.mappings().is_empty());
}

#[test]
fn a_read_only_attachment_stays_so() {
    let fixture = Fixture::new();
    let id = fixture.get(IPC_PRIVATE, PAGE_SIZE, 0o600).unwrap();
    let memory = fixture.process(1);
    let flags = AttachFlags::RDONLY;
    let address =
        as_root(|caller| fixture.segments.attach(id, VirtualAddress::NULL, flags, &memory, caller)).unwrap();
    let writable = Protection::READ | Protection::WRITE;
    assert_eq!(memory.mprotect(address, PAGE_SIZE, writable), Err(Errno::EACCES));
}

#[test]
fn a_segment_larger_than_memory_is_enomem_unless_it_reserves_nothing() {
    let fixture = Fixture::new();
    assert_eq!(fixture.get(IPC_PRIVATE, 1 << 40, 0o600), Err(Errno::ENOMEM));
    assert!(fixture.get(IPC_PRIVATE, 1 << 40, 0o600 | NO_RESERVE).is_ok());
    assert_eq!(fixture.get(IPC_PRIVATE, 0, 0o600), Err(Errno::EINVAL));
}

#[test]
fn forced_removal_takes_segments_whose_makers_have_ended() {
    let fixture = Fixture::new();
    let (orphan, other) = (fixture.get(1, 1, 0o1600).unwrap(), fixture.get(2, 1, 0o1600).unwrap());
    let memory = fixture.process(1);
    let address = fixture.attach(other, &memory).unwrap();
    fixture.segments.creator_left(7);
    assert!(fixture.status(orphan).is_ok());
    fixture.segments.set_forces_removal(true);
    assert!(fixture.status(orphan).is_err());
    memory.detach_segment(address, &Unhurried).unwrap();
    assert!(fixture.status(other).is_err());
}
