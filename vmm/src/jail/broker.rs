//! The jail of the process that makes sockets: see [`network`](crate::network).
//!
//! It needs no file, no microVM and no signal, but the host's network, so that its network namespace is the host's. Landlock keeps it
//! from binding TCP ports, and from connecting to others than the caller named where those are few.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use linux_raw_sys::general as uapi;
use linux_raw_sys::net;
use rustix::thread::CapabilitySet;
use sentry::fs::host::HostOwners;
use sentry::syscall::Sysno;

use super::files::{FileRules, Landlock};
use super::filter::{self, Condition, Filter};
use super::namespaces::Namespaces;
use super::privileges::{JailUser, Privileges};
use super::program::Answer::{self, Allow, AllowIf, Unavailable};
use super::program::Test::{self, AnyOf, HasNone, IsZero, OneOf};
use super::{Layer, Rules, limits, missing_landlock, violation};

/// What the broker's jail is to be.
#[derive(Clone, Debug)]
pub(crate) struct BrokerRules {
    /// Those of vmm's own.
    pub(crate) rules: Rules,
    /// The only TCP ports that it connects to; `None` if they are too many to tell.
    pub(crate) ports: Option<Vec<u16>>,
    /// Whether it binds sockets to ports that not everybody may have.
    pub(crate) keeps_low_ports: bool,
}

/// Calls that remain whatever their arguments.
const UNCONDITIONAL: [Sysno; 27] = [
    Sysno::read,
    Sysno::write,
    Sysno::close,
    Sysno::poll,
    Sysno::ppoll,
    Sysno::epoll_wait,
    Sysno::epoll_pwait,
    // Sockets that the policy lets it make, and the two pairs.
    Sysno::connect,
    Sysno::bind,
    Sysno::sendmsg,
    Sysno::recvmsg,
    Sysno::recvfrom,
    // Memory and threads, as the C library has them.
    Sysno::brk,
    Sysno::munmap,
    Sysno::set_robust_list,
    Sysno::rseq,
    Sysno::sched_yield,
    Sysno::getcpu,
    Sysno::sched_getaffinity,
    Sysno::getpid,
    Sysno::gettid,
    Sysno::exit,
    Sysno::exit_group,
    Sysno::restart_syscall,
    Sysno::rt_sigreturn,
    Sysno::sigaltstack,
    Sysno::nanosleep,
];

/// Confines the process, which has one thread, for good, and tells its layers.
///
/// # Errors
/// As [`Jail::enter`](super::Jail::enter).
pub(crate) fn confine_broker(rules: &BrokerRules) -> anyhow::Result<Vec<Layer>> {
    let mut namespaces = Namespaces::enter_mounts();
    let caller = namespaces.own_user();
    let landlock = FileRules::of_broker(rules.ports.as_deref()).context("prepare Landlock")?;
    namespaces.complete();
    limits::lower().context("lower resource limits")?;
    let capabilities = match rules.keeps_low_ports {
        true => CapabilitySet::NET_BIND_SERVICE,
        false => CapabilitySet::empty(),
    };
    let (becomes_other, capabilities) = match namespaces.owners() {
        HostOwners::Told => (caller.is_root(), capabilities),
        HostOwners::Mapped { .. } => (false, CapabilitySet::empty()),
    };
    let user = becomes_other.then(|| rules.rules.user.unwrap_or_else(JailUser::of_this_process));
    let privileges = Privileges::reduce(user, capabilities).context("give up privileges")?;
    limits::hide_memory().context("go without core dumps")?;
    let is_enforced = landlock.enforce().context("confine the broker with Landlock")?;
    ensure!(is_enforced || !rules.rules.is_landlock_required, "missing: {}", missing_landlock());
    violation::install_handler().context("handle SIGSYS")?;
    let filter = Filter::new(broker_rules())?;
    let layers = vec![
        (super::NAMESPACES, namespaces.describe()),
        (super::USER, privileges.to_string()),
        (super::LANDLOCK, Landlock::of_host().describe_network()),
        (super::SECCOMP, filter.describe()),
    ];
    namespaces.finish();
    filter.install().context("confine the broker with seccomp")?;
    Ok(layers)
}

/// What the broker's jail leaves, for a person.
///
/// # Errors
/// The filter cannot be compiled.
pub(crate) fn describe_broker_jail() -> anyhow::Result<String> {
    let network = Landlock::of_host().describe_network();
    Ok(format!("{}; Landlock: {network}", Filter::new(broker_rules())?.describe()))
}

fn broker_rules() -> BTreeMap<Sysno, Answer> {
    let conditional = [sockets(), filter::memory(), filter::threads(), filter::signals_and_clocks()].concat();
    let mut rules: BTreeMap<_, _> =
        conditional.into_iter().map(|(number, tests)| (number, AllowIf(tests))).collect();
    rules.extend(UNCONDITIONAL.iter().map(|number| (*number, Allow)));
    rules.extend(filter::UNAVAILABLE.iter().map(|number| (*number, Unavailable)));
    rules
}

/// TCP and UDP, and pairs for who looks names up.
fn sockets() -> Vec<Condition> {
    let flags = (libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC).cast_unsigned();
    let own_flags = !(libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL).cast_unsigned();
    let options = [net::SO_REUSEADDR];
    vec![
        (
            Sysno::socket,
            vec![
                OneOf(0, vec![net::AF_INET, net::AF_INET6]),
                OneOf(1, vec![net::SOCK_STREAM | flags, net::SOCK_DGRAM | flags]),
                IsZero(2),
            ],
        ),
        (
            Sysno::socketpair,
            vec![
                OneOf(0, vec![net::AF_UNIX]),
                OneOf(1, vec![net::SOCK_STREAM | flags, net::SOCK_SEQPACKET | flags]),
            ],
        ),
        // A build with assertions looks at what it closes.
        (Sysno::fcntl, vec![OneOf(1, vec![uapi::F_GETFD])]),
        (Sysno::accept4, vec![OneOf(3, vec![flags])]),
        (Sysno::sendto, vec![HasNone(3, own_flags), IsZero(4)]),
        (Sysno::setsockopt, vec![OneOf(1, vec![net::SOL_SOCKET]), OneOf(2, options.to_vec())]),
        (Sysno::epoll_ctl, vec![OneOf(1, vec![uapi::EPOLL_CTL_ADD, uapi::EPOLL_CTL_DEL])]),
    ]
}

/// What the sentry may do with sockets that it was handed: send, receive and shut down, and options that are numbers.
pub(super) fn of_handed_sockets() -> Vec<Condition> {
    let kinds = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL | libc::MSG_OOB | libc::MSG_PEEK | libc::MSG_TRUNC;
    let flags = !kinds.cast_unsigned();
    vec![
        (Sysno::recvfrom, vec![HasNone(3, flags), IsZero(4)]),
        (Sysno::sendto, vec![HasNone(3, flags), IsZero(4)]),
        (Sysno::recvmsg, vec![]),
        (Sysno::shutdown, vec![]),
        (Sysno::getsockopt, options(&[net::SO_PEERCRED, net::SO_ERROR], &[net::TCP_INFO])),
        (
            Sysno::setsockopt,
            options(
                &[net::SO_KEEPALIVE, net::SO_OOBINLINE, net::SO_RCVLOWAT, net::SO_LINGER],
                &[
                    net::TCP_NODELAY,
                    net::TCP_CORK,
                    net::TCP_QUICKACK,
                    net::TCP_KEEPIDLE,
                    net::TCP_KEEPINTVL,
                    net::TCP_KEEPCNT,
                    net::TCP_USER_TIMEOUT,
                    net::TCP_NOTSENT_LOWAT,
                ],
            ),
        ),
    ]
}

/// The tests that let options of SOL_SOCKET and of SOL_TCP pass.
fn options(of_socket: &[u32], of_tcp: &[u32]) -> Vec<Test> {
    let is_level = |level| OneOf(1, vec![level]);
    vec![
        OneOf(1, vec![net::SOL_SOCKET, net::SOL_TCP]),
        AnyOf(vec![is_level(net::SOL_TCP), OneOf(2, of_socket.to_vec())]),
        AnyOf(vec![is_level(net::SOL_SOCKET), OneOf(2, of_tcp.to_vec())]),
    ]
}
