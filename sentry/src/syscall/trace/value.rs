//! Arguments that are shown from their value alone.

use linux_raw_sys::general as uapi;

use super::line::Line;
use super::symbols;
use crate::signal::{Signal, SignalSet};
use crate::syscall::arguments;

pub(super) fn int(line: &mut Line, value: u64) {
    line.put(format_args!("{}", arguments::int(value)));
}

/// An `unsigned int`.
pub(super) fn unsigned(line: &mut Line, value: u64) {
    line.put(format_args!("{}", arguments::unsigned(value)));
}

/// A `long`, or an offset.
pub(super) fn long(line: &mut Line, value: u64) {
    line.put(format_args!("{}", value as i64));
}

/// A `size_t`.
pub(super) fn size(line: &mut Line, value: u64) {
    line.put(format_args!("{value}"));
}

/// A number in hexadecimal.
pub(super) fn hex(line: &mut Line, value: u64) {
    line.put(format_args!("{value:#x}"));
}

/// An address.
pub(super) fn pointer(line: &mut Line, value: u64) {
    match value {
        0 => line.text("NULL"),
        _ => hex(line, value),
    }
}

/// The descriptor that a path starts from.
pub(super) fn directory(line: &mut Line, value: u64) {
    match arguments::int(value) {
        uapi::AT_FDCWD => line.text("AT_FDCWD"),
        descriptor => line.put(format_args!("{descriptor}")),
    }
}

/// A user or a group; all ones stand for none.
pub(super) fn id(line: &mut Line, value: u64) {
    match arguments::unsigned(value) {
        u32::MAX => line.text("-1"),
        id => line.put(format_args!("{id}")),
    }
}

/// A key: its number, or the keyring that a negative one stands for.
pub(super) fn key(line: &mut Line, value: u64) {
    match symbols::SPECIAL_KEYRINGS.name(u64::from(arguments::unsigned(value))) {
        Some(name) => line.text(name),
        None => int(line, value),
    }
}

/// Permission bits.
pub(super) fn mode(line: &mut Line, value: u64) {
    line.put(format_args!("0{:02o}", arguments::unsigned(value)));
}

/// The type and permission bits of a file.
pub(super) fn file_mode(line: &mut Line, value: u64) {
    let (kind, permissions) = (value & u64::from(uapi::S_IFMT), value & !u64::from(uapi::S_IFMT));
    if kind != 0 {
        symbols::FILE_TYPES.choice(line, kind);
        line.text("|");
    }
    mode(line, permissions);
}

/// A device number as `stat` has it.
pub(super) fn device(line: &mut Line, value: u64) {
    let major = (value >> 8 & 0xfff) | (value >> 32 & !0xfff);
    let minor = (value & 0xff) | (value >> 12 & 0xffff_ff00);
    line.put(format_args!("makedev({major:#x}, {minor:#x})"));
}

/// The access mode and the flags of open(2).
pub(super) fn open_flags(line: &mut Line, value: u64) {
    let value = u64::from(arguments::unsigned(value));
    let (access, flags) = (value & u64::from(uapi::O_ACCMODE), value & !u64::from(uapi::O_ACCMODE));
    symbols::ACCESS_MODES.choice(line, access);
    if flags != 0 {
        line.text("|");
        symbols::OPEN_FLAGS.flags(line, flags);
    }
}

/// A signal by name.
pub(super) fn signal(line: &mut Line, value: u64) {
    match Signal::new(arguments::int(value)) {
        Ok(signal) => line.put(format_args!("{signal}")),
        Err(_) => int(line, value),
    }
}

/// A set of signals: `[INT TERM]`, or `~[KILL STOP]` if most are in it.
pub(super) fn signal_set(line: &mut Line, set: SignalSet) {
    let is_in = |signal: &Signal| set.contains(*signal);
    let all = || (1..=Signal::COUNT as i32).filter_map(|number| Signal::new(number).ok());
    let is_inverted = all().filter(is_in).count() > Signal::COUNT / 2;
    line.text(if is_inverted { "~[" } else { "[" });
    for (index, signal) in all().filter(|signal| is_in(signal) != is_inverted).enumerate() {
        if index > 0 {
            line.text(" ");
        }
        let name = signal.to_string();
        line.text(name.strip_prefix("SIG").unwrap_or(&name));
    }
    line.text("]");
}

pub(super) fn clock(line: &mut Line, value: u64) {
    let number = arguments::int(value);
    if number >= 0 {
        return symbols::CLOCKS.choice(line, u64::from(arguments::unsigned(value)));
    }
    // A process's or a thread's clock: the inverted identifier above three bits (`man 3 clock_getcpuclockid`).
    line.put(format_args!("{:#x} /* of {} */", arguments::unsigned(value), !(number >> 3)));
}

/// The type and the flags of socket(2).
pub(super) fn socket_type(line: &mut Line, value: u64) {
    const KIND: u64 = 0xf;
    let value = u64::from(arguments::unsigned(value));
    symbols::SOCKET_TYPES.choice(line, value & KIND);
    if value & !KIND != 0 {
        line.text("|");
        symbols::SOCKET_FLAGS.flags(line, value & !KIND);
    }
}

/// The flags and the exit signal of clone(2).
pub(super) fn clone_flags(line: &mut Line, value: u64) {
    const SIGNAL: u64 = 0xff;
    let (number, flags) = (value & SIGNAL, value & !SIGNAL & u64::from(u32::MAX));
    if flags != 0 || number == 0 {
        symbols::CLONE_FLAGS.flags(line, flags);
    }
    if number != 0 {
        line.text(if flags != 0 { "|" } else { "" });
        signal(line, number);
    }
}

pub(super) fn scheduling_policy(line: &mut Line, value: u64) {
    let reset = u64::from(uapi::SCHED_RESET_ON_FORK);
    symbols::SCHEDULING_POLICIES.choice(line, u64::from(arguments::unsigned(value)) & !reset);
    if value & reset != 0 {
        line.text("|SCHED_RESET_ON_FORK");
    }
}

/// What mmap(2) maps: the type of sharing and the flags.
pub(super) fn map_flags(line: &mut Line, value: u64) {
    let value = u64::from(arguments::unsigned(value));
    let (kind, flags) = (value & u64::from(uapi::MAP_TYPE), value & !u64::from(uapi::MAP_TYPE));
    symbols::MAP_TYPES.choice(line, kind);
    if flags != 0 {
        line.text("|");
        symbols::MAP_FLAGS.flags(line, flags);
    }
}

/// The status that wait4(2) reports.
pub(super) fn wait_status(line: &mut Line, value: u64) {
    let status = arguments::unsigned(value);
    let (low, high) = (status & 0x7f, status >> 8 & 0xff);
    match low {
        0 => line.put(format_args!("{{WIFEXITED(s) && WEXITSTATUS(s) == {high}}}")),
        0x7f if status == 0xffff => line.text("{WIFCONTINUED(s)}"),
        0x7f => {
            line.text("{WIFSTOPPED(s) && WSTOPSIG(s) == ");
            signal(line, u64::from(high & 0x7f));
            line.text("}");
        }
        _ => {
            line.text("{WIFSIGNALED(s) && WTERMSIG(s) == ");
            signal(line, u64::from(low));
            line.text(if status & 0x80 == 0 { "}" } else { " && WCOREDUMP(s)}" });
        }
    }
}
