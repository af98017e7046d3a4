//! `vmm cp`: a file or tree, streamed as a tar archive between a running sandbox and the host.
//!
//! Either end makes it under a name of its own, which becomes the wanted one when the archive has come to its end. Names in
//! an archive are looked up one component at a time below the directory that is made, and lead through no link.

mod client;
mod from_guest;
mod from_host;
mod into_guest;
mod into_host;

pub use client::{copy_in, copy_out};

pub(crate) use from_guest::send_from_guest;
pub(crate) use into_guest::receive_into_guest;

use std::fs::File;
use std::io::{self, Read};

use anyhow::ensure;

use crate::image::tar::{Input, Member, TarReader, shown};

/// How deep a tree may be: no deeper than a path that names its lowest directory.
const MAX_DEPTH: usize = 2048;
/// Bytes that are copied at a time.
const COPY_LEN: usize = 256 * 1024;

impl Input for File {}

/// The components of a member's path below the top; none for the top itself.
///
/// # Errors
/// It leads elsewhere, or deeper than any path.
fn components(member: &Member) -> anyhow::Result<Vec<&[u8]>> {
    let mut components =
        member.path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && name != b".");
    ensure!(components.next().is_some(), "a member without a name");
    let components: Vec<&[u8]> = components.collect();
    let leads_out = components.iter().any(|name| *name == b".." || name.contains(&0));
    ensure!(!leads_out && components.len() < MAX_DEPTH, "'{}' leads out of the copy", shown(&member.path));
    Ok(components)
}

/// Reads on to the end of `archive`, whose members have been read.
///
/// # Errors
/// It is cut short.
fn finish(archive: TarReader<File>) -> anyhow::Result<()> {
    ensure!(archive.has_end_mark(), "it breaks off in the middle");
    let mut rest = archive.into_inner();
    io::copy(&mut rest, &mut io::sink())?;
    Ok(())
}

/// Exactly so many bytes of a reader: zeros for what it lacks.
struct Exactly<R> {
    reader: R,
    left: u64,
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let wanted = buffer.get_mut(..wanted).unwrap_or_default();
        let len = match self.reader.read(wanted)? {
            // It has become shorter than it was when the header was written.
            0 => {
                wanted.fill(0);
                wanted.len()
            }
            len => len,
        };
        self.left -= len as u64;
        Ok(len)
    }
}
