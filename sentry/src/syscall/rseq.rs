//! Restartable sequences (rseq(2)).

use syscalls::Sysno;

use super::Handler;
use crate::Errno;
use crate::platform::VirtualAddress;
use crate::task::{CurrentTask, RseqArea};

pub(super) const HANDLERS: &[(Sysno, Handler)] = &[(Sysno::rseq, rseq)];

fn rseq(task: &mut CurrentTask, [address, len, flags, signature, ..]: [u64; 6]) -> Result<usize, Errno> {
    /// RSEQ_FLAG_UNREGISTER.
    const UNREGISTER: u32 = 1;
    let (address, len_bytes, signature) = (VirtualAddress(address), len as u32, signature as u32);
    match flags as u32 {
        UNREGISTER => task.unregister_rseq(RseqArea { address, len_bytes, signature })?,
        // Whether the area makes sense counts only when there is none.
        0 if task.rseq_area().is_some() => {
            task.register_rseq(RseqArea { address, len_bytes, signature })?;
        }
        0 => task.register_rseq(RseqArea::new(address, len_bytes, signature)?)?,
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}
