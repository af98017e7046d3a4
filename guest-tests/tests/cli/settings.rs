//! The settings below /proc/sys that are the sandbox's own: who may write them, how numbers are read, and that they have an effect.

use crate::{Test, run_script};

pub(crate) const TESTS: &[Test] = &[
    ("settings::are_read_as_linux_reads_them", are_read_as_linux_reads_them),
    ("settings::have_an_effect", have_an_effect),
    ("settings::are_the_same_in_every_mount", are_the_same_in_every_mount),
];

/// Sets a setting and says what it is then, or that it was refused.
const SET: &str = "set_to() {
        if printf \"$2\\n\" > /proc/sys/$1; then echo \"$1: $(tr '\\t' ' ' < /proc/sys/$1)\"; else echo \"$1 refuses $2\"; fi
    } 2> /dev/null
";

fn assert_prints(script: &str, wanted: &str) {
    let finished = run_script(&[], &format!("{SET}{script}"));
    assert_eq!(finished.stdout, wanted, "{}", finished.describe());
}

fn are_read_as_linux_reads_them() {
    assert_prints(
        "set_to fs/pipe-max-size 100000
        set_to kernel/pid_max 0x2000
        set_to kernel/pid_max 300
        set_to vm/swappiness 017
        set_to vm/swappiness 5x
        set_to vm/swappiness ''
        set_to kernel/printk '5 3'
        set_to kernel/printk_devkmsg on
        set_to kernel/printk_devkmsg loud
        set_to kernel/sched_rr_timeslice_ms 0
        set_to kernel/io_uring_disabled 3
        set_to kernel/core_pattern /tmp/core.%%p
        set_to kernel/cad_pid 4000000
        set_to vm/drop_caches 5
        setpriv --reuid 1000 --clear-groups sh -c 'echo 10 > /proc/sys/vm/swappiness' 2> /dev/null || echo not root
        setpriv --bounding-set -all --inh-caps -all sh -c 'echo 11 > /proc/sys/vm/swappiness'
        cat /proc/sys/vm/swappiness",
        "fs/pipe-max-size: 131072
kernel/pid_max: 8192
kernel/pid_max refuses 300
vm/swappiness: 15
vm/swappiness refuses 5x
vm/swappiness refuses \nkernel/printk: 5 3 1 7
kernel/printk_devkmsg: on
kernel/printk_devkmsg refuses loud
kernel/sched_rr_timeslice_ms: 100
kernel/io_uring_disabled refuses 3
kernel/core_pattern: /tmp/core.%p
kernel/cad_pid refuses 4000000
vm/drop_caches refuses 5
not root
11
",
    );
}

fn have_an_effect() {
    assert_prints(
        r#"echo 5000 > /proc/sys/kernel/ns_last_pid; sh -c 'echo $$'
        echo 2048 > /proc/sys/fs/nr_open; (ulimit -Hn 4096) 2> /dev/null || echo no more than nr_open
        cat > /tmp/effects.py <<'END'
import ctypes, errno, fcntl, mmap, os, time
def put(name, text):
    with open("/proc/sys/" + name, "w") as file: file.write(text)
def failure(act):
    try: act()
    except OSError as error: return errno.errorcode[error.errno]
    return "none"
put("fs/leases-enable", "0")
file = os.open("/tmp/leased", os.O_RDWR | os.O_CREAT)
print("lease", failure(lambda: fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)))
put("vm/memfd_noexec", "1")
print("memfd", oct(os.fstat(os.memfd_create("x")).st_mode & 0o777))
put("vm/memfd_noexec", "2")
print("memfd", failure(lambda: os.memfd_create("x", 0x10)))
put("kernel/io_uring_disabled", "2")
libc = ctypes.CDLL(None, use_errno=True)
print("io_uring", libc.syscall(425, 1, ctypes.create_string_buffer(120)), errno.errorcode[ctypes.get_errno()])
put("fs/aio-max-nr", "10")
print("aio", libc.syscall(206, 11, ctypes.create_string_buffer(8)), errno.errorcode[ctypes.get_errno()])
put("kernel/pty/max", "0")
print("pty", failure(os.openpty))
put("kernel/sched_rr_timeslice_ms", "20")
os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
print("slice", os.sched_rr_get_interval(0))
def map_many(count): return [mmap.mmap(-1, 4096, prot=1 + number % 2 * 2) for number in range(count)]
put("vm/max_map_count", "200")
print("maps", failure(lambda: map_many(300)))
put("vm/max_map_count", "65530")
put("kernel/threads-max", "3")
print("tasks", failure(lambda: [os.fork() or os._exit(time.sleep(3) or 0) for _ in range(4)]))
END
        python3 /tmp/effects.py"#,
        "5001
no more than nr_open
lease EINVAL
memfd 0o666
memfd EACCES
io_uring -1 EPERM
aio -1 EAGAIN
pty ENOSPC
slice 0.02
maps ENOMEM
tasks EAGAIN
",
    );
}

fn are_the_same_in_every_mount() {
    assert_prints(
        "mkdir /tmp/p; mount -t proc proc /tmp/p; echo 33 > /tmp/p/sys/vm/dirty_ratio; cat /proc/sys/vm/dirty_ratio
        unshare -pf --mount-proc sh -c 'cat /proc/sys/vm/dirty_ratio'",
        "33\n33\n",
    );
}
