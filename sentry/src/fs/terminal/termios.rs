//! The settings of a terminal (`man 2 TCSETS`).

use std::time::Duration;

use linux_raw_sys::general as uapi;

use crate::abi;
use crate::fs::ReadPace;

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
    /// The user's `struct termios2`; a `struct termios` is its first field.
    pub(in crate::fs) fn to_user(self) -> abi::Termios2 {
        let termios = abi::Termios {
            c_iflag: self.input,
            c_oflag: self.output,
            c_cflag: self.control,
            c_lflag: self.local,
            c_line: self.line,
            c_cc: self.control_characters,
        };
        abi::Termios2 { termios, c_ispeed: self.input_speed, c_ospeed: self.output_speed }
    }

    /// What the user's `struct termios` says; the speeds stay.
    pub(in crate::fs) fn updated_from(self, user: &abi::Termios) -> Self {
        Self {
            input: user.c_iflag,
            output: user.c_oflag,
            control: user.c_cflag,
            local: user.c_lflag,
            line: user.c_line,
            control_characters: user.c_cc,
            ..self
        }
    }

    /// What the user's `struct termios2` says.
    pub(in crate::fs) fn from_user(user: &abi::Termios2) -> Self {
        let speeds = Self { input_speed: user.c_ispeed, output_speed: user.c_ospeed, ..Self::no_lock() };
        speeds.updated_from(&user.termios)
    }

    /// The user's `struct termio`.
    pub(in crate::fs) fn to_termio(self) -> abi::Termio {
        let mut c_cc = [0; uapi::NCC as usize];
        c_cc.copy_from_slice(&self.control_characters[..uapi::NCC as usize]);
        abi::Termio {
            c_iflag: self.input as u16,
            c_oflag: self.output as u16,
            c_cflag: self.control as u16,
            c_lflag: self.local as u16,
            c_line: self.line,
            c_cc,
            padding: 0,
        }
    }

    /// What the user's `struct termio` says; what it does not hold stays.
    pub(in crate::fs) fn updated_from_termio(mut self, user: &abi::Termio) -> Self {
        let lower = |word: u32, half: u16| word & 0xffff_0000 | u32::from(half);
        self.input = lower(self.input, user.c_iflag);
        self.output = lower(self.output, user.c_oflag);
        self.control = lower(self.control, user.c_cflag);
        self.local = lower(self.local, user.c_lflag);
        self.line = user.c_line;
        self.control_characters[..uapi::NCC as usize].copy_from_slice(&user.c_cc);
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
