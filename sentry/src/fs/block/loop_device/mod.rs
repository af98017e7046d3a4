//! Loop devices: disks whose bytes are a file's (`man 4 loop`).

mod control;
mod ioctl;
mod status;

use std::ops::Range;
use std::sync::Arc;

use linux_raw_sys::loop_device as uapi;
use parking_lot::Mutex;

pub use control::LoopControl;
pub use status::LoopShown;

use super::device::Disk;
use super::file::BlockFile;
use super::ioctl::check_block_bytes;
use super::{BlockDevice, SECTOR_BYTES};
use crate::Errno;
use crate::abi::LoopInfo64;
use crate::fs::{FileDescription, FileKind, MountFlags};

bitflags::bitflags! {
    /// `LO_FLAGS_*`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct LoopFlags: u32 {
        /// It cannot be written.
        const READ_ONLY = 1;
        /// The last close lets go of the file.
        const AUTOCLEAR = 4;
        /// Its partition table is looked at.
        const PARTSCAN = 8;
        /// The file is read and written past the cache.
        const DIRECT_IO = 16;
    }
}

impl LoopFlags {
    /// What LOOP_SET_STATUS sets.
    const SETTABLE: Self = Self::AUTOCLEAR.union(Self::PARTSCAN);
}

/// How many loop devices may lie one on the other: what is read passes through all of them.
const MAX_DEPTH: usize = 8;
/// Bytes that a discard writes at a time, where the file cannot have holes.
const CLEAR_LEN: usize = 64 * 1024;

/// The disk of a loop device.
pub(in crate::fs) struct LoopDisk {
    index: u32,
    state: Mutex<State>,
}

/// What a loop device is doing.
enum State {
    Unbound,
    Bound(Binding),
    /// Its file goes with the last close, and until then it is no device.
    RunDown(#[expect(dead_code, reason = "it is kept until the last close")] Arc<FileDescription>),
}

/// The file behind a loop device, and how it is shown.
#[derive(Clone)]
struct Binding {
    backing: Arc<FileDescription>,
    depth: usize,
    flags: LoopFlags,
    offset: u64,
    /// 0 for none.
    size_limit: u64,
    size_bytes: u64,
    block_bytes: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
}

impl Binding {
    /// `backing`, shown whole by `device`.
    ///
    /// # Errors
    /// EINVAL: it is neither a regular file nor a block device, or a loop device without a file, or lies too deep. EBADF: it
    /// leads to `device` itself.
    fn new(backing: Arc<FileDescription>, device: &BlockDevice, is_writable: bool) -> Result<Self, Errno> {
        let path = backing.path().ok_or(Errno::EINVAL)?;
        let depth = match backing.downcast::<BlockFile>() {
            Some(file) => {
                check_chain(file, device)?;
                file.device().depth() + 1
            }
            None if path.kind() == FileKind::Regular => path.mount.file_system().disk_depth() + 1,
            None => return Err(Errno::EINVAL),
        };
        if depth > MAX_DEPTH {
            return Err(Errno::EINVAL);
        }
        let mut flags = LoopFlags::empty();
        let may_write =
            is_writable && backing.flags().is_writable() && !path.mount.flags().contains(MountFlags::RDONLY);
        flags.set(LoopFlags::READ_ONLY, !may_write);
        let mut binding = Self {
            backing,
            depth,
            flags,
            offset: 0,
            size_limit: 0,
            size_bytes: 0,
            block_bytes: SECTOR_BYTES as u32,
            file_name: [0; 64],
            crypt_name: [0; 64],
        };
        binding.measure()?;
        Ok(binding)
    }

    /// Takes the size from the file.
    fn measure(&mut self) -> Result<(), Errno> {
        let file = self.backing.file();
        let size = match file.end_position() {
            Some(end) => end,
            None => self.backing.metadata()?.size_bytes,
        };
        let mut size = size.saturating_sub(self.offset);
        if self.size_limit != 0 {
            size = size.min(self.size_limit);
        }
        self.size_bytes = size / SECTOR_BYTES * SECTOR_BYTES;
        Ok(())
    }

    /// Takes place and names from what the caller gave.
    ///
    /// # Errors
    /// EINVAL: it is to be encrypted. EOVERFLOW: the place is none of a file.
    fn configure(&mut self, info: &LoopInfo64) -> Result<(), Errno> {
        if info.lo_encrypt_key_size > uapi::LO_KEY_SIZE || info.lo_encrypt_type != uapi::LO_CRYPT_NONE {
            return Err(Errno::EINVAL);
        }
        let max = i64::MAX.cast_unsigned();
        if info.lo_offset > max || info.lo_sizelimit > max {
            return Err(Errno::EOVERFLOW);
        }
        (self.offset, self.size_limit) = (info.lo_offset, info.lo_sizelimit);
        (self.file_name, self.crypt_name) = (info.lo_file_name, info.lo_crypt_name);
        for name in [&mut self.file_name, &mut self.crypt_name] {
            if let Some(last) = name.last_mut() {
                *last = 0;
            }
        }
        self.measure()
    }
}

/// Fails if `file`, or what is behind it as a loop device, is `device`, or a loop device without a file.
fn check_chain(file: &BlockFile, device: &BlockDevice) -> Result<(), Errno> {
    let mut next = file.device().clone();
    for _ in 0..=MAX_DEPTH {
        if next.number() == device.number() {
            return Err(Errno::EBADF);
        }
        let Some(disk) = next.loop_disk() else { return Ok(()) };
        let binding = disk.binding().map_err(|_| Errno::EINVAL)?;
        match binding.backing.downcast::<BlockFile>() {
            Some(file) => next = file.device().clone(),
            None => return Ok(()),
        }
    }
    Err(Errno::EINVAL)
}

impl LoopDisk {
    /// Loop device `index`, without a file.
    pub(super) fn new(index: u32) -> Arc<Self> {
        Arc::new(Self { index, state: Mutex::new(State::Unbound) })
    }

    /// Whether there is a file, or there was until a moment ago.
    pub(super) fn is_bound(&self) -> bool {
        !matches!(*self.state.lock(), State::Unbound)
    }

    /// The file behind it.
    fn binding(&self) -> Result<Binding, Errno> {
        match &*self.state.lock() {
            State::Bound(binding) => Ok(binding.clone()),
            State::Unbound | State::RunDown(_) => Err(Errno::ENXIO),
        }
    }

    /// Puts a file behind it.
    ///
    /// # Errors
    /// EBUSY: there is one already.
    fn bind(&self, binding: Binding) -> Result<(), Errno> {
        let mut state = self.state.lock();
        match *state {
            State::Unbound => {
                *state = State::Bound(binding);
                Ok(())
            }
            State::Bound(_) | State::RunDown(_) => Err(Errno::EBUSY),
        }
    }

    /// Changes how the file is shown.
    ///
    /// # Errors
    /// ENXIO: there is none; those of `change`, and then nothing has changed.
    fn change(&self, change: impl FnOnce(&mut Binding) -> Result<(), Errno>) -> Result<(), Errno> {
        let mut state = self.state.lock();
        let State::Bound(binding) = &mut *state else { return Err(Errno::ENXIO) };
        let mut new = binding.clone();
        change(&mut new)?;
        // The old one has the same file, or is dropped outside of the lock.
        let old = std::mem::replace(binding, new);
        drop(state);
        drop(old);
        Ok(())
    }

    /// Lets go of the file: now that nobody but the caller has the device open, or with the last close (LOOP_CLR_FD).
    ///
    /// # Errors
    /// ENXIO: there is none.
    fn clear(&self, is_shared: bool) -> Result<(), Errno> {
        let mut state = self.state.lock();
        let State::Bound(binding) = &mut *state else { return Err(Errno::ENXIO) };
        binding.flags |= LoopFlags::AUTOCLEAR;
        if !is_shared {
            let backing = binding.backing.clone();
            *state = State::RunDown(backing);
        }
        Ok(())
    }
}

impl Disk for LoopDisk {
    fn size_bytes(&self) -> u64 {
        match &*self.state.lock() {
            State::Bound(binding) => binding.size_bytes,
            State::Unbound | State::RunDown(_) => 0,
        }
    }

    fn logical_block_bytes(&self) -> u32 {
        match &*self.state.lock() {
            State::Bound(binding) => binding.block_bytes,
            State::Unbound | State::RunDown(_) => SECTOR_BYTES as u32,
        }
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        let binding = self.binding()?;
        binding.backing.file().read_at(buffer, binding.offset.saturating_add(offset))
    }

    fn write_at(&self, buffer: &[u8], offset: u64) -> Result<usize, Errno> {
        let binding = self.binding()?;
        binding.backing.file().write_at(buffer, binding.offset.saturating_add(offset))
    }

    fn sync(&self) -> Result<(), Errno> {
        match self.binding() {
            Ok(binding) => binding.backing.file().sync(),
            Err(_) => Ok(()),
        }
    }

    fn discard(&self, bytes: Range<u64>) -> Result<(), Errno> {
        let binding = self.binding()?;
        let start = binding.offset.saturating_add(bytes.start);
        let len = bytes.end.saturating_sub(bytes.start);
        let file = binding.backing.file();
        match file.punch_hole(start, len) {
            Err(Errno::EOPNOTSUPP | Errno::ENODEV) if len <= CLEAR_LEN as u64 => {
                let zeroes = vec![0; CLEAR_LEN.min(usize::try_from(len).unwrap_or(CLEAR_LEN))];
                file.write_at(&zeroes, start).map(drop)
            }
            result => result,
        }
    }

    fn is_read_only(&self) -> bool {
        matches!(&*self.state.lock(), State::Bound(binding) if binding.flags.contains(LoopFlags::READ_ONLY))
    }

    fn has_partitions(&self) -> bool {
        matches!(&*self.state.lock(), State::Bound(binding) if binding.flags.contains(LoopFlags::PARTSCAN))
    }

    fn depth(&self) -> usize {
        match &*self.state.lock() {
            State::Bound(binding) => binding.depth,
            State::Unbound | State::RunDown(_) => 0,
        }
    }

    fn released(&self) {
        let mut state = self.state.lock();
        let goes = match &*state {
            State::Bound(binding) => binding.flags.contains(LoopFlags::AUTOCLEAR),
            State::RunDown(_) => true,
            State::Unbound => false,
        };
        if goes {
            let old = std::mem::replace(&mut *state, State::Unbound);
            drop(state);
            // Outside of the lock: it may be the last reference to the file.
            drop(old);
        }
    }

    fn as_loop(&self) -> Option<&LoopDisk> {
        Some(self)
    }
}
