use syscalls::Sysno;

use super::call::{Call, GuestMemory, Returns};
use super::line::Line;
use super::{show_arguments, show_result, table};
use crate::Errno;

/// User memory of one page.
struct Page {
    bytes: Vec<u8>,
}

const BASE: u64 = 0x1000;

impl Page {
    fn new(pieces: &[(u64, &[u8])]) -> Self {
        let mut bytes = vec![0; 4096];
        for (address, piece) in pieces {
            let start = (address - BASE) as usize;
            bytes[start..start + piece.len()].copy_from_slice(piece);
        }
        Self { bytes }
    }
}

impl GuestMemory for Page {
    fn read(&self, address: u64, buffer: &mut [u8]) -> usize {
        let start = address.checked_sub(BASE).map_or(usize::MAX, |offset| offset as usize);
        let readable = self.bytes.get(start..).unwrap_or_default();
        let len = readable.len().min(buffer.len());
        buffer[..len].copy_from_slice(&readable[..len]);
        len
    }
}

fn shown(memory: &Page, number: Sysno, arguments: &[u64], result: Result<usize, Errno>) -> String {
    let mut all = [0; 6];
    all[..arguments.len()].copy_from_slice(arguments);
    let (shape, returns) = table::find(number as u64, &all);
    let before_call = Call { memory, arguments: all, result: None };
    let before: Vec<_> =
        shape.iter().enumerate().map(|(index, argument)| argument.before(&before_call, index)).collect();
    let after_call = Call { memory, arguments: all, result: Some(result) };
    let mut line = Line::default();
    line.put(format_args!("{}(", number.name()));
    show_arguments(&mut line, shape, &before, &after_call);
    line.text(") = ");
    show_result(&mut line, returns, result);
    line.into_text()
}

const AT_FDCWD: u64 = -100_i64 as u64;

#[test]
fn paths_flags_and_modes_have_names() {
    let memory = Page::new(&[(0x1000, b"/etc/ld.so.cache\0")]);
    for (arguments, result, expected) in [
        (
            &[AT_FDCWD, 0x1000, 0o2000000][..],
            Ok(3),
            r#"(AT_FDCWD, "/etc/ld.so.cache", O_RDONLY|O_CLOEXEC) = 3"#,
        ),
        (
            &[5, 0x1000, 0o102, 0o644],
            Err(Errno::ENOENT),
            r#"(5, "/etc/ld.so.cache", O_RDWR|O_CREAT, 0644) = -1 ENOENT (No such file or directory)"#,
        ),
        (
            &[5, 0, 0o20200000],
            Err(Errno::EFAULT),
            "(5, NULL, O_RDONLY|O_TMPFILE, 000) = -1 EFAULT (Bad address)",
        ),
    ] {
        assert_eq!(shown(&memory, Sysno::openat, arguments, result), format!("openat{expected}"));
    }
}

#[test]
fn buffers_are_escaped_and_cut() {
    let memory = Page::new(&[(0x1000, b"a\n\"\\\x1b1\x00x\xff"), (0x1100, &[b'z'; 40])]);
    assert_eq!(
        shown(&memory, Sysno::write, &[1, 0x1000, 9], Ok(9)),
        r#"write(1, "a\n\"\\\0331\0x\377", 9) = 9"#
    );
    let long = format!("write(1, \"{}\"..., 40) = 40", "z".repeat(32));
    assert_eq!(shown(&memory, Sysno::write, &[1, 0x1100, 40], Ok(40)), long);
}

#[test]
fn outputs_show_what_was_written_and_addresses_of_failed_calls() {
    let memory = Page::new(&[(0x1000, b"hello world")]);
    assert_eq!(shown(&memory, Sysno::read, &[0, 0x1000, 4096], Ok(5)), r#"read(0, "hello", 4096) = 5"#);
    assert_eq!(
        shown(&memory, Sysno::read, &[0, 0x1000, 4096], Err(Errno::EBADF)),
        "read(0, 0x1000, 4096) = -1 EBADF (Bad file descriptor)"
    );
    assert_eq!(
        shown(&memory, Sysno::read, &[0, 0x1000, 1], Err(Errno::ERESTARTSYS)),
        "read(0, 0x1000, 1) = ? ERESTARTSYS (To be restarted if SA_RESTART is set)"
    );
}

#[test]
fn mappings_return_addresses() {
    let memory = Page::new(&[]);
    assert_eq!(
        shown(&memory, Sysno::mmap, &[0, 8192, 3, 0x22, u64::from(u32::MAX), 0], Ok(0x7f00_0000_0000)),
        "mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0x0) = 0x7f0000000000"
    );
    assert_eq!(
        shown(&memory, Sysno::mprotect, &[0x1000, 4096, 0], Ok(0)),
        "mprotect(0x1000, 4096, PROT_NONE) = 0"
    );
}

#[test]
fn commands_decide_on_their_arguments() {
    let memory = Page::new(&[(0x1000, &[1, 0, 0, 0, 0, 0, 0, 0, 0xf4, 1])]);
    for (number, arguments, result, expected) in [
        (Sysno::fcntl, &[3, 3][..], Ok(0o100002), "fcntl(3, F_GETFL) = 0x8002 (flags O_RDWR|O_LARGEFILE)"),
        (Sysno::fcntl, &[3, 2, 1], Ok(0), "fcntl(3, F_SETFD, FD_CLOEXEC) = 0"),
        (
            Sysno::futex,
            &[0x2000, 128, 2, 0x1000],
            Err(Errno::ETIMEDOUT),
            "futex(0x2000, FUTEX_WAIT_PRIVATE, 2, {tv_sec=1, tv_nsec=500}) = -1 ETIMEDOUT (Connection timed out)",
        ),
        (Sysno::futex, &[0x2000, 129, 1], Ok(1), "futex(0x2000, FUTEX_WAKE_PRIVATE, 1) = 1"),
        (
            Sysno::clone,
            &[0x0120_0011, 0, 0, 0x2000],
            Ok(7),
            "clone(flags=CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD, child_stack=NULL, parent_tid=NULL, \
             child_tid=0x2000) = 7",
        ),
    ] {
        assert_eq!(shown(&memory, number, arguments, result), expected);
    }
}

#[test]
fn vectors_share_the_result_among_their_buffers() {
    let mut vector = Vec::new();
    for word in [0x1100_u64, 3, 0x1110, 8] {
        vector.extend_from_slice(&word.to_le_bytes());
    }
    let memory = Page::new(&[(0x1000, &vector), (0x1100, b"abc"), (0x1110, b"defghijk")]);
    assert_eq!(
        shown(&memory, Sysno::readv, &[4, 0x1000, 2], Ok(5)),
        r#"readv(4, [{iov_base="abc", iov_len=3}, {iov_base="de", iov_len=8}], 2) = 5"#
    );
}

#[test]
fn programs_show_their_arguments_and_count_their_environment() {
    let mut words = Vec::new();
    for word in [0x1100_u64, 0x1108, 0] {
        words.extend_from_slice(&word.to_le_bytes());
    }
    let memory = Page::new(&[(0x1000, &words), (0x1100, b"ls\0"), (0x1108, b"-l\0")]);
    assert_eq!(
        shown(&memory, Sysno::execve, &[0x1100, 0x1000, 0x1000], Ok(0)),
        r#"execve("ls", ["ls", "-l"], 0x1000 /* 2 vars */) = 0"#
    );
    // Vectors at the end of the address space, and endless ones, come to an end.
    shown(&memory, Sysno::execve, &[u64::MAX, u64::MAX - 4, u64::MAX - 15], Err(Errno::EFAULT));
}

#[test]
fn children_and_signals_are_named() {
    let memory = Page::new(&[(0x1000, &[0, 3, 0, 0]), (0x1008, &[0x8b, 0, 0, 0]), (0x1010, &[1, 0, 1])]);
    for (number, arguments, result, expected) in [
        (
            Sysno::wait4,
            &[u64::MAX, 0x1000, 1, 0][..],
            Ok(5),
            "wait4(-1, [{WIFEXITED(s) && WEXITSTATUS(s) == 3}], WNOHANG, NULL) = 5",
        ),
        (
            Sysno::wait4,
            &[u64::MAX, 0x1008, 0, 0],
            Ok(5),
            "wait4(-1, [{WIFSIGNALED(s) && WTERMSIG(s) == SIGSEGV && WCOREDUMP(s)}], 0, NULL) = 5",
        ),
        (Sysno::wait4, &[u64::MAX, 0x1000, 1, 0], Ok(0), "wait4(-1, 0x1000, WNOHANG, NULL) = 0"),
        (
            Sysno::rt_sigprocmask,
            &[0, 0x1010, 0, 8],
            Ok(0),
            "rt_sigprocmask(SIG_BLOCK, [HUP CHLD], NULL, 8) = 0",
        ),
        (Sysno::kill, &[12, 9], Ok(0), "kill(12, SIGKILL) = 0"),
    ] {
        assert_eq!(shown(&memory, number, arguments, result), expected);
    }
}

#[test]
fn addresses_of_sockets_are_those_of_their_family() {
    let inet = [2, 0, 0x1f, 0x90, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    let memory = Page::new(&[(0x1000, &inet), (0x1100, b"\x01\0/tmp/s\0"), (0x1200, b"\x01\0\0name")]);
    for (address, len, expected) in [
        (0x1000, 16, r#"{sa_family=AF_INET, sin_port=htons(8080), sin_addr=inet_addr("127.0.0.1")}"#),
        (0x1100, 9, r#"{sa_family=AF_UNIX, sun_path="/tmp/s"}"#),
        (0x1200, 7, r#"{sa_family=AF_UNIX, sun_path=@"name"}"#),
    ] {
        let line = shown(&memory, Sysno::connect, &[3, address, len], Ok(0));
        assert_eq!(line, format!("connect(3, {expected}, {len}) = 0"));
    }
}

#[test]
fn unknown_calls_are_hexadecimal() {
    let memory = Page::new(&[]);
    assert_eq!(
        shown(&memory, Sysno::uselib, &[1, 0x2000], Err(Errno::ENOSYS)),
        "uselib(0x1, 0x2000, 0x0, 0x0, 0x0, 0x0) = -1 ENOSYS (Function not implemented)"
    );
}

#[test]
fn nothing_that_a_guest_passes_is_too_odd_to_be_shown() {
    let memory = Page::new(&[(0x1000, &[0xff; 4096])]);
    for raw in 0..512 {
        let Some(number) = Sysno::new(raw) else { continue };
        for value in [0, 1, 0x1000, 0x1ff8, 0x1fff, i64::MAX as u64, u64::MAX - 1, u64::MAX] {
            for result in [Ok(0), Ok(1), Ok(usize::MAX), Err(Errno::EINVAL), Err(Errno::ERESTARTNOINTR)] {
                assert!(shown(&memory, number, &[value; 6], result).len() < 40 << 10);
            }
        }
    }
}

#[test]
fn every_call_that_is_served_is_decoded() {
    let missing: Vec<_> = crate::syscall::table::served().filter(|number| !table::has_row(*number)).collect();
    assert!(missing.is_empty(), "give these a row in trace/table.rs: {missing:?}");
    assert_eq!(table::find(Sysno::exit as u64, &[0; 6]).1, Returns::Never);
}
