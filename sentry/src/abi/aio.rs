//! Structures of asynchronous input and output (`linux/aio_abi.h`).

use super::structures;

structures! {
    /// `struct iocb` of a little-endian machine.
    Iocb {
        aio_data: u64,
        aio_key: u32,
        aio_rw_flags: u32,
        aio_lio_opcode: u16,
        aio_reqprio: i16,
        aio_fildes: u32,
        aio_buf: u64,
        aio_nbytes: u64,
        aio_offset: i64,
        aio_reserved2: u64,
        aio_flags: u32,
        aio_resfd: u32,
    }

    /// `struct io_event`.
    IoEvent {
        data: u64,
        obj: u64,
        res: i64,
        res2: i64,
    }

    /// `struct __aio_sigset`: what io_pgetevents(2) is given for a signal mask.
    AioSigset {
        sigmask: u64,
        sigsetsize: u64,
    }
}

const _: () = assert!(size_of::<Iocb>() == 64 && size_of::<IoEvent>() == 32);
