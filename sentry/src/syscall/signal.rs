//! Signals.

use std::sync::Arc;
use std::time::Instant;

use linux_raw_sys::general::{SIG_BLOCK, SIG_SETMASK, SIG_UNBLOCK};
use syscalls::Sysno;
use zerocopy::IntoBytes;

use super::Handler;
use super::arguments::{UserPointer, handlers};
use crate::Errno;
use crate::abi::{Siginfo, SignalStack, Timespec};
use crate::cred::{Capabilities, Credentials, Uid, UserNamespace};
use crate::landlock::{Domain, Scopes};
use crate::signal::{Action, Signal, SignalInfo, SignalSet};
use crate::task::{CurrentTask, Task, ThreadGroup, Tid};
use crate::time::duration_from_timespec;

pub(super) const HANDLERS: &[(Sysno, Handler)] = handlers![
    rt_sigaction,
    rt_sigprocmask,
    rt_sigpending,
    rt_sigsuspend,
    rt_sigtimedwait,
    rt_sigqueueinfo,
    rt_tgsigqueueinfo,
    rt_sigreturn,
    sigaltstack,
    pause,
    kill,
    tkill,
    tgkill,
];

/// Checks the size that a caller gives for its sets.
fn check_set_size(size: u64) -> Result<(), Errno> {
    if size == SignalSet::SIZE_BYTES { Ok(()) } else { Err(Errno::EINVAL) }
}

/// Copies a set in, as a mask of what is blocked. For all calls that take one.
pub(super) fn read_mask(
    task: &CurrentTask,
    set: UserPointer<SignalSet>,
    size: u64,
) -> Result<SignalSet, Errno> {
    check_set_size(size)?;
    Ok(set.read(task)?.as_blocked_mask())
}

fn rt_sigaction(
    task: &mut CurrentTask,
    signal: i32,
    new: UserPointer<[u64; 4]>,
    old: UserPointer<[u64; 4]>,
    size: u64,
) -> Result<(), Errno> {
    check_set_size(size)?;
    let new = new.read_unless_null(task)?.map(Action::from_words);
    let signal = Signal::new(signal)?;
    let actions = task.thread_group().signal_actions();
    let replaced = match new {
        None => actions.lock().get(signal),
        Some(action) => actions.lock().set(signal, action)?,
    };
    if new.is_some_and(|action| action.ignores(signal)) {
        task.thread_group().discard_signal(signal);
    }
    old.write_unless_null(task, &replaced.to_words())
}

fn rt_sigprocmask(
    task: &mut CurrentTask,
    how: u32,
    set: UserPointer<SignalSet>,
    old: UserPointer<SignalSet>,
    size: u64,
) -> Result<(), Errno> {
    check_set_size(size)?;
    let current = task.task().signal_mask();
    if let Some(set) = set.read_unless_null(task)? {
        let mask = match how {
            SIG_BLOCK => current | set,
            SIG_UNBLOCK => current - set,
            SIG_SETMASK => set,
            _ => return Err(Errno::EINVAL),
        };
        task.set_signal_mask(mask);
    }
    old.write_unless_null(task, &current)
}

fn rt_sigpending(task: &mut CurrentTask, set: UserPointer<SignalSet>, size: u64) -> Result<(), Errno> {
    // Shorter sets are filled as far as they go, as Linux does it.
    let len = usize::try_from(size).map_err(|_| Errno::EINVAL)?;
    let pending = task.task().pending_signals() | task.thread_group().pending_signals();
    let blocked = pending & task.task().signal_mask();
    let bytes = blocked.as_bytes().get(..len).ok_or(Errno::EINVAL)?;
    task.memory().write_bytes(set.address(), bytes)
}

fn rt_sigsuspend(task: &mut CurrentTask, set: UserPointer<SignalSet>, size: u64) -> Result<usize, Errno> {
    let mask = read_mask(task, set, size)?;
    task.with_signal_mask(mask, wait_for_handler)
}

fn pause(task: &mut CurrentTask) -> Result<usize, Errno> {
    wait_for_handler(task)
}

/// Sleeps until a signal is delivered.
fn wait_for_handler(task: &mut CurrentTask) -> Result<usize, Errno> {
    // Nothing but an interruption ends it.
    let _ = task.block(&[], None, || None::<()>);
    Err(Errno::ERESTARTNOHAND)
}

fn rt_sigtimedwait(
    task: &mut CurrentTask,
    set: UserPointer<SignalSet>,
    info: UserPointer<Siginfo>,
    timeout: UserPointer<Timespec>,
    size: u64,
) -> Result<Signal, Errno> {
    check_set_size(size)?;
    let accepted = set.read(task)?.as_blocked_mask();
    let timeout = timeout.read_unless_null(task)?.map(duration_from_timespec).transpose()?;
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let taken = task.wait_for_signal(accepted, deadline).map_err(|blocked| match blocked {
        crate::task::Blocked::Interrupted => Errno::EINTR,
        crate::task::Blocked::TimedOut => Errno::EAGAIN,
    })?;
    info.write_unless_null(task, &taken.to_user())?;
    Ok(taken.signal)
}

fn rt_sigreturn(task: &mut CurrentTask) -> Result<(), Errno> {
    task.return_from_handler();
    Ok(())
}

fn sigaltstack(
    task: &mut CurrentTask,
    new: UserPointer<SignalStack>,
    old: UserPointer<SignalStack>,
) -> Result<(), Errno> {
    let current = task.signal_stack.to_user(task.registers.rsp);
    if let Some(stack) = new.read_unless_null(task)? {
        task.set_signal_stack(stack)?;
    }
    old.write_unless_null(task, &current)
}

fn kill(task: &mut CurrentTask, pid: i32, signal: i32) -> Result<(), Errno> {
    let tasks = task.kernel().tasks();
    let namespace = task.thread_group().pid_namespace();
    match pid {
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
    Ok(())
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

fn tkill(task: &mut CurrentTask, tid: Tid, signal: i32) -> Result<(), Errno> {
    let target = find_task(task, None, tid)?;
    kill_task(task, &target, signal)
}

fn tgkill(task: &mut CurrentTask, tgid: Tid, tid: Tid, signal: i32) -> Result<(), Errno> {
    let target = find_task(task, Some(tgid), tid)?;
    kill_task(task, &target, signal)
}

/// The task that the caller calls `tid`, of the process that it calls `tgid`.
fn find_task(task: &CurrentTask, tgid: Option<Tid>, tid: Tid) -> Result<Arc<Task>, Errno> {
    if tid.0 <= 0 || tgid.is_some_and(|tgid| tgid.0 <= 0) {
        return Err(Errno::EINVAL);
    }
    let tasks = task.kernel().tasks();
    let namespace = task.thread_group().pid_namespace();
    let found = tasks.task(namespace, tid).ok_or(Errno::ESRCH)?;
    let is_member = tgid.is_none_or(|tgid| tasks.group_number(found.thread_group(), namespace) == tgid);
    if is_member { Ok(found) } else { Err(Errno::ESRCH) }
}

/// Sends to one task what tgkill(2) sends.
pub(super) fn kill_task(task: &CurrentTask, target: &Arc<Task>, signal: i32) -> Result<(), Errno> {
    let signal = Signal::new_or_probe(signal)?;
    check_permission(task, target, signal)?;
    if let Some(signal) = signal {
        let pid = sender_pid(task, target.thread_group());
        let uid = sender_uid(task, &target.credentials().user_namespace);
        target.try_send_signal(SignalInfo::from_tkill(signal, pid, uid))?;
    }
    Ok(())
}

fn rt_sigqueueinfo(
    task: &mut CurrentTask,
    pid: Tid,
    signal: i32,
    info: UserPointer<Siginfo>,
) -> Result<(), Errno> {
    let (pid, signal) = (pid, signal);
    let info = read_info(task, signal, info)?;
    check_may_compose(&info, task.task().tid() == pid.0)?;
    // Any of its threads names a process.
    let namespace = task.thread_group().pid_namespace();
    let target = task.kernel().tasks().task(namespace, pid).ok_or(Errno::ESRCH)?;
    queue_to_process(task, &target, signal, info)
}

fn rt_tgsigqueueinfo(
    task: &mut CurrentTask,
    tgid: Tid,
    tid: Tid,
    signal: i32,
    info: UserPointer<Siginfo>,
) -> Result<(), Errno> {
    let info = read_info(task, signal, info)?;
    if tgid.0 <= 0 || tid.0 <= 0 {
        return Err(Errno::EINVAL);
    }
    check_may_compose(&info, task.task().tid() == tid.0)?;
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
) -> Result<(), Errno> {
    let signal = Signal::new_or_probe(signal)?;
    check_permission(task, target, signal)?;
    if signal.is_some() {
        let namespace = target.credentials().user_namespace.clone();
        target.try_send_signal(translated(task, info, &namespace))?;
    }
    Ok(())
}

/// Sends to the process of `target`, with the caller's own siginfo_t.
pub(super) fn queue_to_process(
    task: &CurrentTask,
    target: &Arc<Task>,
    signal: i32,
    info: SignalInfo,
) -> Result<(), Errno> {
    let signal = Signal::new_or_probe(signal)?;
    check_permission(task, target, signal)?;
    if signal.is_some() {
        let group = target.thread_group();
        group.try_send_signal(translated(task, info, &group.user_namespace()))?;
    }
    Ok(())
}

/// Copies a siginfo_t in, to be sent as `signal`; for a number that is none, the info names some signal that is not sent.
pub(super) fn read_info(
    task: &CurrentTask,
    signal: i32,
    info: UserPointer<Siginfo>,
) -> Result<SignalInfo, Errno> {
    let user = info.read(task)?;
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
fn sender_uid(task: &CurrentTask, receiver: &UserNamespace) -> Uid {
    let sender = task.credentials();
    let namespace = &sender.user_namespace;
    translated_uid(namespace, namespace.from_kernel_uid(sender.real_uid), receiver)
}

/// What a task in `receiver` calls the user whom one in `sender` calls `uid`.
fn translated_uid(sender: &UserNamespace, uid: Uid, receiver: &UserNamespace) -> Uid {
    sender.to_kernel_uid(uid).map_or(Uid::OVERFLOW, |uid| receiver.from_kernel_uid(uid))
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
    if is_own {
        return Ok(());
    }
    let (own, theirs) = (task.credentials(), target.credentials());
    let scope = |domain: &Arc<Domain>| domain.is_scoped_from(theirs.landlock.as_ref(), Scopes::SIGNAL);
    if own.landlock.as_ref().is_some_and(scope) {
        return Err(Errno::EPERM);
    }
    if may_signal(&own, &theirs) {
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
mod tests;
