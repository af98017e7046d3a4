//! Taking back what was typed into the line that is being edited.

use linux_raw_sys::general as uapi;

use super::output::Echo;
use super::{Discipline, ctype};

/// How much one character takes back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    Character,
    Word,
    Line,
}

impl Discipline {
    /// Takes back, and off the screen. Nothing if the line is empty.
    pub(super) fn erase(&mut self, extent: Extent) {
        if self.is_line_empty() || extent == Extent::Line && self.forget_line() {
            return;
        }
        let mut has_seen_word = false;
        while let Some(start) = self.start_of_last_character() {
            let first = self.input[start].byte;
            if extent == Extent::Word {
                if ctype::is_alphanumeric(first) || first == b'_' {
                    has_seen_word = true;
                } else if has_seen_word {
                    break;
                }
            }
            let rest: Vec<u8> = self.input.drain(start..).skip(1).map(|typed| typed.byte).collect();
            if self.termios.has_local(uapi::ECHO) {
                self.echo_erased(first, &rest, extent);
            }
            if extent == Extent::Character {
                break;
            }
        }
        if self.is_line_empty() && self.termios.has_local(uapi::ECHO) {
            self.finish_erasing();
        }
    }

    /// Ends what ECHOPRT shows between `\\` and `/`.
    pub(super) fn finish_erasing(&mut self) {
        if std::mem::take(&mut self.is_erasing) {
            self.output.echo(Echo::Byte(b'/'));
        }
    }

    /// Forgets the line at once, where the screen does not show each character go. Returns whether that is so.
    fn forget_line(&mut self) -> bool {
        let is_echoing = self.termios.has_local(uapi::ECHO);
        let kills_visibly = [uapi::ECHOK, uapi::ECHOKE, uapi::ECHOE].map(|flag| self.termios.has_local(flag));
        if is_echoing && kills_visibly == [true; 3] {
            return false;
        }
        self.input.truncate(self.complete);
        if is_echoing {
            self.finish_erasing();
            self.echo(self.termios.character(uapi::VKILL));
            if self.termios.has_local(uapi::ECHOK) {
                self.output.echo(Echo::Byte(b'\n'));
            }
        }
        true
    }

    /// Where the last character of the line begins; `None` if there is none, or only a part of one.
    fn start_of_last_character(&self) -> Option<usize> {
        let line = self.input.range(self.complete..);
        let length = line.rev().position(|typed| !self.termios.is_continuation(typed.byte))? + 1;
        self.input.len().checked_sub(length)
    }

    /// Takes the character that was erased off the screen.
    fn echo_erased(&mut self, first: u8, rest: &[u8], extent: Extent) {
        let is_control = ctype::is_control(first);
        if self.termios.has_local(uapi::ECHOPRT) {
            if !std::mem::replace(&mut self.is_erasing, true) {
                self.output.echo(Echo::Byte(b'\\'));
            }
            self.echo(first);
            for &byte in rest {
                self.output.echo(Echo::Byte(byte));
                self.output.echo(Echo::BackOneColumn);
            }
        } else if extent == Extent::Character && !self.termios.has_local(uapi::ECHOE) {
            self.echo(self.termios.character(uapi::VERASE));
        } else if first == b'\t' {
            let (columns, is_after_tab) = self.columns_before_tab();
            let columns = u16::try_from(columns).unwrap_or(u16::MAX);
            self.output.echo(Echo::EraseTab { columns, is_after_tab });
        } else {
            let columns = match (is_control, self.termios.has_local(uapi::ECHOCTL)) {
                (true, true) => 2,
                (true, false) => 0,
                (false, _) => 1,
            };
            for _ in 0..columns {
                b"\x08 \x08".iter().for_each(|&byte| self.output.echo(Echo::Byte(byte)));
            }
        }
    }

    /// The columns of the line since its last tab or its start, and whether it was a tab.
    fn columns_before_tab(&self) -> (usize, bool) {
        let mut columns = 0;
        for typed in self.input.range(self.complete..).rev() {
            match typed.byte {
                b'\t' => return (columns, true),
                byte if ctype::is_control(byte) => {
                    columns += if self.termios.has_local(uapi::ECHOCTL) { 2 } else { 0 };
                }
                byte => columns += usize::from(!self.termios.is_continuation(byte)),
            }
        }
        (columns, false)
    }
}
