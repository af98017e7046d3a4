//! How the clock is steered (`man 2 adjtimex`): kept and told. The host's clock, which this one follows, is steered by the host.

use crate::Errno;

/// `ADJ_*`: what is to be changed.
mod mode {
    pub(super) const OFFSET: u32 = 0x0001;
    pub(super) const FREQUENCY: u32 = 0x0002;
    pub(super) const MAXERROR: u32 = 0x0004;
    pub(super) const ESTERROR: u32 = 0x0008;
    pub(super) const STATUS: u32 = 0x0010;
    pub(super) const TIMECONST: u32 = 0x0020;
    pub(super) const TAI: u32 = 0x0080;
    pub(super) const MICRO: u32 = 0x1000;
    pub(super) const NANO: u32 = 0x2000;
    pub(super) const TICK: u32 = 0x4000;
    pub(super) const ADJTIME: u32 = 0x8000;
    pub(super) const OFFSET_SINGLESHOT: u32 = 0x8001;
    pub(super) const READ_ONLY: u32 = 0x2000;
}

/// `ADJ_SETOFFSET`.
const SETOFFSET: u32 = 0x0100;
/// `ADJ_NANO`.
const NANO: u32 = mode::NANO;

/// `STA_*`.
const PLL: i32 = 0x0001;
const UNSYNC: i32 = 0x0040;
const CLOCKERR: i32 = 0x1000;
const STATUS_NANO: i32 = 0x2000;
const READ_ONLY_STATUS: i32 = 0xff00;

/// Parts in a million, as `freq` counts them.
const MAX_FREQUENCY: i64 = 500 << 16;
/// Beyond it a frequency could not be reckoned with.
const LARGEST_FREQUENCY: i64 = i64::MAX / (1000 << 16);
const MAX_ERROR_US: i64 = 16_000_000;
const MAX_CONSTANT: i64 = 10;
const MAX_TAI: i64 = 100_000;
const MAX_OFFSET_US: i64 = 500_000;
/// A tick at a hundred a second, and how far it may be off.
const TICK_US: i64 = 10_000;
const TICK_RANGE: std::ops::RangeInclusive<i64> = 9_000..=11_000;

/// What steers the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Adjustment {
    pub(crate) offset: i64,
    pub(crate) frequency: i64,
    pub(crate) max_error: i64,
    pub(crate) estimated_error: i64,
    pub(crate) status: i32,
    pub(crate) constant: i64,
    pub(crate) tick: i64,
    pub(crate) tai: i32,
    /// What adjtime(3) has asked for.
    pub(crate) single: i64,
}

impl Default for Adjustment {
    /// Of a clock that nobody synchronises.
    fn default() -> Self {
        Self {
            offset: 0,
            frequency: 0,
            max_error: MAX_ERROR_US,
            estimated_error: MAX_ERROR_US,
            status: UNSYNC,
            constant: 2,
            tick: TICK_US,
            tai: 0,
            single: 0,
        }
    }
}

/// What adjtimex(2) is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AdjustmentRequest {
    pub(crate) modes: u32,
    pub(crate) values: Adjustment,
    /// Seconds, and micro- or nanoseconds, by which the clock is to be set forward.
    pub(crate) step: [i64; 2],
}

impl AdjustmentRequest {
    /// Fails unless it can be done, by one who `may_set` the clock or may not.
    ///
    /// # Errors
    /// EPERM, EINVAL.
    pub(crate) fn check(&self, may_set: bool) -> Result<(), Errno> {
        let has = |mode| self.modes & mode != 0;
        if has(mode::ADJTIME) {
            if self.modes & mode::OFFSET_SINGLESHOT != mode::OFFSET_SINGLESHOT {
                return Err(Errno::EINVAL);
            }
            if !has(mode::READ_ONLY) && !may_set {
                return Err(Errno::EPERM);
            }
        } else {
            if self.modes != 0 && !may_set {
                return Err(Errno::EPERM);
            }
            if has(mode::TICK) && !TICK_RANGE.contains(&self.values.tick) {
                return Err(Errno::EINVAL);
            }
        }
        if has(SETOFFSET) {
            if !may_set {
                return Err(Errno::EPERM);
            }
            let limit = if has(NANO) { 1_000_000_000 } else { 1_000_000 };
            if !(0..limit).contains(&self.step[1]) {
                return Err(Errno::EINVAL);
            }
        }
        let frequency = -LARGEST_FREQUENCY..=LARGEST_FREQUENCY;
        if has(mode::FREQUENCY) && !frequency.contains(&self.values.frequency) {
            return Err(Errno::EINVAL);
        }
        Ok(())
    }

    /// By how many nanoseconds the clock is to be set forward, if it is.
    pub(crate) fn step_ns(&self) -> Option<i64> {
        let unit = if self.modes & NANO != 0 { 1 } else { 1_000 };
        let [seconds, rest] = self.step;
        (self.modes & SETOFFSET != 0)
            .then(|| seconds.saturating_mul(1_000_000_000).saturating_add(rest * unit))
    }
}

impl Adjustment {
    /// Does what `request` asks for. Returns the offset to tell, where that is not the one that is kept.
    pub(crate) fn change(&mut self, request: &AdjustmentRequest) -> Option<i64> {
        let has = |mode| request.modes & mode != 0;
        let values = &request.values;
        if has(mode::ADJTIME) {
            let before = self.single;
            if !has(mode::READ_ONLY) {
                self.single = values.offset;
            }
            return Some(before);
        }
        if has(mode::STATUS) {
            self.status = self.status & READ_ONLY_STATUS | values.status & !READ_ONLY_STATUS;
        }
        if has(mode::NANO) {
            self.status |= STATUS_NANO;
        }
        if has(mode::MICRO) {
            self.status &= !STATUS_NANO;
        }
        let is_nano = self.status & STATUS_NANO != 0;
        if has(mode::FREQUENCY) {
            self.frequency = values.frequency.clamp(-MAX_FREQUENCY, MAX_FREQUENCY);
        }
        if has(mode::MAXERROR) {
            self.max_error = values.max_error.clamp(0, MAX_ERROR_US);
        }
        if has(mode::ESTERROR) {
            self.estimated_error = values.estimated_error.clamp(0, MAX_ERROR_US);
        }
        if has(mode::TIMECONST) {
            let constant = values.constant.clamp(0, MAX_CONSTANT) + if is_nano { 0 } else { 4 };
            self.constant = constant.clamp(0, MAX_CONSTANT);
        }
        if has(mode::TAI) && (0..=MAX_TAI).contains(&values.constant) {
            self.tai = values.constant as i32;
        }
        if has(mode::OFFSET) && self.status & PLL != 0 {
            let limit = if is_nano { MAX_OFFSET_US * 1000 } else { MAX_OFFSET_US };
            self.offset = values.offset.clamp(-limit, limit);
        }
        if has(mode::TICK) {
            self.tick = values.tick;
        }
        None
    }

    /// What adjtimex(2) returns: `TIME_OK` or `TIME_ERROR`.
    pub(crate) fn state(&self) -> u32 {
        const TIME_OK: u32 = 0;
        const TIME_ERROR: u32 = 5;
        if self.status & (UNSYNC | CLOCKERR) != 0 { TIME_ERROR } else { TIME_OK }
    }

    /// Whether times of day are told to the nanosecond.
    pub(crate) fn is_nano(&self) -> bool {
        self.status & STATUS_NANO != 0
    }

    /// The clock has been set: nobody has synchronised it since.
    pub(crate) fn clear(&mut self) {
        self.single = 0;
        self.offset = 0;
        self.status |= UNSYNC;
        self.max_error = MAX_ERROR_US;
        self.estimated_error = MAX_ERROR_US;
    }
}

#[cfg(test)]
mod tests;
