//! Receiving.

use super::{Arrival, Datagram, Inbox, UdpSocket};
use crate::Errno;
use crate::net::{Received, Receiving};

impl UdpSocket {
    /// Receives one datagram.
    pub(super) fn receive_datagram(
        &self,
        max_bytes: usize,
        how: Receiving,
        take: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<Received, Errno> {
        if how.is_error_queue {
            return Err(Errno::EAGAIN);
        }
        let mut inbox = self.inbox.lock();
        inbox.error.take().map_or(Ok(()), Err)?;
        let skipped = inbox.peek_offset.filter(|_| how.is_peek).unwrap_or(0);
        let Some(first) = inbox.datagrams.front() else { return nothing(&inbox, how) };
        let bytes = first.bytes.get(skipped..).unwrap_or_default();
        let piece = bytes.get(..max_bytes).unwrap_or(bytes);
        let (is_taken, len_bytes, message_bytes) = (take(piece), piece.len(), bytes.len());
        let received = Received {
            len_bytes,
            message_bytes,
            control: self.inet.tell(&arrival(first)),
            sender: Some(self.inet.encode(first.source)),
            ..Received::default()
        };
        inbox.pass(how.is_peek, len_bytes, message_bytes);
        if is_taken { Ok(received) } else { Err(Errno::EFAULT) }
    }
}

fn nothing(inbox: &Inbox, how: Receiving) -> Result<Received, Errno> {
    if inbox.is_receive_shut && how.waits { Ok(Received::default()) } else { Err(Errno::EAGAIN) }
}

fn arrival(datagram: &Datagram) -> Arrival {
    let Datagram { destination, device, ttl, tos, .. } = *datagram;
    Arrival { destination, device, ttl, tos }
}

impl Inbox {
    /// The first datagram has been looked at, or taken.
    fn pass(&mut self, is_peek: bool, len_bytes: usize, message_bytes: usize) {
        if is_peek {
            self.peek_offset = self.peek_offset.map(|offset| offset.saturating_add(len_bytes));
            return;
        }
        self.peek_offset = self.peek_offset.map(|offset| offset.saturating_sub(message_bytes));
        if let Some(datagram) = self.datagrams.pop_front() {
            self.cost_bytes -= datagram.charge.len_bytes();
        }
    }
}
