//! poll(2), ppoll(2), select(2) and pselect6(2).

use std::sync::Arc;
use std::time::{Duration, Instant};

use syscalls::Sysno;
use zerocopy::IntoBytes;

use super::Handler;
use super::arguments::{UserPointer, handlers};
use crate::Errno;
use crate::abi::{PollFd, Timespec, Timeval};
use crate::fs::{Fd, FileDescription, OpenFlags};
use crate::heap::HeapCharge;
use crate::pace::Pace;
use crate::platform::VirtualAddress;
use crate::signal::SignalSet;
use crate::task::{Blocked, CurrentTask, RestartBlock};
use crate::time::{duration_from_timespec, timespec, timeval};
use crate::wait::{Events, WaitQueue};
use crate::width::u64_from;

pub(super) const HANDLERS: &[(Sysno, Handler)] = handlers![poll, ppoll, select, pselect6];

/// Bits of one word of an `fd_set`.
const WORD_BITS: usize = 64;

/// Files that are looked at in one step.
const LOOK_STEP: usize = 1024;
/// What a file that is waited for takes, with its place in the file's queue.
const POLLED_BYTES: usize = 256;

/// One file that is waited for.
struct Polled {
    /// `None` for what is not an open file.
    file: Option<Arc<FileDescription>>,
    wanted: Events,
}

impl Polled {
    fn ready(&self) -> Events {
        match &self.file {
            Some(description) => description.file().readiness() & self.wanted,
            None => Events::NVAL,
        }
    }

    fn queue(&self) -> Option<(&WaitQueue, Events)> {
        Some((self.file.as_ref()?.file().wait_queue()?, self.wanted))
    }
}

/// Waits until something is ready or the deadline has come; says what each file is ready for then.
fn wait(task: &mut CurrentTask, polled: &[Polled], deadline: Option<Instant>) -> Result<Vec<Events>, Errno> {
    // A task that is ending looks no further, and nobody sees what it found.
    let look = |task: &mut CurrentTask| {
        let mut ready = Vec::with_capacity(polled.len());
        for portion in polled.chunks(LOOK_STEP) {
            ready.extend(portion.iter().map(Polled::ready));
            if portion.len() == LOOK_STEP && task.keep_going().is_err() {
                return None;
            }
        }
        ready.iter().any(|events| !events.is_empty()).then_some(ready)
    };
    let queues: Vec<_> = polled.iter().filter_map(Polled::queue).collect();
    match task.block_with(&queues, deadline, look) {
        Ok(ready) => Ok(ready),
        Err(Blocked::TimedOut) => Ok(vec![Events::empty(); polled.len()]),
        Err(Blocked::Interrupted) => Err(Errno::EINTR),
    }
}

/// Does `wait` with `mask` as the signal mask, if there is one.
pub(super) fn with_signal_mask<T>(
    task: &mut CurrentTask,
    mask: Option<SignalSet>,
    wait: impl FnOnce(&mut CurrentTask) -> Result<T, Errno>,
) -> Result<T, Errno> {
    match mask {
        Some(mask) => task.with_signal_mask(mask, wait),
        None => wait(task),
    }
}

/// Reads an optional `sigset_t` of `size` bytes.
pub(super) fn read_signal_mask(
    task: &CurrentTask,
    mask: UserPointer<SignalSet>,
    size: u64,
) -> Result<Option<SignalSet>, Errno> {
    if !mask.is_null() && size != SignalSet::SIZE_BYTES {
        return Err(Errno::EINVAL);
    }
    mask.read_unless_null(task)
}

/// Reads an optional `struct timespec`.
pub(super) fn read_timeout(
    task: &CurrentTask,
    timeout: UserPointer<Timespec>,
) -> Result<Option<Duration>, Errno> {
    timeout.read_unless_null(task)?.map(duration_from_timespec).transpose()
}

/// When `timeout` from now is; `None` for never, as for times past the clock's end.
pub(super) fn deadline_after(timeout: Option<Duration>) -> Option<Instant> {
    Instant::now().checked_add(timeout?)
}

fn time_left(deadline: Option<Instant>) -> Duration {
    deadline.map_or(Duration::ZERO, |deadline| deadline.saturating_duration_since(Instant::now()))
}

fn poll(
    task: &mut CurrentTask,
    entries: UserPointer<PollFd>,
    count: u32,
    timeout_ms: i32,
) -> Result<usize, Errno> {
    let timeout = u64::try_from(timeout_ms).ok().map(Duration::from_millis);
    poll_until(task, entries, count, deadline_after(timeout))
}

/// poll(2) to a deadline; interrupted, it goes on to the same deadline.
pub(super) fn poll_until(
    task: &mut CurrentTask,
    entries: UserPointer<PollFd>,
    count: u32,
    deadline: Option<Instant>,
) -> Result<usize, Errno> {
    match poll_entries(task, entries, count, deadline) {
        Err(Errno::EINTR) => {
            let until = deadline.map(|deadline| task.kernel().timekeeper().moment(deadline));
            task.restart_with(RestartBlock::Poll { address: entries.address(), count, until })
        }
        result => result,
    }
}

fn ppoll(
    task: &mut CurrentTask,
    entries: UserPointer<PollFd>,
    count: u32,
    timeout: UserPointer<Timespec>,
    mask: UserPointer<SignalSet>,
    mask_size: u64,
) -> Result<usize, Errno> {
    wait_masked(task, timeout, (mask, mask_size), |task, deadline| {
        poll_entries(task, entries, count, deadline)
    })
}

/// Does `wait` with a time-out and a signal mask from user memory, each optional.
fn wait_masked(
    task: &mut CurrentTask,
    timeout: UserPointer<Timespec>,
    (mask, mask_size): (UserPointer<SignalSet>, u64),
    wait: impl FnOnce(&mut CurrentTask, Option<Instant>) -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    let deadline = read_timeout(task, timeout)?;
    let mask = read_signal_mask(task, mask, mask_size)?;
    let deadline = deadline_after(deadline);
    let result = with_signal_mask(task, mask, |task| wait(task, deadline));
    tell_time_left(task, result, timeout, timespec(time_left(deadline)))
}

/// The end of a call with an optional time-out in memory: what is left of it is written there, and the call goes on
/// after a signal that has no handler. A time-out that cannot be written is left alone, and its call not restarted.
fn tell_time_left(
    task: &CurrentTask,
    result: Result<usize, Errno>,
    timeout: UserPointer<[i64; 2]>,
    left: [i64; 2],
) -> Result<usize, Errno> {
    if timeout.write_unless_null(task, &left).is_err() {
        return result;
    }
    result.map_err(|error| if error == Errno::EINTR { Errno::ERESTARTNOHAND } else { error })
}

/// Polls an array of `struct pollfd` in user memory.
fn poll_entries(
    task: &mut CurrentTask,
    entries: UserPointer<PollFd>,
    count: u32,
    deadline: Option<Instant>,
) -> Result<usize, Errno> {
    let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?;
    if count > task.open_files_limit() {
        return Err(Errno::EINVAL);
    }
    let _heap_charge = HeapCharge::transient(count * POLLED_BYTES)?;
    let mut array = vec![PollFd::default(); count];
    task.memory().read_bytes(entries.address(), array.as_mut_bytes())?;
    // Entries with a negative descriptor are passed over.
    let is_polled = |entry: &PollFd| entry.fd >= 0;
    let of_entry = |entry: &PollFd| {
        let file = task.file(Fd(entry.fd)).ok().filter(|file| !file.flags().contains(OpenFlags::PATH));
        let events = Events::from_bits_retain(entry.events.into());
        Polled { file, wanted: events | Events::ERR | Events::HUP }
    };
    let polled: Vec<Polled> = array.iter().filter(|entry| is_polled(entry)).map(of_entry).collect();
    let ready = wait(task, &polled, deadline)?;
    let reported = ready.iter().filter(|events| !events.is_empty()).count();
    array.iter_mut().for_each(|entry| entry.revents = 0);
    for (entry, events) in array.iter_mut().filter(|entry| is_polled(entry)).zip(ready) {
        entry.revents = low_half(events);
    }
    // What was asked for is not touched: another thread may be writing it.
    for (place, entry) in array.iter().enumerate() {
        let offset = place * size_of::<PollFd>() + std::mem::offset_of!(PollFd, revents);
        let revents = VirtualAddress(entries.address().0.wrapping_add(u64_from(offset)));
        task.memory().write_object(revents, &entry.revents)?;
    }
    Ok(reported)
}

/// The events that a `struct pollfd` has room for.
fn low_half(events: Events) -> u16 {
    u16::try_from(events.bits() & u32::from(u16::MAX)).unwrap_or(0)
}

/// Where a set of select(2) is: words of 64 bits, as many as the count needs.
type FdSet = UserPointer<u64>;

/// The three sets of select(2).
struct Sets {
    places: [FdSet; 3],
    words: [Vec<u64>; 3],
}

/// What makes a descriptor count as readable, writable and exceptional.
const SELECTED: [Events; 3] = [
    Events::IN.union(Events::RDNORM).union(Events::RDBAND).union(Events::HUP).union(Events::ERR),
    Events::OUT.union(Events::WRNORM).union(Events::WRBAND).union(Events::ERR),
    Events::PRI,
];

impl Sets {
    fn read(task: &CurrentTask, count: usize, places: [FdSet; 3]) -> Result<Self, Errno> {
        let len = count.div_ceil(WORD_BITS);
        let mut words = [vec![0; len], vec![0; len], vec![0; len]];
        for (set, place) in words.iter_mut().zip(places) {
            if !place.is_null() {
                task.memory().read_bytes(place.address(), set.as_mut_bytes())?;
            }
            // Bits past the count do not count.
            if let (Some(last), 1..) = (set.last_mut(), count % WORD_BITS) {
                *last &= (1 << (count % WORD_BITS)) - 1;
            }
        }
        Ok(Self { places, words })
    }

    fn contains(&self, set: usize, descriptor: usize) -> bool {
        let word = self.words[set].get(descriptor / WORD_BITS).copied().unwrap_or(0);
        word >> (descriptor % WORD_BITS) & 1 == 1
    }

    /// The events that are wanted of `descriptor`; none if it is in no set.
    fn wanted(&self, descriptor: usize) -> Events {
        let sets = SELECTED.iter().enumerate().filter(|(set, _)| self.contains(*set, descriptor));
        sets.fold(Events::empty(), |wanted, (_, events)| wanted | *events)
    }

    /// Leaves only what is ready in the sets. Returns how many bits are set.
    fn keep_ready(&mut self, ready: &[(usize, Events)]) -> usize {
        let old = std::mem::take(&mut self.words);
        self.words = [vec![0; old[0].len()], vec![0; old[1].len()], vec![0; old[2].len()]];
        let mut count = 0;
        for (set, events) in SELECTED.iter().enumerate() {
            for (descriptor, is_ready) in
                ready.iter().map(|(descriptor, ready)| (*descriptor, ready.intersects(*events)))
            {
                let (word, bit) = (descriptor / WORD_BITS, descriptor % WORD_BITS);
                let is_wanted = old[set].get(word).is_some_and(|word| word >> bit & 1 == 1);
                if let (true, true, Some(word)) = (is_ready, is_wanted, self.words[set].get_mut(word)) {
                    *word |= 1 << bit;
                    count += 1;
                }
            }
        }
        count
    }

    fn write(&self, task: &CurrentTask) -> Result<(), Errno> {
        let mut wanted = self.words.iter().zip(self.places).filter(|(_, place)| !place.is_null());
        wanted.try_for_each(|(set, place)| task.memory().write_bytes(place.address(), set.as_bytes()))
    }
}

fn select_until(
    task: &mut CurrentTask,
    count: i32,
    places: [FdSet; 3],
    deadline: Option<Instant>,
) -> Result<usize, Errno> {
    let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?;
    let count = count.min(task.descriptors().slots());
    let _heap_charge = HeapCharge::transient(count * POLLED_BYTES)?;
    let mut sets = Sets::read(task, count, places)?;
    let (mut descriptors, mut polled) = (Vec::new(), Vec::new());
    for descriptor in 0..count {
        let wanted = sets.wanted(descriptor);
        if !wanted.is_empty() {
            let number = i32::try_from(descriptor).map_err(|_| Errno::EBADF)?;
            let file = Some(task.file(Fd(number))?).filter(|file| !file.flags().contains(OpenFlags::PATH));
            polled.push(Polled { file: Some(file.ok_or(Errno::EBADF)?), wanted });
            descriptors.push(descriptor);
        }
    }
    let ready = wait(task, &polled, deadline)?;
    let ready: Vec<(usize, Events)> = descriptors.into_iter().zip(ready).collect();
    let reported = sets.keep_ready(&ready);
    sets.write(task)?;
    Ok(reported)
}

fn select(
    task: &mut CurrentTask,
    count: i32,
    read: FdSet,
    write: FdSet,
    except: FdSet,
    timeout: UserPointer<Timeval>,
) -> Result<usize, Errno> {
    let time = match timeout.read_unless_null(task)? {
        None => None,
        Some([seconds, microseconds]) => {
            // Microseconds beyond a second carry over; only negative ones are refused.
            let seconds = seconds.checked_add(microseconds / 1_000_000).ok_or(Errno::EINVAL)?;
            Some(duration_from_timespec([seconds, microseconds % 1_000_000 * 1000])?)
        }
    };
    let deadline = deadline_after(time);
    let result = select_until(task, count, [read, write, except], deadline);
    tell_time_left(task, result, timeout, timeval(time_left(deadline)))
}

fn pselect6(
    task: &mut CurrentTask,
    count: i32,
    read: FdSet,
    write: FdSet,
    except: FdSet,
    timeout: UserPointer<Timespec>,
    mask: UserPointer<[u64; 2]>,
) -> Result<usize, Errno> {
    let [mask, mask_size] = mask.read_unless_null(task)?.unwrap_or_default();
    wait_masked(task, timeout, (UserPointer::new(mask), mask_size), |task, deadline| {
        select_until(task, count, [read, write, except], deadline)
    })
}

#[cfg(test)]
mod tests;
