//! What joins the two ends of a veth pair (`man 4 veth`).

use std::fmt;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::net::NetworkNamespace;

/// Where an end of a cable is: a link of a namespace.
#[derive(Clone, Default)]
pub struct Place {
    /// The namespace, which an end does not keep.
    pub network: Weak<NetworkNamespace>,
    /// The index of the link there.
    pub index: u32,
}

/// One end of a cable, as the link that has it holds it.
#[derive(Clone)]
pub struct CableEnd {
    places: Arc<Mutex<[Place; 2]>>,
    number: usize,
}

impl CableEnd {
    /// Both ends of a new cable. They are nowhere yet.
    pub fn pair() -> [Self; 2] {
        let places = Arc::<Mutex<[Place; 2]>>::default();
        [Self { places: places.clone(), number: 0 }, Self { places, number: 1 }]
    }

    /// Notes where this end is now.
    pub fn lay(&self, network: &Weak<NetworkNamespace>, index: u32) {
        self.places.lock()[self.number] = Place { network: network.clone(), index };
    }

    /// Where the other end is.
    pub fn other(&self) -> Place {
        self.places.lock()[1 - self.number].clone()
    }

    /// Whether both are ends of one cable.
    pub fn is_of_cable_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.places, &other.places)
    }
}

impl fmt::Debug for CableEnd {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("CableEnd").field("number", &self.number).finish_non_exhaustive()
    }
}
