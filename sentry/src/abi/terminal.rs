//! Structures about terminals (`asm-generic/termbits.h`, `asm-generic/termios.h`).

use linux_raw_sys::general as uapi;

use super::{same_layout, structures};

structures! {
    /// The kernel's `struct termios` (`man 2 TCSETS`).
    Termios {
        c_iflag: u32,
        c_oflag: u32,
        c_cflag: u32,
        c_lflag: u32,
        c_line: u8,
        c_cc: [u8; 19],
    }

    /// `struct termios2`: with the speeds.
    Termios2 {
        termios: Termios,
        c_ispeed: u32,
        c_ospeed: u32,
    }

    /// `struct termio`, System V's settings: 16 bits of each flag word and the first control characters.
    Termio {
        c_iflag: u16,
        c_oflag: u16,
        c_cflag: u16,
        c_lflag: u16,
        c_line: u8,
        c_cc: [u8; 8],
        padding: u8,
    }
}

same_layout! { Termios, uapi::termios: c_iflag c_oflag c_cflag c_lflag c_line c_cc }
same_layout! { Termios2, uapi::termios2: c_ispeed c_ospeed }
same_layout! { Termio, uapi::termio: c_iflag c_oflag c_cflag c_lflag c_line c_cc }
