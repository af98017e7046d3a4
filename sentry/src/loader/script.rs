//! Interpreter scripts: `#!interpreter [argument]` (`man 2 execve`).

use crate::Errno;

/// The first line of a script.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Script {
    /// The interpreter's path.
    pub(super) interpreter: Vec<u8>,
    argument: Option<Vec<u8>>,
}

/// Parses the first bytes of a file; `None` if it is no script.
///
/// # Errors
/// ENOEXEC if the line names no interpreter, or if its interpreter's path does not end within `head`. EACCES if it names none and
/// does not end either.
pub(super) fn parse(head: &[u8]) -> Result<Option<Script>, Errno> {
    // The last byte may be the end of the line, and nothing else.
    let looked_at = head.get(..super::HEAD_BYTES - 1).unwrap_or(head);
    let Some(rest) = looked_at.strip_prefix(b"#!") else { return Ok(None) };
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let is_whole = head.len() < super::HEAD_BYTES;
    let start = rest.iter().position(|byte| !is_blank(byte));
    match start.and_then(|start| rest.get(start)) {
        // A name that ends at once, as where zeroes follow the end of the file, is that of a directory.
        Some(0) => return Err(Errno::EACCES),
        None if is_whole => return Err(Errno::EACCES),
        None | Some(b'\n') => return Err(Errno::ENOEXEC),
        Some(_) => {}
    }
    let line = &rest[start.unwrap_or(0)..];
    let line_end = line.iter().position(|byte| matches!(byte, b'\n' | 0));
    let line = &line[..line_end.unwrap_or(line.len())];
    let end = line.iter().position(is_blank);
    if end.is_none() && line_end.is_none() && !is_whole && !head.contains(&b'\n') {
        return Err(Errno::ENOEXEC);
    }
    let (interpreter, rest) = line.split_at(end.unwrap_or(line.len()));
    let argument = rest.trim_ascii();
    let argument = (!argument.is_empty()).then(|| argument.to_vec());
    Ok(Some(Script { interpreter: interpreter.to_vec(), argument }))
}

impl Script {
    /// The interpreter's arguments: itself, its one argument, the script, and the script's arguments.
    pub(super) fn arguments_for(&self, script_name: &[u8], old: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let own =
            [self.interpreter.clone()].into_iter().chain(self.argument.clone()).chain([script_name.to_vec()]);
        own.chain(old.iter().skip(1).cloned()).collect()
    }
}

#[cfg(test)]
mod tests;
