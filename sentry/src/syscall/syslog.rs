//! syslog(2): the kernel's log, and how much of it the console shows.

use syscalls::Sysno;

use super::Handler;
use super::arguments::handlers;
use crate::Errno;
use crate::cred::Capabilities;
use crate::fs::dev::KernelLog;
use crate::platform::VirtualAddress;
use crate::settings::{KernelNumber, KernelSettings};
use crate::task::CurrentTask;
use crate::wait::Events;

pub(super) const HANDLERS: &[(Sysno, Handler)] = handlers![syslog];

/// What is asked for (`man 2 syslog`).
mod action {
    pub(super) const CLOSE: u32 = 0;
    pub(super) const OPEN: u32 = 1;
    pub(super) const READ: u32 = 2;
    pub(super) const READ_ALL: u32 = 3;
    pub(super) const READ_CLEAR: u32 = 4;
    pub(super) const CLEAR: u32 = 5;
    pub(super) const CONSOLE_OFF: u32 = 6;
    pub(super) const CONSOLE_ON: u32 = 7;
    pub(super) const CONSOLE_LEVEL: u32 = 8;
    pub(super) const SIZE_UNREAD: u32 = 9;
    pub(super) const SIZE_BUFFER: u32 = 10;
}

/// The least of the console's levels, and the most that can be asked for.
const MIN_LEVEL: i64 = 1;
const MAX_LEVEL: i64 = 8;

fn syslog(task: &mut CurrentTask, kind: u32, buffer: VirtualAddress, len_bytes: i32) -> Result<u32, Errno> {
    let kernel = task.kernel().clone();
    let settings = kernel.settings();
    let is_for_all = matches!(kind, action::READ_ALL | action::SIZE_BUFFER);
    let is_restricted = settings.is_on(KernelNumber::DmesgRestrict) || !is_for_all;
    if is_restricted && !task.credentials().has(Capabilities::SYSLOG) {
        return Err(Errno::EPERM);
    }
    let log = &kernel.file_systems().memory.log;
    match kind {
        action::CLOSE | action::OPEN => Ok(0),
        action::CLEAR => {
            log.clear();
            Ok(0)
        }
        action::SIZE_UNREAD => told_len(log.unread_bytes()),
        action::READ => read(task, log, buffer, len_bytes),
        action::READ_ALL | action::READ_CLEAR => {
            if !check_buffer(buffer, len_bytes)? {
                return Ok(0);
            }
            let max_bytes = usize::try_from(len_bytes).map_err(|_| Errno::EINVAL)?;
            let messages = log.last_messages(max_bytes, kind == action::READ_CLEAR);
            task.memory().write_bytes(buffer, &messages)?;
            told_len(messages.len())
        }
        action::CONSOLE_OFF => {
            if settings.get(KernelNumber::SavedConsoleLevel) < 0 {
                settings.set(KernelNumber::SavedConsoleLevel, console_level(settings))?;
            }
            set_console_level(settings, MIN_LEVEL);
            Ok(0)
        }
        action::CONSOLE_ON => {
            let saved = settings.get(KernelNumber::SavedConsoleLevel);
            if saved >= 0 {
                set_console_level(settings, saved);
                settings.set(KernelNumber::SavedConsoleLevel, -1)?;
            }
            Ok(0)
        }
        action::CONSOLE_LEVEL => {
            let level = i64::from(len_bytes);
            if !(MIN_LEVEL..=MAX_LEVEL).contains(&level) {
                return Err(Errno::EINVAL);
            }
            set_console_level(settings, level);
            settings.set(KernelNumber::SavedConsoleLevel, -1)?;
            Ok(0)
        }
        action::SIZE_BUFFER => told_len(KernelLog::KEPT_BYTES),
        _ => Err(Errno::EINVAL),
    }
}

fn told_len(len_bytes: usize) -> Result<u32, Errno> {
    u32::try_from(len_bytes).map_err(|_| Errno::EINVAL)
}

/// Takes messages, and waits for the first.
fn read(
    task: &mut CurrentTask,
    log: &KernelLog,
    buffer: VirtualAddress,
    len_bytes: i32,
) -> Result<u32, Errno> {
    if !check_buffer(buffer, len_bytes)? {
        return Ok(0);
    }
    let max_bytes = usize::try_from(len_bytes).map_err(|_| Errno::EINVAL)?;
    let taken = || Some(log.take(max_bytes)).filter(|taken| !taken.is_empty());
    let messages =
        task.block(&[(log.arrivals(), Events::IN)], None, taken).map_err(|_| Errno::ERESTARTSYS)?;
    task.memory().write_bytes(buffer, &messages)?;
    told_len(messages.len())
}

/// Whether there is anything to fill of the `len_bytes` at `buffer`.
///
/// # Errors
/// EINVAL: there is no buffer; EFAULT: it is not all of the user's.
fn check_buffer(buffer: VirtualAddress, len_bytes: i32) -> Result<bool, Errno> {
    let len_bytes = u64::try_from(len_bytes).map_err(|_| Errno::EINVAL)?;
    if buffer.is_null() {
        return Err(Errno::EINVAL);
    }
    let is_of_user = buffer.0.checked_add(len_bytes).is_some_and(|end| end <= VirtualAddress::USER_END.0);
    if len_bytes > 0 && !is_of_user { Err(Errno::EFAULT) } else { Ok(len_bytes > 0) }
}

/// The numbers of kernel.printk as text, of which the first is the console's level.
fn levels(settings: &KernelSettings) -> String {
    let text = settings.kept("kernel.printk").unwrap_or_else(|| b"4\t4\t1\t7\n".to_vec());
    String::from_utf8_lossy(&text).into_owned()
}

fn console_level(settings: &KernelSettings) -> i64 {
    levels(settings).split_whitespace().next().and_then(|level| level.parse().ok()).unwrap_or(MIN_LEVEL)
}

fn set_console_level(settings: &KernelSettings, level: i64) {
    let text = levels(settings);
    let rest = text.split_once('\t').map_or("\n", |(_, rest)| rest);
    settings.keep("kernel.printk", format!("{level}\t{rest}").into_bytes());
}
