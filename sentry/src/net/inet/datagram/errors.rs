//! What went wrong with what was sent (`man 7 ip`, IP_RECVERR; `man 7 ipv6`, IPV6_RECVERR).

use std::net::{IpAddr, SocketAddr};

use linux_raw_sys::net as uapi;
use zerocopy::IntoBytes;

use super::{Arrival, DatagramQueue, OVERHEAD_BYTES, Payload};
use crate::Errno;
use crate::abi::SockExtendedErr;
use crate::net::inet::bound::InetSocket;
use crate::net::{ControlMessage, Received};
use crate::wait::Events;

/// Who says that something went wrong (`SO_EE_ORIGIN_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::net::inet) enum ErrorOrigin {
    /// This host: it was too long.
    Local,
    /// ICMP of IPv4.
    Icmp,
    /// ICMP of IPv6.
    Icmp6,
}

/// Which way ICMP tells of an error: to which own address, through which link.
#[derive(Clone, Copy, Debug)]
pub(in crate::net::inet) struct ErrorWay {
    pub(in crate::net::inet) own: IpAddr,
    pub(in crate::net::inet) device: u32,
}

impl ErrorWay {
    /// How word of an error comes that `by` sends back about `payload`. What Linux takes for the port that it was sent to, if it is
    /// asked, are the third and the fourth byte of that.
    pub(in crate::net::inet) fn arrival(self, inet: &InetSocket, by: IpAddr, payload: &Payload) -> Arrival {
        /// Of what networks tell each other (RFC 1812).
        const CONTROL_TOS: u8 = 0xc0;
        let port = payload.bytes().get(2..).and_then(|rest| rest.first_chunk());
        Arrival {
            source: SocketAddr::new(by, 0),
            destination: SocketAddr::new(self.own, port.copied().map_or(0, u16::from_be_bytes)),
            device: self.device,
            ttl: inet.network().usual_ttl(self.own, self.device),
            tos: if self.own.is_ipv4() { CONTROL_TOS } else { 0 },
            time: inet.network().shared().now(),
        }
    }
}

/// An error, with what it is about.
#[derive(Clone)]
pub(in crate::net::inet) struct QueuedError {
    pub(in crate::net::inet) error: Errno,
    pub(in crate::net::inet) origin: ErrorOrigin,
    /// ICMP's type and code.
    pub(in crate::net::inet) kind: [u8; 2],
    /// What else is told: an MTU.
    pub(in crate::net::inet) info: u32,
    /// Where it was sent to.
    pub(in crate::net::inet) destination: SocketAddr,
    /// How ICMP has told of it.
    pub(in crate::net::inet) arrival: Option<Arrival>,
    /// What is left of what was sent.
    pub(in crate::net::inet) payload: Payload,
}

impl QueuedError {
    /// Whether SO_ERROR tells of it as well, when its turn has come.
    fn is_pending(&self) -> bool {
        self.origin != ErrorOrigin::Local
    }

    /// What is told: how what ICMP says has come, if that is wanted, and what it says.
    fn told(&self, inet: &InetSocket) -> Vec<ControlMessage> {
        let mut told = self
            .arrival
            .as_ref()
            .map(|arrival| super::told::control_of_error(inet, arrival))
            .unwrap_or_default();
        told.push(self.control(inet));
        told
    }

    fn control(&self, inet: &InetSocket) -> ControlMessage {
        let [ee_type, ee_code] = self.kind;
        let error = SockExtendedErr {
            ee_errno: self.error.raw().into(),
            ee_origin: match self.origin {
                ErrorOrigin::Local => 1,
                ErrorOrigin::Icmp => 2,
                ErrorOrigin::Icmp6 => 3,
            },
            ee_type,
            ee_code,
            ee_pad: 0,
            ee_info: self.info,
            ee_data: 0,
        };
        let offender = match &self.arrival {
            Some(arrival) => inet.encode(arrival.source).bytes().to_vec(),
            None => vec![0; inet.encode(self.destination).bytes().len()],
        };
        let (level, kind) = if inet.is_ipv6() {
            (uapi::SOL_IPV6, uapi::IPV6_RECVERR)
        } else {
            (uapi::SOL_IP, uapi::IP_RECVERR)
        };
        ControlMessage { level, kind, data: [error.as_bytes(), &offender].concat() }
    }
}

impl DatagramQueue {
    /// Notes what went wrong: for SO_ERROR, unless the caller is told at once, and in detail, if that is wanted.
    pub(in crate::net::inet) fn fail(
        &self,
        inet: &InetSocket,
        pending: Option<Errno>,
        queued: Option<QueuedError>,
    ) {
        let charged = queued.and_then(|queued| {
            let cost = queued.payload.bytes().len() + OVERHEAD_BYTES;
            Some((queued, inet.network().shared().memory.charge(cost).ok()?))
        });
        let receive_buffer_bytes = inet.common.options().receive_buffer_bytes as usize;
        {
            let mut inbox = self.inbox.lock();
            inbox.error = pending.or(inbox.error);
            if let Some((queued, charge)) = charged
                && inbox.cost_bytes + charge.len_bytes() < receive_buffer_bytes
            {
                inbox.cost_bytes += charge.len_bytes();
                inbox.errors.push_back((queued, charge));
            }
        }
        self.queue.notify(Events::ERR);
    }

    /// MSG_ERRQUEUE.
    pub(super) fn receive_error(
        &self,
        inet: &InetSocket,
        max_bytes: usize,
        take: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<Received, Errno> {
        let queued = {
            let mut inbox = self.inbox.lock();
            let Some((queued, charge)) = inbox.errors.pop_front() else {
                return inet.tell_zero_copies().ok_or(Errno::EAGAIN);
            };
            inbox.cost_bytes -= charge.len_bytes();
            let next = inbox.errors.front().filter(|(next, _)| next.is_pending()).map(|(next, _)| next.error);
            if next.is_some() || queued.is_pending() {
                inbox.error = next;
            }
            queued
        };
        let bytes = queued.payload.bytes();
        let piece = bytes.get(..max_bytes).unwrap_or(bytes);
        if !take(piece) {
            return Err(Errno::EFAULT);
        }
        Ok(Received {
            len_bytes: piece.len(),
            message_bytes: bytes.len(),
            control: queued.told(inet),
            sender: Some(inet.encode(queued.destination)),
            ..Received::default()
        })
    }
}
