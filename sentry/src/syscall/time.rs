//! Clocks, sleeps and timers.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use linux_raw_sys::general as uapi;
use syscalls::Sysno;

use super::Handler;
use super::arguments::{UserPointer, handlers};
use crate::Errno;
use crate::abi::{SignalEvent, Timespec, Timeval, Timex};
use crate::cred::Capabilities;
use crate::signal::{Signal, SignalTarget};
use crate::task::{Blocked, CurrentTask, RestartBlock, Tid};
use crate::time::{
    Adjustment, AdjustmentRequest, ClockId, ClockOffset, CpuClock, CpuClockKind, IntervalTimer,
    PosixTimerNotification, PosixTimerOrigin, SystemClock, TimeSource, Timer, TimerSetting,
    duration_from_timespec, duration_from_timeval, timespec, timeval,
};

pub(super) const HANDLERS: &[(Sysno, Handler)] = handlers![
    clock_gettime,
    clock_getres,
    clock_settime,
    clock_adjtime,
    adjtimex,
    gettimeofday,
    settimeofday,
    time,
    times,
    nanosleep,
    clock_nanosleep,
    alarm,
    getitimer,
    setitimer,
    timer_create,
    timer_settime,
    timer_gettime,
    timer_getoverrun,
    timer_delete,
];

/// Clock ticks a second (`man 7 time`, USER_HZ).
const TICKS_PER_SECOND: u128 = 100;

/// The clock `clock` of this task, as the machine has it: a time namespace shows it shifted by [`offset`].
///
/// # Errors
/// EINVAL: there is none, or its process has ended.
pub(super) fn time_source(task: &CurrentTask, clock: ClockId) -> Result<Arc<dyn TimeSource>, Errno> {
    match clock {
        ClockId::System(clock) => {
            Ok(Arc::new(SystemSource { timekeeper: task.kernel().timekeeper().clone(), clock }))
        }
        ClockId::Cpu(clock) => cpu_source(task, clock),
    }
}

/// How far the task's time namespace shows `clock` ahead of the machine's.
///
/// # Errors
/// EINVAL: there is no such clock.
pub(super) fn offset(task: &CurrentTask, clock: ClockId) -> Result<ClockOffset, Errno> {
    match clock {
        ClockId::System(clock) => Ok(task.task().time_namespace().offsets().of(clock)),
        ClockId::Cpu(_) => Ok(ClockOffset::default()),
    }
}

/// What a timer on `source` is set to by a task that asks for `setting`: absolute times are the machine's.
pub(super) fn machine_setting(
    task: &CurrentTask,
    source: &dyn TimeSource,
    setting: TimerSetting,
    is_absolute: bool,
) -> TimerSetting {
    let Some(clock) = source.system_clock().filter(|_| is_absolute && !setting.value.is_zero()) else {
        return setting;
    };
    let offset = task.task().time_namespace().offsets().of(clock);
    // Zero would disarm it.
    TimerSetting { value: offset.machine(setting.value).max(Duration::from_nanos(1)), ..setting }
}

/// A clock that all share.
struct SystemSource {
    timekeeper: Arc<crate::time::Timekeeper>,
    clock: SystemClock,
}

impl TimeSource for SystemSource {
    fn now(&self) -> Duration {
        self.timekeeper.now(self.clock)
    }

    fn system_clock(&self) -> Option<SystemClock> {
        Some(self.clock)
    }
}

fn cpu_source(task: &CurrentTask, clock: CpuClock) -> Result<Arc<dyn TimeSource>, Errno> {
    let tasks = task.kernel().tasks();
    let namespace = task.thread_group().pid_namespace();
    if clock.is_thread {
        let target = match clock.id {
            0 => task.task().clone(),
            id => tasks.task(namespace, Tid(id)).ok_or(Errno::EINVAL)?,
        };
        // Other processes' threads have no clock here.
        if !Arc::ptr_eq(target.thread_group(), task.thread_group()) {
            return Err(Errno::EINVAL);
        }
        return Ok(Arc::new(task_clock(&target, clock.kind)));
    }
    let group = match clock.id {
        0 => task.thread_group().clone(),
        id => tasks.thread_group(namespace, Tid(id)).ok_or(Errno::EINVAL)?,
    };
    Ok(Arc::new(process_clock(&group, clock.kind)))
}

/// A CPU clock, as a function that reads it. One whose process is gone stands still.
struct CpuSource<F>(F);

impl<F: Fn() -> Option<(Duration, Duration)> + Send + Sync> TimeSource for CpuSource<(F, CpuClockKind)> {
    fn now(&self) -> Duration {
        let (user, system) = self.0.0().unwrap_or_default();
        match self.0.1 {
            CpuClockKind::Total => user + system,
            CpuClockKind::User => user,
        }
    }

    fn is_steady(&self) -> bool {
        false
    }
}

fn task_clock(target: &Arc<crate::task::Task>, kind: CpuClockKind) -> impl TimeSource + use<> {
    let target = Arc::downgrade(target);
    CpuSource((move || target.upgrade()?.cpu_times(), kind))
}

fn process_clock(group: &Arc<crate::task::ThreadGroup>, kind: CpuClockKind) -> impl TimeSource + use<> {
    let group = Arc::downgrade(group);
    let read = move || {
        let usage = group.upgrade()?.usage();
        Some((usage.user_time, usage.system_time))
    };
    CpuSource((read, kind))
}

fn clock_gettime(
    task: &mut CurrentTask,
    clock: ClockId,
    address: UserPointer<Timespec>,
) -> Result<(), Errno> {
    check_no_alarm(clock).map_err(|_| Errno::EINVAL)?;
    let now = time_source(task, clock)?.now();
    address.write(task, &timespec(offset(task, clock)?.shown(now)))
}

fn clock_getres(task: &mut CurrentTask, clock: ClockId, address: UserPointer<Timespec>) -> Result<(), Errno> {
    check_no_alarm(clock).map_err(|_| Errno::EINVAL)?;
    let resolution = match clock {
        ClockId::System(clock) => clock.resolution(),
        ClockId::Cpu(clock) => {
            cpu_source(task, clock)?;
            Duration::from_nanos(1)
        }
    };
    address.write_unless_null(task, &timespec(resolution))
}

/// The clocks are the host's: nobody in the sandbox may set them.
/// The latest time that a clock can be set to, in seconds: thirty years before the last one that there is.
const LATEST_SECONDS: u64 = i64::MAX as u64 / 1_000_000_000 - 30 * 365 * 24 * 3600;

/// Sets the time of day.
///
/// # Errors
/// EINVAL, EPERM.
fn set_time_of_day(task: &CurrentTask, time: Duration) -> Result<(), Errno> {
    if time.as_secs() >= LATEST_SECONDS {
        return Err(Errno::EINVAL);
    }
    check_may_set(task)?;
    task.kernel().timekeeper().set_time_of_day(time)
}

/// Fails unless the task may set the clock of the sandbox.
fn check_may_set(task: &CurrentTask) -> Result<(), Errno> {
    if task.credentials().has(Capabilities::SYS_TIME) { Ok(()) } else { Err(Errno::EPERM) }
}

fn clock_settime(
    task: &mut CurrentTask,
    clock: ClockId,
    address: UserPointer<Timespec>,
) -> Result<(), Errno> {
    match clock {
        ClockId::System(SystemClock::Realtime) => {}
        ClockId::Cpu(clock) => return cpu_source(task, clock).and(Err(Errno::EPERM)),
        ClockId::System(_) => return Err(Errno::EINVAL),
    }
    set_time_of_day(task, duration_from_timespec(address.read(task)?)?)
}

fn settimeofday(
    task: &mut CurrentTask,
    time: UserPointer<Timeval>,
    zone: UserPointer<[i32; 2]>,
) -> Result<(), Errno> {
    const MAX_MINUTES_WEST: i32 = 15 * 60;
    let time = time.read_unless_null(task)?.map(duration_from_timeval).transpose()?;
    let zone = zone.read_unless_null(task)?;
    if time.is_some_and(|time| time.as_secs() >= LATEST_SECONDS) {
        return Err(Errno::EINVAL);
    }
    check_may_set(task)?;
    if let Some(zone) = zone {
        if zone[0].abs() > MAX_MINUTES_WEST {
            return Err(Errno::EINVAL);
        }
        *task.kernel().timekeeper().zone().lock() = zone;
    }
    time.map_or(Ok(()), |time| task.kernel().timekeeper().set_time_of_day(time))
}

fn clock_adjtime(task: &mut CurrentTask, clock: ClockId, address: UserPointer<Timex>) -> Result<u32, Errno> {
    match clock {
        ClockId::System(SystemClock::Realtime) => adjtimex(task, address),
        _ => Err(Errno::EOPNOTSUPP),
    }
}

fn adjtimex(task: &mut CurrentTask, place: UserPointer<Timex>) -> Result<u32, Errno> {
    let request = adjustment_request(&place.read(task)?);
    let timekeeper = task.kernel().timekeeper().clone();
    request.check(task.credentials().has(Capabilities::SYS_TIME))?;
    if let Some(step_ns) = request.step_ns() {
        let now = i64::try_from(timekeeper.now(SystemClock::Realtime).as_nanos()).unwrap_or(i64::MAX);
        let time = now.checked_add(step_ns).and_then(|time| u64::try_from(time).ok());
        timekeeper.set_time_of_day(Duration::from_nanos(time.ok_or(Errno::EINVAL)?))?;
    }
    let (told_offset, kept) = {
        let mut adjustment = timekeeper.adjustment().lock();
        (adjustment.change(&request), *adjustment)
    };
    let now = timekeeper.now(SystemClock::Realtime);
    let timex = Timex {
        modes: request.modes,
        offset: told_offset.unwrap_or(kept.offset),
        freq: kept.frequency,
        maxerror: kept.max_error,
        esterror: kept.estimated_error,
        status: kept.status,
        constant: kept.constant,
        precision: 1,
        tolerance: 500 << 16,
        time: if kept.is_nano() { timespec(now) } else { timeval(now) },
        tick: kept.tick,
        tai: kept.tai,
        ..Timex::default()
    };
    place.write(task, &timex)?;
    Ok(kept.state())
}

fn adjustment_request(timex: &Timex) -> AdjustmentRequest {
    let values = Adjustment {
        offset: timex.offset,
        frequency: timex.freq,
        max_error: timex.maxerror,
        estimated_error: timex.esterror,
        status: timex.status,
        constant: timex.constant,
        tick: timex.tick,
        ..Adjustment::default()
    };
    AdjustmentRequest { modes: timex.modes, values, step: timex.time }
}

fn gettimeofday(
    task: &mut CurrentTask,
    time: UserPointer<Timeval>,
    zone: UserPointer<[i32; 2]>,
) -> Result<(), Errno> {
    if !time.is_null() {
        let now = task.kernel().timekeeper().now(SystemClock::Realtime);
        time.write(task, &timeval(now))?;
    }
    let kept = *task.kernel().timekeeper().zone().lock();
    zone.write_unless_null(task, &kept)
}

fn time(task: &mut CurrentTask, address: UserPointer<u64>) -> Result<u64, Errno> {
    let seconds = task.kernel().timekeeper().now(SystemClock::Realtime).as_secs();
    address.write_unless_null(task, &seconds)?;
    Ok(seconds)
}

fn ticks(time: Duration) -> u64 {
    u64::try_from(time.as_nanos() * TICKS_PER_SECOND / 1_000_000_000).unwrap_or(u64::MAX)
}

fn times(task: &mut CurrentTask, address: UserPointer<[u64; 4]>) -> Result<u64, Errno> {
    if !address.is_null() {
        let own = task.thread_group().usage();
        let children = task.kernel().tasks().children_usage(task.thread_group());
        let times = [own.user_time, own.system_time, children.user_time, children.system_time].map(ticks);
        address.write(task, &times)?;
    }
    Ok(ticks(task.kernel().timekeeper().now(SystemClock::Boottime)))
}

fn nanosleep(
    task: &mut CurrentTask,
    request: UserPointer<Timespec>,
    remaining: UserPointer<Timespec>,
) -> Result<(), Errno> {
    let time = duration_from_timespec(request.read(task)?)?;
    let until = task.kernel().timekeeper().now(SystemClock::Monotonic).saturating_add(time);
    sleep_on(task, ClockId::System(SystemClock::Monotonic), until, remaining)
}

fn clock_nanosleep(
    task: &mut CurrentTask,
    number: i32,
    flags: u32,
    request: UserPointer<Timespec>,
    remaining: UserPointer<Timespec>,
) -> Result<(), Errno> {
    let clock = ClockId::from_raw(number)?;
    let has_sleeps = match clock {
        ClockId::System(clock) => clock.has_timers(),
        // By this name Linux knows no sleeps on it at all; by its others they are invalid.
        ClockId::Cpu(_) => number != uapi::CLOCK_THREAD_CPUTIME_ID.cast_signed(),
    };
    if !has_sleeps {
        return Err(Errno::EOPNOTSUPP);
    }
    let time = duration_from_timespec(request.read(task)?)?;
    check_no_alarm(clock)?;
    if let ClockId::Cpu(clock) = clock
        && clock.is_thread
        && [0, task.task().tid()].contains(&clock.id)
    {
        // A thread's own clock stands still while it sleeps.
        return Err(Errno::EINVAL);
    }
    let source = time_source(task, clock)?;
    if flags & uapi::TIMER_ABSTIME == 0 {
        let until = source.now().saturating_add(time);
        return sleep_on(task, clock, until, remaining);
    }
    let time = offset(task, clock)?.machine(time);
    match sleep_until(task, &*source, time) {
        Ok(()) => Ok(()),
        Err(_) => Err(Errno::ERESTARTNOHAND),
    }
}

/// Fails for clocks that wake a machine: as on one without a clock that runs while it is off, nobody can wait for them.
///
/// # Errors
/// EOPNOTSUPP.
fn check_no_alarm(clock: ClockId) -> Result<(), Errno> {
    match clock {
        ClockId::System(clock) if clock.is_alarm() => Err(Errno::EOPNOTSUPP),
        _ => Ok(()),
    }
}

/// Sleeps until `clock` shows `until`. If interrupted it says what is left, and restart_syscall(2) goes on with that.
pub(super) fn sleep_on(
    task: &mut CurrentTask,
    clock: ClockId,
    until: Duration,
    remaining: UserPointer<Timespec>,
) -> Result<(), Errno> {
    let source = time_source(task, clock)?;
    if sleep_until(task, &*source, until).is_ok() {
        return Ok(());
    }
    remaining.write_unless_null(task, &timespec(until.saturating_sub(source.now())))?;
    task.restart_with(RestartBlock::Nanosleep { clock, until, remaining: remaining.address() }).map(drop)
}

/// Sleeps until `source` shows `until`.
fn sleep_until(task: &mut CurrentTask, source: &dyn TimeSource, until: Duration) -> Result<(), Blocked> {
    /// How often a CPU clock is looked at.
    const LONGEST_SAMPLE: Duration = Duration::from_millis(20);
    loop {
        let left = until.saturating_sub(source.now());
        if left.is_zero() {
            return Ok(());
        }
        let wait = if source.is_steady() { left } else { left.min(LONGEST_SAMPLE) };
        match task.block(&[], Instant::now().checked_add(wait), || None::<()>) {
            Err(Blocked::Interrupted) => return Err(Blocked::Interrupted),
            Ok(()) | Err(Blocked::TimedOut) => {}
        }
    }
}

/// The setting that a `struct itimerval` asks for.
fn setting_from_timeval([interval, value]: [Timeval; 2]) -> Result<TimerSetting, Errno> {
    Ok(TimerSetting { value: duration_from_timeval(value)?, interval: duration_from_timeval(interval)? })
}

/// The setting that a `struct itimerspec` asks for.
pub(super) fn setting_from_timespec([interval, value]: [Timespec; 2]) -> Result<TimerSetting, Errno> {
    Ok(TimerSetting { value: duration_from_timespec(value)?, interval: duration_from_timespec(interval)? })
}

/// A setting as `struct itimerval` or `struct itimerspec`.
pub(super) fn setting_words(setting: TimerSetting, words: fn(Duration) -> [i64; 2]) -> [[i64; 2]; 2] {
    [words(setting.interval), words(setting.value)]
}

/// What is left as a timeval: a timer that is armed never shows as zero.
fn timeval_setting(setting: TimerSetting) -> TimerSetting {
    let shortest = if setting.value.is_zero() { Duration::ZERO } else { Duration::from_micros(1) };
    TimerSetting { value: setting.value.max(shortest), ..setting }
}

fn alarm(task: &mut CurrentTask, seconds: u32) -> Result<u64, Errno> {
    let value = Duration::from_secs(seconds.into());
    let old =
        set_interval(task, IntervalTimer::Real, TimerSetting { value, interval: Duration::ZERO })?.value;
    // Rounded, but an alarm that is set never shows as none.
    let rounded = old.as_secs() + u64::from(old.subsec_millis() >= 500);
    Ok(if old.is_zero() { 0 } else { rounded.max(1) })
}

fn set_interval(
    task: &CurrentTask,
    which: IntervalTimer,
    setting: TimerSetting,
) -> Result<TimerSetting, Errno> {
    let group = task.thread_group();
    let source: Arc<dyn TimeSource> = match which {
        IntervalTimer::Real => time_source(task, ClockId::System(SystemClock::Monotonic))?,
        IntervalTimer::Virtual => Arc::new(process_clock(group, CpuClockKind::User)),
        IntervalTimer::Profiling => Arc::new(process_clock(group, CpuClockKind::Total)),
    };
    let weak: Weak<crate::task::ThreadGroup> = Arc::downgrade(group);
    group
        .timers
        .set_interval(which, setting, weak, |listener| Timer::new(task.kernel().timers(), source, listener))
}

fn getitimer(task: &mut CurrentTask, which: i32, address: UserPointer<[Timeval; 2]>) -> Result<(), Errno> {
    let setting = task.thread_group().timers.interval(IntervalTimer::from_raw(which)?);
    address.write(task, &setting_words(timeval_setting(setting), timeval))
}

fn setitimer(
    task: &mut CurrentTask,
    which: i32,
    new: UserPointer<[Timeval; 2]>,
    old: UserPointer<[Timeval; 2]>,
) -> Result<(), Errno> {
    // Without a new setting the timer is disarmed, which Linux regrets and keeps.
    let setting = new.read_unless_null(task)?.map(setting_from_timeval).transpose()?.unwrap_or_default();
    let which = IntervalTimer::from_raw(which)?;
    let setting = if which == IntervalTimer::Real { setting.without_idle_interval() } else { setting };
    let replaced = set_interval(task, which, setting)?;
    old.write_unless_null(task, &setting_words(timeval_setting(replaced), timeval))
}

fn timer_create(
    task: &mut CurrentTask,
    clock: i32,
    event: UserPointer<SignalEvent>,
    id: UserPointer<i32>,
) -> Result<(), Errno> {
    let event = event.read_unless_null(task)?;
    let origin = origin_of(clock, event.as_ref());
    let clock = ClockId::from_raw(clock)?;
    if let ClockId::System(clock) = clock
        && !clock.has_timers()
    {
        return Err(Errno::EOPNOTSUPP);
    }
    let source = time_source(task, clock)?;
    let notification = match event {
        None => Some(PosixTimerNotification {
            signal: Signal::SIGALRM,
            value: None,
            target: process_target(task),
        }),
        Some(event) => notification_of(task, &event)?,
    };
    check_no_alarm(clock)?;
    let group = task.thread_group();
    let limit = group.soft_limit(crate::limits::Resource::PENDING_SIGNALS);
    let number = group.timers.posix.create(notification, origin, limit, |listener| {
        Timer::new(task.kernel().timers(), source, listener)
    })?;
    if let Err(error) = id.write(task, &number) {
        group.timers.posix.delete(number)?;
        return Err(error);
    }
    Ok(())
}

/// How a timer is asked for.
fn origin_of(clock: i32, event: Option<&SignalEvent>) -> PosixTimerOrigin {
    let Some(event) = event else {
        let signal = i32::from(Signal::SIGALRM.number());
        return PosixTimerOrigin { clock, notify: uapi::SIGEV_SIGNAL, signal, value: None, thread_id: 0 };
    };
    let is_for_thread = event.sigev_notify & uapi::SIGEV_THREAD_ID != 0;
    PosixTimerOrigin {
        clock,
        notify: event.sigev_notify,
        signal: event.sigev_signo,
        value: Some(event.sigev_value),
        thread_id: if is_for_thread { event.sigev_notify_thread_id } else { 0 },
    }
}

fn process_target(task: &CurrentTask) -> Weak<dyn SignalTarget> {
    let weak: Weak<crate::task::ThreadGroup> = Arc::downgrade(task.thread_group());
    weak
}

fn notification_of(task: &CurrentTask, event: &SignalEvent) -> Result<Option<PosixTimerNotification>, Errno> {
    let target: Weak<dyn SignalTarget> = match event.sigev_notify {
        uapi::SIGEV_NONE => return Ok(None),
        // The C library makes threads of SIGEV_THREAD itself; alone it is like SIGEV_SIGNAL.
        uapi::SIGEV_SIGNAL | uapi::SIGEV_THREAD => process_target(task),
        uapi::SIGEV_THREAD_ID => {
            let namespace = task.thread_group().pid_namespace();
            let target = task.kernel().tasks().task(namespace, Tid(event.sigev_notify_thread_id));
            let is_own =
                |target: &Arc<crate::task::Task>| Arc::ptr_eq(target.thread_group(), task.thread_group());
            let target = target.filter(is_own).ok_or(Errno::EINVAL)?;
            let weak: Weak<crate::task::Task> = Arc::downgrade(&target);
            weak
        }
        _ => return Err(Errno::EINVAL),
    };
    let (signal, value) = (Signal::new(event.sigev_signo)?, Some(event.sigev_value));
    Ok(Some(PosixTimerNotification { signal, value, target }))
}

fn timer_settime(
    task: &mut CurrentTask,
    id: i32,
    flags: u32,
    new: UserPointer<[Timespec; 2]>,
    old: UserPointer<[Timespec; 2]>,
) -> Result<(), Errno> {
    let setting = new.read_unless_null(task)?.ok_or(Errno::EINVAL)?;
    let setting = setting_from_timespec(setting)?.without_idle_interval();
    let timer = task.thread_group().timers.posix.get(id)?;
    let is_absolute = flags & uapi::TIMER_ABSTIME != 0;
    let setting = machine_setting(task, &**timer.timer().source(), setting, is_absolute);
    let replaced = timer.set(setting, is_absolute)?;
    old.write_unless_null(task, &setting_words(replaced, timespec))
}

fn timer_gettime(task: &mut CurrentTask, id: i32, address: UserPointer<[Timespec; 2]>) -> Result<(), Errno> {
    let setting = task.thread_group().timers.posix.get(id)?.timer().get();
    address.write(task, &setting_words(setting, timespec))
}

fn timer_getoverrun(task: &mut CurrentTask, id: i32) -> Result<i32, Errno> {
    Ok(task.thread_group().timers.posix.get(id)?.overrun())
}

fn timer_delete(task: &mut CurrentTask, id: i32) -> Result<(), Errno> {
    task.thread_group().timers.posix.delete(id)
}
