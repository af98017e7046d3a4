//! Restartable sequences (rseq(2)).

use syscalls::Sysno;

use super::Handler;
use super::arguments::handlers;
use crate::Errno;
use crate::platform::VirtualAddress;
use crate::task::{CurrentTask, RseqArea};

pub(super) const HANDLERS: &[(Sysno, Handler)] = handlers![rseq];

fn rseq(
    task: &mut CurrentTask,
    address: VirtualAddress,
    len_bytes: u32,
    flags: u32,
    signature: u32,
) -> Result<(), Errno> {
    /// RSEQ_FLAG_UNREGISTER.
    const UNREGISTER: u32 = 1;
    match flags {
        UNREGISTER => task.unregister_rseq(RseqArea { address, len_bytes, signature }),
        // Whether the area makes sense counts only when there is none.
        0 if task.rseq_area().is_some() => task.register_rseq(RseqArea { address, len_bytes, signature }),
        0 => task.register_rseq(RseqArea::new(address, len_bytes, signature)?),
        _ => Err(Errno::EINVAL),
    }
}
