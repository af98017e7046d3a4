//! What pseudoterminals promise, kept.

use super::*;
use crate::fs::DirectoryEntry;
use crate::fs::terminal::ProcessGroups;
use crate::wait::Events;

#[derive(Default)]
struct Groups(Mutex<Vec<(i32, i32)>>);

impl ProcessGroups for Groups {
    fn signal_process(&self, process_id: i32, signal: i32) {
        self.0.lock().push((process_id, signal));
    }

    fn signal_process_group(&self, process_group_id: i32, signal: i32) {
        self.0.lock().push((process_group_id, signal));
    }

    fn session_of_process_group(&self, _process_group_id: i32) -> Option<i32> {
        None
    }
}

fn setup() -> (Arc<PtsFileSystem>, Arc<Groups>) {
    let terminals = Arc::<ControllingTerminals>::default();
    let groups = Arc::new(Groups::default());
    terminals.set_process_groups(groups.clone());
    (
        PtsFileSystem::new(
            terminals,
            DeviceNumber::default(),
            PtsOptions::default(),
            &UserNamespace::initial(),
        ),
        groups,
    )
}

fn viewer() -> Viewer {
    Viewer { process_id: 10, session_id: 10, thread_id: 10, ..Viewer::test_kernel() }
}

fn open(file_system: &Arc<PtsFileSystem>, name: &str) -> Result<Arc<dyn File>, Errno> {
    file_system.root().lookup(name.as_bytes())?.open(OpenFlags::RDWR, &viewer())
}

fn unlock(file_system: &PtsFileSystem, number: u32) -> Arc<Pair> {
    let pair = file_system.pairs.lock()[&number].pair.upgrade().unwrap();
    pair.set_locked(false);
    pair
}

fn read(file: &Arc<dyn File>) -> Result<Vec<u8>, Errno> {
    let mut buffer = [0; 64];
    file.read_at(&mut buffer, 0).map(|read| buffer[..read].to_vec())
}

#[test]
fn a_line_typed_at_the_master_is_read_from_the_slave_and_echoed() {
    let (file_system, _) = setup();
    let master = open(&file_system, "ptmx").unwrap();
    assert_eq!(open(&file_system, "0").err(), Some(Errno::EIO), "locked");
    unlock(&file_system, 0);
    let slave = open(&file_system, "0").unwrap();
    assert_eq!(read(&slave), Err(Errno::EAGAIN));
    assert_eq!(master.write_at(b"hi\r", 0), Ok(3));
    assert_eq!(read(&slave), Ok(b"hi\n".to_vec()));
    assert_eq!(read(&master), Ok(b"hi\r\n".to_vec()));
    assert_eq!(slave.write_at(b"out\n", 0), Ok(4));
    assert_eq!(read(&master), Ok(b"out\r\n".to_vec()));
    assert_eq!(slave.metadata().unwrap().special_device, DeviceNumber::new(136, 0));
}

#[test]
fn the_interrupt_character_reaches_the_foreground_of_the_session_that_opened_the_slave() {
    let (file_system, groups) = setup();
    let master = open(&file_system, "ptmx").unwrap();
    unlock(&file_system, 0);
    let _slave = open(&file_system, "0").unwrap();
    master.write_at(b"\x03", 0).unwrap();
    assert_eq!(*groups.0.lock(), [(10, 2)]);
    assert!(file_system.terminals.open(10).is_ok(), "/dev/tty");
}

#[test]
fn closing_the_master_hangs_up_and_frees_the_number() {
    let (file_system, groups) = setup();
    let master = open(&file_system, "ptmx").unwrap();
    unlock(&file_system, 0);
    let slave = open(&file_system, "0").unwrap();
    drop(master);
    assert!(slave.readiness().contains(Events::HUP | Events::IN));
    assert_eq!(read(&slave), Ok(vec![]));
    assert_eq!(slave.write_at(b"x", 0), Err(Errno::EIO));
    assert_eq!(*groups.0.lock(), [(10, 1), (10, 18)]);
    assert_eq!(open(&file_system, "0").err(), Some(Errno::ENOENT));
}

#[test]
fn closing_the_last_slave_ends_the_master_s_reads_after_what_was_shown() {
    let (file_system, _) = setup();
    let master = open(&file_system, "ptmx").unwrap();
    assert_eq!(read(&master), Err(Errno::EAGAIN), "no slave yet is no hang-up");
    unlock(&file_system, 0);
    let slave = open(&file_system, "0").unwrap();
    file_system.terminals.session_leader_exited(10);
    slave.write_at(b"end", 0).unwrap();
    drop(slave);
    assert!(master.readiness().contains(Events::HUP | Events::IN));
    assert_eq!(read(&master), Ok(b"end".to_vec()));
    assert_eq!(read(&master), Err(Errno::EIO));
}

#[test]
fn numbers_are_the_lowest_free_and_listed() {
    let (file_system, _) = setup();
    let masters: Vec<_> = (0..3).map(|_| open(&file_system, "ptmx").unwrap()).collect();
    let mut masters = masters.into_iter();
    let (_zero, one, _two) = (masters.next(), masters.next(), masters.next());
    drop(one);
    let names = || {
        let directory = file_system.root().open(OpenFlags::empty(), &viewer()).unwrap();
        let mut names = Vec::new();
        let mut collect = |entry: DirectoryEntry| {
            names.push(String::from_utf8(entry.name).unwrap());
            true
        };
        directory.read_directory(3, &mut collect).unwrap();
        names
    };
    assert_eq!(names(), ["0", "2"]);
    let _again = open(&file_system, "ptmx").unwrap();
    assert_eq!(names(), ["0", "1", "2"]);
}
