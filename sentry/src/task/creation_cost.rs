//! What a task costs from its creation until it is reaped, on the fake platform: a benchmark, which `scripts/bench` runs in the
//! release profile.
//!
//! The first figure is the sentry's own work: the task runs on the thread that made it. In the second, host threads run the
//! tasks, so that it holds what the host takes to wake one.

use std::sync::Arc;
use std::time::Instant;

use super::host_threads::HostThread;
use super::tests::Fixture;
use super::{Task, UnstartedTask, WaitOptions, WaitSelector};
use crate::cred::Credentials;
use crate::loader::ProgramHost;
use crate::memory::MemoryManager;

const ROUNDS: u32 = 5;
const TASKS_A_ROUND: u32 = 2_000;
/// How many wait for their threads to end at a time.
const BATCH: u32 = 50;

/// A kernel with tasks that live on, and one that makes others.
struct Bench {
    fixture: Fixture,
    memory: Arc<MemoryManager>,
    creator: Arc<Task>,
    _alive: Vec<Arc<Task>>,
}

impl Bench {
    fn with_tasks(count: usize) -> Self {
        let fixture = Fixture::new();
        let memory = fixture.kernel().new_memory(None).unwrap();
        let new = |parent: Option<&Arc<Task>>| new_task(&fixture, &memory, parent).into_parts().0;
        let init = new(None);
        let creator = new(Some(&init));
        let alive = (2..count).map(|_| new(Some(&init))).chain([init.clone()]).collect();
        Self { memory, creator, _alive: alive, fixture }
    }

    fn new_task(&self) -> UnstartedTask {
        new_task(&self.fixture, &self.memory, Some(&self.creator))
    }

    fn reap(&self, task: &Task) {
        let selector = WaitSelector::Group(task.thread_group().id());
        let reaped = self.fixture.tasks().find_child(&self.creator, selector, WaitOptions::EXITED);
        assert!(matches!(reaped, Ok(Some(_))), "{reaped:?}");
    }

    /// Microseconds a task, all on this thread.
    fn own_work(&self) -> f64 {
        let mut thread = HostThread::current();
        let begun = Instant::now();
        for _ in 0..TASKS_A_ROUND {
            let (task, mut current) = self.new_task().into_parts();
            task.count_start();
            current.run(&mut thread, &crate::syscall::Table);
            drop(current);
            task.count_end();
            self.reap(&task);
        }
        begun.elapsed().as_secs_f64() * 1e6 / f64::from(TASKS_A_ROUND)
    }

    /// Microseconds a task, each on a host thread.
    fn with_host_threads(&self) -> f64 {
        let begun = Instant::now();
        for _ in 0..TASKS_A_ROUND / BATCH {
            let tasks: Vec<_> = (0..BATCH).map(|_| self.new_task()).collect();
            let tasks: Vec<_> = tasks.into_iter().map(|task| task.start().unwrap()).collect();
            self.fixture.tasks().wait_until_all_ended();
            tasks.iter().for_each(|task| self.reap(task));
        }
        begun.elapsed().as_secs_f64() * 1e6 / f64::from(TASKS_A_ROUND)
    }
}

fn new_task(fixture: &Fixture, memory: &Arc<MemoryManager>, parent: Option<&Arc<Task>>) -> UnstartedTask {
    let mut config =
        fixture.config_with_memory(parent, fixture.new_group(fixture.tasks().root()), memory.clone());
    config.credentials = Arc::new(Credentials::test_root());
    fixture.tasks().new_task(config).unwrap()
}

/// The least of some rounds: what disturbs them only adds.
fn least(measure: impl Fn() -> f64) -> f64 {
    (0..ROUNDS).map(|_| measure()).fold(f64::INFINITY, f64::min)
}

#[test]
#[ignore = "a benchmark"]
fn creation_costs_the_same_however_many_tasks_there_are() {
    for count in [10, 1_000, 50_000] {
        let bench = Bench::with_tasks(count);
        let (own, with_threads) = (least(|| bench.own_work()), least(|| bench.with_host_threads()));
        println!("creation {count} {own:.3} {with_threads:.3}");
    }
}
