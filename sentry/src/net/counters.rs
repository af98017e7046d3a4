//! Counters of the protocols of a namespace (RFC 4293 and its kin), which /proc/net/snmp, snmp6 and netstat show.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($counter:ident = $group:literal $name:literal,)*) => {
        /// Something that is counted. Linux has many more, which stay zero here: no wire loses, repeats or reorders anything.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Counter {
            $(#[doc = concat!("`", $name, "` of `", $group, "`.")] $counter,)*
        }

        impl Counter {
            /// All of them, with what Linux calls their group and them.
            const ALL: &[(Self, &'static str, &'static str)] = &[$((Self::$counter, $group, $name),)*];
        }
    };
}

counters! {
    IpReceived = "Ip" "InReceives",
    IpDelivered = "Ip" "InDelivers",
    IpSent = "Ip" "OutRequests",
    IpWithoutRoute = "Ip" "OutNoRoutes",
    IcmpReceived = "Icmp" "InMsgs",
    IcmpSent = "Icmp" "OutMsgs",
    IcmpUnreachableReceived = "Icmp" "InDestUnreachs",
    IcmpUnreachableSent = "Icmp" "OutDestUnreachs",
    IcmpEchoReceived = "Icmp" "InEchos",
    IcmpEchoSent = "Icmp" "OutEchos",
    IcmpEchoReplyReceived = "Icmp" "InEchoReps",
    IcmpEchoReplySent = "Icmp" "OutEchoReps",
    TcpActiveOpens = "Tcp" "ActiveOpens",
    TcpPassiveOpens = "Tcp" "PassiveOpens",
    TcpAttemptsFailed = "Tcp" "AttemptFails",
    TcpEstablishedReset = "Tcp" "EstabResets",
    TcpEstablished = "Tcp" "CurrEstab",
    TcpReceived = "Tcp" "InSegs",
    TcpSent = "Tcp" "OutSegs",
    TcpResetsSent = "Tcp" "OutRsts",
    UdpReceived = "Udp" "InDatagrams",
    UdpWithoutPort = "Udp" "NoPorts",
    UdpErrors = "Udp" "InErrors",
    UdpSent = "Udp" "OutDatagrams",
    UdpReceiveBufferErrors = "Udp" "RcvbufErrors",
    UdpSendBufferErrors = "Udp" "SndbufErrors",
    TcpListenOverflows = "TcpExt" "ListenOverflows",
    TcpListenDrops = "TcpExt" "ListenDrops",
    TcpTimeWaits = "TcpExt" "TW",
    IpBytesReceived = "IpExt" "InOctets",
    IpBytesSent = "IpExt" "OutOctets",
    Ip6Received = "Ip6" "InReceives",
    Ip6Delivered = "Ip6" "InDelivers",
    Ip6Sent = "Ip6" "OutRequests",
    Ip6WithoutRoute = "Ip6" "OutNoRoutes",
    Ip6BytesReceived = "Ip6" "InOctets",
    Ip6BytesSent = "Ip6" "OutOctets",
    Icmp6Received = "Icmp6" "InMsgs",
    Icmp6Sent = "Icmp6" "OutMsgs",
    Udp6Received = "Udp6" "InDatagrams",
    Udp6WithoutPort = "Udp6" "NoPorts",
    Udp6Errors = "Udp6" "InErrors",
    Udp6Sent = "Udp6" "OutDatagrams",
    Udp6ReceiveBufferErrors = "Udp6" "RcvbufErrors",
    Udp6SendBufferErrors = "Udp6" "SndbufErrors",
}

/// What was counted in a namespace so far.
#[derive(Debug)]
pub struct Counters([AtomicU64; Counter::ALL.len()]);

impl Default for Counters {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; Counter::ALL.len()])
    }
}

impl Counters {
    /// Counts `count` more.
    pub fn add(&self, counter: Counter, count: u64) {
        self.0[counter as usize].fetch_add(count, Ordering::Relaxed);
    }

    /// Counts one less, of what goes up and down.
    pub fn remove(&self, counter: Counter) {
        self.0[counter as usize].fetch_sub(1, Ordering::Relaxed);
    }

    /// What the counter that Linux calls `name` in `group` says; 0 if there is none.
    pub(super) fn named(&self, group: &str, name: &str) -> u64 {
        let found = Counter::ALL.iter().find(|(_, other, own)| (*other, *own) == (group, name));
        found.map_or(0, |(counter, ..)| self.0[*counter as usize].load(Ordering::Relaxed))
    }
}
