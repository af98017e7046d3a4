//! Structures of io_uring(7).

use linux_raw_sys::io_uring as uapi;

use super::{same_layout, structures};

structures! {
    /// `struct io_sqring_offsets`.
    IoSqringOffsets {
        head: u32,
        tail: u32,
        ring_mask: u32,
        ring_entries: u32,
        flags: u32,
        dropped: u32,
        array: u32,
        resv1: u32,
        user_addr: u64,
    }

    /// `struct io_cqring_offsets`.
    IoCqringOffsets {
        head: u32,
        tail: u32,
        ring_mask: u32,
        ring_entries: u32,
        overflow: u32,
        cqes: u32,
        flags: u32,
        resv1: u32,
        user_addr: u64,
    }

    /// `struct io_uring_params` (`man 2 io_uring_setup`).
    IoUringParams {
        sq_entries: u32,
        cq_entries: u32,
        flags: u32,
        sq_thread_cpu: u32,
        sq_thread_idle: u32,
        features: u32,
        wq_fd: u32,
        resv: [u32; 3],
        sq_off: IoSqringOffsets,
        cq_off: IoCqringOffsets,
    }

    /// `struct io_uring_sqe`, with the names of what most operations have in its unions.
    IoUringSqe {
        opcode: u8,
        flags: u8,
        ioprio: u16,
        fd: i32,
        /// `addr2` too.
        off: u64,
        addr: u64,
        len: u32,
        /// `rw_flags`, `msg_flags`, `timeout_flags`, …
        op_flags: u32,
        user_data: u64,
        /// `buf_group` too.
        buf_index: u16,
        personality: u16,
        /// `splice_fd_in` too.
        file_index: u32,
        addr3: u64,
        pad2: u64,
    }

    /// `struct io_uring_cqe`.
    IoUringCqe {
        user_data: u64,
        res: i32,
        flags: u32,
    }

    /// `struct io_uring_getevents_arg` (`man 2 io_uring_enter`).
    IoUringGeteventsArg {
        sigmask: u64,
        sigmask_sz: u32,
        min_wait_usec: u32,
        ts: u64,
    }

    /// `struct io_uring_files_update` (`man 2 io_uring_register`).
    IoUringFilesUpdate {
        offset: u32,
        resv: u32,
        fds: u64,
    }

    /// `struct io_uring_rsrc_register`.
    IoUringRsrcRegister {
        nr: u32,
        flags: u32,
        resv2: u64,
        data: u64,
        tags: u64,
    }

    /// `struct io_uring_rsrc_update2`.
    IoUringRsrcUpdate2 {
        offset: u32,
        resv: u32,
        data: u64,
        tags: u64,
        nr: u32,
        resv2: u32,
    }

    /// `struct io_uring_probe`, without its operations.
    IoUringProbe {
        last_op: u8,
        ops_len: u8,
        resv: u16,
        resv2: [u32; 3],
    }

    /// `struct io_uring_probe_op`.
    IoUringProbeOp {
        op: u8,
        resv: u8,
        flags: u16,
        resv2: u32,
    }

    /// `struct io_uring_restriction`.
    IoUringRestriction {
        opcode: u16,
        /// `register_op`, `sqe_op` or `sqe_flags`.
        value: u8,
        resv: u8,
        resv2: [u32; 3],
    }

    /// `struct io_uring_sync_cancel_reg`.
    IoUringSyncCancelReg {
        addr: u64,
        fd: i32,
        flags: u32,
        timeout_seconds: i64,
        timeout_nanoseconds: i64,
        opcode: u8,
        pad: [u8; 7],
        pad2: [u64; 3],
    }
}

same_layout! {
    IoUringParams, uapi::io_uring_params:
    sq_entries cq_entries flags sq_thread_cpu sq_thread_idle features wq_fd resv sq_off cq_off
}
same_layout! {
    IoSqringOffsets, uapi::io_sqring_offsets: head tail ring_mask ring_entries flags dropped array resv1 user_addr
}
same_layout! {
    IoCqringOffsets, uapi::io_cqring_offsets: head tail ring_mask ring_entries overflow cqes flags resv1 user_addr
}
same_layout! { IoUringSqe, uapi::io_uring_sqe: opcode flags ioprio fd len user_data personality }
same_layout! { IoUringFilesUpdate, uapi::io_uring_files_update: offset resv fds }
same_layout! { IoUringRsrcRegister, uapi::io_uring_rsrc_register: nr flags resv2 data tags }
