// Time namespaces: offsets and their rules, who enters when, and every place that shows the shifted clocks.
#include "check.h"
#include <linux/futex.h>
#include <sched.h>
#include <spawn.h>
#include <sys/sysinfo.h>
#include <sys/timerfd.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif
#define OFFSETS "/proc/self/timens_offsets"

extern char **environ;
static int initial;

// Writes the offsets; the errno, or 0.
static int set_offsets(const char *text) {
  int file = OK(open(OFFSETS, O_WRONLY | O_CLOEXEC));
  int error = write(file, text, strlen(text)) < 0 ? errno : 0;
  close(file);
  return error;
}

static long seconds(int clock) {
  struct timespec time;
  OK(clock_gettime(clock, &time));
  return time.tv_sec;
}

// Not by the vDSO.
static struct timespec clock_by_call(int clock) {
  struct timespec time;
  OK(syscall(SYS_clock_gettime, clock, &time));
  return time;
}

static void check_near(long left, long right) { CHECK_CASE(labs(left - right) <= 2, "%ld and %ld", left, right); }

// The clock, by the vDSO and by a system call, shows about this.
static void check_clock(int clock, long expected) {
  check_near(seconds(clock), expected);
  check_near(clock_by_call(clock).tv_sec, expected);
}

static const char *link_of(const char *name) {
  static char links[4][64];
  static int next;
  char *text = links[next++ % 4], path[64];
  snprintf(path, sizeof path, "/proc/thread-self/ns/%s", name);
  ssize_t length = OK(readlink(path, text, 63));
  text[length] = 0;
  return text;
}

static int is_in_childrens(void) { return strcmp(link_of("time"), link_of("time_for_children")) == 0; }

static void unshare_time(void) { OK(unshare(CLONE_NEWTIME)); }

static void offsets_have_rules(void) {
  char text[128];
  read_file(OFFSETS, text, sizeof text);
  CHECK(strcmp(text, "monotonic           0         0\nboottime            0         0\n") == 0);
  CHECK_EQ(set_offsets("monotonic 0 0"), EACCES);
  unshare_time();
  CHECK(!is_in_childrens());
  static const struct {
    const char *text;
    int error;
  } cases[] = {
      {"monotonic 1", EINVAL},
      {"monotonic x 0", EINVAL},
      {"2 0 0", EINVAL},
      {"0 0 0", EINVAL},
      {"monotonic 0 1000000000", EINVAL},
      {"monotonic 0 -1", EINVAL},
      {"", EINVAL},
      {"\n", EINVAL},
      {"1 5 0\n\n7 1 0", EINVAL},
      {"1 5 0\n2 0 0", EINVAL},
      {"boottime -999999999 0", ERANGE},
      {"monotonic 9223372036854775807 0", ERANGE},
      {"monotonic 9223372036 0", ERANGE},
      {"monotonic 4611686018 0", ERANGE},
      {"monotonic 1 0 extra", 0},
      {"1 5 0 \n", 0},
      {"monotonic\t5 0", 0},
      {"monotonic 100000 500\nboottime 200000 7\n", 0},
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    int error = set_offsets(cases[i].text);
    CHECK_CASE(error == cases[i].error, "%s: %d", cases[i].text, error);
  }
  read_file(OFFSETS, text, sizeof text);
  CHECK(strcmp(text, "monotonic      100000       500\nboottime       200000         7\n") == 0);
  // The next one begins with these.
  unshare_time();
  read_file(OFFSETS, text, sizeof text);
  CHECK(strcmp(text, "monotonic      100000       500\nboottime       200000         7\n") == 0);
  // Who opened the file counts.
  int file = OK(open(OFFSETS, O_WRONLY));
  pid_t pid;
  IN_CHILD(pid) {
    unshare_time();
    OK(setresuid(1000, 1000, 1000));
    int own = open(OFFSETS, O_WRONLY);
    CHECK(own < 0 || (write(own, "1 0 0", 5) < 0 && errno == EPERM));
  }
  WAIT_OK(pid);
  OK(close(file));
  CHECK_EQ(set_offsets("1 0 0"), EACCES);
}

static long before[16];

static void note_clocks(void) {
  static const int clocks[] = {0, 1, 4, 5, 6, 7};
  for (size_t i = 0; i < COUNT(clocks); i++) before[clocks[i]] = seconds(clocks[i]);
}

static void clocks_are_shifted(void) {
  char text[256];
  note_clocks();
  long long uptime, boot_time;
  struct sysinfo info;
  OK(sysinfo(&info));
  uptime = info.uptime;
  read_file("/proc/uptime", text, sizeof text);
  check_near(atol(text), uptime);
  static char stat[16384];
  read_file("/proc/stat", stat, sizeof stat);
  boot_time = atoll(strstr(stat, "btime ") + 6);
  unshare_time();
  CHECK_EQ(set_offsets("monotonic 100000 0\nboottime 200000 0"), 0);
  // Not its own.
  check_clock(CLOCK_MONOTONIC, before[1]);
  pid_t pid;
  IN_CHILD(pid) {
    CHECK(is_in_childrens());
    for (int round = 0; round < 3; round++) {
      check_clock(CLOCK_MONOTONIC, before[1] + 100000);
      check_clock(CLOCK_MONOTONIC_RAW, before[4] + 100000);
      check_clock(CLOCK_MONOTONIC_COARSE, before[6] + 100000);
      check_clock(CLOCK_BOOTTIME, before[7] + 200000);
      check_clock(CLOCK_REALTIME, before[0]);
      check_clock(CLOCK_REALTIME_COARSE, before[5]);
      sleep_ms(20);
    }
    OK(sysinfo(&info));
    check_near(info.uptime, uptime + 200000);
    read_file("/proc/uptime", text, sizeof text);
    check_near(atol(text), uptime + 200000);
    read_file("/proc/stat", stat, sizeof stat);
    check_near(atoll(strstr(stat, "btime ") + 6), boot_time - 200000);
    read_file("/proc/self/stat", stat, sizeof stat);
    char *field = strrchr(stat, ')') + 1;
    for (int i = 3; i < 22; i++) field = strchr(field + 1, ' ');
    check_near(atol(field) / 100, uptime + 200000);
    CHECK_EQ(set_offsets("1 0 0"), EACCES);
    // A grandchild inherits the page.
    pid_t child;
    IN_CHILD(child) check_clock(CLOCK_MONOTONIC, before[1] + 100000);
    WAIT_OK(child);
  }
  WAIT_OK(pid);
}

static void clocks_can_be_behind(void) {
  note_clocks();
  long behind = before[1] - 1;
  char text[64];
  snprintf(text, sizeof text, "monotonic -%ld 500000000", behind);
  unshare_time();
  CHECK_EQ(set_offsets(text), 0);
  pid_t pid;
  IN_CHILD(pid) check_clock(CLOCK_MONOTONIC, 1);
  WAIT_OK(pid);
}

static struct timespec later(int clock, long milliseconds) {
  struct timespec time;
  OK(clock_gettime(clock, &time));
  time.tv_nsec += milliseconds * 1000000;
  time.tv_sec += time.tv_nsec / 1000000000;
  time.tv_nsec %= 1000000000;
  return time;
}

static void check_took(long long start, long milliseconds) {
  long long took = now_ms() - start;
  CHECK_CASE(took >= milliseconds - 1 && took < milliseconds + 3000, "%lld ms", took);
}

static void absolute_times_are_the_namespace_s(void) {
  unshare_time();
  CHECK_EQ(set_offsets("monotonic 100000 0\nboottime 200000 0"), 0);
  pid_t pid;
  IN_CHILD(pid) {
    static const int clocks[] = {CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_REALTIME};
    for (size_t i = 0; i < COUNT(clocks); i++) {
      struct timespec time = later(clocks[i], 50);
      long long start = now_ms();
      CHECK_EQ(clock_nanosleep(clocks[i], TIMER_ABSTIME, &time, NULL), 0);
      check_took(start, 50);
      // What is long past on the namespace's clock has come, although the machine's is behind it.
      struct timespec past = {seconds(clocks[i]) - 50000, 0};
      start = now_ms();
      CHECK_EQ(clock_nanosleep(clocks[i], TIMER_ABSTIME, &past, NULL), 0);
      check_took(start, 0);

      int timer_file = OK(timerfd_create(clocks[i], TFD_CLOEXEC));
      struct itimerspec setting = {.it_value = later(clocks[i], 50)}, left;
      start = now_ms();
      OK(timerfd_settime(timer_file, TFD_TIMER_ABSTIME, &setting, NULL));
      OK(timerfd_gettime(timer_file, &left));
      CHECK(left.it_value.tv_sec == 0 && left.it_value.tv_nsec <= 50000000);
      uint64_t ticks;
      CHECK_EQ(read(timer_file, &ticks, 8), 8);
      check_took(start, 50);
      CHECK_EQ(ticks, 1);
      close(timer_file);

      timer_t timer;
      struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
      sigset_t set = signals(SIGUSR1, 0);
      OK(sigprocmask(SIG_BLOCK, &set, NULL));
      OK(timer_create(clocks[i], &event, &timer));
      setting.it_value = later(clocks[i], 50);
      start = now_ms();
      OK(timer_settime(timer, TIMER_ABSTIME, &setting, NULL));
      OK(timer_gettime(timer, &left));
      CHECK(left.it_value.tv_sec == 0 && left.it_value.tv_nsec <= 50000000);
      CHECK_EQ(sigwaitinfo(&set, NULL), SIGUSR1);
      check_took(start, 50);
      OK(timer_delete(timer));
    }
    uint32_t word = 0;
    struct timespec time = later(CLOCK_MONOTONIC, 50);
    long long start = now_ms();
    CHECK_ERRNO(syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, 0, &time, NULL, -1), ETIMEDOUT);
    check_took(start, 50);
    time = later(CLOCK_REALTIME, 50);
    start = now_ms();
    CHECK_ERRNO(syscall(SYS_futex, &word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &time, NULL, -1), ETIMEDOUT);
    check_took(start, 50);
  }
  WAIT_OK(pid);
}

static volatile int thread_is_outside;

static void *look_from_thread(void *argument) {
  thread_is_outside = !is_in_childrens() && labs(seconds(CLOCK_MONOTONIC) - before[1]) <= 2;
  return argument;
}

static int look_from_clone(void *argument) {
  look_from_thread(argument);
  return 0;
}

static void who_shares_memory_stays(void) {
  note_clocks();
  unshare_time();
  CHECK_EQ(set_offsets("monotonic 100000 0"), 0);
  join_thread(start_thread(look_from_thread, NULL));
  CHECK(thread_is_outside);
  thread_is_outside = 0;
  char *stack = map_anonymous(16 * PAGE, PROT_READ | PROT_WRITE);
  pid_t pid = OK(clone(look_from_clone, stack + 16 * PAGE, CLONE_VM | SIGCHLD, NULL));
  WAIT_OK(pid);
  CHECK(thread_is_outside);
  // Nobody has entered yet.
  CHECK_EQ(set_offsets("monotonic 100000 0"), 0);
}

static char *executable;

// What the program does that others execute: it expects the offset that it is given.
static int check_as_program(long expected) {
  CHECK(is_in_childrens());
  check_clock(CLOCK_MONOTONIC, expected);
  return 0;
}

static void programs_enter(void) {
  note_clocks();
  char expected[32];
  snprintf(expected, sizeof expected, "%ld", before[1] + 100000);
  char *arguments[] = {executable, expected, NULL};
  pid_t pid;
  IN_CHILD(pid) {
    unshare_time();
    CHECK_EQ(set_offsets("monotonic 100000 0"), 0);
    // vfork and then execve, which is when the child enters.
    CHECK_ZERO(posix_spawn(&pid, executable, NULL, NULL, arguments, environ));
    WAIT_OK(pid);
    CHECK_EQ(set_offsets("1 0 0"), EACCES);
    check_clock(CLOCK_MONOTONIC, before[1]);
    execv(executable, arguments);
    FAIL("execv");
  }
  WAIT_OK(pid);
}

static void *pause_forever(void *argument) {
  for (;;) pause();
  return argument;
}

static void setns_enters_at_once(void) {
  note_clocks();
  unshare_time();
  CHECK_EQ(set_offsets("monotonic 3000 0"), 0);
  int other = OK(open("/proc/self/ns/time_for_children", O_RDONLY | O_CLOEXEC));
  pid_t pid;
  IN_CHILD(pid) {
    check_clock(CLOCK_MONOTONIC, before[1] + 3000);
    OK(setns(initial, CLONE_NEWTIME));
    CHECK(is_in_childrens());
    check_clock(CLOCK_MONOTONIC, before[1]);
    CHECK_ERRNO(setns(other, CLONE_NEWUTS), EINVAL);
    OK(setns(other, 0));
    CHECK(is_in_childrens());
    check_clock(CLOCK_MONOTONIC, before[1] + 3000);
  }
  WAIT_OK(pid);
  // Not with threads, or who shares the memory otherwise.
  IN_CHILD(pid) {
    start_thread(pause_forever, NULL);
    CHECK_ERRNO(setns(initial, CLONE_NEWTIME), EUSERS);
    OK(unshare(CLONE_NEWTIME));
  }
  WAIT_OK(pid);
  // Its own next one.
  IN_CHILD(pid) {
    unshare_time();
    CHECK_EQ(set_offsets("monotonic 4000 0"), 0);
    int next = OK(open("/proc/self/ns/time_for_children", O_RDONLY | O_CLOEXEC));
    OK(setns(next, CLONE_NEWTIME));
    check_clock(CLOCK_MONOTONIC, before[1] + 4000);
    CHECK_EQ(set_offsets("1 0 0"), EACCES);
  }
  WAIT_OK(pid);
}

static void in_child(void (*test)(void)) {
  pid_t pid;
  IN_CHILD(pid) test();
  WAIT_OK(pid);
}

int main(int argc, char **argv) {
  if (argc > 1) return check_as_program(atol(argv[1]));
  static char path[4096];
  OK(readlink("/proc/self/exe", path, sizeof path - 1));
  executable = path;
  initial = OK(open("/proc/self/ns/time", O_RDONLY | O_CLOEXEC));
  in_child(offsets_have_rules);
  in_child(clocks_are_shifted);
  in_child(clocks_can_be_behind);
  in_child(absolute_times_are_the_namespace_s);
  in_child(who_shares_memory_stays);
  in_child(programs_enter);
  in_child(setns_enters_at_once);
  return 0;
}
