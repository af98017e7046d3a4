//! Process accounting (`man 2 acct`, `man 5 acct`): a record of each process that ends, for each PID namespace that wants them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::{ExitStatus, PidNamespace, Task};
use crate::fs::FileDescription;
use crate::time::SystemClock;

/// Bytes of `struct acct_v3`.
const RECORD_BYTES: usize = 64;
/// `ACCT_VERSION` of such a record, in the order of bytes of this machine.
const VERSION: u8 = 3;
/// Ticks a second of the times in a record (`AHZ`).
const TICKS: u128 = 100;
/// Bytes of a name.
const COMM_BYTES: usize = 16;
/// It dumped core; a signal ended it.
const ACORE: u8 = 0x08;
const AXSIG: u8 = 0x10;

/// The file that a PID namespace's records go to.
#[derive(Default)]
pub(super) struct Accounting(Mutex<Option<Arc<FileDescription>>>);

impl fmt::Debug for Accounting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Accounting")
    }
}

impl Task {
    /// Tells whoever wants to know that the process ends, if all of its tasks have begun to: `status` is this one's.
    pub(super) fn account(&self, status: ExitStatus) {
        let status = {
            let mut state = self.group.state.lock();
            if state.active_tasks > 0 || std::mem::replace(&mut state.is_accounted, true) {
                return;
            }
            state.exit.unwrap_or(status)
        };
        let mut namespace = Some(self.group.pid_namespace().clone());
        while let Some(current) = namespace {
            if let Some(file) = current.accounting() {
                let record = self.record(&current, status);
                // Nobody is there who could be told that there is no room.
                let _ = file.file().append(&record);
            }
            namespace = current.outer();
        }
    }

    /// `struct acct_v3`, field by field.
    fn record(&self, namespace: &PidNamespace, status: ExitStatus) -> [u8; RECORD_BYTES] {
        let kernel = &self.kernel;
        let (credentials, tasks) = (self.credentials(), kernel.tasks());
        let users = &credentials.user_namespace;
        let mut usage = self.group.state.lock().usage;
        usage += self.own_usage();
        let elapsed = kernel.timekeeper().monotonic().saturating_duration_since(self.start_time);
        let started = kernel.timekeeper().now(SystemClock::Realtime).saturating_sub(elapsed);
        let (is_signalled, has_dumped) = match status {
            ExitStatus::Exited(_) => (false, false),
            ExitStatus::Signaled { has_dumped_core, .. } => (true, has_dumped_core),
        };
        let flags = if is_signalled { AXSIG } else { 0 } | if has_dumped { ACORE } else { 0 };
        let seconds = u32::try_from(started.as_secs()).unwrap_or(u32::MAX);
        let words = [
            status.wait_status().cast_unsigned(),
            users.from_kernel_uid(credentials.real_uid).0,
            users.from_kernel_gid(credentials.real_gid).0,
            self.group.identity().number_in(namespace.serial()).cast_unsigned(),
            tasks.parent_number_in(&self.group, namespace).0.cast_unsigned(),
            seconds,
            float_bits(ticks(elapsed)),
        ];
        let bytes = usage.io.read_bytes.saturating_add(usage.io.written_bytes);
        let numbers = [
            ticks(usage.user_time),
            ticks(usage.system_time),
            usage.max_resident_kib,
            bytes,
            0,
            usage.minor_faults,
            0,
            0,
        ];
        let mut record = vec![flags, VERSION, 0, 0];
        words.iter().for_each(|word| record.extend(word.to_ne_bytes()));
        numbers.iter().for_each(|number| record.extend(compressed(*number).to_ne_bytes()));
        record.extend(self.name().iter().take(COMM_BYTES - 1));
        record.resize(RECORD_BYTES, 0);
        record.try_into().unwrap_or([0; RECORD_BYTES])
    }
}

fn ticks(time: Duration) -> u64 {
    u64::try_from(time.as_nanos() * TICKS / 1_000_000_000).unwrap_or(u64::MAX)
}

/// `comp_t`: thirteen bits, times a power of eight that the three bits before them tell.
fn compressed(mut value: u64) -> u16 {
    const MANTISSA_BITS: u32 = 13;
    let (mut exponent, mut is_rounded_up) = (0u16, false);
    while value >> MANTISSA_BITS != 0 {
        is_rounded_up = value & 4 != 0;
        value >>= 3;
        exponent += 1;
    }
    value += u64::from(is_rounded_up);
    if value >> MANTISSA_BITS != 0 {
        value >>= 3;
        exponent += 1;
    }
    if exponent > 7 {
        return u16::MAX;
    }
    exponent << MANTISSA_BITS | u16::try_from(value).unwrap_or(u16::MAX)
}

/// The bits of the float next below `value`.
fn float_bits(value: u64) -> u32 {
    const MANTISSA_BITS: u32 = 23;
    const BIAS: u32 = 127;
    if value == 0 {
        return 0;
    }
    let exponent = value.ilog2();
    let aligned = if exponent > MANTISSA_BITS {
        value >> (exponent - MANTISSA_BITS)
    } else {
        value << (MANTISSA_BITS - exponent)
    };
    let mantissa = u32::try_from(aligned & ((1 << MANTISSA_BITS) - 1)).unwrap_or(0);
    (BIAS + exponent) << MANTISSA_BITS | mantissa
}

impl PidNamespace {
    /// Where a record of each process that ends goes.
    pub fn accounting(&self) -> Option<Arc<FileDescription>> {
        self.accounting.0.lock().clone()
    }

    /// Has the records go to `file`, or nowhere. Returns where they went.
    pub fn set_accounting(&self, file: Option<Arc<FileDescription>>) -> Option<Arc<FileDescription>> {
        std::mem::replace(&mut self.accounting.0.lock(), file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_numbers_stand_for_themselves_and_large_ones_are_rounded() {
        assert_eq!([0, 1, 8191].map(compressed), [0, 1, 8191]);
        assert_eq!(compressed(8192), 1 << 13 | 1024);
        assert_eq!(compressed(8196), 1 << 13 | 1025);
        assert_eq!(compressed(u64::MAX), u16::MAX);
    }

    #[test]
    fn floats_are_those_of_the_machine() {
        for value in [0u16, 1, 2, 3, 100, 65535] {
            assert_eq!(float_bits(value.into()), f32::from(value).to_bits());
        }
        assert_eq!(float_bits(1 << 40), (2f32).powi(40).to_bits());
    }
}
