//! What `--image` names.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// Where an image is, and which of several is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Location {
    /// An archive on standard input.
    StandardInput(Option<String>),
    /// A directory or a file.
    Path(PathBuf, Option<String>),
    /// No file; perhaps an image of the store.
    Name(String),
}

impl Location {
    /// What `text` means. A file of that very name comes first, then one of what stands ahead of the last `#`.
    ///
    /// # Errors
    /// The name of an image is not UTF-8.
    pub(super) fn find(text: &OsStr) -> anyhow::Result<Self> {
        let path = PathBuf::from(text);
        if text == "-" {
            return Ok(Self::StandardInput(None));
        }
        if path.symlink_metadata().is_ok() {
            return Ok(Self::Path(path, None));
        }
        if let Some((before, reference)) = split(text) {
            let reference =
                String::from_utf8(reference).map_err(|_| anyhow::anyhow!("its name is not UTF-8"))?;
            return Ok(match before.as_bytes() {
                b"-" => Self::StandardInput(Some(reference)),
                _ => Self::Path(before.into(), Some(reference)),
            });
        }
        Ok(match text.to_str() {
            Some(name) if !name.contains(char::is_whitespace) && !name.is_empty() => {
                Self::Name(name.to_owned())
            }
            _ => Self::Path(path, None),
        })
    }
}

fn split(text: &OsStr) -> Option<(OsString, Vec<u8>)> {
    let bytes = text.as_bytes();
    let place = bytes.iter().rposition(|byte| *byte == b'#')?;
    let (before, after) = (bytes.get(..place)?, bytes.get(place + 1..)?);
    Some((OsString::from_vec(before.to_vec()), after.to_vec()))
}
