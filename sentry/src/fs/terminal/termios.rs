//! Terminal settings in the user API's layout (`man 2 TCSETS`).

use linux_raw_sys::general as uapi;

/// Bytes of the kernel's `struct termios`.
pub(in crate::fs) const TERMIOS_BYTES: usize = 36;
/// Bytes of `struct termios2`: the same, then the input and output speed.
pub(in crate::fs) const TERMIOS2_BYTES: usize = 44;
/// The speed that a pseudoterminal shows.
const BAUD_38400: u32 = 38400;

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

    /// The control character at a `V*` index; 0 is "none".
    pub fn character(&self, index: u32) -> u8 {
        self.control_characters.get(index as usize).copied().unwrap_or(0)
    }
}

/// `struct winsize`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct WindowSize {
    /// Rows, columns, and the size in pixels: width, height.
    pub fields: [u16; 4],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_their_layout() {
        let settings = Termios { line: 7, input_speed: 9600, ..Termios::default() };
        assert_eq!(Termios::default().updated_from(&settings.to_bytes()), settings);
        let short = Termios { input_speed: BAUD_38400, ..settings };
        assert_eq!(Termios::default().updated_from(&settings.to_bytes()[..TERMIOS_BYTES]), short);
        assert_eq!(settings.character(uapi::VEOF), 4);
    }
}
