//! The name of a core file: what the pattern's `%` letters stand for (`man 5 core`, "Naming of core dump files").

use crate::cred::{KernelGid, KernelUid};

/// What a pattern can ask for.
#[derive(Clone, Debug, Default)]
pub(super) struct NameFacts {
    /// The process in its own PID namespace, and in the first.
    pub(super) process: i32,
    pub(super) root_process: i32,
    /// The thread, likewise.
    pub(super) thread: i32,
    pub(super) root_thread: i32,
    pub(super) uid: KernelUid,
    pub(super) gid: KernelGid,
    pub(super) dumpable: u8,
    pub(super) signal: u8,
    /// Since 1970.
    pub(super) time_s: u64,
    pub(super) host: Vec<u8>,
    /// `comm`.
    pub(super) name: Vec<u8>,
    /// Its path.
    pub(super) executable: Vec<u8>,
    /// RLIMIT_CORE.
    pub(super) limit_bytes: u64,
    pub(super) cpu: u32,
}

impl NameFacts {
    /// The name of the file. With `uses_pid` the process's number ends it, unless the pattern has that already.
    pub(super) fn file_name(&self, pattern: &[u8], uses_pid: bool) -> Vec<u8> {
        let (mut name, has_pid) = self.expand(pattern);
        if uses_pid && !has_pid {
            name.extend_from_slice(format!(".{}", self.process).as_bytes());
        }
        name
    }

    /// The words of a command, each with its letters replaced.
    pub(super) fn arguments(&self, command: &[u8]) -> Vec<Vec<u8>> {
        let words = command.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        words.map(|word| self.expand(word).0).collect()
    }

    /// `pattern` with its letters replaced, and whether `%p` was among them.
    fn expand(&self, pattern: &[u8]) -> (Vec<u8>, bool) {
        let mut text = Vec::new();
        let mut has_pid = false;
        let mut bytes = pattern.iter().copied();
        while let Some(byte) = bytes.next() {
            if byte != b'%' {
                text.push(byte);
                continue;
            }
            // A single one at the end is dropped.
            let Some(letter) = bytes.next() else { break };
            has_pid |= letter == b'p';
            text.extend(self.value(letter));
        }
        (text, has_pid)
    }

    /// What a letter stands for; nothing if it is unknown.
    fn value(&self, letter: u8) -> Vec<u8> {
        let number = |number: &dyn std::fmt::Display| number.to_string().into_bytes();
        match letter {
            b'%' => b"%".to_vec(),
            b'p' => number(&self.process),
            b'P' => number(&self.root_process),
            b'i' => number(&self.thread),
            b'I' => number(&self.root_thread),
            b'u' => number(&self.uid.0),
            b'g' => number(&self.gid.0),
            b'd' => number(&self.dumpable),
            b's' => number(&self.signal),
            b't' => number(&self.time_s),
            b'c' => number(&self.limit_bytes),
            b'C' => number(&self.cpu),
            b'h' => component(&self.host),
            b'e' => component(&self.name),
            b'E' => component(&self.executable),
            b'f' => component(self.executable.rsplit(|byte| *byte == b'/').next().unwrap_or_default()),
            _ => Vec::new(),
        }
    }
}

/// A text that leads to no other directory: `!` for `/`, and for what would be `.`, `..` or nothing.
fn component(text: &[u8]) -> Vec<u8> {
    let mut text: Vec<u8> = text.iter().map(|byte| if *byte == b'/' { b'!' } else { *byte }).collect();
    match text.as_slice() {
        b"" => text.push(b'!'),
        b"." | b".." => text[0] = b'!',
        _ => {}
    }
    text
}

#[cfg(test)]
mod tests;
