//! A table: its bytes, the rules that they say, and the way of a packet along them.

use std::sync::atomic::{AtomicU32, Ordering};

use zerocopy::IntoBytes;

use super::check::Wanted;
use super::content::Seen;
use super::rule::{Entry, Rule};
use super::target::Target;
use super::{Family, Hook, Verdict};
use crate::Errno;
use crate::abi::{IptGetinfo, XtCounters, XtEntryHead};
use crate::heap::HeapCharge;

/// The most bytes that a table has.
pub(super) const MAX_TABLE_BYTES: usize = 1 << 20;
/// How much the heap holds for each byte of a table: the byte, and what was read out of it.
const HEAP_FACTOR: usize = 4;
/// The most rules that a packet is held against: chains that call each other often enough are too long for any packet.
const MAX_STEPS: usize = 1 << 17;
/// How deep chains may call each other.
const MAX_DEPTH: usize = 512;
/// What stands for a hook that a table is not for.
const NO_PLACE: u32 = u32::MAX;

/// Where each hook's chain begins in a table's bytes, and where it ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    pub(super) begin: [u32; 5],
    pub(super) end: [u32; 5],
}

/// A table "filter".
pub(super) struct Table {
    family: Family,
    places: Places,
    rules: Vec<Rule>,
    /// The hooks that lead to each rule.
    reached: Vec<u32>,
    bytes: Vec<u8>,
    asks_for_states: bool,
    /// Where each chain begins among the rules, by hooks.
    begins: [usize; 3],
    /// How many packets were held against too many rules.
    given_up: AtomicU32,
    _charge: HeapCharge,
}

impl Places {
    pub(super) fn begin(&self, hook: Hook) -> usize {
        place(&self.begin, hook)
    }

    pub(super) fn end(&self, hook: Hook) -> usize {
        place(&self.end, hook)
    }
}

fn place(places: &[u32; 5], hook: Hook) -> usize {
    places.get(hook as usize).map_or(usize::MAX, |place| *place as usize)
}

/// A match's or target's head and data, as long as they have to be.
fn part(name: &str, data: &[u8]) -> Vec<u8> {
    let len_bytes = (size_of::<XtEntryHead>() + data.len()).next_multiple_of(size_of::<u64>());
    let mut head =
        XtEntryHead { size: u16::try_from(len_bytes).unwrap_or(u16::MAX), ..XtEntryHead::default() };
    head.name.iter_mut().zip(name.bytes()).for_each(|(told, byte)| *told = byte);
    let mut whole = [head.as_bytes(), data].concat();
    whole.resize(len_bytes, 0);
    whole
}

impl Table {
    /// The table that there is before anybody has made rules: everything is accepted.
    pub(super) fn initial(family: Family) -> Result<Self, Errno> {
        const ACCEPT: i32 = -2;
        let accept = part("", ACCEPT.as_bytes());
        let mut name = [0; 30];
        name.iter_mut().zip(b"ERROR").for_each(|(told, byte)| *told = *byte);
        let mut bytes = Vec::new();
        let mut places = Places { begin: [NO_PLACE; 5], end: [NO_PLACE; 5] };
        for hook in Hook::ALL {
            let offset = u32::try_from(bytes.len()).map_err(|_| Errno::EINVAL)?;
            for places in [&mut places.begin, &mut places.end] {
                if let Some(place) = places.get_mut(hook as usize) {
                    *place = offset;
                }
            }
            bytes.extend(Entry::written(family, &accept)?);
        }
        bytes.extend(Entry::written(family, &part("ERROR", &name))?);
        Self::read(&Wanted { family, bytes: &bytes, count: 4, places, owns: true })
    }

    /// The table that somebody wants to have.
    ///
    /// # Errors
    /// Those of [`Wanted::read`]; ENOMEM.
    pub(super) fn read(wanted: &Wanted<'_>) -> Result<Self, Errno> {
        if wanted.bytes.len() > MAX_TABLE_BYTES {
            return Err(Errno::ENOMEM);
        }
        let charge = HeapCharge::new(wanted.bytes.len() * HEAP_FACTOR)?;
        let (rules, reached) = wanted.read()?;
        let index_of =
            |offset: usize| rules.binary_search_by_key(&offset, |rule| rule.offset).unwrap_or(usize::MAX);
        let begins = Hook::ALL.map(|hook| index_of(wanted.places.begin(hook)));
        let asks_for_states = rules.iter().flat_map(|rule| &rule.matches).any(|asked| asked.asks_for_state());
        let mut places = wanted.places;
        for told in [&mut places.begin, &mut places.end] {
            let hooks = Hook::ALL.map(|hook| hook as usize);
            let others = told.iter_mut().enumerate().filter(|(hook, _)| !hooks.contains(hook));
            others.for_each(|(_, place)| *place = NO_PLACE);
        }
        Ok(Self {
            family: wanted.family,
            places,
            rules,
            reached,
            bytes: wanted.bytes.to_vec(),
            asks_for_states,
            begins,
            given_up: AtomicU32::new(0),
            _charge: charge,
        })
    }

    pub(super) fn family(&self) -> Family {
        self.family
    }

    /// Whether some rule asks what has been sent before.
    pub(super) fn asks_for_states(&self) -> bool {
        self.asks_for_states
    }

    /// The set of hooks that the table is for.
    pub(super) fn valid_hooks() -> u32 {
        Hook::ALL.iter().fold(0, |hooks, hook| hooks | hook.bit())
    }

    /// How many entries it has.
    pub(super) fn count(&self) -> usize {
        self.rules.len()
    }

    pub(super) fn len_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// What `IPT_SO_GET_INFO` tells of it.
    pub(super) fn information(&self, name: [u8; 32]) -> IptGetinfo {
        IptGetinfo {
            name,
            valid_hooks: Self::valid_hooks(),
            hook_entry: self.places.begin,
            underflow: self.places.end,
            num_entries: u32::try_from(self.count()).unwrap_or(u32::MAX),
            size: u32::try_from(self.len_bytes()).unwrap_or(u32::MAX),
        }
    }

    /// Its bytes, with the counters as they are now.
    pub(super) fn told(&self) -> Vec<u8> {
        let mut told = self.bytes.clone();
        let (counters, comefrom) = Entry::told_offsets(self.family);
        for (rule, hooks) in self.rules.iter().zip(&self.reached) {
            let mut write = |offset: usize, bytes: &[u8]| {
                if let Some(place) =
                    told.get_mut(rule.offset + offset..).and_then(|rest| rest.get_mut(..bytes.len()))
                {
                    place.copy_from_slice(bytes);
                }
            };
            write(counters, rule.counters().as_bytes());
            write(comefrom, hooks.as_bytes());
        }
        told
    }

    /// What each entry has counted.
    pub(super) fn counters(&self) -> Vec<XtCounters> {
        self.rules.iter().map(Rule::counters).collect()
    }

    /// Adds to what each entry has counted.
    pub(super) fn add(&self, counters: &[XtCounters]) {
        self.rules.iter().zip(counters).for_each(|(rule, counters)| rule.add(counters));
    }

    /// What becomes of a packet at a hook.
    pub(super) fn judge(&self, hook: Hook, seen: &Seen<'_>) -> Verdict {
        let begin = Hook::ALL.iter().position(|other| *other == hook);
        let mut index = begin.and_then(|begin| self.begins.get(begin)).copied().unwrap_or(usize::MAX);
        let mut callers = Vec::new();
        for _ in 0..MAX_STEPS {
            let Some(rule) = self.rules.get(index) else { return Verdict::Drop };
            if !rule.fits(seen) {
                index += 1;
                continue;
            }
            rule.count(seen);
            index = match rule.target {
                Target::Accept => return Verdict::Accept,
                Target::Drop | Target::Error => return Verdict::Drop,
                Target::Reject(rejection) => return Verdict::Reject(rejection),
                Target::Log => index + 1,
                Target::Return => match callers.pop() {
                    Some(caller) => caller,
                    None => self.index_of(self.places.end(hook)),
                },
                Target::Jump(offset) => {
                    let chain = self.index_of(offset);
                    if chain != index + 1 && !rule.head.is_goto {
                        callers.push(index + 1);
                    }
                    if callers.len() > MAX_DEPTH {
                        return Verdict::Drop;
                    }
                    chain
                }
            };
        }
        if self.given_up.fetch_add(1, Ordering::Relaxed) == 0 {
            log::info!("packets are dropped that would be held against more than {MAX_STEPS} rules");
        }
        Verdict::Drop
    }

    fn index_of(&self, offset: usize) -> usize {
        self.rules.binary_search_by_key(&offset, |rule| rule.offset).unwrap_or(usize::MAX)
    }
}
