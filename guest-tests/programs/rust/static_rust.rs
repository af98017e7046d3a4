//! A statically linked Rust program: start-up without a dynamic loader, threads, thread-locals, files.

use std::collections::HashMap;
use std::sync::mpsc::channel;

thread_local! {
    static COUNT: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

fn main() {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("maps");
    assert!(!maps.contains("ld-linux"), "no loader is mapped");
    assert!(maps.contains("[stack]"));

    let (sender, receiver) = channel();
    for number in 0..4_u32 {
        let sender = sender.clone();
        std::thread::spawn(move || {
            (0..1000).for_each(|_| COUNT.set(COUNT.get() + 1));
            sender.send((number, COUNT.get())).expect("send");
        });
    }
    drop(sender);
    let counts: HashMap<u32, u32> = receiver.iter().collect();
    assert_eq!(counts.len(), 4);
    assert!(counts.values().all(|&count| count == 1000));
    assert_eq!(COUNT.get(), 0);

    let arguments: Vec<String> = std::env::args().collect();
    assert_eq!(arguments.len(), 1);
    assert!(arguments[0].starts_with('/'));
    let caught = std::panic::catch_unwind(|| panic!("unwinds"));
    assert!(caught.is_err());
    println!("static Rust runs");
}
