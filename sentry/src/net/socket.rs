//! What a socket is to the system calls, whatever its family.

use std::any::Any;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use linux_raw_sys::net as uapi;
use parking_lot::Mutex;

use super::filter::PacketFilter;
use super::{
    ControlMessage, KernelSockets, NetworkNamespace, Outgoing, PeerCredentials, Received, Receiving,
    SocketAddress, SocketOptions,
};
use crate::Errno;
use crate::cred::{KernelGid, KernelUid};
use crate::fs::anonymous::AnonymousInode;
use crate::fs::{Caller, Collector, FileKind, TaskFs, Viewer};
use crate::heap::HeapCharge;
use crate::ipc::CookieReceiver;
use crate::landlock::Domain;
use crate::memory::PageCache;
use crate::network_settings::BufferSettings;
use crate::time::{MonotonicTime, Timekeeper};
use crate::wait::{Events, WaitQueue};

/// The type of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SocketKind {
    /// SOCK_STREAM.
    Stream,
    /// SOCK_DGRAM.
    Datagram,
    /// SOCK_RAW.
    Raw,
    /// SOCK_SEQPACKET.
    SequencedPacket,
}

impl SocketKind {
    /// The kind with the `SOCK_*` number, if any family here has such.
    pub fn from_raw(raw: u32) -> Option<Self> {
        match raw {
            uapi::SOCK_STREAM => Some(Self::Stream),
            uapi::SOCK_DGRAM => Some(Self::Datagram),
            uapi::SOCK_RAW => Some(Self::Raw),
            uapi::SOCK_SEQPACKET => Some(Self::SequencedPacket),
            _ => None,
        }
    }

    /// The `SOCK_*` number.
    pub fn raw(self) -> u32 {
        match self {
            Self::Stream => uapi::SOCK_STREAM,
            Self::Datagram => uapi::SOCK_DGRAM,
            Self::Raw => uapi::SOCK_RAW,
            Self::SequencedPacket => uapi::SOCK_SEQPACKET,
        }
    }

    /// Whether it must be connected before anything is sent.
    pub fn is_connection_based(self) -> bool {
        matches!(self, Self::Stream | Self::SequencedPacket)
    }
}

/// Which halves of a connection shutdown(2) ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// Nothing more is received (SHUT_RD).
    pub receiving: bool,
    /// Nothing more is sent (SHUT_WR).
    pub sending: bool,
}

/// Who calls: what sockets ask beside what all files do.
pub trait SocketCaller: Caller {
    /// Where the caller's paths begin, and its umask.
    fn task_fs(&self) -> Arc<TaskFs>;
    /// Who looks a path up.
    fn viewer(&self) -> Viewer;
    /// The network namespace of the process with this number.
    ///
    /// # Errors
    /// ESRCH.
    fn network_of_process(&self, number: i32) -> Result<Arc<NetworkNamespace>, Errno>;
    /// The network namespace that an open file stands for (`man 5 proc_pid_ns`).
    ///
    /// # Errors
    /// EBADF, EINVAL.
    fn network_of_descriptor(&self, descriptor: i32) -> Result<Arc<NetworkNamespace>, Errno>;
}

/// Where a connect or a send leads: found once, however many attempts it takes.
pub struct Destination {
    /// The address that was given.
    pub address: SocketAddress,
    /// The socket there, of a family that looks it up beforehand.
    pub socket: Option<Arc<dyn Socket>>,
}

/// Who among those that share a port gets what comes, as one of them was told (SO_ATTACH_REUSEPORT_CBPF).
#[derive(Clone, Debug)]
pub(super) struct PortSpreading {
    /// When it was told.
    pub(super) told: MonotonicTime,
    /// What says it; `None`: nothing does any more.
    pub(super) program: Option<Arc<PacketFilter>>,
}

/// What sockets of all families have.
pub struct SocketCommon {
    family: u32,
    kind: SocketKind,
    protocol: u32,
    options: Mutex<SocketOptions>,
    filter: Mutex<Option<Arc<PacketFilter>>>,
    spreading: Mutex<Option<PortSpreading>>,
    timekeeper: Arc<Timekeeper>,
    /// How large its buffers may be.
    buffers: Arc<BufferSettings>,
    /// When what was received last has arrived.
    last_arrival: Mutex<Option<Duration>>,
    inode: AnonymousInode,
    /// What who made it was restricted to.
    landlock: OnceLock<Option<Arc<Domain>>>,
    _heap_charge: HeapCharge,
}

impl SocketCommon {
    /// What a socket takes beside what is queued at it.
    pub const HEAP_BYTES: usize = 2048;

    /// Of a new socket of `family` (`AF_*`) that belongs to `uid` and `gid`.
    pub fn new(
        kernel: &KernelSockets,
        family: u32,
        kind: SocketKind,
        protocol: u32,
        (uid, gid): (KernelUid, KernelGid),
    ) -> Self {
        let inode = AnonymousInode::of_kind(&kernel.open_files, FileKind::Socket, 0o777).owned_by(uid, gid);
        let options = Mutex::new(SocketOptions::new(&kernel.buffers));
        let (filter, last_arrival) = (Mutex::default(), Mutex::default());
        let _heap_charge = HeapCharge::forced(Self::HEAP_BYTES);
        let landlock = OnceLock::new();
        let spreading = Mutex::default();
        Self {
            family,
            kind,
            protocol,
            options,
            filter,
            spreading,
            timekeeper: kernel.timekeeper.clone(),
            buffers: kernel.buffers.clone(),
            last_arrival,
            inode,
            landlock,
            _heap_charge,
        }
    }

    /// Its `AF_*` number (SO_DOMAIN).
    pub fn family(&self) -> u32 {
        self.family
    }

    /// Its type (SO_TYPE).
    pub fn kind(&self) -> SocketKind {
        self.kind
    }

    /// Its protocol (SO_PROTOCOL).
    pub fn protocol(&self) -> u32 {
        self.protocol
    }

    /// What Linux calls its protocol.
    pub fn protocol_name(&self) -> &'static str {
        match (self.family, self.kind) {
            (uapi::AF_UNIX, SocketKind::Stream) => "UNIX-STREAM",
            (uapi::AF_UNIX, _) => "UNIX",
            (uapi::AF_NETLINK, _) => "NETLINK",
            (uapi::AF_PACKET, _) => "PACKET",
            (uapi::AF_INET6, SocketKind::Stream) => "TCPv6",
            (uapi::AF_INET6, SocketKind::Raw) => "RAWv6",
            (uapi::AF_INET6, _) if self.protocol == uapi::IPPROTO_ICMPV6 => "PINGv6",
            (uapi::AF_INET6, _) => "UDPv6",
            (_, SocketKind::Stream) => "TCP",
            (_, SocketKind::Raw) => "RAW",
            (_, _) if self.protocol == uapi::IPPROTO_ICMP as u32 => "PING",
            _ => "UDP",
        }
    }

    /// How large buffers may be.
    pub(super) fn buffers(&self) -> &BufferSettings {
        &self.buffers
    }

    /// What SOL_SOCKET's options say now.
    pub fn options(&self) -> SocketOptions {
        *self.options.lock()
    }

    /// SO_RCVBUF and SO_SNDBUF, in bytes.
    pub(super) fn buffer_sizes(&self) -> (u32, u32) {
        let options = self.options();
        (options.receive_buffer_bytes, options.send_buffer_bytes)
    }

    /// Changes its options; a family that has to know is told by who calls this.
    ///
    /// # Errors
    /// Those of `change`.
    pub fn change_options(
        &self,
        change: impl FnOnce(&mut SocketOptions) -> Result<(), Errno>,
    ) -> Result<SocketOptions, Errno> {
        let mut options = self.options.lock();
        change(&mut options)?;
        Ok(*options)
    }

    /// Its filter (SO_ATTACH_FILTER).
    pub fn filter(&self) -> Option<Arc<PacketFilter>> {
        self.filter.lock().clone()
    }

    /// Sets its filter, or takes it away.
    ///
    /// # Errors
    /// EPERM: it is locked. ENOENT: there is none to be taken away.
    pub fn set_filter(&self, filter: Option<Arc<PacketFilter>>) -> Result<(), Errno> {
        if self.options().switch(uapi::SO_LOCK_FILTER)? {
            return Err(Errno::EPERM);
        }
        let mut place = self.filter.lock();
        if filter.is_none() && place.is_none() {
            return Err(Errno::ENOENT);
        }
        *place = filter;
        Ok(())
    }

    /// Who gets what comes to a port that it shares, if it was told.
    pub(super) fn spreading(&self) -> Option<PortSpreading> {
        self.spreading.lock().clone()
    }

    /// Says who gets what comes to a port that it shares, or has nothing say so any more.
    ///
    /// # Errors
    /// EINVAL: it does not share its port. ENOENT: there is nothing to be taken away.
    pub(super) fn set_spreading(&self, program: Option<Arc<PacketFilter>>) -> Result<(), Errno> {
        if !self.options().reuses_port {
            return Err(Errno::EINVAL);
        }
        let mut place = self.spreading.lock();
        let has_program = place.as_ref().is_some_and(|spreading| spreading.program.is_some());
        if program.is_none() && !has_program {
            return Err(Errno::ENOENT);
        }
        *place = Some(PortSpreading { told: self.timekeeper.monotonic(), program });
        Ok(())
    }

    /// When what was received last has arrived (SIOCGSTAMP), by the time of day; what SO_TIMESTAMP tells apart.
    pub fn last_arrival(&self) -> Option<Duration> {
        *self.last_arrival.lock()
    }

    /// Notes when what is being received has arrived.
    pub(super) fn note_arrival(&self, arrival: Duration) {
        *self.last_arrival.lock() = Some(arrival);
    }

    /// Notes what who made it is restricted to (`man 7 landlock`); known once.
    pub fn set_landlock(&self, domain: Option<Arc<Domain>>) {
        // Whoever came first has made it.
        let _ = self.landlock.set(domain);
    }

    /// What who made it was restricted to.
    pub fn landlock(&self) -> Option<&Arc<Domain>> {
        self.landlock.get().and_then(Option::as_ref)
    }

    /// Its inode, whose number no other socket has (SO_COOKIE).
    pub fn inode(&self) -> &AnonymousInode {
        &self.inode
    }
}

/// A socket. None of the methods blocks: one that would have to wait returns EAGAIN before anything has changed, and is called
/// again when the wait queue, or that of the destination's socket, announces something.
pub trait Socket: Any + Send + Sync {
    /// What all sockets have.
    fn common(&self) -> &SocketCommon;

    /// Where mq_notify(3) tells threads, if it is a socket for that.
    fn cookie_receiver(&self) -> Option<std::sync::Weak<dyn CookieReceiver>> {
        None
    }

    /// The namespace that it is in, if that matters to its family.
    fn network(&self) -> Option<&Arc<NetworkNamespace>> {
        None
    }

    /// bind(2).
    ///
    /// # Errors
    /// Those of the family.
    fn bind(&self, address: &SocketAddress, caller: &dyn SocketCaller) -> Result<(), Errno>;

    /// listen(2).
    ///
    /// # Errors
    /// EOPNOTSUPP if nothing connects to such a socket, and those of the family.
    fn listen(&self, _backlog: i32, _caller: &dyn SocketCaller) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Finds where `address` leads.
    ///
    /// # Errors
    /// EINVAL, ECONNREFUSED, and those of the family.
    fn find(&self, address: &SocketAddress, _caller: &dyn SocketCaller) -> Result<Destination, Errno> {
        Ok(Destination { address: *address, socket: None })
    }

    /// connect(2), by a caller that is going to wait for it or is not.
    ///
    /// # Errors
    /// EAGAIN while a caller who `waits` has to, EINPROGRESS for one who does not, and those of the family.
    fn connect(&self, destination: &Destination, waits: bool, caller: &dyn SocketCaller)
    -> Result<(), Errno>;

    /// What a connect is told that has waited as long as SO_SNDTIMEO lets it.
    fn unfinished_connect(&self) -> Errno {
        Errno::EAGAIN
    }

    /// connect(2) to AF_UNSPEC: undoes a connection.
    ///
    /// # Errors
    /// EINVAL if it cannot be undone.
    fn disconnect(&self) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    /// accept(2): the new socket, and the address of its peer.
    ///
    /// # Errors
    /// EAGAIN, EINVAL if it does not listen or, for one who `waits`, is shut down, EOPNOTSUPP.
    fn accept(&self, _waits: bool) -> Result<(Arc<dyn Socket>, SocketAddress), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Where it is bound (getsockname).
    ///
    /// # Errors
    /// Those of the family.
    fn name(&self) -> Result<SocketAddress, Errno>;

    /// Where the peer is bound (getpeername).
    ///
    /// # Errors
    /// ENOTCONN.
    fn peer_name(&self) -> Result<SocketAddress, Errno>;

    /// Where the peer is or was: SO_PEERNAME tells of a connection that is over, until the socket is bound again.
    ///
    /// # Errors
    /// ENOTCONN.
    fn last_peer_name(&self) -> Result<SocketAddress, Errno> {
        self.peer_name()
    }

    /// shutdown(2).
    ///
    /// # Errors
    /// ENOTCONN, EOPNOTSUPP.
    fn shut_down(&self, _halves: Shutdown) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Where a send to `address` goes: `None` to the peer, since the family ignores the address.
    ///
    /// # Errors
    /// EISCONN, EOPNOTSUPP for an address or an urgent byte that it does not take, and those of the address.
    fn check_destination(
        &self,
        address: Option<SocketAddress>,
        is_urgent: bool,
    ) -> Result<Option<SocketAddress>, Errno>;

    /// Fails unless a message of `len_bytes`, or for a stream a part of one, could be sent now: what Linux finds out before it
    /// looks at the bytes, or at where a datagram goes.
    ///
    /// # Errors
    /// As [`Socket::send`].
    fn check_send(&self, _len_bytes: usize, _has_destination: bool) -> Result<(), Errno> {
        Ok(())
    }

    /// Whether a control message may go with a send. Those of other levels than its own are for nobody, and passed over.
    ///
    /// # Errors
    /// EINVAL.
    fn check_control(&self, message: &ControlMessage) -> Result<(), Errno> {
        if message.level == uapi::SOL_SOCKET { Err(Errno::EINVAL) } else { Ok(()) }
    }

    /// Sends to the peer, or to `destination`. A stream may take a part.
    ///
    /// # Errors
    /// EAGAIN, EPIPE, ENOTCONN, EMSGSIZE, ENOBUFS, and those of the family.
    fn send(
        &self,
        outgoing: Outgoing<'_>,
        destination: Option<&Destination>,
        caller: &dyn SocketCaller,
    ) -> Result<usize, Errno>;

    /// Receives a part of a stream or one message by handing up to `max_bytes` to `take`, piece by piece, until that says that it
    /// has not taken all of a piece. A stream keeps the piece then; a message is lost.
    ///
    /// # Errors
    /// EAGAIN, ENOTCONN, EFAULT if `take` has not taken the first piece, and those of the family.
    fn receive(
        &self,
        max_bytes: usize,
        how: Receiving,
        take: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<Received, Errno>;

    /// Whether there may be an option of a level other than SOL_SOCKET, for one who sets it (`is_set`) or asks for it: what Linux finds
    /// out before it looks at the value or at its length.
    ///
    /// # Errors
    /// ENOPROTOOPT, or EOPNOTSUPP for a family that has no options at all.
    fn check_option(&self, _level: u32, _option: u32, _is_set: bool) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// The value of an option of another level than SOL_SOCKET, encoded; `room_bytes` is how much the caller has room for.
    ///
    /// # Errors
    /// ENOPROTOOPT, EOPNOTSUPP for a level that the family does not have.
    fn option(&self, _level: u32, _option: u32, _room_bytes: usize) -> Result<Vec<u8>, Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// Sets an option of another level than SOL_SOCKET.
    ///
    /// # Errors
    /// As [`Socket::option`], EINVAL, EPERM, and those of the option.
    fn set_option(
        &self,
        _level: u32,
        _option: u32,
        _value: &[u8],
        _caller: &dyn SocketCaller,
    ) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// The filter of a multicast group that `asked` names (IP_MSFILTER, MCAST_MSFILTER), encoded as that is.
    ///
    /// # Errors
    /// EADDRNOTAVAIL, EINVAL, ENODEV, and ENOPROTOOPT for a family without groups.
    fn group_filter(&self, _level: u32, _option: u32, _asked: &[u8]) -> Result<Vec<u8>, Errno> {
        Err(Errno::ENOPROTOOPT)
    }

    /// The value of an option whose question is in the room for its answer (PACKET_HDRLEN).
    ///
    /// # Errors
    /// ENOPROTOOPT, EINVAL.
    fn asked_option(&self, _asked: &[u8]) -> Result<Vec<u8>, Errno> {
        Err(Errno::ENOPROTOOPT)
    }

    /// Whether it has an option of SOL_SOCKET that only some families have: SO_REUSEPORT, SO_ZEROCOPY, SO_TXREHASH.
    fn has_option(&self, _option: u32) -> bool {
        false
    }

    /// Its options of SOL_SOCKET have changed.
    fn options_changed(&self, _options: &SocketOptions) {}

    /// A send is done that was asked to go without a copy (MSG_ZEROCOPY), by a socket that tells of that (SO_ZEROCOPY).
    fn note_zero_copy(&self) {}

    /// SO_ERROR: the pending error, which is then no more.
    fn take_error(&self) -> Option<Errno> {
        None
    }

    /// SO_ACCEPTCONN.
    fn is_listening(&self) -> bool {
        false
    }

    /// SO_PEERCRED; `None` for nobody.
    fn peer_credentials(&self) -> Option<PeerCredentials> {
        None
    }

    /// Whether what it sends can be numbered (SOF_TIMESTAMPING_OPT_ID).
    ///
    /// # Errors
    /// EINVAL for one of a connection that has none.
    fn check_stamp_ids(&self) -> Result<(), Errno> {
        Ok(())
    }

    /// The largest SO_RCVLOWAT of a socket with these options, in bytes.
    fn max_low_water(&self, _options: &SocketOptions) -> u32 {
        u32::MAX
    }

    /// SO_PEEK_OFF: where the next peek begins; `None` at what was not read yet.
    fn peek_offset(&self) -> Option<usize> {
        None
    }

    /// Sets SO_PEEK_OFF.
    ///
    /// # Errors
    /// EOPNOTSUPP.
    fn set_peek_offset(&self, _offset: Option<usize>) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    /// What waits to be received, as SO_RCVBUF counts it, in bytes; and how many packets were lost for want of room.
    fn received_memory(&self) -> (usize, u32) {
        (0, 0)
    }

    /// What poll(2) tells.
    fn readiness(&self) -> Events;

    /// What announces a change of that.
    fn wait_queue(&self) -> &WaitQueue;

    /// The pages behind a mapping of it (PACKET_RX_RING).
    ///
    /// # Errors
    /// ENODEV if it cannot be mapped, EINVAL.
    fn page_cache(&self) -> Result<Arc<PageCache>, Errno> {
        Err(Errno::ENODEV)
    }

    /// What announces room to those who connect or send here.
    fn room(&self) -> Option<&WaitQueue> {
        None
    }

    /// Whether so many bytes are sent as a whole, or not at all while there is no room for them.
    fn takes_whole(&self, _len_bytes: u64) -> bool {
        self.common().kind() != SocketKind::Stream
    }

    /// Whether SIGPIPE comes with EPIPE, to one who `has_waited` for room or has not.
    fn raises_broken_pipe(&self, _has_waited: bool) -> bool {
        self.common().kind() == SocketKind::Stream
    }

    /// Who is to be told after a descriptor of it is gone.
    fn collector(&self) -> Option<Arc<dyn Collector>> {
        None
    }

    /// The network namespace that it is in, whose links ioctl(2) is about; `None` once that is gone.
    fn network_namespace(&self) -> Option<Arc<NetworkNamespace>> {
        self.network().cloned()
    }

    /// ioctl(2), for what no socket has in common.
    ///
    /// # Errors
    /// ENOTTY, EFAULT.
    fn ioctl(&self, _request: u32, _argument: u64, _caller: &dyn Caller) -> Result<usize, Errno> {
        Err(Errno::ENOTTY)
    }
}

impl dyn Socket {
    /// The socket as a `T`, if it is one.
    pub fn downcast<T: Socket>(&self) -> Option<&T> {
        (self as &dyn Any).downcast_ref()
    }

    /// Changes its options of SOL_SOCKET.
    ///
    /// # Errors
    /// Those of `change`.
    pub fn change_options(
        &self,
        change: impl FnOnce(&mut SocketOptions) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let options = self.common().change_options(change)?;
        self.options_changed(&options);
        Ok(())
    }
}
