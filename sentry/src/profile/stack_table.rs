//! Stacks, each once, with the processor time that was spent in it.

use std::collections::HashMap;

/// Frames that all stacks have together.
const MAX_FRAMES: usize = 1 << 20;
/// Images that are told apart.
const MAX_IMAGES: usize = 4096;
/// Names of frames without addresses.
const MAX_LABELS: usize = 8192;

/// One frame of a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Frame {
    /// What has a name.
    Label(u32),
    /// A place in a file that user code executes.
    Guest {
        /// The file's number.
        image: u32,
        /// The place in it, bytes.
        offset: u64,
    },
    /// A place in user code that no file is behind.
    Unknown,
    /// An address of this process.
    Host(u64),
}

/// The stacks.
#[derive(Debug, Default)]
pub(super) struct StackTable {
    pub(super) stacks: HashMap<Box<[Frame]>, u64>,
    frames: usize,
    pub(super) images: Vec<Vec<u8>>,
    image_numbers: HashMap<(u32, u32, u64), u32>,
    pub(super) labels: Vec<String>,
    label_numbers: HashMap<String, u32>,
    pub(super) lost: u64,
}

impl StackTable {
    pub(super) fn add(&mut self, frames: Vec<Frame>, weight_ns: u64) {
        if let Some(sum) = self.stacks.get_mut(&*frames) {
            *sum = sum.saturating_add(weight_ns);
        } else if self.frames + frames.len() <= MAX_FRAMES {
            self.frames += frames.len();
            self.stacks.insert(frames.into(), weight_ns);
        } else {
            self.lost += 1;
        }
    }

    pub(super) fn find_image(&self, key: (u32, u32, u64)) -> Option<u32> {
        self.image_numbers.get(&key).copied()
    }

    /// Past a number of images, they share the last number.
    pub(super) fn add_image(&mut self, key: (u32, u32, u64), path: Vec<u8>) -> u32 {
        if self.images.len() >= MAX_IMAGES {
            return MAX_IMAGES as u32 - 1;
        }
        let number = self.images.len() as u32;
        self.images.push(path);
        *self.image_numbers.entry(key).or_insert(number)
    }

    /// Past a number of labels, they share the first.
    pub(super) fn label(&mut self, name: &str) -> u32 {
        if let Some(number) = self.label_numbers.get(name) {
            return *number;
        }
        if self.labels.len() >= MAX_LABELS {
            return 0;
        }
        let number = self.labels.len() as u32;
        self.labels.push(name.to_owned());
        self.label_numbers.insert(name.to_owned(), number);
        number
    }
}
