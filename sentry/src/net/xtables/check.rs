//! Reading a table that somebody wants to have: what Linux's `translate_table` does.

use zerocopy::FromBytes;

use super::matches::{MATCHES, Match};
use super::rule::{Entry, Rule};
use super::table::Places;
use super::target::{TARGETS, Target};
use super::{Family, Hook};
use crate::Errno;
use crate::abi::XtEntryHead;

/// What everything in a table begins at a multiple of.
const ALIGNMENT: usize = size_of::<u64>();

/// The bytes of a table, and who wants to have it.
pub(super) struct Wanted<'a> {
    pub(super) family: Family,
    pub(super) bytes: &'a [u8],
    /// How many entries there are to be.
    pub(super) count: usize,
    pub(super) places: Places,
    /// Whether numbers of users mean to who asks what they mean to the network.
    pub(super) owns: bool,
}

/// An entry and what it is made of, as it stands in the bytes.
struct Written<'a> {
    offset: usize,
    entry: Entry,
    /// Each match's head and data.
    matches: Vec<(XtEntryHead, &'a [u8])>,
    target: (XtEntryHead, &'a [u8]),
}

/// The name of a match or of a target, up to its NUL.
pub(super) fn name_of(head: &XtEntryHead) -> &[u8] {
    head.name.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// A match or a target at the beginning of `bytes`: its head and its data.
fn read_part(bytes: &[u8]) -> Result<(XtEntryHead, &[u8]), Errno> {
    let (head, _) = XtEntryHead::read_from_prefix(bytes).map_err(|_| Errno::EINVAL)?;
    let data = bytes.get(size_of::<XtEntryHead>()..head.size.into()).ok_or(Errno::EINVAL)?;
    let is_aligned = usize::from(head.size).is_multiple_of(ALIGNMENT);
    if is_aligned && head.name.contains(&0) { Ok((head, data)) } else { Err(Errno::EINVAL) }
}

impl<'a> Wanted<'a> {
    /// The rules that the bytes say, each with the hooks that lead to it.
    ///
    /// # Errors
    /// EINVAL for what is no table, ELOOP for chains that lead back to themselves, ENOENT for a match or target that there is not.
    pub(super) fn read(&self) -> Result<(Vec<Rule>, Vec<u32>), Errno> {
        let written = self.split()?;
        if written.len() != self.count {
            return Err(Errno::EINVAL);
        }
        let targets: Vec<Target> =
            written.iter().map(|written| self.standard(written)).collect::<Result<_, _>>()?;
        self.check_places(&written, &targets)?;
        let reached = self.reach(&written, &targets)?;
        let rules = written.iter().zip(&reached).map(|(written, hooks)| self.rule(written, *hooks));
        Ok((rules.collect::<Result<_, _>>()?, reached))
    }

    fn split(&self) -> Result<Vec<Written<'a>>, Errno> {
        let least = Entry::len_bytes(self.family);
        let mut found = Vec::new();
        let mut offset = 0;
        while offset < self.bytes.len() {
            let rest = self.bytes.get(offset..).unwrap_or_default();
            let entry = Entry::read(self.family, rest)?;
            let whole = rest.get(..entry.next_offset).ok_or(Errno::EINVAL)?;
            let is_aligned =
                entry.next_offset.is_multiple_of(ALIGNMENT) && entry.target_offset.is_multiple_of(ALIGNMENT);
            let mut matches = Vec::new();
            let mut place = least;
            while place < entry.target_offset {
                let part = read_part(whole.get(place..entry.target_offset).ok_or(Errno::EINVAL)?)?;
                place += usize::from(part.0.size);
                matches.push(part);
            }
            if place != entry.target_offset || !is_aligned {
                return Err(Errno::EINVAL);
            }
            let target = read_part(whole.get(place..).ok_or(Errno::EINVAL)?)?;
            found.push(Written { offset, matches, target, entry });
            offset += found.last().map_or(least, |written| written.entry.next_offset);
        }
        Ok(found)
    }

    /// A target that says where to go on; others go on behind themselves, or end the chain.
    fn standard(&self, written: &Written<'_>) -> Result<Target, Errno> {
        let (head, data) = &written.target;
        let kind = TARGETS.iter().find(|kind| kind.name.as_bytes() == name_of(head) && head.revision == 0);
        kind.ok_or(Errno::ENOENT)?.read(data, self.family, &written.entry.head)
    }

    /// Each hook begins at an entry, and ends at one that says what becomes of all others.
    fn check_places(&self, written: &[Written<'_>], targets: &[Target]) -> Result<(), Errno> {
        for hook in Hook::ALL {
            let (begin, end) = (self.places.begin(hook), self.places.end(hook));
            let is_entry = written.iter().any(|written| written.offset == begin);
            let last = written.iter().zip(targets).find(|(written, _)| written.offset == end);
            let is_end = last.is_some_and(|(written, target)| {
                written.matches.is_empty() && written.entry.head.is_for_all && target.is_policy()
            });
            if !is_entry || !is_end {
                return Err(Errno::EINVAL);
            }
        }
        Ok(())
    }

    /// The hooks that lead to each entry.
    fn reach(&self, written: &[Written<'_>], targets: &[Target]) -> Result<Vec<u32>, Errno> {
        let index_of = |offset: usize| {
            written.binary_search_by_key(&offset, |written| written.offset).map_err(|_| Errno::EINVAL)
        };
        let mut reached = vec![0; written.len()];
        for hook in Hook::ALL {
            let mut walk =
                Walk { is_passed: vec![false; written.len()], is_under_way: vec![false; written.len()] };
            walk.visit(index_of(self.places.begin(hook))?, |index| {
                let target = targets.get(index).copied().unwrap_or(Target::Error);
                let asks = written
                    .get(index)
                    .is_none_or(|written| !written.matches.is_empty() || !written.entry.head.is_for_all);
                let next = (asks || !target.ends_chain()) && target != Target::Error;
                let jump = match target {
                    Target::Jump(offset) => Some(index_of(offset)?),
                    _ => None,
                };
                Ok([jump, next.then_some(index + 1).filter(|next| *next < written.len())])
            })?;
            let passed = reached.iter_mut().zip(&walk.is_passed);
            passed.filter(|(_, passed)| **passed).for_each(|(hooks, _)| *hooks |= hook.bit());
        }
        Ok(reached)
    }

    fn rule(&self, written: &Written<'_>, hooks: u32) -> Result<Rule, Errno> {
        let read = |(head, data): &(XtEntryHead, &[u8])| -> Result<Match, Errno> {
            let kind = MATCHES.iter().find(|kind| {
                kind.name.as_bytes() == name_of(head)
                    && kind.revision == head.revision
                    && kind.family.is_none_or(|family| family == self.family)
            });
            kind.ok_or(Errno::ENOENT)?.read(data, &written.entry.head, hooks, self.owns)
        };
        let matches = written.matches.iter().map(read).collect::<Result<_, _>>()?;
        let target = self.standard(written)?;
        Ok(Rule::new(written.offset, written.entry.head.clone(), matches, target))
    }
}

/// A walk along the chains, which finds those that lead back to themselves.
struct Walk {
    is_passed: Vec<bool>,
    is_under_way: Vec<bool>,
}

impl Walk {
    /// Visits all that `index` leads to.
    fn visit(
        &mut self,
        first: usize,
        leads_to: impl Fn(usize) -> Result<[Option<usize>; 2], Errno>,
    ) -> Result<(), Errno> {
        let mut path = vec![(first, false)];
        while let Some((index, is_done)) = path.pop() {
            if is_done {
                self.set_under_way(index, false);
                continue;
            }
            if self.is_under_way.get(index) == Some(&true) {
                return Err(Errno::ELOOP);
            }
            if self.is_passed.get(index) == Some(&true) {
                continue;
            }
            if let Some(passed) = self.is_passed.get_mut(index) {
                *passed = true;
            }
            self.set_under_way(index, true);
            path.push((index, true));
            path.extend(leads_to(index)?.into_iter().flatten().map(|next| (next, false)));
        }
        Ok(())
    }

    fn set_under_way(&mut self, index: usize, is_so: bool) {
        if let Some(under_way) = self.is_under_way.get_mut(index) {
            *under_way = is_so;
        }
    }
}
