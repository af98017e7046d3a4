//! Structures in user memory: their interesting fields, in the order and by the names of Linux's headers.

use std::mem::{offset_of, size_of};

use linux_raw_sys::general as uapi;

use super::call::{Call, MAX_ELEMENTS};
use super::line::Line;
use super::{symbols, value};
use crate::signal::SignalSet;
use crate::width::{u64_from, usize_from};

/// A structure of a fixed size.
#[derive(Debug)]
pub(super) struct Structure {
    len_bytes: usize,
    show: fn(&mut Line, &Fields<'_>),
    /// Whether a single one is shown in brackets, as strace shows numbers that are passed by address.
    is_scalar: bool,
}

/// The bytes of a structure.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl Fields<'_> {
    fn array<const N: usize>(&self, offset: usize) -> [u8; N] {
        self.0.get(offset..).and_then(<[u8]>::first_chunk).copied().unwrap_or([0; N])
    }

    pub(super) fn u16(&self, offset: usize) -> u16 {
        u16::from_le_bytes(self.array(offset))
    }

    pub(super) fn u32(&self, offset: usize) -> u32 {
        u32::from_le_bytes(self.array(offset))
    }

    pub(super) fn u64(&self, offset: usize) -> u64 {
        u64::from_le_bytes(self.array(offset))
    }

    fn i32(&self, offset: usize) -> i32 {
        self.u32(offset).cast_signed()
    }

    fn i64(&self, offset: usize) -> i64 {
        self.u64(offset).cast_signed()
    }

    fn string(&self) -> &[u8] {
        self.0.split(|&byte| byte == 0).next().unwrap_or_default()
    }
}

impl Structure {
    const fn new(len_bytes: usize, show: fn(&mut Line, &Fields<'_>)) -> Self {
        Self { len_bytes, show, is_scalar: false }
    }

    const fn scalar(len_bytes: usize, show: fn(&mut Line, &Fields<'_>)) -> Self {
        Self { len_bytes, show, is_scalar: true }
    }

    /// Shows the one at `address`, or the address if it cannot be read.
    pub(super) fn show(&self, line: &mut Line, call: &Call<'_>, address: u64) {
        let Some(bytes) = call.read(address, self.len_bytes) else {
            return value::pointer(line, address);
        };
        line.text(if self.is_scalar { "[" } else { "" });
        (self.show)(line, &Fields(&bytes));
        line.text(if self.is_scalar { "]" } else { "" });
    }

    /// Shows `count` of them at `address`, or the address if they cannot be read.
    pub(super) fn show_array(&self, line: &mut Line, call: &Call<'_>, address: u64, count: u64) {
        let shown = usize_from(count.min(u64_from(MAX_ELEMENTS)));
        let Some(bytes) = call.read(address, shown * self.len_bytes) else {
            return value::pointer(line, address);
        };
        line.text("[");
        for (index, element) in bytes.chunks_exact(self.len_bytes).enumerate() {
            line.separate(index);
            (self.show)(line, &Fields(element));
        }
        line.text(if count > u64_from(shown) { ", ...]" } else { "]" });
    }
}

pub(super) const INT: Structure =
    Structure::scalar(4, |line, fields| line.put(format_args!("{}", fields.i32(0))));
pub(super) const ID: Structure = Structure::scalar(4, |line, fields| value::id(line, fields.u32(0).into()));
pub(super) const UNSIGNED: Structure =
    Structure::scalar(4, |line, fields| line.put(format_args!("{}", fields.u32(0))));
pub(super) const LONG: Structure =
    Structure::scalar(8, |line, fields| line.put(format_args!("{}", fields.i64(0))));
pub(super) const POINTER: Structure =
    Structure::scalar(8, |line, fields| value::pointer(line, fields.u64(0)));
pub(super) const WAIT_STATUS: Structure =
    Structure::scalar(4, |line, fields| value::wait_status(line, fields.u32(0).into()));
pub(super) const SIGNAL_SET: Structure =
    Structure::new(8, |line, fields| value::signal_set(line, SignalSet::from_bits(fields.u64(0))));

fn seconds_and_nanoseconds(line: &mut Line, fields: &Fields<'_>) {
    line.put(format_args!("{{tv_sec={}, tv_nsec={}}}", fields.i64(0), fields.i64(8)));
}

fn seconds_and_microseconds(line: &mut Line, fields: &Fields<'_>) {
    line.put(format_args!("{{tv_sec={}, tv_usec={}}}", fields.i64(0), fields.i64(8)));
}

pub(super) const TIMESPEC: Structure = Structure::new(16, seconds_and_nanoseconds);
pub(super) const TIMEVAL: Structure = Structure::new(16, seconds_and_microseconds);
pub(super) const FILE_TIMES: Structure = Structure::new(32, |line, fields| {
    for (index, offset) in [0, 16].into_iter().enumerate() {
        line.text(if index == 0 { "[" } else { ", " });
        match u32::try_from(fields.u64(offset + 8)) {
            Ok(uapi::UTIME_NOW) => line.text("UTIME_NOW"),
            Ok(uapi::UTIME_OMIT) => line.text("UTIME_OMIT"),
            _ => seconds_and_nanoseconds(line, &Fields(fields.0.get(offset..).unwrap_or_default())),
        }
    }
    line.text("]");
});
pub(super) const FILE_TIMEVALS: Structure = Structure::new(32, |line, fields| {
    let (first, second) = fields.0.split_at(fields.0.len() / 2);
    line.text("[");
    seconds_and_microseconds(line, &Fields(first));
    line.text(", ");
    seconds_and_microseconds(line, &Fields(second));
    line.text("]");
});
pub(super) const UTIMBUF: Structure = Structure::new(16, |line, fields| {
    line.put(format_args!("{{actime={}, modtime={}}}", fields.i64(0), fields.i64(8)));
});
pub(super) const TIMER_SPEC: Structure = Structure::new(32, |line, fields| {
    let (interval, first) = fields.0.split_at(fields.0.len() / 2);
    line.text("{it_interval=");
    seconds_and_nanoseconds(line, &Fields(interval));
    line.text(", it_value=");
    seconds_and_nanoseconds(line, &Fields(first));
    line.text("}");
});
pub(super) const INTERVAL: Structure = Structure::new(32, |line, fields| {
    let (interval, first) = fields.0.split_at(fields.0.len() / 2);
    line.text("{it_interval=");
    seconds_and_microseconds(line, &Fields(interval));
    line.text(", it_value=");
    seconds_and_microseconds(line, &Fields(first));
    line.text("}");
});
pub(super) const TIMER_EVENT: Structure = Structure::new(64, |line, fields| {
    line.put(format_args!("{{sigev_value={:#x}, sigev_signo=", fields.u64(0)));
    value::signal(line, fields.u32(8).into());
    line.text(", sigev_notify=");
    symbols::NOTIFICATIONS.choice(line, fields.u32(12).into());
    line.text("}");
});

pub(super) const STAT: Structure = Structure::new(size_of::<uapi::stat>(), |line, fields| {
    let mode = u64::from(fields.u32(offset_of!(uapi::stat, st_mode)));
    line.text("{st_mode=");
    value::file_mode(line, mode);
    let kind = mode as u32 & uapi::S_IFMT;
    if kind == uapi::S_IFCHR || kind == uapi::S_IFBLK {
        line.text(", st_rdev=");
        value::device(line, fields.u64(offset_of!(uapi::stat, st_rdev)));
    } else {
        line.put(format_args!(", st_size={}", fields.i64(offset_of!(uapi::stat, st_size))));
    }
    line.text(", ...}");
});
pub(super) const STATX: Structure = Structure::new(size_of::<uapi::statx>(), |line, fields| {
    line.text("{stx_mask=");
    symbols::STATX_MASK.flags(line, fields.u32(offset_of!(uapi::statx, stx_mask)).into());
    line.text(", stx_mode=");
    value::file_mode(line, fields.u16(offset_of!(uapi::statx, stx_mode)).into());
    line.put(format_args!(", stx_size={}, ...}}", fields.u64(offset_of!(uapi::statx, stx_size))));
});
pub(super) const STATFS: Structure = Structure::new(size_of::<uapi::statfs>(), |line, fields| {
    line.put(format_args!(
        "{{f_type={:#x}, f_bsize={}, f_blocks={}, f_bfree={}, ...}}",
        fields.u64(offset_of!(uapi::statfs, f_type)),
        fields.u64(offset_of!(uapi::statfs, f_bsize)),
        fields.u64(offset_of!(uapi::statfs, f_blocks)),
        fields.u64(offset_of!(uapi::statfs, f_bfree)),
    ));
});
pub(super) const OPEN_HOW: Structure = Structure::new(24, |line, fields| {
    line.text("{flags=");
    value::open_flags(line, fields.u64(0));
    line.text(", mode=");
    value::mode(line, fields.u64(8));
    line.text(", resolve=");
    symbols::RESOLVE_FLAGS.flags(line, fields.u64(16));
    line.text("}");
});
pub(super) const FLOCK: Structure = Structure::new(size_of::<uapi::flock>(), |line, fields| {
    line.text("{l_type=");
    symbols::LOCK_TYPES.choice(line, fields.u16(offset_of!(uapi::flock, l_type)).into());
    line.text(", l_whence=");
    symbols::SEEK_ORIGINS.choice(line, fields.u16(offset_of!(uapi::flock, l_whence)).into());
    line.put(format_args!(
        ", l_start={}, l_len={}, l_pid={}}}",
        fields.i64(offset_of!(uapi::flock, l_start)),
        fields.i64(offset_of!(uapi::flock, l_len)),
        fields.i32(offset_of!(uapi::flock, l_pid)),
    ));
});
pub(super) const FILE_OWNER: Structure = Structure::new(8, |line, fields| {
    line.text("{type=");
    symbols::OWNER_TYPES.choice(line, fields.u32(0).into());
    line.put(format_args!(", pid={}}}", fields.i32(4)));
});
pub(super) const FD_PAIR: Structure = Structure::new(8, |line, fields| {
    line.put(format_args!("[{}, {}]", fields.i32(0), fields.i32(4)));
});
pub(super) const POLL: Structure = Structure::new(8, |line, fields| {
    line.put(format_args!("{{fd={}, events=", fields.i32(0)));
    symbols::POLL_EVENTS.flags(line, fields.u16(4).into());
    if fields.u16(6) != 0 {
        line.text(", revents=");
        symbols::POLL_EVENTS.flags(line, fields.u16(6).into());
    }
    line.text("}");
});
pub(super) const SEMAPHORE_OPERATION: Structure = Structure::new(6, |line, fields| {
    line.put(format_args!("{{sem_num={}, sem_op={}, sem_flg=", fields.u16(0), fields.u16(2).cast_signed()));
    symbols::SEMAPHORE_FLAGS.flags(line, fields.u16(4).into());
    line.text("}");
});
pub(super) const QUEUE_ATTRIBUTES: Structure = Structure::new(64, |line, fields| {
    line.text("{mq_flags=");
    value::open_flags(line, fields.u64(0));
    line.put(format_args!(
        ", mq_maxmsg={}, mq_msgsize={}, mq_curmsgs={}}}",
        fields.i64(8),
        fields.i64(16),
        fields.i64(24)
    ));
});
pub(super) const EPOLL_EVENT: Structure = Structure::new(12, |line, fields| {
    line.text("{events=");
    symbols::EPOLL_EVENTS.flags(line, fields.u32(0).into());
    line.put(format_args!(", data={:#x}}}", fields.u64(4)));
});

pub(super) const ACTION: Structure = Structure::new(32, |line, fields| {
    line.text("{sa_handler=");
    match fields.u64(0) {
        0 => line.text("SIG_DFL"),
        1 => line.text("SIG_IGN"),
        address => value::hex(line, address),
    }
    line.text(", sa_mask=");
    value::signal_set(line, SignalSet::from_bits(fields.u64(24)));
    line.text(", sa_flags=");
    symbols::ACTION_FLAGS.flags(line, fields.u64(8));
    if fields.u64(16) != 0 {
        line.put(format_args!(", sa_restorer={:#x}", fields.u64(16)));
    }
    line.text("}");
});
pub(super) const STACK: Structure = Structure::new(24, |line, fields| {
    line.text("{ss_sp=");
    value::pointer(line, fields.u64(0));
    line.text(", ss_flags=");
    symbols::STACK_FLAGS.flags(line, fields.u32(8).into());
    line.put(format_args!(", ss_size={}}}", fields.u64(16)));
});
pub(super) const SIGNAL_INFO: Structure = Structure::new(32, |line, fields| {
    let (signal, code) = (fields.i32(0), fields.u32(8));
    line.text("{si_signo=");
    value::signal(line, i64::from(signal).cast_unsigned());
    line.text(", si_code=");
    let is_child = signal == uapi::SIGCHLD as i32 && code.cast_signed() > 0;
    let codes = if is_child { &symbols::CHILD_CODES } else { &symbols::SIGNAL_CODES };
    codes.choice(line, code.into());
    line.put(format_args!(", si_pid={}, si_uid={}", fields.i32(16), fields.u32(20)));
    if is_child {
        line.put(format_args!(", si_status={}", fields.i32(24)));
    }
    line.text("}");
});

pub(super) const LIMIT: Structure = Structure::new(16, |line, fields| {
    for (name, offset) in [("{rlim_cur=", 0), (", rlim_max=", 8)] {
        line.text(name);
        match fields.u64(offset) {
            u64::MAX => line.text("RLIM64_INFINITY"),
            kibibytes if kibibytes > 1024 && kibibytes.is_multiple_of(1024) => {
                line.put(format_args!("{}*1024", kibibytes / 1024));
            }
            limit => line.put(format_args!("{limit}")),
        }
    }
    line.text("}");
});
pub(super) const USAGE: Structure = Structure::new(32, |line, fields| {
    let (user, system) = fields.0.split_at(fields.0.len() / 2);
    line.text("{ru_utime=");
    seconds_and_microseconds(line, &Fields(user));
    line.text(", ru_stime=");
    seconds_and_microseconds(line, &Fields(system));
    line.text(", ...}");
});
pub(super) const TIMES: Structure = Structure::new(32, |line, fields| {
    line.put(format_args!(
        "{{tms_utime={}, tms_stime={}, tms_cutime={}, tms_cstime={}}}",
        fields.i64(0),
        fields.i64(8),
        fields.i64(16),
        fields.i64(24)
    ));
});
pub(super) const SYSTEM_NAMES: Structure = Structure::new(390, |line, fields| {
    const LEN: usize = 65;
    for (index, name) in ["{sysname=", ", nodename="].into_iter().enumerate() {
        line.text(name);
        line.string(Fields(fields.0.get(index * LEN..).unwrap_or_default()).string());
    }
    line.text(", ...}");
});
pub(super) const SYSTEM_INFO: Structure = Structure::new(112, |line, fields| {
    line.put(format_args!(
        "{{uptime={}, totalram={}, freeram={}, procs={}, mem_unit={}, ...}}",
        fields.i64(0),
        fields.u64(32),
        fields.u64(40),
        fields.u16(80),
        fields.u32(104)
    ));
});
pub(super) const CAPABILITY_HEADER: Structure = Structure::new(8, |line, fields| {
    line.put(format_args!("{{version={:#x}, pid={}}}", fields.u32(0), fields.i32(4)));
});
pub(super) const CAPABILITIES: Structure = Structure::new(24, |line, fields| {
    for (name, offset) in [("{effective=", 0), (", permitted=", 4), (", inheritable=", 8)] {
        let (low, high) = (u64::from(fields.u32(offset)), u64::from(fields.u32(offset + 12)));
        line.put(format_args!("{name}{:#x}", high << 32 | low));
    }
    line.text("}");
});
pub(super) const SCHEDULING_PARAMETER: Structure =
    Structure::scalar(4, |line, fields| line.put(format_args!("{}", fields.i32(0))));
pub(super) const TASK_NAME: Structure = Structure::new(16, |line, fields| line.string(fields.string()));

pub(super) const WINDOW_SIZE: Structure = Structure::new(8, |line, fields| {
    line.put(format_args!(
        "{{ws_row={}, ws_col={}, ws_xpixel={}, ws_ypixel={}}}",
        fields.u16(0),
        fields.u16(2),
        fields.u16(4),
        fields.u16(6)
    ));
});
pub(super) const TERMINAL: Structure = Structure::new(36, |line, fields| {
    let names = ["{c_iflag=", ", c_oflag=", ", c_cflag=", ", c_lflag="];
    for (index, name) in names.into_iter().enumerate() {
        line.put(format_args!("{name}{:#x}", fields.u32(index * 4)));
    }
    line.text(", ...}");
});
