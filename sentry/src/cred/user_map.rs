//! How a user namespace numbers users, groups and projects (`man 7 user_namespaces`, "Defining user and group ID
//! mappings").
//!
//! Outside of this file numbers are the initial namespace's, "kernel" numbers. A map turns ranges of a namespace's own
//! numbers into those; what it leaves out has no number in the namespace, and shows as [`OVERFLOW_ID`].

use crate::Errno;

/// What a number is shown as that a namespace does not map (/proc/sys/kernel/overflowuid).
pub(super) const OVERFLOW_ID: u32 = 65_534;
/// The number that stands for none.
const NO_ID: u32 = u32::MAX;
/// Most lines that a map may have.
const MAX_EXTENTS: usize = 340;
/// Maps of more lines than this are shown sorted.
const MAX_UNSORTED: usize = 5;

/// A range of numbers, `count` long: those from `inside` on are those from `outside` on in another namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// The first in the namespace that the map is of.
    pub(super) inside: u32,
    /// The first outside.
    pub(super) outside: u32,
    /// How many.
    pub(super) count: u32,
}

impl Extent {
    /// The range's counterpart of `id`, from numbers that begin at `from` to those that begin at `to`.
    fn shift(self, id: u32, from: u32, to: u32) -> Option<u32> {
        let place = id.checked_sub(from).filter(|place| *place < self.count)?;
        to.checked_add(place)
    }

    fn overlaps(self, other: Self) -> bool {
        let meets = |a: u32, b: u32| {
            let (a, b) = (u64::from(a), u64::from(b));
            a < b + u64::from(other.count) && b < a + u64::from(self.count)
        };
        meets(self.inside, other.inside) || meets(self.outside, other.outside)
    }
}

/// A map whose outside numbers are the kernel's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IdMap {
    /// As they are shown.
    extents: Vec<Extent>,
    by_inside: Vec<Extent>,
    by_outside: Vec<Extent>,
}

impl IdMap {
    /// That of the initial namespace.
    pub(super) fn identity() -> Self {
        Self::new(vec![Extent { inside: 0, outside: 0, count: u32::MAX }])
    }

    fn new(mut extents: Vec<Extent>) -> Self {
        let sorted = |key: fn(&Extent) -> u32| {
            let mut sorted = extents.clone();
            sorted.sort_unstable_by_key(key);
            sorted
        };
        let (by_inside, by_outside) = (sorted(|extent| extent.inside), sorted(|extent| extent.outside));
        if extents.len() > MAX_UNSORTED {
            extents.clone_from(&by_inside);
        }
        Self { extents, by_inside, by_outside }
    }

    /// The lines.
    pub(super) fn extents(&self) -> &[Extent] {
        &self.extents
    }

    /// The kernel's number for the namespace's `id`.
    pub(super) fn to_kernel(&self, id: u32) -> Option<u32> {
        let after = self.by_inside.partition_point(|extent| extent.inside <= id);
        let extent = self.by_inside.get(after.checked_sub(1)?)?;
        extent.shift(id, extent.inside, extent.outside)
    }

    /// The namespace's number for the kernel's `id`.
    pub(super) fn to_own(&self, id: u32) -> Option<u32> {
        let after = self.by_outside.partition_point(|extent| extent.outside <= id);
        let extent = self.by_outside.get(after.checked_sub(1)?)?;
        extent.shift(id, extent.outside, extent.inside)
    }

    /// The map of a namespace within the one that this map is of, from extents whose outside numbers are that one's.
    ///
    /// # Errors
    /// EPERM if it leaves out some of them.
    pub(super) fn nest(&self, extents: &[Extent]) -> Result<Self, Errno> {
        let translate = |extent: &Extent| {
            let outside = self.to_kernel(extent.outside).filter(|_| self.holds(extent))?;
            Some(Extent { outside, ..*extent })
        };
        let nested: Option<Vec<_>> = extents.iter().map(translate).collect();
        nested.map(Self::new).ok_or(Errno::EPERM)
    }

    /// Whether one line holds all numbers that are outside of `wanted`.
    fn holds(&self, wanted: &Extent) -> bool {
        let end = u64::from(wanted.outside) + u64::from(wanted.count);
        self.by_inside.iter().any(|extent| {
            extent.inside <= wanted.outside && end <= u64::from(extent.inside) + u64::from(extent.count)
        })
    }
}

/// Reads what is written to a map file: lines of three numbers.
///
/// # Errors
/// EINVAL: no line, too many, an empty or too long range, ranges that overlap, anything else in a line.
pub(super) fn parse(text: &[u8]) -> Result<Vec<Extent>, Errno> {
    // As a C string: what is after a NUL is not there.
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let mut extents: Vec<Extent> = Vec::new();
    for line in text.strip_suffix(b"\n").unwrap_or(text).split(|byte| *byte == b'\n') {
        let extent = parse_line(line).ok_or(Errno::EINVAL)?;
        if extents.len() == MAX_EXTENTS || extents.iter().any(|other| extent.overlaps(*other)) {
            return Err(Errno::EINVAL);
        }
        extents.push(extent);
    }
    Ok(extents)
}

fn parse_line(line: &[u8]) -> Option<Extent> {
    let is_space = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0b;
    let mut fields = line.split(is_space).filter(|field| !field.is_empty()).map(parse_number);
    let mut field = || fields.next().flatten();
    let extent = Extent { inside: field()?, outside: field()?, count: field()? };
    let is_range =
        |first: u32| first != NO_ID && extent.count != 0 && first.checked_add(extent.count).is_some();
    let is_valid = fields.next().is_none() && is_range(extent.inside) && is_range(extent.outside);
    is_valid.then_some(extent)
}

fn parse_number(field: &[u8]) -> Option<u32> {
    // Of a number that is too long, the lowest 32 bits count.
    field.iter().try_fold(0u32, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u32::from(digit - b'0'))?;
        Some(number.wrapping_mul(10).wrapping_add(digit))
    })
}

#[cfg(test)]
mod tests;
