//! A packet socket, as system calls know it.

use std::sync::Arc;

use linux_raw_sys::ioctl::{FIONREAD, TIOCOUTQ};
use linux_raw_sys::net as uapi;
use zerocopy::IntoBytes;

use super::address::LinkAddress;
use super::inbox::{Inbox, Waiting};
use super::options::{Options, PACKET_AUXDATA, SOL_PACKET};
use super::{Link, PacketSocket};
use crate::Errno;
use crate::fs::Caller;
use crate::memory::PageCache;
use crate::net::{
    ControlMessage, Destination, NetworkNamespace, Outgoing, Received, Receiving, Shutdown, Socket,
    SocketAddress, SocketCaller, SocketCommon, level,
};
use crate::platform::VirtualAddress;
use crate::wait::{Events, WaitQueue};

/// `TP_STATUS_*` of a frame that user code has.
const STATUS_USER: u32 = 1;

impl Socket for PacketSocket {
    fn common(&self) -> &SocketCommon {
        &self.common
    }

    fn network(&self) -> Option<&Arc<NetworkNamespace>> {
        Some(&self.network)
    }

    fn bind(&self, address: &SocketAddress, _caller: &dyn SocketCaller) -> Result<(), Errno> {
        let address = LinkAddress::decode(address)?;
        let device = match u32::try_from(address.device).map_err(|_| Errno::ENODEV)? {
            0 => None,
            index => Some(Link::find(&self.network, index).ok_or(Errno::ENODEV)?),
        };
        let mut state = self.state.lock();
        // A group has one address.
        if state.fanout.is_some() {
            return Err(Errno::EINVAL);
        }
        state.device = device.as_ref().map(|link| link.device);
        if address.protocol != 0 {
            state.protocol = address.protocol;
        }
        drop(state);
        if device.is_some_and(|link| !link.is_up) {
            self.inbox.lock().error = Some(Errno::ENETDOWN);
            self.queue.notify(Events::ERR);
        }
        Ok(())
    }

    fn connect(
        &self,
        _destination: &Destination,
        _waits: bool,
        _caller: &dyn SocketCaller,
    ) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn disconnect(&self) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn name(&self) -> Result<SocketAddress, Errno> {
        let (device, protocol) = {
            let state = self.state.lock();
            (state.device, state.protocol)
        };
        let link = device.and_then(|device| Link::find(&self.network, device));
        let address = LinkAddress {
            protocol,
            device: device.unwrap_or(0).cast_signed(),
            hardware_type: link.as_ref().map_or(0, |link| link.hardware_type),
            kind: 0,
            hardware: link
                .filter(|link| link.header_bytes() > 0)
                .map(|link| link.address.to_vec())
                .unwrap_or_default(),
        };
        address.encode()
    }

    fn peer_name(&self) -> Result<SocketAddress, Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn shut_down(&self, _halves: Shutdown) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Control messages are for nobody.
    fn check_control(&self, _message: &ControlMessage) -> Result<(), Errno> {
        Ok(())
    }

    fn check_destination(
        &self,
        address: Option<SocketAddress>,
        _is_urgent: bool,
    ) -> Result<Option<SocketAddress>, Errno> {
        address.map(|address| LinkAddress::decode(&address)).transpose()?;
        Ok(address)
    }

    fn check_send(&self, _len_bytes: usize, _has_destination: bool) -> Result<(), Errno> {
        Ok(())
    }

    fn send(
        &self,
        outgoing: Outgoing<'_>,
        destination: Option<&Destination>,
        _caller: &dyn SocketCaller,
    ) -> Result<usize, Errno> {
        let target = destination.map(|target| LinkAddress::decode(&target.address)).transpose()?;
        self.send_frame(outgoing.bytes, target.as_ref())
    }

    fn receive(
        &self,
        max_bytes: usize,
        how: Receiving,
        take: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<Received, Errno> {
        if how.is_urgent {
            return Err(Errno::EINVAL);
        }
        if how.is_error_queue {
            return Err(Errno::EAGAIN);
        }
        let mut inbox = self.inbox.lock();
        inbox.error.take().map_or(Ok(()), Err)?;
        let waiting = inbox.first().ok_or(Errno::EAGAIN)?;
        let whole = self.shown(waiting);
        let piece = whole.get(..max_bytes).unwrap_or(whole);
        let (is_taken, len_bytes, message_bytes) = (take(piece), piece.len(), whole.len());
        let received = Received {
            len_bytes,
            message_bytes,
            control: self.control(waiting, message_bytes, &inbox),
            sender: Some(waiting.frame.sender().encode_whole()?),
            ..Received::default()
        };
        if !how.is_peek {
            inbox.pop();
        }
        if is_taken { Ok(received) } else { Err(Errno::EFAULT) }
    }

    fn check_option(&self, level: u32, option: u32, is_set: bool) -> Result<(), Errno> {
        if level == SOL_PACKET && Options::is_known(option, is_set) {
            Ok(())
        } else {
            Err(Errno::ENOPROTOOPT)
        }
    }

    fn option(&self, _level: u32, option: u32, _room_bytes: usize) -> Result<Vec<u8>, Errno> {
        self.packet_option(option)
    }

    fn asked_option(&self, asked: &[u8]) -> Result<Vec<u8>, Errno> {
        Self::header_len(asked)
    }

    fn set_option(
        &self,
        _level: u32,
        option: u32,
        value: &[u8],
        caller: &dyn SocketCaller,
    ) -> Result<(), Errno> {
        self.set_packet_option(option, value, caller)
    }

    fn take_error(&self) -> Option<Errno> {
        self.inbox.lock().error.take()
    }

    fn received_memory(&self) -> (usize, u32) {
        let inbox = self.inbox.lock();
        (inbox.cost_bytes(), inbox.lost_in_all())
    }

    fn readiness(&self) -> Events {
        let ring = self.state.lock().ring.clone();
        let inbox = self.inbox.lock();
        let is_readable = !inbox.is_empty() || ring.is_some_and(|ring| ring.is_readable());
        let mut events = Events::OUT | Events::WRNORM | Events::WRBAND;
        events.set(Events::IN | Events::RDNORM, is_readable);
        events.set(Events::ERR, inbox.error.is_some());
        events
    }

    fn wait_queue(&self) -> &WaitQueue {
        &self.queue
    }

    fn page_cache(&self) -> Result<Arc<PageCache>, Errno> {
        let ring = self.state.lock().ring.clone();
        ring.map(|ring| ring.cache().clone()).ok_or(Errno::EINVAL)
    }

    fn ioctl(&self, request: u32, argument: u64, caller: &dyn Caller) -> Result<usize, Errno> {
        let number = match request {
            FIONREAD => self.inbox.lock().first().map_or(0, |first| self.shown(first).len()),
            TIOCOUTQ => 0,
            _ => return Err(Errno::ENOTTY),
        };
        let number = i32::try_from(number).unwrap_or(i32::MAX);
        caller.memory().write_object(VirtualAddress(argument), &number)?;
        Ok(0)
    }
}

impl PacketSocket {
    /// What of a frame is received.
    fn shown<'a>(&self, waiting: &'a Waiting) -> &'a [u8] {
        let bytes = if self.is_cooked() { waiting.frame.split().1 } else { &waiting.frame.bytes[..] };
        bytes.get(..waiting.passed_bytes).unwrap_or(bytes)
    }

    /// What is told beside a frame.
    fn control(&self, waiting: &Waiting, shown_bytes: usize, inbox: &Inbox) -> Vec<ControlMessage> {
        let mut told = Vec::new();
        let options = self.common.options();
        level::tell_arrival(&self.common, waiting.frame.time, &mut told);
        let mut tell =
            |level, kind, data: &[u8]| told.push(ControlMessage { level, kind, data: data.to_vec() });
        let lost = inbox.lost_in_all();
        if lost > 0 && options.switch(uapi::SO_RXQ_OVFL) == Ok(true) {
            tell(uapi::SOL_SOCKET, uapi::SO_RXQ_OVFL, lost.as_bytes());
        }
        if self.tells_mark() {
            tell(uapi::SOL_SOCKET, uapi::SO_MARK, 0_u32.as_bytes());
        }
        if self.state.lock().options.tells_auxiliary {
            tell(SOL_PACKET, PACKET_AUXDATA, &self.auxiliary(waiting, shown_bytes));
        }
        told
    }

    /// `struct tpacket_auxdata`: a status, how long the frame is and how much of it is shown, and where the packet begins; no VLAN.
    fn auxiliary(&self, waiting: &Waiting, shown_bytes: usize) -> Vec<u8> {
        let frame = &waiting.frame;
        let whole = if self.is_cooked() { frame.split().1.len() } else { frame.bytes.len() };
        let offset = if self.is_cooked() { 0 } else { frame.header_bytes() };
        let number = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        let words = [STATUS_USER, number(whole), number(shown_bytes), number(offset) << u16::BITS, 0];
        words.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    /// How /proc/net/packet shows it.
    pub(in crate::net) fn to_line(&self) -> String {
        let (device, protocol) = {
            let state = self.state.lock();
            (state.device.unwrap_or(0), state.protocol)
        };
        let kind = self.common.kind().raw();
        // One that receives is referred to once more.
        let is_running = u8::from(protocol != 0);
        let references = 2 + is_running;
        let queued = self.inbox.lock().cost_bytes();
        let metadata = self.common.inode().metadata();
        let (user, inode) = (metadata.uid.0, self.common.inode().ino());
        format!(
            "{:016x} {references:<6} {kind:<4} {protocol:04x}   {device:<5} {is_running:1} {queued:<6} {user:<6} {inode:<6}\n",
            0
        )
    }
}
