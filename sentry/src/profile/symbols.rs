//! Names of places in ELF files.

use std::io::{self, Read, Seek, SeekFrom};

use object::read::elf::ElfFile64;
use object::{Endianness, Object, ObjectSegment, ObjectSymbol, ReadCache, SymbolKind};

/// Bytes of a file that are read: headers, symbol tables and their strings.
const MAX_READ_BYTES: u64 = 256 << 20;

/// What places are counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The beginning of the file.
    File,
    /// Address 0 of its segments.
    Image,
}

/// The names of the functions that `places` lie in, one for each; what has none is `None`.
pub(super) fn names(file: impl Read + Seek, places: &[u64], origin: Origin) -> Vec<Option<String>> {
    let cache = ReadCache::new(Bounded { file, left: MAX_READ_BYTES });
    let Ok(elf) = ElfFile64::<Endianness, _>::parse(&cache) else { return vec![None; places.len()] };
    let addresses: Vec<Option<u64>> = match origin {
        Origin::Image => places.iter().copied().map(Some).collect(),
        Origin::File => places.iter().map(|place| address_of(&elf, *place)).collect(),
    };
    let mut order: Vec<(u64, usize)> =
        addresses.iter().enumerate().filter_map(|(index, address)| Some(((*address)?, index))).collect();
    order.sort_unstable();
    let mut found: Vec<Option<(u64, String)>> = vec![None; places.len()];
    for symbol in elf.symbols().chain(elf.dynamic_symbols()) {
        if symbol.kind() != SymbolKind::Text || !symbol.is_definition() {
            continue;
        }
        let start = symbol.address();
        // What assemblers wrote often has no size: it reaches to the next place that has one.
        let end = start.saturating_add(symbol.size().max(1));
        let first = order.partition_point(|(address, _)| *address < start);
        for (_, index) in order.iter().skip(first).take_while(|(address, _)| *address < end) {
            let Some(place) = found.get_mut(*index) else { continue };
            if place.as_ref().is_none_or(|(best, _)| *best < start)
                && let Ok(name) = symbol.name()
            {
                *place = Some((start, name.to_owned()));
            }
        }
    }
    found.into_iter().map(|found| found.map(|(_, name)| readable(&name))).collect()
}

/// A function's name as its source has it.
fn readable(name: &str) -> String {
    // Without the hash of a Rust name.
    format!("{:#}", rustc_demangle::demangle(name))
}

fn address_of<'a>(
    elf: &ElfFile64<'a, Endianness, &'a ReadCache<impl Read + Seek>>,
    place: u64,
) -> Option<u64> {
    elf.segments().find_map(|segment| {
        let (start, len) = segment.file_range();
        let inside = place.checked_sub(start).filter(|inside| *inside < len)?;
        segment.address().checked_add(inside)
    })
}

/// A file of which no more than so much is read.
struct Bounded<F> {
    file: F,
    left: u64,
}

impl<F: Read> Read for Bounded<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.left = self.left.checked_sub(buffer.len() as u64).ok_or(io::ErrorKind::FileTooLarge)?;
        self.file.read(buffer)
    }
}

impl<F: Seek> Seek for Bounded<F> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.file.seek(position)
    }
}
