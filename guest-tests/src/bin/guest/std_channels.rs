//! Channels of the standard library between threads: futex wake-ups carry every message once, in order.

use std::sync::mpsc::{RecvTimeoutError, channel, sync_channel};
use std::time::{Duration, Instant};

pub(crate) fn run() {
    rendezvous_passes_each_value_over();
    many_senders_lose_nothing();
    receive_times_out();
}

fn rendezvous_passes_each_value_over() {
    let (sender, receiver) = sync_channel(0);
    let producer = std::thread::spawn(move || {
        for value in 0..300_u64 {
            sender.send(value).expect("the receiver lives");
        }
    });
    let received: Vec<u64> = receiver.iter().collect();
    assert_eq!(received, (0..300).collect::<Vec<_>>());
    producer.join().expect("the producer ends");
}

fn many_senders_lose_nothing() {
    let (sender, receiver) = channel();
    let producers: Vec<_> = (0..8_u64)
        .map(|number| {
            let sender = sender.clone();
            std::thread::spawn(move || (0..500).for_each(|value| sender.send((number, value)).expect("send")))
        })
        .collect();
    drop(sender);
    let mut next = [0_u64; 8];
    for (number, value) in receiver {
        let expected = &mut next[number as usize];
        assert_eq!(value, *expected, "messages of one sender keep their order");
        *expected += 1;
    }
    assert_eq!(next, [500; 8]);
    producers.into_iter().for_each(|producer| producer.join().expect("join"));
}

fn receive_times_out() {
    let (sender, receiver) = channel::<()>();
    let started = Instant::now();
    assert_eq!(receiver.recv_timeout(Duration::from_millis(30)), Err(RecvTimeoutError::Timeout));
    assert!(started.elapsed() >= Duration::from_millis(30));
    drop(sender);
    assert_eq!(receiver.recv_timeout(Duration::from_secs(5)), Err(RecvTimeoutError::Disconnected));
}
