use super::*;

#[test]
fn a_confined_thread_runs_where_it_is_told() {
    std::thread::spawn(|| {
        let cpus = HostCpus::of_this_thread();
        let last = cpus.count() - 1;
        cpus.confine_this_thread(1 << last).unwrap();
        assert_eq!(cpus.current(), last);
        assert_eq!(HostCpus::of_this_thread().count(), 1);
    })
    .join()
    .unwrap();
}
