//! Structures about mounts (`linux/mount.h`).

use linux_raw_sys::general as uapi;

use super::{structures, variants};

structures! {
    /// `struct mnt_id_req` (`man 2 statmount`).
    MntIdReq {
        size: u32,
        spare: u32,
        mnt_id: u64,
        param: u64,
        mnt_ns_id: u64,
    }

    /// `struct mnt_ns_info` (`linux/nsfs.h`).
    MountNamespaceInfo {
        size: u32,
        nr_mounts: u32,
        mnt_ns_id: u64,
    }

    /// `struct statmount` (`man 2 statmount`), before the strings.
    Statmount {
        size: u32,
        mnt_opts: u32,
        mask: u64,
        sb_dev_major: u32,
        sb_dev_minor: u32,
        sb_magic: u64,
        sb_flags: u32,
        fs_type: u32,
        mnt_id: u64,
        mnt_parent_id: u64,
        mnt_id_old: u32,
        mnt_parent_id_old: u32,
        mnt_attr: u64,
        mnt_propagation: u64,
        mnt_peer_group: u64,
        mnt_master: u64,
        propagate_from: u64,
        mnt_root: u32,
        mnt_point: u32,
        mnt_ns_id: u64,
        fs_subtype: u32,
        sb_source: u32,
        spare: [u64; 48],
    }
}

const _: () = assert!(size_of::<Statmount>() == 512);

variants! {
    /// What fsconfig(2) is to do.
    fsconfig_command(u32) -> uapi::fsconfig_command {
        FSCONFIG_SET_FLAG FSCONFIG_SET_STRING FSCONFIG_SET_BINARY FSCONFIG_SET_PATH FSCONFIG_SET_PATH_EMPTY
        FSCONFIG_SET_FD FSCONFIG_CMD_CREATE FSCONFIG_CMD_RECONFIGURE FSCONFIG_CMD_CREATE_EXCL
    }
}
