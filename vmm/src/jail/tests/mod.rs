//! The tests run themselves once more in a child process, which enters the jail and attempts one thing.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::process::{Command, Output};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};

use rustix::process::{Resource, getrlimit};

use super::{Access, Jail, Rules};
use crate::failure::Failure;

mod broker;
mod dangerous;
mod layers;
mod volumes;

pub(super) use layers::is_left_out;

/// Names the attempt to the child.
const ATTEMPT: &str = "JAIL_TEST_ATTEMPT";
/// Names the child's image, /etc if left out.
const IMAGE: &str = "JAIL_TEST_IMAGE";
/// Says that a broker hands sockets to the child.
const HAS_BROKER: &str = "JAIL_TEST_HAS_BROKER";
/// Begins the attempts that are one system call, of the number and with the arguments that follow.
const CALL: &str = "call ";
/// The child's status if the jail let it do what it attempted.
const DONE: i32 = 42;
/// The child's status if what it attempted failed with an error.
const REFUSED: i32 = 43;

fn attempt(name: &str) -> Output {
    command(name).output().unwrap()
}

/// Runs [`child`] for the attempt.
fn command(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "jail::tests::child", "--nocapture"]).env(ATTEMPT, name);
    command
}

/// Not a test by itself: it passes if nothing is to be attempted.
#[test]
fn child() {
    let Ok(name) = std::env::var(ATTEMPT) else { return };
    if let Some(is_done) = broker::attempt_as_broker(&name) {
        std::process::exit(if is_done { DONE } else { REFUSED });
    }
    let passwd = File::open("/etc/passwd").unwrap();
    let mut jail = Jail::begin(Rules {
        is_landlock_required: has_landlock() && !is_left_out(super::LANDLOCK),
        user: None,
        has_broker: std::env::var_os(HAS_BROKER).is_some(),
    })
    .unwrap();
    let image = File::open(std::env::var_os(IMAGE).unwrap_or("/etc".into())).unwrap();
    let directory = jail.admit(image.into(), Access::Read).unwrap();
    let volume = std::env::var_os(volumes::VOLUME)
        .map(|path| jail.admit(File::open(path).unwrap().into(), Access::Write).unwrap());
    jail.enter().unwrap();
    if let Some(is_done) = volumes::attempt(&name, volume.as_ref(), directory.as_fd()) {
        std::process::exit(if is_done { DONE } else { REFUSED });
    }
    if let Some(is_done) = make_call(&name) {
        std::process::exit(if is_done { DONE } else { REFUSED });
    }
    let is_done = match name.as_str() {
        "open" => File::open("/etc/passwd").is_ok(),
        "open outside of the image" => open_by_name("/proc/self/environ"),
        "open for writing" => {
            openat2(&directory, c"passwd", OFlags::RDWR, Mode::empty(), ResolveFlags::BENEATH).is_ok()
        }
        "open in the image" => {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            openat2(&directory, c"passwd", flags, Mode::empty(), ResolveFlags::BENEATH).is_ok()
        }
        "read what is open" => (&passwd).read(&mut [0; 16]).is_ok(),
        "start a thread" => std::thread::spawn(|| 1).join().is_ok(),
        // SAFETY: the child, should there be one, ends at once.
        "fork" => unsafe {
            let child = libc::fork();
            if child == 0 {
                libc::_exit(0);
            }
            child > 0
        },
        "execute" => {
            let arguments = [c"/bin/true".as_ptr(), std::ptr::null()];
            // SAFETY: the path and the vector end as C wants.
            unsafe { libc::execv(c"/bin/true".as_ptr(), arguments.as_ptr()) };
            false
        }
        "make a socket" => std::net::UdpSocket::bind("127.0.0.1:0").is_ok(),
        "map code" => {
            let (flags, protection) =
                (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, libc::PROT_READ | libc::PROT_EXEC);
            // SAFETY: a new mapping overlaps nothing.
            unsafe { libc::mmap(std::ptr::null_mut(), 4096, protection, flags, -1, 0) != libc::MAP_FAILED }
        }
        "signal another process" => {
            // SAFETY: the call takes three numbers.
            unsafe { libc::syscall(libc::SYS_tgkill, 1, 1, 0) == 0 }
        }
        "type into a terminal" => {
            let byte = b'x';
            // SAFETY: TIOCSTI reads one byte.
            unsafe { libc::ioctl(0, libc::TIOCSTI, &raw const byte) == 0 }
        }
        "dump core" => getrlimit(Resource::Core).maximum != Some(0),
        name => layers::attempt(name, directory.as_fd()),
    };
    std::process::exit(if is_done { DONE } else { REFUSED });
}

/// Makes the system call that `name` tells, if it tells one: whether it succeeds.
fn make_call(name: &str) -> Option<bool> {
    let words: Vec<i64> = name.strip_prefix(CALL)?.split(' ').map(|word| word.parse().unwrap()).collect();
    let word = |index: usize| words.get(index).copied().unwrap_or_default();
    let [call, first, second, third, fourth, fifth, sixth] = [0, 1, 2, 3, 4, 5, 6].map(word);
    // SAFETY: should the jail let it pass, a call without valid pointers harms nobody but this process.
    Some(unsafe { libc::syscall(call, first, second, third, fourth, fifth, sixth) } >= 0)
}

fn open_by_name(path: &str) -> bool {
    openat2(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::empty()).is_ok()
}

#[test]
fn a_jailed_process_does_what_running_a_guest_takes() {
    for name in ["open in the image", "read what is open", "start a thread"] {
        let output = attempt(name);
        assert_eq!(output.status.code(), Some(DONE), "{name}: {output:?}");
    }
}

#[test]
fn a_jailed_process_opens_no_file_outside_of_the_image_and_none_for_writing() {
    let mut refused = vec!["open"];
    if has_landlock() {
        refused.push("open for writing");
    }
    for name in refused {
        let output = attempt(name);
        assert_eq!(output.status.code(), Some(REFUSED), "{name}: {output:?}");
    }
}

#[test]
fn what_no_sentry_does_ends_a_jailed_process_and_is_named() {
    for (name, call) in [
        ("open outside of the image", "openat2("),
        ("fork", "clone("),
        ("execute", "execve("),
        ("make a socket", "socket("),
        ("map code", "mmap("),
        ("signal another process", "tgkill("),
        ("type into a terminal", "ioctl("),
    ] {
        let output = attempt(name);
        assert_eq!(output.status.code(), Some(Failure::VMM.into()), "{name}: {output:?}");
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(message.contains(call) && message.contains("jail forbids"), "{name}: {message}");
    }
}

#[test]
fn a_jailed_process_leaves_no_core() {
    let output = attempt("dump core");
    assert_eq!(output.status.code(), Some(REFUSED), "{output:?}");
}

fn has_landlock() -> bool {
    !super::lacks_landlock()
}
