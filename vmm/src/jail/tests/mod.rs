//! The tests run themselves once more in a child process, which enters the jail and attempts one thing.

use std::fs::File;
use std::io::Read;
use std::process::{Command, Output};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};

use rustix::process::{Resource, getrlimit};
use sentry::syscall::Sysno;

use super::{Access, Jail, Rules};
use crate::failure::Failure;

/// Names the attempt to the child.
const ATTEMPT: &str = "JAIL_TEST_ATTEMPT";
/// Begins the attempts that are one system call of the number that follows.
const CALL: &str = "call ";
/// The child's status if the jail let it do what it attempted.
const DONE: i32 = 42;
/// The child's status if what it attempted failed with an error.
const REFUSED: i32 = 43;

fn attempt(name: &str) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "jail::tests::child", "--nocapture"]).env(ATTEMPT, name).output().unwrap()
}

/// Not a test by itself: it passes if nothing is to be attempted.
#[test]
fn child() {
    let Ok(name) = std::env::var(ATTEMPT) else { return };
    let passwd = File::open("/etc/passwd").unwrap();
    let mut jail = Jail::begin(Rules { is_landlock_required: has_landlock(), user: None }).unwrap();
    let directory = jail.admit(File::open("/etc").unwrap().into(), Access::Read).unwrap();
    jail.enter().unwrap();
    if let Some(number) = name.strip_prefix(CALL) {
        // SAFETY: should the jail let it pass, a call with no pointers and no numbers harms nobody but this process.
        let result = unsafe { libc::syscall(number.parse().unwrap(), 0, 0, 0, 0, 0, 0) };
        std::process::exit(if result >= 0 { DONE } else { REFUSED });
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
        name => panic!("no attempt is called {name}"),
    };
    std::process::exit(if is_done { DONE } else { REFUSED });
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
        refused.extend(["open outside of the image", "open for writing"]);
    }
    for name in refused {
        let output = attempt(name);
        assert_eq!(output.status.code(), Some(REFUSED), "{name}: {output:?}");
    }
}

#[test]
fn what_no_sentry_does_ends_a_jailed_process_and_is_named() {
    for (name, call) in [
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

/// Calls by which a process that is no longer itself would reach out.
const DANGEROUS: [Sysno; 76] = [
    // Files by name.
    Sysno::open,
    Sysno::creat,
    Sysno::open_by_handle_at,
    Sysno::name_to_handle_at,
    Sysno::truncate,
    Sysno::unlink,
    Sysno::unlinkat,
    Sysno::rename,
    Sysno::renameat2,
    Sysno::mkdirat,
    Sysno::mknodat,
    Sysno::linkat,
    Sysno::symlinkat,
    Sysno::chmod,
    Sysno::fchmod,
    Sysno::fchmodat,
    Sysno::fchown,
    Sysno::fchownat,
    Sysno::utimensat,
    Sysno::fsetxattr,
    Sysno::chdir,
    Sysno::fchdir,
    Sysno::chroot,
    Sysno::fanotify_init,
    // Mounts and namespaces.
    Sysno::mount,
    Sysno::umount2,
    Sysno::pivot_root,
    Sysno::fsopen,
    Sysno::open_tree,
    Sysno::move_mount,
    Sysno::unshare,
    Sysno::setns,
    // Programs and other processes.
    Sysno::fork,
    Sysno::vfork,
    Sysno::clone,
    Sysno::execve,
    Sysno::execveat,
    Sysno::ptrace,
    Sysno::process_vm_readv,
    Sysno::process_vm_writev,
    Sysno::process_madvise,
    Sysno::kcmp,
    Sysno::kill,
    Sysno::tkill,
    Sysno::rt_sigqueueinfo,
    Sysno::pidfd_open,
    Sysno::pidfd_getfd,
    Sysno::pidfd_send_signal,
    // The network, and descriptors of others.
    Sysno::socket,
    Sysno::socketpair,
    Sysno::connect,
    Sysno::bind,
    Sysno::sendmsg,
    Sysno::recvmsg,
    // Code and memory.
    Sysno::memfd_create,
    Sysno::userfaultfd,
    Sysno::remap_file_pages,
    Sysno::shmget,
    // Privileges, and the kernel itself.
    Sysno::setuid,
    Sysno::setgid,
    Sysno::setresuid,
    Sysno::capset,
    Sysno::seccomp,
    Sysno::personality,
    Sysno::bpf,
    Sysno::perf_event_open,
    Sysno::io_uring_setup,
    Sysno::keyctl,
    Sysno::init_module,
    Sysno::finit_module,
    Sysno::kexec_load,
    Sysno::reboot,
    Sysno::swapon,
    Sysno::acct,
    Sysno::clock_settime,
    Sysno::iopl,
];

#[test]
fn each_dangerous_call_ends_a_jailed_process() {
    for call in DANGEROUS {
        let output = attempt(&format!("{CALL}{}", call as i64));
        assert_eq!(output.status.code(), Some(Failure::VMM.into()), "{}: {output:?}", call.name());
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(message.contains(&format!(" {}(", call.name())), "{}: {message}", call.name());
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
