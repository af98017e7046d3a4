use super::*;

#[derive(Default)]
struct Groups(Mutex<Vec<(i32, i32)>>);

impl ProcessGroups for Groups {
    fn signal_process(&self, process_id: i32, signal: i32) {
        self.0.lock().push((-process_id, signal));
    }

    fn signal_process_group(&self, process_group_id: i32, signal: i32) {
        self.0.lock().push((process_group_id, signal));
    }

    fn session_of_process_group(&self, _process_group_id: i32) -> Option<i32> {
        None
    }
}

struct Line(JobControl);

impl ControllingTerminal for Line {
    fn job_control(&self) -> &JobControl {
        &self.0
    }

    fn open_again(&self) -> Arc<dyn File> {
        crate::fs::eventfd::EventFile::new(0, false, &crate::fs::OpenFiles::default())
    }

    fn device(&self) -> DeviceNumber {
        DeviceNumber::new(136, 7)
    }
}

fn setup() -> (Arc<ControllingTerminals>, Arc<Groups>, Arc<Line>) {
    let terminals = Arc::new(ControllingTerminals::default());
    let groups = Arc::new(Groups::default());
    terminals.set_process_groups(groups.clone());
    let line = Arc::new(Line(JobControl::new(terminals.clone())));
    (terminals, groups, line)
}

#[test]
fn a_session_leader_s_first_open_gives_it_the_terminal_and_others_do_not_take_it() {
    let (terminals, _, line) = setup();
    line.0.opened(line.clone(), 12, 10);
    assert_eq!(terminals.open(10).err(), Some(Errno::ENXIO));
    line.0.opened(line.clone(), 10, 10);
    line.0.opened(line.clone(), 20, 20);
    assert!(terminals.open(10).is_ok());
    assert!(terminals.open(20).is_err());
    assert_eq!(terminals.foreground_of_session(10), 10);
    let leader = SessionMember { process_id: 10, session_id: 10, association: 0 };
    assert_eq!(terminals.device_and_foreground(leader), (Some(DeviceNumber::new(136, 7)), 10));
    // Who was made before knows nothing of it, and who is made now does.
    let earlier = SessionMember { process_id: 11, ..leader };
    assert_eq!(terminals.device_and_foreground(earlier), (None, -1));
    let child = SessionMember { process_id: 12, association: terminals.association_of(leader), ..leader };
    assert_eq!(terminals.device_and_foreground(child), (Some(DeviceNumber::new(136, 7)), 10));
    assert_eq!(terminals.foreground_of_session(20), -1);
}

#[test]
fn the_foreground_hears_when_the_leader_exits_and_the_terminal_is_free() {
    let (terminals, groups, line) = setup();
    line.0.control(line.clone(), 10, 11).unwrap();
    terminals.session_leader_exited(10);
    assert_eq!(*groups.0.lock(), [(11, 1)]);
    assert!(line.0.control(line.clone(), 20, 20).is_ok());
}

#[test]
fn a_hang_up_reaches_the_leader_and_at_its_end_the_foreground() {
    let (terminals, groups, line) = setup();
    line.0.control(line.clone(), 10, 11).unwrap();
    line.0.hang_up();
    assert_eq!(*groups.0.lock(), [(-10, 1), (-10, 18)]);
    assert!(terminals.open(10).is_err());
    terminals.session_leader_exited(10);
    assert_eq!(groups.0.lock()[2..], [(11, 1), (11, 18)]);
    terminals.session_leader_exited(10);
    assert_eq!(groups.0.lock().len(), 4);
}
