//! What searches for room have learnt: where there is none.
//!
//! Mappings are placed from the top down, and most find the space above the last one full. A search leaves a note that no gap
//! of its length lies between where it ended and where it began; later ones for as much begin there. Mapping more keeps
//! a note true; unmapping shortens it.

use std::ops::Range;

/// Lengths that are remembered: programs alternate between few.
const LENGTHS: usize = 4;

/// The notes of searches, the latest first.
#[derive(Debug, Default)]
pub(super) struct Crowded {
    notes: [Option<Note>; LENGTHS],
}

/// No `len` free pages in a row lie in `pages`, nor reach into them from below.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Note {
    len: u64,
    pages: Range<u64>,
}

impl Crowded {
    /// The page below which a search for `len` pages that end at `end` at the latest has to look.
    pub(super) fn begin(&self, len: u64, end: u64) -> u64 {
        let useful = self.notes.iter().flatten().filter(|note| note.len <= len && note.pages.end == end);
        useful.map(|note| note.pages.start).min().unwrap_or(end)
    }

    /// No `len` free pages lie in `pages`, which something at their start parts from what is below.
    pub(super) fn note(&mut self, len: u64, pages: Range<u64>) {
        let known = self.notes.iter().flatten().position(|note| note.len == len);
        let position = known.unwrap_or(LENGTHS - 1);
        self.notes[..=position].rotate_right(1);
        self.notes[0] = Some(Note { len, pages });
    }

    /// The free pages around `freed` have become more. They end where something begins at `end`.
    pub(super) fn open(&mut self, freed: &Range<u64>, end: u64) {
        for slot in &mut self.notes {
            slot.take_if(|note| {
                if freed.end > note.pages.start {
                    note.pages.start = note.pages.start.max(end);
                }
                note.pages.is_empty()
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_begins_where_one_for_no_more_ended() {
        let mut crowded = Crowded::default();
        assert_eq!(crowded.begin(5, 1000), 1000);
        crowded.note(5, 600..1000);
        crowded.note(9, 800..1000);
        assert_eq!(crowded.begin(4, 1000), 1000);
        assert_eq!(crowded.begin(5, 1000), 600);
        assert_eq!(crowded.begin(20, 1000), 600);
        assert_eq!(crowded.begin(20, 900), 900);
    }

    #[test]
    fn what_is_freed_is_found_again() {
        let mut crowded = Crowded::default();
        crowded.note(5, 600..1000);
        crowded.open(&(500..600), 600);
        assert_eq!(crowded.begin(5, 1000), 600);
        crowded.open(&(700..702), 800);
        assert_eq!(crowded.begin(5, 1000), 800);
        crowded.open(&(500..700), 700);
        assert_eq!(crowded.begin(5, 1000), 800);
        crowded.open(&(900..950), 1000);
        assert_eq!(crowded.begin(5, 1000), 1000);
    }
}
