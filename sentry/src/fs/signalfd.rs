//! signalfd(2): pending signals as something to read.
//!
//! Signals live in another room: a [`PendingSignals`] reaches those of whoever reads.

use std::any::Any;
use std::sync::Arc;

use parking_lot::Mutex;

use super::anonymous::AnonymousInode;
use super::{Caller, File, LongText, Metadata, OpenFiles, Splicing, TransferUnit};
use crate::Errno;
use crate::abi::SignalfdSiginfo;
use crate::wait::{Events, WaitQueue};

/// Bytes of `struct signalfd_siginfo`.
pub const SIGNAL_RECORD_BYTES: usize = size_of::<SignalfdSiginfo>();
const _: () = assert!(SIGNAL_RECORD_BYTES == 128);

/// The pending signals of the process that reads a signalfd.
pub trait PendingSignals: Send + Sync {
    /// Takes the next pending signal in `mask` (bit N - 1 for signal N) off its queue, as a `struct signalfd_siginfo`.
    fn take(&self, mask: u64) -> Option<[u8; SIGNAL_RECORD_BYTES]>;
    /// Whether a signal in `mask` is pending.
    fn is_pending(&self, mask: u64) -> bool;
    /// Where new signals are announced, as [`Events::IN`].
    fn wait_queue(&self) -> &WaitQueue;
}

/// An open signalfd.
pub struct SignalFile {
    mask: Mutex<u64>,
    /// Whose signals: those of the process that made the descriptor, and those of its last reader if that is another.
    source: Arc<dyn PendingSignals>,
    reader: Mutex<Option<Arc<dyn PendingSignals>>>,
    inode: AnonymousInode,
}

/// SIGKILL and SIGSTOP are silently left out (`man 2 signalfd`).
const UNMASKABLE: u64 = 1 << (9 - 1) | 1 << (19 - 1);

impl SignalFile {
    /// A file that reads the signals of `mask` from `source`.
    pub fn new(mask: u64, source: Arc<dyn PendingSignals>, files: &OpenFiles) -> Arc<Self> {
        let mask = Mutex::new(mask & !UNMASKABLE);
        Arc::new(Self { mask, source, reader: Mutex::default(), inode: AnonymousInode::new(files) })
    }

    /// Replaces the mask; those who wait look again.
    pub fn set_mask(&self, mask: u64) {
        *self.mask.lock() = mask & !UNMASKABLE;
        self.source.wait_queue().notify(Events::IN);
    }
}

impl File for SignalFile {
    /// A process reads its own signals, whoever made the descriptor.
    fn prepare_io(&self, caller: &dyn Caller, _is_write: bool) -> Result<(), Errno> {
        *self.reader.lock() = caller.pending_signals();
        Ok(())
    }

    fn read_unit(&self) -> TransferUnit {
        TransferUnit::Bytes(SIGNAL_RECORD_BYTES)
    }

    fn read_at(&self, buffer: &mut [u8], _offset: u64) -> Result<usize, Errno> {
        if buffer.len() < SIGNAL_RECORD_BYTES {
            return Err(Errno::EINVAL);
        }
        let mask = *self.mask.lock();
        let source = self.reader.lock().clone().unwrap_or_else(|| self.source.clone());
        let mut read = 0;
        for place in buffer.chunks_exact_mut(SIGNAL_RECORD_BYTES) {
            let Some(record) = source.take(mask) else { break };
            place.copy_from_slice(&record);
            read += SIGNAL_RECORD_BYTES;
        }
        if read == 0 { Err(Errno::EAGAIN) } else { Ok(read) }
    }

    fn has_write(&self) -> bool {
        false
    }

    fn has_single_position(&self) -> bool {
        true
    }

    fn readiness(&self) -> Events {
        let mask = *self.mask.lock();
        let reader = self.reader.lock().clone();
        let is_ready = self.source.is_pending(mask) || reader.is_some_and(|reader| reader.is_pending(mask));
        if is_ready { Events::IN } else { Events::empty() }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(self.source.wait_queue())
    }

    fn metadata(&self) -> Result<Metadata, Errno> {
        Ok(self.inode.metadata())
    }

    fn anonymous_name(&self) -> String {
        "anon_inode:[signalfd]".into()
    }

    fn descriptor_info(&self, text: &mut LongText) -> Result<(), Errno> {
        let mask = *self.mask.lock();
        text.push(format!("sigmask:\t{mask:016x}\n"))
    }

    fn splicing(&self) -> Splicing {
        Splicing::empty()
    }

    fn offers_nowait(&self, _is_write: bool) -> bool {
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests;
