//! CPU numbers, and the right to run with one: the scheduler that rseq(2) rests on.
//!
//! What a restartable sequence is promised is that nobody else runs with its CPU number until it has committed or
//! has been aborted. Tasks are host threads, and the host preempts and migrates a thread in user code without the
//! sentry seeing it. So the numbers belong to the sentry: they are **virtual CPUs**, and a task that has registered an
//! rseq area enters user code only while it holds one of its address space's, which nobody else does then. When the
//! host takes its own CPU from a virtual one, all that has the number stands still: to user code that is stolen time, as in any virtual
//! machine, and no preemption. A preemption is that a task loses its number, which happens only
//! while the task is out of user code, so that the sequence can be aborted before the task goes on.
//!
//! A task keeps its number while system calls and faults are served, and gives it back when it sleeps. With no more
//! runnable tasks than CPUs, nobody ever waits, and an entry costs two atomic operations. Otherwise a waiting task
//! takes the number of who has had one for longest once that has had its slice: at once if the holder is out
//! of user code, else the holder is kicked out of it. Who has slept waits less than who has had a slice, and the less, the
//! less the holder itself has waited. A number is the host's own for the CPU where the task is, whenever that is free.
//!
//! Two things follow from the host's being free to run any of the threads, or none:
//!
//! - A holder that is kicked comes out once the host runs it. Another holder may keep it from that, so that after
//!   [`KICK_PATIENCE`] the next one is kicked, too.
//! - A task wakes another, then sleeps: that one may not have run on the host yet, still less claimed a number. So a number
//!   that is given back in sleep is kept for [`GRACE`] for those who wake, before those get it whom the clock
//!   has stopped; but not for long if nobody ever comes for it.
//!
//! Numbers are exclusive in one address space. Sequences of several processes on memory that these share
//! are not kept apart.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::platform::Interrupter;
use crate::wait::Waiter;

/// How long a task keeps its number against one that has lost its own to the clock.
pub const SLICE: Duration = Duration::from_millis(4);
/// How long it does against one that has slept, and has something new to do.
pub const SLICE_AGAINST_WOKEN: Duration = Duration::from_millis(1);
/// How long it does against the same at least, after a short wait.
const SHORT_SLICE: Duration = Duration::from_micros(150);
/// A holder's slice against those that have slept is the time that it has waited for, divided by this.
const WAIT_PER_SLICE: u32 = 16;
/// How long a kicked holder may take to come out before another is kicked.
const KICK_PATIENCE: Duration = Duration::from_micros(150);
/// How long a number is kept for who is just waking.
const GRACE: Duration = Duration::from_micros(100);
/// How often nobody may come before only every so manyth number is kept.
const CREDIT_MAX: u32 = 8;
const TRIALS: u32 = 16;

/// How much earlier a task that has slept seems to have come: it goes before those that the clock has stopped, but for those that
/// have waited for longer than this.
pub const HEAD_START: Duration = Duration::from_millis(20);

/// The entity holds no number.
const IDLE: u8 = 0;
/// The entity holds a number, and its task is out of user code: the number can be taken from it.
const HELD: u8 = 1;
/// The entity's task is in user code, or about to be, with the number that the entity holds.
const RUNNING: u8 = 2;

/// A number that an entity was given. Two grants differ even if the numbers are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Grant(u64);

impl Grant {
    fn new(count: u64, id: u32, cpu: u32) -> Self {
        Self(count << 16 | u64::from(id) << 8 | u64::from(cpu))
    }

    /// The CPU number.
    pub fn cpu(self) -> u32 {
        (self.0 & 0xff) as u32
    }

    /// The concurrency id: the lowest that no other holder in the address space has (`mm_cid`).
    pub fn concurrency_id(self) -> u32 {
        (self.0 >> 8 & 0xff) as u32
    }
}

/// A task's share in the numbers.
pub struct SchedEntity {
    status: AtomicU8,
    grant: AtomicU64,
    /// Somebody waits for the number, or the task may no longer have it.
    is_wanted: AtomicBool,
    waiter: Arc<Waiter>,
    interrupter: OnceLock<Arc<dyn Interrupter>>,
}

impl SchedEntity {
    /// The entity of a task that sleeps on `waiter`.
    pub fn new(waiter: Arc<Waiter>) -> Arc<Self> {
        Arc::new(Self {
            status: AtomicU8::new(IDLE),
            grant: AtomicU64::new(0),
            is_wanted: AtomicBool::new(false),
            waiter,
            interrupter: OnceLock::new(),
        })
    }

    /// Says how the task is kicked out of user code. The first answer counts.
    pub fn set_interrupter(&self, interrupter: Arc<dyn Interrupter>) {
        self.interrupter.get_or_init(|| interrupter);
    }

    /// Before user code: the number that the task has now and keeps until [`SchedEntity::leave`]. `None` if it has to claim one.
    pub fn enter(&self) -> Option<Grant> {
        if self.is_wanted.load(Ordering::Acquire) || !self.change(HELD, RUNNING) {
            return None;
        }
        Some(self.grant())
    }

    /// After user code.
    pub fn leave(&self) {
        self.change(RUNNING, HELD);
    }

    /// The number that the task had last.
    pub fn grant(&self) -> Grant {
        Grant(self.grant.load(Ordering::Acquire))
    }

    /// Has the task claim anew before user code goes on: what it may have has changed.
    pub fn recall(&self) {
        self.is_wanted.store(true, Ordering::Release);
        if let Some(interrupter) = self.interrupter.get() {
            interrupter.interrupt();
        }
    }

    fn is_holder(&self) -> bool {
        self.status.load(Ordering::Acquire) != IDLE
    }

    /// Takes the number from an entity whose task is out of user code.
    fn take(&self) -> bool {
        self.change(HELD, IDLE)
    }

    fn change(&self, from: u8, to: u8) -> bool {
        self.status.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// What a task wants.
#[derive(Clone, Copy, Debug)]
pub struct CpuRequest {
    /// CPUs that it may have, a bit each; at least one.
    pub allowed: u64,
    /// The one that it had rather than others.
    pub preferred: u32,
    /// How long it lets others have theirs.
    pub patience: Duration,
    /// How much earlier than it did it seems to have come.
    pub head_start: Duration,
}

impl CpuRequest {
    fn has_slept(&self) -> bool {
        !self.head_start.is_zero()
    }

    fn patience_with(&self, holder: &Place) -> Duration {
        if self.has_slept() { self.patience.min(holder.slice_against_woken) } else { self.patience }
    }
}

/// What came of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The entity has a number.
    Granted,
    /// Claim again when the entity's waiter is woken, or at this time.
    Wait(Option<Instant>),
}

/// A task's place among those who wait. It outlives an interrupted wait, and a number that is lost before it was of use: the
/// task drops it when it enters user code.
#[derive(Default)]
pub struct Ticket(Option<Turn>);

/// A place in the order: when the task came, and a number that no other has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    since: Instant,
    number: u64,
}

/// The CPU numbers of one address space.
#[derive(Default)]
pub struct VirtualCpus {
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    /// Who holds which number.
    places: Vec<Option<Place>>,
    /// Concurrency ids in use, a bit each.
    used_ids: u64,
    /// Who waits, in the order in which they came.
    waiting: BTreeMap<Turn, Waiting>,
    turns: u64,
    grants: u64,
    /// CPUs that anybody may ever have had, a bit each.
    known: u64,
    kept: Kept,
}

/// The numbers that are kept for who is just waking, and whether that is of use.
struct Kept {
    /// A bit each.
    cpus: u64,
    until: Instant,
    credit: u32,
    releases: u32,
}

impl Default for Kept {
    fn default() -> Self {
        Self { cpus: 0, until: Instant::now(), credit: CREDIT_MAX, releases: 0 }
    }
}

struct Place {
    entity: Arc<SchedEntity>,
    /// When its slice began.
    since: Instant,
    /// How long it has the number against those that have slept.
    slice_against_woken: Duration,
    id: u32,
}

struct Waiting {
    entity: Arc<SchedEntity>,
    request: CpuRequest,
    /// It watches the slice of a holder: it is the first of those who wait for some CPU.
    is_watching: bool,
}

impl Waiting {
    /// Whether it can let those go first who are just waking: it has not slept itself, nor waited for long.
    fn has_time(&self, turn: &Turn, now: Instant) -> bool {
        !self.request.has_slept() && now.saturating_duration_since(turn.since) < HEAD_START
    }
}

impl VirtualCpus {
    /// Gives `entity` a number if one can be had. Only the entity's own task claims.
    pub fn claim(&self, entity: &Arc<SchedEntity>, request: CpuRequest, ticket: &mut Ticket) -> Claim {
        let now = Instant::now();
        let mut queue = self.queue.lock();
        queue.known |= request.allowed;
        if entity.is_wanted.swap(false, Ordering::AcqRel) {
            queue.take_back(entity, now);
        }
        if !entity.is_holder() {
            let turn = *ticket.0.get_or_insert_with(|| queue.next_turn(now, request.head_start));
            queue.waiting.insert(turn, Waiting { entity: entity.clone(), request, is_watching: false });
            queue.grant_free(now);
            while !entity.is_holder() {
                if let Some(wait) = queue.watch(turn, now) {
                    return Claim::Wait(wait.deadline);
                }
            }
        }
        Claim::Granted
    }

    /// Gives up a claim for now. The ticket keeps the place in the order.
    pub fn withdraw(&self, ticket: &Ticket) {
        let mut queue = self.queue.lock();
        if let Some(turn) = ticket.0
            && queue.waiting.remove(&turn).is_some()
        {
            queue.wake_watchers();
        }
    }

    /// Gives the entity's number back: the task sleeps, or wants none any more. Only the entity's own task does this, out of user code.
    pub fn release(&self, entity: &SchedEntity) {
        if entity.is_holder() {
            let now = Instant::now();
            let mut queue = self.queue.lock();
            let cpu = entity.grant().cpu();
            if entity.take() {
                queue.vacate(cpu);
                queue.keep(cpu, now);
                queue.grant_free(now);
            }
        }
    }

    /// Lets others have the entity's number, because the task cannot use it yet. Only the entity's own task does this, out of user
    /// code.
    pub fn pass_on(&self, entity: &SchedEntity) {
        self.queue.lock().take_back(entity, Instant::now());
    }

    /// Exchanges the entity's number for `cpu` if that is free. Only the entity's own task does this, out of user code.
    pub fn move_to(&self, entity: &Arc<SchedEntity>, cpu: u32) {
        let now = Instant::now();
        let mut queue = self.queue.lock();
        if queue.is_free(cpu) && entity.take() {
            queue.vacate(entity.grant().cpu());
            queue.grant(entity, cpu, now, Duration::ZERO);
            queue.grant_free(now);
        }
    }

    /// Has every task but the entity's own claim anew before its user code goes on, and returns those that were in user code
    /// (`man 2 membarrier`, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ). With `cpu`, only the one with that number.
    pub fn recall_others(&self, entity: &SchedEntity, cpu: Option<u32>) -> Vec<Recalled> {
        let now = Instant::now();
        let mut queue = self.queue.lock();
        let holders: Vec<_> = queue
            .places
            .iter()
            .flatten()
            .map(|place| place.entity.clone())
            .filter(|other| !std::ptr::eq(&**other, entity))
            .filter(|other| cpu.is_none_or(|cpu| other.grant().cpu() == cpu))
            .collect();
        let mut recalled = Vec::new();
        for other in holders {
            let grant = other.grant();
            if !queue.take_back(&other, now) {
                other.recall();
                recalled.push(Recalled { entity: other, grant });
            }
        }
        recalled
    }

    #[cfg(test)]
    fn holders(&self) -> Vec<u32> {
        let queue = self.queue.lock();
        (0..queue.places.len() as u32).filter(|cpu| !queue.is_free(*cpu)).collect()
    }
}

/// A task that was in user code when it was recalled.
pub struct Recalled {
    entity: Arc<SchedEntity>,
    grant: Grant,
}

impl Recalled {
    /// Whether it has come out since.
    pub fn is_out(&self) -> bool {
        self.entity.grant() != self.grant || self.entity.status.load(Ordering::Acquire) != RUNNING
    }
}

/// A claim has to wait.
struct Wait {
    deadline: Option<Instant>,
}

impl Queue {
    fn next_turn(&mut self, now: Instant, head_start: Duration) -> Turn {
        self.turns += 1;
        Turn { since: now.checked_sub(head_start).unwrap_or(now), number: self.turns }
    }

    fn is_free(&self, cpu: u32) -> bool {
        self.places.get(cpu as usize).is_none_or(Option::is_none)
    }

    /// CPUs without a holder, a bit each.
    fn free(&self) -> u64 {
        let held = self.places.iter().enumerate().filter(|(_, place)| place.is_some());
        self.known & !held.fold(0, |held, (cpu, _)| held | 1 << cpu)
    }

    fn grant(&mut self, entity: &Arc<SchedEntity>, cpu: u32, now: Instant, waited: Duration) {
        let id = self.used_ids.trailing_ones();
        self.used_ids |= 1 << id;
        if self.places.len() <= cpu as usize {
            self.places.resize_with(cpu as usize + 1, || None);
        }
        self.places[cpu as usize] = Some(Place {
            entity: entity.clone(),
            since: now,
            slice_against_woken: (waited / WAIT_PER_SLICE).clamp(SHORT_SLICE, SLICE_AGAINST_WOKEN),
            id,
        });
        self.kept.cpus &= !(1 << cpu);
        self.grants += 1;
        entity.grant.store(Grant::new(self.grants, id, cpu).0, Ordering::Release);
        entity.status.store(HELD, Ordering::Release);
    }

    fn vacate(&mut self, cpu: u32) {
        if let Some(place) = self.places.get_mut(cpu as usize).and_then(Option::take) {
            self.used_ids &= !(1 << place.id);
        }
    }

    /// Takes the number from an entity that is out of user code, for who waits for one. Returns whether it was.
    fn take_back(&mut self, entity: &SchedEntity, now: Instant) -> bool {
        let is_taken = entity.take();
        if is_taken {
            self.vacate(entity.grant().cpu());
            self.grant_free(now);
        }
        is_taken
    }

    /// Keeps a free number for who is just waking, if it would go to somebody else and it is likely that somebody comes.
    fn keep(&mut self, cpu: u32, now: Instant) {
        let first = self.waiting.iter_mut().find(|(_, waiting)| waiting.request.allowed >> cpu & 1 == 1);
        let Some((_, first)) = first.filter(|(turn, first)| first.has_time(turn, now)) else { return };
        self.kept.releases = self.kept.releases.wrapping_add(1);
        if self.kept.credit == 0 && !self.kept.releases.is_multiple_of(TRIALS) {
            return;
        }
        // It looks again when that is over.
        first.is_watching = true;
        first.entity.waiter.wake();
        self.end_keeping(now);
        self.kept.cpus |= 1 << cpu;
        self.kept.until = now + GRACE;
    }

    /// Lets go of what has been kept for long enough.
    fn end_keeping(&mut self, now: Instant) {
        if self.kept.cpus != 0 && now >= self.kept.until {
            self.kept.cpus = 0;
            self.kept.credit = self.kept.credit.saturating_sub(1);
        }
    }

    /// Gives free numbers to those who wait, first come, first served.
    fn grant_free(&mut self, now: Instant) {
        self.end_keeping(now);
        let mut free = self.free();
        let mut granted = Vec::new();
        for (turn, waiting) in &self.waiting {
            if free == 0 {
                break;
            }
            let kept = if waiting.has_time(turn, now) { self.kept.cpus } else { 0 };
            let candidates = waiting.request.allowed & free & !kept;
            if candidates != 0 {
                let is_preferred = candidates >> waiting.request.preferred & 1 == 1;
                let cpu = if is_preferred { waiting.request.preferred } else { candidates.trailing_zeros() };
                free &= !(1 << cpu);
                granted.push((*turn, cpu));
            }
        }
        for (turn, cpu) in &granted {
            if let Some(waiting) = self.waiting.remove(turn) {
                if self.kept.cpus >> cpu & 1 == 1 {
                    self.kept.credit = CREDIT_MAX;
                }
                let came = turn.since + waiting.request.head_start;
                self.grant(&waiting.entity, *cpu, now, now.saturating_duration_since(came));
                waiting.entity.waiter.wake();
            }
        }
        if !granted.is_empty() {
            self.wake_watchers();
        }
    }

    /// Has the first of those who wait for each CPU watch it.
    fn wake_watchers(&mut self) {
        let mut covered = 0;
        for waiting in self.waiting.values_mut() {
            if covered == self.known {
                break;
            }
            let is_first = waiting.request.allowed & !covered != 0;
            covered |= waiting.request.allowed;
            if is_first && !waiting.is_watching {
                waiting.is_watching = true;
                waiting.entity.waiter.wake();
            }
        }
    }

    /// Looks after the holders for whose numbers `turn` is the first to wait: takes the number of one that has had its slice,
    /// and then returns `None`.
    fn watch(&mut self, turn: Turn, now: Instant) -> Option<Wait> {
        let request = self.waiting.get(&turn)?.request;
        let watched = self.watched_by(turn);
        let kept_until = (watched & self.kept.cpus != 0).then_some(self.kept.until);
        let wait_until =
            |due: Instant| Wait { deadline: Some(kept_until.map_or(due, |until| due.min(until))) };
        let places = self.places.iter_mut().enumerate().filter(|(cpu, _)| watched >> cpu & 1 == 1);
        let due_of = |place: &Place| place.since + request.patience_with(place);
        let Some(place) = places.filter_map(|(_, place)| place.as_mut()).min_by_key(|place| due_of(place))
        else {
            return Some(Wait { deadline: kept_until });
        };
        let due = due_of(place);
        if now < due {
            return Some(wait_until(due));
        }
        let entity = place.entity.clone();
        // Should it not come out in time, it is asked again; others are, before.
        place.since = now;
        if self.take_back(&entity, now) {
            return None;
        }
        entity.recall();
        Some(wait_until(now + request.patience.min(KICK_PATIENCE)))
    }

    /// CPUs for which `turn` is the first to wait, a bit each.
    fn watched_by(&mut self, turn: Turn) -> u64 {
        let Some(mut watched) = self.waiting.get(&turn).map(|waiting| waiting.request.allowed) else {
            return 0;
        };
        for earlier in self.waiting.range(..turn).map(|(_, waiting)| waiting.request.allowed) {
            watched &= !earlier;
            if watched == 0 {
                break;
            }
        }
        if let Some(waiting) = self.waiting.get_mut(&turn) {
            waiting.is_watching = watched != 0;
        }
        watched
    }
}

#[cfg(test)]
mod tests;
