// Counters of software (`man 2 perf_event_open`): what is counted, by whom, in which groups, and what is refused.
#include "check.h"
#include <linux/perf_event.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>

#ifndef PERF_FORMAT_LOST
#define PERF_FORMAT_LOST 16
#endif
#define PAGES 64
#define SOFTWARE(...) (struct perf_event_attr){.type = PERF_TYPE_SOFTWARE, .size = sizeof(struct perf_event_attr), __VA_ARGS__}

static long perf(struct perf_event_attr attributes, pid_t pid, int cpu, int group, unsigned long flags) {
  return syscall(SYS_perf_event_open, &attributes, pid, cpu, group, flags);
}

static int counter(struct perf_event_attr attributes) { return OK(perf(attributes, 0, -1, -1, 0)); }

static uint64_t value(int file) {
  uint64_t words[4];
  CHECK_EQ(read(file, words, sizeof words), 8);
  return words[0];
}

static void open_page(int number, siginfo_t *info, void *context) {
  (void)number, (void)context;
  if (mprotect((void *)((uintptr_t)info->si_addr & -PAGE), PAGE, PROT_READ | PROT_WRITE) < 0) _exit(1);
}

// Has as many faults at least: memory that is just fresh may come without any.
static void touch(void) {
  char *memory = mmap(NULL, PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(memory != MAP_FAILED);
  for (int page = 0; page < PAGES; page++) *(volatile char *)&memory[page * PAGE] = 1;
  OK(munmap(memory, PAGES * PAGE));
}

static void spin(long milliseconds) {
  struct timespec now;
  OK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now));
  long end = now.tv_sec * 1000 + now.tv_nsec / 1000000 + milliseconds;
  do OK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now));
  while (now.tv_sec * 1000 + now.tv_nsec / 1000000 < end);
}

static void counts(void) {
  int faults = counter(SOFTWARE(.config = PERF_COUNT_SW_PAGE_FAULTS, .disabled = 1));
  int clock = counter(SOFTWARE(.config = PERF_COUNT_SW_TASK_CLOCK));
  int switches = counter(SOFTWARE(.config = PERF_COUNT_SW_CONTEXT_SWITCHES));
  int nothing = counter(SOFTWARE(.config = PERF_COUNT_SW_DUMMY));
  touch();
  CHECK_EQ(value(faults), 0);
  OK(ioctl(faults, PERF_EVENT_IOC_ENABLE, 0));
  touch();
  OK(ioctl(faults, PERF_EVENT_IOC_DISABLE, 0));
  uint64_t count = value(faults);
  CHECK_CASE(count >= PAGES && count < 100 * PAGES, "%lu faults", count);
  touch();
  CHECK_EQ(value(faults), count);
  OK(ioctl(faults, PERF_EVENT_IOC_RESET, 0));
  CHECK_EQ(value(faults), 0);
  uint64_t before = value(clock);
  spin(20);
  CHECK(value(clock) - before >= 19000000);
  before = value(switches);
  struct timespec nap = {.tv_nsec = 1000000};
  for (int i = 0; i < 5; i++) nanosleep(&nap, NULL);
  CHECK(value(switches) - before >= 5);
  CHECK_EQ(value(nothing), 0);
  OK(prctl(PR_TASK_PERF_EVENTS_DISABLE));
  before = value(clock);
  spin(5);
  CHECK_EQ(value(clock), before);
  OK(prctl(PR_TASK_PERF_EVENTS_ENABLE));
  spin(5);
  CHECK(value(clock) > before);
  OK(close(faults)), OK(close(clock)), OK(close(switches)), OK(close(nothing));
}

static void formats_and_groups(void) {
  uint64_t all = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING | PERF_FORMAT_ID | PERF_FORMAT_LOST;
  uint64_t words[16], id, other;
  int leader = counter(SOFTWARE(.config = PERF_COUNT_SW_TASK_CLOCK, .disabled = 1, .read_format = all | PERF_FORMAT_GROUP));
  int follower = OK(perf(SOFTWARE(.config = PERF_COUNT_SW_PAGE_FAULTS, .read_format = all), 0, -1, leader, PERF_FLAG_FD_CLOEXEC));
  CHECK_EQ(fcntl(follower, F_GETFD), FD_CLOEXEC);
  CHECK_EQ(fcntl(leader, F_GETFD), 0);
  OK(ioctl(leader, PERF_EVENT_IOC_ID, &id)), OK(ioctl(follower, PERF_EVENT_IOC_ID, &other));
  CHECK(id != other);
  touch();
  CHECK_EQ(read(follower, words, sizeof words), 40);
  CHECK(words[0] == 0 && words[1] == 0 && words[3] == other && words[4] == 0);
  OK(ioctl(leader, PERF_EVENT_IOC_ENABLE, 0));
  touch();
  OK(ioctl(leader, PERF_EVENT_IOC_DISABLE, 0));
  CHECK_EQ(read(leader, words, sizeof words), 72);
  CHECK_EQ(words[0], 2);
  CHECK(words[1] > 0 && words[1] == words[2]);
  CHECK(words[3] > 0 && words[4] == id && words[5] == 0);
  CHECK(words[6] > 0 && words[7] == other && words[8] == 0);
  CHECK_ERRNO(read(leader, words, 71), ENOSPC);
  CHECK_ERRNO(read(follower, words, 39), ENOSPC);
  CHECK_ERRNO(read(leader, wild, 72), EFAULT);
  // By a follower all of the group can be meant.
  OK(ioctl(follower, PERF_EVENT_IOC_RESET, PERF_IOC_FLAG_GROUP));
  CHECK_EQ(read(leader, words, sizeof words), 72);
  CHECK(words[3] == 0 && words[6] == 0);
  OK(ioctl(follower, PERF_EVENT_IOC_ENABLE, PERF_IOC_FLAG_GROUP));
  touch();
  OK(ioctl(leader, PERF_EVENT_IOC_DISABLE, PERF_IOC_FLAG_GROUP));
  CHECK_EQ(read(follower, words, sizeof words), 40);
  CHECK(words[0] > 0);
  // One that follows cannot be followed, nor be alone; all of a group are in one place.
  struct perf_event_attr plain = SOFTWARE(.config = PERF_COUNT_SW_DUMMY);
  CHECK_ERRNO(perf(plain, 0, -1, follower, 0), EINVAL);
  CHECK_ERRNO(perf(SOFTWARE(.config = PERF_COUNT_SW_DUMMY, .pinned = 1), 0, -1, leader, 0), EINVAL);
  CHECK_ERRNO(perf(SOFTWARE(.config = PERF_COUNT_SW_DUMMY, .exclusive = 1), 0, -1, leader, 0), EINVAL);
  CHECK_ERRNO(perf(plain, 0, 0, leader, 0), EINVAL);
  CHECK_ERRNO(perf(plain, 0, -1, 0, 0), EBADF);
  CHECK_ERRNO(perf(plain, 0, -1, 4095, 0), EBADF);
  OK(close(OK(perf(plain, 0, -1, leader, PERF_FLAG_FD_NO_GROUP))));
  // Whom it has led counts alone, from the next turn on.
  OK(ioctl(follower, PERF_EVENT_IOC_RESET, 0)), OK(ioctl(follower, PERF_EVENT_IOC_ENABLE, 0));
  touch();
  OK(close(leader));
  struct timespec nap = {.tv_nsec = 1000000};
  nanosleep(&nap, NULL);
  touch();
  CHECK_EQ(read(follower, words, sizeof words), 40);
  CHECK(words[0] > 0);
  OK(close(follower));
}

static void *touch_in_thread(void *unused) {
  touch();
  return unused;
}

static void children(void) {
  int own = counter(SOFTWARE(.config = PERF_COUNT_SW_PAGE_FAULTS));
  int inherited = counter(SOFTWARE(.config = PERF_COUNT_SW_PAGE_FAULTS, .inherit = 1));
  pid_t pid;
  IN_CHILD(pid) {
    for (int i = 0; i < 10; i++) touch();
  }
  WAIT_OK(pid);
  CHECK(value(inherited) >= value(own) + 10 * PAGES);
  uint64_t before = value(inherited);
  pthread_t thread;
  CHECK_ZERO(pthread_create(&thread, NULL, touch_in_thread, NULL));
  CHECK_ZERO(pthread_join(thread, NULL));
  CHECK(value(inherited) >= before + PAGES);
  OK(close(own)), OK(close(inherited));
}

static void executed(void) {
  int down[2];
  char byte;
  OK(pipe2(down, O_CLOEXEC));
  pid_t pid;
  IN_CHILD(pid) {
    OK(read(down[0], &byte, 1));
    execl("/proc/self/exe", "perf_events", "executed", NULL);
    _exit(1);
  }
  int from = OK(perf(SOFTWARE(.config = PERF_COUNT_SW_PAGE_FAULTS, .disabled = 1, .inherit = 1, .enable_on_exec = 1), pid, -1, -1, 0));
  int until = OK(perf(SOFTWARE(.config = PERF_COUNT_SW_PAGE_FAULTS, .remove_on_exec = 1), pid, -1, -1, 0));
  CHECK_EQ(value(from), 0);
  OK(write(down[1], "xx", 1));
  WAIT_OK(pid);
  uint64_t count = value(from);
  CHECK(count > 10);
  CHECK(value(until) < count);
  OK(ioctl(from, PERF_EVENT_IOC_ENABLE, 0));
  CHECK_EQ(value(from), count);
  CHECK_ERRNO(perf(SOFTWARE(.config = PERF_COUNT_SW_DUMMY), pid, -1, -1, 0), ESRCH);
  OK(close(from)), OK(close(until)), OK(close(down[0])), OK(close(down[1]));
}

static void refusals(void) {
  struct perf_event_attr plain = SOFTWARE(.config = PERF_COUNT_SW_DUMMY);
  CHECK_ERRNO(perf(plain, 0, -1, -1, 16), EINVAL);
  CHECK_ERRNO(syscall(SYS_perf_event_open, wild, 0, -1, -1, 0), EFAULT);
  CHECK_ERRNO(perf(plain, -1, -1, -1, 0), EINVAL);
  CHECK_ERRNO(perf(plain, 0, 100000, -1, 0), EINVAL);
  CHECK_ERRNO(perf(plain, INT_MAX, -1, -1, 0), ESRCH);
  CHECK_ERRNO(perf(plain, -1, 0, -1, PERF_FLAG_PID_CGROUP), EINVAL);
  CHECK_ERRNO(perf(SOFTWARE(.config = 12), 0, -1, -1, 0), ENOENT);
  CHECK_ERRNO(perf(SOFTWARE(.config = 0, .read_format = 32), 0, -1, -1, 0), EINVAL);
  CHECK_ERRNO(perf(SOFTWARE(.config = 0, .sample_type = 1 << 25), 0, -1, -1, 0), EINVAL);
  CHECK_ERRNO(perf(SOFTWARE(.config = 0, .sample_period = 1UL << 63), 0, -1, -1, 0), EINVAL);
  CHECK_ERRNO(perf(SOFTWARE(.config = 0, .enable_on_exec = 1, .remove_on_exec = 1), 0, -1, -1, 0), EINVAL);
  CHECK_ERRNO(perf(SOFTWARE(.config = 0, .inherit_thread = 1), 0, -1, -1, 0), EINVAL);
  CHECK_ERRNO(perf(SOFTWARE(.config = 0, .sigtrap = 1), 0, -1, -1, 0), EINVAL);
  // A structure of another length.
  struct { struct perf_event_attr known; uint64_t rest[8]; } longer = {.known = plain};
  longer.known.size = sizeof longer;
  OK(close(OK(syscall(SYS_perf_event_open, &longer, 0, -1, -1, 0))));
  longer.rest[7] = 1;
  CHECK_ERRNO(syscall(SYS_perf_event_open, &longer, 0, -1, -1, 0), E2BIG);
  CHECK(longer.known.size >= sizeof plain && longer.known.size < sizeof longer);
  plain.size = 63;
  CHECK_ERRNO(perf(plain, 0, -1, -1, 0), E2BIG);
  plain.size = 0;
  int file = counter(plain);
  struct pollfd poll_fd = {file, POLLIN, 0};
  CHECK_EQ(poll(&poll_fd, 1, 0), 1);
  CHECK_EQ(poll_fd.revents, POLLHUP);
  CHECK_ERRNO(write(file, "x", 1), EINVAL);
  CHECK_ERRNO(lseek(file, 0, SEEK_SET), ESPIPE);
  CHECK_ERRNO(ioctl(file, FIONREAD, &plain), ENOTTY);
  CHECK_ERRNO(ioctl(file, PERF_EVENT_IOC_REFRESH, 1), EINVAL);
  CHECK_ERRNO(ioctl(file, PERF_EVENT_IOC_PERIOD, wild), EFAULT);
  uint64_t period = 7;
  CHECK_ERRNO(ioctl(file, PERF_EVENT_IOC_PERIOD, &period), EINVAL);
  CHECK_ERRNO(ioctl(file, PERF_EVENT_IOC_ID, wild), EFAULT);
  char path[64], link[64] = "";
  snprintf(path, sizeof path, "/proc/self/fd/%d", file);
  OK(readlink(path, link, sizeof link - 1));
  CHECK(!strcmp(link, "anon_inode:[perf_event]"));
  OK(close(file));
  // The unprivileged count neither the kernel nor processors nor others.
  pid_t parent = getpid(), pid;
  IN_CHILD(pid) {
    OK(setresuid(1000, 1000, 1000));
    CHECK_ERRNO(perf(SOFTWARE(.config = 0), 0, -1, -1, 0), EACCES);
    OK(close(counter(SOFTWARE(.config = 0, .exclude_kernel = 1))));
    CHECK_ERRNO(perf(SOFTWARE(.config = 0, .exclude_kernel = 1), -1, 0, -1, 0), EACCES);
    CHECK_ERRNO(perf(SOFTWARE(.config = 0, .exclude_kernel = 1), parent, -1, -1, 0), EACCES);
  }
  WAIT_OK(pid);
}

static void processors(void) {
  int file = OK(perf(SOFTWARE(.config = PERF_COUNT_SW_CPU_CLOCK), -1, 0, -1, 0));
  uint64_t before = value(file);
  spin(5);
  CHECK(value(file) > before);
  OK(close(file));
}

int main(int argc, char **argv) {
  handle(SIGSEGV, open_page, 0);
  if (argc > 1) {
    CHECK(!strcmp(argv[1], "executed"));
    touch();
    return 0;
  }
  char text[16];
  read_file("/proc/sys/kernel/perf_event_paranoid", text, sizeof text);
  CHECK_CASE(atoi(text) == 2, "%d", atoi(text));
  counts();
  formats_and_groups();
  children();
  executed();
  refusals();
  processors();
  return 0;
}
