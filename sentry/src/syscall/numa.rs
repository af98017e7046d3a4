//! Memory policies (`man 2 get_mempolicy`): there is one node, and every policy is the default.

use syscalls::Sysno;

use super::Handler;
use crate::Errno;
use crate::platform::VirtualAddress;
use crate::task::CurrentTask;

pub(super) const HANDLERS: &[(Sysno, Handler)] = &[(Sysno::get_mempolicy, get_mempolicy)];

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

fn get_mempolicy(
    task: &mut CurrentTask,
    [mode, nodes, max_node, address, flags, _]: [u64; 6],
) -> Result<usize, Errno> {
    /// MPOL_DEFAULT, and the number of the node.
    const ZERO: u32 = 0;
    /// More nodes than any kernel knows.
    const MOST_NODES: u64 = 4096 * 8;
    let flags = PolicyFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
    let asks_of_address = flags.contains(PolicyFlags::ADDRESS);
    let is_sound = match flags.contains(PolicyFlags::ALLOWED) {
        true => flags == PolicyFlags::ALLOWED,
        // Which node comes next is known only while interleaving.
        false => asks_of_address || address == 0 && !flags.contains(PolicyFlags::NODE),
    };
    if !is_sound || nodes != 0 && !(1..=MOST_NODES).contains(&max_node) {
        return Err(Errno::EINVAL);
    }
    if asks_of_address {
        task.memory().check_readable(VirtualAddress(address), 1)?;
    }
    if mode != 0 {
        task.memory().write_object(VirtualAddress(mode), &ZERO)?;
    }
    if nodes != 0 {
        let mut mask = vec![0; ((max_node - 1).div_ceil(64) * 8) as usize];
        if let Some(first) = mask.first_mut() {
            *first = u8::from(flags.contains(PolicyFlags::ALLOWED));
        }
        task.memory().write_bytes(VirtualAddress(nodes), &mask)?;
    }
    Ok(0)
}
