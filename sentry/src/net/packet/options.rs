//! Options of the level SOL_PACKET (`man 7 packet`).

use super::blocks::BlockRing;
use super::fanout::FanoutArgs;
use super::fields::word;
use super::ring::{FrameRing, Geometry, Layout, ReceiveRing, Version};
use super::{Link, PacketSocket};
use crate::Errno;
use crate::fs::Caller;

pub(super) const SOL_PACKET: u32 = 263;
const PACKET_ADD_MEMBERSHIP: u32 = 1;
const PACKET_DROP_MEMBERSHIP: u32 = 2;
const PACKET_RX_RING: u32 = 5;
const PACKET_STATISTICS: u32 = 6;
pub(super) const PACKET_AUXDATA: u32 = 8;
const PACKET_VERSION: u32 = 10;
const PACKET_HDRLEN: u32 = 11;
const PACKET_RESERVE: u32 = 12;
const PACKET_FANOUT: u32 = 18;
const PACKET_ROLLOVER_STATS: u32 = 21;
const PACKET_FANOUT_DATA: u32 = 22;
const PACKET_IGNORE_OUTGOING: u32 = 23;

/// Options that are kept and told, and change nothing: PACKET_COPY_THRESH, PACKET_ORIGDEV, PACKET_LOSS, PACKET_TIMESTAMP,
/// PACKET_TX_HAS_OFF and PACKET_QDISC_BYPASS.
const KEPT: [u32; 6] = [7, 9, 14, 17, 19, 20];
/// Of those, these are numbers; the others are on or off.
const KEPT_NUMBERS: [u32; 2] = [7, 17];
/// PACKET_ORIGDEV, which may be longer than a number.
const LENIENT: u32 = 9;
/// PACKET_LOSS, which is settled with a ring.
const PACKET_LOSS: u32 = 14;
/// What a socket may join, at most: a group or a mode of a link each.
const MAX_MEMBERSHIPS: usize = 20;
/// PACKET_MR_*: a group, everything, all groups, an address.
const GROUP: u16 = 0;
const LAST_MEMBERSHIP_KIND: u16 = 3;
/// `struct tpacket_rollover_stats`: three counts.
const ROLLOVER_STATISTICS_BYTES: usize = 24;

/// A group of a link, or a mode that it is put into: what nobody has to be told of here, where everybody hears everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Membership {
    device: u32,
    kind: u16,
    len_bytes: u16,
    address: [u8; 8],
}

#[derive(Debug, Default)]
pub(super) struct Options {
    pub(super) tells_auxiliary: bool,
    pub(super) ignores_outgoing: bool,
    kept: [i32; KEPT.len()],
    memberships: Vec<Membership>,
    version: Version,
    reserve_bytes: u32,
}

impl Options {
    fn kept(&mut self, option: u32) -> Option<&mut i32> {
        let index = KEPT.iter().position(|known| *known == option)?;
        self.kept.get_mut(index)
    }

    /// Whether there is such an option, to be set or to be asked for.
    pub(super) fn is_known(option: u32, is_set: bool) -> bool {
        match option {
            PACKET_ADD_MEMBERSHIP | PACKET_DROP_MEMBERSHIP | PACKET_RX_RING | PACKET_FANOUT_DATA => is_set,
            PACKET_STATISTICS | PACKET_HDRLEN | PACKET_ROLLOVER_STATS => !is_set,
            PACKET_FANOUT | PACKET_AUXDATA | PACKET_VERSION | PACKET_RESERVE | PACKET_IGNORE_OUTGOING => true,
            option => KEPT.contains(&option),
        }
    }
}

/// `struct packet_mreq`.
fn decode_membership(value: &[u8]) -> Result<Membership, Errno> {
    let &[a, b, c, d, kind_low, kind_high, low, high, ref rest @ ..] = value else {
        return Err(Errno::EINVAL);
    };
    Ok(Membership {
        device: u32::from_ne_bytes([a, b, c, d]),
        kind: u16::from_ne_bytes([kind_low, kind_high]),
        len_bytes: u16::from_ne_bytes([low, high]),
        address: *rest.first_chunk().ok_or(Errno::EINVAL)?,
    })
}

impl PacketSocket {
    /// The value of an option that there is. `asked` is what the caller's room holds, of which PACKET_HDRLEN reads a version.
    pub(super) fn packet_option(&self, option: u32) -> Result<Vec<u8>, Errno> {
        if option == PACKET_STATISTICS {
            return Ok(self.take_statistics());
        }
        if option == PACKET_ROLLOVER_STATS {
            let rolls_over = self.fanout().is_some_and(|group| group.rolls_over());
            // What went on to others is counted by nobody.
            return if rolls_over { Ok(vec![0; ROLLOVER_STATISTICS_BYTES]) } else { Err(Errno::EINVAL) };
        }
        let mut state = self.state.lock();
        let options = &mut state.options;
        let number = match option {
            PACKET_FANOUT => state.fanout.as_ref().map_or(0, |group| group.number()),
            PACKET_AUXDATA => options.tells_auxiliary.into(),
            PACKET_IGNORE_OUTGOING => options.ignores_outgoing.into(),
            PACKET_VERSION => options.version as i32,
            PACKET_RESERVE => options.reserve_bytes.cast_signed(),
            option => *options.kept(option).ok_or(Errno::ENOPROTOOPT)?,
        };
        Ok(number.to_ne_bytes().to_vec())
    }

    /// PACKET_STATISTICS, which begin anew; of blocks also how often there was none.
    fn take_statistics(&self) -> Vec<u8> {
        let ring = self.state.lock().ring.clone();
        let [came, lost] = self.inbox.lock().take_counts();
        let mut told = [came.to_ne_bytes(), lost.to_ne_bytes()].concat();
        if let Some(ReceiveRing::Blocks(ring)) = ring {
            told.extend(ring.take_freezes().to_ne_bytes());
        }
        told
    }

    /// PACKET_HDRLEN: how long the header is that frames of a version have in a ring.
    pub(super) fn header_len(asked: &[u8]) -> Result<Vec<u8>, Errno> {
        let version = Version::from_raw(word(asked, 0)?)?;
        Ok(version.header_bytes().to_ne_bytes().to_vec())
    }

    /// Sets an option that there is.
    pub(super) fn set_packet_option(
        &self,
        option: u32,
        value: &[u8],
        caller: &dyn Caller,
    ) -> Result<(), Errno> {
        match option {
            PACKET_ADD_MEMBERSHIP => self.join(decode_membership(value)?),
            PACKET_DROP_MEMBERSHIP => {
                self.leave(decode_membership(value)?);
                Ok(())
            }
            PACKET_RX_RING => self.set_ring(value, caller),
            PACKET_FANOUT => self.join_fanout(FanoutArgs::decode(value)?),
            PACKET_FANOUT_DATA => self.fanout().ok_or(Errno::EINVAL)?.set_program(value, caller),
            option => self.set_number(option, value),
        }
    }

    fn set_number(&self, option: u32, value: &[u8]) -> Result<(), Errno> {
        let number = <[u8; 4]>::try_from(value).map(u32::from_ne_bytes);
        let mut state = self.state.lock();
        let has_ring = state.ring.is_some();
        let options = &mut state.options;
        match option {
            // This one may be longer than a number.
            PACKET_AUXDATA => options.tells_auxiliary = word(value, 0)? != 0,
            PACKET_IGNORE_OUTGOING => match number.map_err(|_| Errno::EINVAL)? {
                flag @ 0..=1 => options.ignores_outgoing = flag != 0,
                _ => return Err(Errno::EINVAL),
            },
            PACKET_VERSION | PACKET_RESERVE => {
                let number = number.map_err(|_| Errno::EINVAL)?;
                let version = Version::from_raw(number);
                match option {
                    PACKET_VERSION if version.is_err() => return Err(Errno::EINVAL),
                    PACKET_RESERVE if i32::try_from(number).is_err() => return Err(Errno::EINVAL),
                    _ if has_ring => return Err(Errno::EBUSY),
                    PACKET_VERSION => options.version = version?,
                    _ => options.reserve_bytes = number,
                }
            }
            PACKET_LOSS if has_ring && value.len() == size_of::<u32>() => return Err(Errno::EBUSY),
            option => {
                let number =
                    if option == LENIENT { word(value, 0) } else { number.map_err(|_| Errno::EINVAL) };
                let number = number?.cast_signed();
                let told = if KEPT_NUMBERS.contains(&option) { number } else { i32::from(number != 0) };
                *options.kept(option).ok_or(Errno::ENOPROTOOPT)? = told;
            }
        }
        Ok(())
    }

    fn join(&self, membership: Membership) -> Result<(), Errno> {
        const ADDRESS_BYTES: u16 = 6;
        let link = Link::find(&self.network, membership.device).ok_or(Errno::ENODEV)?;
        let is_address = membership.kind == GROUP || membership.kind == LAST_MEMBERSHIP_KIND;
        let has_address = membership.len_bytes == ADDRESS_BYTES;
        if membership.len_bytes > ADDRESS_BYTES
            || membership.kind > LAST_MEMBERSHIP_KIND
            || is_address && !has_address
        {
            return Err(Errno::EINVAL);
        }
        let mut state = self.state.lock();
        let memberships = &mut state.options.memberships;
        if memberships.len() >= MAX_MEMBERSHIPS {
            return Err(Errno::ENOBUFS);
        }
        memberships.push(Membership { device: link.device, ..membership });
        Ok(())
    }

    /// What was never joined is left without a word.
    fn leave(&self, membership: Membership) {
        let mut state = self.state.lock();
        let memberships = &mut state.options.memberships;
        if let Some(place) = memberships.iter().position(|joined| *joined == membership) {
            memberships.remove(place);
        }
    }

    /// PACKET_RX_RING: frames are put into memory that the owner maps; nothing of everything takes that away.
    fn set_ring(&self, value: &[u8], caller: &dyn Caller) -> Result<(), Errno> {
        let (version, reserve_bytes, has_ring) = {
            let state = self.state.lock();
            (state.options.version, state.options.reserve_bytes, state.ring.is_some())
        };
        let geometry = Geometry::decode(value, version)?;
        let ring = match geometry.is_none() {
            true => None,
            false if has_ring => return Err(Errno::EBUSY),
            false => {
                geometry.check(version, reserve_bytes)?;
                Some(self.make_ring((geometry, Layout { version, reserve_bytes }), caller)?)
            }
        };
        self.state.lock().ring = ring;
        Ok(())
    }

    fn make_ring(&self, form: (Geometry, Layout), caller: &dyn Caller) -> Result<ReceiveRing, Errno> {
        let frames = caller.memory().frames();
        if form.1.version != Version::V3 {
            return FrameRing::new(frames, form).map(ReceiveRing::Frames);
        }
        let shared = self.network.shared();
        BlockRing::new(frames, form, (&shared.timers, &self.me), shared.now()).map(ReceiveRing::Blocks)
    }
}
