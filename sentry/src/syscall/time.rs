//! Clocks, sleeps and timers.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use linux_raw_sys::general as uapi;
use syscalls::Sysno;

use super::Handler;
use crate::Errno;
use crate::cred::Capabilities;
use crate::platform::VirtualAddress;
use crate::signal::{Signal, SignalTarget};
use crate::task::{Blocked, CurrentTask, RestartBlock, Tid};
use crate::time::{
    ClockId, ClockOffset, CpuClock, CpuClockKind, IntervalTimer, PosixTimerNotification, SystemClock,
    TimeSource, Timer, TimerSetting, duration_from_timespec, duration_from_timeval, timespec, timeval,
};

pub(super) const HANDLERS: &[(Sysno, Handler)] = &[
    (Sysno::clock_gettime, clock_gettime),
    (Sysno::clock_getres, clock_getres),
    (Sysno::clock_settime, clock_settime),
    (Sysno::clock_adjtime, clock_adjtime),
    (Sysno::adjtimex, adjtimex),
    (Sysno::gettimeofday, gettimeofday),
    (Sysno::settimeofday, settimeofday),
    (Sysno::time, time),
    (Sysno::times, times),
    (Sysno::nanosleep, nanosleep),
    (Sysno::clock_nanosleep, clock_nanosleep),
    (Sysno::alarm, alarm),
    (Sysno::getitimer, getitimer),
    (Sysno::setitimer, setitimer),
    (Sysno::timer_create, timer_create),
    (Sysno::timer_settime, timer_settime),
    (Sysno::timer_gettime, timer_gettime),
    (Sysno::timer_getoverrun, timer_getoverrun),
    (Sysno::timer_delete, timer_delete),
];

/// Clock ticks a second (`man 7 time`, USER_HZ).
const TICKS_PER_SECOND: u128 = 100;

/// The clock that `raw` names for this task, as the machine has it: a time namespace shows it shifted by [`offset`].
///
/// # Errors
/// EINVAL: there is none, or its process has ended.
pub(super) fn time_source(task: &CurrentTask, raw: u64) -> Result<Arc<dyn TimeSource>, Errno> {
    source_of(task, ClockId::from_raw(raw as i32)?)
}

fn source_of(task: &CurrentTask, clock: ClockId) -> Result<Arc<dyn TimeSource>, Errno> {
    match clock {
        ClockId::System(clock) => {
            Ok(Arc::new(SystemSource { timekeeper: task.kernel().timekeeper().clone(), clock }))
        }
        ClockId::Cpu(clock) => cpu_source(task, clock),
    }
}

/// How far the task's time namespace shows the clock that `raw` names ahead of the machine's.
///
/// # Errors
/// EINVAL: there is no such clock.
pub(super) fn offset(task: &CurrentTask, raw: u64) -> Result<ClockOffset, Errno> {
    match ClockId::from_raw(raw as i32)? {
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

fn write_timespec(task: &CurrentTask, address: u64, time: Duration) -> Result<(), Errno> {
    task.memory().write_object(VirtualAddress(address), &timespec(time))
}

fn clock_gettime(task: &mut CurrentTask, [clock, address, ..]: [u64; 6]) -> Result<usize, Errno> {
    let now = time_source(task, clock)?.now();
    write_timespec(task, address, offset(task, clock)?.shown(now))?;
    Ok(0)
}

fn clock_getres(task: &mut CurrentTask, [clock, address, ..]: [u64; 6]) -> Result<usize, Errno> {
    let resolution = match ClockId::from_raw(clock as i32)? {
        ClockId::System(clock) => clock.resolution(),
        ClockId::Cpu(clock) => {
            cpu_source(task, clock)?;
            Duration::from_nanos(1)
        }
    };
    if address != 0 {
        write_timespec(task, address, resolution)?;
    }
    Ok(0)
}

/// The clocks are the host's: nobody in the sandbox may set them.
fn clock_settime(task: &mut CurrentTask, [clock, address, ..]: [u64; 6]) -> Result<usize, Errno> {
    let is_settable = ClockId::from_raw(clock as i32)? == ClockId::System(SystemClock::Realtime);
    duration_from_timespec(task.memory().read_object(VirtualAddress(address))?)?;
    Err(if is_settable { Errno::EPERM } else { Errno::EINVAL })
}

fn settimeofday(_: &mut CurrentTask, _: [u64; 6]) -> Result<usize, Errno> {
    Err(Errno::EPERM)
}

fn clock_adjtime(task: &mut CurrentTask, [clock, address, ..]: [u64; 6]) -> Result<usize, Errno> {
    match ClockId::from_raw(clock as i32)? {
        ClockId::System(SystemClock::Realtime) => read_adjustment(task, address),
        _ => Err(Errno::EOPNOTSUPP),
    }
}

fn adjtimex(task: &mut CurrentTask, [address, ..]: [u64; 6]) -> Result<usize, Errno> {
    read_adjustment(task, address)
}

/// `struct timex` as words: the adjustment can be read, as that of a clock that nobody synchronises.
fn read_adjustment(task: &CurrentTask, address: u64) -> Result<usize, Errno> {
    const STATUS: usize = 5;
    const PRECISION: usize = 7;
    const TOLERANCE: usize = 8;
    const SECONDS: usize = 9;
    const MICROSECONDS: usize = 10;
    const TICK: usize = 11;
    const STA_UNSYNC: u64 = 0x40;
    const TIME_ERROR: usize = 5;
    let mut timex: [u64; 26] = task.memory().read_object(VirtualAddress(address))?;
    let modes = timex[0] as u32;
    if modes != 0 {
        return Err(Errno::EPERM);
    }
    timex = [0; 26];
    let [seconds, microseconds] = timeval(task.kernel().timekeeper().now(SystemClock::Realtime));
    for (place, value) in [
        (STATUS, STA_UNSYNC),
        (PRECISION, 1),
        (TOLERANCE, 500 << 16),
        (SECONDS, seconds as u64),
        (MICROSECONDS, microseconds as u64),
        (TICK, 10_000),
    ] {
        timex[place] = value;
    }
    task.memory().write_object(VirtualAddress(address), &timex)?;
    Ok(TIME_ERROR)
}

fn gettimeofday(task: &mut CurrentTask, [time, zone, ..]: [u64; 6]) -> Result<usize, Errno> {
    if time != 0 {
        let now = task.kernel().timekeeper().now(SystemClock::Realtime);
        task.memory().write_object(VirtualAddress(time), &timeval(now))?;
    }
    if zone != 0 {
        task.memory().write_object(VirtualAddress(zone), &[0_i32; 2])?;
    }
    Ok(0)
}

fn time(task: &mut CurrentTask, [address, ..]: [u64; 6]) -> Result<usize, Errno> {
    let seconds = task.kernel().timekeeper().now(SystemClock::Realtime).as_secs();
    if address != 0 {
        task.memory().write_object(VirtualAddress(address), &seconds)?;
    }
    Ok(seconds as usize)
}

fn ticks(time: Duration) -> u64 {
    u64::try_from(time.as_nanos() * TICKS_PER_SECOND / 1_000_000_000).unwrap_or(u64::MAX)
}

fn times(task: &mut CurrentTask, [address, ..]: [u64; 6]) -> Result<usize, Errno> {
    if address != 0 {
        let own = task.thread_group().usage();
        let children = task.kernel().tasks().children_usage(task.thread_group());
        let times = [own.user_time, own.system_time, children.user_time, children.system_time].map(ticks);
        task.memory().write_object(VirtualAddress(address), &times)?;
    }
    Ok(ticks(task.kernel().timekeeper().now(SystemClock::Boottime)) as usize)
}

fn nanosleep(task: &mut CurrentTask, [request, remaining, ..]: [u64; 6]) -> Result<usize, Errno> {
    let time = duration_from_timespec(task.memory().read_object(VirtualAddress(request))?)?;
    let until = task.kernel().timekeeper().now(SystemClock::Monotonic).saturating_add(time);
    sleep_on(task, ClockId::System(SystemClock::Monotonic), until, remaining)
}

fn clock_nanosleep(
    task: &mut CurrentTask,
    [clock, flags, request, remaining, ..]: [u64; 6],
) -> Result<usize, Errno> {
    match ClockId::from_raw(clock as i32)? {
        ClockId::System(clock) if !clock.has_timers() => return Err(Errno::EOPNOTSUPP),
        // A thread's own clock stands still while it sleeps.
        ClockId::Cpu(clock) if clock.is_thread && [0, task.task().number()].contains(&clock.id) => {
            return Err(Errno::EINVAL);
        }
        _ => {}
    }
    check_alarm(task, clock)?;
    let source = time_source(task, clock)?;
    let time = duration_from_timespec(task.memory().read_object(VirtualAddress(request))?)?;
    if flags as u32 & uapi::TIMER_ABSTIME == 0 {
        let until = source.now().saturating_add(time);
        return sleep_on(task, ClockId::from_raw(clock as i32)?, until, remaining);
    }
    let time = offset(task, clock)?.machine(time);
    match sleep_until(task, &*source, time) {
        Ok(()) => Ok(0),
        Err(_) => Err(Errno::ERESTARTNOHAND),
    }
}

/// Clocks that wake a machine take CAP_WAKE_ALARM, which is above the capabilities that the sandbox gives
/// names to.
fn check_alarm(task: &CurrentTask, raw: u64) -> Result<(), Errno> {
    const WAKE_ALARM: Capabilities = Capabilities::from_bits_retain(1 << 35);
    match ClockId::from_raw(raw as i32)? {
        ClockId::System(clock) if clock.is_alarm() && !task.credentials().has(WAKE_ALARM) => {
            Err(Errno::EPERM)
        }
        _ => Ok(()),
    }
}

/// Sleeps until `clock` shows `until`. If interrupted it says what is left, and restart_syscall(2) goes on with that.
pub(super) fn sleep_on(
    task: &mut CurrentTask,
    clock: ClockId,
    until: Duration,
    remaining: u64,
) -> Result<usize, Errno> {
    let source = source_of(task, clock)?;
    if sleep_until(task, &*source, until).is_ok() {
        return Ok(0);
    }
    if remaining != 0 {
        write_timespec(task, remaining, until.saturating_sub(source.now()))?;
    }
    task.restart_with(RestartBlock::Nanosleep { clock, until, remaining })
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

/// `struct itimerval` as words.
fn setting_from_timeval(
    [interval_s, interval_us, value_s, value_us]: [i64; 4],
) -> Result<TimerSetting, Errno> {
    Ok(TimerSetting {
        value: duration_from_timeval([value_s, value_us])?,
        interval: duration_from_timeval([interval_s, interval_us])?,
    })
}

/// A setting as `struct itimerval` or `struct itimerspec`.
fn setting_words(setting: TimerSetting, words: fn(Duration) -> [i64; 2]) -> [i64; 4] {
    let ([interval_s, interval_rest], [value_s, value_rest]) =
        (words(setting.interval), words(setting.value));
    [interval_s, interval_rest, value_s, value_rest]
}

/// What is left as a timeval: a timer that is armed never shows as zero.
fn timeval_setting(setting: TimerSetting) -> TimerSetting {
    let shortest = if setting.value.is_zero() { Duration::ZERO } else { Duration::from_micros(1) };
    TimerSetting { value: setting.value.max(shortest), ..setting }
}

fn alarm(task: &mut CurrentTask, [seconds, ..]: [u64; 6]) -> Result<usize, Errno> {
    let value = Duration::from_secs(u64::from(seconds as u32));
    let old =
        set_interval(task, IntervalTimer::Real, TimerSetting { value, interval: Duration::ZERO })?.value;
    // Rounded, but an alarm that is set never shows as none.
    let rounded = old.as_secs() + u64::from(old.subsec_millis() >= 500);
    Ok(if old.is_zero() { 0 } else { rounded.max(1) } as usize)
}

fn set_interval(
    task: &CurrentTask,
    which: IntervalTimer,
    setting: TimerSetting,
) -> Result<TimerSetting, Errno> {
    let group = task.thread_group();
    let source: Arc<dyn TimeSource> = match which {
        IntervalTimer::Real => time_source(task, u64::from(uapi::CLOCK_MONOTONIC))?,
        IntervalTimer::Virtual => Arc::new(process_clock(group, CpuClockKind::User)),
        IntervalTimer::Profiling => Arc::new(process_clock(group, CpuClockKind::Total)),
    };
    let weak: Weak<crate::task::ThreadGroup> = Arc::downgrade(group);
    group
        .timers
        .set_interval(which, setting, weak, |listener| Timer::new(task.kernel().timers(), source, listener))
}

fn getitimer(task: &mut CurrentTask, [which, address, ..]: [u64; 6]) -> Result<usize, Errno> {
    let setting = task.thread_group().timers.interval(IntervalTimer::from_raw(which as i32)?);
    let words = setting_words(timeval_setting(setting), timeval);
    task.memory().write_object(VirtualAddress(address), &words)?;
    Ok(0)
}

fn setitimer(task: &mut CurrentTask, [which, new, old, ..]: [u64; 6]) -> Result<usize, Errno> {
    // Without a new setting the timer is disarmed, which Linux regrets and keeps.
    let setting = match new {
        0 => TimerSetting::default(),
        address => setting_from_timeval(task.memory().read_object(VirtualAddress(address))?)?,
    };
    let replaced = set_interval(task, IntervalTimer::from_raw(which as i32)?, setting)?;
    if old != 0 {
        let words = setting_words(timeval_setting(replaced), timeval);
        task.memory().write_object(VirtualAddress(old), &words)?;
    }
    Ok(0)
}

/// `struct sigevent` in words: the value, the signal and the kind of notification, the thread.
const SIGEVENT_WORDS: usize = uapi::SIGEV_MAX_SIZE as usize / 8;

fn timer_create(task: &mut CurrentTask, [clock, event, id, ..]: [u64; 6]) -> Result<usize, Errno> {
    if let ClockId::System(clock) = ClockId::from_raw(clock as i32)?
        && !clock.has_timers()
    {
        return Err(Errno::EOPNOTSUPP);
    }
    check_alarm(task, clock)?;
    let source = time_source(task, clock)?;
    let notification = match event {
        0 => Some(PosixTimerNotification {
            signal: Signal::SIGALRM,
            value: None,
            target: process_target(task),
        }),
        address => read_notification(task, address)?,
    };
    let group = task.thread_group();
    let limit = group.soft_limit(crate::limits::Resource::PENDING_SIGNALS);
    let number = group
        .timers
        .posix
        .create(notification, limit, |listener| Timer::new(task.kernel().timers(), source, listener))?;
    if let Err(error) = task.memory().write_object(VirtualAddress(id), &number) {
        group.timers.posix.delete(number)?;
        return Err(error);
    }
    Ok(0)
}

fn process_target(task: &CurrentTask) -> Weak<dyn SignalTarget> {
    let weak: Weak<crate::task::ThreadGroup> = Arc::downgrade(task.thread_group());
    weak
}

fn read_notification(task: &CurrentTask, address: u64) -> Result<Option<PosixTimerNotification>, Errno> {
    let [value, kind, thread, ..]: [u64; SIGEVENT_WORDS] =
        task.memory().read_object(VirtualAddress(address))?;
    let target: Weak<dyn SignalTarget> = match (kind >> 32) as u32 {
        uapi::SIGEV_NONE => return Ok(None),
        // The C library makes threads of SIGEV_THREAD itself; alone it is like SIGEV_SIGNAL.
        uapi::SIGEV_SIGNAL | uapi::SIGEV_THREAD => process_target(task),
        uapi::SIGEV_THREAD_ID => {
            let namespace = task.thread_group().pid_namespace();
            let target = task.kernel().tasks().task(namespace, Tid(thread as i32));
            let is_own =
                |target: &Arc<crate::task::Task>| Arc::ptr_eq(target.thread_group(), task.thread_group());
            let target = target.filter(is_own).ok_or(Errno::EINVAL)?;
            let weak: Weak<crate::task::Task> = Arc::downgrade(&target);
            weak
        }
        _ => return Err(Errno::EINVAL),
    };
    Ok(Some(PosixTimerNotification { signal: Signal::new(kind as i32)?, value: Some(value), target }))
}

fn timer_settime(task: &mut CurrentTask, [id, flags, new, old, ..]: [u64; 6]) -> Result<usize, Errno> {
    let timer = task.thread_group().timers.posix.get(id as i32)?;
    let [interval_s, interval_ns, value_s, value_ns]: [i64; 4] =
        task.memory().read_object(VirtualAddress(new))?;
    let setting = TimerSetting {
        value: duration_from_timespec([value_s, value_ns])?,
        interval: duration_from_timespec([interval_s, interval_ns])?,
    };
    let is_absolute = flags as u32 & uapi::TIMER_ABSTIME != 0;
    let setting = machine_setting(task, &**timer.timer().source(), setting, is_absolute);
    let replaced = timer.timer().set(setting, is_absolute)?;
    if old != 0 {
        task.memory().write_object(VirtualAddress(old), &setting_words(replaced, timespec))?;
    }
    Ok(0)
}

fn timer_gettime(task: &mut CurrentTask, [id, address, ..]: [u64; 6]) -> Result<usize, Errno> {
    let setting = task.thread_group().timers.posix.get(id as i32)?.timer().get();
    task.memory().write_object(VirtualAddress(address), &setting_words(setting, timespec))?;
    Ok(0)
}

fn timer_getoverrun(task: &mut CurrentTask, [id, ..]: [u64; 6]) -> Result<usize, Errno> {
    Ok(task.thread_group().timers.posix.get(id as i32)?.overrun() as usize)
}

fn timer_delete(task: &mut CurrentTask, [id, ..]: [u64; 6]) -> Result<usize, Errno> {
    task.thread_group().timers.posix.delete(id as i32).map(|()| 0)
}
