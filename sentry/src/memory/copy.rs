//! Copies between the sentry and user memory.
//!
//! A walk in software, with the lock held for reading: what is copied is what user code sees at that moment. What is
//! not in memory is faulted in with the lock released, and the walk goes on.

use std::ops::Range;

use vm_memory::VolatileSlice;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::allocator::zero;
use super::fault::{MAX_ATTEMPTS, Touch};
use super::frame::{Frame, PagePart};
use super::manager::{MemoryManager, State};
use crate::Errno;
use crate::platform::{Access, PAGE_SHIFT, PAGE_SIZE, VirtualAddress, VirtualRange, losses};

/// Bytes that are copied with the lock held once.
const PORTION_BYTES: usize = 1 << 20;

impl MemoryManager {
    /// Copies from user memory.
    ///
    /// # Errors
    /// EFAULT; what was copied before it is in `buffer`.
    pub fn read_bytes(&self, address: VirtualAddress, buffer: &mut [u8]) -> Result<(), Errno> {
        let len_bytes = buffer.len();
        whole(self.read_partial(address, buffer), len_bytes)
    }

    /// Copies to user memory.
    ///
    /// # Errors
    /// EFAULT; what fits before it has been copied.
    pub fn write_bytes(&self, address: VirtualAddress, bytes: &[u8]) -> Result<(), Errno> {
        whole(self.write_partial(address, bytes), bytes.len())
    }

    /// Copies from user memory up to the first byte that cannot be read, and returns how many bytes it copied.
    pub fn read_partial(&self, address: VirtualAddress, buffer: &mut [u8]) -> usize {
        self.read(address, buffer, &Touch::new(Access::READ))
    }

    /// Copies to user memory up to the first byte that cannot be written, and returns how many bytes it copied.
    pub fn write_partial(&self, address: VirtualAddress, bytes: &[u8]) -> usize {
        self.write(address, bytes, &Touch::new(Access::WRITE))
    }

    /// As [`Self::read_partial`], for another process: what is secret is not read.
    pub fn read_from_outside(&self, address: VirtualAddress, buffer: &mut [u8]) -> usize {
        self.read(address, buffer, &Touch { is_foreign: true, ..Touch::new(Access::READ) })
    }

    /// As [`Self::write_partial`], for another process: what is secret is not written.
    pub fn write_from_outside(&self, address: VirtualAddress, bytes: &[u8]) -> usize {
        self.write(address, bytes, &Touch { is_foreign: true, ..Touch::new(Access::WRITE) })
    }

    /// As [`Self::read_partial`], whatever the protection: for a debugger.
    pub fn read_forced(&self, address: VirtualAddress, buffer: &mut [u8]) -> usize {
        self.read(address, buffer, &Touch { is_forced: true, ..Touch::new(Access::READ) })
    }

    /// As [`Self::write_partial`], whatever the protection of private mappings: for a debugger. The file behind the
    /// mapping does not change.
    pub fn write_forced(&self, address: VirtualAddress, bytes: &[u8]) -> usize {
        self.write(address, bytes, &Touch { is_forced: true, ..Touch::new(Access::WRITE) })
    }

    /// Copies a structure from user memory.
    ///
    /// # Errors
    /// EFAULT.
    pub fn read_object<T: FromBytes + IntoBytes>(&self, address: VirtualAddress) -> Result<T, Errno> {
        let mut value = T::new_zeroed();
        self.read_bytes(address, value.as_mut_bytes())?;
        Ok(value)
    }

    /// Copies a structure to user memory.
    ///
    /// # Errors
    /// EFAULT.
    pub fn write_object(
        &self,
        address: VirtualAddress,
        value: &(impl IntoBytes + Immutable),
    ) -> Result<(), Errno> {
        self.write_bytes(address, value.as_bytes())
    }

    /// Copies `count` structures, which lie one after the other, from user memory. The caller bounds the count.
    ///
    /// # Errors
    /// EFAULT.
    pub fn read_objects<T: FromBytes + IntoBytes>(
        &self,
        address: VirtualAddress,
        count: usize,
    ) -> Result<Vec<T>, Errno> {
        let step = size_of::<T>() as u64;
        (0..count as u64)
            .map(|index| {
                let offset = index.checked_mul(step).ok_or(Errno::EFAULT)?;
                self.read_object(address.checked_add(offset).ok_or(Errno::EFAULT)?)
            })
            .collect()
    }

    /// Copies a string from user memory up to its NUL, which is not part of the result. With its NUL it may have
    /// `max_bytes`.
    ///
    /// # Errors
    /// EFAULT; ENAMETOOLONG if there is no NUL in time.
    pub fn read_c_string(&self, address: VirtualAddress, max_bytes: usize) -> Result<Vec<u8>, Errno> {
        let mut string = Vec::new();
        let mut next = address;
        while string.len() < max_bytes {
            // To the end of the page: what follows may not be readable, and need not be.
            let in_page = (PAGE_SIZE - next.page_offset()) as usize;
            let mut piece = [0; 256];
            let piece = &mut piece[..in_page.min(256).min(max_bytes - string.len())];
            self.read_bytes(next, piece)?;
            if let Some(end) = piece.iter().position(|&byte| byte == 0) {
                string.extend_from_slice(&piece[..end]);
                return Ok(string);
            }
            string.extend_from_slice(piece);
            next = next.checked_add(piece.len() as u64).ok_or(Errno::EFAULT)?;
        }
        Err(Errno::ENAMETOOLONG)
    }

    /// Fills user memory with zeroes.
    ///
    /// # Errors
    /// EFAULT.
    pub fn zero(&self, address: VirtualAddress, len_bytes: u64) -> Result<(), Errno> {
        let len_bytes = usize::try_from(len_bytes).map_err(|_| Errno::EFAULT)?;
        let done = self.walk(address, len_bytes, &Touch::new(Access::WRITE), |_, slice| zero(slice));
        whole(done, len_bytes)
    }

    /// Brings in the pages of a range, and finds out whether they can be written.
    ///
    /// # Errors
    /// EFAULT.
    pub fn check_writable(&self, address: VirtualAddress, len_bytes: usize) -> Result<(), Errno> {
        whole(self.writable_len(address, len_bytes), len_bytes)
    }

    /// Brings in the pages of a range up to the first byte that cannot be written, and returns how many bytes there are
    /// before it.
    pub fn writable_len(&self, address: VirtualAddress, len_bytes: usize) -> usize {
        self.walk(address, len_bytes, &Touch::new(Access::WRITE), |_, _| {})
    }

    /// Brings in the pages of a range, and finds out whether they can be read.
    ///
    /// # Errors
    /// EFAULT.
    pub fn check_readable(&self, address: VirtualAddress, len_bytes: usize) -> Result<(), Errno> {
        whole(self.walk(address, len_bytes, &Touch::new(Access::READ), |_, _| {}), len_bytes)
    }

    /// The page at `address` itself, whatever becomes of the mapping, and the part of it that begins there: up to `max_bytes`, or its
    /// end.
    ///
    /// # Errors
    /// EFAULT.
    pub fn page_part(&self, address: VirtualAddress, max_bytes: usize) -> Result<PagePart, Errno> {
        let touch = Touch { is_foreign: true, ..Touch::new(Access::READ) };
        let page = address.0 >> PAGE_SHIFT;
        for _ in 0..MAX_ATTEMPTS {
            if let Some(frame) = self.resident_frame(page, &touch) {
                let start = (address.0 & (PAGE_SIZE - 1)) as usize;
                let end = start.saturating_add(max_bytes).min(PAGE_SIZE as usize);
                return Ok(PagePart { frame, range: start..end });
            }
            self.fault_in(page, &touch).map_err(|_| Errno::EFAULT)?;
        }
        self.note_shortage();
        Err(Errno::EFAULT)
    }

    fn resident_frame(&self, page: u64, touch: &Touch) -> Option<Frame> {
        let state = self.state().read();
        state.mappings.find(page).filter(|mapping| touch.is_allowed(mapping))?;
        let number = state.pages.get(page)?.number();
        self.frames().retain(number);
        Some(Frame::adopt(self.frames().clone(), number))
    }

    fn read(&self, address: VirtualAddress, buffer: &mut [u8], touch: &Touch) -> usize {
        self.walk(address, buffer.len(), touch, |done, slice| {
            if let Some(target) = buffer.get_mut(done..done + slice.len()) {
                slice.copy_to(target);
            }
        })
    }

    fn write(&self, address: VirtualAddress, bytes: &[u8], touch: &Touch) -> usize {
        self.walk(address, bytes.len(), touch, |done, slice| {
            if let Some(source) = bytes.get(done..done + slice.len()) {
                slice.copy_from(source);
            }
        })
    }

    /// Shows the range to `visit` piece by piece, each with the number of bytes before it, and returns how many
    /// bytes there were until something could not be touched.
    pub(super) fn walk(
        &self,
        address: VirtualAddress,
        len_bytes: usize,
        touch: &Touch,
        mut visit: impl FnMut(usize, &VolatileSlice<'_>),
    ) -> usize {
        let room = VirtualAddress::USER_END.0.saturating_sub(address.0);
        let len_bytes = len_bytes.min(usize::try_from(room).unwrap_or(usize::MAX));
        let (mut done, mut attempts) = (0, 0);
        while done < len_bytes {
            let start = address.0 + done as u64;
            let bytes = start..start + (len_bytes - done).min(PORTION_BYTES) as u64;
            let losses_before = losses();
            let seen = self.walk_resident(bytes, touch, &mut |offset, slice| visit(done + offset, slice));
            if losses() != losses_before && self.cut_off_lost() {
                // What was seen was not there.
                break;
            }
            done += seen;
            attempts = if seen > 0 { 0 } else { attempts + 1 };
            if seen == 0 && attempts > MAX_ATTEMPTS {
                // Gone again each time: memory is that short.
                self.note_shortage();
                break;
            }
            if seen == 0 && self.fault_in(start >> PAGE_SHIFT, touch).is_err() {
                break;
            }
        }
        done
    }

    fn walk_resident(
        &self,
        bytes: Range<u64>,
        touch: &Touch,
        visit: &mut dyn FnMut(usize, &VolatileSlice<'_>),
    ) -> usize {
        let state = self.state().read();
        let mut next = bytes.start;
        while next < bytes.end {
            let page = next >> PAGE_SHIFT;
            let Some(mapping) = state.mappings.find(page) else { break };
            let end = bytes.end.min(mapping.pages.end << PAGE_SHIFT);
            if !touch.is_allowed(mapping) {
                break;
            }
            let before = next;
            next = state.walk_mapping(self, mapping, next..end, touch, &mut |start, slice| {
                visit((start - bytes.start) as usize, slice);
            });
            if next < end || next == before {
                break;
            }
        }
        (next - bytes.start) as usize
    }
}

impl State {
    /// Shows `bytes` of `mapping` to `visit`, and returns the first address that is not ready for `touch`.
    fn walk_mapping(
        &self,
        manager: &MemoryManager,
        mapping: &super::mapping::Mapping,
        bytes: Range<u64>,
        touch: &Touch,
        visit: &mut dyn FnMut(u64, &VolatileSlice<'_>),
    ) -> u64 {
        let mut next = bytes.start;
        let pages = bytes.start >> PAGE_SHIFT..bytes.end.div_ceil(PAGE_SIZE);
        for (page, entry) in self.pages.range(pages) {
            if page != next >> PAGE_SHIFT || !touch.is_served_by(mapping, entry) {
                break;
            }
            let within = (next & (PAGE_SIZE - 1)) as usize;
            let count = (PAGE_SIZE as usize - within).min((bytes.end - next) as usize);
            let frame = manager.frames().slice(entry.number(), PAGE_SIZE as usize);
            if let Ok(piece) = frame.subslice(within, count) {
                visit(next, &piece);
            }
            next += count as u64;
        }
        next
    }
}

fn whole(done: usize, wanted: usize) -> Result<(), Errno> {
    if done == wanted { Ok(()) } else { Err(Errno::EFAULT) }
}

/// The range, if it can be user memory at all (Linux's `access_ok`).
///
/// # Errors
/// EFAULT.
pub(super) fn user_range(address: VirtualAddress, len_bytes: u64) -> Result<VirtualRange, Errno> {
    VirtualRange::new(address, len_bytes).ok_or(Errno::EFAULT)
}
