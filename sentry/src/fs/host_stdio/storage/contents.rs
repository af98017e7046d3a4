//! What all streams on one host file share: identity, locks and mapped pages.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use vm_memory::VolatileSlice;

use super::{Handle, Owners};
use crate::Errno;
use crate::cred::{KernelGid, KernelUid};
use crate::fs::anonymous::AnonymousInode;
use crate::fs::host_stdio::retry;
use crate::fs::locks::FileLocks;
use crate::fs::sleeper::UntilKilled;
use crate::fs::{FileKind, Metadata, OpenFiles, Timestamp};
use crate::host::{HostCall, count_call};
use crate::memory::{FrameAllocator, PageCache, PageSource, fill_by_reads};

/// One file of the host.
pub(super) struct Contents {
    host_identity: (u64, u64),
    kind: FileKind,
    owners: Owners,
    size_limit: Option<u64>,
    inode: AnonymousInode,
    locks: FileLocks,
    frames: Arc<FrameAllocator>,
    handles: Arc<Handles>,
    /// Once it has been mapped.
    cache: OnceLock<Arc<PageCache>>,
}

/// By which mapped pages are fetched and written back.
#[derive(Default)]
struct Handles {
    readable: OnceLock<Arc<Handle>>,
    /// Of one that may be written anywhere.
    writable: OnceLock<Arc<Handle>>,
}

impl Contents {
    pub(super) fn new(
        host_identity: (u64, u64),
        kind: FileKind,
        owners: Owners,
        size_limit: Option<u64>,
        frames: Arc<FrameAllocator>,
        open_files: &OpenFiles,
    ) -> Arc<Self> {
        Arc::new(Self {
            host_identity,
            kind,
            owners,
            size_limit,
            inode: AnonymousInode::of_kind(open_files, kind, 0),
            locks: FileLocks::default(),
            frames,
            handles: Arc::default(),
            cache: OnceLock::new(),
        })
    }

    /// Whether this is the file with that device and inode number on the host.
    pub(super) fn is(&self, host_identity: (u64, u64)) -> bool {
        self.host_identity == host_identity
    }

    /// Lets mappings use `handle`.
    pub(super) fn add_handle(&self, handle: &Arc<Handle>) {
        if handle.is_readable {
            self.handles.readable.get_or_init(|| handle.clone());
        }
        if handle.is_writable && !handle.is_append_only {
            self.handles.writable.get_or_init(|| handle.clone());
        }
    }

    pub(super) fn kind(&self) -> FileKind {
        self.kind
    }

    pub(super) fn locks(&self) -> &FileLocks {
        &self.locks
    }

    pub(super) fn size_limit(&self) -> Option<u64> {
        self.size_limit
    }

    /// What fstat(2) tells through `handle`.
    pub(super) fn metadata(&self, handle: &Handle) -> Result<Metadata, Errno> {
        // A mapping may have changed it.
        self.write_back(0..u64::MAX)?;
        count_call(HostCall::Stat);
        let stat = rustix::fs::fstat(handle)?;
        let owner = |host: u32, (caller, guest): (u32, u32)| if host == caller { guest } else { host };
        let timestamp = |seconds: i64, nanoseconds: u64| Timestamp {
            seconds,
            nanoseconds: u32::try_from(nanoseconds).unwrap_or(0),
        };
        Ok(Metadata {
            links: u32::try_from(stat.st_nlink).unwrap_or(u32::MAX),
            mode: self.kind.mode_bits() | stat.st_mode & 0o777,
            uid: KernelUid(owner(stat.st_uid, (self.owners.host.0, self.owners.guest.0))),
            gid: KernelGid(owner(stat.st_gid, (self.owners.host.1, self.owners.guest.1))),
            size_bytes: u64::try_from(stat.st_size).unwrap_or(0),
            block_size_bytes: u32::try_from(stat.st_blksize).unwrap_or(4096),
            blocks: u64::try_from(stat.st_blocks).unwrap_or(0),
            accessed: timestamp(stat.st_atime, stat.st_atime_nsec),
            modified: timestamp(stat.st_mtime, stat.st_mtime_nsec),
            changed: timestamp(stat.st_ctime, stat.st_ctime_nsec),
            ..self.inode.metadata()
        })
    }

    /// Writes what mappings have changed of `bytes` to the host.
    pub(super) fn write_back(&self, bytes: Range<u64>) -> Result<(), Errno> {
        match self.cache.get() {
            Some(cache) if cache.has_changes() => cache.write_back(bytes, &UntilKilled),
            _ => Ok(()),
        }
    }

    /// Has mappings show what has become of `bytes`, which somebody has written or cut off.
    pub(super) fn changed(&self, bytes: Range<u64>, handle: &Handle) {
        let Some(cache) = self.cache.get() else { return };
        if let Ok(size) = size_of(handle) {
            cache.source_changed(bytes, size);
        }
    }

    /// Whether it has ever been mapped.
    pub(super) fn is_mapped(&self) -> bool {
        self.cache.get().is_some()
    }

    /// The pages for mappings, which are as the host's file is now if nobody has mapped it yet.
    pub(super) fn page_cache(&self) -> Result<Arc<PageCache>, Errno> {
        let readable = self.handles.readable.get().ok_or(Errno::EACCES)?;
        let size = size_of(readable)?;
        let make = || PageCache::new(&self.frames, Some(Box::new(StreamPages(self.handles.clone()))), size);
        let cache = self.cache.get_or_init(make);
        if cache.mapping_count() == 0 {
            cache.write_back(0..u64::MAX, &UntilKilled)?;
            cache.source_changed(0..u64::MAX, size);
        } else if cache.size() != size {
            cache.source_changed(0..0, size);
        }
        Ok(cache.clone())
    }
}

fn size_of(handle: &Handle) -> Result<u64, Errno> {
    count_call(HostCall::Stat);
    let stat = rustix::fs::fstat(handle)?;
    Ok(u64::try_from(stat.st_size).unwrap_or(0))
}

/// The pages of the file.
struct StreamPages(Arc<Handles>);

impl PageSource for StreamPages {
    fn fill(&self, offset: u64, destination: VolatileSlice<'_>) -> Result<(), Errno> {
        let handle = self.0.readable.get().ok_or(Errno::EIO)?;
        let read = |portion: &mut [u8], position| {
            count_call(HostCall::ReadAt);
            retry(|| rustix::io::pread(&**handle, &mut *portion, position))
        };
        fill_by_reads(offset, destination, read).map(drop)
    }

    fn takes_changes(&self) -> bool {
        self.0.writable.get().is_some()
    }

    fn take_back(&self, offset: u64, changed: VolatileSlice<'_>) -> Result<(), Errno> {
        let handle = self.0.writable.get().ok_or(Errno::EROFS)?;
        let mut bytes = vec![0; changed.len()];
        changed.copy_to(&mut bytes);
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            let position = offset.checked_add(done as u64).ok_or(Errno::EFBIG)?;
            count_call(HostCall::WriteAt);
            match retry(|| rustix::io::pwrite(&**handle, rest, position))? {
                0 => return Err(Errno::EIO),
                written => done += written,
            }
        }
        Ok(())
    }
}
