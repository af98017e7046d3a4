//! Plain data that crosses the boundary between user code and the sentry: Linux's own structures.
//!
//! Each is laid out as Linux lays it out, with the names of Linux's fields, and its padding is a field like any other,
//! so that `zerocopy` can derive that every byte of a value is initialised and that any bytes make a value. Where
//! Linux's header declares the structure, [`same_layout`] compares the two at compile time.

mod aio;
mod block;
mod file;
mod io_uring;
mod ipc;
mod landlock;
mod memory;
mod mount;
mod netfilter;
mod perf;
mod process;
mod seccomp;
mod signal;
mod socket;
mod system;
mod terminal;
mod time;
mod trace;

use zerocopy::{FromBytes, Immutable, IntoBytes};

pub(crate) use aio::{AioSigset, IoEvent, Iocb};
pub(crate) use block::{BlkpgArgument, BlkpgPartition, LoopConfig, LoopInfo, LoopInfo64};
pub(crate) use file::{
    EpollEvent, FileAttr, FileCloneRange, FileDedupeRange, FileHandleHead, FileOwner, Flock, FsDiskQuota,
    FstrimRange, Fsxattr, IfDqblk, IfDqinfo, InotifyEvent, LinuxDirent, LinuxDirent64, MountAttributes,
    OpenHow, PollFd, SpaceReservation, Stat, Statfs, Statx, StatxTimestamp, Ustat, XattrArgs,
};
pub(crate) use io_uring::{
    IoCqringOffsets, IoSqringOffsets, IoUringCqe, IoUringFilesUpdate, IoUringGeteventsArg, IoUringParams,
    IoUringProbe, IoUringProbeOp, IoUringRestriction, IoUringRsrcRegister, IoUringRsrcUpdate2, IoUringSqe,
    IoUringSyncCancelReg, io_uring_operation, io_uring_registration, io_uring_restriction,
};
pub(crate) use ipc::{IpcPerm, MsgInfo, MsqidDs, SemInfo, SemidDs, ShmInfo, ShmLimits, ShmidDs};
pub(crate) use landlock::{LandlockNetPortAttr, LandlockPathBeneathAttr, LandlockRulesetAttr};
pub(crate) use memory::{Cachestat, CachestatRange, Iovec, ProcmapQuery};
pub(crate) use mount::{MntIdReq, MountNamespaceInfo, Statmount, fsconfig_command};
pub(crate) use netfilter::{
    Ip6tEntry, IptEntry, IptGetEntries, IptGetinfo, IptIcmp, IptInterfaces, IptReplace, IptTtl, XtAddrtype,
    XtConntrack, XtCounters, XtCountersInfo, XtEntryHead, XtGetRevision, XtIprange, XtLength, XtLog, XtMark,
    XtMultiport, XtOwner, XtRateinfo, XtTcp, XtUdp,
};
pub(crate) use perf::PerfEventAttr;
pub(crate) use process::{
    CapabilityData, CapabilityHeader, CloneArgs, FutexWaitv, KcmpEpollSlot, PidfdInfo, Rusage, SchedAttr,
};
pub(crate) use seccomp::{
    SeccompData, SeccompNotif, SeccompNotifAddfd, SeccompNotifResp, SeccompNotifSizes, SockFilter, SockFprog,
};
pub(crate) use signal::{
    FxSoftwareBytes, SigContext, Siginfo, SignalEvent, SignalFrameHead, SignalStack, SignalfdSiginfo,
    XsaveHead,
};
pub(crate) use socket::{
    Cmsghdr, In6Pktinfo, InPktinfo, IpMreqSource, IpMreqn, Ipv6Mreq, Linger, Mmsghdr, Msghdr,
    SockExtendedErr, SockaddrIn, SockaddrIn6, TcpInfo, Ucred,
};
pub(crate) use system::{SysInfo, UtsName};
pub(crate) use terminal::{Termio, Termios, Termios2};
pub(crate) use time::{Timespec, Timeval, Timex};
pub(crate) use trace::{PeeksiginfoArgs, PtraceSyscallInfo, RseqConfiguration};

/// A structure of Linux's user API, copied to and from user memory as bytes: it has no padding that is not a field, and
/// any bytes are a valid value.
pub(crate) trait UserObject: FromBytes + IntoBytes + Immutable + Copy {}

impl<T: FromBytes + IntoBytes + Immutable + Copy> UserObject for T {}

/// Declares structures of the user API.
macro_rules! structures {
    ($($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[derive(zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)]
        #[repr(C)]
        pub(crate) struct $name {
            $($(#[$field_meta])* pub(crate) $field: $type,)*
        }

        impl Default for $name {
            /// All zero.
            fn default() -> Self {
                zerocopy::FromZeros::new_zeroed()
            }
        }
    )*};
}
use structures;

/// Declares functions that find the variant of an enumeration by its number.
macro_rules! variants {
    ($($(#[$meta:meta])* $name:ident($number:ty) -> $kind:ty { $($variant:ident)* })*) => {$(
        $(#[$meta])*
        pub(crate) fn $name(number: $number) -> Option<$kind> {
            const ALL: &[$kind] = &[$(<$kind>::$variant,)*];
            ALL.iter().copied().find(|variant| *variant as $number == number)
        }
    )*};
}
use variants;

/// Fails to compile unless the fields of a structure lie where those of Linux's do, and both are equally long.
macro_rules! same_layout {
    ($own:ty, $linux:ty: $($field:ident)*) => {
        const _: () = {
            assert!(size_of::<$own>() == size_of::<$linux>());
            $(assert!(std::mem::offset_of!($own, $field) == std::mem::offset_of!($linux, $field));)*
        };
    };
}
use same_layout;

/// How much of an rseq(2) area the sentry fills, bytes: through `mm_cid` (AT_RSEQ_FEATURE_SIZE).
pub(crate) const RSEQ_FEATURE_BYTES: u32 = 28;
/// The alignment of an rseq(2) area, bytes (AT_RSEQ_ALIGN).
pub(crate) const RSEQ_ALIGNMENT: u32 = 32;

#[cfg(test)]
mod tests;
