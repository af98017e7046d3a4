//! Memory policies (`man 2 get_mempolicy`): there is one node, and every policy is the default.

use syscalls::Sysno;

use super::Handler;
use super::arguments::{UserPointer, flag_arguments, handlers};
use crate::Errno;
use crate::platform::VirtualAddress;
use crate::task::CurrentTask;

pub(super) const HANDLERS: &[(Sysno, Handler)] = handlers![get_mempolicy];

bitflags::bitflags! {
    /// `MPOL_F_*` (linux/mempolicy.h).
    #[derive(Clone, Copy, PartialEq, Eq)]
    struct PolicyFlags: u64 {
        /// Tell a node rather than a policy.
        const NODE = 1;
        /// Of the memory at an address.
        const ADDRESS = 2;
        /// Tell the nodes that may be used.
        const ALLOWED = 4;
    }
}

flag_arguments! { PolicyFlags: u64, }

fn get_mempolicy(
    task: &mut CurrentTask,
    mode: UserPointer<u32>,
    nodes: UserPointer<u8>,
    max_node: u64,
    address: VirtualAddress,
    flags: PolicyFlags,
) -> Result<(), Errno> {
    /// MPOL_DEFAULT, and the number of the node.
    const ZERO: u32 = 0;
    /// More nodes than any kernel knows.
    const MOST_NODES: u64 = 4096 * 8;
    let asks_of_address = flags.contains(PolicyFlags::ADDRESS);
    let is_sound = match flags.contains(PolicyFlags::ALLOWED) {
        true => flags == PolicyFlags::ALLOWED,
        // Which node comes next is known only while interleaving.
        false => asks_of_address || address.0 == 0 && !flags.contains(PolicyFlags::NODE),
    };
    if !is_sound || !nodes.is_null() && !(1..=MOST_NODES).contains(&max_node) {
        return Err(Errno::EINVAL);
    }
    if asks_of_address {
        task.memory().check_readable(address, 1)?;
    }
    mode.write_unless_null(task, &ZERO)?;
    if !nodes.is_null() {
        let mut mask = vec![0; usize::try_from((max_node - 1).div_ceil(64) * 8).unwrap_or(0)];
        if let Some(first) = mask.first_mut() {
            *first = u8::from(flags.contains(PolicyFlags::ALLOWED));
        }
        task.memory().write_bytes(nodes.address(), &mask)?;
    }
    Ok(())
}
