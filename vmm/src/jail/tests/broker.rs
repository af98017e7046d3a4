//! What remains of the jail where a broker hands sockets over, and the broker's own.

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

use linux_raw_sys::net;
use sentry::syscall::Sysno;

use super::dangerous::DANGEROUS;
use super::{CALL, DONE, HAS_BROKER, REFUSED, command};
use crate::failure::Failure;
use crate::jail::files::Landlock;
use crate::jail::{BrokerRules, Rules, confine_broker};

/// Says that the child is a broker, and tells it the only port that it may connect to.
const PORT: &str = "JAIL_TEST_BROKER_PORT";

/// Confines the child if it is to be a broker, and attempts the call or what has a name.
pub(super) fn attempt_as_broker(name: &str) -> Option<bool> {
    let port: u16 = std::env::var(PORT).ok()?.parse().ok()?;
    let rules = Rules { is_landlock_required: false, user: None, has_broker: true };
    confine_broker(&BrokerRules { rules, ports: Some(vec![port]), keeps_low_ports: false }).unwrap();
    let connects = |port: u16| crate::network::connects(([127, 0, 0, 1], port).into());
    match name {
        "connect" => Some(connects(port)),
        "connect elsewhere" => Some(connects(port ^ 1)),
        "execute" => {
            // The status tells of success.
            let _ = Command::new("/bin/sh").args(["-c", &format!("exit {DONE}")]).exec();
            Some(false)
        }
        "open" => Some(std::fs::File::open("/etc/passwd").is_ok()),
        name => super::make_call(name),
    }
}

fn call(number: Sysno, arguments: [i64; 6]) -> String {
    format!("{CALL}{} {}", number as i64, arguments.map(|argument| argument.to_string()).join(" "))
}

fn with_broker(number: Sysno, arguments: [i64; 6]) -> Output {
    command(&call(number, arguments)).env(HAS_BROKER, "1").output().unwrap()
}

fn as_broker(name: &str, port: u16) -> Output {
    command(name).env(PORT, port.to_string()).output().unwrap()
}

fn assert_killed(output: &Output, number: Sysno) {
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(Failure::VMM.into()), "{}: {output:?}", number.name());
    assert!(message.contains(&format!(" {}(", number.name())), "{message}");
}

/// Calls that the sentry makes on what it was handed, on no descriptor at all.
fn of_handed_sockets() -> Vec<(Sysno, [i64; 6])> {
    let [tcp, socket] = [net::SOL_TCP, net::SOL_SOCKET].map(i64::from);
    vec![
        (Sysno::recvmsg, [-1, 0, 0, 0, 0, 0]),
        (Sysno::shutdown, [-1, 0, 0, 0, 0, 0]),
        (Sysno::sendto, [-1, 0, 0, libc::MSG_OOB.into(), 0, 0]),
        (Sysno::recvfrom, [-1, 0, 0, (libc::MSG_PEEK | libc::MSG_TRUNC).into(), 0, 0]),
        (Sysno::setsockopt, [-1, tcp, net::TCP_NODELAY.into(), 0, 0, 0]),
        (Sysno::setsockopt, [-1, socket, net::SO_LINGER.into(), 0, 0, 0]),
        (Sysno::getsockopt, [-1, socket, net::SO_ERROR.into(), 0, 0, 0]),
        (Sysno::getsockopt, [-1, tcp, net::TCP_INFO.into(), 0, 0, 0]),
    ]
}

#[test]
fn what_is_handed_over_can_be_used_where_there_is_a_broker_and_only_there() {
    for (number, arguments) in of_handed_sockets() {
        let output = with_broker(number, arguments);
        assert_eq!(output.status.code(), Some(REFUSED), "{}: {output:?}", number.name());
        assert_killed(&super::attempt(&call(number, arguments)), number);
    }
}

#[test]
fn with_a_broker_the_sentry_makes_no_socket_and_names_no_address() {
    for number in DANGEROUS.into_iter().filter(|number| *number != Sysno::recvmsg) {
        assert_killed(&with_broker(number, [0; 6]), number);
    }
    let [tcp, socket, ip] = [net::SOL_TCP, net::SOL_SOCKET, net::SOL_IP].map(i64::from);
    for (number, arguments) in [
        (Sysno::sendto, [0, 0, 0, 0, 1, 16]),
        (Sysno::sendto, [0, 0, 0, libc::MSG_FASTOPEN.into(), 0, 0]),
        (Sysno::recvfrom, [0, 0, 0, libc::MSG_ERRQUEUE.into(), 0, 0]),
        (Sysno::recvfrom, [0, 0, 0, 0, 1, 0]),
        // The number of TCP_NODELAY is SO_DEBUG's, and that of SO_LINGER nothing of TCP's that is let through.
        (Sysno::setsockopt, [0, socket, net::TCP_NODELAY.into(), 0, 0, 0]),
        (Sysno::setsockopt, [0, socket, net::SO_BINDTODEVICE.into(), 0, 0, 0]),
        (Sysno::setsockopt, [0, socket, net::SO_ATTACH_FILTER.into(), 0, 0, 0]),
        (Sysno::setsockopt, [0, tcp, net::SO_LINGER.into(), 0, 0, 0]),
        (Sysno::setsockopt, [0, tcp, net::TCP_REPAIR.into(), 0, 0, 0]),
        (Sysno::setsockopt, [0, tcp, net::TCP_ULP.into(), 0, 0, 0]),
        (Sysno::setsockopt, [0, ip, net::IP_OPTIONS.into(), 0, 0, 0]),
        (Sysno::getsockopt, [0, tcp, net::SO_ERROR.into(), 0, 0, 0]),
    ] {
        assert_killed(&with_broker(number, arguments), number);
    }
}

/// Calls that the broker makes, too.
const OF_BROKER: [Sysno; 5] = [Sysno::socket, Sysno::socketpair, Sysno::connect, Sysno::bind, Sysno::sendmsg];

#[test]
fn each_dangerous_call_ends_a_broker() {
    let is_its_own = |number: &Sysno| OF_BROKER.contains(number) || *number == Sysno::recvmsg;
    for number in DANGEROUS.into_iter().filter(|number| !is_its_own(number)) {
        assert_killed(&as_broker(&call(number, [0; 6]), 1), number);
    }
    let flags = i64::from(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC);
    for (number, arguments) in [
        (Sysno::openat2, [0; 6]),
        (Sysno::listen, [0; 6]),
        (Sysno::socket, [libc::AF_UNIX.into(), i64::from(libc::SOCK_STREAM) | flags, 0, 0, 0, 0]),
        (Sysno::socket, [libc::AF_NETLINK.into(), i64::from(libc::SOCK_DGRAM) | flags, 0, 0, 0, 0]),
        (Sysno::socket, [libc::AF_PACKET.into(), i64::from(libc::SOCK_DGRAM) | flags, 0, 0, 0, 0]),
        (Sysno::socket, [libc::AF_INET.into(), i64::from(libc::SOCK_RAW) | flags, 0, 0, 0, 0]),
        (Sysno::socket, [libc::AF_INET.into(), i64::from(libc::SOCK_STREAM) | flags, 132, 0, 0, 0]),
        (Sysno::setsockopt, [0, i64::from(net::SOL_TCP), 1, 0, 0, 0]),
        (Sysno::sendto, [0, 0, 0, 0, 1, 16]),
        (Sysno::ioctl, [0; 6]),
    ] {
        assert_killed(&as_broker(&call(number, arguments), 1), number);
    }
}

#[test]
fn a_broker_connects_where_it_may_and_has_no_files() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let status = |name: &str, port| as_broker(name, port).status.code();
    assert_eq!(status("connect", port), Some(DONE));
    assert_eq!(status("execute", port), Some(Failure::VMM.into()));
    assert_eq!(status("open", port), Some(REFUSED));
    // Who listens is at the port that is not told to Landlock, for the other one is.
    let status = as_broker("connect elsewhere", port ^ 1).status.code();
    assert_eq!(status, Some(if Landlock::of_host().knows_ports() { REFUSED } else { DONE }));
}
