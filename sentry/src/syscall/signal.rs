//! Signals.

use std::sync::Arc;
use std::time::Instant;

use linux_raw_sys::general::{SIG_BLOCK, SIG_SETMASK, SIG_UNBLOCK};
use syscalls::Sysno;

use super::Handler;
use crate::Errno;
use crate::abi::Siginfo;
use crate::cred::{Capabilities, Credentials, OVERFLOW_ID, UserNamespace};
use crate::platform::VirtualAddress;
use crate::signal::{Action, Signal, SignalInfo, SignalSet};
use crate::task::{CurrentTask, Task, ThreadGroup, Tid};
use crate::time::duration_from_timespec;

pub(super) const HANDLERS: &[(Sysno, Handler)] = &[
    (Sysno::rt_sigaction, rt_sigaction),
    (Sysno::rt_sigprocmask, rt_sigprocmask),
    (Sysno::rt_sigpending, rt_sigpending),
    (Sysno::rt_sigsuspend, rt_sigsuspend),
    (Sysno::rt_sigtimedwait, rt_sigtimedwait),
    (Sysno::rt_sigqueueinfo, rt_sigqueueinfo),
    (Sysno::rt_tgsigqueueinfo, rt_tgsigqueueinfo),
    (Sysno::rt_sigreturn, rt_sigreturn),
    (Sysno::sigaltstack, sigaltstack),
    (Sysno::pause, pause),
    (Sysno::kill, kill),
    (Sysno::tkill, tkill),
    (Sysno::tgkill, tgkill),
];

/// Checks the size that a caller gives for its sets.
fn check_set_size(size: u64) -> Result<(), Errno> {
    if size == SignalSet::SIZE_BYTES { Ok(()) } else { Err(Errno::EINVAL) }
}

/// Copies a set in, as a mask of what is blocked. For all calls that take one.
pub(super) fn read_mask(task: &CurrentTask, address: u64, size: u64) -> Result<SignalSet, Errno> {
    check_set_size(size)?;
    Ok(read_set(task, address)?.as_blocked_mask())
}

fn read_set(task: &CurrentTask, address: u64) -> Result<SignalSet, Errno> {
    task.memory().read_object(VirtualAddress(address)).map(SignalSet::from_bits)
}

fn write_set(task: &CurrentTask, address: u64, set: SignalSet) -> Result<(), Errno> {
    task.memory().write_object(VirtualAddress(address), &set.bits())
}

fn rt_sigaction(task: &mut CurrentTask, [signal, new, old, size, ..]: [u64; 6]) -> Result<usize, Errno> {
    check_set_size(size)?;
    let signal = Signal::new(signal as i32)?;
    let new = match new {
        0 => None,
        address => Some(Action::from_words(task.memory().read_object(VirtualAddress(address))?)),
    };
    let actions = task.thread_group().signal_actions();
    let replaced = match new {
        None => actions.lock().get(signal),
        Some(action) => actions.lock().set(signal, action)?,
    };
    if new.is_some_and(|action| action.ignores(signal)) {
        task.thread_group().discard_signal(signal);
    }
    if old != 0 {
        task.memory().write_object(VirtualAddress(old), &replaced.to_words())?;
    }
    Ok(0)
}

fn rt_sigprocmask(task: &mut CurrentTask, [how, set, old, size, ..]: [u64; 6]) -> Result<usize, Errno> {
    check_set_size(size)?;
    let current = task.task().signal_mask();
    if set != 0 {
        let set = read_set(task, set)?;
        let mask = match how as u32 {
            SIG_BLOCK => current | set,
            SIG_UNBLOCK => current - set,
            SIG_SETMASK => set,
            _ => return Err(Errno::EINVAL),
        };
        task.set_signal_mask(mask);
    }
    if old != 0 {
        write_set(task, old, current)?;
    }
    Ok(0)
}

fn rt_sigpending(task: &mut CurrentTask, [set, size, ..]: [u64; 6]) -> Result<usize, Errno> {
    // Shorter sets are filled as far as they go, as Linux does it.
    if size > SignalSet::SIZE_BYTES {
        return Err(Errno::EINVAL);
    }
    let pending = task.task().pending_signals() | task.thread_group().pending_signals();
    let blocked = pending & task.task().signal_mask();
    let bytes = blocked.bits().to_le_bytes();
    task.memory().write_bytes(VirtualAddress(set), &bytes[..size as usize])?;
    Ok(0)
}

fn rt_sigsuspend(task: &mut CurrentTask, [set, size, ..]: [u64; 6]) -> Result<usize, Errno> {
    let mask = read_mask(task, set, size)?;
    task.with_signal_mask(mask, wait_for_handler)
}

fn pause(task: &mut CurrentTask, _: [u64; 6]) -> Result<usize, Errno> {
    wait_for_handler(task)
}

/// Sleeps until a signal is delivered.
fn wait_for_handler(task: &mut CurrentTask) -> Result<usize, Errno> {
    // Nothing but an interruption ends it.
    let _ = task.block(&[], None, || None::<()>);
    Err(Errno::ERESTARTNOHAND)
}

fn rt_sigtimedwait(task: &mut CurrentTask, [set, info, timeout, size, ..]: [u64; 6]) -> Result<usize, Errno> {
    check_set_size(size)?;
    let accepted = read_set(task, set)?.as_blocked_mask();
    let deadline = match timeout {
        0 => None,
        address => {
            let timeout = duration_from_timespec(task.memory().read_object(VirtualAddress(address))?)?;
            Instant::now().checked_add(timeout)
        }
    };
    let taken = task.wait_for_signal(accepted, deadline).map_err(|blocked| match blocked {
        crate::task::Blocked::Interrupted => Errno::EINTR,
        crate::task::Blocked::TimedOut => Errno::EAGAIN,
    })?;
    if info != 0 {
        task.memory().write_object(VirtualAddress(info), &taken.to_user())?;
    }
    Ok(usize::from(taken.signal.number()))
}

fn rt_sigreturn(task: &mut CurrentTask, _: [u64; 6]) -> Result<usize, Errno> {
    task.return_from_handler();
    Ok(0)
}

fn sigaltstack(task: &mut CurrentTask, [new, old, ..]: [u64; 6]) -> Result<usize, Errno> {
    let current = task.signal_stack.to_user(task.registers.rsp);
    if new != 0 {
        task.set_signal_stack(task.memory().read_object(VirtualAddress(new))?)?;
    }
    if old != 0 {
        task.memory().write_object(VirtualAddress(old), &current)?;
    }
    Ok(0)
}

fn kill(task: &mut CurrentTask, [pid, signal, ..]: [u64; 6]) -> Result<usize, Errno> {
    let signal = signal as i32;
    let tasks = task.kernel().tasks();
    let namespace = task.thread_group().pid_namespace();
    match pid as i32 {
        pid if pid > 0 => {
            // Any of its threads names a process.
            let target = tasks.task(namespace, Tid(pid)).ok_or(Errno::ESRCH)?;
            kill_process(task, &target, signal)?;
        }
        -1 => {
            // Everybody but the caller and init.
            let is_other = |number: Tid, group: &Arc<ThreadGroup>| {
                number > Tid::INIT && !Arc::ptr_eq(group, task.thread_group())
            };
            tasks.broadcast(|| {
                let groups = tasks.thread_groups(namespace).into_iter();
                let others =
                    groups.filter(|(number, group)| is_other(*number, group)).map(|(_, group)| group);
                // As on Linux, that none of them may be signalled is no error.
                match kill_each(task, &others.collect::<Vec<_>>(), signal) {
                    Err(Errno::EPERM) => Ok(()),
                    result => result,
                }
            })?;
        }
        pid => {
            let number = match pid {
                0 => tasks.process_group_and_session(task.thread_group(), namespace).0,
                _ => Tid(pid.checked_neg().ok_or(Errno::ESRCH)?),
            };
            tasks.broadcast(|| {
                let members = tasks.process_group(namespace, number).ok_or(Errno::ESRCH)?;
                kill_each(task, &members, signal)
            })?;
        }
    }
    Ok(0)
}

/// Sends `signal` to all of `groups`: a success if one may be sent it.
fn kill_each(task: &CurrentTask, groups: &[Arc<ThreadGroup>], signal: i32) -> Result<(), Errno> {
    signal_each(task, groups, |leader| kill_process(task, leader, signal))
}

/// Calls `send` with the leader of each of `groups`: a success if one is.
pub(super) fn signal_each(
    task: &CurrentTask,
    groups: &[Arc<ThreadGroup>],
    mut send: impl FnMut(&Arc<Task>) -> Result<(), Errno>,
) -> Result<(), Errno> {
    let mut outcome = Err(Errno::ESRCH);
    for group in groups {
        let Some(leader) = task.kernel().tasks().leader(group) else { continue };
        let result = send(&leader);
        if outcome.is_err() {
            outcome = result;
        }
    }
    outcome
}

/// Sends `signal` to the process of `target`: zombies take any.
pub(super) fn kill_process(task: &CurrentTask, target: &Arc<Task>, signal: i32) -> Result<(), Errno> {
    let signal = Signal::new_or_probe(signal)?;
    check_permission(task, target, signal)?;
    if let Some(signal) = signal {
        let group = target.thread_group();
        let uid = sender_uid(task, &group.user_namespace());
        group.send_signal(SignalInfo::from_kill(signal, sender_pid(task, group), uid));
    }
    Ok(())
}

fn tkill(task: &mut CurrentTask, [tid, signal, ..]: [u64; 6]) -> Result<usize, Errno> {
    let target = find_task(task, None, tid as i32)?;
    kill_task(task, &target, signal as i32)
}

fn tgkill(task: &mut CurrentTask, [tgid, tid, signal, ..]: [u64; 6]) -> Result<usize, Errno> {
    let target = find_task(task, Some(tgid as i32), tid as i32)?;
    kill_task(task, &target, signal as i32)
}

/// The task that the caller calls `tid`, of the process that it calls `tgid`.
fn find_task(task: &CurrentTask, tgid: Option<i32>, tid: i32) -> Result<Arc<Task>, Errno> {
    if tid <= 0 || tgid.is_some_and(|tgid| tgid <= 0) {
        return Err(Errno::EINVAL);
    }
    let tasks = task.kernel().tasks();
    let namespace = task.thread_group().pid_namespace();
    let found = tasks.task(namespace, Tid(tid)).ok_or(Errno::ESRCH)?;
    let is_member = tgid.is_none_or(|tgid| tasks.group_number(found.thread_group(), namespace) == Tid(tgid));
    if is_member { Ok(found) } else { Err(Errno::ESRCH) }
}

/// Sends to one task what tgkill(2) sends.
pub(super) fn kill_task(task: &CurrentTask, target: &Arc<Task>, signal: i32) -> Result<usize, Errno> {
    let signal = Signal::new_or_probe(signal)?;
    check_permission(task, target, signal)?;
    if let Some(signal) = signal {
        let pid = sender_pid(task, target.thread_group());
        let uid = sender_uid(task, &target.credentials().user_namespace);
        target.try_send_signal(SignalInfo::from_tkill(signal, pid, uid))?;
    }
    Ok(0)
}

fn rt_sigqueueinfo(task: &mut CurrentTask, [pid, signal, info, ..]: [u64; 6]) -> Result<usize, Errno> {
    let (pid, signal) = (pid as i32, signal as i32);
    let info = read_info(task, signal, info)?;
    check_may_compose(&info, task.task().number() == pid)?;
    // Any of its threads names a process.
    let namespace = task.thread_group().pid_namespace();
    let target = task.kernel().tasks().task(namespace, Tid(pid)).ok_or(Errno::ESRCH)?;
    queue_to_process(task, &target, signal, info)
}

fn rt_tgsigqueueinfo(
    task: &mut CurrentTask,
    [tgid, tid, signal, info, ..]: [u64; 6],
) -> Result<usize, Errno> {
    let (tgid, tid, signal) = (tgid as i32, tid as i32, signal as i32);
    let info = read_info(task, signal, info)?;
    if tgid <= 0 || tid <= 0 {
        return Err(Errno::EINVAL);
    }
    check_may_compose(&info, task.task().number() == tid)?;
    let target = find_task(task, Some(tgid), tid)?;
    queue_to_task(task, &target, signal, info)
}

/// Nobody but the receiver itself may make up what only the kernel and kill(2) say.
///
/// # Errors
/// EPERM.
pub(super) fn check_may_compose(info: &SignalInfo, is_to_oneself: bool) -> Result<(), Errno> {
    if info.is_kernel_only() && !is_to_oneself { Err(Errno::EPERM) } else { Ok(()) }
}

/// Sends to one task, with the caller's own siginfo_t.
pub(super) fn queue_to_task(
    task: &CurrentTask,
    target: &Arc<Task>,
    signal: i32,
    info: SignalInfo,
) -> Result<usize, Errno> {
    let signal = Signal::new_or_probe(signal)?;
    check_permission(task, target, signal)?;
    if signal.is_some() {
        let namespace = target.credentials().user_namespace.clone();
        target.try_send_signal(translated(task, info, &namespace))?;
    }
    Ok(0)
}

/// Sends to the process of `target`, with the caller's own siginfo_t.
pub(super) fn queue_to_process(
    task: &CurrentTask,
    target: &Arc<Task>,
    signal: i32,
    info: SignalInfo,
) -> Result<usize, Errno> {
    let signal = Signal::new_or_probe(signal)?;
    check_permission(task, target, signal)?;
    if signal.is_some() {
        let group = target.thread_group();
        group.try_send_signal(translated(task, info, &group.user_namespace()))?;
    }
    Ok(0)
}

/// Copies a siginfo_t in, to be sent as `signal`; for a number that is none, the info names some signal that is not sent.
pub(super) fn read_info(task: &CurrentTask, signal: i32, address: u64) -> Result<SignalInfo, Errno> {
    let user: Siginfo = task.memory().read_object(VirtualAddress(address))?;
    let info = SignalInfo::from_user(Signal::new(signal).unwrap_or(Signal::SIGCONT), &user);
    // What is not known to be without meaning must be without content, too.
    if !info.has_known_layout() && user.fields[SignalInfo::USED_WORDS..].iter().any(|word| *word != 0) {
        return Err(Errno::E2BIG);
    }
    Ok(info)
}

fn sender_pid(task: &CurrentTask, receiver: &ThreadGroup) -> i32 {
    task.kernel().tasks().group_number(task.thread_group(), receiver.pid_namespace()).0
}

/// What a task in `receiver` calls the sender. As on Linux, it is the sender's own number that is translated: who has
/// none is nobody everywhere.
fn sender_uid(task: &CurrentTask, receiver: &UserNamespace) -> u32 {
    let sender = task.credentials();
    let namespace = &sender.user_namespace;
    translated_uid(namespace, namespace.from_kernel_uid(sender.real_uid), receiver)
}

/// What a task in `receiver` calls the user whom one in `sender` calls `uid`.
fn translated_uid(sender: &UserNamespace, uid: u32, receiver: &UserNamespace) -> u32 {
    sender.to_kernel_uid(uid).map_or(OVERFLOW_ID, |uid| receiver.from_kernel_uid(uid))
}

/// `info`, which the caller made up, as a task in `receiver` numbers users.
fn translated(task: &CurrentTask, info: SignalInfo, receiver: &UserNamespace) -> SignalInfo {
    info.with_uid(|uid| translated_uid(&task.credentials().user_namespace, uid, receiver))
}

/// Whether the caller may send `signal` to `target` (`man 2 kill`).
pub(super) fn check_permission(
    task: &CurrentTask,
    target: &Arc<Task>,
    signal: Option<Signal>,
) -> Result<(), Errno> {
    let is_own = Arc::ptr_eq(target.thread_group(), task.thread_group());
    if is_own || may_signal(&task.credentials(), &target.credentials()) {
        return Ok(());
    }
    let session =
        |group: &ThreadGroup| task.kernel().tasks().process_group_ids(group).map(|(_, session)| session);
    let is_same_session = session(task.thread_group()) == session(target.thread_group());
    if signal == Some(Signal::SIGCONT) && is_same_session { Ok(()) } else { Err(Errno::EPERM) }
}

fn may_signal(sender: &Credentials, target: &Credentials) -> bool {
    let is_same = |uid| uid == target.real_uid || uid == target.saved_uid;
    is_same(sender.effective_uid)
        || is_same(sender.real_uid)
        || sender.has_in(&target.user_namespace, Capabilities::KILL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_may_signal_one_s_own_and_with_a_capability_all() {
        let (user, other) = (Credentials::of_user(1000, 1000), Credentials::of_user(1001, 1001));
        assert!(may_signal(&user, &user));
        assert!(!may_signal(&user, &other));
        assert!(may_signal(&Credentials::root(), &other));
        // A set-user-ID program can still be signalled by whoever started it.
        let set_uid = Credentials { effective_uid: 0, saved_uid: 0, ..user.clone() };
        assert!(may_signal(&user, &set_uid));
    }
}
