//! Each layer of the jail is left out in turn: the others still stop what a process that is no longer itself attempts.
//!
//! Only a build for tests can leave one out.

use std::fs::Permissions;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::mount::{FsOpenFlags, fsopen};

use super::super::{LANDLOCK, NAMESPACES, SECCOMP, USER};
use super::{DONE, IMAGE, REFUSED, command};
use crate::failure::Failure;

/// Names the layers that are left out to the child.
const LEFT_OUT: &str = "JAIL_TEST_LEFT_OUT";
/// Tells the child of a file that is none of its business, and of a port at which somebody listens.
const SECRET: &str = "JAIL_TEST_SECRET";
const PORT: &str = "JAIL_TEST_PORT";

const LAYERS: [&str; 4] = [NAMESPACES, USER, LANDLOCK, SECCOMP];

const ATTEMPTS: [&str; 12] = [
    "read the secret",
    "read the secret by way of the image",
    "read the secret above the image",
    "write to the secret",
    "write to the image",
    "make a file in the image",
    "execute a program",
    "signal its parent",
    "trace its parent",
    "make a file system",
    "connect to a port",
    "send a datagram",
];

/// Whether the jail of this process goes without the layer.
pub(in super::super) fn is_left_out(layer: &str) -> bool {
    std::env::var(LEFT_OUT).is_ok_and(|names| names.split(' ').any(|name| name == layer))
}

/// Whether the attempt succeeds. `image` is what has been admitted.
pub(super) fn attempt(name: &str, image: BorrowedFd<'_>) -> bool {
    let secret = std::env::var(SECRET).unwrap_or_default();
    let port = std::env::var(PORT).ok().and_then(|port| port.parse().ok()).unwrap_or(0_u16);
    let above = "../".repeat(64) + &secret;
    match name {
        "read the secret" => opens(CWD, &secret, OFlags::RDONLY),
        "read the secret by way of the image" => opens(image, &secret, OFlags::RDONLY),
        "read the secret above the image" => opens(image, &above, OFlags::RDONLY),
        "write to the secret" => opens(image, &above, OFlags::WRONLY),
        "write to the image" => opens(image, "file", OFlags::WRONLY),
        "make a file in the image" => opens(image, "new", OFlags::WRONLY | OFlags::CREATE),
        "execute a program" => {
            // The status tells of success.
            let _ = Command::new("/bin/sh").args(["-c", &format!("exit {DONE}")]).exec();
            false
        }
        // SAFETY: the call takes numbers.
        "signal its parent" => unsafe { libc::kill(libc::getppid(), 0) == 0 },
        // SAFETY: the call takes numbers; a tracer that ends lets go.
        "trace its parent" => unsafe { libc::ptrace(libc::PTRACE_SEIZE, libc::getppid(), 0, 0) == 0 },
        "make a file system" => fsopen("tmpfs", FsOpenFlags::empty()).is_ok(),
        "connect to a port" => TcpStream::connect(("127.0.0.1", port)).is_ok(),
        "send a datagram" => UdpSocket::bind("127.0.0.1:0")
            .and_then(|socket| socket.send_to(b"text", ("127.0.0.1", port)))
            .is_ok(),
        name => panic!("no attempt is called {name}"),
    }
}

fn opens(directory: impl AsFd, path: &str, flags: OFlags) -> bool {
    let mode = if flags.contains(OFlags::CREATE) { Mode::RUSR } else { Mode::empty() };
    openat2(directory, path, flags | OFlags::CLOEXEC, mode, ResolveFlags::empty()).is_ok()
}

/// A directory with an image, and a secret beside it that everybody may read and write.
struct Place {
    directory: tempfile::TempDir,
    listener: TcpListener,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("image");
        std::fs::create_dir(&image).unwrap();
        let permit =
            |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        for path in [image.join("file"), directory.path().join("secret")] {
            std::fs::write(&path, "text").unwrap();
            permit(&path, 0o666);
        }
        permit(&image, 0o777);
        permit(directory.path(), 0o755);
        Self { directory, listener: TcpListener::bind("127.0.0.1:0").unwrap() }
    }

    /// Attempts it in a jail without the layers.
    fn attempt_without(&self, layers: &str, name: &str) -> Output {
        let port = self.listener.local_addr().unwrap().port().to_string();
        let path = |name: &str| self.directory.path().join(name);
        let mut child = command(name);
        child.env(LEFT_OUT, layers).env(SECRET, path("secret")).env(IMAGE, path("image")).env(PORT, port);
        child.output().unwrap()
    }
}

#[test]
fn with_any_layer_left_out_the_others_stop_each_attempt() {
    let place = Place::new();
    for layer in LAYERS {
        for name in ATTEMPTS {
            let output = place.attempt_without(layer, name);
            let code = output.status.code();
            let is_stopped = code == Some(REFUSED) || code == Some(Failure::VMM.into());
            assert!(is_stopped, "{name}, without {layer}: {output:?}");
        }
    }
}

#[test]
fn without_any_layer_each_attempt_succeeds() {
    let place = Place::new();
    for name in ATTEMPTS {
        let output = place.attempt_without(&LAYERS.join(" "), name);
        assert_eq!(output.status.code(), Some(DONE), "{name}: {output:?}");
    }
}
