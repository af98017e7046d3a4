//! The N_TTY line discipline: what becomes of characters between a terminal and the programs on it (`man 3 termios`).
//!
//! It only moves bytes between buffers; who waits for them and who is signalled is the terminal's concern. The
//! buffers are bounded: typed characters beyond the input buffer are refused, or lost in a line that is too long, and
//! echoes beyond the output buffer are lost.

use std::collections::VecDeque;

use linux_raw_sys::general as uapi;

use super::packet::{PacketMode, PacketStatus};
use crate::fs::terminal::Termios;

/// Typed bytes that are kept, and bytes in one line (`N_TTY_BUF_SIZE`).
const INPUT_BYTES: usize = 4096;
/// Shown bytes that are kept for the master.
const OUTPUT_BYTES: usize = 16 * 1024;
/// The most that one shown byte becomes: a tab.
const WIDEST: usize = 8;
const TAB_COLUMNS: usize = 8;
const DELETE: u8 = 0x7f;

/// Bytes that a program may read; in canonical mode, one line.
#[derive(Default)]
struct Line {
    bytes: VecDeque<u8>,
    /// Ended by the end-of-file character, which is not read: a line of nothing else reads as 0 bytes.
    ends_file: bool,
}

/// A line discipline.
#[derive(Default)]
pub(super) struct Discipline {
    termios: Termios,
    /// What can be read.
    ready: VecDeque<Line>,
    ready_bytes: usize,
    /// The line that is being edited, in canonical mode.
    line: Vec<u8>,
    /// The column where the line began, for erasing tabs.
    line_start_column: usize,
    output: VecDeque<u8>,
    column: usize,
    /// Output is stopped by the stop character or TCOOFF.
    is_stopped: bool,
    /// The next character is taken literally.
    is_literal_next: bool,
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
        self.is_input(uapi::IXON) && characters == [0x13, 0x11]
    }

    /// New settings. What is in the buffers stays, readable in the new mode.
    pub(super) fn set_termios(&mut self, termios: Termios) {
        let was_stopped_by_control_s = self.is_stopped_by_control_s();
        let was_canonical = self.is_local(uapi::ICANON);
        self.termios = termios;
        if was_canonical != self.is_local(uapi::ICANON) {
            self.is_literal_next = false;
            let line = std::mem::take(&mut self.line);
            if !line.is_empty() {
                self.push_line(line, false);
            }
        }
        if termios.input & uapi::IXON == 0 {
            self.set_stopped(false);
        }
        match (was_stopped_by_control_s, self.is_stopped_by_control_s()) {
            (false, true) => self.packet_mode.note(PacketStatus::DO_STOP, PacketStatus::NO_STOP),
            (true, false) => self.packet_mode.note(PacketStatus::NO_STOP, PacketStatus::DO_STOP),
            _ => {}
        }
    }

    fn is_local(&self, flag: u32) -> bool {
        self.termios.local & flag != 0
    }

    fn is_input(&self, flag: u32) -> bool {
        self.termios.input & flag != 0
    }

    fn is_output(&self, flag: u32) -> bool {
        self.termios.output & flag != 0
    }

    /// Whether `byte` is the control character at `index`, which may be disabled.
    fn is_character(&self, byte: u8, index: u32) -> bool {
        byte != 0 && byte == self.termios.character(index)
    }

    // The program's side.

    /// Bytes that a read could get.
    pub(super) fn readable_bytes(&self) -> usize {
        self.ready_bytes
    }

    /// Whether a read would return.
    pub(super) fn is_readable(&self) -> bool {
        if self.is_local(uapi::ICANON) {
            return !self.ready.is_empty();
        }
        self.ready_bytes >= self.least_read().max(1)
    }

    /// The bytes that a read in non-canonical mode waits for. With a time limit, any will do.
    fn least_read(&self) -> usize {
        match self.termios.character(uapi::VTIME) {
            0 => self.termios.character(uapi::VMIN).into(),
            _ => 1,
        }
    }

    /// Reads; `None` if it has to wait.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Option<usize> {
        if self.is_local(uapi::ICANON) {
            let line = self.ready.front_mut()?;
            let count = take(&mut line.bytes, buffer);
            if line.bytes.is_empty() {
                self.ready.pop_front();
            }
            self.ready_bytes -= count;
            return Some(count);
        }
        if self.ready_bytes < self.least_read().min(buffer.len()) {
            return None;
        }
        let mut count = 0;
        while let (Some(line), true) = (self.ready.front_mut(), count < buffer.len()) {
            count += take(&mut line.bytes, &mut buffer[count..]);
            if line.bytes.is_empty() {
                self.ready.pop_front();
            }
        }
        self.ready_bytes -= count;
        Some(count)
    }

    /// Whether a write would take something.
    pub(super) fn has_output_room(&self) -> bool {
        !self.is_stopped && self.output.len() + WIDEST <= OUTPUT_BYTES
    }

    /// Shows bytes. Returns how many were taken.
    pub(super) fn write(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        for &byte in bytes {
            if !self.has_output_room() {
                break;
            }
            self.show(byte);
            taken += 1;
        }
        taken
    }

    /// Forgets what can be read (TCIFLUSH).
    pub(super) fn flush_input(&mut self) {
        self.ready.clear();
        self.line.clear();
        (self.ready_bytes, self.is_literal_next) = (0, false);
        self.packet_mode.note(PacketStatus::FLUSH_READ, PacketStatus::empty());
    }

    /// Forgets what has been shown and not been seen (TCOFLUSH).
    pub(super) fn flush_output(&mut self) {
        self.output.clear();
        self.packet_mode.note(PacketStatus::FLUSH_WRITE, PacketStatus::empty());
    }

    /// Forgets what has been shown, as the master's own choice.
    pub(super) fn forget_shown(&mut self) {
        self.output.clear();
    }

    /// Sends the stop or the start character to the master (TCIOFF, TCION).
    pub(super) fn send_flow_character(&mut self, index: u32) {
        let character = self.termios.character(index);
        if character != 0 {
            self.send_to_master(character);
        }
    }

    /// Shows a byte as it is; lost if there is no room.
    pub(super) fn send_to_master(&mut self, byte: u8) {
        if self.output.len() + WIDEST <= OUTPUT_BYTES {
            self.output.push_back(byte);
        }
    }

    /// Stops or starts output (TCXONC).
    pub(super) fn set_stopped(&mut self, is_stopped: bool) {
        match (self.is_stopped, is_stopped) {
            (false, true) => self.packet_mode.note(PacketStatus::STOP, PacketStatus::START),
            (true, false) => self.packet_mode.note(PacketStatus::START, PacketStatus::STOP),
            _ => {}
        }
        self.is_stopped = is_stopped;
    }

    // The master's side.

    /// Bytes that have been shown.
    pub(super) fn shown_bytes(&self) -> usize {
        if self.is_stopped { 0 } else { self.output.len() }
    }

    /// Takes shown bytes.
    pub(super) fn take_shown(&mut self, buffer: &mut [u8]) -> usize {
        if self.is_stopped { 0 } else { take(&mut self.output, buffer) }
    }

    /// Whether typed characters are taken.
    pub(super) fn has_input_room(&self) -> bool {
        self.ready_bytes < INPUT_BYTES && self.ready.len() < INPUT_BYTES
    }

    /// Types bytes. Returns how many were taken, and the signals that they cause.
    pub(super) fn type_in(&mut self, bytes: &[u8]) -> (usize, Vec<u32>) {
        let (mut taken, mut signals) = (0, Vec::new());
        for &byte in bytes {
            if !self.has_input_room() {
                break;
            }
            signals.extend(self.type_byte(byte));
            taken += 1;
        }
        (taken, signals)
    }

    fn type_byte(&mut self, byte: u8) -> Option<u32> {
        let mut byte = if self.is_input(uapi::ISTRIP) { byte & 0x7f } else { byte };
        if std::mem::take(&mut self.is_literal_next) {
            self.accept(byte);
            return None;
        }
        if self.is_input(uapi::IXON) && self.control_flow(byte) {
            return None;
        }
        if self.is_local(uapi::ISIG)
            && let Some(signal) = self.signal_of(byte)
        {
            self.interrupt(byte);
            return Some(signal);
        }
        match byte {
            b'\r' if self.is_input(uapi::IGNCR) => return None,
            b'\r' if self.is_input(uapi::ICRNL) => byte = b'\n',
            b'\n' if self.is_input(uapi::INLCR) => byte = b'\r',
            _ => {}
        }
        if self.is_local(uapi::ICANON) && self.edit(byte) {
            return None;
        }
        self.accept(byte);
        None
    }

    /// The start and stop characters. Returns whether `byte` was one.
    fn control_flow(&mut self, byte: u8) -> bool {
        if self.is_character(byte, uapi::VSTART) {
            self.set_stopped(false);
            return true;
        }
        if self.is_character(byte, uapi::VSTOP) {
            self.set_stopped(true);
            return true;
        }
        if self.is_input(uapi::IXANY) {
            self.set_stopped(false);
        }
        false
    }

    fn signal_of(&self, byte: u8) -> Option<u32> {
        let signals =
            [(uapi::VINTR, uapi::SIGINT), (uapi::VQUIT, uapi::SIGQUIT), (uapi::VSUSP, uapi::SIGTSTP)];
        signals.into_iter().find(|(index, _)| self.is_character(byte, *index)).map(|(_, signal)| signal)
    }

    fn interrupt(&mut self, byte: u8) {
        if !self.is_local(uapi::NOFLSH) {
            self.flush_input();
            self.flush_output();
        }
        if self.is_input(uapi::IXON) {
            self.set_stopped(false);
        }
        if self.is_local(uapi::ECHO) {
            self.echo(byte);
        }
    }

    /// The editing characters of canonical mode. Returns whether `byte` was one.
    fn edit(&mut self, byte: u8) -> bool {
        let is_extended = self.is_local(uapi::IEXTEN);
        match byte {
            b'\n' => self.end_line(Some(b'\n')),
            _ if self.is_character(byte, uapi::VERASE) => self.erase_character(),
            _ if self.is_character(byte, uapi::VKILL) => self.erase_line(byte),
            _ if self.is_character(byte, uapi::VEOF) => {
                let line = std::mem::take(&mut self.line);
                self.push_line(line, true);
            }
            _ if self.is_character(byte, uapi::VEOL) => self.end_line(Some(byte)),
            _ if is_extended && self.is_character(byte, uapi::VEOL2) => self.end_line(Some(byte)),
            _ if is_extended && self.is_character(byte, uapi::VWERASE) => self.erase_word(),
            _ if is_extended && self.is_character(byte, uapi::VLNEXT) => {
                self.is_literal_next = true;
                if self.is_local(uapi::ECHO) && self.is_local(uapi::ECHOCTL) {
                    self.show_all(b"^\x08");
                }
            }
            _ if is_extended && self.is_local(uapi::ECHO) && self.is_character(byte, uapi::VREPRINT) => {
                self.reprint(byte);
            }
            _ => return false,
        }
        true
    }

    fn end_line(&mut self, end: Option<u8>) {
        let is_newline = end == Some(b'\n');
        if is_newline && (self.is_local(uapi::ECHO) || self.is_local(uapi::ECHONL)) {
            self.show_all(b"\n");
        } else if let (false, Some(byte), true) = (is_newline, end, self.is_local(uapi::ECHO)) {
            self.echo(byte);
        }
        let mut line = std::mem::take(&mut self.line);
        line.extend(end);
        self.push_line(line, false);
    }

    fn push_line(&mut self, line: Vec<u8>, ends_file: bool) {
        self.ready_bytes += line.len();
        self.ready.push_back(Line { bytes: line.into(), ends_file });
    }

    /// Adds a character that means nothing special.
    fn accept(&mut self, byte: u8) {
        if !self.is_local(uapi::ICANON) {
            if self.is_local(uapi::ECHO) {
                self.echo(byte);
            }
            self.ready_bytes += 1;
            match self.ready.back_mut() {
                Some(last) if !last.ends_file => last.bytes.push_back(byte),
                _ => self.ready.push_back(Line { bytes: [byte].into(), ends_file: false }),
            }
            return;
        }
        // Room for the newline stays.
        if self.line.len() + 1 >= INPUT_BYTES {
            if self.is_input(uapi::IMAXBEL) {
                self.show_all(b"\x07");
            }
            return;
        }
        if self.line.is_empty() {
            self.line_start_column = self.column;
        }
        self.line.push(byte);
        if self.is_local(uapi::ECHO) {
            self.echo(byte);
        }
    }

    /// Shows a typed character; control characters as `^X`.
    fn echo(&mut self, byte: u8) {
        let is_control = byte < 0x20 && byte != b'\t' && byte != b'\n' || byte == DELETE;
        if is_control && self.is_local(uapi::ECHOCTL) {
            self.show_all(&[b'^', byte ^ 0x40]);
        } else {
            self.show_all(&[byte]);
        }
    }

    fn show_all(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if self.output.len() + WIDEST <= OUTPUT_BYTES {
                self.show(byte);
            }
        }
    }

    fn erase_character(&mut self) {
        let Some(last) = self.line.pop() else { return };
        // A UTF-8 character goes as a whole.
        let mut is_continued = self.is_input(uapi::IUTF8) && last & 0xc0 == 0x80;
        while is_continued && let Some(byte) = self.line.pop() {
            is_continued = byte & 0xc0 == 0x80;
        }
        self.show_erased(last);
    }

    /// Takes a character that has been erased off the screen.
    fn show_erased(&mut self, byte: u8) {
        if !self.is_local(uapi::ECHO) {
            return;
        }
        if !self.is_local(uapi::ECHOE) {
            let erase = self.termios.character(uapi::VERASE);
            return self.echo(erase);
        }
        let columns = match byte {
            b'\t' => self.column.saturating_sub(self.column_of_line_end()),
            byte if byte < 0x20 || byte == DELETE => {
                if self.is_local(uapi::ECHOCTL) {
                    2
                } else {
                    0
                }
            }
            _ => 1,
        };
        for _ in 0..columns {
            self.show_all(if byte == b'\t' { b"\x08" } else { b"\x08 \x08" });
        }
    }

    fn column_of_line_end(&self) -> usize {
        self.line.iter().fold(self.line_start_column, |column, &byte| match byte {
            b'\t' => (column / TAB_COLUMNS + 1) * TAB_COLUMNS,
            byte if byte < 0x20 || byte == DELETE => {
                column + if self.is_local(uapi::ECHOCTL) { 2 } else { 0 }
            }
            byte if byte & 0xc0 == 0x80 && self.is_input(uapi::IUTF8) => column,
            _ => column + 1,
        })
    }

    fn erase_word(&mut self) {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
        while self.line.last().is_some_and(|last| !is_word(*last)) {
            self.erase_character();
        }
        while self.line.last().is_some_and(|last| is_word(*last)) {
            self.erase_character();
        }
    }

    fn erase_line(&mut self, byte: u8) {
        if self.is_local(uapi::ECHOK) && self.is_local(uapi::ECHOKE) && self.is_local(uapi::ECHOE) {
            while !self.line.is_empty() {
                self.erase_character();
            }
            return;
        }
        self.line.clear();
        if self.is_local(uapi::ECHO) {
            self.echo(byte);
            if self.is_local(uapi::ECHOK) {
                self.show_all(b"\n");
            }
        }
    }

    fn reprint(&mut self, byte: u8) {
        self.echo(byte);
        self.show_all(b"\n");
        for byte in self.line.clone() {
            self.echo(byte);
        }
    }

    /// Output processing. There is room for [`WIDEST`] bytes.
    fn show(&mut self, byte: u8) {
        if !self.is_output(uapi::OPOST) {
            self.output.push_back(byte);
            return;
        }
        match byte {
            b'\n' => {
                if self.is_output(uapi::ONLCR) {
                    self.output.push_back(b'\r');
                }
                if self.is_output(uapi::ONLCR | uapi::ONLRET) {
                    self.column = 0;
                }
                self.output.push_back(b'\n');
            }
            b'\r' if self.is_output(uapi::ONOCR) && self.column == 0 => {}
            b'\r' if self.is_output(uapi::OCRNL) => self.output.push_back(b'\n'),
            b'\r' => {
                self.column = 0;
                self.output.push_back(b'\r');
            }
            b'\t' => {
                let spaces = TAB_COLUMNS - self.column % TAB_COLUMNS;
                self.column += spaces;
                if self.termios.output & uapi::TABDLY == uapi::XTABS {
                    self.output.extend(std::iter::repeat_n(b' ', spaces));
                } else {
                    self.output.push_back(b'\t');
                }
            }
            b'\x08' => {
                self.column = self.column.saturating_sub(1);
                self.output.push_back(byte);
            }
            byte => {
                let is_continuation = byte & 0xc0 == 0x80 && self.is_input(uapi::IUTF8);
                self.column += usize::from(byte >= 0x20 && byte != DELETE && !is_continuation);
                let is_upper = self.is_output(uapi::OLCUC);
                self.output.push_back(if is_upper { byte.to_ascii_uppercase() } else { byte });
            }
        }
    }
}

/// Moves bytes from the front of `from` to `to`. Returns how many.
fn take(from: &mut VecDeque<u8>, to: &mut [u8]) -> usize {
    let count = from.len().min(to.len());
    for (place, byte) in to.iter_mut().zip(from.drain(..count)) {
        *place = byte;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(discipline: &mut Discipline) -> String {
        let mut buffer = vec![0; OUTPUT_BYTES];
        let count = discipline.take_shown(&mut buffer);
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    }

    fn read(discipline: &mut Discipline) -> Option<String> {
        let mut buffer = [0; 64];
        let count = discipline.read(&mut buffer)?;
        Some(String::from_utf8_lossy(&buffer[..count]).into_owned())
    }

    /// What typing `typed` shows, and the lines that can then be read.
    fn type_all(discipline: &mut Discipline, typed: &[u8]) -> (String, Vec<String>) {
        discipline.type_in(typed);
        (shown(discipline), std::iter::from_fn(|| read(discipline)).collect())
    }

    #[test]
    fn lines_are_edited_before_they_are_read() {
        for (typed, screen, lines) in [
            (&b"ab\r"[..], "ab\r\n", vec!["ab\n"]),
            (b"ab", "ab", vec![]),
            (b"ax\x7fb\n", "ax\x08 \x08b\r\n", vec!["ab\n"]),
            (b"one two\x17x\n", "one two\x08 \x08\x08 \x08\x08 \x08x\r\n", vec!["one x\n"]),
            (b"bad\x15ok\n", "bad\x08 \x08\x08 \x08\x08 \x08ok\r\n", vec!["ok\n"]),
            (b"ab\x04", "ab", vec!["ab"]),
            (b"\x04", "", vec![""]),
            (b"\x16\x03\n", "^\x08^C\r\n", vec!["\x03\n"]),
            (b"\x01\x7f\n", "^A\x08 \x08\x08 \x08\r\n", vec!["\n"]),
            (b"a\nb\n", "a\r\nb\r\n", vec!["a\n", "b\n"]),
        ] {
            let (shown, read) = type_all(&mut Discipline::default(), typed);
            assert_eq!(
                (shown.as_str(), read),
                (screen, lines.iter().map(|line| line.to_string()).collect()),
                "{typed:?}"
            );
        }
    }

    #[test]
    fn a_long_line_is_read_in_parts_and_the_next_one_apart() {
        let mut discipline = Discipline::default();
        discipline.type_in(b"abcdef\nx\n");
        let mut buffer = [0; 4];
        assert_eq!(discipline.read(&mut buffer), Some(4));
        assert_eq!(read(&mut discipline).unwrap(), "ef\n");
        assert_eq!(read(&mut discipline).unwrap(), "x\n");
    }

    #[test]
    fn signal_characters_flush_and_are_shown() {
        let mut discipline = Discipline::default();
        discipline.write(b"lost");
        let (taken, signals) = discipline.type_in(b"half\x03");
        assert_eq!((taken, signals), (5, vec![uapi::SIGINT]));
        assert_eq!(shown(&mut discipline), "^C");
        assert_eq!(type_all(&mut discipline, b"\n").1, ["\n"]);
        assert_eq!(discipline.type_in(b"\x1a\x1c").1, [uapi::SIGTSTP, uapi::SIGQUIT]);
    }

    #[test]
    fn raw_mode_passes_everything_as_it_comes() {
        let mut termios = Termios { input: 0, output: 0, local: 0, ..Termios::default() };
        let mut discipline = Discipline::default();
        discipline.type_in(b"li");
        shown(&mut discipline);
        discipline.set_termios(termios);
        assert_eq!(type_all(&mut discipline, b"\x03\r\x7f"), (String::new(), vec!["li\x03\r\x7f".into()]));
        termios.control_characters[uapi::VMIN as usize] = 3;
        discipline.set_termios(termios);
        discipline.type_in(b"ab");
        assert_eq!((read(&mut discipline), discipline.is_readable()), (None, false));
        discipline.type_in(b"c");
        assert_eq!(read(&mut discipline).unwrap(), "abc");
        termios.control_characters[uapi::VMIN as usize] = 0;
        discipline.set_termios(termios);
        assert_eq!(read(&mut discipline).unwrap(), "");
    }

    #[test]
    fn output_is_processed_and_can_be_stopped() {
        let mut discipline = Discipline::default();
        assert_eq!(discipline.write(b"a\nb"), 3);
        assert_eq!(shown(&mut discipline), "a\r\nb");
        discipline.type_in(b"\x13");
        assert_eq!(discipline.write(b"x"), 0);
        discipline.type_in(b"\x11");
        assert_eq!(discipline.write(b"x"), 1);
        assert_eq!(shown(&mut discipline), "x");
    }

    #[test]
    fn no_buffer_grows_without_bound() {
        let mut discipline = Discipline::default();
        for _ in 0..10 {
            discipline.type_in(&[b'x'; 10_000]);
            discipline.write(&[b'\n'; 10_000]);
        }
        assert!(discipline.line.len() <= INPUT_BYTES && discipline.output.len() <= OUTPUT_BYTES);
        discipline.type_in(b"\n");
        let (taken, _) = discipline.type_in(&[b'\n'; 10_000]);
        assert!(taken <= INPUT_BYTES && discipline.ready_bytes <= 2 * INPUT_BYTES);
    }

    #[test]
    fn end_of_file_lines_are_bounded_too() {
        let mut discipline = Discipline::default();
        for _ in 0..10 {
            discipline.type_in(&[4; 10_000]);
        }
        assert!(discipline.ready.len() <= INPUT_BYTES);
    }
}
