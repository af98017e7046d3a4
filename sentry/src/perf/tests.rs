use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Counted, Counts, Event, Kind, Place, Switches, Totals};
use crate::Errno;

/// Somebody whose faults and time grow by hand.
#[derive(Default)]
struct Busy(AtomicU64);

impl Busy {
    fn work(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }
}

impl Counted for Busy {
    fn counts(&self) -> Counts {
        let amount = self.0.load(Ordering::Relaxed);
        Counts { cpu_ns: 10 * amount, switches: 0, faults: amount }
    }
}

const PLACE: Place = Place { task: Some(1), cpu: None };

fn event(id: u64, switches: Switches, busy: &Arc<Busy>, leader: Option<&Event>) -> Result<Arc<Event>, Errno> {
    let source: Arc<dyn Counted> = busy.clone();
    Event::new((id, Kind::Faults), switches, PLACE, &source, leader)
}

fn total(event: &Event) -> (u64, u64) {
    let Totals { count, enabled_ns } = event.total();
    (count, enabled_ns)
}

#[test]
fn it_counts_while_it_is_on() {
    let busy = Arc::<Busy>::default();
    busy.work(5);
    let event = event(1, Switches::DISABLED, &busy, None).unwrap();
    busy.work(1);
    assert_eq!(total(&event), (0, 0));
    event.enable(true, false);
    busy.work(2);
    event.enable(false, false);
    busy.work(4);
    assert_eq!(total(&event), (2, 20));
    event.enable(true, false);
    event.reset(false);
    busy.work(3);
    assert_eq!(total(&event), (3, 50));
}

#[test]
fn followers_count_while_their_leader_does() {
    let busy = Arc::<Busy>::default();
    let leader = event(1, Switches::DISABLED, &busy, None).unwrap();
    let follower = event(2, Switches::empty(), &busy, Some(&leader)).unwrap();
    assert_eq!(event(3, Switches::PINNED, &busy, Some(&leader)).err(), Some(Errno::EINVAL));
    assert_eq!(event(3, Switches::empty(), &busy, Some(&follower)).err(), Some(Errno::EINVAL));
    busy.work(1);
    leader.enable(true, false);
    busy.work(2);
    assert_eq!([total(&leader).0, total(&follower).0], [2, 2]);
    leader.enable(false, false);
    busy.work(4);
    drop(leader);
    busy.work(8);
    assert_eq!(total(&follower).0, 10);
}

#[test]
fn what_ended_heirs_did_stays() {
    let (busy, heir) = (Arc::<Busy>::default(), Arc::<Busy>::default());
    let event = event(1, Switches::INHERIT, &busy, None).unwrap();
    let source: Arc<dyn Counted> = heir.clone();
    event.inherit(1, 2, &source).unwrap();
    heir.work(3);
    busy.work(1);
    assert_eq!(total(&event).0, 4);
    event.leave(2);
    heir.work(100);
    event.reset(false);
    assert_eq!(total(&event).0, 3);
    event.leave(1);
    event.enable(true, false);
    busy.work(100);
    assert_eq!(total(&event).0, 3);
}
