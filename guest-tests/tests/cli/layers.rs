//! The layers of the jail: told, and missed.

use std::collections::HashMap;
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use guest_tests::bounded::{self, Finished, Running};
use guest_tests::vmm;
use rustix::process::{Signal, kill_process};

use crate::{TIMEOUT, Test, assert_code, assert_one_line, run, vmm_command};

pub(crate) const TESTS: &[Test] = &[
    (
        "layers::a_host_without_landlock_runs_nothing_unless_told_to",
        a_host_without_landlock_runs_nothing_unless_told_to,
    ),
    ("layers::doctor_and_log_tell_of_them", doctor_and_log_tell_of_them),
    ("layers::no_thread_keeps_privileges", no_thread_keeps_privileges),
    ("layers::nothing_of_the_host_is_below_the_root", nothing_of_the_host_is_below_the_root),
    ("layers::a_user_is_taken_as_told", a_user_is_taken_as_told),
    ("layers::an_ordinary_user_has_them_too", an_ordinary_user_has_them_too),
];

/// The first of the users that vmm becomes.
const FIRST_JAIL_USER: u32 = 0x7000_0000;
/// CAP_DAC_READ_SEARCH (`man 7 capabilities`).
const READ_SEARCH: u64 = 1 << 2;

/// Has landlock_create_ruleset(2), number 444, fail with EOPNOTSUPP, as where Landlock is turned off, and executes its arguments.
const WITHOUT_LANDLOCK: &str = "
    my $filter = pack '(SCCL)*', 0x20, 0, 0, 0, 0x15, 0, 1, 444, 0x06, 0, 0, 0x50000 | 95, 0x06, 0, 0, 0x7fff0000;
    syscall(157, 38, 1, 0, 0, 0) == 0 && syscall(317, 1, 0, pack 'Sx6P', 4, $filter) == 0 or die qq(no filter: $!\n);
    exec @ARGV";

fn run_without_landlock(words: &[&str]) -> Finished {
    let binary = vmm::binary().unwrap_or_else(|message| panic!("{message}"));
    let mut command = Command::new("perl");
    command.args(["-e", WITHOUT_LANDLOCK, "--"]).arg(binary).args(words);
    bounded::run(&mut command, TIMEOUT).expect("perl starts")
}

fn a_host_without_landlock_runs_nothing_unless_told_to() {
    let program = ["--image", "/", "--", "/bin/echo", "ran"];
    let finished = run_without_landlock(&program);
    assert_one_line(&finished, &[125], &["Landlock", "--insecure-no-landlock", "lsm="]);
    assert_eq!(finished.stdout, "", "{}", finished.describe());
    let finished = run_without_landlock(&[&["--insecure-no-landlock"], &program[..]].concat());
    assert_code(&finished, 0);
    assert_eq!((finished.stdout.as_str(), finished.stderr.as_str()), ("ran\n", ""));
    let finished =
        run_without_landlock(&[&["--insecure-no-landlock", "--log", "warn"], &program[..]].concat());
    assert!(finished.stderr.contains("Landlock is missing"), "{}", finished.describe());

    let finished = run_without_landlock(&["doctor"]);
    assert_one_line(&finished, &[125], &["Landlock", "--insecure-no-landlock"]);
    assert!(finished.stdout.contains("no program can run here"), "{}", finished.describe());
    let finished = run_without_landlock(&["doctor", "--insecure-no-landlock"]);
    assert_code(&finished, 0);
    assert!(finished.stdout.contains("missing          Landlock"), "{}", finished.describe());
}

/// With the option, a Landlock that is there is used all the same.
fn doctor_and_log_tell_of_them() {
    let doctor = run(&["doctor", "--insecure-no-landlock"], &[]);
    assert_code(&doctor, 0);
    let log = run(&["--insecure-no-landlock", "--log", "info"], &["/bin/true"]);
    for (layer, word) in [
        ("namespaces", "mount, IPC, UTS, cgroup, network, empty root"),
        ("user", "CAP_DAC_READ_SEARCH"),
        ("resource limits", "no core dump"),
        ("Landlock", ""),
        ("seccomp", "system calls"),
    ] {
        let line =
            doctor.stdout.lines().find_map(|line| line.strip_prefix(layer)).unwrap_or_default().trim_start();
        assert!(!line.is_empty() && line.contains(word), "{layer}: {}", doctor.describe());
        let logged =
            log.stderr.lines().find_map(|line| line.strip_prefix("vmm: info: ")?.strip_prefix(layer));
        let logged = logged.unwrap_or_else(|| panic!("{layer}: {}", log.describe())).trim_start_matches(": ");
        // Each process has a user of its own.
        assert!(logged == line || layer == "user" && logged.contains(word), "{layer}: {}", log.describe());
    }
}

/// A sandbox with several threads, those of guest tasks and vmm's own, the one that serves calls without exits among them.
fn start_threads(options: &[&str]) -> Running {
    let script = "i=0; while [ $i -lt 2000 ]; do : >/dev/null; i=$((i + 1)); done; \
                  sleep 60 & sleep 60 & echo ready; wait";
    let options = [&["--image", "/", "--exitless", "on"], options].concat();
    let mut running =
        bounded::start(&mut vmm_command(&options, &["/bin/sh", "-c", script])).expect("vmm starts");
    assert!(running.prints_within("ready\n", TIMEOUT).expect("output"));
    running
}

/// Of a thread's flags (`man 5 proc_pid_stat`), PF_USER_WORKER: a thread of Linux's own, as KVM makes one in each process that
/// has a virtual machine. It never runs the process's code.
const USER_WORKER: u64 = 0x4000;

/// Whether a thread, given its directory in /proc, runs the process's code.
fn runs_code(thread: &Path) -> bool {
    let stat = std::fs::read_to_string(thread.join("stat")).unwrap_or_default();
    let flags =
        stat.rsplit(')').next().and_then(|fields| fields.split_whitespace().nth(6)?.parse::<u64>().ok());
    flags.is_some_and(|flags| flags & USER_WORKER == 0)
}

/// The directories in /proc of a process's threads.
fn threads(running: &Running) -> Vec<PathBuf> {
    let directory = format!("/proc/{}/task", running.pid().as_raw_nonzero());
    let threads = std::fs::read_dir(directory).expect("threads").flatten();
    threads.map(|thread| thread.path()).filter(|thread| runs_code(thread)).collect()
}

/// The status of each thread of a process (`man 5 proc_pid_status`).
fn statuses(running: &Running) -> Vec<HashMap<String, String>> {
    let status = |thread: PathBuf| {
        let text = std::fs::read_to_string(thread.join("status")).ok()?;
        let fields = text.lines().filter_map(|line| line.split_once(':'));
        Some(fields.map(|(name, value)| (name.to_owned(), value.trim().replace('\t', " "))).collect())
    };
    threads(running).into_iter().filter_map(status).collect()
}

fn no_thread_keeps_privileges() {
    let running = start_threads(&[]);
    let pid = running.pid().as_raw_nonzero().get();
    let user = FIRST_JAIL_USER + pid.unsigned_abs();
    let statuses = statuses(&running);
    assert!(statuses.len() > 3, "{statuses:?}");
    let serves_calls = statuses.iter().any(|status| status["Name"] == "dispatcher");
    let has_two_cpus = std::thread::available_parallelism().is_ok_and(|processors| processors.get() > 1);
    assert_eq!(serves_calls, has_two_cpus, "{statuses:?}");
    for status in statuses {
        for field in ["Uid", "Gid"] {
            assert_eq!(status[field], [user; 4].map(|id| id.to_string()).join(" "), "{status:?}");
        }
        for (field, bits) in
            [("CapInh", 0), ("CapPrm", READ_SEARCH), ("CapEff", READ_SEARCH), ("CapBnd", 0), ("CapAmb", 0)]
        {
            assert_eq!(u64::from_str_radix(&status[field], 16), Ok(bits), "{field}: {status:?}");
        }
        for (field, value) in [("Groups", ""), ("NoNewPrivs", "1"), ("Seccomp", "2")] {
            assert_eq!(status[field], value, "{field}: {status:?}");
        }
    }
    // Linux gives the files of a process that may not be looked at to root.
    let environment = std::fs::metadata(format!("/proc/{pid}/environ")).expect("a process");
    assert_eq!(environment.uid(), 0, "it can be looked at");
}

fn nothing_of_the_host_is_below_the_root() {
    let running = start_threads(&[]);
    for thread in threads(&running) {
        let thread = thread.to_str().expect("UTF-8");
        for place in ["root", "cwd"] {
            let entries = std::fs::read_dir(format!("{thread}/{place}/")).expect("a directory");
            assert_eq!(entries.count(), 0, "{place}");
        }
        let mounts = std::fs::read_to_string(format!("{thread}/mountinfo")).expect("mounts");
        assert_eq!(mounts.lines().count(), 1, "{mounts}");
        for namespace in ["mnt", "ipc", "uts", "cgroup", "net"] {
            let of = |task: &str| std::fs::read_link(format!("{task}/ns/{namespace}")).expect("a namespace");
            assert_ne!(of(thread), of("/proc/self"), "{namespace}");
        }
    }
}

fn a_user_is_taken_as_told() {
    let running = start_threads(&["--jail-user", "4242:4343"]);
    for status in statuses(&running) {
        assert_eq!(
            (status["Uid"].as_str(), status["Gid"].as_str()),
            ("4242 4242 4242 4242", "4343 4343 4343 4343")
        );
    }
    let mut command = vmm_command(&["--jail-user", "4242"], &["/bin/true"]);
    // Where the other user cannot execute the binary, nothing is shown.
    if let Ok(refused) = bounded::run(command.uid(12345).gid(12345), TIMEOUT) {
        assert_one_line(&refused, &[125], &["--jail-user", "root"]);
    }
}

/// In a mount namespace where everybody may use KVM, executes what follows as user 12345.
pub(crate) const AS_ORDINARY_USER: &str =
    "mknod $0/kvm c 10 232 && chmod 666 $0/kvm && mount --bind $0/kvm /dev/kvm || exit 99
    exec setpriv --reuid 12345 --regid 12345 --clear-groups \"$@\"";

fn an_ordinary_user_has_them_too() {
    let directory = tempfile::tempdir().expect("a directory");
    let place = directory.path().to_str().expect("UTF-8");
    let own = format!("{place}/own");
    std::fs::copy(vmm::binary().expect("vmm"), format!("{place}/vmm")).expect("copy");
    std::fs::write(&own, "text").expect("write");
    std::os::unix::fs::chown(&own, Some(12345), Some(12345)).expect("chown");
    std::fs::set_permissions(place, Permissions::from_mode(0o755)).expect("chmod");
    let script =
        format!("stat -c %u:%g /etc/passwd {own}; cat {own}; echo; cat /etc/shadow; echo ready; sleep 60");
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", AS_ORDINARY_USER, place]);
    command.args([&format!("{place}/vmm"), "--log", "info", "--", "sh", "-c", &script]);
    let mut running = bounded::start(&mut command).expect("unshare starts");
    assert!(running.prints_within("ready\n", TIMEOUT).expect("output"));
    for status in statuses(&running) {
        for field in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(u64::from_str_radix(&status[field], 16), Ok(0), "{field}: {status:?}");
        }
    }
    // Root is heard, though unknown to a process in a user namespace.
    let pid = running.pid().as_raw_nonzero().to_string();
    for word in ["pause", "resume"] {
        let asked = bounded::run(vmm_command(&[], &[]).args([word, &pid]), TIMEOUT).expect("vmm starts");
        assert_code(&asked, 0);
    }
    kill_process(running.pid(), Signal::KILL).expect("kill");
    let finished = running.finish(TIMEOUT).expect("end");
    assert_eq!(finished.stdout, "0:0\n12345:12345\ntext\nready\n", "{}", finished.describe());
    let told = "info: namespaces: user, mount, IPC, UTS, cgroup, network, empty root\n";
    assert!(finished.stderr.contains(told), "{}", finished.describe());
}
