//! Stacks of user code, by its frame pointers: programs and libraries that keep none show their innermost frame, and what of the
//! others happens to be right.

use std::sync::Arc;

use crate::memory::{CodePlace, MappedFile, MemoryManager};
use crate::platform::{Registers, VirtualAddress};

/// Frames that are walked.
const DEPTH: usize = 64;
/// The farthest that a frame lies above the stack pointer.
const MAX_STACK_BYTES: u64 = 64 << 20;

/// A place in user code.
#[derive(Clone)]
pub enum GuestFrame {
    /// In a file, or in the vDSO.
    Image {
        /// Device and inode.
        key: (u32, u32, u64),
        /// What it is called, if that is not for a file to tell.
        name: &'static str,
        /// The file.
        file: Option<Arc<dyn MappedFile>>,
        /// Bytes from the file's beginning.
        offset: u64,
    },
    /// In memory that no file is behind.
    Unknown,
}

/// The frames of user code that stopped with `registers`, from the innermost to the outermost.
pub fn walk(memory: &MemoryManager, registers: &Registers) -> Vec<GuestFrame> {
    let mut frames = vec![frame_at(memory, registers.rip).unwrap_or(GuestFrame::Unknown)];
    let (lowest, mut base) = (registers.rsp, registers.rbp);
    let mut least = lowest;
    frames.extend(caller_without_frame(memory, registers));
    while frames.len() < DEPTH && base >= least && base - lowest < MAX_STACK_BYTES && base % 8 == 0 {
        let Ok([next, after_call]) = memory.read_object::<[u64; 2]>(VirtualAddress(base)) else { break };
        let Some(frame) = frame_at(memory, after_call.wrapping_sub(1)) else { break };
        frames.push(frame);
        // Frames lie one above the other, so that the walk ends.
        (least, base) = (base + 16, next);
    }
    frames
}

/// Who has called a function that has no frame yet, or needs none: most of those that make system calls. The word on top of the stack is
/// then where it returns to, which is after a call.
fn caller_without_frame(memory: &MemoryManager, registers: &Registers) -> Option<GuestFrame> {
    let after_call: u64 = memory.read_object(VirtualAddress(registers.rsp)).ok()?;
    let return_of_frame: Option<u64> = memory.read_object(VirtualAddress(registers.rbp.wrapping_add(8))).ok();
    if return_of_frame == Some(after_call) {
        return None;
    }
    let frame = frame_at(memory, after_call.wrapping_sub(1))?;
    let mut before = [0; 6];
    memory.read_bytes(VirtualAddress(after_call.wrapping_sub(6)), &mut before).ok()?;
    is_call(before).then_some(frame)
}

/// Whether these bytes end with a near call (SDM 2A, "CALL"): relative, by a register, or by a word relative to RIP.
fn is_call(bytes: [u8; 6]) -> bool {
    matches!(bytes, [_, 0xe8, ..] | [0xff, 0x15, ..] | [.., 0xff, 0xd0..=0xd7])
}

fn frame_at(memory: &MemoryManager, address: u64) -> Option<GuestFrame> {
    Some(match memory.code_at(VirtualAddress(address))? {
        CodePlace::File { file, offset } => {
            let (major, minor) = file.device();
            let key = (major, minor, file.inode());
            GuestFrame::Image { key, name: "", file: Some(file), offset }
        }
        CodePlace::Given { name, offset } => GuestFrame::Image { key: (0, 0, 0), name, file: None, offset },
        CodePlace::Anonymous => GuestFrame::Unknown,
    })
}
