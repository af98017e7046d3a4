//! What procfs and sysfs show of a network namespace, which lives in a room above them.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use crate::Errno;
use crate::cred::Credentials;
use crate::network_settings::{Setting, SettingDirectory};

/// A file of /proc/net.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkTable {
    /// `arp`.
    Arp,
    /// `dev`.
    Devices,
    /// `dev_mcast`.
    DeviceMulticast,
    /// `fib_trie`.
    FibTrie,
    /// `fib_triestat`.
    FibTrieStatistics,
    /// `icmp`.
    Icmp,
    /// `icmp6`.
    Icmp6,
    /// `if_inet6`.
    Ipv6Addresses,
    /// `igmp`.
    Igmp,
    /// `igmp6`.
    Igmp6,
    /// `ipv6_route`.
    Ipv6Routes,
    /// `mcfilter`.
    MulticastFilters,
    /// `mcfilter6`.
    MulticastFilters6,
    /// `netlink`.
    Netlink,
    /// `netstat`.
    Netstat,
    /// `packet`.
    Packet,
    /// `protocols`.
    Protocols,
    /// `psched`.
    PacketScheduler,
    /// `ptype`.
    PacketTypes,
    /// `raw`.
    Raw,
    /// `raw6`.
    Raw6,
    /// `ip_tables_matches`.
    RuleMatches,
    /// `ip6_tables_matches`.
    RuleMatches6,
    /// `ip_tables_names`.
    RuleTables,
    /// `ip6_tables_names`.
    RuleTables6,
    /// `ip_tables_targets` and `ip6_tables_targets`.
    RuleTargets,
    /// `route`.
    Routes,
    /// `rt6_stats`.
    Ipv6RouteStatistics,
    /// `snmp`.
    Snmp,
    /// `snmp6`.
    Snmp6,
    /// `sockstat`.
    SocketStatistics,
    /// `sockstat6`.
    SocketStatistics6,
    /// `tcp`.
    Tcp,
    /// `tcp6`.
    Tcp6,
    /// `udp`.
    Udp,
    /// `udp6`.
    Udp6,
    /// `udplite`.
    UdpLite,
    /// `udplite6`.
    UdpLite6,
    /// `unix`.
    Unix,
}

/// How a link stands to others.
#[derive(Clone, Debug, Default)]
pub struct LinkRelations {
    /// Whether it is a bridge.
    pub is_bridge: bool,
    /// Whether it is a TUN or a TAP.
    pub is_tun: bool,
    /// The bridge that it is a port of.
    pub controller: Option<String>,
    /// The ports of a bridge.
    pub ports: Vec<String>,
}

/// A network namespace.
pub trait Network: Send + Sync {
    /// The contents of a file of /proc/net, with users as `reader`'s namespace numbers them.
    ///
    /// # Errors
    /// ENOMEM; EINTR: the reader is ending.
    fn table(&self, table: NetworkTable, reader: &Credentials) -> Result<Vec<u8>, Errno>;

    /// The links: their indices and names.
    fn links(&self) -> Vec<(u32, String)>;

    /// How a link stands to others.
    fn link_relations(&self, index: u32) -> LinkRelations;

    /// The contents of a file in /sys/class/net/LINK.
    ///
    /// # Errors
    /// ENODEV, and EINVAL for what a link cannot tell.
    fn link_attribute(&self, index: u32, name: &str) -> Result<Vec<u8>, Errno>;

    /// Writes to a file in /sys/class/net/LINK.
    ///
    /// # Errors
    /// EPERM, ENODEV, EINVAL.
    fn set_link_attribute(
        &self,
        index: u32,
        name: &str,
        text: &[u8],
        writer: &Credentials,
    ) -> Result<(), Errno>;

    /// Where the one instance of sysfs is kept that shows this namespace.
    fn sysfs(&self) -> &OnceLock<Arc<dyn Any + Send + Sync>>;

    /// The contents of a file below /proc/sys/net; `link` is empty where it is not about one.
    ///
    /// # Errors
    /// ENOENT for a link that is not there.
    fn setting(
        &self,
        directory: SettingDirectory,
        link: &str,
        setting: &'static Setting,
        reader: &Credentials,
    ) -> Result<Vec<u8>, Errno>;

    /// Writes to a file below /proc/sys/net.
    ///
    /// # Errors
    /// ENOENT, EPERM, EINVAL.
    fn set_setting(
        &self,
        directory: SettingDirectory,
        link: &str,
        setting: &'static Setting,
        text: &[u8],
        writer: &Credentials,
    ) -> Result<(), Errno>;
}
