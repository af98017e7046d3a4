//! What becomes of a packet that a rule is about.

use zerocopy::FromBytes;

use super::Family;
use super::content::TCP;
use super::rule::{Head, NOT_PROTOCOL};
use crate::Errno;
use crate::abi::XtLog;

/// `NF_DROP`, `NF_ACCEPT` and `NF_QUEUE` as a standard target has them, and the end of a chain.
const DROP: i32 = -1;
const ACCEPT: i32 = -2;
const QUEUE: i32 = -4;
const RETURN: i32 = -5;
/// What `struct ipt_reject_info` and `struct ip6t_reject_info` hold for a reset.
const RESET: u32 = 7;
const RESET_V6: u32 = 6;
/// ICMP's codes of what is unreachable, in the order of `enum ipt_reject_with`; `None` for what is no longer sent.
const V4_CODES: [Option<u8>; 9] =
    [Some(0), Some(1), Some(2), Some(3), None, Some(9), Some(10), None, Some(13)];
/// The same of ICMPv6, in the order of `enum ip6t_reject_with`.
const V6_CODES: [Option<u8>; 9] = [Some(0), Some(1), Some(2), Some(3), Some(4), None, None, Some(5), Some(6)];

/// How a sender hears that its packet is not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// By a message of ICMP, or of ICMPv6, that something is unreachable.
    Unreachable {
        /// What.
        code: u8,
        /// Which of the two.
        is_v4: bool,
    },
    /// By a segment that refuses the connection.
    Reset,
}

impl Rejection {
    /// What a socket is told.
    pub fn errno(self) -> Errno {
        match self {
            Self::Unreachable { code: 0 | 9, is_v4: true } | Self::Unreachable { code: 0, is_v4: false } => {
                Errno::ENETUNREACH
            }
            Self::Unreachable { code: 2, is_v4: true } => Errno::ENOPROTOOPT,
            Self::Unreachable { code: 3, is_v4: true }
            | Self::Unreachable { code: 4, is_v4: false }
            | Self::Reset => Errno::ECONNREFUSED,
            Self::Unreachable { code: 1 | 5 | 6, is_v4: false } => Errno::EACCES,
            Self::Unreachable { .. } => Errno::EHOSTUNREACH,
        }
    }

    /// Whether a datagram's socket is told that does not ask for errors: what is so for longer than a moment.
    pub fn is_lasting(self) -> bool {
        match self {
            Self::Unreachable { code, is_v4: true } => code > 1,
            Self::Unreachable { code, is_v4: false } => !matches!(code, 0 | 2 | 3),
            Self::Reset => true,
        }
    }

    /// ICMP's type and code, or ICMPv6's.
    pub fn icmp(self) -> [u8; 2] {
        match self {
            Self::Unreachable { code, is_v4 } => [if is_v4 { 3 } else { 1 }, code],
            Self::Reset => [0; 2],
        }
    }
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Accept,
    Drop,
    /// The chain ends here.
    Return,
    /// A chain that begins at this place among the table's bytes.
    Jump(usize),
    /// What stands before each chain and at the end of a table.
    Error,
    Reject(Rejection),
    /// The packet is only told of. As in each network namespace of Linux but the first, nobody is: there is no log for it.
    Log,
}

/// A kind of target.
pub(super) struct TargetKind {
    pub(super) name: &'static str,
    data_bytes: usize,
    decode: fn(&[u8], Family, &Head) -> Result<Target, Errno>,
}

/// The kinds, in the order in which `/proc/net/ip_tables_targets` tells of them.
pub(super) const TARGETS: &[TargetKind] = &[
    TargetKind { name: "REJECT", data_bytes: size_of::<u32>(), decode: decode_rejection },
    TargetKind { name: "LOG", data_bytes: size_of::<XtLog>(), decode: |data, _, _| decode_log(data) },
    TargetKind { name: "ERROR", data_bytes: 30, decode: |_, _, _| Ok(Target::Error) },
    TargetKind { name: "", data_bytes: size_of::<i32>(), decode: |data, _, _| decode_verdict(data) },
];

fn decode_verdict(data: &[u8]) -> Result<Target, Errno> {
    let (verdict, _) = i32::read_from_prefix(data).map_err(|_| Errno::EINVAL)?;
    match verdict {
        // Nobody takes packets out of a queue.
        DROP | QUEUE => Ok(Target::Drop),
        ACCEPT => Ok(Target::Accept),
        RETURN => Ok(Target::Return),
        offset => usize::try_from(offset).map(Target::Jump).map_err(|_| Errno::EINVAL),
    }
}

fn decode_log(data: &[u8]) -> Result<Target, Errno> {
    const LEVELS: u8 = 8;
    let (asked, _) = XtLog::read_from_prefix(data).map_err(|_| Errno::EINVAL)?;
    let is_valid = asked.level < LEVELS && asked.prefix.last() == Some(&0);
    if is_valid { Ok(Target::Log) } else { Err(Errno::EINVAL) }
}

fn decode_rejection(data: &[u8], family: Family, head: &Head) -> Result<Target, Errno> {
    let (with, _) = u32::read_from_prefix(data).map_err(|_| Errno::EINVAL)?;
    let is_v4 = family == Family::V4;
    if with == if is_v4 { RESET } else { RESET_V6 } {
        let is_tcp = head.protocol == Some(TCP) && head.contraries & NOT_PROTOCOL == 0;
        return if is_tcp { Ok(Target::Reject(Rejection::Reset)) } else { Err(Errno::EINVAL) };
    }
    let codes = if is_v4 { V4_CODES } else { V6_CODES };
    let code = usize::try_from(with).ok().and_then(|with| codes.get(with).copied().flatten());
    Ok(Target::Reject(Rejection::Unreachable { code: code.ok_or(Errno::EINVAL)?, is_v4 }))
}

impl TargetKind {
    /// Reads the target of a rule with this head.
    ///
    /// # Errors
    /// EINVAL.
    pub(super) fn read(&self, data: &[u8], family: Family, head: &Head) -> Result<Target, Errno> {
        if data.len() != self.data_bytes.next_multiple_of(size_of::<u64>()) {
            return Err(Errno::EINVAL);
        }
        (self.decode)(data, family, head)
    }
}

impl Target {
    /// Whether a table may have it where a hook's chain ends.
    pub(super) fn is_policy(self) -> bool {
        matches!(self, Self::Accept | Self::Drop)
    }

    /// Whether no packet comes past it that its rule is about.
    pub(super) fn ends_chain(self) -> bool {
        !matches!(self, Self::Jump(_) | Self::Log)
    }
}
