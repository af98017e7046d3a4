use std::sync::Arc;

use linux_raw_sys::general as uapi;
use parking_lot::Mutex;

use crate::kernel::Kernel;
use crate::platform::{Exit, Registers};
use crate::profile::data::Profile;
use crate::profile::{ImageSource, Options, ReadSeek};
use crate::task::tests::Fixture;
use crate::task::{ProfilerError, UnstartedTask};

struct NoFiles;

impl ImageSource for NoFiles {
    fn open_guest(&self, _path: &[u8]) -> Option<Box<dyn ReadSeek>> {
        None
    }

    fn open_own(&self) -> Option<Box<dyn ReadSeek>> {
        None
    }
}

fn end(kernel: &Kernel) -> Option<Profile> {
    kernel.profiler().end(kernel, &NoFiles)
}

fn options() -> Options {
    Options { hz: 1000, command: vec!["program".into()] }
}

/// Runs a task that makes these calls, and then exits; `before` is called before each.
fn run_with(fixture: &Fixture, before: impl Fn(usize) + Send + Sync + 'static, calls: &[u32]) {
    let (calls, before) = (calls.to_vec(), Arc::new(before));
    fixture.platform().set_default_script(Box::new(move || {
        let (mut left, before) = (calls.clone().into_iter().enumerate(), before.clone());
        Box::new(move |_, registers: &mut Registers| {
            let (step, call) = left.next().unwrap_or((usize::MAX, uapi::__NR_exit_group));
            before(step);
            registers.rax = call.into();
            Exit::Syscall
        })
    }));
    let config = fixture.config(None, fixture.new_group(fixture.tasks().root()));
    let task = fixture.tasks().new_task(config).and_then(UnstartedTask::start).unwrap();
    fixture.tasks().wait_until_ended(task.thread_group());
    fixture.tasks().wait_until_all_ended();
}

#[test]
fn a_recording_has_the_calls_of_a_task_and_its_life() {
    let fixture = Fixture::new();
    let kernel = fixture.kernel();
    kernel.profiler().begin(kernel, options()).unwrap();
    assert_eq!(kernel.profiler().begin(kernel, options()), Err(ProfilerError::Busy));
    run_with(&fixture, |_| {}, &[uapi::__NR_getpid, uapi::__NR_getpid, uapi::__NR_close]);
    let profile = end(kernel).unwrap();
    let counts = |name: &str| profile.calls.iter().find(|call| call.name == name).map(|call| call.count);
    assert_eq!([counts("getpid"), counts("close"), counts("exit_group")], [Some(2), Some(1), Some(1)]);
    let [task] = &profile.tasks[..] else { panic!("{:?}", profile.tasks) };
    assert!(task.ended_ns.is_some());
    let kinds: Vec<_> = profile.timeline.iter().map(|event| &*event.kind).collect();
    assert_eq!(kinds, ["start", "exit"]);
    assert!(!profile.points.is_empty());
    assert_eq!(end(kernel), None);
}

#[test]
fn what_comes_before_and_after_is_left_out() {
    let fixture = Fixture::new();
    let profiles = Arc::<Mutex<Vec<Profile>>>::default();
    let (kernel, taken) = (Arc::downgrade(fixture.kernel()), profiles.clone());
    let script = move |step: usize| {
        let kernel = kernel.upgrade().unwrap();
        match step {
            1 | 4 => kernel.profiler().begin(&kernel, options()).unwrap(),
            3 | 6 => taken.lock().extend(end(&kernel)),
            _ => {}
        }
    };
    run_with(
        &fixture,
        script,
        &[
            uapi::__NR_getpid,
            uapi::__NR_getppid,
            uapi::__NR_getuid,
            uapi::__NR_gettid,
            uapi::__NR_getgid,
            uapi::__NR_getegid,
            uapi::__NR_sched_yield,
        ],
    );
    let profiles = profiles.lock();
    let [first, second] = &profiles[..] else { panic!("{}", profiles.len()) };
    let names = |profile: &Profile| profile.calls.iter().map(|call| call.name.clone()).collect::<Vec<_>>();
    // A lap is over when the next one begins: the last is not told of.
    assert_eq!((names(first), names(second)), (vec!["getuid".to_owned()], vec!["getegid".to_owned()]));
    assert_eq!(first.timeline, []);
    assert_eq!(first.tasks.len(), 1);
}
