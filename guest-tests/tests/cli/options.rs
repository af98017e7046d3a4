//! The options: environment, directory, user, host name, memory, strace, help.

use guest_tests::bounded;

use crate::{TIMEOUT, Test, assert_code, assert_code_among, run, run_script, vmm_command};

pub(crate) const TESTS: &[Test] = &[
    ("options::env_sets_variables", env_sets_variables),
    ("options::workdir_is_where_the_program_starts", workdir_is_where_the_program_starts),
    ("options::user_sets_ids", user_sets_ids),
    ("options::hostname_is_what_uname_says", hostname_is_what_uname_says),
    ("options::name_is_that_of_the_control_group", name_is_that_of_the_control_group),
    ("options::memory_is_a_bound", memory_is_a_bound),
    ("options::the_host_keeps_a_quarter_of_its_memory", the_host_keeps_a_quarter_of_its_memory),
    ("options::in_a_shortage_the_largest_process_ends", in_a_shortage_the_largest_process_ends),
    ("options::memory_exhausted_by_files_is_an_error", memory_exhausted_by_files_is_an_error),
    ("options::strace_decodes_calls", strace_decodes_calls),
    ("options::no_patch_leaves_text_as_it_is", no_patch_leaves_text_as_it_is),
    ("options::help_explains_every_option", help_explains_every_option),
    ("options::large_argument_lists_arrive", large_argument_lists_arrive),
];

fn env_sets_variables() {
    let finished = run_script(
        &["--env", "GREETING=good day", "--env", "EMPTY="],
        "echo \"$GREETING|$EMPTY|${EMPTY+set}\"",
    );
    assert_eq!(finished.stdout, "good day||set\n", "{}", finished.describe());
    let finished = run_script(&["--env", "PATH=/only/here"], "echo $PATH");
    assert_eq!(finished.stdout, "/only/here\n", "{}", finished.describe());
    let mut command =
        vmm_command(&["--image", "/"], &["/bin/sh", "-c", "echo \"${SECRET_OF_THE_HOST:-unknown}\""]);
    let finished = bounded::run(command.env("SECRET_OF_THE_HOST", "told"), TIMEOUT).expect("vmm starts");
    assert_eq!(finished.stdout, "unknown\n", "the host's environment stays outside: {}", finished.describe());
}

fn workdir_is_where_the_program_starts() {
    let finished = run_script(&["--workdir", "/usr/lib"], "pwd");
    assert_eq!(finished.stdout, "/usr/lib\n", "{}", finished.describe());
    let finished = run_script(&["--workdir", "/no/such/directory"], "pwd");
    assert_code_among(&finished, &[125, 126, 127]);
    assert!(finished.stderr.contains("/no/such/directory: it does not exist"), "{}", finished.describe());
    let finished = run_script(&["--workdir", "/etc/passwd"], "pwd");
    assert!(finished.stderr.contains("/etc/passwd: it is not a directory"), "{}", finished.describe());
}

fn user_sets_ids() {
    let script =
        "id -u; id -g; grep -c . /etc/passwd > /dev/null && cat /etc/shadow 2> /dev/null || echo refused";
    let finished = run_script(&["--user", "1234:4321"], script);
    assert_eq!(finished.stdout, "1234\n4321\nrefused\n", "{}", finished.describe());
    let finished = run_script(&["--user", "1234"], "id -u");
    assert_eq!(finished.stdout, "1234\n", "{}", finished.describe());
}

fn hostname_is_what_uname_says() {
    let finished = run_script(&["--hostname", "little-box"], "uname -n; cat /proc/sys/kernel/hostname");
    assert_eq!(finished.stdout, "little-box\nlittle-box\n", "{}", finished.describe());
}

fn name_is_that_of_the_control_group() {
    let script = "cat /proc/self/cgroup /sys/fs/cgroup/web-1/cgroup.procs; (cat /proc/self/cgroup)";
    let finished = run_script(&["--name", "web-1"], script);
    assert_eq!(finished.stdout, "0::/web-1\n1\n2\n0::/web-1\n", "{}", finished.describe());
    assert_eq!(run_script(&[], "cat /proc/self/cgroup").stdout, "0::/\n");
    assert_code_among(&run_script(&["--name", "a/b"], "true"), &[125]);
}

fn memory_is_a_bound() {
    assert_code(&run_script(&["--memory", "128M"], "exit 0"), 0);
    // Each page is touched; the allocation that does not fit fails or its process is killed, vmm is not.
    let perl = "push @parts, q(x) x (10 << 20) for 1 .. 100; print q(all there)";
    let script = format!("perl -e '{perl}'; echo status $?; echo still here");
    let finished = run_script(&["--memory", "256M"], &script);
    assert_code(&finished, 0);
    assert!(!finished.stdout.contains("all there"), "{}", finished.describe());
    assert!(finished.stdout.contains("still here"), "{}", finished.describe());
    let finished = run_script(&["--memory", "2G"], &script);
    assert!(finished.stdout.contains("all there"), "{}", finished.describe());
}

/// The copies of a child do not fit: the pages of code that it needs for them must not push each other out for ever.
fn in_a_shortage_the_largest_process_ends() {
    let perl = "open my $zero, '<', '/dev/zero' or die; my $size = 150 << 20;
        for (my $at = 0; $at < $size; $at += 1 << 20) { sysread $zero, $memory, 1 << 20, $at }
        my $child = fork // die;
        if ($child == 0) { for (my $at = 0; $at < $size; $at += 4096) { substr($memory, $at, 1) = 'y' } exit 0 }
        waitpid $child, 0; printf qq(ended by signal %d\n), $? & 127;";
    let script = "mkfifo /tmp/fifo; (read line < /tmp/fifo; echo \"$line is served\") &
        perl -e \"$0\"; echo status $?; echo who waits > /tmp/fifo; wait";
    let words = ["/bin/bash", "-c", script, perl];
    let finished = run(&["--image", "/", "--memory", "256M"], &words);
    let expected = "ended by signal 9\nstatus 0\nwho waits is served\n";
    assert_eq!(finished.stdout, expected, "{}", finished.describe());
}

fn the_host_keeps_a_quarter_of_its_memory() {
    let total_kib = |text: &str| -> u64 {
        let line = text.lines().find(|line| line.starts_with("MemTotal:")).expect("MemTotal");
        line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
    };
    let finished = run_script(&[], "cat /proc/meminfo");
    let host = total_kib(&std::fs::read_to_string("/proc/meminfo").expect("/proc/meminfo"));
    assert!(total_kib(&finished.stdout) <= host / 4 * 3 + 4, "{}", finished.describe());
}

fn memory_exhausted_by_files_is_an_error() {
    let script = "head -c 600000000 /dev/zero > /tmp/large; echo status $?; rm -f /tmp/large; echo small > /tmp/small && cat /tmp/small";
    let finished = run_script(&["--memory", "256M"], script);
    assert_code(&finished, 0);
    assert!(finished.stdout.starts_with("status 1\n"), "{}", finished.describe());
    assert!(finished.stdout.ends_with("small\n"), "the room is free again: {}", finished.describe());
}

fn strace_decodes_calls() {
    let script = "echo text; cat /no/such/file; mkdir /tmp/new-directory";
    let finished = run_script(&["--strace"], script);
    for expected in [
        "execve(",
        "write(1, \"text\\n\", 5",
        "\"/no/such/file\"",
        "ENOENT",
        "O_RDONLY",
        "mkdir",
        "exit_group(",
    ] {
        assert!(finished.stderr.contains(expected), "shows {expected:?}: {}", finished.describe());
    }
    assert_eq!(finished.stdout, "text\n");
}

fn no_patch_leaves_text_as_it_is() {
    let script = "\
import ctypes, os
text = ctypes.cast(ctypes.CDLL(None).getppid, ctypes.c_void_p).value
before = ctypes.string_at(text, 32)
parents = {os.getppid() for _ in range(3000)}
print(ctypes.string_at(text, 32) == before, len(parents))";
    let options = ["--image", "/", "--exitless", "on", "--no-patch"];
    let finished = run(&options, &["/usr/bin/python3", "-c", script]);
    assert_eq!(finished.stdout, "True 1\n", "{}", finished.describe());
}

fn help_explains_every_option() {
    let finished = run(&["--help"], &[]);
    assert_code(&finished, 0);
    for option in
        ["--image", "--env", "--workdir", "--user", "--hostname", "--memory", "--strace", "--log", "COMMAND"]
    {
        assert!(finished.stdout.contains(option), "explains {option}: {}", finished.describe());
    }
    assert!(finished.stdout.lines().all(|line| line.chars().count() <= 120), "{}", finished.describe());
}

fn large_argument_lists_arrive() {
    let long = "x".repeat(100_000);
    let words = ["/bin/sh", "-c", "echo ${#1} ${#2} $#", "sh", &long, &long, "three"];
    let finished = run(&["--image", "/"], &words);
    assert_eq!(finished.stdout, "100000 100000 3\n", "{}", finished.describe());
    let script = "x=$(head -c 200000 /dev/zero | tr '\\0' x); /bin/true $x; echo status $?";
    let finished = run_script(&[], script);
    assert_eq!(finished.stdout, "status 126\n", "one string over 128 KiB: {}", finished.describe());
}
