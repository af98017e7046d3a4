//! io_uring_setup(2), io_uring_enter(2) and io_uring_register(2).

mod buffers;
mod cancel;
mod files;
mod operation;
mod poll;
mod register;
mod submit;
mod timeout;
mod transfer;

use std::sync::Arc;
use std::time::{Duration, Instant};

use linux_raw_sys::io_uring as uapi;
use syscalls::Sysno;

use self::operation::OPERATIONS;
use super::Handler;
use super::arguments::{UserPointer, UserSlice, handlers};
use super::poll::{read_signal_mask, with_signal_mask};
use crate::Errno;
use crate::abi::{IoUringGeteventsArg, IoUringParams, Timespec};
use crate::cred::{Capabilities, KernelGid};
use crate::fs::{Caller, Fd, FileDescription, OpenFlags};
use crate::io_uring::{Layout, MAX_CQ_ENTRIES, MAX_ENTRIES, Ring, RingFile, SetupFlags};
use crate::settings::KernelNumber;
use crate::task::{Blocked, CurrentTask};
use crate::time::duration_from_timespec;
use crate::wait::Events;
use crate::width::{u64_from, usize_from};

pub(super) const HANDLERS: &[(Sysno, Handler)] =
    handlers![io_uring_setup, io_uring_enter, io_uring_register = register::io_uring_register];

/// What rings here can do (`IORING_FEAT_*`).
const FEATURES: u32 = uapi::IORING_FEAT_SINGLE_MMAP
    | uapi::IORING_FEAT_NODROP
    | uapi::IORING_FEAT_SUBMIT_STABLE
    | uapi::IORING_FEAT_RW_CUR_POS
    | uapi::IORING_FEAT_CUR_PERSONALITY
    | uapi::IORING_FEAT_FAST_POLL
    | uapi::IORING_FEAT_POLL_32BITS
    | uapi::IORING_FEAT_SQPOLL_NONFIXED
    | uapi::IORING_FEAT_EXT_ARG
    | uapi::IORING_FEAT_NATIVE_WORKERS
    | uapi::IORING_FEAT_CQE_SKIP
    | uapi::IORING_FEAT_LINKED_FILE
    | uapi::IORING_FEAT_REG_REG_RING
    | uapi::IORING_FEAT_MIN_TIMEOUT;

/// Whether `kernel.io_uring_disabled` leaves io_uring to the caller.
///
/// # Errors
/// EPERM.
fn check_enabled(task: &CurrentTask) -> Result<(), Errno> {
    let settings = task.kernel().settings();
    let credentials = task.credentials();
    let is_allowed = match settings.get(KernelNumber::IoUringDisabled) {
        0 => true,
        1 => {
            let group = u32::try_from(settings.get(KernelNumber::IoUringGroup)).map(KernelGid);
            credentials.has(Capabilities::SYS_ADMIN)
                || group.is_ok_and(|group| credentials.is_in_group(group))
        }
        _ => false,
    };
    if is_allowed { Ok(()) } else { Err(Errno::EPERM) }
}

fn io_uring_setup(
    task: &mut CurrentTask,
    entries: u32,
    parameters: UserPointer<IoUringParams>,
) -> Result<Fd, Errno> {
    check_enabled(task)?;
    let mut given = parameters.read(task)?;
    if given.resv != [0; 3] {
        return Err(Errno::EINVAL);
    }
    let flags = SetupFlags::from_bits(given.flags).ok_or(Errno::EINVAL)?;
    check_setup_flags(flags)?;
    if flags.contains(SetupFlags::SQ_AFF) && usize_from(given.sq_thread_cpu) >= task.kernel().cpu_count() {
        return Err(Errno::EINVAL);
    }
    let layout = layout_of(flags, entries, given.cq_entries)?;
    if flags.contains(SetupFlags::ATTACH_WQ) {
        let other = task.usable_file(Fd(given.wq_fd.cast_signed())).map_err(|_| Errno::ENXIO)?;
        if other.downcast::<RingFile>().is_none() {
            return Err(Errno::EINVAL);
        }
    }
    let ring = Ring::new(task.kernel(), flags, layout, &OPERATIONS)?;
    if !flags.contains(SetupFlags::R_DISABLED) {
        ring.bind_issuer(task);
    }
    given.sq_entries = layout.sq_entries;
    given.cq_entries = layout.cq_entries;
    given.features = FEATURES;
    given.sq_off = layout.sq_offsets();
    given.cq_off = layout.cq_offsets();
    parameters.write(task, &given)?;
    let file = RingFile::new(ring, task.kernel().open_files());
    task.install_descriptor(FileDescription::new(file, None, OpenFlags::RDWR), true)
}

/// Fails for flags that contradict each other.
fn check_setup_flags(flags: SetupFlags) -> Result<(), Errno> {
    let has = |some| flags.contains(some);
    let polls = has(SetupFlags::SQPOLL);
    let is_wrong = has(SetupFlags::SQ_AFF) && !polls
        || polls
            && flags
                .intersects(SetupFlags::COOP_TASKRUN | SetupFlags::TASKRUN_FLAG | SetupFlags::DEFER_TASKRUN)
        || has(SetupFlags::TASKRUN_FLAG)
            && !flags.intersects(SetupFlags::COOP_TASKRUN | SetupFlags::DEFER_TASKRUN)
        || has(SetupFlags::DEFER_TASKRUN) && !has(SetupFlags::SINGLE_ISSUER);
    if is_wrong { Err(Errno::EINVAL) } else { Ok(()) }
}

fn layout_of(flags: SetupFlags, entries: u32, cq_entries: u32) -> Result<Layout, Errno> {
    let clamped = |entries: u32, max: u32| match entries {
        0 => Err(Errno::EINVAL),
        entries if entries <= max => Ok(entries.next_power_of_two()),
        _ if flags.contains(SetupFlags::CLAMP) => Ok(max),
        _ => Err(Errno::EINVAL),
    };
    let sq_entries = clamped(entries, MAX_ENTRIES)?;
    let cq_entries = match flags.contains(SetupFlags::CQSIZE) {
        true => clamped(cq_entries, MAX_CQ_ENTRIES)?,
        false => 2 * sq_entries,
    };
    if cq_entries < sq_entries {
        return Err(Errno::EINVAL);
    }
    Ok(Layout {
        sq_entries,
        cq_entries,
        has_large_sqes: flags.contains(SetupFlags::SQE128),
        has_large_cqes: flags.contains(SetupFlags::CQE32),
        has_array: !flags.contains(SetupFlags::NO_SQARRAY),
    })
}

/// The ring that `fd` is, or that is registered under that number.
///
/// # Errors
/// EBADF; EOPNOTSUPP: it is none; EINVAL.
fn find_ring(
    task: &CurrentTask,
    fd: Fd,
    is_registered: bool,
) -> Result<(Arc<FileDescription>, Arc<Ring>), Errno> {
    let file = match is_registered {
        true => {
            let index = fd.index().filter(|index| *index < register::MAX_RINGS).ok_or(Errno::EINVAL)?;
            task.registered_rings.get(index).cloned().flatten().ok_or(Errno::EBADF)?
        }
        false => task.usable_file(fd)?,
    };
    let ring = file.downcast::<RingFile>().ok_or(Errno::EOPNOTSUPP)?.ring().clone();
    Ok((file, ring))
}

/// How long io_uring_enter(2) waits, and with which signals blocked.
#[derive(Default)]
struct Waiting {
    mask: Option<crate::signal::SignalSet>,
    timeout: Option<Duration>,
    /// For less than all completions it waits so long at least.
    least: Option<Duration>,
}

fn io_uring_enter(
    task: &mut CurrentTask,
    fd: Fd,
    to_submit: u32,
    min_complete: u32,
    flags: u32,
    argument: UserSlice,
) -> Result<usize, Errno> {
    const KNOWN: u32 = uapi::IORING_ENTER_GETEVENTS
        | uapi::IORING_ENTER_SQ_WAKEUP
        | uapi::IORING_ENTER_SQ_WAIT
        | uapi::IORING_ENTER_EXT_ARG
        | uapi::IORING_ENTER_REGISTERED_RING
        | uapi::IORING_ENTER_ABS_TIMER
        | uapi::IORING_ENTER_NO_IOWAIT;
    if flags & !KNOWN != 0 {
        return Err(Errno::EINVAL);
    }
    let (_open, ring) = find_ring(task, fd, flags & uapi::IORING_ENTER_REGISTERED_RING != 0)?;
    if ring.is_disabled() {
        return Err(Errno::EBADFD);
    }
    let polls = ring.flags().contains(SetupFlags::SQPOLL);
    let submitted = if polls {
        // Whoever polls is asleep: what it would have taken is taken now.
        submit::submit(task, &ring, u32::MAX)?;
        usize::try_from(to_submit).unwrap_or(usize::MAX)
    } else if to_submit > 0 {
        ring.check_issuer(task)?;
        submit::submit(task, &ring, to_submit)?
    } else {
        0
    };
    if !polls && submitted != usize_from(to_submit) {
        return Ok(submitted);
    }
    if flags & uapi::IORING_ENTER_GETEVENTS == 0 {
        return Ok(submitted);
    }
    if ring.flags().contains(SetupFlags::DEFER_TASKRUN) {
        ring.check_issuer(task)?;
    }
    let waited = read_waiting(task, flags, argument).and_then(|waiting| {
        let wanted = min_complete.min(ring.layout().cq_entries);
        with_signal_mask(task, waiting.mask, |task| wait_for(task, &ring, wanted, &waiting))
    });
    match waited {
        Err(error) if submitted == 0 => Err(error),
        _ => Ok(submitted),
    }
}

fn read_waiting(task: &CurrentTask, flags: u32, argument: UserSlice) -> Result<Waiting, Errno> {
    if flags & uapi::IORING_ENTER_EXT_ARG == 0 {
        let mask = UserPointer::new(argument.address.0);
        let mask = read_signal_mask(task, mask, argument.len_bytes)?;
        return Ok(Waiting { mask, ..Waiting::default() });
    }
    if argument.len_bytes != u64_from(size_of::<IoUringGeteventsArg>()) {
        return Err(Errno::EINVAL);
    }
    let given: IoUringGeteventsArg = UserPointer::new(argument.address.0).read(task)?;
    let mask = read_signal_mask(task, UserPointer::new(given.sigmask), given.sigmask_sz.into())?;
    let timeout = UserPointer::<Timespec>::new(given.ts).read_unless_null(task)?;
    let timeout = timeout.map(duration_from_timespec).transpose()?;
    let timeout = match timeout {
        Some(moment) if flags & uapi::IORING_ENTER_ABS_TIMER != 0 => {
            Some(timeout::time_until(task, 0, moment)?)
        }
        timeout => timeout,
    };
    let least = (given.min_wait_usec > 0).then(|| Duration::from_micros(given.min_wait_usec.into()));
    Ok(Waiting { mask, timeout, least })
}

/// Waits until there are `wanted` completions.
///
/// # Errors
/// ETIME, EINTR.
fn wait_for(task: &mut CurrentTask, ring: &Arc<Ring>, wanted: u32, waiting: &Waiting) -> Result<(), Errno> {
    let defers = ring.flags().contains(SetupFlags::DEFER_TASKRUN);
    let target = ring.seen().wrapping_add(wanted);
    if defers {
        ring.run_work(task);
    }
    ring.flush_overflow();
    if ring.unseen() >= wanted {
        return Ok(());
    }
    let now = Instant::now();
    let deadline = waiting.timeout.and_then(|timeout| now.checked_add(timeout));
    let least = waiting.least.and_then(|least| now.checked_add(least));
    let first = least.map_or(deadline, |least| Some(deadline.map_or(least, |deadline| deadline.min(least))));
    let timeouts = ring.timeouts();
    let queue = [(ring.queue(), Events::IN)];
    let attempt = |task: &mut CurrentTask| {
        if defers {
            ring.run_work(task);
        }
        ring.flush_overflow();
        (ring.has_reached(target) || ring.timeouts() != timeouts).then_some(())
    };
    let mut outcome = task.block_with(&queue, first, attempt);
    if outcome == Err(Blocked::TimedOut) && least.is_some() {
        // From now on one is enough.
        if ring.unseen() > 0 {
            return Ok(());
        }
        outcome = task.block_with(&queue, deadline, |task| {
            if defers {
                ring.run_work(task);
            }
            ring.flush_overflow();
            (ring.unseen() > 0).then_some(())
        });
    }
    match outcome {
        Ok(()) => Ok(()),
        Err(_) if ring.unseen() > 0 => Ok(()),
        Err(Blocked::TimedOut) => Err(Errno::ETIME),
        Err(Blocked::Interrupted) => Err(Errno::EINTR),
    }
}
