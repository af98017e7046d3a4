//! Memory policies and where pages are (`man 2 set_mempolicy`, `man 2 mbind`, `man 2 move_pages`): there is one node.

use std::sync::Arc;

use syscalls::Sysno;

use super::Handler;
use super::arguments::{UserPointer, flag_arguments, handlers};
use crate::Errno;
use crate::cred::Capabilities;
use crate::memory::{MemoryManager, MemoryPolicy, NodeMask, RequestedMode};
use crate::pace::Pace;
use crate::platform::{PAGE_SIZE, VirtualAddress};
use crate::task::{CurrentTask, Task, Tid, check_access};

pub(super) const HANDLERS: &[(Sysno, Handler)] =
    handlers![get_mempolicy, set_mempolicy, set_mempolicy_home_node, mbind, migrate_pages, move_pages,];

bitflags::bitflags! {
    /// `MPOL_F_*` (linux/mempolicy.h).
    #[derive(Clone, Copy, PartialEq, Eq)]
    struct PolicyFlags: u64 {
        /// Tell a node rather than a policy.
        const NODE = 1;
        /// Of the memory at an address.
        const ADDR = 2;
        /// Tell the nodes that may be used.
        const MEMS_ALLOWED = 4;
    }
}

bitflags::bitflags! {
    /// `MPOL_MF_*` (linux/mempolicy.h): what becomes of pages that are there already.
    #[derive(Clone, Copy, PartialEq, Eq)]
    struct MoveFlags: u32 {
        /// Those on the wrong node are an error.
        const STRICT = 1;
        /// Those that nobody else maps move.
        const MOVE = 2;
        /// All move.
        const MOVE_ALL = 4;
    }
}

flag_arguments! { PolicyFlags: u64, }

/// Bits in the largest mask of nodes that a call may be given.
const MAX_MASK_BITS: u64 = PAGE_SIZE * 8;

fn get_mempolicy(
    task: &mut CurrentTask,
    mode: UserPointer<u32>,
    nodes: UserPointer<u64>,
    max_node: u64,
    address: VirtualAddress,
    flags: PolicyFlags,
) -> Result<(), Errno> {
    if !nodes.is_null() && max_node < 1 {
        return Err(Errno::EINVAL);
    }
    let (told, mask) = policy_told(task, address, flags)?;
    mode.write_unless_null(task, &told)?;
    if nodes.is_null() { Ok(()) } else { write_nodes(task, nodes, max_node, mask) }
}

/// The mode or node, and the nodes, that get_mempolicy(2) tells.
fn policy_told(
    task: &CurrentTask,
    address: VirtualAddress,
    flags: PolicyFlags,
) -> Result<(u32, NodeMask), Errno> {
    if flags.contains(PolicyFlags::MEMS_ALLOWED) {
        let is_alone = flags == PolicyFlags::MEMS_ALLOWED;
        return if is_alone { Ok((0, NodeMask::ONLINE)) } else { Err(Errno::EINVAL) };
    }
    let policy = if flags.contains(PolicyFlags::ADDR) {
        task.memory().policy_at(address)?
    } else if address == VirtualAddress::NULL {
        task.task().memory_policy()
    } else {
        return Err(Errno::EINVAL);
    };
    if !flags.contains(PolicyFlags::NODE) {
        return Ok((policy.raw_mode(), policy.nodes()));
    }
    if flags.contains(PolicyFlags::ADDR) {
        task.memory().check_readable(address, 1)?;
    } else if !policy.interleaves() {
        // Only interleaving knows which node comes next.
        return Err(Errno::EINVAL);
    }
    Ok((0, policy.nodes()))
}

fn write_nodes(
    task: &CurrentTask,
    place: UserPointer<u64>,
    max_node: u64,
    nodes: NodeMask,
) -> Result<(), Errno> {
    let word_bits = u64::from(u64::BITS);
    // As on Linux a length that is too large to be rounded up is 0.
    let bits = max_node.wrapping_sub(1).checked_next_multiple_of(word_bits).unwrap_or(0);
    if bits > MAX_MASK_BITS {
        return Err(Errno::EINVAL);
    }
    let mut mask = vec![0; usize::try_from(bits / word_bits).map_err(|_| Errno::EINVAL)?];
    if let Some(first) = mask.first_mut() {
        *first = nodes.bits();
    }
    let bytes: Vec<u8> = mask.iter().flat_map(|word: &u64| word.to_ne_bytes()).collect();
    task.memory().write_bytes(place.address(), &bytes)
}

/// The nodes that a mask of `max_node` - 1 bits names (Linux's `get_nodes`).
fn read_nodes(task: &CurrentTask, place: UserPointer<u64>, max_node: u64) -> Result<NodeMask, Errno> {
    let bits = max_node.wrapping_sub(1);
    if bits == 0 || place.is_null() {
        return Ok(NodeMask::empty());
    }
    if bits > MAX_MASK_BITS {
        return Err(Errno::EINVAL);
    }
    let word_bits = u64::from(u64::BITS);
    let words = usize::try_from(bits.div_ceil(word_bits)).map_err(|_| Errno::EINVAL)?;
    let mut mask = place.read_array(task, words)?;
    if let Some(last) = mask.last_mut()
        && !bits.is_multiple_of(word_bits)
    {
        *last &= (1 << (bits % word_bits)) - 1;
    }
    match mask.split_first() {
        Some((first, rest)) if rest.iter().all(|word| *word == 0) => Ok(NodeMask::from_bits_retain(*first)),
        _ => Err(Errno::EINVAL),
    }
}

fn set_mempolicy(
    task: &mut CurrentTask,
    mode: u32,
    nodes: UserPointer<u64>,
    max_node: u64,
) -> Result<(), Errno> {
    let mode = RequestedMode::new(mode)?;
    let nodes = read_nodes(task, nodes, max_node)?;
    task.task().set_memory_policy(MemoryPolicy::new(mode, nodes)?);
    Ok(())
}

fn mbind(
    task: &mut CurrentTask,
    address: VirtualAddress,
    len_bytes: u64,
    mode: u32,
    nodes: UserPointer<u64>,
    max_node: u64,
    flags: u32,
) -> Result<(), Errno> {
    let mode = RequestedMode::new(mode)?;
    let nodes = read_nodes(task, nodes, max_node)?;
    let flags = MoveFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
    check_may_move_all(task, flags)?;
    task.memory().set_policy(address, len_bytes, || MemoryPolicy::new(mode, nodes), task)
}

fn check_may_move_all(task: &CurrentTask, flags: MoveFlags) -> Result<(), Errno> {
    let may = !flags.contains(MoveFlags::MOVE_ALL) || task.credentials().has(Capabilities::SYS_NICE);
    if may { Ok(()) } else { Err(Errno::EPERM) }
}

fn set_mempolicy_home_node(
    task: &mut CurrentTask,
    address: VirtualAddress,
    len_bytes: u64,
    home_node: u64,
    flags: u64,
) -> Result<(), Errno> {
    if !address.is_page_aligned() || flags != 0 || home_node != 0 {
        return Err(Errno::EINVAL);
    }
    task.memory().set_home_node(address, len_bytes)
}

/// The process that `pid` names, 0 for the caller's, if the caller may look into it.
fn process_to_move(task: &CurrentTask, pid: Tid) -> Result<Arc<Task>, Errno> {
    if pid.0 == 0 {
        return Ok(task.task().clone());
    }
    let namespace = task.thread_group().pid_namespace();
    let other = task.kernel().tasks().task(namespace, pid).ok_or(Errno::ESRCH)?;
    check_access(task.task(), &other)?;
    Ok(other)
}

/// With one node nothing ever has to move, so that none remain.
fn migrate_pages(
    task: &mut CurrentTask,
    pid: Tid,
    max_node: u64,
    old_nodes: UserPointer<u64>,
    new_nodes: UserPointer<u64>,
) -> Result<(), Errno> {
    read_nodes(task, old_nodes, max_node)?;
    let new = read_nodes(task, new_nodes, max_node)?;
    let other = process_to_move(task, pid)?;
    if !NodeMask::ONLINE.contains(new) && !task.credentials().has(Capabilities::SYS_NICE) {
        return Err(Errno::EPERM);
    }
    if !new.contains(NodeMask::ONLINE) || other.memory().is_none() {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

fn move_pages(
    task: &mut CurrentTask,
    pid: Tid,
    count: u64,
    pages: UserPointer<VirtualAddress>,
    nodes: UserPointer<i32>,
    status: UserPointer<i32>,
    flags: u32,
) -> Result<(), Errno> {
    let flags = MoveFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
    if flags.contains(MoveFlags::STRICT) {
        return Err(Errno::EINVAL);
    }
    check_may_move_all(task, flags)?;
    let memory = process_to_move(task, pid)?.memory().ok_or(Errno::EINVAL)?;
    let pages: UserPointer<u64> = pages.cast();
    let mut index = 0;
    while index < usize::try_from(count).unwrap_or(usize::MAX) {
        let address = VirtualAddress(pages.element(index).read(task)?);
        if !nodes.is_null() {
            check_target(nodes.element(index).read(task)?)?;
        }
        status.element(index).write(task, &page_status(&memory, address))?;
        task.keep_going()?;
        index += 1;
    }
    Ok(())
}

/// Whether pages may be moved to a node: there is only the first.
fn check_target(node: i32) -> Result<(), Errno> {
    if node == 0 { Ok(()) } else { Err(Errno::ENODEV) }
}

/// The node of a page, or the error that there is for it, negative.
fn page_status(memory: &MemoryManager, address: VirtualAddress) -> i32 {
    match memory.node_of_page(address) {
        Ok(node) => i32::try_from(node).unwrap_or(0),
        Err(errno) => -i32::from(errno.raw()),
    }
}
