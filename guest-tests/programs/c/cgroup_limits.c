// The pids, memory and cpu controllers of control groups.
// inside only: where version 1 has the controllers, version 2 has none
#include "control_groups.h"
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>

static long number(const char *path) { return atol(content(path)); }

// The number behind `name` in a file of lines.
static long field(const char *path, const char *name) {
  size_t length = strlen(name);
  for (char *line = strtok(content(path), "\n"); line; line = strtok(NULL, "\n"))
    if (strncmp(line, name, length) == 0 && line[length] == ' ') return atol(line + length);
  FAIL("%s: no %s", path, name);
}

static void controllers_are_given_from_above(void) {
  CHECK(strstr(content("cgroup.controllers"), "pids") != NULL);
  OK(mkdir("a", 0755));
  CHECK_EQ(access("a/pids.max", F_OK), -1);
  CHECK_EQ(put("a/cgroup.subtree_control", "+pids"), ENOENT);
  CHECK_EQ(put("cgroup.subtree_control", "+nothing"), EINVAL);
  CHECK_EQ(put("cgroup.subtree_control", "pids"), EINVAL);
  CHECK_EQ(put("cgroup.subtree_control", "+pids +memory +cpu"), 0);
  CHECK(strcmp(content("a/cgroup.controllers"), "cpu memory pids\n") == 0);
  CHECK_EQ(access("a/pids.max", F_OK), 0);
  CHECK_EQ(put("a/cgroup.subtree_control", "+memory"), 0);
  CHECK_EQ(put("cgroup.subtree_control", "-memory"), EBUSY);
  // No internal processes.
  CHECK_EQ(put("a/cgroup.procs", "0"), EBUSY);
  CHECK_EQ(put("a/cgroup.subtree_control", "-memory"), 0);
  CHECK_EQ(put("a/memory.max", "18446744073709551615"), 0);
  CHECK(strcmp(content("a/memory.max"), "max\n") == 0);
  CHECK_EQ(put("a/pids.max", "0x10"), 0);
  CHECK_EQ(number("a/pids.max"), 16);
  // Who has a file of a controller open loses it with the controller.
  char byte;
  int file = OK(open("a/pids.max", O_RDWR));
  CHECK_EQ(put("cgroup.subtree_control", "-pids"), 0);
  CHECK_ERRNO(read(file, &byte, 1), ENODEV);
  CHECK_ERRNO(write(file, "1", 1), ENODEV);
  OK(close(file));
  CHECK_EQ(put("cgroup.subtree_control", "+pids"), 0);
  pid_t pid;
  IN_CHILD(pid) {
    CHECK_EQ(put("a/cgroup.procs", "0"), 0);
    CHECK_EQ(put("a/cgroup.subtree_control", "+memory"), EBUSY);
  }
  WAIT_OK(pid);
  OK(rmdir("a"));
}

// Options are the hierarchy's, and each mount sets all of them, but only one from the initial cgroup namespace.
static void mounts_set_options(void) {
  const char *options[] = {"nsdelegate", NULL, "nsdelegate,pids_localevents"};
  OK(mkdir("a", 0755));
  for (int i = 0; i < 3; i++) {
    int is_boundary = options[i] != NULL;
    OK(mount("cgroup2", "/mnt", "cgroup2", 0, options[i]));
    OK(umount("/mnt"));
    CHECK_EQ(strstr(content("/proc/self/mounts"), ",nsdelegate") != NULL, is_boundary);
    pid_t pid;
    IN_CHILD(pid) {
      CHECK_EQ(put("a/cgroup.procs", "0"), 0);
      int early = OK(open("a/cgroup.max.depth", O_WRONLY));
      OK(unshare(CLONE_NEWCGROUP));
      CHECK_EQ(put("a/cgroup.max.depth", "max"), is_boundary ? EPERM : 0);
      CHECK_EQ(write(early, "max", 3), 3);
      OK(mount("cgroup2", "/mnt", "cgroup2", 0, is_boundary ? NULL : "nsdelegate"));
      OK(umount("/mnt"));
      CHECK_EQ(put("a/cgroup.max.depth", "max"), is_boundary ? EPERM : 0);
    }
    WAIT_OK(pid);
  }
  CHECK(strstr(content("/proc/self/mounts"), ",nsdelegate,pids_localevents") != NULL);
  CHECK_ERRNO(mount("cgroup2", "/mnt", "cgroup2", 0, "nothing"), EINVAL);
  OK(rmdir("a"));
}

static void forks_are_counted_and_limited(void) {
  OK(mkdir("a", 0755));
  OK(mkdir("a/b", 0755));
  CHECK_EQ(put("a/cgroup.subtree_control", "+pids"), 0);
  for (size_t i = 0; i < 3; i++) CHECK_EQ(put("a/pids.max", ((const char *[]){"-1", "x", "4194305"})[i]), EINVAL);
  CHECK_EQ(put("a/pids.max", "2"), 0);
  pid_t pid;
  IN_CHILD(pid) {
    CHECK_EQ(put("a/b/cgroup.procs", "0"), 0);
    CHECK_EQ(number("a/pids.current"), 1);
    CHECK_EQ(number("a/b/pids.current"), 1);
    pid_t child = fork();
    if (child == 0) _exit(0);
    CHECK(child > 0);
    siginfo_t info;
    OK(waitid(P_PID, child, &info, WEXITED | WNOWAIT));
    // A zombie still counts.
    CHECK_EQ(number("a/b/pids.current"), 2);
    CHECK_ERRNO(fork(), EAGAIN);
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, (void *(*)(void *))abort, NULL), EAGAIN);
    WAIT_OK(child);
    CHECK_EQ(number("a/b/pids.current"), 1);
    // As on Linux, attempts that fail further up count.
    CHECK(number("a/b/pids.peak") >= 2);
    CHECK_EQ(field("a/pids.events", "max"), 2);
    CHECK_EQ(field("a/b/pids.events", "max"), 0);
  }
  WAIT_OK(pid);
  CHECK_EQ(number("a/pids.current"), 0);
  // Whoever is moved is not refused.
  CHECK_EQ(put("a/pids.max", "0"), 0);
  IN_CHILD(pid) {
    CHECK_EQ(put("a/b/cgroup.procs", "0"), 0);
    CHECK_ERRNO(fork(), EAGAIN);
  }
  WAIT_OK(pid);
  OK(rmdir("a/b"));
  OK(rmdir("a"));
}

static void memory_is_charged_and_given_back(void) {
  const long size = 8 << 20;
  OK(mkdir("a", 0755));
  pid_t pid;
  IN_CHILD(pid) {
    CHECK_EQ(put("a/cgroup.procs", "0"), 0);
    long before = number("a/memory.current");
    char *memory = map_anonymous(size, PROT_READ | PROT_WRITE);
    memset(memory, 1, size);
    long with = number("a/memory.current");
    CHECK_CASE(with - before >= size && with - before < size + (2 << 20), "%ld and %ld", before, with);
    // Copies of a child are charged too, and what is shared is charged once.
    pid_t child;
    IN_CHILD(child) {
      long shared = number("a/memory.current");
      CHECK_CASE(shared < with + (4 << 20), "%ld and %ld", with, shared);
      memset(memory, 2, size);
      CHECK(number("a/memory.current") >= with + size / 2);
    }
    WAIT_OK(child);
    OK(munmap(memory, size));
    CHECK(number("a/memory.current") < with - size / 2);
    CHECK(number("a/memory.peak") >= with);
  }
  WAIT_OK(pid);
  CHECK_EQ(number("a/memory.current"), 0);
  OK(rmdir("a"));
}

// What programs that watch containers look for is there, whether or not it ever is more than nothing.
static void memory_is_told_of_in_full(void) {
  static const char *const names[] = {"kernel_stack", "sock", "file_mapped", "active_anon", "inactive_file", "pgfault", "workingset_refault_file", "thp_fault_alloc"};
  OK(mkdir("a", 0755));
  for (size_t index = 0; index < COUNT(names); index++) CHECK(field("a/memory.stat", names[index]) >= 0);
  CHECK(strncmp(content("a/memory.numa_stat"), "anon N0=0\nfile N0=0\nkernel_stack N0=0\n", 38) == 0);
  CHECK(strcmp(content("a/memory.swap.high"), "max\n") == 0 && number("a/memory.swap.peak") == 0);
  CHECK_EQ(field("a/cpu.stat.local", "throttled_usec"), 0);
  // There is nothing that could be given up.
  CHECK_EQ(put("a/memory.reclaim", "1M"), EAGAIN);
  CHECK_EQ(put("a/memory.reclaim", "1M swappiness=50"), EAGAIN);
  CHECK_EQ(put("a/memory.reclaim", "1M swappiness=201"), EINVAL);
  CHECK_EQ(put("a/memory.reclaim", "1M other"), EINVAL);
  CHECK_EQ(put("a/memory.reclaim", "much"), EINVAL);
  CHECK_EQ(put("a/memory.reclaim", "0"), 0);
  // What happens below is told above, but not as the group's own.
  CHECK_EQ(put("a/cgroup.subtree_control", "+memory"), 0);
  OK(mkdir("a/b", 0755));
  CHECK_EQ(put("a/b/memory.max", "4M"), 0);
  pid_t pid;
  IN_CHILD(pid) {
    CHECK_EQ(put("a/b/cgroup.procs", "0"), 0);
    memset(map_anonymous(16 << 20, PROT_READ | PROT_WRITE), 1, 16 << 20);
  }
  WAIT_SIGNALED(pid, SIGKILL);
  CHECK_EQ(field("a/memory.events", "oom_kill"), 1);
  CHECK_EQ(field("a/memory.events.local", "oom_kill"), 0);
  CHECK_EQ(field("a/memory.events.local", "max"), 0);
  CHECK_EQ(field("a/b/memory.events.local", "oom_kill"), 1);
  CHECK(field("a/b/memory.events.local", "max") >= 1);
  OK(rmdir("a/b")), OK(rmdir("a"));
}

static void too_much_memory_kills_inside_the_group(void) {
  const long limit = 16 << 20;
  OK(mkdir("a", 0755));
  CHECK_EQ(put("a/memory.max", "16M"), 0);
  CHECK_EQ(number("a/memory.max"), limit);
  volatile long *greatest = map_shared(PAGE);
  pid_t bystander;
  IN_CHILD(bystander) for (;;) pause();
  pid_t pid;
  IN_CHILD(pid) {
    CHECK_EQ(put("a/cgroup.procs", "0"), 0);
    char *memory = map_anonymous(4 * limit, PROT_READ | PROT_WRITE);
    for (long at = 0; at < 4 * limit; at += PAGE) {
      memory[at] = 1;
      *greatest = at;
    }
  }
  WAIT_SIGNALED(pid, SIGKILL);
  CHECK(*greatest < limit && *greatest > limit / 2);
  CHECK_EQ(field("a/memory.events", "oom_kill"), 1);
  CHECK(field("a/memory.events", "max") >= 1);
  CHECK(number("a/memory.peak") <= limit);
  // The largest is killed, and the one that asked goes on.
  int ready[2];
  OK(pipe(ready));
  pid_t large, small;
  IN_CHILD(large) {
    CHECK_EQ(put("a/cgroup.procs", "0"), 0);
    memset(map_anonymous(10 << 20, PROT_READ | PROT_WRITE), 1, 10 << 20);
    OK(write(ready[1], "", 1));
    for (;;) pause();
  }
  char byte;
  CHECK_EQ(read(ready[0], &byte, 1), 1);
  IN_CHILD(small) {
    CHECK_EQ(put("a/cgroup.procs", "0"), 0);
    memset(map_anonymous(8 << 20, PROT_READ | PROT_WRITE), 1, 8 << 20);
  }
  WAIT_OK(small);
  WAIT_SIGNALED(large, SIGKILL);
  // So it is when a system call fills the memory.
  IN_CHILD(pid) {
    CHECK_EQ(put("a/cgroup.procs", "0"), 0);
    int zero = OK(open("/dev/zero", O_RDONLY));
    read(zero, map_anonymous(2 * limit, PROT_READ | PROT_WRITE), 2 * limit);
  }
  WAIT_SIGNALED(pid, SIGKILL);
  CHECK_EQ(kill(bystander, 0), 0);
  OK(kill(bystander, SIGKILL));
  WAIT_SIGNALED(bystander, SIGKILL);
  OK(rmdir("a"));
}

static void a_lower_limit_kills_at_once(void) {
  OK(mkdir("a", 0755));
  int ready[2];
  OK(pipe(ready));
  pid_t pid;
  IN_CHILD(pid) {
    CHECK_EQ(put("a/cgroup.procs", "0"), 0);
    memset(map_anonymous(8 << 20, PROT_READ | PROT_WRITE), 1, 8 << 20);
    OK(write(ready[1], "", 1));
    for (;;) pause();
  }
  char byte;
  CHECK_EQ(read(ready[0], &byte, 1), 1);
  CHECK_EQ(put("a/memory.max", "4M"), 0);
  WAIT_SIGNALED(pid, SIGKILL);
  OK(rmdir("a"));
}

static void spin(long milliseconds) {
  struct timespec used;
  do OK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used));
  while (used.tv_sec * 1000 + used.tv_nsec / 1000000 < milliseconds);
}

static void processor_time_is_told(void) {
  OK(mkdir("a", 0755));
  pid_t pid;
  IN_CHILD(pid) {
    CHECK_EQ(put("a/cgroup.procs", "0"), 0);
    spin(60);
  }
  WAIT_OK(pid);
  long usage = field("a/cpu.stat", "usage_usec");
  CHECK_CASE(usage >= 20000 && usage < 5000000, "%ld", usage);
  CHECK(strcmp(content("a/cpu.max"), "max 100000\n") == 0);
  CHECK_EQ(put("a/cpu.max", "50000 100000"), 0);
  CHECK(strcmp(content("a/cpu.max"), "50000 100000\n") == 0);
  CHECK_EQ(number("a/cpu.weight"), 100);
  CHECK_EQ(put("a/cpu.weight", "0"), ERANGE);
  CHECK_EQ(put("a/cpu.weight", "50"), 0);
  CHECK_EQ(number("a/cpu.weight"), 50);
  OK(rmdir("a"));
}

static void processor_time_is_limited(void) {
  OK(mkdir("a", 0755));
  CHECK(strcmp(content("a/cpu.max"), "max 100000\n") == 0);
  static const char *const wrong[] = {"", "x", "999", "max 999", "max 1000001", "-1"};
  for (size_t i = 0; i < COUNT(wrong); i++) CHECK_CASE(put("a/cpu.max", wrong[i]) == EINVAL, "%s", wrong[i]);
  CHECK_EQ(put("a/cpu.max.burst", "1000"), EINVAL);
  CHECK_EQ(put("a/cpu.max", "10000 50000"), 0);
  CHECK_EQ(put("a/cpu.max", "20000"), 0);
  CHECK(strcmp(content("a/cpu.max"), "20000 50000\n") == 0);
  CHECK_EQ(put("a/cpu.max.burst", "20001"), EINVAL);
  CHECK_EQ(put("a/cpu.max", "5000 50000"), 0);
  OK(mkdir("a/b", 0755));
  // A tenth of a processor, for two processes below the group together.
  pid_t pids[2];
  long long start = now_ms();
  for (int i = 0; i < 2; i++) {
    IN_CHILD(pids[i]) {
      CHECK_EQ(put("a/b/cgroup.procs", "0"), 0);
      spin(50);
    }
  }
  for (int i = 0; i < 2; i++) WAIT_OK(pids[i]);
  long long took = now_ms() - start;
  CHECK_CASE(took >= 300, "%lld ms", took);
  CHECK(field("a/cpu.stat", "nr_periods") >= 5);
  CHECK(field("a/cpu.stat", "nr_throttled") >= 4);
  CHECK(field("a/cpu.stat", "throttled_usec") >= 100000);
  // Who waits for time can be killed, and goes on once there is no limit.
  CHECK_EQ(put("a/cpu.max", "1000 1000000"), 0);
  IN_CHILD(pids[0]) {
    CHECK_EQ(put("a/b/cgroup.procs", "0"), 0);
    for (;;) {}
  }
  IN_CHILD(pids[1]) {
    CHECK_EQ(put("a/b/cgroup.procs", "0"), 0);
    spin(100);
  }
  sleep_ms(100);
  start = now_ms();
  OK(kill(pids[0], SIGKILL));
  WAIT_SIGNALED(pids[0], SIGKILL);
  CHECK_EQ(put("a/cpu.max", "max"), 0);
  WAIT_OK(pids[1]);
  took = now_ms() - start;
  CHECK_CASE(took < 5000, "%lld ms", took);
  OK(rmdir("a/b"));
  OK(rmdir("a"));
}

// Writes so many pages to a new file; its descriptor.
static int fill_file(const char *path, int pages) {
  static char page[PAGE];
  memset(page, 'x', sizeof page);
  int file = OK(open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  for (int i = 0; i < pages; i++) CHECK_EQ(write(file, page, sizeof page), sizeof page);
  return file;
}

static void files_in_memory_are_charged(void) {
  static const char path[] = "/tmp/guest-test-charged";
  OK(mkdir("a", 0755));
  pid_t pid;
  IN_CHILD(pid) {
    CHECK_EQ(put("a/cgroup.procs", "0"), 0);
    long before = number("a/memory.current");
    int file = fill_file(path, 1024);
    CHECK(number("a/memory.current") >= before + 1024 * PAGE);
    CHECK(field("a/memory.stat", "shmem") >= 1024 * PAGE);
    CHECK(field("a/memory.stat", "file") >= 1024 * PAGE);
    OK(fallocate(file, 0, 1024 * PAGE, 1024 * PAGE));
    CHECK(field("a/memory.stat", "shmem") >= 2048 * PAGE);
    OK(ftruncate(file, 0));
    CHECK(field("a/memory.stat", "shmem") < 1024 * PAGE);
    long anonymous = field("a/memory.stat", "anon");
    memset(map_anonymous(1024 * PAGE, PROT_READ | PROT_WRITE), 1, 1024 * PAGE);
    CHECK(field("a/memory.stat", "anon") >= anonymous + 1024 * PAGE);
  }
  WAIT_OK(pid);
  CHECK_EQ(put("a/memory.max", "4M"), 0);
  IN_CHILD(pid) {
    CHECK_EQ(put("a/cgroup.procs", "0"), 0);
    fill_file(path, 4096);
  }
  WAIT_SIGNALED(pid, SIGKILL);
  CHECK(field("a/memory.events", "oom_kill") >= 1);
  OK(unlink(path));
  OK(rmdir("a"));
}

// So it is when what the kernel keeps for a process fills the memory; and those who are kept together go together.
static void objects_of_the_kernel_are_charged(void) {
  static char page[PAGE];
  OK(mkdir("a", 0755));
  CHECK_EQ(put("a/memory.max", "6M"), 0);
  CHECK_EQ(put("a/memory.oom.group", "1"), 0);
  int ready[2];
  OK(pipe(ready));
  pid_t other, pid;
  IN_CHILD(other) {
    CHECK_EQ(put("a/cgroup.procs", "0"), 0);
    OK(write(ready[1], "", 1));
    for (;;) pause();
  }
  char byte;
  CHECK_EQ(read(ready[0], &byte, 1), 1);
  IN_CHILD(pid) {
    CHECK_EQ(put("a/cgroup.procs", "0"), 0);
    struct rlimit limit;
    OK(getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = limit.rlim_max;
    OK(setrlimit(RLIMIT_NOFILE, &limit));
    for (int ends[2];;) {
      OK(pipe(ends));
      CHECK_EQ(write(ends[1], page, PAGE), PAGE);
    }
  }
  WAIT_SIGNALED(pid, SIGKILL);
  WAIT_SIGNALED(other, SIGKILL);
  CHECK(field("a/memory.events", "max") >= 1);
  CHECK(field("a/memory.events", "oom") >= 1);
  CHECK_EQ(field("a/memory.events", "oom_kill"), 2);
  CHECK_EQ(field("a/memory.events", "oom_group_kill"), 1);
  OK(rmdir("a"));
  // What all of the system keeps is told, too.
  CHECK(field("/proc/meminfo", "Slab:") > 0);
}

// Pages of files that can be read again are given up before anybody is killed.
static void pages_of_files_make_room(void) {
  OK(mkdir("a", 0755));
  CHECK_EQ(put("a/memory.max", "1M"), 0);
  pid_t pid;
  IN_CHILD(pid) {
    int file = OK(open("/lib/x86_64-linux-gnu/libc.so.6", O_RDONLY | O_CLOEXEC));
    struct stat status;
    OK(fstat(file, &status));
    char *memory = mmap(NULL, status.st_size, PROT_READ, MAP_SHARED, file, 0);
    CHECK(memory != MAP_FAILED);
    CHECK_EQ(put("a/cgroup.procs", "0"), 0);
    for (int round = 0; round < 2; round++)
      for (long at = 0; at < status.st_size; at += PAGE) *(volatile char *)(memory + at);
    CHECK(number("a/memory.current") <= 1 << 20);
  }
  WAIT_OK(pid);
  CHECK_EQ(field("a/memory.events", "oom_kill"), 0);
  OK(rmdir("a"));
}

static void who_has_more_than_high_is_held_up(void) {
  OK(mkdir("a", 0755));
  CHECK_EQ(put("a/memory.high", "1x"), EINVAL);
  CHECK_EQ(put("a/memory.high", "4M"), 0);
  CHECK_EQ(number("a/memory.high"), 4 << 20);
  pid_t pid;
  long long start = now_ms();
  IN_CHILD(pid) {
    CHECK_EQ(put("a/cgroup.procs", "0"), 0);
    char *memory = map_anonymous(6 << 20, PROT_READ | PROT_WRITE);
    for (long at = 0; at < 6 << 20; at += PAGE) memory[at] = 1;
  }
  WAIT_OK(pid);
  long long took = now_ms() - start;
  CHECK_CASE(took >= 100, "%lld ms", took);
  CHECK(field("a/memory.events", "high") >= 1);
  CHECK_EQ(field("a/memory.events", "oom_kill"), 0);
  OK(rmdir("a"));
}

int main(void) {
  OK(chdir("/sys/fs/cgroup"));
  controllers_are_given_from_above();
  mounts_set_options();
  OK(mount("cgroup2", "/mnt", "cgroup2", 0, "nsdelegate"));
  OK(umount("/mnt"));
  forks_are_counted_and_limited();
  memory_is_charged_and_given_back();
  memory_is_told_of_in_full();
  too_much_memory_kills_inside_the_group();
  a_lower_limit_kills_at_once();
  processor_time_is_told();
  processor_time_is_limited();
  files_in_memory_are_charged();
  objects_of_the_kernel_are_charged();
  pages_of_files_make_room();
  who_has_more_than_high_is_held_up();
  return 0;
}
