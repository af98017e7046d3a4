// The names in /proc, /sys and /proc/sys that programs read: they are there, of the same kind and mode everywhere, and their
// texts are the same however they are read. What is knowingly absent inside is listed at the end, with the reason.
#include "check.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/inotify.h>

struct name {
  const char *path;
  mode_t mode;
  // Whether kernels that lack it are usual: then it only has to be right where it is.
  int is_optional;
};

static const struct name names[] = {
    // Of a process.
    {"/proc/self/attr", S_IFDIR | 0555, 1},
    {"/proc/self/autogroup", S_IFREG | 0644, 1},
    {"/proc/self/auxv", S_IFREG | 0400, 0},
    {"/proc/self/cgroup", S_IFREG | 0444, 0},
    {"/proc/self/clear_refs", S_IFREG | 0200, 0},
    {"/proc/self/cmdline", S_IFREG | 0444, 0},
    {"/proc/self/comm", S_IFREG | 0644, 0},
    {"/proc/self/coredump_filter", S_IFREG | 0644, 0},
    {"/proc/self/cpuset", S_IFREG | 0444, 1},
    {"/proc/self/environ", S_IFREG | 0400, 0},
    {"/proc/self/fd", S_IFDIR | 0500, 0},
    {"/proc/self/fdinfo", S_IFDIR | 0555, 0},
    {"/proc/self/io", S_IFREG | 0400, 0},
    {"/proc/self/ksm_merging_pages", S_IFREG | 0400, 1},
    {"/proc/self/ksm_stat", S_IFREG | 0400, 1},
    {"/proc/self/limits", S_IFREG | 0444, 0},
    {"/proc/self/loginuid", S_IFREG | 0644, 1},
    {"/proc/self/map_files", S_IFDIR | 0500, 0},
    {"/proc/self/maps", S_IFREG | 0444, 0},
    {"/proc/self/mem", S_IFREG | 0600, 0},
    {"/proc/self/mountinfo", S_IFREG | 0444, 0},
    {"/proc/self/mounts", S_IFREG | 0444, 0},
    {"/proc/self/mountstats", S_IFREG | 0400, 0},
    {"/proc/self/net", S_IFDIR | 0555, 0},
    {"/proc/self/ns", S_IFDIR | 0511, 0},
    {"/proc/self/numa_maps", S_IFREG | 0444, 1},
    {"/proc/self/oom_adj", S_IFREG | 0644, 0},
    {"/proc/self/oom_score", S_IFREG | 0444, 0},
    {"/proc/self/oom_score_adj", S_IFREG | 0644, 0},
    {"/proc/self/pagemap", S_IFREG | 0400, 0},
    {"/proc/self/personality", S_IFREG | 0400, 0},
    {"/proc/self/sched", S_IFREG | 0644, 1},
    {"/proc/self/schedstat", S_IFREG | 0444, 1},
    {"/proc/self/sessionid", S_IFREG | 0444, 1},
    {"/proc/self/setgroups", S_IFREG | 0644, 0},
    {"/proc/self/smaps", S_IFREG | 0444, 0},
    {"/proc/self/smaps_rollup", S_IFREG | 0444, 0},
    {"/proc/self/stack", S_IFREG | 0400, 1},
    {"/proc/self/stat", S_IFREG | 0444, 0},
    {"/proc/self/statm", S_IFREG | 0444, 0},
    {"/proc/self/status", S_IFREG | 0444, 0},
    {"/proc/self/syscall", S_IFREG | 0400, 1},
    {"/proc/self/task", S_IFDIR | 0555, 0},
    {"/proc/self/timens_offsets", S_IFREG | 0644, 1},
    {"/proc/self/timers", S_IFREG | 0444, 1},
    {"/proc/self/timerslack_ns", S_IFREG | 0666, 0},
    {"/proc/self/uid_map", S_IFREG | 0644, 0},
    {"/proc/self/wchan", S_IFREG | 0444, 0},
    // Of the system.
    {"/proc/buddyinfo", S_IFREG | 0444, 0},
    {"/proc/bus", S_IFDIR | 0555, 0},
    {"/proc/cgroups", S_IFREG | 0444, 1},
    {"/proc/cmdline", S_IFREG | 0444, 0},
    {"/proc/consoles", S_IFREG | 0444, 0},
    {"/proc/cpuinfo", S_IFREG | 0444, 0},
    {"/proc/crypto", S_IFREG | 0444, 1},
    {"/proc/devices", S_IFREG | 0444, 0},
    {"/proc/diskstats", S_IFREG | 0444, 0},
    {"/proc/driver", S_IFDIR | 0555, 0},
    {"/proc/execdomains", S_IFREG | 0444, 0},
    {"/proc/filesystems", S_IFREG | 0444, 0},
    {"/proc/fs", S_IFDIR | 0555, 0},
    {"/proc/interrupts", S_IFREG | 0444, 0},
    {"/proc/irq", S_IFDIR | 0555, 0},
    {"/proc/irq/default_smp_affinity", S_IFREG | 0644, 1},
    {"/proc/key-users", S_IFREG | 0444, 1},
    {"/proc/keys", S_IFREG | 0444, 1},
    {"/proc/loadavg", S_IFREG | 0444, 0},
    {"/proc/locks", S_IFREG | 0444, 0},
    {"/proc/meminfo", S_IFREG | 0444, 0},
    {"/proc/misc", S_IFREG | 0444, 0},
    {"/proc/pagetypeinfo", S_IFREG | 0400, 0},
    {"/proc/partitions", S_IFREG | 0444, 0},
    {"/proc/pressure/cpu", S_IFREG | 0666, 1},
    {"/proc/pressure/io", S_IFREG | 0666, 1},
    {"/proc/pressure/memory", S_IFREG | 0666, 1},
    {"/proc/slabinfo", S_IFREG | 0400, 1},
    {"/proc/softirqs", S_IFREG | 0444, 0},
    {"/proc/stat", S_IFREG | 0444, 0},
    {"/proc/swaps", S_IFREG | 0444, 1},
    {"/proc/sysvipc/msg", S_IFREG | 0444, 1},
    {"/proc/timer_list", S_IFREG | 0400, 1},
    {"/proc/tty/drivers", S_IFREG | 0444, 0},
    {"/proc/uptime", S_IFREG | 0444, 0},
    {"/proc/version", S_IFREG | 0444, 0},
    {"/proc/vmallocinfo", S_IFREG | 0400, 0},
    {"/proc/vmstat", S_IFREG | 0444, 0},
    {"/proc/zoneinfo", S_IFREG | 0444, 0},
    // Settings.
    {"/proc/sys/fs/aio-max-nr", S_IFREG | 0644, 1},
    {"/proc/sys/fs/dir-notify-enable", S_IFREG | 0644, 1},
    {"/proc/sys/fs/epoll/max_user_watches", S_IFREG | 0644, 0},
    {"/proc/sys/fs/file-max", S_IFREG | 0644, 0},
    {"/proc/sys/fs/file-nr", S_IFREG | 0444, 0},
    {"/proc/sys/fs/inotify/max_user_watches", S_IFREG | 0644, 0},
    {"/proc/sys/fs/lease-break-time", S_IFREG | 0644, 0},
    {"/proc/sys/fs/leases-enable", S_IFREG | 0644, 0},
    {"/proc/sys/fs/mount-max", S_IFREG | 0644, 0},
    {"/proc/sys/fs/nr_open", S_IFREG | 0644, 0},
    {"/proc/sys/fs/overflowuid", S_IFREG | 0644, 0},
    {"/proc/sys/fs/pipe-max-size", S_IFREG | 0644, 0},
    {"/proc/sys/fs/pipe-user-pages-hard", S_IFREG | 0644, 0},
    {"/proc/sys/fs/pipe-user-pages-soft", S_IFREG | 0644, 0},
    {"/proc/sys/kernel/cad_pid", S_IFREG | 0600, 0},
    {"/proc/sys/kernel/core_pattern", S_IFREG | 0644, 0},
    {"/proc/sys/kernel/domainname", S_IFREG | 0644, 0},
    {"/proc/sys/kernel/hostname", S_IFREG | 0644, 0},
    {"/proc/sys/kernel/io_uring_disabled", S_IFREG | 0644, 1},
    {"/proc/sys/kernel/ns_last_pid", S_IFREG | 0666, 1},
    {"/proc/sys/kernel/osrelease", S_IFREG | 0444, 0},
    {"/proc/sys/kernel/overflowgid", S_IFREG | 0644, 0},
    {"/proc/sys/kernel/pid_max", S_IFREG | 0644, 0},
    {"/proc/sys/kernel/printk", S_IFREG | 0644, 0},
    {"/proc/sys/kernel/pty/max", S_IFREG | 0644, 0},
    {"/proc/sys/kernel/pty/nr", S_IFREG | 0444, 0},
    {"/proc/sys/kernel/randomize_va_space", S_IFREG | 0644, 0},
    {"/proc/sys/kernel/sched_rr_timeslice_ms", S_IFREG | 0644, 0},
    {"/proc/sys/kernel/sched_rt_runtime_us", S_IFREG | 0644, 0},
    {"/proc/sys/kernel/threads-max", S_IFREG | 0644, 0},
    {"/proc/sys/vm/compact_memory", S_IFREG | 0200, 1},
    {"/proc/sys/vm/dirty_ratio", S_IFREG | 0644, 0},
    {"/proc/sys/vm/drop_caches", S_IFREG | 0200, 0},
    {"/proc/sys/vm/max_map_count", S_IFREG | 0644, 0},
    {"/proc/sys/vm/overcommit_memory", S_IFREG | 0644, 0},
    {"/proc/sys/vm/swappiness", S_IFREG | 0644, 0},
    {"/proc/sys/vm/vfs_cache_pressure", S_IFREG | 0644, 0},
    // Devices and the machine.
    {"/sys/class/mem/null", S_IFLNK | 0777, 0},
    {"/sys/class/misc", S_IFDIR | 0755, 0},
    {"/sys/class/net/lo", S_IFLNK | 0777, 0},
    {"/sys/class/tty/tty", S_IFLNK | 0777, 0},
    {"/sys/dev/char/1:3", S_IFLNK | 0777, 0},
    {"/sys/dev/char/1:11", S_IFLNK | 0777, 0},
    {"/sys/class/mem/kmsg/uevent", S_IFREG | 0644, 0},
    {"/sys/dev/char/1:3/uevent", S_IFREG | 0644, 0},
    {"/sys/devices/system/clocksource/clocksource0/current_clocksource", S_IFREG | 0644, 0},
    {"/sys/devices/system/cpu/online", S_IFREG | 0444, 0},
    {"/sys/devices/system/cpu/smt/active", S_IFREG | 0444, 1},
    {"/sys/devices/system/cpu/vulnerabilities/meltdown", S_IFREG | 0444, 1},
    {"/sys/devices/system/node/node0/meminfo", S_IFREG | 0444, 1},
    {"/sys/devices/system/node/node0/numastat", S_IFREG | 0444, 1},
    {"/sys/devices/virtual/mem/null/dev", S_IFREG | 0444, 0},
    {"/sys/kernel/cgroup/features", S_IFREG | 0444, 1},
    {"/sys/kernel/uevent_seqnum", S_IFREG | 0444, 0},
};

// What sysfs can be written by its mode is not checked: hardly anything of it can inside.
static mode_t comparable(const char *path, mode_t mode) {
  int is_sysfs = strncmp(path, "/sys/", 5) == 0;
  int is_fixed_inside = strcmp(path, "/proc/irq/default_smp_affinity") == 0;
  mode &= ~(is_sysfs || is_fixed_inside ? 0222 : 0);
  return mode;
}

static void names_have_their_modes(void) {
  for (unsigned i = 0; i < COUNT(names); i++) {
    struct stat status;
    if (lstat(names[i].path, &status) < 0) {
      if (errno == ENOENT && names[i].is_optional) continue;
      FAIL("%s: %s", names[i].path, strerror(errno));
    }
    mode_t mode = comparable(names[i].path, status.st_mode), wanted = comparable(names[i].path, names[i].mode);
    if (mode != wanted) FAIL("%s: mode %o, not %o", names[i].path, mode, wanted);
  }
}

static size_t read_by(const char *path, char *text, size_t size, size_t step) {
  int file = open(path, O_RDONLY);
  if (file < 0) FAIL("%s: %s", path, strerror(errno));
  size_t length = 0;
  for (;;) {
    ssize_t got = read(file, text + length, step < size - length ? step : size - length);
    if (got < 0) FAIL("%s: %s", path, strerror(errno));
    if (got == 0) break;
    length += got;
  }
  close(file);
  return length;
}

// Whether a file reads the same in all steps, and from within. Fills in what it reads as a whole.
static int reads_the_same(const char *path, char *whole, size_t size, size_t *length) {
  static char parts[1 << 17];
  *length = read_by(path, whole, size, size);
  for (size_t step = 1; step <= 64; step = step * 3 + 4)
    if (read_by(path, parts, size, step) != *length || memcmp(whole, parts, *length) != 0) return 0;
  int file = open(path, O_RDONLY);
  char byte;
  int is_same = pread(file, &byte, 1, 2) == 1 && byte == whole[2];
  is_same = is_same && pread(file, &byte, 1, *length + 100) == 0;
  is_same = is_same && lseek(file, 1, SEEK_SET) == 1 && read(file, &byte, 1) == 1 && byte == whole[1];
  is_same = is_same && lseek(file, 0, SEEK_CUR) == 2;
  close(file);
  return is_same;
}

// Files whose texts stay the same while nobody does anything: what somebody else's mount or module changes meanwhile is read again.
static void reading_in_odd_sizes_makes_no_difference(void) {
  static const char *const files[] = {"/proc/self/limits",       "/proc/filesystems",    "/proc/devices",     "/proc/misc",
                                      "/proc/sys/kernel/ostype", "/proc/self/mountinfo", "/proc/self/cmdline"};
  static char before[1 << 17], after[1 << 17];
  for (unsigned i = 0; i < COUNT(files); i++) {
    size_t length;
    while (!reads_the_same(files[i], before, sizeof before, &length)) {
      size_t other = read_by(files[i], after, sizeof after, sizeof after);
      if (other == length && memcmp(before, after, length) == 0) FAIL("%s does not read the same in parts", files[i]);
    }
  }
}

static int poll_of(const char *path, int reads_first, int *epoll_error) {
  char byte;
  int file = open(path, O_RDONLY), watch = epoll_create1(0);
  if (file < 0) FAIL("%s: %s", path, strerror(errno));
  if (reads_first && read(file, &byte, 1) != 1) FAIL("%s: read", path);
  struct pollfd entry = {file, POLLIN | POLLOUT | POLLPRI, 0};
  if (poll(&entry, 1, 0) != 1) FAIL("%s is not ready", path);
  struct epoll_event event = {EPOLLIN, {0}};
  *epoll_error = epoll_ctl(watch, EPOLL_CTL_ADD, file, &event) < 0 ? errno : 0;
  close(file);
  close(watch);
  return entry.revents;
}

static void files_are_always_ready(void) {
  static const struct {
    const char *path;
    int reads_first, revents, epoll_error;
  } cases[] = {{"/proc/uptime", 0, POLLIN | POLLOUT, 0},
               {"/proc/sys/kernel/ostype", 0, POLLIN | POLLOUT, 0},
               {"/proc/self/status", 0, POLLIN | POLLOUT, EPERM},
               {"/sys/devices/system/cpu/online", 0, POLLIN | POLLOUT | POLLPRI | POLLERR, 0},
               {"/sys/devices/system/cpu/online", 1, POLLIN | POLLOUT, 0}};
  for (unsigned i = 0; i < COUNT(cases); i++) {
    int epoll_error, revents = poll_of(cases[i].path, cases[i].reads_first, &epoll_error);
    if (revents != cases[i].revents || epoll_error != cases[i].epoll_error)
      FAIL("%s: %x and %d", cases[i].path, revents, epoll_error);
  }
}

static void put(const char *path, const char *text, int wanted) {
  int file = open(path, O_WRONLY);
  if (file < 0) FAIL("%s: %s", path, strerror(errno));
  int error = write(file, text, strlen(text)) < 0 ? errno : 0;
  if (error != wanted) FAIL("%s <- %s: %d, not %d", path, text, error, wanted);
  close(file);
}

// Only a session that setsid(2) has made has an autogroup to tell of: the one that a machine starts with has none.
static void autogroup_is_told(void) {
  if (access("/proc/self/autogroup", F_OK) < 0) return;
  if (setsid() < 0) FAIL("setsid");
  char text[4096];
  text[read_by("/proc/self/autogroup", text, sizeof text - 1, 4096)] = 0;
  int number, niceness;
  if (sscanf(text, "/autogroup-%d nice %d", &number, &niceness) != 2) FAIL("autogroup: %s", text);
  put("/proc/self/autogroup", "20", EINVAL);
  put("/proc/self/autogroup", "x", EINVAL);
}

static void a_process_s_files_tell_of_it(void) {
  char text[4096];
  timer_t timer;
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_ptr = (void *)0xabc};
  if (timer_create(CLOCK_MONOTONIC, &event, &timer) < 0) FAIL("timer_create");
  if (access("/proc/self/timers", F_OK) == 0) {
    text[read_by("/proc/self/timers", text, sizeof text - 1, 4096)] = 0;
    char wanted[256];
    snprintf(wanted, sizeof wanted, "signal: 10/0000000000000abc\nnotify: signal/pid.%d\nClockID: 1\n", getpid());
    if (strncmp(text, "ID: ", 4) != 0 || strstr(text, wanted) == NULL) FAIL("timers: %s", text);
  }
  timer_delete(timer);
  int status;
  pid_t child = fork();
  if (child == 0) {
    autogroup_is_told();
    _exit(0);
  }
  if (waitpid(child, &status, 0) != child || status != 0) FAIL("autogroup: status %x", status);
  // Of a child that sleeps in a call.
  int ends[2];
  if (pipe(ends) < 0) FAIL("pipe");
  child = fork();
  if (child == 0) {
    char byte;
    _exit(read(ends[0], &byte, 1) == 1 ? 0 : 1);
  }
  char path[64], wanted[64];
  snprintf(path, sizeof path, "/proc/%d/syscall", child);
  snprintf(wanted, sizeof wanted, "%d 0x%x 0x", SYS_read, ends[0]);
  if (access(path, F_OK) == 0) {
    for (int tries = 0;; tries++) {
      text[read_by(path, text, sizeof text - 1, 4096)] = 0;
      if (strncmp(text, wanted, strlen(wanted)) == 0) break;
      if (tries > 2000) FAIL("syscall: %s", text);
      usleep(5000);
    }
    int words = 0;
    for (char *word = strtok(text, " \n"); word; word = strtok(NULL, " \n")) words++;
    if (words != 9) FAIL("%d words", words);
  }
  if (write(ends[1], "x", 1) != 1 || waitpid(child, &status, 0) != child || status != 0) FAIL("child");
}

// What fdinfo tells of a descriptor has this line, numbers of the machine left out.
static void has_line(int file, const char *begin, const char *end) {
  char path[64], text[4096];
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", file);
  text[read_by(path, text, sizeof text - 1, 4096)] = 0;
  for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
    size_t length = strlen(line), tail = strlen(end);
    if (strncmp(line, begin, strlen(begin)) == 0 && length >= tail && strcmp(line + length - tail, end) == 0) return;
  }
  FAIL("no line %s...%s", begin, end);
}

static void descriptors_tell_of_locks_and_watches(void) {
  char path[] = "/tmp/proc-walk-XXXXXX", begin[96];
  int file = mkstemp(path), other = open(path, O_RDWR), third = open(path, O_RDWR);
  if (file < 0 || other < 0 || third < 0) FAIL("mkstemp");
  if (flock(file, LOCK_EX) < 0) FAIL("flock");
  snprintf(begin, sizeof begin, "lock:\t1: FLOCK  ADVISORY  WRITE %d ", getpid());
  has_line(file, begin, " 0 EOF");
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 2, .l_len = 7};
  if (fcntl(third, F_OFD_SETLK, &lock) < 0) FAIL("F_OFD_SETLK");
  has_line(third, "lock:\t1: OFDLCK ADVISORY  WRITE -1 ", " 2 8");
  lock = (struct flock){.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 50, .l_len = 3};
  if (fcntl(other, F_SETLK, &lock) < 0) FAIL("F_SETLK");
  snprintf(begin, sizeof begin, "lock:\t1: POSIX  ADVISORY  READ %d ", getpid());
  has_line(other, begin, " 50 52");
  int watch = inotify_init1(0);
  if (inotify_add_watch(watch, path, IN_MODIFY) != 1) FAIL("inotify_add_watch");
  has_line(watch, "inotify wd:1 ino:", "");
  int set = epoll_create1(0);
  struct epoll_event event = {EPOLLIN, {.u64 = 0xabc}};
  if (epoll_ctl(set, EPOLL_CTL_ADD, watch, &event) < 0) FAIL("epoll_ctl");
  snprintf(begin, sizeof begin, "tfd: %8d events: %8x data: %16x  pos:0 ino:", watch, EPOLLIN | EPOLLERR | EPOLLHUP, 0xabc);
  has_line(set, begin, "");
  int terminal = posix_openpt(O_RDWR | O_NOCTTY);
  if (terminal >= 0) has_line(terminal, "tty-index:\t", "");
  close(file), close(other), close(third), close(watch), close(set), close(terminal);
  unlink(path);
}

static void pressure_takes_one_trigger_a_file(void) {
  const char *path = "/proc/pressure/memory";
  int file = open(path, O_RDWR | O_NONBLOCK);
  if (file < 0) {
    if (errno == ENOENT || errno == EOPNOTSUPP) return;
    FAIL("%s: %s", path, strerror(errno));
  }
  struct pollfd entry = {file, POLLPRI, 0};
  if (poll(&entry, 1, 0) != 1 || entry.revents != (POLLERR | POLLPRI)) FAIL("without a trigger: %x", entry.revents);
  put(path, "some 0 1000000", EINVAL);
  put(path, "some 2000000 1000000", EINVAL);
  put(path, "any 150000 1000000", EINVAL);
  put(path, "some 150000", EINVAL);
  const char *trigger = "full 1999999 2000000";
  if (write(file, trigger, strlen(trigger) + 1) != (ssize_t)strlen(trigger) + 1) FAIL("trigger: %s", strerror(errno));
  if (write(file, trigger, strlen(trigger) + 1) != -1 || errno != EBUSY) FAIL("second trigger: %d", errno);
  if (poll(&entry, 1, 0) != 0) FAIL("with a trigger: %x", entry.revents);
  close(file);
}

// Absent inside, knowingly:
// - /proc/acpi, bus/input, bus/pci, scsi, mtrr, driver/*, irq/N, iomem's and ioports' ranges: there is no such hardware;
// - /proc/kpagecount, kpageflags, kpagecgroup, kcore, vmcore: they show the kernel's memory, of which a guest is shown nothing;
// - /proc/fs/ext4, jbd2, xfs, nfsd and /proc/sys/fs/xfs, quota: those of file systems that keep no such figures here;
// - /proc/sys/kernel/acct, ftrace_enabled, firmware_config: they steer what there is not;
// - /proc/sys/net/bridge, netfilter, mptcp and /proc/net/nf_*: nothing tracks connections that could be listed, and there is no MPTCP;
// - /sys/module/*, /sys/bus/*, /sys/firmware/*, cpufreq, cpuidle, thermal, /sys/kernel/{btf,slab,mm/ksm}: there are no modules, no
//   buses, no firmware, no control of the processor, no slabs and no merging.
int main(void) {
  names_have_their_modes();
  reading_in_odd_sizes_makes_no_difference();
  files_are_always_ready();
  a_process_s_files_tell_of_it();
  descriptors_tell_of_locks_and_watches();
  pressure_takes_one_trigger_a_file();
  return 0;
}
