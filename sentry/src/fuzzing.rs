//! What reads foreign bytes, for the fuzzers of `vmm/fuzz/`: each function takes any bytes, which may be refused, but nothing else may
//! happen.

use zerocopy::FromBytes;

use crate::abi::SockFilter;
use crate::bpf::{Part, Program, Subject, Width};
use crate::cred::UserNamespace;
use crate::fs::tmpfs::TmpfsOptions;

pub use crate::fs::fuzzing::{ext_image, file_capabilities};
pub use crate::loader::fuzzing::{elf, script};
pub use crate::net::netlink::fuzzing::netlink;
pub use crate::syscall::fuzzing::control_messages;

/// Options of a tmpfs.
pub fn mount_options(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(options) = TmpfsOptions::default().with(text, &UserNamespace::initial())
    {
        assert!(options.permissions <= 0o7777, "{options:?}");
    }
}

/// A classic filter, which then looks at itself.
pub fn filter(bytes: &[u8]) {
    let instructions = bytes.chunks_exact(size_of::<SockFilter>());
    let instructions: Vec<SockFilter> =
        instructions.filter_map(|bytes| SockFilter::read_from_bytes(bytes).ok()).collect();
    let len_bytes = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    for subject in [Subject::Call, Subject::Packet] {
        if let Ok(program) = Program::new(&instructions, subject) {
            program.run(len_bytes, |part| load(bytes, part));
        }
    }
}

fn load(bytes: &[u8], part: Part) -> Option<u32> {
    let start = usize::try_from(part.offset).ok()?;
    let len = match part.width {
        Width::Byte => 1,
        Width::Half => 2,
        Width::Word => 4,
    };
    let part = bytes.get(start..start.checked_add(len)?)?;
    Some(part.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)))
}

#[cfg(test)]
mod tests;
