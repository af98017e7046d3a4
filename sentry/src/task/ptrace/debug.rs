//! A task's debug registers (SDM 3B 18.2), as `u_debugreg` of `struct user` has them.
//!
//! They stay when the tracer goes, and end with execve(2). A new task has none of its parent's breakpoints (Linux shows it
//! the parent's DR7, without effect; here it reads as zero).

use crate::Errno;
use crate::platform::VirtualAddress;

/// Breakpoints that there are.
const COUNT: usize = 4;
/// DR6: the bits that are always set.
const STATUS_FIXED: u64 = 0xffff_0ff0;
/// DR6.BS: a single step.
pub(super) const STEP: u64 = 1 << 14;

/// DR0 to DR3, DR6 and DR7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DebugRegisters {
    addresses: [u64; COUNT],
    status: u64,
    control: u64,
}

impl Default for DebugRegisters {
    fn default() -> Self {
        Self { addresses: [0; COUNT], status: STATUS_FIXED, control: 0 }
    }
}

/// What an enabled breakpoint is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Execute,
    Write,
    ReadOrWrite,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Breakpoint {
    index: usize,
    kind: Kind,
    address: u64,
    len_bytes: u64,
}

impl DebugRegisters {
    /// Register `number`, 0 to 7.
    pub(crate) fn get(&self, number: usize) -> u64 {
        match number {
            6 => self.status,
            7 => self.control,
            _ => self.addresses.get(number).copied().unwrap_or(0),
        }
    }

    /// Sets register `number`.
    ///
    /// # Errors
    /// EIO if there is no such register. EINVAL for an address outside of user memory; and if a breakpoint that is enabled
    /// is at an address that its length does not divide, watches I/O, or is longer than an instruction's, which is 1.
    pub(crate) fn set(&mut self, number: usize, value: u64) -> Result<(), Errno> {
        let mut new = *self;
        match number {
            6 => new.status = value,
            7 => new.control = value,
            _ => {
                *new.addresses.get_mut(number).ok_or(Errno::EIO)? = value;
                if value >= VirtualAddress::USER_END.0 {
                    return Err(Errno::EINVAL);
                }
            }
        }
        for index in 0..COUNT {
            new.breakpoint(index)?;
        }
        *self = new;
        Ok(())
    }

    /// Notes in DR6 why the task is told of a debug exception.
    pub(super) fn set_status(&mut self, status: u64) {
        self.status = STATUS_FIXED | status;
    }

    /// Whether a breakpoint is enabled.
    pub(super) fn is_enabled(&self) -> bool {
        self.breakpoints().next().is_some()
    }

    /// Whether a breakpoint watches data.
    pub(super) fn is_watching_data(&self) -> bool {
        self.breakpoints().any(|breakpoint| breakpoint.kind != Kind::Execute)
    }

    /// The breakpoints at the instruction at `address`, as bits of DR6.
    pub(super) fn hits_by_execution(&self, address: u64) -> u64 {
        self.hits(|breakpoint| breakpoint.kind == Kind::Execute && breakpoint.address == address)
    }

    /// The breakpoints that an access to `len_bytes` at `address` hits, as bits of DR6.
    pub(super) fn hits_by_access(&self, address: u64, len_bytes: u64, is_write: bool) -> u64 {
        self.hits(|breakpoint| {
            let is_kind = match breakpoint.kind {
                Kind::Execute => false,
                Kind::Write => is_write,
                Kind::ReadOrWrite => true,
            };
            is_kind
                && address < breakpoint.address.saturating_add(breakpoint.len_bytes)
                && breakpoint.address < address.saturating_add(len_bytes)
        })
    }

    fn hits(&self, is_hit: impl Fn(&Breakpoint) -> bool) -> u64 {
        self.breakpoints().filter(is_hit).fold(0, |bits, breakpoint| bits | 1 << breakpoint.index)
    }

    /// The breakpoint `index`, if it is enabled.
    fn breakpoint(&self, index: usize) -> Result<Option<Breakpoint>, Errno> {
        if self.control >> (index * 2) & 3 == 0 {
            return Ok(None);
        }
        let bits = self.control >> (16 + index * 4) & 0xf;
        let kind = match bits & 3 {
            0 => Kind::Execute,
            1 => Kind::Write,
            2 => return Err(Errno::EINVAL),
            _ => Kind::ReadOrWrite,
        };
        let len_bytes = match bits >> 2 {
            0 => 1,
            1 => 2,
            2 => 8,
            _ => 4,
        };
        let address = self.addresses.get(index).copied().unwrap_or(0);
        if !address.is_multiple_of(len_bytes) || kind == Kind::Execute && len_bytes != 1 {
            return Err(Errno::EINVAL);
        }
        Ok(Some(Breakpoint { index, kind, address, len_bytes }))
    }

    fn breakpoints(&self) -> impl Iterator<Item = Breakpoint> {
        (0..COUNT).filter_map(|index| self.breakpoint(index).ok().flatten())
    }
}

#[cfg(test)]
mod tests;
