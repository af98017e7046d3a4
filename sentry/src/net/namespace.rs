//! Network namespaces (`man 7 network_namespaces`).

use std::any::Any;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use super::SocketMemory;
use super::configuration::NetworkConfiguration;
use super::counters::Counters;
use super::device::{LOOPBACK_INDEX, LinkStatistics};
use super::inet::InetSockets;
use super::netlink::NetlinkSockets;
use super::outside::Outside;
use super::packet::PacketSockets;
use super::unix::{FilesInFlight, UnixSockets};
use super::wire::{NamespaceNumbers, Passage, Topology};
use super::xtables::Xtables;
use crate::Errno;
use crate::cred::{Capabilities, Credentials, Identity, Namespace};
use crate::fs::OpenFiles;
use crate::network_settings::{BufferSettings, NetworkSettings};
use crate::time::{SystemClock, Timekeeper, TimerQueue};

/// What the sockets of all network namespaces of a kernel share.
#[derive(Clone, Default)]
pub struct KernelSockets {
    /// The memory for what is queued at them.
    pub memory: Arc<SocketMemory>,
    /// The files that are on their way through them.
    pub in_flight: Arc<FilesInFlight>,
    /// The open files that they are among.
    pub open_files: Arc<OpenFiles>,
    /// The clocks that say when something has arrived.
    pub timekeeper: Arc<Timekeeper>,
    /// What ends their waits.
    pub timers: Arc<TimerQueue>,
    /// How large their buffers are.
    pub buffers: Arc<BufferSettings>,
    /// The ways from one namespace to another.
    pub topology: Arc<Topology>,
}

impl KernelSockets {
    /// Those of a new kernel.
    pub fn new(open_files: &Arc<OpenFiles>, timekeeper: &Arc<Timekeeper>, timers: &Arc<TimerQueue>) -> Self {
        let (timekeeper, timers) = (timekeeper.clone(), timers.clone());
        Self { open_files: open_files.clone(), timekeeper, timers, ..Self::default() }
    }

    /// The time of day, which what arrives now is stamped with.
    pub fn now(&self) -> Duration {
        self.timekeeper.now(SystemClock::Realtime)
    }
}

/// What the sockets of some tasks can reach by a name that is no file, and what their families need for it.
pub struct NetworkNamespace {
    identity: Identity,
    me: Weak<Self>,
    shared: KernelSockets,
    configuration: NetworkConfiguration,
    settings: NetworkSettings,
    /// How it numbers other namespaces.
    numbers: NamespaceNumbers,
    counters: Arc<Counters>,
    loopback_statistics: OnceLock<Option<Arc<LinkStatistics>>>,
    /// The instance of sysfs that shows it, kept for [`fs::sys`](crate::fs::sys), which makes it.
    sysfs: OnceLock<Arc<dyn Any + Send + Sync>>,
    netlink: Arc<NetlinkSockets>,
    unix_sockets: Arc<UnixSockets>,
    inet_sockets: InetSockets,
    packet_sockets: PacketSockets,
    /// The rules for what passes.
    xtables: Xtables,
    /// The way to the host's network, if the caller has opened one. It leads out of a kernel's first namespace alone.
    outside: OnceLock<Arc<Outside>>,
}

impl NetworkNamespace {
    /// The first namespace of a kernel, in which nothing is bound. Its loopback is up, as after any boot.
    pub fn new(identity: Identity, shared: KernelSockets) -> Arc<Self> {
        let namespace = Self::unconfigured(identity, shared, false);
        namespace.configuration.raise_loopback();
        namespace
    }

    fn unconfigured(identity: Identity, shared: KernelSockets, is_further: bool) -> Arc<Self> {
        let netlink = Arc::<NetlinkSockets>::default();
        Arc::new_cyclic(|namespace| Self {
            identity,
            me: namespace.clone(),
            configuration: NetworkConfiguration::new(netlink.clone(), &shared.topology),
            settings: NetworkSettings::new(shared.buffers.clone(), is_further),
            numbers: NamespaceNumbers::default(),
            counters: Arc::default(),
            loopback_statistics: OnceLock::new(),
            sysfs: OnceLock::new(),
            netlink,
            unix_sockets: UnixSockets::new(shared.clone(), namespace.clone()),
            inet_sockets: InetSockets::new(&shared.timekeeper),
            packet_sockets: PacketSockets::default(),
            xtables: Xtables::default(),
            outside: OnceLock::new(),
            shared,
        })
    }

    /// A further namespace of the same kernel, in which nothing is bound and the loopback is down.
    pub fn new_beside(&self, identity: Identity) -> Arc<Self> {
        Self::unconfigured(identity, self.shared.clone(), true)
    }

    /// The same, to be kept.
    ///
    /// # Errors
    /// ENODEV for one that is about to end.
    pub(super) fn shared_self(&self) -> Result<Arc<Self>, Errno> {
        self.me.upgrade().ok_or(Errno::ENODEV)
    }

    /// Its links, addresses and routes.
    pub fn configuration(&self) -> &NetworkConfiguration {
        &self.configuration
    }

    /// What counts a packet that goes through the loopback.
    pub(super) fn loopback_passages(&self) -> Option<Vec<Passage>> {
        self.loopback_statistics().cloned().map(Passage::through_loopback)
    }

    /// What counts at the loopback.
    pub(super) fn loopback_statistics(&self) -> Option<&Arc<LinkStatistics>> {
        let found = || {
            self.configuration.look(|all| all.link(LOOPBACK_INDEX).map(|link| link.statistics.clone()).ok())
        };
        self.loopback_statistics.get_or_init(found).as_ref()
    }

    /// Its settings, /proc/sys/net.
    pub fn settings(&self) -> &NetworkSettings {
        &self.settings
    }

    /// The time to live of packets to `destination` through a link, where nobody names one (ip_default_ttl, hop_limit).
    pub(super) fn usual_ttl(&self, destination: IpAddr, device: u32) -> u8 {
        if destination.is_ipv4() {
            return self.settings.default_ttl();
        }
        let name = self.configuration.look(|all| all.link(device).map(|link| link.name.to_string()));
        name.map_or_else(|_| self.settings.hop_limit(), |name| self.settings.hop_limit_of(&name))
    }

    /// How it numbers the namespaces that it knows of.
    pub fn numbers(&self) -> &NamespaceNumbers {
        &self.numbers
    }

    /// What its protocols count.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    pub(super) fn sysfs_instance(&self) -> &OnceLock<Arc<dyn Any + Send + Sync>> {
        &self.sysfs
    }

    /// Whether `credentials` may change its configuration: whether they have CAP_NET_ADMIN in the user namespace that owns this one.
    pub fn administers(&self, credentials: &Credentials) -> bool {
        credentials.has_over_namespace(self, Capabilities::NET_ADMIN)
    }

    /// What its sockets share with all others of the kernel.
    pub fn shared(&self) -> &KernelSockets {
        &self.shared
    }

    /// Its internet sockets.
    pub fn inet_sockets(&self) -> &InetSockets {
        &self.inet_sockets
    }

    /// Those that see what passes its links.
    pub(super) fn packet_sockets(&self) -> &PacketSockets {
        &self.packet_sockets
    }

    /// The rules for what passes.
    pub fn xtables(&self) -> &Xtables {
        &self.xtables
    }

    /// What leads out of the sandbox.
    pub(super) fn outside(&self) -> Option<&Arc<Outside>> {
        self.outside.get()
    }

    pub(super) fn set_outside(&self, outside: Arc<Outside>) -> Result<(), Arc<Outside>> {
        self.outside.set(outside)
    }

    pub(super) fn netlink(&self) -> &NetlinkSockets {
        &self.netlink
    }

    /// The names in the abstract namespace, and what /proc/net/unix lists.
    pub fn unix_sockets(&self) -> &Arc<UnixSockets> {
        &self.unix_sockets
    }
}

impl Namespace for NetworkNamespace {
    fn identity(&self) -> &Identity {
        &self.identity
    }
}
