//! The settings of a network namespace, which /proc/sys/net shows (`man 7 ip`, `man 7 tcp`, `man 7 ipv6`).
//!
//! All of them are kept; those that mean something to the sockets have a method of their own. They live below the file systems, which
//! show them, and below the sockets, which go by them.

mod buffers;
mod setting;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use parking_lot::Mutex;

pub use buffers::BufferSettings;
pub use setting::Setting;

use crate::Errno;
use crate::cred::{Gid, KernelGid, UserNamespace};
use crate::heap::HeapCharge;

/// What a setting takes that is not what it is in a new namespace.
const CHANGED_BYTES: usize = 192;

/// A directory below /proc/sys/net.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SettingDirectory {
    /// `core`.
    Core,
    /// `ipv4`.
    Ipv4,
    /// `ipv4/conf/LINK`.
    Ipv4Link,
    /// `ipv4/neigh/LINK`.
    Ipv4Neighbour,
    /// What `ipv4/neigh/default` has beside.
    Ipv4Neighbours,
    /// `ipv4/route`.
    Ipv4Route,
    /// `ipv6`.
    Ipv6,
    /// `ipv6/conf/LINK`.
    Ipv6Link,
    /// `ipv6/icmp`.
    Ipv6Icmp,
    /// `ipv6/neigh/LINK`.
    Ipv6Neighbour,
    /// What `ipv6/neigh/default` has beside.
    Ipv6Neighbours,
    /// `ipv6/route`.
    Ipv6Route,
    /// `unix`.
    Unix,
}

/// The link that settings are about: all, those to come, or one.
pub const ALL_LINKS: &str = "all";
/// Those to come.
pub const LINKS_TO_COME: &str = "default";
/// The link that every namespace has.
pub const LOOPBACK: &str = "lo";

impl SettingDirectory {
    /// Its files, as /proc/sys lists them.
    pub fn settings(self) -> &'static [Setting] {
        match self {
            Self::Core => table::CORE,
            Self::Ipv4 => table::IPV4,
            Self::Ipv4Link => table::IPV4_LINK,
            Self::Ipv4Neighbour => table::IPV4_NEIGHBOUR,
            Self::Ipv6Neighbour => table::IPV6_NEIGHBOUR,
            Self::Ipv4Neighbours | Self::Ipv6Neighbours => table::NEIGHBOURS,
            Self::Ipv4Route => table::IPV4_ROUTE,
            Self::Ipv6 => table::IPV6,
            Self::Ipv6Link => table::IPV6_LINK,
            Self::Ipv6Icmp => table::IPV6_ICMP,
            Self::Ipv6Route => table::IPV6_ROUTE,
            Self::Unix => table::UNIX,
        }
    }

    /// The setting that one is kept as, and how much of that it counts in: some are told in two units.
    fn kept_as(self, setting: &'static Setting) -> (&'static Setting, i64) {
        /// What a queued packet of the usual size takes.
        const PACKET_BYTES: i64 = 2090;
        /// The ticks of the two protocols, in milliseconds.
        const USER_TICK: i64 = 10;
        const TICK: i64 = 4;
        let is_of_neighbour = matches!(self, Self::Ipv4Neighbour | Self::Ipv6Neighbour);
        let (name, unit) = match (self, setting.name()) {
            _ if !is_of_neighbour => return (setting, 1),
            (_, "base_reachable_time") => ("base_reachable_time_ms", 1000),
            (Self::Ipv6Neighbour, "retrans_time") => ("retrans_time_ms", TICK),
            (_, "retrans_time") => ("retrans_time_ms", USER_TICK),
            (_, "unres_qlen") => ("unres_qlen_bytes", PACKET_BYTES),
            _ => return (setting, 1),
        };
        self.find(name.as_bytes()).map_or((setting, 1), |kept| (kept, unit))
    }

    /// The setting with this name.
    pub fn find(self, name: &[u8]) -> Option<&'static Setting> {
        self.settings().iter().find(|setting| setting.name().as_bytes() == name)
    }
}

/// Which setting is meant: the directory, the link (empty if the directory is not about one), and the name.
type Key = (SettingDirectory, String, &'static str);

/// The settings of a network namespace.
#[derive(Debug, Default)]
pub struct NetworkSettings {
    changed: Mutex<Changed>,
    /// Those that all namespaces of a kernel have in common.
    buffers: Arc<BufferSettings>,
    /// Whether it is not the first namespace, whose files alone change what all have in common.
    is_further: bool,
}

/// The settings that are not what they are in a new namespace.
#[derive(Debug, Default)]
struct Changed {
    by_key: BTreeMap<Key, Vec<i64>>,
    heap_charge: HeapCharge,
}

impl Changed {
    /// Charges for so many more, of so many numbers each.
    ///
    /// # Errors
    /// ENOMEM.
    fn charge(&mut self, more: usize, numbers: usize) -> Result<(), Errno> {
        let more_bytes = more * (CHANGED_BYTES + numbers * size_of::<i64>());
        self.heap_charge.resize(self.bytes() + more_bytes)
    }

    /// What they take.
    fn bytes(&self) -> usize {
        self.by_key.values().map(|numbers| CHANGED_BYTES + numbers.len() * size_of::<i64>()).sum()
    }

    fn insert(&mut self, (directory, name): (SettingDirectory, &'static str), link: &str, numbers: Vec<i64>) {
        self.by_key.insert((directory, link.into(), name), numbers);
    }
}

impl NetworkSettings {
    /// Those of a new namespace, the first one of its kernel or a further one.
    pub fn new(buffers: Arc<BufferSettings>, is_further: bool) -> Self {
        Self { buffers, is_further, ..Self::default() }
    }

    /// The contents of a setting's file. `link` is empty where it is not about one.
    ///
    /// # Errors
    /// EIO for an address that was not set; EINVAL for what is only written.
    pub fn show(
        &self,
        directory: SettingDirectory,
        link: &str,
        setting: &'static Setting,
        reader: &UserNamespace,
    ) -> Result<String, Errno> {
        let (kept, unit) = directory.kept_as(setting);
        let mut numbers = self.numbers(directory, link, kept);
        numbers.iter_mut().for_each(|number| *number /= unit);
        if setting.name() == "ping_group_range" {
            numbers = numbers
                .iter()
                .map(|group| i64::from(reader.from_kernel_gid(KernelGid(*group as u32)).0))
                .collect();
        }
        setting.show(&numbers)
    }

    /// Writes to a setting's file.
    ///
    /// # Errors
    /// EINVAL for what the setting cannot be; EACCES for one that nobody changes; ENOMEM.
    pub fn write(
        &self,
        directory: SettingDirectory,
        link: &str,
        setting: &'static Setting,
        text: &[u8],
        writer: &UserNamespace,
    ) -> Result<(), Errno> {
        if self.buffers.get(directory, setting.name()).is_some() && self.is_further {
            return Err(Errno::EACCES);
        }
        let old = self.numbers(directory, link, setting);
        let mut numbers = setting.parse(text, &old)?;
        let (kept, unit) = directory.kept_as(setting);
        numbers.iter_mut().for_each(|number| *number = number.saturating_mul(unit));
        match (setting.name(), &numbers[..]) {
            ("ip_local_port_range", &[first, last])
                if first > last || first < i64::from(self.unprivileged_port_start()) =>
            {
                return Err(Errno::EINVAL);
            }
            ("ip_unprivileged_port_start", &[first]) if first > i64::from(*self.local_ports().start()) => {
                return Err(Errno::EINVAL);
            }
            ("ping_group_range", &[first, last]) => numbers = group_range(first, last, writer)?,
            _ => {}
        }
        match numbers[..] {
            _ if setting.is_action() => Ok(()),
            [number] if self.buffers.set(directory, kept.name(), number) => Ok(()),
            _ => self.store(directory, link, kept.name(), numbers),
        }
    }

    /// The settings of a link that is gone are gone with it: another one of its name begins anew.
    pub fn forget_link(&self, link: &str) {
        let mut changed = self.changed.lock();
        changed.by_key.retain(|(_, other, _), _| other != link);
        let left_bytes = changed.bytes();
        changed.heap_charge.force(left_bytes);
    }

    /// A link has another name, and its settings go with it.
    pub fn rename_link(&self, old: &str, new: &str) {
        let by_key = &mut self.changed.lock().by_key;
        let (own, others): (BTreeMap<_, _>, _) =
            std::mem::take(by_key).into_iter().partition(|((_, link, _), _)| link == old);
        *by_key = others;
        let renamed = |((directory, _, name), numbers)| ((directory, new.into(), name), numbers);
        by_key.extend(own.into_iter().map(renamed));
    }

    /// Stores what was written, and what goes with it: forwarding on all links is forwarding on each, and so is having no IPv6.
    ///
    /// # Errors
    /// ENOMEM.
    fn store(
        &self,
        directory: SettingDirectory,
        link: &str,
        name: &'static str,
        numbers: Vec<i64>,
    ) -> Result<(), Errno> {
        use SettingDirectory::{Ipv4, Ipv4Link, Ipv6Link};
        let mut changed = self.changed.lock();
        let of_each = [ALL_LINKS, LINKS_TO_COME, LOOPBACK];
        changed.charge(of_each.len() + 1, numbers.len())?;
        let of_one = [link];
        let (place, links): (_, &[&str]) = match (directory, link, name) {
            (Ipv4, _, "ip_forward") | (Ipv4Link, ALL_LINKS, "forwarding") => {
                changed.insert((Ipv4, "ip_forward"), "", numbers.clone());
                ((Ipv4Link, "forwarding"), &of_each)
            }
            (Ipv6Link, ALL_LINKS, "forwarding") => ((Ipv6Link, "forwarding"), &of_each),
            (Ipv6Link, ALL_LINKS, "disable_ipv6") => ((Ipv6Link, "disable_ipv6"), &of_each),
            _ => ((directory, name), &of_one),
        };
        if links.len() > 1 {
            changed.by_key.retain(|(other, _, setting), _| (*other, *setting) != place);
        }
        for link in links {
            changed.insert(place, link, numbers.clone());
        }
        Ok(())
    }

    fn numbers(&self, directory: SettingDirectory, link: &str, setting: &Setting) -> Vec<i64> {
        if let Some(number) = self.buffers.get(directory, setting.name()) {
            return vec![number];
        }
        let changed = {
            let changed = self.changed.lock();
            let of = |link: &str| changed.by_key.get(&(directory, link.to_string(), setting.name())).cloned();
            // A link begins with what those to come are to have.
            let begins_with_default = !matches!(link, "" | ALL_LINKS | LINKS_TO_COME | LOOPBACK);
            of(link).or_else(|| begins_with_default.then(|| of(LINKS_TO_COME)).flatten())
        };
        changed.unwrap_or_else(|| match default_of_link(link, setting.name()) {
            Some(number) => vec![number],
            None => setting.default().to_vec(),
        })
    }

    fn number(&self, directory: SettingDirectory, link: &str, name: &str) -> i64 {
        let setting = directory.find(name.as_bytes());
        setting.and_then(|setting| self.numbers(directory, link, setting).first().copied()).unwrap_or(0)
    }

    fn named(&self, directory: SettingDirectory, name: &str) -> Vec<i64> {
        let setting = directory.find(name.as_bytes());
        setting.map_or(Vec::new(), |setting| self.numbers(directory, "", setting))
    }

    /// The largest backlog of a listener (`core/somaxconn`).
    pub fn max_backlog(&self) -> u32 {
        u32::try_from(self.number(SettingDirectory::Core, "", "somaxconn")).unwrap_or(0)
    }

    /// How many messages a unix socket queues from those that it is not connected to, before one more (`unix/max_dgram_qlen`). A
    /// negative number is a very large one, as it is to Linux.
    pub fn max_datagrams(&self) -> u32 {
        let number = self.number(SettingDirectory::Unix, "", "max_dgram_qlen");
        u32::try_from(number).unwrap_or(u32::MAX)
    }

    /// The ports that nobody is given who does not ask for them (`ipv4/ip_local_reserved_ports`).
    pub fn reserved_ports(&self) -> Vec<RangeInclusive<u16>> {
        let port = |number: i64| u16::try_from(number).unwrap_or(u16::MAX);
        let numbers = self.named(SettingDirectory::Ipv4, "ip_local_reserved_ports");
        numbers
            .chunks_exact(2)
            .filter_map(|range| Some(port(*range.first()?)..=port(*range.last()?)))
            .collect()
    }

    /// The ports that are given to who asks for any (`ipv4/ip_local_port_range`).
    pub fn local_ports(&self) -> RangeInclusive<u16> {
        let port = |number: i64| u16::try_from(number).unwrap_or(u16::MAX);
        match self.named(SettingDirectory::Ipv4, "ip_local_port_range")[..] {
            [first, last] => port(first)..=port(last),
            _ => RangeInclusive::new(1, 0),
        }
    }

    /// The first port that needs no CAP_NET_BIND_SERVICE (`ipv4/ip_unprivileged_port_start`); 65536 is none.
    pub fn unprivileged_port_start(&self) -> u32 {
        u32::try_from(self.number(SettingDirectory::Ipv4, "", "ip_unprivileged_port_start")).unwrap_or(0)
    }

    /// The groups, as the kernel numbers them, that may have ICMP sockets (`ipv4/ping_group_range`); an empty range is nobody.
    pub fn ping_groups(&self) -> RangeInclusive<u32> {
        let group = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
        match self.named(SettingDirectory::Ipv4, "ping_group_range")[..] {
            [first, last] => group(first)..=group(last),
            _ => RangeInclusive::new(1, 0),
        }
    }

    /// The least, usual and largest receive buffer of TCP, in bytes (`ipv4/tcp_rmem`).
    pub fn tcp_receive_buffer(&self) -> [u32; 3] {
        self.three("tcp_rmem")
    }

    /// The least, usual and largest send buffer of TCP, in bytes (`ipv4/tcp_wmem`).
    pub fn tcp_send_buffer(&self) -> [u32; 3] {
        self.three("tcp_wmem")
    }

    /// The number of a setting of a link's, of all links' or of those to come; 0 if there is none.
    pub fn of_link(&self, directory: SettingDirectory, link: &str, name: &str) -> i64 {
        self.number(directory, link, name)
    }

    /// The first number of a setting in `ipv4`; 0 if there is none.
    pub fn of_ipv4(&self, name: &str) -> i64 {
        self.number(SettingDirectory::Ipv4, "", name)
    }

    /// How many connections that nobody has open any more there may be (`ipv4/tcp_max_orphans`).
    pub fn max_orphans(&self) -> usize {
        usize::try_from(self.number(SettingDirectory::Ipv4, "", "tcp_max_orphans")).unwrap_or(0)
    }

    fn three(&self, name: &str) -> [u32; 3] {
        let numbers = self.named(SettingDirectory::Ipv4, name);
        std::array::from_fn(|index| {
            numbers.get(index).and_then(|number| u32::try_from(*number).ok()).unwrap_or(0)
        })
    }

    /// The time to live of packets that name none (`ipv4/ip_default_ttl`).
    pub fn default_ttl(&self) -> u8 {
        u8::try_from(self.number(SettingDirectory::Ipv4, "", "ip_default_ttl")).unwrap_or(u8::MAX)
    }

    /// The hop limit of packets that name none, where no link is known (`ipv6/conf/all/hop_limit`).
    pub fn hop_limit(&self) -> u8 {
        self.hop_limit_of(ALL_LINKS)
    }

    /// The hop limit of packets through a link that name none (`ipv6/conf/LINK/hop_limit`).
    pub fn hop_limit_of(&self, link: &str) -> u8 {
        u8::try_from(self.number(SettingDirectory::Ipv6Link, link, "hop_limit")).unwrap_or(u8::MAX)
    }

    /// Whether IPv4 packets for others are passed on (`ipv4/ip_forward`).
    pub fn forwards_ipv4(&self) -> bool {
        self.number(SettingDirectory::Ipv4, "", "ip_forward") != 0
    }

    /// Whether IPv4 packets for others are passed on that come in by a link (`ipv4/conf/LINK/forwarding`).
    pub fn forwards_ipv4_of(&self, link: &str) -> bool {
        self.number(SettingDirectory::Ipv4Link, link, "forwarding") != 0
    }

    /// Whether IPv6 packets for others are passed on (`ipv6/conf/all/forwarding`).
    pub fn forwards_ipv6(&self) -> bool {
        self.number(SettingDirectory::Ipv6Link, ALL_LINKS, "forwarding") != 0
    }

    /// Whether IPv4 sockets may be bound to addresses that are nobody's (`ipv4/ip_nonlocal_bind`).
    pub fn binds_nonlocal_ipv4(&self) -> bool {
        self.number(SettingDirectory::Ipv4, "", "ip_nonlocal_bind") != 0
    }

    /// The same of IPv6 (`ipv6/ip_nonlocal_bind`).
    pub fn binds_nonlocal_ipv6(&self) -> bool {
        self.number(SettingDirectory::Ipv6, "", "ip_nonlocal_bind") != 0
    }

    /// Whether IPv6 sockets are without IPv4 unless they say otherwise (`ipv6/bindv6only`).
    pub fn binds_ipv6_only(&self) -> bool {
        self.number(SettingDirectory::Ipv6, "", "bindv6only") != 0
    }

    /// The congestion control of new connections, by its name (`ipv4/tcp_congestion_control`).
    pub fn congestion_control(&self) -> &'static str {
        let place = self.number(SettingDirectory::Ipv4, "", "tcp_congestion_control");
        let found = usize::try_from(place).ok().and_then(|place| table::CONGESTION_ALGORITHMS.get(place));
        found.or(table::CONGESTION_ALGORITHMS.first()).copied().unwrap_or_default()
    }

    /// Whether nobody answers an ICMP echo (`ipv4/icmp_echo_ignore_all`).
    pub fn ignores_echo(&self) -> bool {
        self.number(SettingDirectory::Ipv4, "", "icmp_echo_ignore_all") != 0
    }

    /// Whether a link takes no IPv6 (`ipv6/conf/LINK/disable_ipv6`).
    pub fn is_ipv6_disabled(&self, link: &str) -> bool {
        self.number(SettingDirectory::Ipv6Link, link, "disable_ipv6") != 0
    }
}

/// What a setting of all links, or of the loopback, is in a new namespace, where that differs from the usual.
fn default_of_link(link: &str, name: &str) -> Option<i64> {
    let table = match link {
        ALL_LINKS => table::OF_ALL,
        LOOPBACK => table::OF_LOOPBACK,
        _ => return None,
    };
    table.iter().find(|(other, _)| *other == name).map(|(_, number)| *number)
}

/// The range of groups that the writer numbers so, as the kernel numbers them; nobody if it is empty.
fn group_range(first: i64, last: i64, writer: &UserNamespace) -> Result<Vec<i64>, Errno> {
    if last < first {
        return Ok(vec![1, 0]);
    }
    let group = |number: i64| {
        let number = u32::try_from(number).map_err(|_| Errno::EINVAL)?;
        writer.to_kernel_gid(Gid(number)).map(|group| group.0.into()).ok_or(Errno::EINVAL)
    };
    Ok(vec![group(first)?, group(last)?])
}
