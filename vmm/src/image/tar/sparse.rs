//! Files with holes: GNU's old headers, and the four ways in which GNU tar has put them into pax records.

use std::io::Read;

use anyhow::{Context, bail, ensure};
use tar::{EntryType, GnuExtSparseHeader, GnuSparseHeader, Header};

use super::extensions::{Extensions, decimal};
use super::input::Input;
use super::member::Extent;
use super::reader::TarReader;

/// The most parts of one file.
pub(crate) const MAX_EXTENTS: usize = 1 << 20;

/// Which parts of a file are there, and how long it is.
pub(super) struct SparseMap {
    pub(super) size: u64,
    pub(super) extents: Vec<Extent>,
}

/// The parts that the blocks behind `header` tell of, if it is one of GNU's old format.
///
/// # Errors
/// What `read_block` fails with, and too many parts.
pub(super) fn read_extended(
    header: &Header,
    mut read_block: impl FnMut(&mut [u8]) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<Extent>> {
    let mut extents = Vec::new();
    let mut has_more =
        header.entry_type() == EntryType::GNUSparse && header.as_gnu().is_some_and(|gnu| gnu.is_extended());
    while has_more {
        let mut block = GnuExtSparseHeader::new();
        read_block(block.as_mut_bytes())?;
        add_headers(&mut extents, block.sparse())?;
        has_more = block.is_extended();
    }
    Ok(extents)
}

/// The map of a sparse file; `None` for any other. One that stands ahead of the data is read from `data`.
///
/// # Errors
/// It is not written as it should be.
pub(super) fn map<R: Input>(
    header: &Header,
    extended: &[Extent],
    extensions: &Extensions,
    data: &mut TarReader<R>,
) -> anyhow::Result<Option<SparseMap>> {
    if header.entry_type() == EntryType::GNUSparse {
        let gnu = header.as_gnu().context("a sparse file in a format that has none")?;
        let mut extents = Vec::new();
        add_headers(&mut extents, &gnu.sparse)?;
        extents.extend(extended);
        return Ok(Some(SparseMap { size: gnu.real_size()?, extents }));
    }
    let size = extensions.number("GNU.sparse.realsize")?.or(extensions.number("GNU.sparse.size")?);
    let Some(size) = size else { return Ok(None) };
    let numbers = match (extensions.number("GNU.sparse.major")?, extensions.get("GNU.sparse.map")) {
        (Some(1), _) => read_numbers(data)?,
        (None | Some(0), Some(map)) => parse(map.split(|byte| *byte == b','))?,
        (None | Some(0), None) => parse(extensions.all("GNU.sparse.offset", "GNU.sparse.numbytes"))?,
        (Some(major), _) => bail!("a sparse file in format {major}, which is unknown"),
    };
    let pairs = numbers.chunks_exact(2);
    ensure!(pairs.remainder().is_empty(), "a sparse file whose map is not whole");
    let extent = |pair: &[u64]| Some(Extent { offset: *pair.first()?, len: *pair.get(1)? });
    Ok(Some(SparseMap { size, extents: pairs.filter_map(extent).collect() }))
}

/// Fails unless the parts of `map` follow each other, lie within the file, and are as long as the data that is there.
///
/// # Errors
/// A sentence.
pub(super) fn check(map: &SparseMap, data_len: u64) -> anyhow::Result<()> {
    let (mut end, mut sum) = (0, 0_u64);
    for extent in &map.extents {
        ensure!(extent.offset >= end, "a sparse file whose parts overlap");
        end = extent.offset.checked_add(extent.len).context("a sparse file that is too long")?;
        // Cannot overflow: it is no more than the end.
        sum += extent.len;
    }
    ensure!(end <= map.size && i64::try_from(map.size).is_ok(), "a sparse file that is too long");
    ensure!(sum == data_len, "a sparse file whose map tells of {sum} bytes of data instead of {data_len}");
    Ok(())
}

fn add_headers(extents: &mut Vec<Extent>, headers: &[GnuSparseHeader]) -> anyhow::Result<()> {
    for header in headers.iter().filter(|header| !header.is_empty()) {
        extents.push(Extent { offset: header.offset()?, len: header.length()? });
    }
    ensure!(extents.len() <= MAX_EXTENTS, "a sparse file of more than {MAX_EXTENTS} parts");
    Ok(())
}

fn parse<'a>(numbers: impl Iterator<Item = &'a [u8]>) -> anyhow::Result<Vec<u64>> {
    let parsed: Option<Vec<u64>> = numbers.map(decimal).collect();
    parsed
        .filter(|numbers| numbers.len() <= MAX_EXTENTS * 2)
        .context("a sparse file whose map makes no sense")
}

/// The map ahead of the data: decimal numbers, each on a line, the first of which counts the pairs that follow; zeros fill the last
/// block.
fn read_numbers<R: Input>(data: &mut TarReader<R>) -> anyhow::Result<Vec<u64>> {
    let mut text = Vec::new();
    let mut numbers = Vec::new();
    let mut block = [0; 512];
    let mut count = None;
    while count.is_none_or(|count| numbers.len() < count) {
        data.read_exact(&mut block).context("a sparse file whose map is not whole")?;
        for byte in block {
            match byte {
                b'\n' => {
                    let number = decimal(&text).context("a sparse file whose map makes no sense")?;
                    text.clear();
                    match count {
                        None => count = Some(usize::try_from(number.saturating_mul(2))?),
                        Some(_) => numbers.push(number),
                    }
                }
                0 => {}
                digit => text.push(digit),
            }
        }
        let is_bounded = text.len() <= 20 && count.is_none_or(|count| count <= MAX_EXTENTS * 2);
        ensure!(is_bounded, "a sparse file whose map makes no sense");
    }
    ensure!(count == Some(numbers.len()), "a sparse file whose map makes no sense");
    Ok(numbers)
}
