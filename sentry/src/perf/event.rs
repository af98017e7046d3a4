//! Events, and the groups that they are in.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::{Counted, Counts, Kind, Totals};
use crate::Errno;
use crate::heap::HeapCharge;

/// What an event takes, and what watching one more task does.
const EVENT_BYTES: usize = 512;
const WATCH_BYTES: usize = 192;

bitflags::bitflags! {
    /// The bits of `struct perf_event_attr` that say what becomes of an event.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Switches: u64 {
        const DISABLED = 1 << 0;
        const INHERIT = 1 << 1;
        const PINNED = 1 << 2;
        const EXCLUSIVE = 1 << 3;
        const ENABLE_ON_EXEC = 1 << 12;
        const INHERIT_THREAD = 1 << 35;
        const REMOVE_ON_EXEC = 1 << 36;
    }
}

/// Whom an event watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The task's number in its kernel; `None` for everybody on a processor.
    pub(crate) task: Option<u64>,
    /// The processor, if it is one alone.
    pub(crate) cpu: Option<u32>,
}

/// One counter. Dropping it takes it out of its group.
pub(crate) struct Event {
    id: u64,
    group: Arc<Group>,
    place: Place,
    switches: Switches,
}

/// Events that count together, by their numbers.
#[derive(Default)]
struct Group {
    members: Mutex<BTreeMap<u64, Member>>,
}

struct Member {
    /// Its own number if it leads.
    leader: u64,
    kind: Kind,
    /// By the number of the task; 0 is what counts for a whole processor.
    watched: BTreeMap<u64, Watch>,
    own_task: u64,
    /// What tasks that have ended, and inherited it, have added.
    of_gone: Totals,
    has_ended: bool,
    _heap_charge: HeapCharge,
}

struct Watch {
    source: Source,
    is_enabled: bool,
    enables_on_exec: bool,
    so_far: Totals,
    /// What it had when the count began that goes on.
    since: Option<Counts>,
    _heap_charge: HeapCharge,
}

enum Source {
    Task(Weak<dyn Counted>),
    System(Arc<dyn Counted>),
}

impl Source {
    fn counts(&self) -> Option<Counts> {
        match self {
            Self::Task(task) => task.upgrade().map(|task| task.counts()),
            Self::System(system) => Some(system.counts()),
        }
    }
}

impl Watch {
    fn new(source: Source, is_enabled: bool, enables_on_exec: bool) -> Result<Self, Errno> {
        let _heap_charge = HeapCharge::new(WATCH_BYTES)?;
        Ok(Self { source, is_enabled, enables_on_exec, so_far: Totals::default(), since: None, _heap_charge })
    }

    fn total(&self, kind: Kind) -> Totals {
        let counted = self.since.and_then(|since| self.source.counts().map(|now| now - since));
        let running = counted.map(|counts| Totals { count: kind.of(counts), enabled_ns: counts.cpu_ns });
        self.so_far + running.unwrap_or_default()
    }

    /// Has it count or not from now on.
    fn switch(&mut self, kind: Kind, is_on: bool) {
        self.so_far = self.total(kind);
        self.since = if is_on { self.source.counts() } else { None };
    }
}

impl Member {
    fn total(&self) -> Totals {
        let watched = self.watched.values().map(|watch| watch.total(self.kind));
        watched.fold(self.of_gone, |sum, total| sum + total)
    }
}

impl Group {
    /// The events that are led by `leader`, itself the first.
    fn led_by(members: &BTreeMap<u64, Member>, leader: u64) -> Vec<u64> {
        let followers = members.iter().filter(|(id, member)| member.leader == leader && **id != leader);
        std::iter::once(leader).chain(followers.map(|(id, _)| *id)).collect()
    }

    /// Has each event that `leader` leads count on `task` as the switches are.
    fn settle(members: &mut BTreeMap<u64, Member>, leader: u64, task: u64) {
        let is_led = |members: &BTreeMap<u64, Member>| {
            members
                .get(&leader)
                .and_then(|member| member.watched.get(&task))
                .is_some_and(|watch| watch.is_enabled)
        };
        let leads = is_led(members);
        for id in Self::led_by(members, leader) {
            let Some(member) = members.get_mut(&id) else { continue };
            let kind = member.kind;
            if let Some(watch) = member.watched.get_mut(&task) {
                let is_on = watch.is_enabled && leads;
                if is_on != watch.since.is_some() {
                    watch.switch(kind, is_on);
                }
            }
        }
    }
}

impl Event {
    /// The event numbered `id` at `place`, where `source` counts. It is led by `leader`, or leads.
    ///
    /// # Errors
    /// ENOMEM; EINVAL: the leader is none, is elsewhere, or one that follows would be alone (`man 2 perf_event_open`).
    pub(crate) fn new(
        (id, kind): (u64, Kind),
        switches: Switches,
        place: Place,
        source: &Arc<dyn Counted>,
        leader: Option<&Event>,
    ) -> Result<Arc<Self>, Errno> {
        if let Some(leader) = leader {
            let is_alone = switches.intersects(Switches::PINNED | Switches::EXCLUSIVE);
            if !leader.leads() || leader.place != place || is_alone {
                return Err(Errno::EINVAL);
            }
        }
        let group = leader.map_or_else(Arc::<Group>::default, |leader| leader.group.clone());
        let own_task = place.task.unwrap_or(0);
        let own = match place.task {
            Some(_) => Source::Task(Arc::downgrade(source)),
            None => Source::System(source.clone()),
        };
        let (is_on, on_exec) =
            (!switches.contains(Switches::DISABLED), switches.contains(Switches::ENABLE_ON_EXEC));
        let leader_id = leader.map_or(id, |leader| leader.id);
        let member = Member {
            leader: leader_id,
            kind,
            watched: BTreeMap::from([(own_task, Watch::new(own, is_on, on_exec)?)]),
            own_task,
            of_gone: Totals::default(),
            has_ended: false,
            _heap_charge: HeapCharge::new(EVENT_BYTES)?,
        };
        {
            let mut members = group.members.lock();
            members.insert(id, member);
            Group::settle(&mut members, leader_id, own_task);
        }
        Ok(Arc::new(Self { id, group, place, switches }))
    }

    /// Whether it leads its group, or is alone.
    fn leads(&self) -> bool {
        self.group.members.lock().get(&self.id).is_some_and(|member| member.leader == self.id)
    }

    /// Whether a new task inherits it, which is a thread of its creator's process or not.
    pub(crate) fn is_inherited(&self, by_thread: bool) -> bool {
        let for_all = !self.switches.contains(Switches::INHERIT_THREAD);
        self.switches.contains(Switches::INHERIT) && (for_all || by_thread)
    }

    /// What has been counted.
    pub(super) fn total(&self) -> Totals {
        self.group.members.lock().get(&self.id).map(Member::total).unwrap_or_default()
    }

    /// What each of its group has counted, the leader first, by their numbers.
    pub(super) fn totals_of_group(&self) -> Vec<(u64, Totals)> {
        let members = self.group.members.lock();
        let leader = members.get(&self.id).map_or(self.id, |member| member.leader);
        let led = Group::led_by(&members, leader);
        led.into_iter().filter_map(|id| Some((id, members.get(&id)?.total()))).collect()
    }

    /// Does something with it, or with all of its group, and has them count as they are switched then.
    fn each_meant(&self, means_group: bool, mut operation: impl FnMut(&mut Member)) {
        let mut members = self.group.members.lock();
        let leader = members.get(&self.id).map_or(self.id, |member| member.leader);
        let meant = if means_group { Group::led_by(&members, leader) } else { vec![self.id] };
        let mut tasks = Vec::new();
        for id in meant {
            if let Some(member) = members.get_mut(&id) {
                operation(member);
                tasks.extend(member.watched.keys().copied());
            }
        }
        tasks.sort_unstable();
        tasks.dedup();
        for task in tasks {
            Group::settle(&mut members, leader, task);
        }
    }

    /// Switches it, or all of its group, on or off.
    pub(crate) fn enable(&self, is_enabled: bool, means_group: bool) {
        self.each_meant(means_group, |member| {
            let has_ended = member.has_ended;
            member.watched.values_mut().for_each(|watch| watch.is_enabled = is_enabled && !has_ended);
        });
    }

    /// Has it, or all of its group, count from nothing. The times go on, and so does what ended tasks have added.
    pub(crate) fn reset(&self, means_group: bool) {
        self.each_meant(means_group, |member| {
            let kind = member.kind;
            for watch in member.watched.values_mut() {
                let is_on = watch.since.is_some();
                watch.switch(kind, is_on);
                watch.so_far.count = 0;
            }
        });
    }

    /// Watches `child` as it watches `parent`.
    ///
    /// # Errors
    /// ENOMEM.
    pub(crate) fn inherit(&self, parent: u64, child: u64, source: &Arc<dyn Counted>) -> Result<(), Errno> {
        let mut members = self.group.members.lock();
        let Some(member) = members.get_mut(&self.id) else { return Ok(()) };
        let Some(watch) = member.watched.get(&parent) else { return Ok(()) };
        let (is_enabled, on_exec) = (watch.is_enabled, watch.enables_on_exec);
        let watch = Watch::new(Source::Task(Arc::downgrade(source)), is_enabled, on_exec)?;
        member.watched.insert(child, watch);
        let leader = member.leader;
        Group::settle(&mut members, leader, child);
        Ok(())
    }

    /// `task` executes a program. Returns whether the event stays with it.
    pub(crate) fn execute(&self, task: u64) -> bool {
        if self.switches.contains(Switches::REMOVE_ON_EXEC) {
            self.leave(task);
            return false;
        }
        let mut members = self.group.members.lock();
        let Some(member) = members.get_mut(&self.id) else { return false };
        let leader = member.leader;
        if let Some(watch) = member.watched.get_mut(&task)
            && std::mem::take(&mut watch.enables_on_exec)
        {
            watch.is_enabled = true;
            Group::settle(&mut members, leader, task);
        }
        true
    }

    /// `task` is counted no more: what it has done stays.
    pub(crate) fn leave(&self, task: u64) {
        let mut members = self.group.members.lock();
        let Some(member) = members.get_mut(&self.id) else { return };
        let (kind, leader) = (member.kind, member.leader);
        if task == member.own_task {
            member.has_ended = true;
            if let Some(watch) = member.watched.get_mut(&task) {
                watch.switch(kind, false);
                watch.is_enabled = false;
            }
        } else if let Some(watch) = member.watched.remove(&task) {
            member.of_gone += watch.total(kind);
        }
        Group::settle(&mut members, leader, task);
    }

    /// Its number, which read(2) tells with PERF_FORMAT_ID.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Whom it watches.
    pub(crate) fn place(&self) -> Place {
        self.place
    }
}

/// Those that it has led are alone from then on, and on as they were switched.
impl Drop for Event {
    fn drop(&mut self) {
        let mut members = self.group.members.lock();
        let removed = members.remove(&self.id);
        for id in Group::led_by(&members, self.id) {
            let Some(member) = members.get_mut(&id) else { continue };
            member.leader = id;
            let tasks: Vec<u64> = member.watched.keys().copied().collect();
            tasks.into_iter().for_each(|task| Group::settle(&mut members, id, task));
        }
        drop(members);
        drop(removed);
    }
}
