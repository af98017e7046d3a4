//! A model test: random lives of tasks, run against a reference that is too simple to be wrong.
//!
//! The reference keeps processes in a list and looks everything up by searching it. After each step both must agree
//! on every number, parent, process group and session, on the charges and the counts of threads, and the tree's own
//! invariants must hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use super::host_threads::HostThread;
use super::tests::{Failure, Fixture};
use super::{ChildEvent, CpuSet, ExitStatus, PidNamespace, Task, TaskId, Tid, WaitOptions};
use crate::Errno;
use crate::cgroup::{Cgroup, FileOwner, Moved};
use crate::cred::{KernelGid, KernelUid};

/// One step. Indices choose among what there is, modulo its number.
#[derive(Clone, Debug)]
enum Step {
    Fork {
        parent: usize,
    },
    ForkIntoNamespace {
        parent: usize,
    },
    /// CLONE_PARENT.
    ForkSibling {
        creator: usize,
    },
    Fail {
        parent: usize,
        failure: usize,
    },
    /// A thread executes a program: it becomes its process.
    Execute {
        process: usize,
        thread: usize,
    },
    Thread {
        process: usize,
    },
    /// A thread begins to run, or the one that runs goes to rest, or one that rests goes on.
    Run {
        process: usize,
        thread: usize,
    },
    ExitThread {
        process: usize,
        thread: usize,
    },
    Exit {
        process: usize,
    },
    Reap {
        parent: usize,
    },
    SetProcessGroup {
        caller: usize,
        target: usize,
        group: usize,
    },
    SetSession {
        caller: usize,
    },
    SetSubreaper {
        process: usize,
        is_subreaper: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let index = || 0..64usize;
    prop_oneof![
        4 => index().prop_map(|parent| Step::Fork { parent }),
        1 => index().prop_map(|parent| Step::ForkIntoNamespace { parent }),
        1 => index().prop_map(|creator| Step::ForkSibling { creator }),
        2 => (index(), index()).prop_map(|(parent, failure)| Step::Fail { parent, failure }),
        1 => (index(), index()).prop_map(|(process, thread)| Step::Execute { process, thread }),
        2 => index().prop_map(|process| Step::Thread { process }),
        3 => (index(), index()).prop_map(|(process, thread)| Step::Run { process, thread }),
        2 => (index(), index()).prop_map(|(process, thread)| Step::ExitThread { process, thread }),
        3 => index().prop_map(|process| Step::Exit { process }),
        3 => index().prop_map(|parent| Step::Reap { parent }),
        2 => (index(), index(), index())
            .prop_map(|(caller, target, group)| Step::SetProcessGroup { caller, target, group }),
        1 => index().prop_map(|caller| Step::SetSession { caller }),
        1 => (index(), any::<bool>())
            .prop_map(|(process, is_subreaper)| Step::SetSubreaper { process, is_subreaper }),
    ]
}

/// A process of the reference. Processes are known by their place in the list, which never changes.
struct Process {
    namespace: usize,
    /// In the root namespace.
    number: i32,
    parent: Option<usize>,
    /// The process that the process group, and the session, are named after.
    process_group: usize,
    session: usize,
    is_subreaper: bool,
    has_executed: bool,
    /// Living threads; the first task that was made is the leader.
    living: Vec<Arc<Task>>,
    leader: Arc<Task>,
    is_zombie: bool,
    is_reaped: bool,
}

struct Model {
    fixture: Fixture,
    /// Where all processes are.
    cgroup: Arc<Cgroup>,
    namespaces: Vec<Arc<PidNamespace>>,
    processes: Vec<Process>,
    last_number: i32,
    /// The host thread that all tasks are said to run on.
    thread: HostThread,
    /// The living tasks that have been started, and whether they run.
    started: BTreeMap<TaskId, bool>,
}

impl Model {
    fn new() -> Self {
        let fixture = Fixture::new();
        let root = fixture.tasks().root().clone();
        let cgroups = fixture.kernel().cgroups().clone();
        let owner = FileOwner { uid: KernelUid::ROOT, gid: KernelGid::ROOT, permissions: 0o755 };
        let cgroup = cgroups.create(cgroups.root(), b"model", owner).expect("a group");
        let mut model = Self {
            fixture,
            cgroup,
            namespaces: vec![root],
            processes: Vec::new(),
            last_number: 0,
            thread: HostThread { confined_to: Some(CpuSet::first(2)), ..HostThread::current() },
            started: BTreeMap::new(),
        };
        model.fork(None, 0);
        let init = model.processes[0].leader.member_key().process;
        cgroups.migrate(Moved::Process(init), &model.cgroup).expect("room");
        model
    }

    /// The chosen one of the processes for which `is_wanted` holds.
    fn choose(&self, index: usize, is_wanted: impl Fn(&Process) -> bool) -> Option<usize> {
        let wanted: Vec<usize> =
            (0..self.processes.len()).filter(|place| is_wanted(&self.processes[*place])).collect();
        (!wanted.is_empty()).then(|| wanted[index % wanted.len()])
    }

    fn alive(&self, index: usize) -> Option<usize> {
        self.choose(index, |process| !process.living.is_empty())
    }

    /// Numbers of the root namespace that somebody has.
    fn numbers_in_use(&self) -> BTreeSet<i32> {
        let mut numbers = BTreeSet::new();
        for process in self.processes.iter().filter(|process| !process.is_reaped) {
            let group = &self.processes[process.process_group];
            let session = &self.processes[process.session];
            numbers.extend([process.number, group.number, session.number]);
            numbers.extend(process.living.iter().map(|task| task.root_tid()));
        }
        numbers
    }

    fn next_number(&mut self) -> i32 {
        let in_use = self.numbers_in_use();
        let next = (self.last_number + 1..).find(|number| !in_use.contains(number));
        self.last_number = next.expect("the model stays far below the limit");
        self.last_number
    }

    fn fork(&mut self, parent: Option<usize>, namespace: usize) {
        let parent_task = parent.map(|parent| self.processes[parent].living[0].clone());
        let task =
            self.fixture.process_in(parent_task.as_ref(), &self.namespaces[namespace]).expect("a fork");
        self.add(task, parent, parent, namespace);
    }

    fn fork_sibling(&mut self, creator: usize) {
        // The first process has no parent to share; clone refuses.
        let has_parent = |process: &Process| !process.living.is_empty() && process.parent.is_some();
        let Some(creator) = self.choose(creator, has_parent) else { return };
        let (namespace, parent) = (self.processes[creator].namespace, self.processes[creator].parent);
        if self.init_of(namespace) == creator {
            return;
        }
        let creator_task = self.processes[creator].living[0].clone();
        let group = self.fixture.new_group(&self.namespaces[namespace]);
        let mut config = self.fixture.config(Some(&creator_task), group);
        config.inherit_parent = Some(creator_task);
        let task = self.fixture.new_task(config).expect("a fork");
        self.add(task, Some(creator), parent, namespace);
    }

    /// Records a new process.
    fn add(&mut self, task: Arc<Task>, creator: Option<usize>, parent: Option<usize>, namespace: usize) {
        let number = self.next_number();
        let place = self.processes.len();
        let inherited = creator.map(|creator| &self.processes[creator]);
        self.processes.push(Process {
            namespace,
            number,
            parent,
            process_group: inherited.map_or(place, |parent| parent.process_group),
            session: inherited.map_or(place, |parent| parent.session),
            is_subreaper: false,
            has_executed: false,
            living: vec![task.clone()],
            leader: task,
            is_zombie: false,
            is_reaped: false,
        });
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Fork { parent } => {
                let Some(parent) = self.alive(parent) else { return };
                self.fork(Some(parent), self.processes[parent].namespace);
            }
            Step::ForkIntoNamespace { parent } => {
                let Some(parent) =
                    self.choose(parent, |process| !process.living.is_empty() && process.namespace == 0)
                else {
                    return;
                };
                let namespace = self.fixture.new_pid_namespace();
                self.namespaces.push(namespace);
                self.fork(Some(parent), self.namespaces.len() - 1);
            }
            Step::ForkSibling { creator } => self.fork_sibling(creator),
            Step::Fail { parent, failure } => self.fail(parent, failure),
            Step::Execute { process, thread } => self.execute(process, thread),
            Step::Thread { process } => {
                let Some(process) = self.alive(process) else { return };
                self.next_number();
                let thread = self.fixture.thread(&self.processes[process].living[0]).expect("a thread");
                self.processes[process].living.push(thread);
            }
            Step::Run { process, thread } => {
                let Some(process) = self.alive(process) else { return };
                let thread = thread % self.processes[process].living.len();
                self.run_thread(process, thread);
            }
            Step::ExitThread { process, thread } => {
                // Init's last thread stays.
                let Some(process) = self.choose(process, |process| process.living.len() > 1) else { return };
                let thread = thread % self.processes[process].living.len();
                self.exit_thread(process, thread);
            }
            Step::Exit { process } => {
                let Some(process) =
                    self.choose(process, |process| process.number != 1 && !process.living.is_empty())
                else {
                    return;
                };
                self.exit(process);
            }
            Step::Reap { parent } => self.reap(parent),
            Step::SetProcessGroup { caller, target, group } => self.set_process_group(caller, target, group),
            Step::SetSession { caller } => self.set_session(caller),
            Step::SetSubreaper { process, is_subreaper } => {
                let Some(process) = self.alive(process) else { return };
                self.processes[process].is_subreaper = is_subreaper;
                let group = self.processes[process].leader.thread_group();
                self.fixture.tasks().set_child_subreaper(group, is_subreaper);
            }
        }
    }

    fn run_thread(&mut self, process: usize, thread: usize) {
        let task = &self.processes[process].living[thread];
        match self.started.get(&task.id()) {
            None => {
                task.count_start();
                task.begin_activity(&self.thread);
            }
            Some(true) => task.become_inactive(),
            Some(false) => task.become_active(),
        }
        let is_running = self.started.entry(task.id()).or_default();
        *is_running = !*is_running;
    }

    /// The task ends, and its thread if it has one.
    fn end_task(&mut self, task: &Arc<Task>) {
        let is_running = self.started.remove(&task.id());
        if is_running == Some(false) {
            task.become_active();
        }
        self.fixture.exit(task, 0);
        if is_running.is_some() {
            task.end_activity(&mut self.thread);
            task.count_end();
        }
    }

    fn fail(&mut self, parent: usize, failure: usize) {
        let Some(parent) = self.alive(parent) else { return };
        let parent_task = self.processes[parent].living[0].clone();
        let failure = Failure::ALL[failure % Failure::ALL.len()];
        self.fixture.fail(&parent_task, failure, &self.cgroup);
        if failure == Failure::Context {
            // Given and given back: the next number is another.
            self.next_number();
        }
    }

    fn execute(&mut self, process: usize, thread: usize) {
        let Some(process) = self.alive(process) else { return };
        let thread = thread % self.processes[process].living.len();
        let task = self.processes[process].living.remove(thread);
        for other in std::mem::take(&mut self.processes[process].living) {
            self.end_task(&other);
        }
        self.fixture.tasks().become_leader(&task);
        self.processes[process].living = vec![task.clone()];
        self.processes[process].leader = task;
        self.processes[process].has_executed = true;
    }

    fn exit_thread(&mut self, process: usize, thread: usize) {
        let task = self.processes[process].living.remove(thread);
        self.end_task(&task);
        if self.processes[process].living.is_empty() {
            self.end_process(process);
        }
    }

    fn exit(&mut self, process: usize) {
        while !self.processes[process].living.is_empty() {
            self.exit_thread(process, 0);
        }
    }

    fn end_process(&mut self, process: usize) {
        self.processes[process].is_zombie = true;
        let namespace = self.processes[process].namespace;
        let is_init = self.init_of(namespace) == process;
        let reaper = self.reaper_of(process);
        for child in 0..self.processes.len() {
            if self.processes[child].parent == Some(process) && !self.processes[child].is_reaped {
                self.processes[child].parent = reaper;
                // A zombie that nobody can wait for goes at once.
                self.processes[child].is_reaped |= reaper.is_none() && self.processes[child].is_zombie;
            }
        }
        if is_init {
            for member in 0..self.processes.len() {
                if self.processes[member].namespace == namespace {
                    assert!(
                        self.processes[member]
                            .living
                            .iter()
                            .all(|task| task.thread_group().exiting().is_some()),
                        "the namespace dies with its init"
                    );
                    self.exit(member);
                }
            }
        }
        // Its parent may have gone in the meantime.
        self.processes[process].is_reaped |= self.processes[process].parent.is_none();
    }

    fn init_of(&self, namespace: usize) -> usize {
        (0..self.processes.len())
            .find(|place| self.processes[*place].namespace == namespace)
            .expect("a namespace begins with its init")
    }

    fn reaper_of(&self, process: usize) -> Option<usize> {
        let namespace = self.processes[process].namespace;
        let is_candidate = |place: usize| {
            self.processes[place].namespace == namespace && !self.processes[place].living.is_empty()
        };
        let ancestors =
            std::iter::successors(self.processes[process].parent, |place| self.processes[*place].parent)
                .take_while(|place| self.processes[*place].namespace == namespace);
        let subreaper =
            ancestors.into_iter().find(|place| self.processes[*place].is_subreaper && is_candidate(*place));
        subreaper
            .or_else(|| Some(self.init_of(namespace)).filter(|init| *init != process && is_candidate(*init)))
    }

    fn reap(&mut self, parent: usize) {
        let Some(parent) = self.alive(parent) else { return };
        let is_child = |process: &Process| process.parent == Some(parent) && !process.is_reaped;
        let has_child = self.processes.iter().any(is_child);
        let zombies: Vec<usize> = (0..self.processes.len())
            .filter(|place| is_child(&self.processes[*place]) && self.processes[*place].is_zombie)
            .collect();
        match self.fixture.wait(&self.processes[parent].living[0], WaitOptions::EXITED) {
            Err(error) => assert_eq!((error, has_child), (Errno::ECHILD, false)),
            Ok(None) => assert!(has_child && zombies.is_empty()),
            Ok(Some((tid, event))) => {
                assert_eq!(event, ChildEvent::Ended(ExitStatus::Exited(0)));
                let own = &self.namespaces[self.processes[parent].namespace];
                let reaped = zombies.into_iter().find(|place| {
                    let zombie = &self.processes[*place];
                    own.level() == 0 && zombie.number == tid.0
                        || own.level() > 0 && zombie.leader.tid() == tid.0
                });
                self.processes[reaped.expect("a zombie child")].is_reaped = true;
            }
        }
    }

    fn set_process_group(&mut self, caller: usize, target: usize, group: usize) {
        let in_root = |process: &Process| process.namespace == 0 && !process.living.is_empty();
        let (Some(caller), Some(target), Some(group)) =
            (self.choose(caller, in_root), self.choose(target, in_root), self.choose(group, in_root))
        else {
            return;
        };
        let (caller_process, target_process) = (&self.processes[caller], &self.processes[target]);
        let group_number = self.processes[group].number;
        let is_own_child = target == caller || target_process.parent == Some(caller);
        let members_session = self
            .processes
            .iter()
            .find(|process| !process.is_reaped && process.process_group == group)
            .map(|process| process.session);
        let expected = if !is_own_child {
            Err(Errno::ESRCH)
        } else if target_process.session != caller_process.session {
            Err(Errno::EPERM)
        } else if target != caller && target_process.has_executed {
            Err(Errno::EACCES)
        } else if target_process.session == target {
            Err(Errno::EPERM)
        } else {
            match members_session {
                Some(session) if session == target_process.session => Ok(()),
                None if group == target => Ok(()),
                _ => Err(Errno::EPERM),
            }
        };
        let caller_task = caller_process.living[0].clone();
        let target_number = Tid(target_process.number);
        let result = self.fixture.tasks().set_process_group(&caller_task, target_number, Tid(group_number));
        assert_eq!(result, expected);
        if expected.is_ok() {
            self.processes[target].process_group = group;
        }
    }

    fn set_session(&mut self, caller: usize) {
        let Some(caller) = self.alive(caller) else { return };
        let has_members =
            self.processes.iter().any(|process| !process.is_reaped && process.process_group == caller);
        let result = self.fixture.tasks().set_session(&self.processes[caller].living[0].clone());
        assert_eq!(result.is_ok(), !has_members);
        if result.is_ok() {
            self.processes[caller].process_group = caller;
            self.processes[caller].session = caller;
        }
    }

    /// Both agree on everything.
    fn check(&self) {
        let tasks = self.fixture.tasks();
        tasks.check();
        let root = tasks.root();
        let mut living = 0;
        for process in self.processes.iter().filter(|process| !process.is_reaped) {
            let group = process.leader.thread_group();
            assert_eq!(tasks.group_number(group, root), Tid(process.number));
            let (process_group, session) = tasks.process_group_and_session(group, root);
            assert_eq!(process_group, Tid(self.processes[process.process_group].number));
            assert_eq!(session, Tid(self.processes[process.session].number));
            let parent = process.parent.map_or(0, |parent| self.processes[parent].number);
            assert_eq!(tasks.parent_number_in(group, root), Tid(parent));
            let started = || process.living.iter().filter_map(|task| self.started.get(&task.id()));
            assert_eq!(group.threads.live(), started().count(), "living threads of a process");
            assert_eq!(group.threads.running(), started().filter(|is_running| **is_running).count());
            // A leader that exits first stays until its process is reaped.
            let leader_lives = process.living.iter().any(|task| Arc::ptr_eq(task, &process.leader));
            living += process.living.len() + usize::from(!leader_lives);
        }
        assert_eq!(tasks.task_count(), living);
        assert_eq!(tasks.threads.live(), self.started.len(), "living threads");
        let running = self.started.values().filter(|is_running| **is_running).count();
        assert_eq!(tasks.running_count(), (running, living), "running threads");
        assert_eq!(
            self.fixture.kernel().users().counters(KernelUid(1000)).processes(),
            living as u64,
            "charges"
        );
        assert_eq!(self.cgroup.pids().current(), living as u64, "charges of the control group");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn tasks_live_as_the_reference_says(steps in prop::collection::vec(step(), 1..40)) {
        let mut model = Model::new();
        for step in &steps {
            model.run(step);
            model.check();
        }
    }
}
