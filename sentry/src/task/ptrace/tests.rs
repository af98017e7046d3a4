//! Who traces whom, and who hears of an end, on the fake platform.

use crate::Errno;
use crate::task::tests::Fixture;
use crate::task::{ChildEvent, ExitStatus, Mode, TraceOptions, WaitOptions};

const ENDED: WaitOptions = WaitOptions::EXITED;

#[test]
fn nobody_has_two_tracers_and_nobody_traces_its_own_process() {
    let fixture = Fixture::new();
    let tasks = fixture.tasks();
    let init = fixture.process(None);
    let child = fixture.process(Some(&init));
    let thread = fixture.thread(&child).unwrap();
    assert_eq!(tasks.trace_me(&init), Err(Errno::EPERM), "no parent");
    assert_eq!(tasks.seize(&child, &thread, TraceOptions::empty()), Err(Errno::EPERM));
    assert_eq!(tasks.trace_me(&child), Ok(()));
    assert_eq!(tasks.trace_me(&child), Err(Errno::EPERM));
    assert_eq!(tasks.seize(&init, &child, TraceOptions::empty()), Err(Errno::EPERM));
    tasks.check();
}

#[test]
fn requests_need_a_stop() {
    let fixture = Fixture::new();
    let init = fixture.process(None);
    let child = fixture.process(Some(&init));
    let tid = crate::task::Tid(child.tid());
    assert_eq!(fixture.tasks().tracee(&init, tid).err(), Some(Errno::ESRCH));
    fixture.tasks().trace_me(&child).unwrap();
    let tracee = fixture.tasks().tracee(&init, tid).unwrap();
    assert_eq!(tracee.registers(), Err(Errno::ESRCH));
    assert_eq!(tracee.resume(Mode::Continue, None), Err(Errno::ESRCH));
    assert_eq!(tracee.interrupt(), Err(Errno::EIO), "not seized");
}

#[test]
fn a_traced_thread_stays_until_its_tracer_has_waited_and_its_process_waits_for_that() {
    let fixture = Fixture::new();
    let init = fixture.process(None);
    let leader = fixture.process(Some(&init));
    let thread = fixture.thread(&leader).unwrap();
    fixture.tasks().trace_me(&thread).unwrap();
    fixture.exit(&thread, 4);
    fixture.exit(&leader, 5);
    let ended = |waited: Result<Option<(crate::task::Tid, ChildEvent)>, Errno>| match waited {
        Ok(Some((tid, ChildEvent::Ended(ExitStatus::Exited(code))))) => (tid.0, code),
        other => panic!("{other:?}"),
    };
    // The leader was the last to exit: its status is that of all.
    assert_eq!(ended(fixture.wait(&init, ENDED)), (3, 5));
    assert_eq!(ended(fixture.wait(&init, ENDED)), (2, 5));
    assert_eq!(fixture.wait(&init, ENDED), Err(Errno::ECHILD));
}

#[test]
fn the_parent_hears_of_an_end_once_the_tracer_has_waited() {
    let fixture = Fixture::new();
    let init = fixture.process(None);
    let (tracer, target) = (fixture.process(Some(&init)), fixture.process(Some(&init)));
    fixture.tasks().seize(&tracer, &target, TraceOptions::empty()).unwrap();
    fixture.exit(&target, 6);
    assert_eq!(fixture.wait(&init, ENDED), Ok(None));
    assert!(matches!(fixture.wait(&tracer, ENDED), Ok(Some(_))));
    assert_eq!(fixture.wait(&tracer, ENDED), Err(Errno::ECHILD));
    assert!(matches!(fixture.wait(&init, ENDED), Ok(Some(_))));
}

#[test]
fn the_end_of_a_tracer_frees_the_living_and_leaves_the_dead_to_their_parents() {
    let fixture = Fixture::new();
    let init = fixture.process(None);
    let tracer = fixture.process(Some(&init));
    let [living, doomed, dead] = [(); 3].map(|()| fixture.process(Some(&init)));
    for (target, options) in
        [(&living, TraceOptions::empty()), (&doomed, TraceOptions::EXITKILL), (&dead, TraceOptions::empty())]
    {
        fixture.tasks().seize(&tracer, target, options).unwrap();
    }
    fixture.exit(&dead, 1);
    fixture.exit(&tracer, 0);
    assert!(!living.is_traced() && living.thread_group().exiting().is_none());
    assert!(doomed.thread_group().exiting().is_some());
    assert!(matches!(fixture.wait(&init, ENDED), Ok(Some(_))));
    assert!(matches!(fixture.wait(&init, ENDED), Ok(Some(_))));
    assert_eq!(fixture.wait(&init, ENDED), Ok(None));
}
