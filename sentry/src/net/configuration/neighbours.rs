//! Neighbours that somebody tells of.

use std::net::IpAddr;

use netlink_packet_route::neighbour::NeighbourState;

use super::{NetworkConfiguration, Refusal, Thing};
use crate::Errno;
use crate::net::route::Neighbour;

/// Most neighbours of a namespace (`gc_thresh3`).
const MAX_NEIGHBOURS: usize = 1024;

impl NetworkConfiguration {
    /// Puts in a neighbour.
    ///
    /// # Errors
    /// ENODEV, EEXIST if it `is_exclusive` and known, ENOENT if it is unknown and may not be made, ENOBUFS.
    pub fn add_neighbour(
        &self,
        neighbour: Neighbour,
        creates: bool,
        is_exclusive: bool,
    ) -> Result<(), Refusal> {
        self.change(|state| {
            state.devices.get(neighbour.device)?;
            state.check_room()?;
            match state.neighbours.get(neighbour.device, neighbour.address) {
                Some(_) if is_exclusive => return Err(Errno::EEXIST.into()),
                None if !creates => return Err(Errno::ENOENT.into()),
                None if state.neighbours.len() >= MAX_NEIGHBOURS => return Err(Errno::ENOBUFS.into()),
                _ => {}
            }
            state.neighbours.insert(neighbour.clone());
            state.note(Thing::Neighbour(neighbour));
            Ok(())
        })
    }

    /// Notes a neighbour that has answered, or one that has not, unless it is known. Returns whether it was.
    pub(in crate::net) fn learn_neighbour(&self, neighbour: Neighbour) -> bool {
        let is_known = |state: &super::State| {
            let known = state.neighbours.get(neighbour.device, neighbour.address);
            let has_failed = |known: &Neighbour| known.state == NeighbourState::Failed;
            match known {
                Some(known) => !has_failed(known) || has_failed(&neighbour),
                None => state.neighbours.len() >= MAX_NEIGHBOURS,
            }
        };
        if is_known(&self.state.lock()) {
            return true;
        }
        self.change(|state| {
            if !is_known(state) {
                state.neighbours.insert(neighbour.clone());
                state.note(Thing::Neighbour(neighbour.clone()));
            }
        });
        false
    }

    /// Takes out a neighbour.
    ///
    /// # Errors
    /// ENODEV, ENOENT.
    pub fn delete_neighbour(&self, device: u32, address: IpAddr) -> Result<(), Refusal> {
        self.change(|state| {
            state.devices.get(device)?;
            let neighbour = state.neighbours.remove(device, address).ok_or(Errno::ENOENT)?;
            state.note_gone(Thing::Neighbour(neighbour));
            Ok(())
        })
    }
}
