//! Structures of io_uring(7).

use linux_raw_sys::io_uring as uapi;

use super::{same_layout, structures, variants};

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

variants! {
    /// The operation of a submission (`man 2 io_uring_enter`).
    io_uring_operation(u8) -> uapi::io_uring_op {
        IORING_OP_NOP IORING_OP_READV IORING_OP_WRITEV IORING_OP_FSYNC IORING_OP_READ_FIXED
        IORING_OP_WRITE_FIXED IORING_OP_POLL_ADD IORING_OP_POLL_REMOVE IORING_OP_SYNC_FILE_RANGE
        IORING_OP_SENDMSG IORING_OP_RECVMSG IORING_OP_TIMEOUT IORING_OP_TIMEOUT_REMOVE IORING_OP_ACCEPT
        IORING_OP_ASYNC_CANCEL IORING_OP_LINK_TIMEOUT IORING_OP_CONNECT IORING_OP_FALLOCATE IORING_OP_OPENAT
        IORING_OP_CLOSE IORING_OP_FILES_UPDATE IORING_OP_STATX IORING_OP_READ IORING_OP_WRITE
        IORING_OP_FADVISE IORING_OP_MADVISE IORING_OP_SEND IORING_OP_RECV IORING_OP_OPENAT2
        IORING_OP_EPOLL_CTL IORING_OP_SPLICE IORING_OP_PROVIDE_BUFFERS IORING_OP_REMOVE_BUFFERS IORING_OP_TEE
        IORING_OP_SHUTDOWN IORING_OP_RENAMEAT IORING_OP_UNLINKAT IORING_OP_MKDIRAT IORING_OP_SYMLINKAT
        IORING_OP_LINKAT IORING_OP_MSG_RING IORING_OP_FSETXATTR IORING_OP_SETXATTR IORING_OP_FGETXATTR
        IORING_OP_GETXATTR IORING_OP_SOCKET IORING_OP_URING_CMD IORING_OP_SEND_ZC IORING_OP_SENDMSG_ZC
        IORING_OP_READ_MULTISHOT IORING_OP_WAITID IORING_OP_FUTEX_WAIT IORING_OP_FUTEX_WAKE
        IORING_OP_FUTEX_WAITV IORING_OP_FIXED_FD_INSTALL IORING_OP_FTRUNCATE IORING_OP_BIND IORING_OP_LISTEN
    }

    /// What is registered (`man 2 io_uring_register`).
    io_uring_registration(u32) -> uapi::io_uring_register_op {
        IORING_REGISTER_BUFFERS IORING_UNREGISTER_BUFFERS IORING_REGISTER_FILES IORING_UNREGISTER_FILES
        IORING_REGISTER_EVENTFD IORING_UNREGISTER_EVENTFD IORING_REGISTER_FILES_UPDATE
        IORING_REGISTER_EVENTFD_ASYNC IORING_REGISTER_PROBE IORING_REGISTER_PERSONALITY
        IORING_UNREGISTER_PERSONALITY IORING_REGISTER_RESTRICTIONS IORING_REGISTER_ENABLE_RINGS
        IORING_REGISTER_FILES2 IORING_REGISTER_FILES_UPDATE2 IORING_REGISTER_BUFFERS2
        IORING_REGISTER_BUFFERS_UPDATE IORING_REGISTER_IOWQ_AFF IORING_UNREGISTER_IOWQ_AFF
        IORING_REGISTER_IOWQ_MAX_WORKERS IORING_REGISTER_RING_FDS IORING_UNREGISTER_RING_FDS
        IORING_REGISTER_PBUF_RING IORING_UNREGISTER_PBUF_RING IORING_REGISTER_SYNC_CANCEL
        IORING_REGISTER_FILE_ALLOC_RANGE IORING_REGISTER_PBUF_STATUS IORING_REGISTER_NAPI
        IORING_UNREGISTER_NAPI IORING_REGISTER_CLOCK IORING_REGISTER_CLONE_BUFFERS
        IORING_REGISTER_SEND_MSG_RING IORING_REGISTER_ZCRX_IFQ IORING_REGISTER_RESIZE_RINGS
        IORING_REGISTER_MEM_REGION
    }

    /// What a restriction is of (IORING_REGISTER_RESTRICTIONS).
    io_uring_restriction(u16) -> uapi::io_uring_register_restriction_op {
        IORING_RESTRICTION_REGISTER_OP IORING_RESTRICTION_SQE_OP IORING_RESTRICTION_SQE_FLAGS_ALLOWED
        IORING_RESTRICTION_SQE_FLAGS_REQUIRED
    }
}

impl IoUringSqe {
    /// Whether it asks for `operation`.
    pub(crate) fn is(&self, operation: uapi::io_uring_op) -> bool {
        self.opcode == operation as u8
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
