//! Structures of System V IPC (`asm-generic/ipcbuf.h`, `asm-generic/shmbuf.h`, `asm/sembuf.h`, `asm-generic/msgbuf.h`, `linux/shm.h`,
//! `linux/sem.h`, `linux/msg.h`), in the form that x86-64 has.

use super::structures;

structures! {
    /// `struct ipc64_perm` (`man 7 sysvipc`).
    IpcPerm {
        key: i32,
        uid: u32,
        gid: u32,
        cuid: u32,
        cgid: u32,
        mode: u32,
        seq: u16,
        padding: [u16; 3],
        unused: [u64; 2],
    }

    /// `struct shmid64_ds` (`man 2 shmctl`).
    ShmidDs {
        shm_perm: IpcPerm,
        shm_segsz: u64,
        shm_atime: i64,
        shm_dtime: i64,
        shm_ctime: i64,
        shm_cpid: i32,
        shm_lpid: i32,
        shm_nattch: u64,
        unused: [u64; 2],
    }

    /// `struct shminfo64`: the limits of shared memory.
    ShmLimits {
        shmmax: u64,
        shmmin: u64,
        shmmni: u64,
        shmseg: u64,
        shmall: u64,
        unused: [u64; 4],
    }

    /// `struct shm_info`: what there is of shared memory.
    ShmInfo {
        used_ids: u32,
        padding: u32,
        shm_tot: u64,
        shm_rss: u64,
        shm_swp: u64,
        swap_attempts: u64,
        swap_successes: u64,
    }

    /// `struct semid64_ds` (`man 2 semctl`).
    SemidDs {
        sem_perm: IpcPerm,
        sem_otime: i64,
        padding: u64,
        sem_ctime: i64,
        other_padding: u64,
        sem_nsems: u64,
        unused: [u64; 2],
    }

    /// `struct seminfo`: the limits of semaphores, or what there is of them.
    SemInfo {
        semmap: u32,
        semmni: u32,
        semmns: u32,
        semmnu: u32,
        semmsl: u32,
        semopm: u32,
        semume: u32,
        semusz: u32,
        semvmx: u32,
        semaem: u32,
    }

    /// `struct msqid64_ds` (`man 2 msgctl`).
    MsqidDs {
        msg_perm: IpcPerm,
        msg_stime: i64,
        msg_rtime: i64,
        msg_ctime: i64,
        msg_cbytes: u64,
        msg_qnum: u64,
        msg_qbytes: u64,
        msg_lspid: i32,
        msg_lrpid: i32,
        unused: [u64; 2],
    }

    /// `struct msginfo`: the limits of message queues, or what there is of them.
    MsgInfo {
        msgpool: u32,
        msgmap: u32,
        msgmax: u32,
        msgmnb: u32,
        msgmni: u32,
        msgssz: u32,
        msgtql: u32,
        msgseg: u16,
        padding: u16,
    }
}

// Linux's own lengths: the headers are not among those that are declared for Rust.
const _: () = {
    assert!(size_of::<IpcPerm>() == 48 && size_of::<ShmidDs>() == 112 && size_of::<SemidDs>() == 104);
    assert!(size_of::<MsqidDs>() == 120 && size_of::<ShmLimits>() == 72 && size_of::<ShmInfo>() == 48);
    assert!(size_of::<SemInfo>() == 40 && size_of::<MsgInfo>() == 32);
};
