use super::*;

#[derive(Default)]
struct Queue {
    pending: Mutex<Vec<u8>>,
    queue: WaitQueue,
}

impl PendingSignals for Queue {
    fn take(&self, mask: u64) -> Option<[u8; SIGNAL_RECORD_BYTES]> {
        let mut pending = self.pending.lock();
        let index = pending.iter().position(|signal| mask & 1 << (signal - 1) != 0)?;
        let mut record = [0; SIGNAL_RECORD_BYTES];
        record[0] = pending.remove(index);
        Some(record)
    }

    fn is_pending(&self, mask: u64) -> bool {
        self.pending.lock().iter().any(|signal| mask & 1 << (signal - 1) != 0)
    }

    fn wait_queue(&self) -> &WaitQueue {
        &self.queue
    }
}

#[test]
fn a_read_takes_as_many_masked_signals_as_fit() {
    let source = Arc::new(Queue::default());
    source.pending.lock().extend([2, 15, 10, 12]);
    let file = SignalFile::new(1 << 14 | 1 << 9 | 1 << 11, source.clone(), &OpenFiles::default());
    let mut buffer = [0; 2 * SIGNAL_RECORD_BYTES + 5];
    assert_eq!(file.read_at(&mut buffer, 0), Ok(2 * SIGNAL_RECORD_BYTES));
    assert_eq!((buffer[0], buffer[SIGNAL_RECORD_BYTES]), (15, 10));
    assert!(file.readiness().contains(Events::IN));
    file.set_mask(u64::MAX);
    assert_eq!(file.read_at(&mut buffer, 0), Ok(2 * SIGNAL_RECORD_BYTES));
    assert_eq!(file.read_at(&mut buffer, 0), Err(Errno::EAGAIN));
    assert_eq!(file.read_at(&mut [0; 127], 0), Err(Errno::EINVAL));
}
