//! Structures about tables of rules for packets (`linux/netfilter/x_tables.h`, `linux/netfilter_ipv4/ip_tables.h`,
//! `linux/netfilter_ipv6/ip6_tables.h`, `linux/netfilter/xt_*.h`).

use linux_raw_sys::net as uapi;

use super::{same_layout, structures};

structures! {
    /// `struct xt_counters`: packets and bytes.
    XtCounters {
        pcnt: u64,
        bcnt: u64,
    }

    /// `struct xt_entry_match` and `struct xt_entry_target` without their data, which `match_size` and `target_size` include.
    XtEntryHead {
        size: u16,
        name: [u8; 29],
        revision: u8,
    }

    /// The links that a rule is about, as `struct ipt_ip` and `struct ip6t_ip6` have them.
    IptInterfaces {
        iniface: [u8; 16],
        outiface: [u8; 16],
        iniface_mask: [u8; 16],
        outiface_mask: [u8; 16],
    }

    /// `struct ipt_entry`.
    IptEntry {
        src: [u8; 4],
        dst: [u8; 4],
        smsk: [u8; 4],
        dmsk: [u8; 4],
        interfaces: IptInterfaces,
        proto: u16,
        flags: u8,
        invflags: u8,
        nfcache: u32,
        target_offset: u16,
        next_offset: u16,
        comefrom: u32,
        counters: XtCounters,
    }

    /// `struct ip6t_entry`.
    Ip6tEntry {
        src: [u8; 16],
        dst: [u8; 16],
        smsk: [u8; 16],
        dmsk: [u8; 16],
        interfaces: IptInterfaces,
        proto: u16,
        tos: u8,
        flags: u8,
        invflags: u8,
        padding: [u8; 3],
        nfcache: u32,
        target_offset: u16,
        next_offset: u16,
        comefrom: u32,
        counters_padding: u32,
        counters: XtCounters,
    }

    /// `struct ipt_getinfo` and `struct ip6t_getinfo`.
    IptGetinfo {
        name: [u8; 32],
        valid_hooks: u32,
        hook_entry: [u32; 5],
        underflow: [u32; 5],
        num_entries: u32,
        size: u32,
    }

    /// `struct ipt_get_entries` and `struct ip6t_get_entries` without the entries.
    IptGetEntries {
        name: [u8; 32],
        size: u32,
        padding: u32,
    }

    /// `struct ipt_replace` and `struct ip6t_replace` without the entries.
    IptReplace {
        name: [u8; 32],
        valid_hooks: u32,
        num_entries: u32,
        size: u32,
        hook_entry: [u32; 5],
        underflow: [u32; 5],
        num_counters: u32,
        counters: u64,
    }

    /// `struct xt_counters_info` without the counters.
    XtCountersInfo {
        name: [u8; 32],
        num_counters: u32,
        padding: u32,
    }

    /// `struct xt_get_revision`.
    XtGetRevision {
        name: [u8; 29],
        revision: u8,
    }

    /// `struct xt_tcp`.
    XtTcp {
        spts: [u16; 2],
        dpts: [u16; 2],
        option: u8,
        flg_mask: u8,
        flg_cmp: u8,
        invflags: u8,
    }

    /// `struct xt_udp`.
    XtUdp {
        spts: [u16; 2],
        dpts: [u16; 2],
        invflags: u8,
        padding: u8,
    }

    /// `struct ipt_icmp` and `struct ip6t_icmp`.
    IptIcmp {
        kind: u8,
        code: [u8; 2],
        invflags: u8,
    }

    /// `struct xt_multiport_v1`.
    XtMultiport {
        flags: u8,
        count: u8,
        ports: [u16; 15],
        pflags: [u8; 15],
        invert: u8,
    }

    /// `struct xt_mark_mtinfo1`.
    XtMark {
        mark: u32,
        mask: u32,
        invert: u8,
        padding: [u8; 3],
    }

    /// `struct xt_owner_match_info`.
    XtOwner {
        uid: [u32; 2],
        gid: [u32; 2],
        matched: u8,
        invert: u8,
        padding: [u8; 2],
    }

    /// `struct xt_conntrack_mtinfo3`; addresses and ports in network order.
    XtConntrack {
        addresses: [[u8; 16]; 8],
        expires: [u32; 2],
        l4proto: u16,
        ports: [[u8; 2]; 4],
        match_flags: u16,
        invert_flags: u16,
        state_mask: u16,
        status_mask: u16,
        high_ports: [[u8; 2]; 4],
        padding: u16,
    }

    /// `struct xt_addrtype_info_v1`.
    XtAddrtype {
        source: u16,
        dest: u16,
        flags: u32,
    }
}

structures! {
    /// `struct xt_rateinfo`, of which the kernel's part is not looked at.
    XtRateinfo {
        avg: u32,
        burst: u32,
        kernel: [u64; 4],
    }

    /// `struct xt_iprange_mtinfo`; addresses in network order.
    XtIprange {
        src: [[u8; 16]; 2],
        dst: [[u8; 16]; 2],
        flags: u8,
        padding: [u8; 3],
    }

    /// `struct xt_length_info`.
    XtLength {
        bounds: [u16; 2],
        invert: u8,
        padding: u8,
    }

    /// `struct ipt_ttl_info` and `struct ip6t_hl_info`.
    IptTtl {
        mode: u8,
        ttl: u8,
    }

    /// `struct xt_log_info`.
    XtLog {
        level: u8,
        logflags: u8,
        prefix: [u8; 30],
    }
}

same_layout! { XtCounters, uapi::xt_counters: pcnt bcnt }
same_layout! { XtTcp, uapi::xt_tcp: spts dpts option flg_mask flg_cmp invflags }
same_layout! { XtUdp, uapi::xt_udp: spts dpts invflags }
same_layout! { Ip6tEntry, uapi::ip6t_entry: nfcache target_offset next_offset comefrom counters }
same_layout! { IptGetinfo, uapi::ip6t_getinfo: name valid_hooks hook_entry underflow num_entries size }
same_layout! { XtGetRevision, uapi::xt_get_revision: name revision }
