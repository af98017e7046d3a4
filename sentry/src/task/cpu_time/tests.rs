use super::*;

fn burn(time: Duration) {
    let end = own_cpu_time() + time;
    while own_cpu_time() < end {
        std::hint::spin_loop();
    }
}

#[test]
fn a_task_has_used_what_its_thread_has_since_it_took_it_on() {
    std::thread::spawn(|| {
        const MS: Duration = Duration::from_millis(1);
        burn(5 * MS);
        let (clock, before) = (CpuTime::new(Instant::now()), own_cpu_time());
        assert_eq!((clock.read(), clock.total()), (None, (Duration::ZERO, Duration::ZERO)));
        clock.start(rustix::thread::gettid().as_raw_nonzero().get());
        burn(10 * MS);
        clock.mark(VtimeState::Inactive);
        clock.mark(VtimeState::System);
        let (user, system) = clock.read().unwrap();
        assert_eq!(user, Duration::ZERO);
        assert!((10 * MS..=own_cpu_time() - before).contains(&system), "{system:?}");
        assert_eq!(clock.rests(), 1);
        clock.stop();
        assert_eq!(clock.read(), None);
        let at_end = clock.total();
        assert!(at_end.1 >= system);
        burn(MS);
        assert_eq!(clock.total(), at_end);
    })
    .join()
    .unwrap();
}

#[test]
fn neither_time_ever_falls() {
    let mut reported = Reported::default();
    let mut last = (Duration::ZERO, Duration::ZERO);
    for (total, noted) in
        [(10, (10, 0)), (20, (10, 90)), (15, (500, 90)), (30, (400, 80)), (90, (400, 80)), (91, (500, 90))]
    {
        reported.take(Duration::from_nanos(total), noted);
        let now = (reported.user, reported.system);
        assert!(now.0 >= last.0 && now.1 >= last.1, "{last:?} then {now:?}");
        assert!(now.0 + now.1 >= Duration::from_nanos(total));
        last = now;
    }
}

#[test]
fn what_goes_on_counts_before_it_is_over() {
    let notes = Notes::default();
    notes.switch(10, VtimeState::User, 0);
    assert_eq!(notes.at(25), (15, 0));
    notes.switch(30, VtimeState::System, 0);
    assert_eq!(notes.at(32), (20, 2));
    notes.switch(40, VtimeState::Inactive, 0);
    assert_eq!(notes.at(99), (20, 10));
    notes.switch(100, VtimeState::User, 0);
    assert_eq!(notes.at(101), (21, 10));
}

#[test]
fn entering_user_code_costs_system_time() {
    let notes = Notes::default();
    notes.switch(0, VtimeState::User, 7);
    notes.switch(107, VtimeState::System, 7);
    notes.switch(107, VtimeState::User, 7);
    notes.switch(112, VtimeState::System, 7);
    assert_eq!(notes.at(112), (100, 12));
    let cost = SwitchCost::default();
    [9, 5, 8].into_iter().for_each(|run| cost.note(run));
    assert_eq!(cost.get(), 5);
}
