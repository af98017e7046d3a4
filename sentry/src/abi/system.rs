//! Structures about the system (`linux/utsname.h`, `linux/sysinfo.h`).

use linux_raw_sys::system as uapi;

use super::{same_layout, structures};

/// Bytes of each field of `struct new_utsname`, with its NUL.
const FIELD_BYTES: usize = uapi::__NEW_UTS_LEN as usize + 1;

structures! {
    /// `struct new_utsname` (`man 2 uname`).
    UtsName {
        sysname: [u8; FIELD_BYTES],
        nodename: [u8; FIELD_BYTES],
        release: [u8; FIELD_BYTES],
        version: [u8; FIELD_BYTES],
        machine: [u8; FIELD_BYTES],
        domainname: [u8; FIELD_BYTES],
    }

    /// `struct sysinfo` (`man 2 sysinfo`).
    SysInfo {
        uptime: u64,
        loads: [u64; 3],
        totalram: u64,
        freeram: u64,
        sharedram: u64,
        bufferram: u64,
        totalswap: u64,
        freeswap: u64,
        procs: u16,
        padding: [u16; 3],
        totalhigh: u64,
        freehigh: u64,
        mem_unit: u32,
        tail_padding: u32,
    }
}

same_layout! { UtsName, uapi::new_utsname: sysname nodename release version machine domainname }
same_layout! {
    SysInfo, uapi::sysinfo:
    uptime loads totalram freeram sharedram bufferram totalswap freeswap procs totalhigh freehigh mem_unit
}
