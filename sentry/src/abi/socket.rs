//! Structures about sockets (`linux/socket.h`, `linux/net.h`).

use linux_raw_sys::net as uapi;

use super::{same_layout, structures};

structures! {
    /// `struct msghdr` (`man 3type msghdr`).
    Msghdr {
        msg_name: u64,
        msg_namelen: i32,
        padding: u32,
        msg_iov: u64,
        msg_iovlen: u64,
        msg_control: u64,
        msg_controllen: u64,
        msg_flags: u32,
        tail_padding: u32,
    }

    /// `struct mmsghdr` (`man 2 sendmmsg`).
    Mmsghdr {
        msg_hdr: Msghdr,
        msg_len: u32,
        tail_padding: u32,
    }

    /// `struct cmsghdr` (`man 3 cmsg`).
    Cmsghdr {
        cmsg_len: u64,
        cmsg_level: u32,
        cmsg_type: u32,
    }

    /// `struct ucred` (`man 7 unix`, SCM_CREDENTIALS).
    Ucred {
        pid: i32,
        uid: u32,
        gid: u32,
    }

    /// `struct linger` (`man 7 socket`, SO_LINGER).
    Linger {
        l_onoff: i32,
        l_linger: i32,
    }

    /// `struct sockaddr_in` (`man 7 ip`); port and address are in network order.
    SockaddrIn {
        sin_family: u16,
        sin_port: [u8; 2],
        sin_addr: [u8; 4],
        padding: [u8; 8],
    }

    /// `struct sockaddr_in6` (`man 7 ipv6`); port and address are in network order.
    SockaddrIn6 {
        sin6_family: u16,
        sin6_port: [u8; 2],
        sin6_flowinfo: u32,
        sin6_addr: [u8; 16],
        sin6_scope_id: u32,
    }

    /// `struct in_pktinfo` (`man 7 ip`, IP_PKTINFO).
    InPktinfo {
        ipi_ifindex: i32,
        ipi_spec_dst: [u8; 4],
        ipi_addr: [u8; 4],
    }

    /// `struct in6_pktinfo` (`man 7 ipv6`, IPV6_RECVPKTINFO).
    In6Pktinfo {
        ipi6_addr: [u8; 16],
        ipi6_ifindex: u32,
    }

    /// `struct sock_extended_err` (`linux/errqueue.h`).
    SockExtendedErr {
        ee_errno: u32,
        ee_origin: u8,
        ee_type: u8,
        ee_code: u8,
        ee_pad: u8,
        ee_info: u32,
        ee_data: u32,
    }

    /// `struct ip_mreq_source` (`man 7 ip`, IP_ADD_SOURCE_MEMBERSHIP).
    IpMreqSource {
        imr_multiaddr: [u8; 4],
        imr_interface: [u8; 4],
        imr_sourceaddr: [u8; 4],
    }

    /// `struct ip_mreqn` (`man 7 ip`, IP_ADD_MEMBERSHIP).
    IpMreqn {
        imr_multiaddr: [u8; 4],
        imr_address: [u8; 4],
        imr_ifindex: i32,
    }

    /// `struct ipv6_mreq` (`man 7 ipv6`).
    Ipv6Mreq {
        ipv6mr_multiaddr: [u8; 16],
        ipv6mr_ifindex: u32,
    }

    /// `struct tcp_info` (`linux/tcp.h`).
    TcpInfo {
        tcpi_state: u8,
        tcpi_ca_state: u8,
        tcpi_retransmits: u8,
        tcpi_probes: u8,
        tcpi_backoff: u8,
        tcpi_options: u8,
        /// Window scales, sender's and receiver's, and bits about the delivery rate and fast open.
        tcpi_scales: [u8; 2],
        tcpi_rto: u32,
        tcpi_ato: u32,
        tcpi_snd_mss: u32,
        tcpi_rcv_mss: u32,
        tcpi_unacked: u32,
        tcpi_sacked: u32,
        tcpi_lost: u32,
        tcpi_retrans: u32,
        tcpi_fackets: u32,
        tcpi_last_data_sent: u32,
        tcpi_last_ack_sent: u32,
        tcpi_last_data_recv: u32,
        tcpi_last_ack_recv: u32,
        tcpi_pmtu: u32,
        tcpi_rcv_ssthresh: u32,
        tcpi_rtt: u32,
        tcpi_rttvar: u32,
        tcpi_snd_ssthresh: u32,
        tcpi_snd_cwnd: u32,
        tcpi_advmss: u32,
        tcpi_reordering: u32,
        tcpi_rcv_rtt: u32,
        tcpi_rcv_space: u32,
        tcpi_total_retrans: u32,
        tcpi_pacing_rate: u64,
        tcpi_max_pacing_rate: u64,
        tcpi_bytes_acked: u64,
        tcpi_bytes_received: u64,
        tcpi_segs_out: u32,
        tcpi_segs_in: u32,
        tcpi_notsent_bytes: u32,
        tcpi_min_rtt: u32,
        tcpi_data_segs_in: u32,
        tcpi_data_segs_out: u32,
        tcpi_delivery_rate: u64,
        tcpi_busy_time: u64,
        tcpi_rwnd_limited: u64,
        tcpi_sndbuf_limited: u64,
        tcpi_delivered: u32,
        tcpi_delivered_ce: u32,
        tcpi_bytes_sent: u64,
        tcpi_bytes_retrans: u64,
        tcpi_dsack_dups: u32,
        tcpi_reord_seen: u32,
        tcpi_rcv_ooopack: u32,
        tcpi_snd_wnd: u32,
        tcpi_rcv_wnd: u32,
        tcpi_rehash: u32,
        tcpi_total_rto: u16,
        tcpi_total_rto_recoveries: u16,
        tcpi_total_rto_time: u32,
    }
}

same_layout! {
    TcpInfo, uapi::tcp_info:
    tcpi_state tcpi_options tcpi_rto tcpi_snd_mss tcpi_pmtu tcpi_snd_cwnd tcpi_pacing_rate tcpi_bytes_acked tcpi_bytes_received
    tcpi_notsent_bytes tcpi_bytes_sent tcpi_snd_wnd tcpi_total_rto_time
}
same_layout! { SockaddrIn, uapi::sockaddr_in: sin_family sin_port sin_addr }
same_layout! { SockaddrIn6, uapi::sockaddr_in6: sin6_family sin6_port sin6_flowinfo sin6_addr sin6_scope_id }
