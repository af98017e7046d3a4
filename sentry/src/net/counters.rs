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
    IcmpReceivedBad = "Icmp" "InErrors",
    IcmpReceivedUnsummed = "Icmp" "InCsumErrors",
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
    TcpAbortsOnData = "TcpExt" "TCPAbortOnData",
    TcpAbortsOnClose = "TcpExt" "TCPAbortOnClose",
    TcpAbortsOnMemory = "TcpExt" "TCPAbortOnMemory",
    TcpAbortsOnTimeout = "TcpExt" "TCPAbortOnTimeout",
    TcpDelivered = "TcpExt" "TCPDelivered",
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
    Icmp6UnreachableReceived = "Icmp6" "InDestUnreachs",
    Icmp6UnreachableSent = "Icmp6" "OutDestUnreachs",
    Icmp6EchoReceived = "Icmp6" "InEchos",
    Icmp6EchoSent = "Icmp6" "OutEchos",
    Icmp6EchoReplyReceived = "Icmp6" "InEchoReplies",
    Icmp6EchoReplySent = "Icmp6" "OutEchoReplies",
    Udp6Received = "Udp6" "InDatagrams",
    Udp6WithoutPort = "Udp6" "NoPorts",
    Udp6Errors = "Udp6" "InErrors",
    Udp6Sent = "Udp6" "OutDatagrams",
    Udp6ReceiveBufferErrors = "Udp6" "RcvbufErrors",
    Udp6SendBufferErrors = "Udp6" "SndbufErrors",
}

/// Segments of TCP that go somewhere.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Passing {
    /// How many.
    pub(super) segments: u64,
    /// Their bytes, with the headers of IP and TCP.
    pub(super) bytes: u64,
    /// How many of them carry bytes, or the end of them.
    pub(super) data: u64,
    /// How many of them only acknowledge.
    pub(super) acknowledgements: u64,
    /// How many that went the other way they acknowledge.
    pub(super) delivered: u64,
}

/// Segments of TCP that went one way.
#[derive(Debug, Default)]
pub(super) struct Segments {
    segments: AtomicU64,
    bytes: AtomicU64,
    data: AtomicU64,
    acknowledgements: AtomicU64,
    delivered: AtomicU64,
}

impl Segments {
    /// Counts more.
    pub(super) fn add(&self, passing: Passing) {
        let Passing { segments, bytes, data, acknowledgements, delivered } = passing;
        let counted = [
            (&self.segments, segments),
            (&self.bytes, bytes),
            (&self.data, data),
            (&self.acknowledgements, acknowledgements),
            (&self.delivered, delivered),
        ];
        for (counter, count) in counted.into_iter().filter(|(_, count)| *count > 0) {
            counter.fetch_add(count, Ordering::Relaxed);
        }
    }

    fn total(&self) -> Passing {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Passing {
            segments: load(&self.segments),
            bytes: load(&self.bytes),
            data: load(&self.data),
            acknowledgements: load(&self.acknowledgements),
            delivered: load(&self.delivered),
        }
    }
}

/// The segments of TCP of one version of IP, which are by far the most that is counted.
#[derive(Debug, Default)]
pub(super) struct SegmentCounters {
    /// Those that were sent and received in the same namespace, counted once.
    pub(super) looped: Segments,
    pub(super) sent: Segments,
    pub(super) received: Segments,
}

impl SegmentCounters {
    fn sent(&self, of: impl Fn(Passing) -> u64) -> u64 {
        of(self.looped.total()) + of(self.sent.total())
    }

    fn received(&self, of: impl Fn(Passing) -> u64) -> u64 {
        of(self.looped.total()) + of(self.received.total())
    }
}

/// What was counted in a namespace so far.
#[derive(Debug)]
pub struct Counters {
    counts: [AtomicU64; Counter::ALL.len()],
    v4_segments: SegmentCounters,
    v6_segments: SegmentCounters,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            counts: [const { AtomicU64::new(0) }; Counter::ALL.len()],
            v4_segments: SegmentCounters::default(),
            v6_segments: SegmentCounters::default(),
        }
    }
}

impl Counters {
    /// Counts `count` more.
    pub fn add(&self, counter: Counter, count: u64) {
        self.counts[counter as usize].fetch_add(count, Ordering::Relaxed);
    }

    /// Counts a packet of IP that leaves, of so many bytes with all headers.
    pub(super) fn count_sent(&self, is_ipv4: bool, packets: usize, len_bytes: usize) {
        let [sent, bytes] = match is_ipv4 {
            true => [Counter::IpSent, Counter::IpBytesSent],
            false => [Counter::Ip6Sent, Counter::Ip6BytesSent],
        };
        self.add(sent, packets as u64);
        self.add(bytes, len_bytes as u64);
    }

    /// Counts packets of IP that have arrived, and are for somebody here.
    pub(super) fn count_received(&self, is_ipv4: bool, packets: usize, len_bytes: usize) {
        let [received, delivered, bytes] = match is_ipv4 {
            true => [Counter::IpReceived, Counter::IpDelivered, Counter::IpBytesReceived],
            false => [Counter::Ip6Received, Counter::Ip6Delivered, Counter::Ip6BytesReceived],
        };
        self.add(received, packets as u64);
        self.add(delivered, packets as u64);
        self.add(bytes, len_bytes as u64);
    }

    /// The segments of TCP.
    pub(super) fn segments(&self, is_ipv4: bool) -> &SegmentCounters {
        if is_ipv4 { &self.v4_segments } else { &self.v6_segments }
    }

    fn of_segments(&self, group: &str, name: &str) -> u64 {
        let [v4, v6] = [&self.v4_segments, &self.v6_segments];
        let ip = if group.starts_with("Ip6") { v6 } else { v4 };
        match (group, name) {
            ("Ip" | "Ip6", "InReceives" | "InDelivers" | "InNoECTPkts") | ("IpExt", "InNoECTPkts") => {
                ip.received(|passing| passing.segments)
            }
            ("Ip" | "Ip6", "OutRequests" | "OutTransmits") => ip.sent(|passing| passing.segments),
            ("IpExt" | "Ip6", "InOctets") => ip.received(|passing| passing.bytes),
            ("IpExt" | "Ip6", "OutOctets") => ip.sent(|passing| passing.bytes),
            ("Tcp", "InSegs") => [v4, v6].map(|all| all.received(|passing| passing.segments)).iter().sum(),
            ("Tcp", "OutSegs") => [v4, v6].map(|all| all.sent(|passing| passing.segments)).iter().sum(),
            ("TcpExt", "TCPOrigDataSent") => {
                [v4, v6].map(|all| all.sent(|passing| passing.data)).iter().sum()
            }
            ("TcpExt", "TCPDelivered") => {
                [v4, v6].map(|all| all.received(|passing| passing.delivered)).iter().sum()
            }
            ("TcpExt", "TCPPureAcks") => {
                [v4, v6].map(|all| all.received(|passing| passing.acknowledgements)).iter().sum()
            }
            _ => 0,
        }
    }

    /// What the counter that Linux calls `name` in `group` says; 0 if there is none.
    pub(super) fn named(&self, group: &str, name: &str) -> u64 {
        // No packet is lost below, and none is marked.
        let same = match (group, name) {
            ("Ip" | "Ip6", "OutTransmits") => (group, "OutRequests"),
            ("IpExt", "InNoECTPkts") => ("Ip", "InReceives"),
            ("Ip6", "InNoECTPkts") => (group, "InReceives"),
            other => other,
        };
        let found = Counter::ALL.iter().find(|(_, other, own)| (*other, *own) == same);
        let counted = found.map_or(0, |(counter, ..)| self.counts[*counter as usize].load(Ordering::Relaxed));
        counted + self.of_segments(group, name)
    }
}
