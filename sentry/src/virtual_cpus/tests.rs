//! Tests of the numbers: who gets which, who waits, who is kicked.

use std::sync::atomic::AtomicU32;

use super::*;

#[derive(Default)]
struct Kicks(AtomicU32);

impl Interrupter for Kicks {
    fn interrupt(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A task of the tests.
struct Tester {
    entity: Arc<SchedEntity>,
    kicks: Arc<Kicks>,
    ticket: Ticket,
    request: CpuRequest,
}

impl Tester {
    fn new(allowed: u64, preferred: u32) -> Self {
        let (entity, kicks) = (SchedEntity::new(Arc::default()), Arc::<Kicks>::default());
        entity.set_interrupter(kicks.clone());
        let request = CpuRequest { allowed, preferred, patience: Duration::ZERO, head_start: Duration::ZERO };
        Self { entity, kicks, ticket: Ticket::default(), request }
    }

    fn patient(self) -> Self {
        let request = CpuRequest { patience: Duration::from_secs(3600), ..self.request };
        Self { request, ..self }
    }

    fn claim(&mut self, cpus: &VirtualCpus) -> Claim {
        cpus.claim(&self.entity, self.request, &mut self.ticket)
    }

    fn run(&mut self, cpus: &VirtualCpus) -> Grant {
        assert_eq!(self.claim(cpus), Claim::Granted);
        self.ticket = Ticket::default();
        self.entity.enter().expect("a number")
    }

    fn kicks(&self) -> u32 {
        self.kicks.0.load(Ordering::Relaxed)
    }
}

/// Numbers of which none is kept.
fn without_grace() -> VirtualCpus {
    let cpus = VirtualCpus::default();
    cpus.queue.lock().kept.credit = 0;
    cpus
}

#[test]
fn a_number_is_kept_for_who_is_just_waking() {
    let cpus = VirtualCpus::default();
    let [mut sleeper, mut stopped, mut woken] = [(); 3].map(|()| Tester::new(1, 0).patient());
    woken.request.head_start = HEAD_START;
    sleeper.run(&cpus);
    stopped.claim(&cpus);
    sleeper.entity.leave();
    cpus.release(&sleeper.entity);
    assert_eq!(stopped.entity.enter(), None);
    woken.run(&cpus);
    woken.entity.leave();
    cpus.release(&woken.entity);
    assert!(matches!(stopped.claim(&cpus), Claim::Wait(Some(_)) | Claim::Granted));
    std::thread::sleep(GRACE);
    assert_eq!(stopped.claim(&cpus), Claim::Granted, "nobody has come for it");
}

#[test]
fn no_number_is_kept_from_who_has_waited_for_long() {
    let cpus = VirtualCpus::default();
    let [mut sleeper, mut stopped] = [(); 2].map(|()| Tester::new(1, 0).patient());
    sleeper.run(&cpus);
    stopped.claim(&cpus);
    std::thread::sleep(HEAD_START);
    sleeper.entity.leave();
    cpus.release(&sleeper.entity);
    assert!(stopped.entity.enter().is_some());
}

#[test]
fn numbers_are_seldom_kept_if_nobody_comes() {
    let cpus = VirtualCpus::default();
    let [mut sleeper, mut stopped] = [(); 2].map(|()| Tester::new(1, 0).patient());
    let mut kept = 0;
    for _ in 0..CREDIT_MAX + 4 * TRIALS {
        sleeper.run(&cpus);
        stopped.claim(&cpus);
        sleeper.entity.leave();
        cpus.release(&sleeper.entity);
        if stopped.entity.enter().is_none() {
            kept += 1;
            std::thread::sleep(GRACE);
            stopped.run(&cpus);
        }
        stopped.entity.leave();
        cpus.release(&stopped.entity);
    }
    assert!((CREDIT_MAX..=CREDIT_MAX + 8).contains(&kept), "{kept}");
}

#[test]
fn another_holder_is_kicked_if_the_first_does_not_come_out() {
    let cpus = VirtualCpus::default();
    let mut holders = [Tester::new(0b11, 0), Tester::new(0b11, 1)];
    for holder in &mut holders {
        holder.run(&cpus);
    }
    let mut woken = Tester::new(0b11, 0);
    woken.request.patience = SLICE_AGAINST_WOKEN;
    woken.request.head_start = HEAD_START;
    std::thread::sleep(SLICE_AGAINST_WOKEN);
    let Claim::Wait(Some(due)) = woken.claim(&cpus) else { panic!("a holder to wait for") };
    assert!(due <= Instant::now() + KICK_PATIENCE);
    woken.claim(&cpus);
    assert_eq!(holders.each_ref().map(Tester::kicks), [1, 1]);
}

#[test]
fn the_preferred_number_is_given_if_it_is_free() {
    let cpus = VirtualCpus::default();
    let (mut first, mut second) = (Tester::new(0b11, 1), Tester::new(0b11, 1));
    let grants = [first.run(&cpus), second.run(&cpus)];
    assert_eq!(grants.map(Grant::cpu), [1, 0]);
    assert_eq!(grants.map(Grant::concurrency_id), [0, 1]);
}

#[test]
fn a_number_is_kept_from_one_entry_to_the_next() {
    let cpus = VirtualCpus::default();
    let mut task = Tester::new(0b11, 0);
    let grant = task.run(&cpus);
    task.entity.leave();
    assert_eq!(task.entity.enter(), Some(grant));
}

#[test]
fn a_number_is_taken_from_who_is_out_of_user_code() {
    let cpus = VirtualCpus::default();
    let (mut first, mut second) = (Tester::new(1, 0), Tester::new(1, 0));
    let grant = first.run(&cpus);
    first.entity.leave();
    assert_ne!(second.run(&cpus), grant);
    assert_eq!(first.entity.enter(), None);
    assert_eq!(first.kicks(), 0);
}

#[test]
fn who_is_in_user_code_is_kicked_and_keeps_its_number_until_it_is_out() {
    let cpus = VirtualCpus::default();
    let (mut first, mut second) = (Tester::new(1, 0), Tester::new(1, 0));
    first.run(&cpus);
    assert!(matches!(second.claim(&cpus), Claim::Wait(Some(_))));
    assert_eq!((first.kicks(), second.entity.enter()), (1, None));
    first.entity.leave();
    assert_eq!(first.entity.enter(), None);
    assert!(matches!(first.claim(&cpus), Claim::Granted | Claim::Wait(_)));
    assert!(second.entity.enter().is_some() || second.claim(&cpus) == Claim::Granted);
}

#[test]
fn nobody_is_kicked_before_its_slice_is_over() {
    let cpus = VirtualCpus::default();
    let (mut first, mut second) = (Tester::new(1, 0), Tester::new(1, 0).patient());
    first.run(&cpus);
    let Claim::Wait(Some(due)) = second.claim(&cpus) else { panic!("a slice to wait for") };
    assert!(due > Instant::now() && first.kicks() == 0);
}

#[test]
fn numbers_go_to_who_came_first() {
    let cpus = without_grace();
    let mut holder = Tester::new(1, 0);
    holder.run(&cpus);
    let mut waiting: Vec<Tester> = (0..3).map(|_| Tester::new(1, 0).patient()).collect();
    for (place, task) in waiting.iter_mut().enumerate() {
        // Only the first looks after the holder.
        assert_eq!(matches!(task.claim(&cpus), Claim::Wait(Some(_))), place == 0);
    }
    holder.entity.leave();
    cpus.release(&holder.entity);
    for task in &mut waiting {
        assert!(task.entity.enter().is_some());
        task.entity.leave();
        cpus.release(&task.entity);
    }
    assert!(cpus.holders().is_empty());
}

#[test]
fn who_has_slept_goes_first_but_not_before_those_who_have_waited_long() {
    let cpus = without_grace();
    let mut holder = Tester::new(1, 0);
    holder.run(&cpus);
    let [mut long, mut short, mut woken] = [(); 3].map(|()| Tester::new(1, 0).patient());
    long.request.head_start = HEAD_START * 2;
    woken.request.head_start = HEAD_START;
    for task in [&mut long, &mut short, &mut woken] {
        task.claim(&cpus);
    }
    holder.entity.leave();
    cpus.release(&holder.entity);
    for task in [&long, &woken, &short] {
        assert!(task.entity.enter().is_some());
        task.entity.leave();
        cpus.release(&task.entity);
    }
}

#[test]
fn who_withdraws_is_passed_over_and_comes_back_to_its_place() {
    let cpus = without_grace();
    let mut holder = Tester::new(1, 0);
    let [mut first, mut second] = [(); 2].map(|()| Tester::new(1, 0).patient());
    holder.run(&cpus);
    first.claim(&cpus);
    second.claim(&cpus);
    cpus.withdraw(&first.ticket);
    assert!(second.entity.waiter.sleep(Some(Instant::now())), "the next one has to look after the holder");
    first.claim(&cpus);
    holder.entity.leave();
    cpus.release(&holder.entity);
    assert!(first.entity.enter().is_some());
    assert_eq!(second.entity.enter(), None);
}

#[test]
fn who_passes_a_number_on_has_its_turn_later() {
    let cpus = without_grace();
    let mut holder = Tester::new(1, 0);
    let [mut first, mut second, mut third] = [(); 3].map(|()| Tester::new(1, 0).patient());
    holder.run(&cpus);
    for task in [&mut first, &mut second, &mut third] {
        task.claim(&cpus);
    }
    holder.entity.leave();
    cpus.release(&holder.entity);
    cpus.pass_on(&first.entity);
    assert_eq!(first.entity.enter(), None);
    assert!(second.entity.enter().is_some());
    assert!(matches!(first.claim(&cpus), Claim::Wait(_)));
    second.entity.leave();
    cpus.release(&second.entity);
    assert!(first.entity.enter().is_some(), "it came before the third");
    assert_eq!(third.entity.enter(), None);
}

#[test]
fn who_loses_a_number_before_using_it_has_its_turn_later() {
    let cpus = without_grace();
    let [mut first, mut second, mut third] = [(); 3].map(|()| Tester::new(1, 0));
    assert_eq!(first.claim(&cpus), Claim::Granted);
    assert_eq!(second.claim(&cpus), Claim::Granted, "the first is out of user code");
    third = third.patient();
    third.claim(&cpus);
    first = first.patient();
    first.claim(&cpus);
    cpus.release(&second.entity);
    assert!(first.entity.enter().is_some(), "it came before the third");
    assert_eq!(third.entity.enter(), None);
}

#[test]
fn a_number_that_is_not_allowed_is_not_given() {
    let cpus = VirtualCpus::default();
    let (mut first, mut second) = (Tester::new(0b10, 1), Tester::new(0b10, 0).patient());
    assert_eq!(first.run(&cpus).cpu(), 1);
    assert!(matches!(second.claim(&cpus), Claim::Wait(_)));
    second.request.allowed = 0b01;
    assert_eq!(second.run(&cpus).cpu(), 0);
}

#[test]
fn a_recalled_task_claims_what_it_may_have_now() {
    let cpus = VirtualCpus::default();
    let mut task = Tester::new(0b01, 0);
    task.run(&cpus);
    task.entity.recall();
    task.entity.leave();
    assert_eq!((task.kicks(), task.entity.enter()), (1, None));
    task.request.allowed = 0b10;
    assert_eq!(task.run(&cpus).cpu(), 1);
    assert_eq!(cpus.holders(), [1]);
}

#[test]
fn a_task_follows_the_host_if_the_number_there_is_free() {
    let cpus = VirtualCpus::default();
    let (mut first, mut second) = (Tester::new(0b111, 0), Tester::new(0b111, 1));
    let grant = first.run(&cpus);
    first.entity.leave();
    second.run(&cpus);
    cpus.move_to(&first.entity, 1);
    assert_eq!(first.entity.grant(), grant);
    cpus.move_to(&first.entity, 2);
    assert_eq!((first.entity.grant().cpu(), cpus.holders()), (2, vec![1, 2]));
}

#[test]
fn a_recall_of_all_others_tells_who_was_in_user_code() {
    let cpus = VirtualCpus::default();
    let mut tasks: Vec<Tester> = (0..3).map(|cpu| Tester::new(0b111, cpu)).collect();
    for task in &mut tasks {
        task.run(&cpus);
    }
    tasks[1].entity.leave();
    let recalled = cpus.recall_others(&tasks[0].entity, None);
    assert_eq!(tasks.iter().map(Tester::kicks).collect::<Vec<_>>(), [0, 0, 1]);
    assert_eq!(tasks[1].entity.enter(), None);
    assert!(recalled.len() == 1 && !recalled[0].is_out());
    tasks[2].entity.leave();
    assert!(recalled[0].is_out());
}

#[test]
fn threads_never_share_a_number() {
    const THREADS: usize = 6;
    const ENTRIES: usize = 500;
    let cpus = VirtualCpus::default();
    let owners: [AtomicU32; 2] = Default::default();
    std::thread::scope(|scope| {
        for thread in 1..=THREADS as u32 {
            let (cpus, owners) = (&cpus, &owners);
            scope.spawn(move || {
                let mut task = Tester::new(0b11, thread % 2);
                for entry in 0..ENTRIES {
                    let grant = loop {
                        if let Some(grant) = task.entity.enter() {
                            task.ticket = Ticket::default();
                            break grant;
                        }
                        if let Claim::Wait(deadline) = task.claim(cpus) {
                            task.entity.waiter.sleep(deadline);
                        }
                    };
                    let owner = &owners[grant.cpu() as usize];
                    assert_eq!(owner.swap(thread, Ordering::SeqCst), 0);
                    std::hint::spin_loop();
                    assert_eq!(owner.swap(0, Ordering::SeqCst), thread);
                    task.entity.leave();
                    if entry % 7 == 0 {
                        cpus.release(&task.entity);
                    }
                }
                cpus.release(&task.entity);
            });
        }
    });
    assert!(cpus.holders().is_empty());
}
