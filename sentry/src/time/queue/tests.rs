use std::sync::mpsc;

use super::*;

struct Note(mpsc::Sender<u32>, u32);

impl Expire for Note {
    fn expire(&self) {
        self.0.send(self.1).unwrap();
    }
}

#[test]
fn deadlines_come_in_order_and_cancelled_ones_do_not() {
    let (queue, (sender, receiver)) = (TimerQueue::default(), mpsc::channel());
    let now = queue.now();
    let notes: Vec<Arc<dyn Expire>> =
        (0..4).map(|number| Arc::new(Note(sender.clone(), number)) as Arc<dyn Expire>).collect();
    let mut handles: Vec<_> = [(0, 40), (1, 10), (2, 20), (3, 30)]
        .map(|(note, ms): (usize, u64)| {
            queue.schedule(now + Duration::from_millis(ms), Arc::downgrade(&notes[note])).unwrap()
        })
        .into();
    drop(handles.remove(2));
    let order: Vec<_> = (0..3).map(|_| receiver.recv_timeout(Duration::from_secs(5)).unwrap()).collect();
    assert_eq!(order, [1, 3, 0]);
}
