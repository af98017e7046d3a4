//! Filters of what a socket receives (`man 7 socket`, SO_ATTACH_FILTER).

use zerocopy::FromBytes;

use crate::Errno;
use crate::abi::{SockFilter, SockFprog};
use crate::bpf::{MAX_LEN, Part, Program, Subject, Width};
use crate::fs::Caller;
use crate::platform::VirtualAddress;

/// Where what is no part of a packet begins (`SKF_AD_OFF`), and what there is.
const ANCILLARY_OFFSET: u32 = (-0x1000_i32).cast_unsigned();
const PROTOCOL: u32 = 0;
const PACKET_TYPE: u32 = 4;
const INTERFACE_INDEX: u32 = 8;
const MARK: u32 = 20;
const CPU: u32 = 36;
const VLAN_TAG: u32 = 44;
const VLAN_TAG_PRESENT: u32 = 48;

/// Protocols of packets (`linux/if_ether.h`).
pub(super) const ETH_P_IP: u16 = 0x0800;
pub(super) const ETH_P_IPV6: u16 = 0x86dd;
pub(super) const ETH_P_ARP: u16 = 0x0806;

/// A program, and how it was given.
#[derive(Debug)]
pub struct PacketFilter {
    program: Program,
    source: Vec<SockFilter>,
}

/// A packet as a filter sees it: a header and what follows.
pub(super) struct FilteredPacket<'a> {
    pub(super) header: &'a [u8],
    pub(super) payload: &'a [u8],
    /// `ETH_P_*`.
    pub(super) protocol: u16,
    /// The index of the link that it has come through.
    pub(super) device: u32,
    /// Whom it is for (`PACKET_*`).
    pub(super) kind: u32,
}

impl PacketFilter {
    /// The filter that a `struct sock_fprog` in `value` describes, whose instructions are in the memory of `caller`.
    ///
    /// # Errors
    /// EINVAL, EFAULT.
    pub(super) fn read(value: &[u8], caller: &dyn Caller) -> Result<Self, Errno> {
        let description = SockFprog::read_from_bytes(value).map_err(|_| Errno::EINVAL)?;
        let count = usize::from(description.len);
        if description.filter == 0 || !(1..=MAX_LEN).contains(&count) {
            return Err(Errno::EINVAL);
        }
        let mut bytes = vec![0; count * size_of::<SockFilter>()];
        caller.memory().read_bytes(VirtualAddress(description.filter), &mut bytes)?;
        let instruction = |bytes: &[u8]| SockFilter::read_from_bytes(bytes).map_err(|_| Errno::EINVAL);
        let source: Vec<_> =
            bytes.chunks_exact(size_of::<SockFilter>()).map(instruction).collect::<Result<_, _>>()?;
        Ok(Self { program: Program::new(&source, Subject::Packet)?, source })
    }

    /// The instructions that it was made of.
    pub(crate) fn source(&self) -> &[SockFilter] {
        &self.source
    }

    /// How many bytes of a packet get through; none of one that is not wanted.
    pub(super) fn passed_bytes(&self, packet: &FilteredPacket<'_>) -> usize {
        let len_bytes = packet.header.len() + packet.payload.len();
        len_bytes.min(self.number(packet) as usize)
    }
}

impl PacketFilter {
    /// What the program says of a packet, as a number; 0 where it reads what is not there.
    pub(super) fn number(&self, packet: &FilteredPacket<'_>) -> u32 {
        let len_bytes = packet.header.len() + packet.payload.len();
        let len = u32::try_from(len_bytes).unwrap_or(u32::MAX);
        self.program.run(len, |part| packet.load(part)).unwrap_or(0)
    }
}

impl FilteredPacket<'_> {
    fn load(&self, part: Part) -> Option<u32> {
        if part.offset >= ANCILLARY_OFFSET {
            return match part.offset - ANCILLARY_OFFSET {
                PROTOCOL => Some(self.protocol.into()),
                PACKET_TYPE => Some(self.kind),
                // No mark, one CPU, no virtual network.
                MARK | CPU | VLAN_TAG | VLAN_TAG_PRESENT => Some(0),
                INTERFACE_INDEX => Some(self.device),
                _ => None,
            };
        }
        let count = match part.width {
            Width::Byte => 1,
            Width::Half => 2,
            Width::Word => 4,
        };
        let offset = part.offset as usize;
        (offset..offset.checked_add(count)?).try_fold(0, |value, place| {
            let byte = match place.checked_sub(self.header.len()) {
                None => self.header.get(place),
                Some(behind) => self.payload.get(behind),
            };
            Some(value << 8 | u32::from(*byte?))
        })
    }
}

#[cfg(test)]
mod tests;
