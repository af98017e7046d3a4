//! Sending and receiving.

use std::sync::Arc;

use linux_raw_sys::net::{SO_OOBINLINE, SOL_TCP, TCP_CM_INQ};

use super::bytes::Taking;
use super::endpoint::{Endpoint, Inbox, READABLE, WRITABLE};
use super::outbox::{Ends, Flush};
use super::{Role, TcpSocket, outside};
use crate::Errno;
use crate::net::{ControlMessage, Outgoing, Received, Receiving, Socket};
use crate::wait::Events;

impl TcpSocket {
    /// Both ends of a connection that can be sent into.
    fn sendable_ends(&self) -> Result<(Arc<Endpoint>, Arc<Endpoint>), Errno> {
        let (own, peer) = {
            let mut state = self.state.lock();
            match &state.role {
                Role::Connected(connection) => (connection.own.clone(), connection.peer.clone()),
                Role::Connecting { .. } => return Err(Errno::EAGAIN),
                _ => return Err(state.error.take().unwrap_or(Errno::EPIPE)),
            }
        };
        let mut inbox = own.inbox();
        if let Some(error) = inbox.error.take() {
            return Err(error);
        }
        if inbox.is_sending_over() {
            return Err(Errno::EPIPE);
        }
        drop(inbox);
        Ok((own, peer))
    }

    /// Sends as much of the bytes as there is room for.
    pub(super) fn send_bytes(&self, outgoing: &Outgoing<'_>) -> Result<usize, Errno> {
        if let Some(host) = self.host()? {
            return outside::send(&host, outgoing);
        }
        let (own, peer) = self.sendable_ends()?;
        let ends = Ends { own, peer, wire: self.wire() };
        // An urgent byte is for now.
        let is_held = (self.options.lock().is_corked || outgoing.has_more) && !outgoing.is_urgent;
        if !is_held && !ends.is_holding() && ends.is_open() {
            return put(&ends, outgoing);
        }
        let held = ends.hold(outgoing.bytes)?;
        ends.flush(if is_held { Flush::Segments } else { Flush::All });
        if ends.is_holding() {
            self.expect_more(&ends);
        }
        Ok(held)
    }

    /// Whether something could be sent now.
    pub(super) fn check_room(&self) -> Result<(), Errno> {
        if let Some(host) = self.host()? {
            let is_possible = host.readiness().intersects(WRITABLE | Events::ERR | Events::HUP);
            return if is_possible { Ok(()) } else { Err(Errno::EAGAIN) };
        }
        let (own, peer) = self.sendable_ends()?;
        let ends = Ends { own, peer: peer.clone(), wire: self.wire() };
        if ends.is_holding() || !ends.is_open() {
            return if ends.has_room_to_hold() { Ok(()) } else { Err(Errno::EAGAIN) };
        }
        let mut inbox = peer.inbox();
        if inbox.refuses_bytes() || inbox.room(&peer.memory) > 0 {
            return Ok(());
        }
        inbox.peer_waits = true;
        Err(Errno::EAGAIN)
    }

    /// Receives what there is, or the urgent byte.
    pub(super) fn receive_bytes(
        &self,
        max_bytes: usize,
        how: Receiving,
        take: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<Received, Errno> {
        if how.is_error_queue {
            return self.inet.tell_zero_copies().ok_or(Errno::EAGAIN);
        }
        if let Some(host) = self.host()? {
            let peek_offset = self.peek_offset().filter(|_| how.is_peek).unwrap_or(0);
            return outside::receive(&host, max_bytes, (how, peek_offset), take);
        }
        let (own, peer) = match self.ends() {
            Some(ends) => ends,
            None => return self.receive_without_connection(how.is_urgent),
        };
        let discard = &mut |_: &[u8]| true;
        let take: &mut dyn FnMut(&[u8]) -> bool = if how.discards { discard } else { take };
        let is_urgent_inline = self.inet.common.options().switch(SO_OOBINLINE)?;
        if how.is_urgent {
            return receive_urgent(&own, is_urgent_inline, how.is_peek, max_bytes, take);
        }
        let (len_bytes, left_bytes, has_made_room) = {
            let mut inbox = own.inbox();
            let peek_offset = how.is_peek.then(|| inbox.peek_offset.unwrap_or(0));
            let taken = inbox.bytes.read(Taking { max_bytes, peek_offset, is_urgent_inline, take })?;
            // Who asks for nothing waits until there is something.
            if taken == 0 && (max_bytes > 0 || inbox.bytes.readable_bytes(is_urgent_inline) == 0) {
                return nothing(&mut inbox).map(|()| Received::default());
            }
            if let Some(offset) = &mut inbox.peek_offset {
                *offset =
                    if how.is_peek { offset.saturating_add(taken) } else { offset.saturating_sub(taken) };
            }
            let has_made_room = inbox.peer_waits && inbox.has_ample_room(&own.memory);
            if has_made_room {
                inbox.peer_waits = false;
            }
            (taken, inbox.bytes.readable_bytes(is_urgent_inline), has_made_room)
        };
        if left_bytes == 0 && !how.is_peek && own.arrivals.owes() {
            Ends { own: own.clone(), peer: peer.clone(), wire: self.wire() }.count_reading();
        }
        if has_made_room {
            peer.queue.notify(WRITABLE);
            let ends = Ends { own: peer, peer: own, wire: self.wire() };
            ends.flush(Flush::All);
        }
        let control = self.tell_queued(left_bytes);
        Ok(Received { len_bytes, message_bytes: len_bytes, control, ..Received::default() })
    }

    /// What TCP_INQ has a receive tell beside the bytes: how many more there are.
    fn tell_queued(&self, left_bytes: usize) -> Vec<ControlMessage> {
        if !self.options.lock().tells_queued {
            return Vec::new();
        }
        let left = i32::try_from(left_bytes).unwrap_or(i32::MAX);
        vec![ControlMessage { level: SOL_TCP, kind: TCP_CM_INQ, data: left.to_ne_bytes().to_vec() }]
    }

    fn receive_without_connection(&self, is_urgent: bool) -> Result<Received, Errno> {
        let mut state = self.state.lock();
        match (&state.role, state.error) {
            (Role::Listening(_), _) => Err(Errno::ENOTCONN),
            _ if is_urgent => Err(Errno::EINVAL),
            (Role::Connecting { .. }, _) => Err(Errno::EAGAIN),
            (_, Some(error)) => {
                state.error = None;
                Err(error)
            }
            _ if state.is_shut => Ok(Received::default()),
            _ => Err(Errno::ENOTCONN),
        }
    }
}

/// What one is told who finds nothing to receive.
fn nothing(inbox: &mut Inbox) -> Result<(), Errno> {
    if inbox.has_ended {
        return Ok(());
    }
    match inbox.error.take() {
        Some(error) => Err(error),
        None if inbox.is_reading_over() => Ok(()),
        None => Err(Errno::EAGAIN),
    }
}

fn receive_urgent(
    own: &Endpoint,
    is_inline: bool,
    is_peek: bool,
    max_bytes: usize,
    take: &mut dyn FnMut(&[u8]) -> bool,
) -> Result<Received, Errno> {
    let mut inbox = own.inbox();
    if is_inline {
        return Err(Errno::EINVAL);
    }
    let byte = inbox.bytes.take_urgent(is_peek)?;
    let taken = max_bytes.min(1);
    if taken > 0 && !take(&[byte]) {
        return Err(Errno::EFAULT);
    }
    Ok(Received { len_bytes: taken, message_bytes: 1, is_urgent: true, ..Received::default() })
}

/// Puts bytes where the peer finds them.
fn put(ends: &Ends, outgoing: &Outgoing<'_>) -> Result<usize, Errno> {
    let (own, peer) = (&ends.own, &ends.peer);
    // Without bytes there is no segment that could be answered with a reset.
    let is_all_lost = peer.inbox().refuses_bytes() && !outgoing.bytes.is_empty();
    if is_all_lost {
        // They go out, and the answer is a reset.
        ends.count_lost(outgoing.bytes.len());
        own.reset();
        peer.reset();
        return Ok(outgoing.bytes.len());
    }
    let (pushed, is_urgent) = {
        let mut inbox = peer.inbox();
        let room = inbox.room(&peer.memory);
        if room == 0 && !outgoing.bytes.is_empty() {
            inbox.peer_waits = true;
            return Err(Errno::EAGAIN);
        }
        let fitting = outgoing.bytes.get(..room).unwrap_or(outgoing.bytes);
        let pushed = inbox.bytes.push(fitting)?;
        let is_urgent = outgoing.is_urgent && pushed > 0 && pushed == outgoing.bytes.len();
        if is_urgent {
            inbox.bytes.mark_urgent();
        }
        (pushed, is_urgent)
    };
    if pushed > 0 {
        ends.count(pushed);
        peer.announce(if is_urgent { READABLE | Events::PRI } else { READABLE });
    }
    Ok(pushed)
}
