//! What epoll promises, kept.

use std::sync::LazyLock;

use super::*;
use crate::cred::{KernelGid, KernelUid};
use crate::fs::OpenFlags;
use crate::fs::eventfd::EventFile;
use crate::fs::pipe::Pipe;
use crate::wait::Observer;

struct Bell(Mutex<usize>);

impl Observer for Bell {
    fn notify(&self, _events: Events) {
        *self.0.lock() += 1;
    }
}

/// Those of one kernel, that ids differ.
static FILES: LazyLock<Arc<OpenFiles>> = LazyLock::new(Arc::default);

fn describe(file: Arc<dyn File>) -> Arc<FileDescription> {
    let description = FileDescription::new(file, None, OpenFlags::RDWR);
    description.register(&FILES);
    description
}

fn counter(count: u32) -> Arc<FileDescription> {
    describe(EventFile::new(count, false, &FILES))
}

fn bump(file: &FileDescription) {
    file.file().write_at(&1u64.to_ne_bytes(), 0).unwrap();
}

fn requested(bits: u32, data: u64) -> RequestedEvents {
    RequestedEvents::from_bits(bits, data)
}

const IN: u32 = 1;
const EDGE: u32 = linux_raw_sys::general::EPOLLET;
const ONE_SHOT: u32 = linux_raw_sys::general::EPOLLONESHOT;
const EXCLUSIVE: u32 = linux_raw_sys::general::EPOLLEXCLUSIVE;

#[test]
fn level_triggered_files_are_reported_until_they_are_not_ready() {
    let (epoll, file) = (EpollFile::new(&Arc::default()), counter(0));
    epoll.add(5, &file, requested(IN, 77)).unwrap();
    assert_eq!(epoll.take_ready(8, || Ok(())).unwrap(), []);
    bump(&file);
    let event = ReadyEvent { events: Events::IN, data: 77 };
    assert_eq!(epoll.take_ready(8, || Ok(())).unwrap(), [event]);
    assert_eq!(epoll.take_ready(8, || Ok(())).unwrap(), [event]);
    assert!(epoll.readiness().contains(Events::IN));
    file.file().read_at(&mut [0; 8], 0).unwrap();
    assert_eq!(epoll.take_ready(8, || Ok(())).unwrap(), []);
    assert!(epoll.readiness().is_empty());
}

#[test]
fn edge_triggered_files_are_reported_once_an_event() {
    let (epoll, file) = (EpollFile::new(&Arc::default()), counter(1));
    epoll.add(5, &file, requested(IN | EDGE, 1)).unwrap();
    assert_eq!(epoll.take_ready(8, || Ok(())).unwrap().len(), 1);
    assert_eq!(epoll.take_ready(8, || Ok(())).unwrap().len(), 0);
    bump(&file);
    assert_eq!(epoll.take_ready(8, || Ok(())).unwrap().len(), 1);
}

#[test]
fn one_shot_interests_sleep_until_modified() {
    let (epoll, file) = (EpollFile::new(&Arc::default()), counter(1));
    epoll.add(5, &file, requested(IN | ONE_SHOT, 1)).unwrap();
    assert_eq!(epoll.take_ready(8, || Ok(())).unwrap().len(), 1);
    bump(&file);
    assert_eq!(epoll.take_ready(8, || Ok(())).unwrap().len(), 0);
    epoll.modify(5, &file, requested(IN, 2)).unwrap();
    assert_eq!(epoll.take_ready(8, || Ok(())).unwrap(), [ReadyEvent { events: Events::IN, data: 2 }]);
}

#[test]
fn ready_files_take_turns() {
    let epoll = EpollFile::new(&Arc::default());
    let files = [counter(1), counter(1), counter(1)];
    for (number, file) in files.iter().enumerate() {
        epoll.add(number as i32, file, requested(IN, number as u64)).unwrap();
    }
    let seen: Vec<u64> = (0..6).map(|_| epoll.take_ready(1, || Ok(())).unwrap()[0].data).collect();
    assert_eq!(seen, [0, 1, 2, 0, 1, 2]);
}

#[test]
fn closing_a_file_ends_its_interest() {
    let (epoll, file) = (EpollFile::new(&Arc::default()), counter(1));
    epoll.add(5, &file, requested(IN, 1)).unwrap();
    drop(file);
    assert_eq!(epoll.take_ready(8, || Ok(())).unwrap(), []);
    let again = counter(1);
    epoll.add(5, &again, requested(IN, 2)).unwrap();
    assert_eq!(epoll.take_ready(8, || Ok(())).unwrap().len(), 1);
}

#[test]
fn closed_files_do_not_fill_the_list() {
    let epoll = EpollFile::new(&Arc::default());
    for number in 0..10_000 {
        epoll.add(5, &counter(0), requested(IN, number)).unwrap();
    }
    assert!(epoll.interests.lock().by_key.len() <= 128);
}

#[test]
fn hang_ups_are_reported_unasked() {
    let (reader, writer) =
        Pipe::pair(&Arc::default(), OpenFlags::empty(), KernelUid::ROOT, KernelGid::ROOT).unwrap();
    let (epoll, reader) = (EpollFile::new(&Arc::default()), describe(reader));
    epoll.add(3, &reader, requested(0, 9)).unwrap();
    assert_eq!(epoll.take_ready(8, || Ok(())).unwrap(), []);
    drop(writer);
    assert_eq!(epoll.take_ready(8, || Ok(())).unwrap(), [ReadyEvent { events: Events::HUP, data: 9 }]);
}

#[test]
fn the_list_knows_its_members() {
    let (epoll, file) = (EpollFile::new(&Arc::default()), counter(1));
    assert_eq!(epoll.remove(5, &file), Err(Errno::ENOENT));
    assert_eq!(epoll.modify(5, &file, requested(IN, 1)), Err(Errno::ENOENT));
    epoll.add(5, &file, requested(IN, 1)).unwrap();
    assert_eq!(epoll.add(5, &file, requested(IN, 1)), Err(Errno::EEXIST));
    epoll.add(6, &file, requested(IN, 1)).unwrap();
    epoll.remove(5, &file).unwrap();
    assert_eq!(epoll.take_ready(8, || Ok(())).unwrap().len(), 1);
    epoll.add(7, &file, requested(IN | EXCLUSIVE, 1)).unwrap();
    assert_eq!(epoll.modify(7, &file, requested(IN, 1)), Err(Errno::EINVAL));
    assert_eq!(epoll.add(8, &file, requested(IN | EXCLUSIVE | ONE_SHOT, 1)), Err(Errno::EINVAL));
}

#[test]
fn an_event_travels_through_nested_epolls_and_wakes_the_outermost() {
    let (inner, file) = (EpollFile::new(&Arc::default()), counter(0));
    let outer = EpollFile::new(&Arc::default());
    inner.add(3, &file, requested(IN, 1)).unwrap();
    let inner = describe(inner);
    outer.add(4, &inner, requested(IN, 2)).unwrap();
    let bell = Arc::new(Bell(Mutex::new(0)));
    let _registration = outer.wait_queue().unwrap().register(Events::IN, bell.clone());
    assert_eq!(outer.take_ready(8, || Ok(())).unwrap(), []);
    bump(&file);
    assert_eq!(*bell.0.lock(), 1);
    assert_eq!(outer.take_ready(8, || Ok(())).unwrap(), [ReadyEvent { events: Events::IN, data: 2 }]);
}

#[test]
fn loops_and_deep_chains_are_refused() {
    let chain: Vec<_> = (0..6).map(|_| describe(EpollFile::new(&Arc::default()))).collect();
    let epoll = |index: usize| chain[index].downcast::<EpollFile>().unwrap();
    assert_eq!(epoll(0).add(9, &chain[0], requested(IN, 0)), Err(Errno::EINVAL));
    for index in 0..4 {
        epoll(index).add(9, &chain[index + 1], requested(IN, 0)).unwrap();
    }
    assert_eq!(epoll(3).add(8, &chain[0], requested(IN, 0)), Err(Errno::ELOOP));
    assert_eq!(epoll(4).add(9, &chain[5], requested(IN, 0)), Err(Errno::ELOOP), "appended at the bottom");
    assert_eq!(epoll(5).add(9, &chain[0], requested(IN, 0)), Err(Errno::ELOOP), "put on top");
    epoll(0).remove(9, &chain[1]).unwrap();
    epoll(4).add(9, &chain[5], requested(IN, 0)).unwrap();
}
