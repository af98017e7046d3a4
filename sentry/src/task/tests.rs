//! Tasks on the fake platform: creation, relations, exit and waiting.

use std::sync::Arc;

use parking_lot::Mutex;

use super::{
    ChildEvent, CpuSet, ExitStatus, PidNamespace, Task, TaskConfig, TaskImage, TaskSet, ThreadGroup, Tid,
    UnstartedTask, WaitOptions, WaitSelector,
};
use crate::Errno;
use crate::cgroup::{Cgroup, FileOwner, Moved};
use crate::cred::{Capabilities, Credentials, KernelGid, KernelUid, UserNamespace};
use crate::fs::tmpfs::{self, MemoryResources, TmpfsOptions};
use crate::fs::{DescriptorTable, MountFlags, MountNamespace, TaskFs};
use crate::host::HostCpus;
use crate::kernel::{Kernel, KernelConfig};
use crate::limits::{Limit, Limits, Resource};
use crate::loader::ProgramHost;
use crate::memory::{FrameAllocator, MemoryManager};
use crate::platform::fake::FakePlatform;
use crate::platform::{Platform, Registers, SegmentBases};
use crate::signal::{Signal, SignalActions, SignalSet};

/// A kernel without tasks, and what a first task needs.
pub(super) struct Fixture {
    platform: Arc<FakePlatform>,
    kernel: Arc<Kernel>,
    task_fs: Arc<TaskFs>,
}

impl Fixture {
    pub(super) fn new() -> Self {
        watch_for_deadlocks();
        let fake = FakePlatform::new(64 << 20).unwrap();
        let platform: Arc<dyn Platform> = fake.clone();
        let frames = FrameAllocator::new(&platform, 64 << 20);
        let kernel = Kernel::new(KernelConfig {
            platform,
            frames: frames.clone(),
            cpus: HostCpus::of_this_thread(),
            host_name: b"test".to_vec(),
            dispatcher: Arc::new(crate::syscall::Table),
        })
        .unwrap();
        let resources = MemoryResources::new(frames, &Arc::default(), &UserNamespace::initial());
        let root =
            tmpfs::new_mount(&resources, &TmpfsOptions::default(), "root", MountFlags::empty()).unwrap();
        Self {
            platform: fake,
            kernel,
            task_fs: TaskFs::new(MountNamespace::new(root, &UserNamespace::initial())),
        }
    }

    pub(super) fn platform(&self) -> &Arc<FakePlatform> {
        &self.platform
    }

    pub(super) fn kernel(&self) -> &Arc<Kernel> {
        &self.kernel
    }

    pub(super) fn tasks(&self) -> &TaskSet {
        self.kernel.tasks()
    }

    pub(super) fn new_group(&self, namespace: &Arc<PidNamespace>) -> Arc<ThreadGroup> {
        let exit_signal = i32::from(Signal::SIGCHLD.number());
        let actions = Arc::new(Mutex::new(SignalActions::default()));
        self.tasks().new_thread_group(namespace.clone(), actions, Limits::default(), exit_signal)
    }

    pub(super) fn config(&self, parent: Option<&Arc<Task>>, thread_group: Arc<ThreadGroup>) -> TaskConfig {
        let memory = self.kernel.new_memory(None).unwrap();
        self.config_with_memory(parent, thread_group, memory)
    }

    pub(super) fn config_with_memory(
        &self,
        parent: Option<&Arc<Task>>,
        thread_group: Arc<ThreadGroup>,
        memory: Arc<MemoryManager>,
    ) -> TaskConfig {
        let image = TaskImage {
            registers: Registers::default(),
            segment_bases: SegmentBases::default(),
            extended_state: None,
            memory,
            name: b"test".to_vec(),
            executable: None,
            syscall_number: None,
        };
        let (task_fs, descriptors) = (self.task_fs.clone(), DescriptorTable::new(self.kernel.open_files()));
        let user = Credentials::test_user(1000, 1000);
        TaskConfig {
            parent: parent.cloned(),
            allowed_cpus: CpuSet::first(2),
            ..TaskConfig::without_creator(&self.kernel, thread_group, image, task_fs, descriptors, user)
        }
    }

    /// Makes a task that no thread runs: the test does with it what its thread would do.
    pub(super) fn new_task(&self, config: TaskConfig) -> Result<Arc<Task>, Errno> {
        self.tasks().new_task(config).map(|task| task.into_parts().0)
    }

    /// Makes a process, to be started.
    pub(super) fn unstarted(&self, parent: Option<&Arc<Task>>) -> UnstartedTask {
        let config = self.config(parent, self.new_group(self.tasks().root()));
        self.tasks().new_task(config).unwrap()
    }

    /// A PID namespace inside of the root's.
    pub(super) fn new_pid_namespace(&self) -> Arc<PidNamespace> {
        self.tasks()
            .new_pid_namespace(self.tasks().root(), &UserNamespace::initial(), KernelUid::ROOT)
            .unwrap()
    }

    /// A process in `namespace` that no thread runs.
    pub(super) fn process_in(
        &self,
        parent: Option<&Arc<Task>>,
        namespace: &Arc<PidNamespace>,
    ) -> Result<Arc<Task>, Errno> {
        let group = self.new_group(namespace);
        let task = self.new_task(self.config(parent, group));
        self.tasks().check();
        task
    }

    pub(super) fn process(&self, parent: Option<&Arc<Task>>) -> Arc<Task> {
        self.process_in(parent, &self.tasks().root().clone()).unwrap()
    }

    pub(super) fn thread(&self, of: &Arc<Task>) -> Result<Arc<Task>, Errno> {
        let task = self.new_task(self.config(Some(of), of.group.clone()));
        self.tasks().check();
        task
    }

    /// A creation by `parent` that fails at one step. The limit is that of `cgroup`, which the parent is in.
    pub(super) fn fail(&self, parent: &Arc<Task>, failure: Failure, cgroup: &Arc<Cgroup>) {
        let inner = self.new_pid_namespace();
        let mut config = self.config(Some(parent), self.new_group(&inner));
        match failure {
            Failure::UserLimit => config
                .thread_group
                .with_limits(|limits| limits.set(Resource::PROCESSES, Limit { soft: 0, hard: 0 }, true))
                .unwrap(),
            Failure::PidsLimit => cgroup.pids().set_max(Some(0)),
            Failure::GroupExiting => config.thread_group.exit(ExitStatus::Exited(0)),
            // The inner number is assigned first, and must be given back.
            Failure::NumberTaken => config.wanted_numbers = vec![Tid(1), Tid(1)],
            Failure::NamespaceDead => inner.end(),
            Failure::Context => self.platform.refuse_next_context(),
        }
        assert_eq!(self.new_task(config).err(), Some(failure.errno()), "{failure:?}");
        self.tasks().check();
        assert!(self.tasks().task(&inner, Tid(1)).is_none());
        assert!(!self.tasks().tree.read().namespaces.contains_key(&inner.id()), "{failure:?}");
        cgroup.pids().set_max(None);
    }

    pub(super) fn exit(&self, task: &Arc<Task>, code: u8) {
        task.begin_exit(ExitStatus::Exited(code), |_| ());
        task.exit_resources();
        self.tasks().task_exited(task, ExitStatus::Exited(code));
        self.tasks().check();
    }

    pub(super) fn wait(
        &self,
        parent: &Arc<Task>,
        options: WaitOptions,
    ) -> Result<Option<(Tid, ChildEvent)>, Errno> {
        let waited = self.tasks().find_child(parent, WaitSelector::Any, options)?;
        self.tasks().check();
        Ok(waited.map(|waited| (waited.pid, waited.event)))
    }
}

/// Where a creation is made to fail, in the order of its steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Failure {
    UserLimit,
    PidsLimit,
    GroupExiting,
    NumberTaken,
    NamespaceDead,
    Context,
}

impl Failure {
    pub(super) const ALL: [Self; 6] = [
        Self::UserLimit,
        Self::PidsLimit,
        Self::GroupExiting,
        Self::NumberTaken,
        Self::NamespaceDead,
        Self::Context,
    ];

    fn errno(self) -> Errno {
        match self {
            Self::UserLimit | Self::PidsLimit | Self::Context => Errno::EAGAIN,
            Self::GroupExiting => Errno::EINTR,
            Self::NumberTaken => Errno::EEXIST,
            Self::NamespaceDead => Errno::ENOMEM,
        }
    }
}

/// Looks from now on whether threads wait for each other's locks, and ends the tests if they do.
fn watch_for_deadlocks() {
    static WATCH: std::sync::Once = std::sync::Once::new();
    WATCH.call_once(|| {
        std::thread::spawn(|| {
            loop {
                std::thread::sleep(std::time::Duration::from_secs(1));
                let deadlocks = parking_lot::deadlock::check_deadlock();
                for thread in deadlocks.iter().flatten() {
                    eprintln!("a thread in a deadlock:\n{:?}", thread.backtrace());
                }
                if !deadlocks.is_empty() {
                    std::process::abort();
                }
            }
        });
    });
}

#[test]
fn the_first_task_is_init_and_leads_a_session() {
    let fixture = Fixture::new();
    let init = fixture.process(None);
    assert_eq!((init.tid(), init.thread_group().tgid()), (1, 1));
    let (process_group, session) =
        fixture.tasks().process_group_and_session(init.thread_group(), fixture.tasks().root());
    assert_eq!((process_group, session), (Tid(1), Tid(1)));
}

#[test]
fn a_child_inherits_process_group_and_session() {
    let fixture = Fixture::new();
    let init = fixture.process(None);
    let child = fixture.process(Some(&init));
    let relations = fixture.tasks().process_group_and_session(child.thread_group(), fixture.tasks().root());
    assert_eq!(relations, (Tid(1), Tid(1)));
    assert_eq!(fixture.tasks().parent_number(child.thread_group()), Tid(1));
}

#[test]
fn a_task_has_a_number_in_every_namespace_around_it() {
    let fixture = Fixture::new();
    let init = fixture.process(None);
    let inner = fixture.new_pid_namespace();
    let task = fixture.process_in(Some(&init), &inner).unwrap();
    assert_eq!(task.tid(), 1);
    assert_eq!(fixture.tasks().number_of(&task, fixture.tasks().root()), Tid(2));
    assert_eq!(fixture.tasks().number_of(&init, &inner), Tid(0));
}

#[test]
fn a_number_taken_outside_takes_the_inner_ones_back() {
    let fixture = Fixture::new();
    let init = fixture.process(None);
    let inner = fixture.new_pid_namespace();
    let mut config = fixture.config(Some(&init), fixture.new_group(&inner));
    config.wanted_numbers = vec![Tid(1), Tid(1)];
    assert_eq!(fixture.new_task(config).err(), Some(Errno::EEXIST));
    fixture.tasks().check();
    assert!(fixture.tasks().task(&inner, Tid(1)).is_none());
    assert_eq!(fixture.kernel.users().counters(KernelUid(1000)).processes(), 1, "the charge is taken back");
}

#[test]
fn a_user_at_the_limit_gets_eagain() {
    let fixture = Fixture::new();
    let init = fixture.process(None);
    let limit = Limit { soft: 1, hard: 1 };
    let group = fixture.new_group(fixture.tasks().root());
    group.with_limits(|limits| limits.set(Resource::PROCESSES, limit, true)).unwrap();
    assert_eq!(fixture.new_task(fixture.config(Some(&init), group)).err(), Some(Errno::EAGAIN));
}

#[test]
fn a_group_that_exits_refuses_new_threads() {
    let fixture = Fixture::new();
    let init = fixture.process(None);
    init.thread_group().exit(ExitStatus::Exited(0));
    assert_eq!(fixture.thread(&init).err(), Some(Errno::EINTR));
}

#[test]
fn a_group_in_execve_refuses_new_threads() {
    let fixture = Fixture::new();
    let init = fixture.process(None);
    let leader = fixture.process(Some(&init));
    let thread = fixture.thread(&leader).unwrap();
    leader.thread_group().state.lock().exec = Some(thread.id());
    assert_eq!(fixture.thread(&leader).err(), Some(Errno::EINTR));
    assert_eq!(fixture.process_in(Some(&leader), fixture.tasks().root()).err(), Some(Errno::EINTR));
    fixture.process_in(Some(&thread), fixture.tasks().root()).expect("who executes may fork until it does");
}

#[test]
fn who_is_being_killed_leaves_no_child_behind() {
    let fixture = Fixture::new();
    let init = fixture.process(None);
    let parent = fixture.process(Some(&init));
    parent.thread_group().exit(ExitStatus::Exited(0));
    assert_eq!(fixture.process_in(Some(&parent), fixture.tasks().root()).err(), Some(Errno::EINTR));
    assert_eq!(fixture.tasks().task_count(), 2);
}

#[test]
fn a_signal_to_a_process_group_comes_before_a_child_that_it_did_not_find() {
    let fixture = Fixture::new();
    let init = fixture.process(None);
    let config = || fixture.config(Some(&init), fixture.new_group(fixture.tasks().root()));
    init.set_signal_mask(SignalSet::of(&[Signal::SIGUSR2]));
    let (first, second, third) = (config(), config(), config());
    fixture.tasks().signal_process_group(Tid(1), Signal::SIGUSR2);
    fixture.new_task(first).expect("a signal that is blocked can wait");
    fixture.tasks().signal_process_group(Tid(1), Signal::SIGUSR1);
    assert_eq!(fixture.new_task(second).err(), Some(Errno::ERESTARTNOINTR));
    fixture.new_task(config()).expect("what begins after the signal is not held up by it");
    init.take_signal(SignalSet::of(&[Signal::SIGUSR1])).expect("the signal");
    fixture.new_task(third).expect("the signal has been dealt with");
}

#[test]
fn a_first_task_enters_the_control_group_of_its_container() {
    let fixture = Fixture::new();
    let cgroups = fixture.kernel.cgroups().clone();
    let config = || {
        let mut config = fixture.config(None, fixture.new_group(fixture.tasks().root()));
        config.container_id = Some(b"web".as_slice().into());
        config
    };
    fixture.platform().refuse_next_context();
    assert_eq!(fixture.new_task(config()).err(), Some(Errno::EAGAIN));
    assert!(cgroups.child(cgroups.root(), b"web").is_err(), "a creation that fails leaves no group");
    let first = fixture.new_task(config()).unwrap();
    let group = cgroups.child(cgroups.root(), b"web").unwrap();
    assert!(Arc::ptr_eq(&first.cgroup(), &group));
    assert_eq!(first.container_id().map(|id| &**id), Some(b"web".as_slice()));
    let second = fixture.new_task(config()).unwrap();
    assert!(Arc::ptr_eq(&second.cgroup(), &group), "another first task joins it");
    let mut child = fixture.config(Some(&first), fixture.new_group(fixture.tasks().root()));
    child.container_id = first.container_id().cloned();
    cgroups.migrate(Moved::Process(first.member_key().process), cgroups.root()).unwrap();
    let child = fixture.new_task(child).unwrap();
    assert!(Arc::ptr_eq(&child.cgroup(), cgroups.root()), "a child begins where its creator is");
}

#[test]
fn the_system_s_root_and_two_capabilities_exempt_from_the_limit_on_processes() {
    let fixture = Fixture::new();
    let init = fixture.process(None);
    let user = Credentials::test_user(1000, 1000);
    let with = |effective| Credentials { effective, ..user.clone() };
    let inner = UserNamespace::new(&user).unwrap();
    let cases = [
        (user.clone(), false),
        (with(Capabilities::SYS_RESOURCE), true),
        (with(Capabilities::SYS_ADMIN), true),
        (with(Capabilities::KILL | Capabilities::SETUID), false),
        (Credentials { real_uid: KernelUid::ROOT, ..user.clone() }, true),
        (Credentials { effective_uid: KernelUid::ROOT, ..user.clone() }, false),
        (Credentials { user_namespace: inner, ..with(Capabilities::ALL) }, false),
    ];
    for (credentials, is_exempt) in cases {
        let group = fixture.new_group(fixture.tasks().root());
        let limit = Limit { soft: 1, hard: 1 };
        group.with_limits(|limits| limits.set(Resource::PROCESSES, limit, true)).unwrap();
        let mut config = fixture.config(Some(&init), group);
        let shown = format!("{:?} {:?}", credentials.real_uid, credentials.effective);
        config.credentials = Arc::new(credentials);
        let result = fixture.tasks().new_task(config).map(drop);
        assert_eq!(result, if is_exempt { Ok(()) } else { Err(Errno::EAGAIN) }, "{shown}");
    }
}

#[test]
fn numbers_are_given_in_every_namespace_or_in_none() {
    let fixture = Fixture::new();
    let tasks = fixture.tasks();
    let init = fixture.process(None);
    let nest = |parent| tasks.new_pid_namespace(parent, &UserNamespace::initial(), KernelUid::ROOT).unwrap();
    let middle = nest(tasks.root());
    let inner = nest(&middle);
    let middle_init = fixture.process_in(Some(&init), &middle).unwrap();
    let inner_init = fixture.process_in(Some(&middle_init), &inner).unwrap();
    let lasts = || [&inner, &middle, tasks.root()].map(|namespace| tasks.last_number(namespace).0);
    assert_eq!(lasts(), [1, 2, 3]);
    let create = |wanted: &[i32]| {
        let mut config = fixture.config(Some(&inner_init), fixture.new_group(&inner));
        config.wanted_numbers = wanted.iter().copied().map(Tid).collect();
        let result = fixture.new_task(config);
        tasks.check();
        result
    };
    for taken in [[1, 50, 60], [40, 1, 60], [40, 50, 1]] {
        assert_eq!(create(&taken).err(), Some(Errno::EEXIST), "{taken:?}");
        for (namespace, number) in [(&inner, 40), (&middle, 50), (tasks.root(), 60)] {
            assert!(tasks.task(namespace, Tid(number)).is_none(), "{taken:?}");
        }
    }
    let task = create(&[40, 50, 60]).unwrap();
    let numbers = [&inner, &middle, tasks.root()].map(|namespace| tasks.number_of(&task, namespace));
    assert_eq!(numbers, [40, 50, 60].map(Tid));
    fixture.exit(&middle_init, 0);
    assert_eq!(create(&[]).err(), Some(Errno::EINTR), "it is killed with the namespace around its own");
    let mut config = fixture.config(Some(&init), fixture.new_group(&inner));
    config.wanted_numbers = vec![Tid(41)];
    assert_eq!(fixture.new_task(config).err(), Some(Errno::ENOMEM), "the dead namespace is not its own");
    assert!(tasks.task(&inner, Tid(41)).is_none());
}

#[test]
fn a_process_is_a_zombie_until_it_is_waited_for() {
    let fixture = Fixture::new();
    let init = fixture.process(None);
    let child = fixture.process(Some(&init));
    assert_eq!(fixture.wait(&init, WaitOptions::EXITED), Ok(None));
    fixture.exit(&child, 7);
    let ended = Some((Tid(2), ChildEvent::Ended(ExitStatus::Exited(7))));
    assert_eq!(fixture.wait(&init, WaitOptions::EXITED | WaitOptions::NOWAIT), Ok(ended));
    assert!(fixture.tasks().task(fixture.tasks().root(), Tid(2)).is_some(), "a zombie keeps its number");
    assert_eq!(fixture.wait(&init, WaitOptions::EXITED), Ok(ended));
    assert!(fixture.tasks().task(fixture.tasks().root(), Tid(2)).is_none());
    assert_eq!(fixture.wait(&init, WaitOptions::EXITED), Err(Errno::ECHILD));
    assert_eq!(fixture.kernel.users().counters(KernelUid(1000)).processes(), 1);
}

#[test]
fn a_leader_that_exits_first_stays_until_its_last_thread_has_ended() {
    let fixture = Fixture::new();
    let init = fixture.process(None);
    let leader = fixture.process(Some(&init));
    let thread = fixture.thread(&leader).unwrap();
    fixture.exit(&leader, 1);
    assert_eq!(fixture.wait(&init, WaitOptions::EXITED), Ok(None));
    fixture.exit(&thread, 2);
    assert!(matches!(fixture.wait(&init, WaitOptions::EXITED), Ok(Some((Tid(2), _)))));
}

#[test]
fn who_begins_to_exit_last_decides_how_the_process_ends() {
    let fixture = Fixture::new();
    let init = fixture.process(None);
    let leader = fixture.process(Some(&init));
    let thread = fixture.thread(&leader).unwrap();
    assert_eq!(leader.thread_group().state.lock().active_tasks, 2);
    leader.begin_exit(ExitStatus::Exited(1), |_| ());
    assert_eq!(leader.thread_group().exiting(), None);
    fixture.exit(&thread, 2);
    assert_eq!(leader.thread_group().exiting(), Some(ExitStatus::Exited(2)));
    fixture.tasks().task_exited(&leader, ExitStatus::Exited(1));
    let ended = Some((Tid(2), ChildEvent::Ended(ExitStatus::Exited(2))));
    assert_eq!(fixture.wait(&init, WaitOptions::EXITED), Ok(ended));
}

#[test]
fn a_task_gets_a_cpu_of_those_that_it_may_run_on() {
    let fixture = Fixture::new();
    let init = fixture.process(None);
    for (allowed, expected) in [(0b1, 0), (0b10, 1), (1 << 63, 63)] {
        let mut config = fixture.config(Some(&init), fixture.new_group(fixture.tasks().root()));
        config.allowed_cpus = CpuSet(allowed);
        assert_eq!(fixture.new_task(config).unwrap().last_cpu(), expected);
    }
    let set = CpuSet(0b1011_0000);
    assert_eq!([0, 1, 2, 3].map(|index| set.nth(index)), [4, 5, 7, 4]);
    assert!(set.contains(7) && !set.contains(6) && !set.contains(64));
    assert_eq!(CpuSet(0).nth(3), 0);
}

#[test]
fn tasks_are_counted() {
    let fixture = Fixture::new();
    let init = fixture.process(None);
    let leader = fixture.process(Some(&init));
    let thread = fixture.thread(&leader).unwrap();
    let counts = || {
        let (tree, id) = (fixture.tasks().tree.read(), leader.thread_group().id());
        let node = &tree.groups[&id];
        (node.tasks.len(), node.live_tasks, leader.thread_group().state.lock().active_tasks)
    };
    assert_eq!(counts(), (2, 2, 2));
    leader.begin_exit(ExitStatus::Exited(0), |_| ());
    assert_eq!(counts(), (2, 2, 1), "one is on its way out");
    fixture.tasks().task_exited(&leader, ExitStatus::Exited(0));
    assert_eq!(counts(), (2, 1, 1), "a leader stays");
    fixture.exit(&thread, 0);
    assert_eq!(counts(), (1, 0, 0), "a zombie");
    assert_eq!(fixture.tasks().task_count(), 2);
    assert_eq!(fixture.tasks().created_count(), 3);
}

#[test]
fn a_task_that_had_exited_before_its_start_does_not_run() {
    let fixture = Fixture::new();
    fixture.platform().push_script(Box::new(|_, _| panic!("it runs")));
    let init = fixture.unstarted(None);
    fixture.exit(init.task(), 4);
    init.start().unwrap();
    fixture.tasks().wait_until_all_ended();
    assert_eq!(fixture.tasks().task_count(), 0);
}

#[test]
fn a_thread_whose_task_has_ended_runs_the_next() {
    let fixture = Fixture::new();
    let init = fixture.process(None);
    let (sender, receiver) = std::sync::mpsc::channel();
    for _ in 0..20 {
        let sender = sender.clone();
        fixture.platform().push_script(Box::new(move |_, registers| {
            let _ = sender.send(rustix::thread::gettid());
            registers.rax = linux_raw_sys::general::__NR_exit.into();
            crate::platform::Exit::Syscall
        }));
        fixture.unstarted(Some(&init)).start().unwrap();
        fixture.tasks().wait_until_all_ended();
        // The thread comes by a moment later.
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let threads: std::collections::BTreeSet<_> = receiver.try_iter().map(|id| id.as_raw_nonzero()).collect();
    assert!(threads.len() < 20, "{} threads for 20 tasks", threads.len());
}

#[test]
fn a_thread_that_executes_takes_the_leader_s_number() {
    let fixture = Fixture::new();
    let init = fixture.process(None);
    let leader = fixture.process(Some(&init));
    let thread = fixture.thread(&leader).unwrap();
    fixture.exit(&leader, 0);
    assert!(fixture.tasks().is_alone(&thread));
    fixture.tasks().become_leader(&thread);
    fixture.tasks().check();
    assert_eq!(thread.tid(), 2);
    assert!(fixture.tasks().task(fixture.tasks().root(), Tid(3)).is_none());
    fixture.exit(&thread, 0);
    assert!(matches!(fixture.wait(&init, WaitOptions::EXITED), Ok(Some((Tid(2), _)))));
}

#[test]
fn orphans_go_to_the_nearest_subreaper_else_to_init() {
    let fixture = Fixture::new();
    let init = fixture.process(None);
    let reaper = fixture.process(Some(&init));
    let parent = fixture.process(Some(&reaper));
    let (first, second) = (fixture.process(Some(&parent)), fixture.process(Some(&reaper)));
    fixture.tasks().set_child_subreaper(reaper.thread_group(), true);
    fixture.exit(&parent, 0);
    assert_eq!(fixture.tasks().parent_number(first.thread_group()), Tid(reaper.tid()));
    fixture.exit(&reaper, 0);
    assert_eq!(fixture.tasks().parent_number(first.thread_group()), Tid(1));
    assert_eq!(fixture.tasks().parent_number(second.thread_group()), Tid(1));
}

#[test]
fn the_death_of_a_namespace_s_init_closes_the_namespace() {
    let fixture = Fixture::new();
    let init = fixture.process(None);
    let inner = fixture.new_pid_namespace();
    let inner_init = fixture.process_in(Some(&init), &inner).unwrap();
    let member = fixture.process_in(Some(&inner_init), &inner).unwrap();
    fixture.exit(&inner_init, 0);
    assert!(member.thread_group().exiting().is_some(), "its processes are killed");
    assert_eq!(fixture.process_in(Some(&init), &inner).err(), Some(Errno::ENOMEM));
    assert_eq!(fixture.wait(&init, WaitOptions::EXITED), Ok(None), "it waits for them");
    fixture.exit(&member, 0);
    assert!(fixture.wait(&init, WaitOptions::EXITED | WaitOptions::NOWAIT).unwrap().is_some());
    while fixture.wait(&init, WaitOptions::EXITED).is_ok_and(|waited| waited.is_some()) {}
    assert_eq!(fixture.tasks().task_count(), 1);
}

#[test]
fn setsid_and_setpgid_follow_the_rules() {
    let fixture = Fixture::new();
    let init = fixture.process(None);
    let (a, b) = (fixture.process(Some(&init)), fixture.process(Some(&init)));
    let tasks = fixture.tasks();
    assert_eq!(tasks.set_process_group(&init, Tid(2), Tid(2)), Ok(()));
    assert_eq!(tasks.set_process_group(&init, Tid(3), Tid(2)), Ok(()));
    assert_eq!(tasks.set_process_group(&init, Tid(3), Tid(9)), Err(Errno::EPERM), "no such group");
    assert_eq!(tasks.set_process_group(&b, Tid(2), Tid(2)), Err(Errno::ESRCH), "not its child");
    assert_eq!(tasks.set_process_group(&init, Tid(0), Tid(0)), Err(Errno::EPERM), "a session leader");
    assert_eq!(tasks.set_session(&a), Err(Errno::EPERM), "a process group leader");
    assert_eq!(tasks.set_session(&b), Ok(Tid(3)));
    assert_eq!(tasks.set_process_group(&init, Tid(3), Tid(3)), Err(Errno::EPERM), "another session");
    tasks.check();
}

#[test]
fn a_task_that_is_dropped_before_its_start_has_never_been() {
    let fixture = Fixture::new();
    let (tasks, cgroups) = (fixture.tasks(), fixture.kernel.cgroups().clone());
    let mut config = fixture.config(None, fixture.new_group(tasks.root()));
    config.container_id = Some(b"web".as_slice().into());
    drop(tasks.new_task(config).unwrap());
    assert!(cgroups.child(cgroups.root(), b"web").is_err(), "nor has its container");
    let init = fixture.process(None);
    let charges =
        || (fixture.kernel.users().counters(KernelUid(1000)).processes(), cgroups.root().pids().current());
    let before = charges();
    let inner = fixture.new_pid_namespace();
    let namespaces = [tasks.root(), &inner];
    for group in namespaces.map(|namespace| fixture.new_group(namespace)).iter().chain([&init.group]) {
        let task = tasks.new_task(fixture.config(Some(&init), group.clone())).unwrap();
        let tid = Tid(task.task().root_tid());
        assert!(tasks.task(tasks.root(), tid).is_some());
        drop(task);
        tasks.check();
        assert!(tasks.task(tasks.root(), tid).is_none());
        assert_eq!((charges(), tasks.task_count()), (before, 1));
        assert_eq!(fixture.wait(&init, WaitOptions::EXITED), Err(Errno::ECHILD));
    }
    assert_eq!(init.thread_group().exiting(), None);
    assert!(fixture.process_in(Some(&init), &inner).is_ok(), "the namespace has had no init");
}

#[test]
fn who_waits_for_a_child_that_is_taken_back_looks_again() {
    let fixture = Fixture::new();
    let init = fixture.process(None);
    let waiter = Arc::<crate::wait::Waiter>::default();
    let child = fixture.unstarted(Some(&init));
    let _registration = init.thread_group().changes.register(crate::wait::Events::IN, waiter.clone());
    drop(child);
    assert!(waiter.sleep(Some(std::time::Instant::now())), "nobody has woken it");
}

#[test]
fn a_task_runs_to_its_end_and_its_parent_hears_of_it() {
    let fixture = Fixture::new();
    let init = fixture.process(None);
    fixture.unstarted(Some(&init)).start().unwrap();
    fixture.tasks().wait_until_all_ended();
    assert_eq!(
        fixture.wait(&init, WaitOptions::EXITED),
        Ok(Some((Tid(2), ChildEvent::Ended(ExitStatus::Exited(0)))))
    );
}

#[test]
fn a_creation_that_fails_at_any_step_leaves_no_charge() {
    let fixture = Fixture::new();
    let tasks = fixture.tasks();
    let cgroups = fixture.kernel.cgroups().clone();
    let owner = FileOwner { uid: KernelUid::ROOT, gid: KernelGid::ROOT, permissions: 0o755 };
    let outer = cgroups.create(cgroups.root(), b"outer", owner).unwrap();
    let inner = cgroups.create(&outer, b"inner", owner).unwrap();
    let init = fixture.process(None);
    cgroups.migrate(Moved::Process(init.member_key().process), &inner).unwrap();
    let charges = || {
        let pids = [cgroups.root(), &outer, &inner].map(|cgroup| cgroup.pids().current());
        (pids, fixture.kernel.users().counters(KernelUid(1000)).processes(), tasks.task_count())
    };
    let before = ([1, 1, 1], 1, 1);
    assert_eq!(charges(), before);
    for failure in Failure::ALL {
        fixture.fail(&init, failure, &outer);
        assert_eq!(charges(), before, "{failure:?}");
    }
    assert_eq!(outer.pids().refusals(), (1, 1));
    let child = fixture.process(Some(&init));
    assert_eq!(charges().0, [2, 2, 2], "a child is charged where its creator is");
    fixture.exit(&child, 0);
    assert_eq!(charges().0, [2, 2, 2], "a zombie is charged");
    fixture.wait(&init, WaitOptions::EXITED).unwrap();
    assert_eq!(charges(), before);
}

#[test]
fn a_child_may_begin_in_another_control_group() {
    let fixture = Fixture::new();
    let cgroups = fixture.kernel.cgroups().clone();
    let owner = FileOwner { uid: KernelUid::ROOT, gid: KernelGid::ROOT, permissions: 0o755 };
    let group = cgroups.create(cgroups.root(), b"group", owner).unwrap();
    let init = fixture.process(None);
    let mut config = fixture.config(Some(&init), fixture.new_group(fixture.tasks().root()));
    config.initial_cgroup = Some(group.clone());
    let child = fixture.new_task(config).unwrap();
    assert!(Arc::ptr_eq(&child.cgroup(), &group));
    assert_eq!(group.pids().current(), 1);
    let payer = child.memory().unwrap().payer().unwrap();
    assert!(payer.is(group.memory().unwrap()), "its memory is paid for there");
    assert_eq!(cgroups.remove(cgroups.root(), b"group"), Err(Errno::EBUSY));
    fixture.exit(&child, 0);
    assert_eq!(cgroups.remove(cgroups.root(), b"group"), Ok(()));
    assert!(Arc::ptr_eq(&child.cgroup(), &group), "a zombie remembers where it was");
}

#[test]
fn a_control_group_s_kill_ends_its_processes() {
    let fixture = Fixture::new();
    let cgroups = fixture.kernel.cgroups().clone();
    let init = fixture.process(None);
    let child = fixture.process(Some(&init));
    cgroups.kill(cgroups.root()).unwrap();
    assert!(init.thread_group().exiting().is_some() && child.thread_group().exiting().is_some());
}
