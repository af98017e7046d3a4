//! eventfd(2): a counter to wait on.

use std::any::Any;
use std::sync::Arc;

use parking_lot::Mutex;

use super::anonymous::AnonymousInode;
use super::{File, LongText, Metadata, OpenFiles, Splicing, TransferUnit};
use crate::Errno;
use crate::wait::{Events, WaitQueue};

/// The largest value of a counter (`man 2 eventfd`).
const MAX_VALUE: u64 = u64::MAX - 1;

/// An event counter.
pub struct EventFile {
    count: Mutex<u64>,
    is_semaphore: bool,
    queue: WaitQueue,
    inode: AnonymousInode,
}

impl EventFile {
    /// A counter that starts at `count`; reads of a semaphore take one at a time.
    pub fn new(count: u32, is_semaphore: bool, files: &OpenFiles) -> Arc<Self> {
        Arc::new(Self {
            count: Mutex::new(count.into()),
            is_semaphore,
            queue: WaitQueue::default(),
            inode: AnonymousInode::new(files),
        })
    }
}

impl File for EventFile {
    fn takes_whole(&self, _len_bytes: u64) -> bool {
        true
    }

    fn read_unit(&self) -> TransferUnit {
        TransferUnit::Bytes(size_of::<u64>())
    }

    fn read_at(&self, buffer: &mut [u8], _offset: u64) -> Result<usize, Errno> {
        let place = buffer.first_chunk_mut::<8>().ok_or(Errno::EINVAL)?;
        let mut count = self.count.lock();
        if *count == 0 {
            return Err(Errno::EAGAIN);
        }
        let taken = if self.is_semaphore { 1 } else { *count };
        *count -= taken;
        drop(count);
        *place = taken.to_ne_bytes();
        self.queue.notify(Events::OUT | Events::WRNORM);
        Ok(place.len())
    }

    fn write_at(&self, buffer: &[u8], _offset: u64) -> Result<usize, Errno> {
        let added = u64::from_ne_bytes(buffer.try_into().map_err(|_| Errno::EINVAL)?);
        if added == u64::MAX {
            return Err(Errno::EINVAL);
        }
        let mut count = self.count.lock();
        let sum = count.checked_add(added).filter(|sum| *sum <= MAX_VALUE).ok_or(Errno::EAGAIN)?;
        *count = sum;
        drop(count);
        self.queue.notify(Events::IN | Events::RDNORM);
        Ok(8)
    }

    fn has_single_position(&self) -> bool {
        true
    }

    fn writes_buffers_singly(&self) -> bool {
        true
    }

    fn readiness(&self) -> Events {
        let count = *self.count.lock();
        let mut events = Events::empty();
        if count > 0 {
            events |= Events::IN;
        }
        if count < MAX_VALUE {
            events |= Events::OUT;
        }
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.queue)
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(self.inode.metadata())
    }

    fn anonymous_name(&self) -> String {
        "anon_inode:[eventfd]".into()
    }

    fn descriptor_info(&self, text: &mut LongText) -> Result<(), Errno> {
        let count = *self.count.lock();
        let (id, is_semaphore) = (self.inode.ino(), u8::from(self.is_semaphore));
        text.push(format!(
            "eventfd-count: {count:16x}\neventfd-id: {id}\neventfd-semaphore: {is_semaphore}\n"
        ))
    }

    fn splicing(&self) -> Splicing {
        Splicing::empty()
    }

    fn check_write_len(&self, len_bytes: u64) -> Result<(), Errno> {
        if len_bytes == size_of::<u64>() as u64 { Ok(()) } else { Err(Errno::EINVAL) }
    }

    fn offers_nowait(&self, is_write: bool) -> bool {
        !is_write
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests;
