//! Structures about block devices (`linux/loop.h`, `linux/blkpg.h`).

use linux_raw_sys::loop_device as uapi;

use super::{same_layout, structures};

structures! {
    /// `struct loop_info64` (`man 4 loop`).
    LoopInfo64 {
        lo_device: u64,
        lo_inode: u64,
        lo_rdevice: u64,
        lo_offset: u64,
        lo_sizelimit: u64,
        lo_number: u32,
        lo_encrypt_type: u32,
        lo_encrypt_key_size: u32,
        lo_flags: u32,
        lo_file_name: [u8; 64],
        lo_crypt_name: [u8; 64],
        lo_encrypt_key: [u8; 32],
        lo_init: [u64; 2],
    }

    /// `struct loop_info` (`man 4 loop`), which came before.
    LoopInfo {
        lo_number: i32,
        padding: u32,
        lo_device: u64,
        lo_inode: u64,
        lo_rdevice: u64,
        lo_offset: i32,
        lo_encrypt_type: i32,
        lo_encrypt_key_size: i32,
        lo_flags: i32,
        lo_name: [u8; 64],
        lo_encrypt_key: [u8; 32],
        lo_init: [u64; 2],
        reserved: [u8; 4],
        end_padding: u32,
    }

    /// `struct loop_config` (`man 4 loop`).
    LoopConfig {
        fd: u32,
        block_size: u32,
        info: LoopInfo64,
        reserved: [u64; 8],
    }

    /// `struct blkpg_ioctl_arg`.
    BlkpgArgument {
        op: i32,
        flags: i32,
        datalen: i32,
        padding: u32,
        data: u64,
    }

    /// `struct blkpg_partition`.
    BlkpgPartition {
        start: i64,
        length: i64,
        pno: i32,
        devname: [u8; 64],
        volname: [u8; 64],
        padding: u32,
    }
}

same_layout! { LoopInfo64, uapi::loop_info64:
lo_device lo_inode lo_rdevice lo_offset lo_sizelimit lo_number lo_encrypt_type lo_encrypt_key_size lo_flags
lo_file_name lo_crypt_name lo_encrypt_key lo_init }
same_layout! { LoopInfo, uapi::loop_info:
lo_number lo_device lo_inode lo_rdevice lo_offset lo_encrypt_type lo_encrypt_key_size lo_flags lo_name lo_encrypt_key
lo_init reserved }
same_layout! { LoopConfig, uapi::loop_config: fd block_size info }
