//! The N_TTY line discipline: what becomes of characters between a terminal and the programs on it (`man 3 termios`).
//!
//! It only moves bytes between buffers; who waits for them and who is signalled is the terminal's concern. The
//! buffers are bounded: typed characters that nobody reads wait behind the input buffer, and are refused beyond; in a
//! line that is too long, the last one is replaced.

mod ctype;
mod erase;
mod output;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use linux_raw_sys::general as uapi;

use self::erase::Extent;
use self::output::{Echo, Output};
use super::packet::{PacketMode, PacketStatus};
use crate::fs::terminal::Termios;

/// The input buffer, and so the longest line (`N_TTY_BUF_SIZE`).
const INPUT_BYTES: usize = 4096;
/// Typed bytes that wait for room in the input buffer.
const BACKLOG_BYTES: usize = 11 * 1024;
/// What stands in the input buffer for an end-of-file character.
const END_OF_FILE: u8 = 0;

/// A typed byte.
#[derive(Clone, Copy, Debug)]
struct Typed {
    byte: u8,
    /// It ends a line.
    is_end: bool,
}

/// A line discipline.
#[derive(Default)]
pub(super) struct Discipline {
    termios: Termios,
    input: VecDeque<Typed>,
    /// How much of the input belongs to complete lines, in canonical mode.
    complete: usize,
    /// Typed bytes for which the input has no room yet.
    backlog: VecDeque<u8>,
    output: Output,
    /// The next character is taken literally.
    is_literal_next: bool,
    /// Erased characters are being shown (ECHOPRT).
    is_erasing: bool,
    /// What a master in packet mode is told.
    packet_mode: PacketMode,
}

impl Discipline {
    pub(super) fn termios(&self) -> Termios {
        self.termios
    }

    /// Packet mode: what its master is told of.
    pub(super) fn packet_mode(&mut self) -> &mut PacketMode {
        &mut self.packet_mode
    }

    /// Whether the master has something to read or to be told.
    pub(super) fn is_shown(&self) -> bool {
        self.shown_bytes() > 0 || self.packet_mode.has_status()
    }

    /// Whether ^S and ^Q stop and start output, as a master in packet mode may do for its user.
    fn is_stopped_by_control_s(&self) -> bool {
        let characters = [uapi::VSTOP, uapi::VSTART].map(|index| self.termios.character(index));
        self.termios.has_input(uapi::IXON) && characters == [0x13, 0x11]
    }

    /// New settings. What is in the buffers stays, readable in the new mode.
    pub(super) fn set_termios(&mut self, termios: Termios) {
        let was_stopped_by_control_s = self.is_stopped_by_control_s();
        let old = std::mem::replace(&mut self.termios, termios);
        if (old.local ^ termios.local) & (uapi::ICANON | uapi::EXTPROC) != 0 {
            self.change_mode();
        }
        if old.has_input(uapi::IXON) && !termios.has_input(uapi::IXON) {
            self.start();
        }
        match (was_stopped_by_control_s, self.is_stopped_by_control_s()) {
            (false, true) => self.packet_mode.note(PacketStatus::DOSTOP, PacketStatus::NOSTOP),
            (true, false) => self.packet_mode.note(PacketStatus::NOSTOP, PacketStatus::DOSTOP),
            _ => {}
        }
        if (old.local | termios.local) & uapi::EXTPROC != 0 {
            self.packet_mode.note(PacketStatus::IOCTL, PacketStatus::empty());
        }
    }

    /// What has been typed becomes one line in canonical mode, bytes without ends in the other.
    fn change_mode(&mut self) {
        self.input.iter_mut().for_each(|typed| typed.is_end = false);
        self.complete = 0;
        if self.termios.has_local(uapi::ICANON)
            && let Some(last) = self.input.back_mut()
        {
            last.is_end = true;
            self.complete = self.input.len();
        }
        (self.is_literal_next, self.is_erasing) = (false, false);
    }

    // The program's side.

    /// Whether programs read lines.
    pub(super) fn reads_lines(&self) -> bool {
        self.termios.has_local(uapi::ICANON) && !self.termios.has_local(uapi::EXTPROC)
    }

    /// Bytes that a read could get (FIONREAD).
    pub(super) fn readable_bytes(&self) -> usize {
        if !self.reads_lines() {
            return self.input.len();
        }
        self.input.range(..self.complete).filter(|typed| !typed.ends_file()).count()
    }

    /// Whether there is something to read.
    pub(super) fn has_input(&self) -> bool {
        if self.reads_lines() { self.complete > 0 } else { !self.input.is_empty() }
    }

    /// Whether there is as much to read as poll(2) waits for: without a time limit, VMIN bytes.
    pub(super) fn is_readable(&self) -> bool {
        if self.reads_lines() {
            return self.has_input();
        }
        let least = match self.termios.character(uapi::VTIME) {
            0 => self.termios.character(uapi::VMIN).max(1),
            _ => 1,
        };
        self.input.len() >= usize::from(least)
    }

    /// Reads what there is; `None` if that is nothing.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Option<usize> {
        if !self.has_input() {
            return None;
        }
        Some(if self.reads_lines() { self.read_line(buffer) } else { self.read_bytes(buffer) })
    }

    /// Reads from the first line, up to its end.
    fn read_line(&mut self, buffer: &mut [u8]) -> usize {
        let mut count = 0;
        while self.complete > 0
            && let Some(&first) = self.input.front()
        {
            // An end of file right after what fills the buffer goes with it.
            if count == buffer.len() && !first.ends_file() {
                break;
            }
            self.input.pop_front();
            self.complete -= 1;
            if first.ends_file() {
                break;
            }
            if let Some(place) = buffer.get_mut(count) {
                *place = first.byte;
                count += 1;
            }
            if first.is_end {
                break;
            }
        }
        count
    }

    fn read_bytes(&mut self, buffer: &mut [u8]) -> usize {
        let count = self.input.len().min(buffer.len());
        for (place, typed) in buffer.iter_mut().zip(self.input.drain(..count)) {
            *place = typed.byte;
        }
        self.complete = self.complete.saturating_sub(count);
        // With external processing, an end of file by itself is one.
        let is_canonical = self.termios.has_local(uapi::ICANON);
        let is_end = is_canonical && buffer.first() == Some(&self.termios.character(uapi::VEOF));
        if count == 1 && is_end && self.input.is_empty() { 0 } else { count }
    }

    /// Whether a write would take something.
    pub(super) fn has_output_room(&self) -> bool {
        self.output.has_room()
    }

    /// Shows bytes. Returns how many were taken.
    pub(super) fn write(&mut self, bytes: &[u8]) -> usize {
        self.output.write(bytes, &self.termios)
    }

    /// Forgets what can be read (TCIFLUSH).
    pub(super) fn flush_input(&mut self) {
        self.backlog.clear();
        self.reset_input();
    }

    fn reset_input(&mut self) {
        self.input.clear();
        (self.complete, self.is_erasing) = (0, false);
        self.packet_mode.note(PacketStatus::FLUSHREAD, PacketStatus::empty());
    }

    /// Forgets what has been shown and has not reached the master (TCOFLUSH).
    pub(super) fn flush_output(&mut self) {
        self.output.flush();
        self.packet_mode.note(PacketStatus::FLUSHWRITE, PacketStatus::empty());
    }

    /// Stops or starts output as TCOOFF and TCOON do.
    pub(super) fn stop_by_call(&mut self, is_stopped: bool) {
        if self.output.stop_by_call(is_stopped) {
            self.note_flow(is_stopped);
        }
    }

    fn stop(&mut self) {
        if self.output.stop() {
            self.note_flow(true);
        }
    }

    fn start(&mut self) {
        if self.output.start() {
            self.note_flow(false);
        }
        self.output.process_echoes(&self.termios);
    }

    fn note_flow(&mut self, is_stopped: bool) {
        let (news, over) = (PacketStatus::STOP, PacketStatus::START);
        let (news, over) = if is_stopped { (news, over) } else { (over, news) };
        self.packet_mode.note(news, over);
    }

    /// Sends the stop or the start character to the master (TCIOFF, TCION).
    pub(super) fn send_flow_character(&mut self, index: u32) {
        let character = self.termios.character(index);
        if character != 0 {
            self.output.send(character);
        }
    }

    /// Shows a byte as it is; lost if there is no room.
    pub(super) fn send_to_master(&mut self, byte: u8) {
        self.output.send(byte);
    }

    // The master's side.

    /// Bytes that the master can read.
    pub(super) fn shown_bytes(&self) -> usize {
        self.output.readable_bytes()
    }

    /// Takes shown bytes.
    pub(super) fn take_shown(&mut self, buffer: &mut [u8]) -> usize {
        let taken = self.output.take(buffer);
        self.output.process_echoes(&self.termios);
        taken
    }

    /// Forgets what has been shown, as the master's own choice.
    pub(super) fn forget_shown(&mut self) {
        self.output.forget();
        self.output.process_echoes(&self.termios);
    }

    /// Forgets what was typed and waits for room, as the master's own choice.
    pub(super) fn forget_backlog(&mut self) {
        self.backlog.clear();
    }

    /// Whether typed characters are taken.
    pub(super) fn has_input_room(&self) -> bool {
        self.backlog.len() < BACKLOG_BYTES
    }

    /// Types bytes. Returns how many were taken, and the signals that they cause.
    pub(super) fn type_in(&mut self, bytes: &[u8]) -> (usize, Vec<u32>) {
        let (mut taken, mut signals) = (0, Vec::new());
        for &byte in bytes {
            if self.backlog.is_empty() && self.makes_room() {
                signals.extend(self.receive(byte));
            } else if self.has_input_room() {
                self.backlog.push_back(byte);
            } else {
                break;
            }
            taken += 1;
        }
        self.output.process_echoes(&self.termios);
        (taken, signals)
    }

    /// Receives what waited for room. The signals that it causes.
    pub(super) fn receive_backlog(&mut self) -> Vec<u32> {
        let mut signals = Vec::new();
        if self.backlog.is_empty() {
            return signals;
        }
        while !self.backlog.is_empty() && self.makes_room() {
            let byte = self.backlog.pop_front();
            signals.extend(byte.and_then(|byte| self.receive(byte)));
        }
        self.output.process_echoes(&self.termios);
        signals
    }

    /// Whether the input takes one more byte. A line that fills the buffer loses its last one for it, so that editing
    /// goes on and a newline is taken.
    fn makes_room(&mut self) -> bool {
        // A marked byte may take three places.
        let places = if self.termios.has_input(uapi::PARMRK) { 3 } else { 1 };
        let room = INPUT_BYTES.saturating_sub(self.input.len()).div_ceil(places);
        if room > 1 {
            return true;
        }
        let is_one_line = self.termios.has_local(uapi::ICANON) && self.complete == 0;
        if is_one_line && room == 0 {
            self.input.pop_back();
        }
        is_one_line
    }

    // Input processing.

    /// Receives one typed byte. The signal that it causes.
    fn receive(&mut self, byte: u8) -> Option<u32> {
        let termios = self.termios;
        let mut byte = if termios.has_input(uapi::ISTRIP) { byte & 0x7f } else { byte };
        if termios.has_input(uapi::IUCLC) && termios.has_local(uapi::IEXTEN) {
            byte = ctype::to_lower(byte);
        }
        if std::mem::take(&mut self.is_literal_next) {
            self.accept(byte);
            return None;
        }
        if termios.has_local(uapi::EXTPROC) {
            self.put(byte, false);
            return None;
        }
        if termios.has_input(uapi::IXON) && self.control_flow(byte) {
            return None;
        }
        if termios.has_local(uapi::ISIG)
            && let Some(signal) = self.signal_of(byte)
        {
            self.interrupt(byte);
            return Some(signal);
        }
        if termios.has_input(uapi::IXON) && termios.has_input(uapi::IXANY) && self.output.is_stopped() {
            self.start();
        }
        if byte == b'\r' && termios.has_input(uapi::IGNCR) {
            return None;
        }
        let is_return = byte == b'\r' && termios.has_input(uapi::ICRNL);
        if is_return {
            byte = b'\n';
        } else if byte == b'\n' && termios.has_input(uapi::INLCR) {
            byte = b'\r';
        }
        if termios.has_local(uapi::ICANON) && self.edit(byte) {
            return None;
        }
        if is_return && termios.has_local(uapi::ECHO) {
            // A return that became a newline shows as one, where one that was typed is a control character.
            self.output.echo(Echo::Byte(byte));
            self.put(byte, false);
        } else {
            self.accept(byte);
        }
        None
    }

    /// Whether `byte` is the control character at `index`, which may be disabled.
    fn is_character(&self, byte: u8, index: u32) -> bool {
        byte != 0 && byte == self.termios.character(index)
    }

    /// The start and stop characters. Returns whether `byte` was one.
    fn control_flow(&mut self, byte: u8) -> bool {
        if self.is_character(byte, uapi::VSTART) {
            self.start();
            return true;
        }
        let is_stop = self.is_character(byte, uapi::VSTOP);
        if is_stop {
            self.stop();
        }
        is_stop
    }

    fn signal_of(&self, byte: u8) -> Option<u32> {
        let signals =
            [(uapi::VINTR, uapi::SIGINT), (uapi::VQUIT, uapi::SIGQUIT), (uapi::VSUSP, uapi::SIGTSTP)];
        signals.into_iter().find(|(index, _)| self.is_character(byte, *index)).map(|(_, signal)| signal)
    }

    fn interrupt(&mut self, byte: u8) {
        if !self.termios.has_local(uapi::NOFLSH) {
            self.output.forget_echoes();
            self.flush_output();
            self.reset_input();
        }
        if self.termios.has_input(uapi::IXON) {
            self.start();
        }
        if self.termios.has_local(uapi::ECHO) {
            self.echo(byte);
        }
    }

    /// The editing characters of canonical mode. Returns whether `byte` was one.
    fn edit(&mut self, byte: u8) -> bool {
        let is_extended = self.termios.has_local(uapi::IEXTEN);
        let is_echoing = self.termios.has_local(uapi::ECHO);
        match byte {
            _ if self.is_character(byte, uapi::VERASE) => self.erase(Extent::Character),
            _ if self.is_character(byte, uapi::VKILL) => self.erase(Extent::Line),
            _ if is_extended && self.is_character(byte, uapi::VWERASE) => self.erase(Extent::Word),
            _ if is_extended && self.is_character(byte, uapi::VLNEXT) => self.take_next_literally(),
            _ if is_extended && is_echoing && self.is_character(byte, uapi::VREPRINT) => self.reprint(byte),
            b'\n' => {
                if is_echoing || self.termios.has_local(uapi::ECHONL) {
                    self.output.echo(Echo::Byte(b'\n'));
                }
                self.put(b'\n', true);
            }
            _ if self.is_character(byte, uapi::VEOF) => self.put(END_OF_FILE, true),
            _ if self.is_character(byte, uapi::VEOL)
                || is_extended && self.is_character(byte, uapi::VEOL2) =>
            {
                if is_echoing {
                    self.echo_in_line(byte);
                }
                self.double_if_marked(byte);
                self.put(byte, true);
            }
            _ => return false,
        }
        true
    }

    fn take_next_literally(&mut self) {
        self.is_literal_next = true;
        if self.termios.has_local(uapi::ECHO) {
            self.finish_erasing();
            if self.termios.has_local(uapi::ECHOCTL) {
                b"^\x08".iter().for_each(|&byte| self.output.echo(Echo::Byte(byte)));
            }
        }
    }

    fn reprint(&mut self, byte: u8) {
        self.finish_erasing();
        self.echo(byte);
        self.output.echo(Echo::Byte(b'\n'));
        let line: Vec<u8> = self.input.range(self.complete..).map(|typed| typed.byte).collect();
        line.into_iter().for_each(|byte| self.echo(byte));
    }

    /// Adds a character that means nothing special.
    fn accept(&mut self, byte: u8) {
        if self.termios.has_local(uapi::ECHO) {
            self.finish_erasing();
            self.echo_in_line(byte);
        }
        self.double_if_marked(byte);
        self.put(byte, false);
    }

    /// Where errors are marked with 0xff, the character 0xff is two.
    fn double_if_marked(&mut self, byte: u8) {
        if byte == 0xff && self.termios.has_input(uapi::PARMRK) {
            self.put(byte, false);
        }
    }

    fn put(&mut self, byte: u8, is_end: bool) {
        self.input.push_back(Typed { byte, is_end });
        if is_end {
            self.complete = self.input.len();
        }
    }

    fn is_line_empty(&self) -> bool {
        self.complete == self.input.len()
    }

    /// Shows a character of the line; its first one says where the line begins.
    fn echo_in_line(&mut self, byte: u8) {
        if self.is_line_empty() {
            self.output.echo(Echo::MarkLineStart);
        }
        self.echo(byte);
    }

    /// Shows a typed character; control characters as `^X`.
    fn echo(&mut self, byte: u8) {
        let is_control = ctype::is_control(byte) && byte != b'\t';
        self.output.echo(match byte {
            0xff => Echo::Literal(byte),
            byte if is_control && self.termios.has_local(uapi::ECHOCTL) => Echo::Control(byte),
            byte => Echo::Byte(byte),
        });
    }
}

impl Typed {
    /// Whether it stands for an end of file.
    fn ends_file(self) -> bool {
        self.is_end && self.byte == END_OF_FILE
    }
}
