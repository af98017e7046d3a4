//! Which layers still deny what, while the files above another are walked.

use super::{Domain, FileAccess, FileKey};

/// How many kinds of access there are.
const KINDS: usize = FileAccess::all().bits().count_ones() as usize;

/// For each kind of access the layers that deny it, bit N for layer N.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct LayerMasks([u16; KINDS]);

impl LayerMasks {
    /// The layers of `domain` that deny `request` before any rule has been looked at. With it, what of `request` any of them
    /// denies. To refer is denied by all, whether they handle it or not.
    pub fn new(domain: &Domain, request: FileAccess) -> (Self, FileAccess) {
        let mut masks = Self::default();
        let mut handled = FileAccess::empty();
        for (index, layer) in domain.layers() {
            let denied = (layer.handled.files | FileAccess::REFER) & request;
            handled |= denied;
            for (mask, _) in masks.of(denied) {
                *mask |= 1 << index;
            }
        }
        (masks, handled)
    }

    /// The masks of the kinds in `access`.
    fn of(&mut self, access: FileAccess) -> impl Iterator<Item = (&mut u16, FileAccess)> {
        let kinds = self.0.iter_mut().zip((0..).map(|kind| FileAccess::from_bits_retain(1 << kind)));
        kinds.filter(move |(_, kind)| access.contains(*kind))
    }

    /// Has the rules of `domain` on the file that is `key` allow what they do of `request`. Returns whether nothing is denied
    /// any more.
    pub fn unmask(&mut self, domain: &Domain, key: Option<FileKey>, request: FileAccess) -> bool {
        if request.is_empty() {
            return true;
        }
        let Some(key) = key else { return false };
        let mut has_rule = false;
        for (index, layer) in domain.layers() {
            let Some(rule) = layer.rules.files.get(&key) else { continue };
            has_rule = true;
            // What a ruleset does not handle its rules do not deny, either.
            let allowed = rule.access | (FileAccess::all() - layer.handled.files - FileAccess::REFER);
            for (mask, _) in self.of(allowed & request) {
                *mask &= !(1 << index);
            }
        }
        has_rule && self.is_clear()
    }

    /// Whether nothing is denied.
    pub fn is_clear(&self) -> bool {
        self.0.iter().all(|mask| *mask == 0)
    }

    /// What is denied by any layer.
    pub fn denied(&self) -> FileAccess {
        let kinds = self.0.iter().zip((0..).map(|kind| FileAccess::from_bits_retain(1 << kind)));
        kinds.filter(|(mask, _)| **mask != 0).map(|(_, kind)| kind).collect()
    }

    /// Forgets all but `request`. Returns whether nothing of it is denied.
    pub fn narrow(&mut self, request: FileAccess) -> bool {
        for (mask, _) in self.of(FileAccess::all() - request) {
            *mask = 0;
        }
        self.is_clear()
    }

    /// Whether what is denied here, and by `child`'s own rules too, is denied at `destination` as well: then who moves the
    /// child there can do no more with it.
    pub fn is_at_most(&self, child: &Self, is_directory: bool, destination: &Self) -> bool {
        let relevant = if is_directory { FileAccess::all() } else { FileAccess::OF_FILES };
        let kinds = (0..).map(|kind| FileAccess::from_bits_retain(1 << kind));
        let masks = self.0.iter().zip(&child.0).zip(&destination.0).zip(kinds);
        let mut relevant = masks.filter(|(_, kind)| relevant.contains(*kind));
        relevant.all(|(((own, child), destination), _)| own & child & !destination == 0)
    }
}
