//! The process that makes sockets on the host.
//!
//! It is forked before anything of the guest is there, has none of vmm's descriptors but its ends of two socket pairs and the
//! sockets that listen at published ports, and confines itself: see [`jail`](crate::jail). It serves what the sentry asks one request
//! after the other, each at once: a connection is on its way when it is handed over, and looking names up is done by threads of
//! their own. It holds no socket that it has handed over, and ends with vmm.

mod examination;
mod lookups;
mod published;
pub(super) mod query;
mod servers;
mod sockets;

use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, socketpair};
use zerocopy::FromBytes;

use self::lookups::Lookups;
use self::published::Published;
use super::policy::{Policy, Way};
use super::protocol::{Answer, Credit, Request, receive, send_with};
use super::{Network, Protocol};
use crate::failure::Failure;
use crate::jail::{BrokerRules, Rules, confine_broker};

pub(crate) use self::examination::examine;

/// A message that is longer than all that there are, to see that.
const MAX_MESSAGE_BYTES: usize = 64;
/// What the child reports if all is well.
const CONFINED: &[u8] = b"confined\n";

/// Vmm's side of a broker that has been started.
pub(super) struct Started {
    pub(super) calls: OwnedFd,
    pub(super) arrivals: OwnedFd,
    pub(super) report: Report,
}

/// Where a broker tells that it is confined.
pub(super) struct Report(std::io::PipeReader);

impl Report {
    /// Waits until it is confined.
    ///
    /// # Errors
    /// It could not be.
    pub(super) fn wait(&mut self) -> anyhow::Result<()> {
        let mut report = Vec::new();
        self.0.read_to_end(&mut report).context("wait for the broker")?;
        if report != CONFINED {
            bail!("the broker: {}", String::from_utf8_lossy(&report).trim_end());
        }
        Ok(())
    }
}

/// Binds the published ports and starts the broker. The process has one thread.
///
/// # Errors
/// A port is taken, or the host refuses.
pub(super) fn start(network: &Network, rules: Rules) -> anyhow::Result<Started> {
    let published = Published::bind(&network.published)?;
    let servers = servers::of(network);
    let (ports, keeps_low_ports) = (network.connected_ports(), published.binds_low_ports());
    let rules = BrokerRules { rules, ports, keeps_low_ports };
    let pair = || socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
    let (calls, far_calls) = pair().context("a pair of sockets")?;
    let (arrivals, far_arrivals) = pair().context("a pair of sockets")?;
    let (report, far_report) = std::io::pipe().context("a pipe")?;
    // SAFETY: the process has one thread, so that the child is as whole as its parent.
    match unsafe { libc::fork() } {
        -1 => Err(std::io::Error::last_os_error()).context("start the broker"),
        0 => {
            let ends = Ends { calls: far_calls, arrivals: far_arrivals, report: far_report };
            let broker = Broker::new(network, ends, (published, servers));
            let status = broker.map_or(Failure::VMM, |broker| broker.run(&rules));
            // SAFETY: _exit(2) takes any status. What else the parent would do at its end is not the child's to do.
            unsafe { libc::_exit(status.into()) }
        }
        _ => {
            drop(far_report);
            Ok(Started { calls, arrivals, report: Report(report) })
        }
    }
}

/// The broker's ends.
struct Ends {
    calls: OwnedFd,
    arrivals: OwnedFd,
    report: std::io::PipeWriter,
}

/// What is waited for, as epoll(7) tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Calls,
    Arrivals,
    Published(u32),
    Lookup(u32),
}

impl Source {
    fn to_data(self) -> EventData {
        let (kind, number) = match self {
            Self::Calls => (0, 0),
            Self::Arrivals => (1, 0),
            Self::Published(number) => (2, number),
            Self::Lookup(number) => (3, number),
        };
        EventData::new_u64(kind << 32 | u64::from(number))
    }

    fn from_data(data: EventData) -> Self {
        let number = data.u64() as u32;
        match data.u64() >> 32 {
            0 => Self::Calls,
            1 => Self::Arrivals,
            2 => Self::Published(number),
            _ => Self::Lookup(number),
        }
    }
}

/// What is waited for.
pub(super) struct Sources(OwnedFd);

impl Sources {
    /// Waits for something to read, too.
    pub(super) fn add(&self, socket: BorrowedFd<'_>, source: Source) -> Result<(), Errno> {
        epoll::add(&self.0, socket, source.to_data(), EventFlags::IN)
    }

    /// Waits for it no more.
    pub(super) fn remove(&self, socket: BorrowedFd<'_>) {
        // It is there: whoever takes it out has put it in.
        let _ = epoll::delete(&self.0, socket);
    }
}

/// The policy, which lookups change.
pub(super) type SharedPolicy = Arc<Mutex<Policy>>;

/// A broken lock is as good as any: the process ends at a panic.
pub(super) fn lock(policy: &Mutex<Policy>) -> MutexGuard<'_, Policy> {
    policy.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Broker {
    calls: OwnedFd,
    arrivals: OwnedFd,
    report: Option<std::io::PipeWriter>,
    sources: Sources,
    policy: SharedPolicy,
    published: Published,
    lookups: Lookups,
}

impl Broker {
    fn new(
        network: &Network,
        ends: Ends,
        (published, servers): (Published, Vec<std::net::SocketAddr>),
    ) -> anyhow::Result<Self> {
        let Ends { calls, arrivals, report } = ends;
        let policy = Arc::new(Mutex::new(Policy::new(network)));
        let sources = Sources(epoll::create(CreateFlags::CLOEXEC)?);
        let lookups = Lookups::new(policy.clone(), servers);
        Ok(Self { calls, arrivals, report: Some(report), sources, policy, published, lookups })
    }

    /// Confines the process and serves for as long as vmm is there. Returns the status to exit with.
    fn run(mut self, rules: &BrokerRules) -> u8 {
        let confined = self.confine(rules);
        if let Some(mut report) = self.report.take() {
            let text = confined
                .as_ref()
                .map_or_else(|error| format!("{error:#}\n").into_bytes(), |()| CONFINED.into());
            // Vmm may have ended already.
            let _ = report.write_all(&text);
        }
        match confined.and_then(|()| self.serve()) {
            Ok(()) => 0,
            Err(error) => {
                log::error!("the broker ends: {error:#}");
                Failure::VMM
            }
        }
    }

    fn confine(&mut self, rules: &BrokerRules) -> anyhow::Result<()> {
        ignore_signals()?;
        leave_terminal()?;
        let mut kept = vec![self.calls.as_raw_fd(), self.arrivals.as_raw_fd(), self.sources.0.as_raw_fd()];
        kept.extend(self.report.as_ref().map(AsRawFd::as_raw_fd));
        kept.extend(self.published.descriptors());
        close_all_but(kept)?;
        self.sources.add(self.calls.as_fd(), Source::Calls)?;
        self.sources.add(self.arrivals.as_fd(), Source::Arrivals)?;
        self.published.listen(&self.sources)?;
        for (layer, text) in confine_broker(rules)? {
            log::info!("broker, {layer}: {text}");
        }
        Ok(())
    }

    fn serve(&mut self) -> anyhow::Result<()> {
        let mut events = Vec::with_capacity(64);
        loop {
            events.clear();
            match epoll::wait(&self.sources.0, rustix::buffer::spare_capacity(&mut events), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error).context("wait"),
            }
            for event in &events {
                match Source::from_data(event.data) {
                    Source::Calls if !self.answer()? => return Ok(()),
                    Source::Published(number) => {
                        self.published.take(number, self.arrivals.as_fd(), &self.sources);
                    }
                    Source::Lookup(number) => self.lookups.take(number, &self.sources),
                    Source::Arrivals => self.take_credit()?,
                    Source::Calls => {}
                }
            }
        }
    }

    /// Answers a request. False if vmm has ended.
    fn answer(&mut self) -> anyhow::Result<bool> {
        let mut request = [0; MAX_MESSAGE_BYTES];
        // A descriptor that comes with it is nobody's, and closed.
        let (len, _) = match receive(self.calls.as_fd(), &mut request, RecvFlags::DONTWAIT) {
            Err(Errno::AGAIN) => return Ok(true),
            Err(Errno::CONNRESET) => return Ok(false),
            received => received.context("receive a request")?,
        };
        if len == 0 {
            return Ok(false);
        }
        let socket = Request::decode(request.get(..len).unwrap_or_default())
            .and_then(|(protocol, remote)| self.make(protocol, remote));
        let error = socket.as_ref().map_or_else(|error| error.raw_os_error().unsigned_abs(), |_| 0);
        let descriptor = socket.as_ref().ok().map(AsFd::as_fd);
        match send_with(self.calls.as_fd(), (&Answer { error }, &[]), descriptor, SendFlags::empty()) {
            Err(Errno::PIPE | Errno::CONNRESET) => Ok(false),
            sent => sent.context("answer a request").map(|()| true),
        }
    }

    /// Makes a socket, if the policy lets it.
    fn make(&mut self, protocol: Protocol, remote: std::net::SocketAddr) -> Result<OwnedFd, Errno> {
        let way = lock(&self.policy).way(protocol, remote, Instant::now())?;
        match way {
            Way::Outside(remote) => sockets::towards(protocol, remote),
            Way::Resolver => self.lookups.open(protocol, &self.sources),
        }
    }

    /// Takes note that a published port has room.
    fn take_credit(&mut self) -> anyhow::Result<()> {
        let mut message = [0; MAX_MESSAGE_BYTES];
        let (len, _) = match receive(self.arrivals.as_fd(), &mut message, RecvFlags::DONTWAIT) {
            Err(Errno::AGAIN) => return Ok(()),
            Err(Errno::CONNRESET) => (0, None),
            received => received.context("receive a credit")?,
        };
        if len == 0 {
            // Nothing is published.
            self.sources.remove(self.arrivals.as_fd());
        }
        if let Ok(credit) = Credit::read_from_bytes(message.get(..len).unwrap_or_default()) {
            self.published.credit(credit.publication, &self.sources);
        }
        Ok(())
    }
}

/// What is sent to vmm and all that belongs to it is vmm's affair: the broker ends when vmm has.
fn ignore_signals() -> anyhow::Result<()> {
    let signals = [
        libc::SIGHUP,
        libc::SIGINT,
        libc::SIGQUIT,
        libc::SIGTERM,
        libc::SIGTSTP,
        libc::SIGPIPE,
        libc::SIGXFSZ,
    ];
    for signal in signals {
        // SAFETY: no handler is installed.
        let previous = unsafe { libc::signal(signal, libc::SIG_IGN) };
        ensure!(previous != libc::SIG_ERR, "ignore signal {signal}");
    }
    Ok(())
}

/// Has no terminal, and none of the caller's streams but the one where it reports.
fn leave_terminal() -> anyhow::Result<()> {
    // A process that leads no group: it has just been forked.
    rustix::process::setsid().context("leave the session")?;
    rustix::thread::set_name(c"vmm-broker").context("take a name")?;
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null").context("/dev/null")?;
    rustix::stdio::dup2_stdin(&null).context("standard input")?;
    rustix::stdio::dup2_stdout(&null).context("standard output")?;
    Ok(())
}

/// Closes every descriptor but the standard streams and those in `kept`.
fn close_all_but(mut kept: Vec<i32>) -> anyhow::Result<()> {
    const FIRST: u32 = 3;
    kept.sort_unstable();
    let mut next = FIRST;
    for number in kept.into_iter().filter_map(|number| u32::try_from(number).ok()) {
        if number > next {
            close_range(next, number - 1)?;
        }
        next = next.max(number + 1);
    }
    close_range(next, u32::MAX)
}

fn close_range(first: u32, last: u32) -> anyhow::Result<()> {
    // SAFETY: what is closed is the parent's, of which this process uses nothing any more.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    ensure!(result == 0, "close descriptors: {}", std::io::Error::last_os_error());
    Ok(())
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use self::tests::connects;
