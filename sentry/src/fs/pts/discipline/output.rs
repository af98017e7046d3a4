//! What a terminal shows: written bytes and echoes, processed on their way to the master.
//!
//! While output is stopped, or the master has not read for long, echoes wait; the oldest are lost if they become too many.

use std::collections::VecDeque;

use linux_raw_sys::general as uapi;

use super::ctype;
use crate::fs::terminal::Termios;

/// Bytes that a master can read at once: its own input buffer is full then.
pub(super) const READABLE_BYTES: usize = 4095;
/// Shown bytes that are kept for the master: what it can read at once, and what is on its way to it.
pub(super) const OUTPUT_BYTES: usize = 15 * 1024;
/// Echoes that wait.
const MAX_ECHOES: usize = 4096;
/// The most that one shown byte becomes: a tab.
const WIDEST: usize = 8;
const TAB_COLUMNS: usize = 8;

/// One step of showing what was typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Echo {
    /// A byte, processed as output is.
    Byte(u8),
    /// A byte as it is.
    Literal(u8),
    /// A control character, as `^X`.
    Control(u8),
    /// The line that is being typed begins in this column.
    MarkLineStart,
    /// A byte of a character that has been counted already.
    BackOneColumn,
    /// Goes back over a tab that came after so many columns, which began at a tab stop or where the line did.
    EraseTab { columns: u16, is_after_tab: bool },
}

/// The output side of a line discipline.
#[derive(Default)]
pub(super) struct Output {
    shown: VecDeque<u8>,
    echoes: VecDeque<Echo>,
    column: usize,
    line_start_column: usize,
    is_stopped: bool,
    /// Stopped by TCOOFF: only TCOON starts it.
    is_stopped_by_call: bool,
}

impl Output {
    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// Stops it. Returns whether it ran.
    pub(super) fn stop(&mut self) -> bool {
        !std::mem::replace(&mut self.is_stopped, true)
    }

    /// Starts it, unless a call stopped it. Returns whether it stood.
    pub(super) fn start(&mut self) -> bool {
        !self.is_stopped_by_call && std::mem::replace(&mut self.is_stopped, false)
    }

    /// As TCOOFF and TCOON do. Returns whether that changed anything.
    pub(super) fn stop_by_call(&mut self, is_stopped: bool) -> bool {
        if std::mem::replace(&mut self.is_stopped_by_call, is_stopped) == is_stopped {
            return false;
        }
        if is_stopped { self.stop() } else { self.start() }
    }

    /// Whether there is room for whatever one byte becomes.
    pub(super) fn has_room(&self) -> bool {
        !self.is_stopped && self.shown.len() + WIDEST <= OUTPUT_BYTES
    }

    /// Bytes that the master can read.
    pub(super) fn readable_bytes(&self) -> usize {
        self.shown.len().min(READABLE_BYTES)
    }

    /// Moves bytes to the master. Returns how many.
    pub(super) fn take(&mut self, buffer: &mut [u8]) -> usize {
        let count = self.readable_bytes().min(buffer.len());
        for (place, byte) in buffer.iter_mut().zip(self.shown.drain(..count)) {
            *place = byte;
        }
        count
    }

    /// Forgets what is on its way; what has reached the master stays.
    pub(super) fn flush(&mut self) {
        self.shown.truncate(READABLE_BYTES);
    }

    /// Forgets all that has been shown.
    pub(super) fn forget(&mut self) {
        self.shown.clear();
    }

    /// Forgets the echoes that wait.
    pub(super) fn forget_echoes(&mut self) {
        self.echoes.clear();
    }

    /// Sends a byte as it is; lost if there is no room.
    pub(super) fn send(&mut self, byte: u8) {
        if self.shown.len() + WIDEST <= OUTPUT_BYTES {
            self.shown.push_back(byte);
        }
    }

    /// Shows written bytes, after the echoes of what was typed before. Returns how many were taken.
    pub(super) fn write(&mut self, bytes: &[u8], termios: &Termios) -> usize {
        self.process_echoes(termios);
        let mut taken = 0;
        for &byte in bytes {
            if !self.has_room() {
                break;
            }
            self.show(byte, termios);
            taken += 1;
        }
        taken
    }

    /// Adds an echo.
    pub(super) fn echo(&mut self, echo: Echo) {
        if self.echoes.len() >= MAX_ECHOES {
            self.echoes.pop_front();
        }
        self.echoes.push_back(echo);
    }

    /// Shows the echoes that there is room for.
    pub(super) fn process_echoes(&mut self, termios: &Termios) {
        while self.has_room()
            && let Some(echo) = self.echoes.pop_front()
        {
            self.process_echo(echo, termios);
        }
    }

    fn process_echo(&mut self, echo: Echo, termios: &Termios) {
        match echo {
            Echo::Byte(byte) => self.show(byte, termios),
            Echo::Literal(byte) => {
                self.shown.push_back(byte);
                self.column += 1;
            }
            Echo::Control(byte) => {
                self.shown.extend([b'^', byte ^ 0x40]);
                self.column += 2;
            }
            Echo::MarkLineStart => self.line_start_column = self.column,
            Echo::BackOneColumn => self.column = self.column.saturating_sub(1),
            Echo::EraseTab { columns, is_after_tab } => {
                let start = if is_after_tab { 0 } else { self.line_start_column };
                let count = TAB_COLUMNS - (usize::from(columns) + start) % TAB_COLUMNS;
                self.shown.extend(std::iter::repeat_n(b'\x08', count));
                self.column = self.column.saturating_sub(count);
            }
        }
    }

    /// Output processing. There is room for [`WIDEST`] bytes.
    fn show(&mut self, byte: u8, termios: &Termios) {
        if !termios.has_output(uapi::OPOST) {
            self.shown.push_back(byte);
            return;
        }
        match byte {
            b'\n' => self.show_newline(termios),
            b'\r' if termios.has_output(uapi::ONOCR) && self.column == 0 => {}
            b'\r' if termios.has_output(uapi::OCRNL) => {
                if termios.has_output(uapi::ONLRET) {
                    (self.column, self.line_start_column) = (0, 0);
                }
                self.shown.push_back(b'\n');
            }
            b'\r' => {
                (self.column, self.line_start_column) = (0, 0);
                self.shown.push_back(b'\r');
            }
            b'\t' => self.show_tab(termios),
            b'\x08' => {
                self.column = self.column.saturating_sub(1);
                self.shown.push_back(byte);
            }
            byte if ctype::is_control(byte) => self.shown.push_back(byte),
            byte => {
                let byte = if termios.has_output(uapi::OLCUC) { ctype::to_upper(byte) } else { byte };
                self.column += usize::from(!termios.is_continuation(byte));
                self.shown.push_back(byte);
            }
        }
    }

    fn show_newline(&mut self, termios: &Termios) {
        if termios.has_output(uapi::ONLRET | uapi::ONLCR) {
            self.column = 0;
        }
        self.line_start_column = self.column;
        if termios.has_output(uapi::ONLCR) {
            self.shown.push_back(b'\r');
        }
        self.shown.push_back(b'\n');
    }

    fn show_tab(&mut self, termios: &Termios) {
        let spaces = TAB_COLUMNS - self.column % TAB_COLUMNS;
        self.column += spaces;
        if termios.output & uapi::TABDLY == uapi::XTABS {
            self.shown.extend(std::iter::repeat_n(b' ', spaces));
        } else {
            self.shown.push_back(b'\t');
        }
    }
}
