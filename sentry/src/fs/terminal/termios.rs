//! Terminal settings in the user API's layout (`man 2 TCSETS`).

use std::time::Duration;

use linux_raw_sys::general as uapi;

use crate::fs::ReadPace;

/// Bytes of the kernel's `struct termios`.
pub(in crate::fs) const TERMIOS_BYTES: usize = 36;
/// Bytes of `struct termios2`: the same, then the input and output speed.
pub(in crate::fs) const TERMIOS2_BYTES: usize = 44;
/// Bytes of `struct termio`, System V's settings: 16 bits of each flag word and the first control characters.
pub(in crate::fs) const TERMIO_BYTES: usize = size_of::<uapi::termio>();
/// Where `struct termio` ends, but for its padding.
const TERMIO_END: usize = TERMIO_CHARACTERS + uapi::NCC as usize;
/// Where `struct termio` holds its control characters, after `c_line`.
const TERMIO_CHARACTERS: usize = 9;
/// The speed that a new pseudoterminal shows.
const BAUD_38400: u32 = 38400;
/// Speeds by the number in `c_cflag`: `B0` to `B38400`, and `B57600` onward with [`uapi::CBAUDEX`].
const SPEEDS: [u32; 16] =
    [0, 50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19200, BAUD_38400];
const EXTRA_SPEEDS: [u32; 16] = [
    0, 57600, 115_200, 230_400, 460_800, 500_000, 576_000, 921_600, 1_000_000, 1_152_000, 1_500_000,
    2_000_000, 2_500_000, 3_000_000, 3_500_000, 4_000_000,
];

/// The unit of VTIME.
const TENTH_OF_A_SECOND: Duration = Duration::from_millis(100);
/// Control characters of [`Termios::control_characters`].
const CONTROL_CHARACTERS: usize = 19;

/// The settings of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Termios {
    /// `c_iflag`.
    pub input: u32,
    /// `c_oflag`.
    pub output: u32,
    /// `c_cflag`.
    pub control: u32,
    /// `c_lflag`.
    pub local: u32,
    /// `c_line`.
    pub line: u8,
    /// `c_cc`, by `V*` index.
    pub control_characters: [u8; CONTROL_CHARACTERS],
    /// Input speed in baud.
    pub input_speed: u32,
    /// Output speed in baud.
    pub output_speed: u32,
}

impl Default for Termios {
    /// What Linux gives a new terminal.
    fn default() -> Self {
        let mut control_characters = [0; CONTROL_CHARACTERS];
        for (index, character) in [
            (uapi::VINTR, 0x03),
            (uapi::VQUIT, 0x1c),
            (uapi::VERASE, 0x7f),
            (uapi::VKILL, 0x15),
            (uapi::VEOF, 0x04),
            (uapi::VMIN, 1),
            (uapi::VSTART, 0x11),
            (uapi::VSTOP, 0x13),
            (uapi::VSUSP, 0x1a),
            (uapi::VREPRINT, 0x12),
            (uapi::VDISCARD, 0x0f),
            (uapi::VWERASE, 0x17),
            (uapi::VLNEXT, 0x16),
        ] {
            control_characters[index as usize] = character;
        }
        Self {
            input: uapi::ICRNL | uapi::IXON,
            output: uapi::OPOST | uapi::ONLCR,
            control: uapi::B38400 | uapi::CS8 | uapi::CREAD,
            local: uapi::ISIG
                | uapi::ICANON
                | uapi::ECHO
                | uapi::ECHOE
                | uapi::ECHOK
                | uapi::ECHOCTL
                | uapi::ECHOKE
                | uapi::IEXTEN,
            line: 0,
            control_characters,
            input_speed: BAUD_38400,
            output_speed: BAUD_38400,
        }
    }
}

impl Termios {
    /// The user's `struct termios2`; its first [`TERMIOS_BYTES`] are `struct termios`.
    pub fn to_bytes(&self) -> [u8; TERMIOS2_BYTES] {
        let mut bytes = [0; TERMIOS2_BYTES];
        let words = [self.input, self.output, self.control, self.local];
        for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        bytes[16] = self.line;
        bytes[17..36].copy_from_slice(&self.control_characters);
        bytes[36..40].copy_from_slice(&self.input_speed.to_ne_bytes());
        bytes[40..44].copy_from_slice(&self.output_speed.to_ne_bytes());
        bytes
    }

    /// Reads the user's structure; what a `struct termios` does not hold stays as it is here.
    pub fn updated_from(mut self, bytes: &[u8]) -> Self {
        let word = |index: usize| {
            bytes.get(index * 4..).and_then(|rest| rest.first_chunk()).map(|word| u32::from_ne_bytes(*word))
        };
        self.input = word(0).unwrap_or(self.input);
        self.output = word(1).unwrap_or(self.output);
        self.control = word(2).unwrap_or(self.control);
        self.local = word(3).unwrap_or(self.local);
        self.line = bytes.get(16).copied().unwrap_or(self.line);
        if let Some(characters) = bytes.get(17..36) {
            self.control_characters.copy_from_slice(characters);
        }
        self.input_speed = word(9).unwrap_or(self.input_speed);
        self.output_speed = word(10).unwrap_or(self.output_speed);
        self
    }

    /// The user's `struct termio`.
    pub fn to_termio_bytes(&self) -> [u8; TERMIO_BYTES] {
        let mut bytes = [0; TERMIO_BYTES];
        let words = [self.input, self.output, self.control, self.local];
        for (place, word) in bytes.chunks_exact_mut(2).zip(words) {
            place.copy_from_slice(&word.to_ne_bytes()[..2]);
        }
        bytes[TERMIO_CHARACTERS - 1] = self.line;
        bytes[TERMIO_CHARACTERS..TERMIO_END].copy_from_slice(&self.control_characters[..uapi::NCC as usize]);
        bytes
    }

    /// Reads the user's `struct termio`; what it does not hold stays as it is here.
    pub fn updated_from_termio(mut self, bytes: &[u8; TERMIO_BYTES]) -> Self {
        let words = [&mut self.input, &mut self.output, &mut self.control, &mut self.local];
        for (word, half) in words.into_iter().zip(bytes.chunks_exact(2)) {
            *word = *word & 0xffff_0000 | u32::from(u16::from_ne_bytes([half[0], half[1]]));
        }
        self.line = bytes[TERMIO_CHARACTERS - 1];
        self.control_characters[..uapi::NCC as usize].copy_from_slice(&bytes[TERMIO_CHARACTERS..TERMIO_END]);
        self
    }

    /// The settings that a pseudoterminal makes of these, which a user asks for: its characters have 8 bits and no
    /// parity, and its speeds are those that `c_cflag` names.
    pub fn on_pseudoterminal(mut self) -> Self {
        self.output_speed = speed(self.control, self.output_speed);
        self.input_speed = match self.control >> uapi::IBSHIFT & uapi::CBAUD {
            uapi::B0 => self.output_speed,
            number => speed(number, self.input_speed),
        };
        self.control &= !(uapi::CSIZE | uapi::PARENB | uapi::ADDRB);
        self.control |= uapi::CS8 | uapi::CREAD;
        self
    }

    /// These settings with those of `old` where `lock` has bits set, or characters other than 0 (TIOCSLCKTRMIOS).
    pub fn locked(mut self, lock: &Self, old: &Self) -> Self {
        let keep = |new: &mut u32, lock: u32, old: u32| *new = *new & !lock | old & lock;
        keep(&mut self.input, lock.input, old.input);
        keep(&mut self.output, lock.output, old.output);
        keep(&mut self.control, lock.control, old.control);
        keep(&mut self.local, lock.local, old.local);
        if lock.line != 0 {
            self.line = old.line;
        }
        let characters = self.control_characters.iter_mut().zip(lock.control_characters);
        for ((new, lock), old) in characters.zip(old.control_characters) {
            if lock != 0 {
                *new = old;
            }
        }
        self
    }

    /// A lock of nothing.
    pub fn no_lock() -> Self {
        Self {
            input: 0,
            output: 0,
            control: 0,
            local: 0,
            line: 0,
            control_characters: [0; CONTROL_CHARACTERS],
            input_speed: 0,
            output_speed: 0,
        }
    }

    /// Whether `c_iflag` has one of these flags.
    pub fn has_input(&self, flags: u32) -> bool {
        self.input & flags != 0
    }

    /// Whether `c_oflag` has one of these flags.
    pub fn has_output(&self, flags: u32) -> bool {
        self.output & flags != 0
    }

    /// Whether `c_lflag` has one of these flags.
    pub fn has_local(&self, flags: u32) -> bool {
        self.local & flags != 0
    }

    /// How reads wait in non-canonical mode (VMIN, VTIME).
    pub(in crate::fs) fn read_pace(&self) -> ReadPace {
        let least_bytes = self.character(uapi::VMIN);
        let time = TENTH_OF_A_SECOND * u32::from(self.character(uapi::VTIME));
        match least_bytes {
            0 => ReadPace { least_bytes: 1, first: Some(time), between: None },
            _ => ReadPace {
                least_bytes: least_bytes.into(),
                first: None,
                between: Some(time).filter(|time| !time.is_zero()),
            },
        }
    }

    /// Whether `byte` goes on with a character of UTF-8 (IUTF8).
    pub fn is_continuation(&self, byte: u8) -> bool {
        self.has_input(uapi::IUTF8) && byte & 0xc0 == 0x80
    }

    /// The control character at a `V*` index; 0 is "none".
    pub fn character(&self, index: u32) -> u8 {
        self.control_characters.get(index as usize).copied().unwrap_or(0)
    }
}

/// The speed that the low bits of `control` name; `other` if they leave it to the speed's own field.
fn speed(control: u32, other: u32) -> u32 {
    let index = (control & uapi::CBAUD & !uapi::CBAUDEX) as usize;
    match (control & uapi::CBAUDEX != 0, index) {
        (true, 0) => other,
        (true, index) => EXTRA_SPEEDS.get(index).copied().unwrap_or(other),
        (false, index) => SPEEDS.get(index).copied().unwrap_or(other),
    }
}

/// `struct winsize`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct WindowSize {
    /// Rows, columns, and the size in pixels: width, height.
    pub fields: [u16; 4],
}

#[cfg(test)]
mod tests;
