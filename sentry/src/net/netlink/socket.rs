//! A netlink socket.

use std::sync::{Arc, Weak};

use linux_raw_sys::net::AF_NETLINK;
use parking_lot::Mutex;

use super::address::NetlinkAddress;
use super::inbox::Inbox;
use super::options::{self, SOL_NETLINK, Setting, Switches};
use super::{Protocol, request};
use crate::Errno;
use crate::cred::{Capabilities, KernelGid, KernelUid};
use crate::ipc::{COOKIE_BYTES, CookieReceiver};
use crate::net::{
    Destination, NetworkNamespace, Outgoing, PeerCredentials, Received, Receiving, Socket, SocketAddress,
    SocketCaller, SocketCommon, SocketKind,
};
use crate::wait::{Events, WaitQueue};

/// What Linux leaves of the send buffer for its own use.
const SEND_OVERHEAD_BYTES: usize = 32;

pub(in crate::net) struct NetlinkSocket {
    common: SocketCommon,
    protocol: Protocol,
    namespace: Arc<NetworkNamespace>,
    state: Mutex<State>,
    inbox: Mutex<Inbox>,
    queue: WaitQueue,
    me: Weak<Self>,
}

#[derive(Default)]
struct State {
    port: Option<u32>,
    /// Bit N for group N + 1.
    groups: u64,
    peer: NetlinkAddress,
    switches: Switches,
}

impl NetlinkSocket {
    pub(super) fn new(
        namespace: &Arc<NetworkNamespace>,
        kind: SocketKind,
        protocol: Protocol,
        owner: (KernelUid, KernelGid),
    ) -> Arc<Self> {
        let socket = Arc::new_cyclic(|me| Self {
            common: SocketCommon::new(namespace.shared(), AF_NETLINK, kind, protocol.raw(), owner),
            protocol,
            namespace: namespace.clone(),
            state: Mutex::default(),
            inbox: Mutex::default(),
            queue: WaitQueue::default(),
            me: me.clone(),
        });
        namespace.netlink().register(socket.common.inode().ino(), Arc::downgrade(&socket));
        socket
    }

    pub(super) fn protocol(&self) -> Protocol {
        self.protocol
    }

    pub(super) fn namespace(&self) -> &Arc<NetworkNamespace> {
        &self.namespace
    }

    /// Where it is bound; `None` if it is not.
    pub(super) fn port(&self) -> Option<u32> {
        self.state.lock().port
    }

    pub(super) fn switches(&self) -> Switches {
        self.state.lock().switches
    }

    pub(super) fn is_member(&self, group: u32) -> bool {
        (1..=u64::BITS).contains(&group) && self.state.lock().groups >> (group - 1) & 1 == 1
    }

    /// Its line in /proc/net/netlink; kernel addresses are nobody's business.
    pub(in crate::net) fn to_line(&self) -> String {
        let (port, groups) = {
            let state = self.state.lock();
            (state.port.unwrap_or(0), state.groups as u32)
        };
        let (queued_bytes, is_dumping) = {
            let inbox = self.inbox.lock();
            (inbox.queued_bytes(), u8::from(inbox.is_dumping()))
        };
        let (protocol, inode) = (self.protocol.raw(), self.common.inode().ino());
        format!(
            "{:016x} {protocol:<3} {port:<10} {groups:08x} {queued_bytes:<8} {:<8} {is_dumping:<5} {:<8} {:<8} {inode:<8}\n",
            0, 0, 2, 0
        )
    }

    fn max_queued_bytes(&self) -> usize {
        self.common.options().receive_buffer_bytes as usize
    }

    /// Puts an answer of the kernel's into the inbox, or notes that it was lost.
    pub(super) fn answer(&self, bytes: Vec<u8>) {
        self.deliver_to_group((bytes.into(), 0, 0), PeerCredentials::default());
    }

    /// As [`Self::answer`], for what was sent to a group.
    pub(super) fn deliver_to_group(&self, datagram: (Arc<[u8]>, u32, u32), credentials: PeerCredentials) {
        let (memory, max_bytes) = (&self.namespace.shared().memory, self.max_queued_bytes());
        let tells_losses = !self.switches().contains(Switches::NO_ENOBUFS);
        {
            let mut inbox = self.inbox.lock();
            let pushed = inbox.push(datagram, credentials, max_bytes, memory);
            if pushed.is_err() && tells_losses {
                inbox.overrun();
            }
        }
        self.queue.notify(Events::IN | Events::RDNORM | Events::ERR);
    }

    /// Starts to tell a dump.
    ///
    /// # Errors
    /// EBUSY while another is being told, ENOBUFS, and those of `make_parts`.
    pub(super) fn dump(
        &self,
        make_parts: impl FnOnce(usize) -> Result<Vec<Vec<u8>>, Errno>,
    ) -> Result<(), Errno> {
        let part_bytes = {
            let inbox = self.inbox.lock();
            if inbox.is_dumping() {
                return Err(Errno::EBUSY);
            }
            inbox.part_bytes()
        };
        // What is told of is looked at without the inbox's lock, which comes after.
        let parts = make_parts(part_bytes)?;
        self.inbox.lock().start_dump(parts, &self.namespace.shared().memory)?;
        self.queue.notify(Events::IN | Events::RDNORM);
        Ok(())
    }

    /// The port; one is chosen if there is none yet.
    fn bind_if_unbound(&self, caller: &dyn SocketCaller) -> Result<u32, Errno> {
        match self.port() {
            Some(port) => Ok(port),
            None => self.bind_to(None, caller),
        }
    }

    fn bind_to(&self, wanted: Option<u32>, caller: &dyn SocketCaller) -> Result<u32, Errno> {
        let process_id = caller.process_identity().own_number();
        let port = self.namespace.netlink().bind(self.protocol, wanted, process_id, self.me.clone())?;
        self.state.lock().port = Some(port);
        Ok(port)
    }

    /// Whether the caller may send to others than the kernel.
    fn check_receiver(&self, address: NetlinkAddress, caller: &dyn SocketCaller) -> Result<(), Errno> {
        let is_kernel = address.port == 0 && address.groups == 0;
        let may_send = is_kernel
            || self.protocol.lets_anybody_send()
            || caller.credentials().has_over_namespace(&*self.namespace, Capabilities::NET_ADMIN);
        if may_send { Ok(()) } else { Err(Errno::EPERM) }
    }

    /// Passes a datagram on to the group and the port of an address.
    fn pass_on(
        &self,
        bytes: &[u8],
        to: NetlinkAddress,
        from: u32,
        credentials: PeerCredentials,
    ) -> Result<(), Errno> {
        let bytes: Arc<[u8]> = bytes.into();
        let sockets = self.namespace.netlink();
        if to.groups != 0 {
            sockets.multicast(self.protocol, to.first_group(), &bytes, (from, &credentials));
        }
        if to.port == 0 {
            return if to.groups == 0 { Err(Errno::ECONNREFUSED) } else { Ok(()) };
        }
        let target = sockets.find(self.protocol, to.port).ok_or(Errno::ECONNREFUSED)?;
        let memory = &self.namespace.shared().memory;
        let pushed =
            target.inbox.lock().push((bytes, from, 0), credentials, target.max_queued_bytes(), memory);
        pushed.map_err(|_| Errno::EAGAIN)?;
        target.queue.notify(Events::IN | Events::RDNORM);
        Ok(())
    }
}

impl CookieReceiver for NetlinkSocket {
    fn take(&self, cookie: [u8; COOKIE_BYTES]) {
        self.answer(cookie.to_vec());
    }
}

impl Socket for NetlinkSocket {
    fn common(&self) -> &SocketCommon {
        &self.common
    }

    fn cookie_receiver(&self) -> Option<Weak<dyn CookieReceiver>> {
        Some(self.me.clone())
    }

    fn bind(&self, address: &SocketAddress, caller: &dyn SocketCaller) -> Result<(), Errno> {
        let address = NetlinkAddress::decode(address)?;
        match self.port() {
            Some(port) if port != address.port => return Err(Errno::EINVAL),
            Some(_) => {}
            None => drop(self.bind_to(Some(address.port).filter(|port| *port != 0), caller)?),
        }
        let mut state = self.state.lock();
        state.groups = state.groups & !u64::from(u32::MAX) | u64::from(address.groups);
        Ok(())
    }

    fn connect(
        &self,
        destination: &Destination,
        _waits: bool,
        caller: &dyn SocketCaller,
    ) -> Result<(), Errno> {
        let address = NetlinkAddress::decode(&destination.address)?;
        self.check_receiver(address, caller)?;
        self.bind_if_unbound(caller)?;
        self.state.lock().peer = address;
        Ok(())
    }

    fn disconnect(&self) -> Result<(), Errno> {
        self.state.lock().peer = NetlinkAddress::default();
        Ok(())
    }

    fn name(&self) -> Result<SocketAddress, Errno> {
        let state = self.state.lock();
        NetlinkAddress::new(state.port.unwrap_or(0), state.groups as u32).encode()
    }

    fn peer_name(&self) -> Result<SocketAddress, Errno> {
        let peer = self.state.lock().peer;
        NetlinkAddress::new(peer.port, peer.groups).encode()
    }

    fn check_destination(
        &self,
        address: Option<SocketAddress>,
        is_urgent: bool,
    ) -> Result<Option<SocketAddress>, Errno> {
        if is_urgent {
            return Err(Errno::EOPNOTSUPP);
        }
        address.as_ref().map(NetlinkAddress::decode).transpose()?;
        Ok(address)
    }

    fn check_send(&self, len_bytes: usize, _has_destination: bool) -> Result<(), Errno> {
        let room = (self.common.options().send_buffer_bytes as usize).saturating_sub(SEND_OVERHEAD_BYTES);
        if len_bytes > room { Err(Errno::EMSGSIZE) } else { Ok(()) }
    }

    fn send(
        &self,
        outgoing: Outgoing<'_>,
        destination: Option<&Destination>,
        caller: &dyn SocketCaller,
    ) -> Result<usize, Errno> {
        self.check_send(outgoing.bytes.len(), destination.is_some())?;
        if outgoing.bytes.is_empty() {
            return Err(Errno::ENODATA);
        }
        let to = match destination {
            Some(destination) => NetlinkAddress::decode(&destination.address)?,
            None => self.state.lock().peer,
        };
        self.check_receiver(to, caller)?;
        let port = self.bind_if_unbound(caller)?;
        match self.protocol {
            Protocol::Route | Protocol::SockDiag | Protocol::Generic if to.port == 0 && to.groups == 0 => {
                request::serve(self, outgoing.bytes, port, caller)
            }
            _ => self.pass_on(outgoing.bytes, to, port, outgoing.credentials)?,
        }
        Ok(outgoing.bytes.len())
    }

    fn receive(
        &self,
        max_bytes: usize,
        how: Receiving,
        take: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<Received, Errno> {
        if how.is_urgent {
            return Err(Errno::EOPNOTSUPP);
        }
        let (bytes, port, group, credentials) = {
            let mut inbox = self.inbox.lock();
            if let Some(error) = inbox.take_error() {
                return Err(error);
            }
            let told = |datagram: &super::inbox::Datagram| {
                (datagram.bytes.clone(), datagram.port, datagram.group, datagram.credentials.clone())
            };
            match how.is_peek {
                true => inbox.first().map(told),
                false => inbox.pop(max_bytes).as_ref().map(told),
            }
            .ok_or(Errno::EAGAIN)?
        };
        let len_bytes = bytes.len().min(max_bytes);
        if !take(&bytes[..len_bytes]) {
            return Err(Errno::EFAULT);
        }
        let options = self.common.options();
        let shows_credentials = options.switch(linux_raw_sys::net::SO_PASSCRED)?;
        let has_info = self.switches().contains(Switches::PKTINFO);
        let mask = if (1..=32).contains(&group) { 1 << (group - 1) } else { 0 };
        Ok(Received {
            len_bytes,
            message_bytes: bytes.len(),
            credentials: shows_credentials.then_some(credentials),
            control: has_info.then(|| options::packet_info(group)).into_iter().collect(),
            sender: Some(NetlinkAddress::new(port, mask).encode()?),
            ..Received::default()
        })
    }

    fn check_option(&self, level: u32, _option: u32, _is_set: bool) -> Result<(), Errno> {
        if level == SOL_NETLINK { Ok(()) } else { Err(Errno::ENOPROTOOPT) }
    }

    fn option(&self, level: u32, option: u32, room_bytes: usize) -> Result<Vec<u8>, Errno> {
        if level != SOL_NETLINK {
            return Err(Errno::ENOPROTOOPT);
        }
        let state = self.state.lock();
        options::encode(option, state.switches, state.groups, room_bytes)
    }

    fn set_option(
        &self,
        level: u32,
        option: u32,
        value: &[u8],
        caller: &dyn SocketCaller,
    ) -> Result<(), Errno> {
        if level != SOL_NETLINK {
            return Err(Errno::ENOPROTOOPT);
        }
        let setting = options::decode(option, value, self.protocol.groups())?;
        let hears_all = matches!(setting, Setting::Switch(Switches::LISTEN_ALL_NSID, _));
        if hears_all && !caller.credentials().has(Capabilities::NET_ADMIN) {
            return Err(Errno::EPERM);
        }
        let mut state = self.state.lock();
        match setting {
            Setting::Switch(switch, is_on) => state.switches.set(switch, is_on),
            Setting::Membership(group, true) => state.groups |= 1 << (group - 1),
            Setting::Membership(group, false) => state.groups &= !(1 << (group - 1)),
        }
        Ok(())
    }

    fn take_error(&self) -> Option<Errno> {
        self.inbox.lock().take_error()
    }

    fn readiness(&self) -> Events {
        let inbox = self.inbox.lock();
        let mut events = Events::OUT | Events::WRNORM | Events::WRBAND;
        events.set(Events::IN | Events::RDNORM, inbox.first().is_some());
        events.set(Events::ERR, inbox.has_error());
        events
    }

    fn wait_queue(&self) -> &WaitQueue {
        &self.queue
    }

    fn network(&self) -> Option<&Arc<NetworkNamespace>> {
        Some(&self.namespace)
    }
}

impl Drop for NetlinkSocket {
    fn drop(&mut self) {
        let port = self.state.get_mut().port.map(|port| (self.protocol.raw(), port));
        self.namespace.netlink().forget(self.common.inode().ino(), port);
    }
}
