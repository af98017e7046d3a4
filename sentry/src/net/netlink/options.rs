//! Options of SOL_NETLINK.

use crate::Errno;
use crate::net::level::int;
use linux_raw_sys::netlink::{
    NETLINK_ADD_MEMBERSHIP, NETLINK_BROADCAST_ERROR, NETLINK_CAP_ACK, NETLINK_DROP_MEMBERSHIP,
    NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK, NETLINK_LIST_MEMBERSHIPS, NETLINK_LISTEN_ALL_NSID,
    NETLINK_NO_ENOBUFS, NETLINK_PKTINFO,
};

/// The level.
pub(super) const SOL_NETLINK: u32 = linux_raw_sys::net::SOL_NETLINK;

bitflags::bitflags! {
    /// What a socket asked for.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(super) struct Switches: u16 {
        /// Tell the group of each message (NETLINK_PKTINFO).
        const PKTINFO = 1 << 0;
        /// Tell who sends to groups of losses.
        const BROADCAST_ERROR = 1 << 1;
        /// Do not tell of losses.
        const NO_ENOBUFS = 1 << 2;
        /// Hear of other namespaces too.
        const LISTEN_ALL_NSID = 1 << 3;
        /// Repeat no more than the header of a request in an answer.
        const CAP_ACK = 1 << 4;
        /// Say in words what was wrong.
        const EXT_ACK = 1 << 5;
        /// Take requests for dumps at their word.
        const GET_STRICT_CHK = 1 << 6;
    }
}

/// What setting an option means.
pub(super) enum Setting {
    Switch(Switches, bool),
    /// Joining a group, or leaving it.
    Membership(u32, bool),
}

/// The switch that an option sets.
fn switch(option: u32) -> Option<Switches> {
    Some(match option {
        NETLINK_PKTINFO => Switches::PKTINFO,
        NETLINK_BROADCAST_ERROR => Switches::BROADCAST_ERROR,
        NETLINK_NO_ENOBUFS => Switches::NO_ENOBUFS,
        NETLINK_LISTEN_ALL_NSID => Switches::LISTEN_ALL_NSID,
        NETLINK_CAP_ACK => Switches::CAP_ACK,
        NETLINK_EXT_ACK => Switches::EXT_ACK,
        NETLINK_GET_STRICT_CHK => Switches::GET_STRICT_CHK,
        _ => return None,
    })
}

/// # Errors
/// ENOPROTOOPT for an option that there is not, EINVAL for too short a value or a group that there is not.
pub(super) fn decode(option: u32, value: &[u8], groups: u32) -> Result<Setting, Errno> {
    let number = if value.len() < size_of::<i32>() { 0 } else { int(value)? };
    if let Some(switch) = switch(option) {
        return Ok(Setting::Switch(switch, number != 0));
    }
    match option {
        NETLINK_ADD_MEMBERSHIP | NETLINK_DROP_MEMBERSHIP => {
            let group = number.cast_unsigned();
            if group == 0 || group > groups {
                return Err(Errno::EINVAL);
            }
            Ok(Setting::Membership(group, option == NETLINK_ADD_MEMBERSHIP))
        }
        _ => Err(Errno::ENOPROTOOPT),
    }
}

/// # Errors
/// ENOPROTOOPT for an option that there is not, EINVAL for too little room.
pub(super) fn encode(
    option: u32,
    switches: Switches,
    groups: u64,
    room_bytes: usize,
) -> Result<Vec<u8>, Errno> {
    if option == NETLINK_LIST_MEMBERSHIPS {
        // One that has never joined a group has no room to note any.
        return Ok(if groups == 0 { Vec::new() } else { groups.to_ne_bytes().to_vec() });
    }
    let switch =
        switch(option).filter(|switch| *switch != Switches::LISTEN_ALL_NSID).ok_or(Errno::ENOPROTOOPT)?;
    if room_bytes < size_of::<i32>() {
        return Err(Errno::EINVAL);
    }
    Ok(i32::from(switches.contains(switch)).to_ne_bytes().to_vec())
}

/// The control message that tells of the group (`struct nl_pktinfo`).
pub(super) fn packet_info(group: u32) -> crate::net::ControlMessage {
    crate::net::ControlMessage {
        level: SOL_NETLINK,
        kind: NETLINK_PKTINFO,
        data: group.to_ne_bytes().to_vec(),
    }
}
