// Clocks: each advances, agrees with its kin and with the vDSO; sleeping until a time; refusals.
#include "check.h"
#include <cpuid.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/time.h>
#include <sys/times.h>

static long long ns(struct timespec time) { return time.tv_sec * 1000000000LL + time.tv_nsec; }

static long long by_libc(clockid_t clock) {
  struct timespec time;
  OK(clock_gettime(clock, &time));
  CHECK(time.tv_nsec >= 0 && time.tv_nsec < 1000000000);
  return ns(time);
}

static long long by_kernel(clockid_t clock) {
  struct timespec time;
  OK(syscall(SYS_clock_gettime, clock, &time));
  return ns(time);
}

static void every_clock_advances(void) {
  struct { clockid_t clock; long long resolution; } cases[] = {
      {CLOCK_REALTIME, 1}, {CLOCK_MONOTONIC, 1}, {CLOCK_MONOTONIC_RAW, 1}, {CLOCK_BOOTTIME, 1}, {CLOCK_TAI, 1},
      {CLOCK_REALTIME_COARSE, 0}, {CLOCK_MONOTONIC_COARSE, 0}, {CLOCK_PROCESS_CPUTIME_ID, 1}, {CLOCK_THREAD_CPUTIME_ID, 1},
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    struct timespec resolution;
    OK(clock_getres(cases[i].clock, &resolution));
    CHECK_CASE(cases[i].resolution ? ns(resolution) == 1 : ns(resolution) >= 1000000 && ns(resolution) <= 10000000, "clock %d", cases[i].clock);
    long long first = by_libc(cases[i].clock), last = first;
    for (int n = 0; n < 200000 && last - first < 30000000; n++) {
      long long now = by_libc(cases[i].clock);
      CHECK_CASE(now >= last, "clock %d went back by %lld ns", cases[i].clock, last - now);
      last = now;
      if (n == 500) sleep_ms(20);
    }
    if (cases[i].clock != CLOCK_PROCESS_CPUTIME_ID && cases[i].clock != CLOCK_THREAD_CPUTIME_ID) CHECK_CASE(last - first >= 10000000, "clock %d", cases[i].clock);
    CHECK_CASE(last > first, "clock %d", cases[i].clock);
  }
}

static void vdso_and_kernel_agree(void) {
  clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_MONOTONIC_RAW};
  for (size_t i = 0; i < COUNT(clocks); i++)
    for (int round = 0; round < 30; round++) {
      long long before = by_libc(clocks[i]), middle = by_kernel(clocks[i]), after = by_libc(clocks[i]);
      CHECK_CASE(before <= middle && middle <= after, "clock %d: %lld, %lld, %lld", clocks[i], before, middle - before, after - before);
    }
  for (int round = 0; round < 30; round++) {
    struct timeval middle;
    long long before = by_libc(CLOCK_REALTIME) / 1000;
    OK(gettimeofday(&middle, NULL));
    long long now = middle.tv_sec * 1000000LL + middle.tv_usec;
    CHECK(before <= now && now <= by_libc(CLOCK_REALTIME) / 1000);
    time_t seconds = time(NULL);
    CHECK(seconds >= now / 1000000 - 1 && seconds <= now / 1000000 + 1);
    CHECK(llabs(syscall(SYS_time, NULL) - seconds) <= 1);
  }
  CHECK(getauxval(AT_SYSINFO_EHDR) != 0);
}

// Whether the time-stamp counter can tell the time (SDM 2A, CPUID 80000007H). Without, Linux goes by another clock.
static int has_invariant_counter(void) {
  unsigned a, b, c, d;
  return __get_cpuid(0x80000007, &a, &b, &c, &d) && (d & 1 << 8);
}

static void reading_is_cheap(void) {
  // A million readings at the cost of system calls would take a minute in a virtual machine: the vDSO serves them.
  int count = has_invariant_counter() ? 1000000 : 10000;
  long long started = now_ms();
  for (int i = 0; i < count; i++) by_libc(CLOCK_MONOTONIC);
  CHECK_CASE(now_ms() - started < 10000, "%lld ms", now_ms() - started);
}

static void *compare(void *argument) {
  volatile long long *shared = argument;
  for (int i = 0; i < 20000; i++) {
    long long seen = __atomic_load_n(shared, __ATOMIC_SEQ_CST), now = by_libc(CLOCK_MONOTONIC);
    CHECK_CASE(now >= seen, "%lld ns back", seen - now);
    __atomic_store_n(shared, now, __ATOMIC_SEQ_CST);
  }
  return NULL;
}

static void threads_see_one_time(void) {
  static long long shared;
  pthread_t threads[3];
  for (int i = 0; i < 3; i++) threads[i] = start_thread(compare, &shared);
  for (int i = 0; i < 3; i++) join_thread(threads[i]);
}

static void sleeping_until(void) {
  clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME};
  for (size_t i = 0; i < COUNT(clocks); i++) {
    long long until = by_libc(clocks[i]) + 30000000;
    struct timespec time = {until / 1000000000, until % 1000000000};
    CHECK_ZERO(clock_nanosleep(clocks[i], TIMER_ABSTIME, &time, NULL));
    CHECK(by_libc(clocks[i]) >= until);
    CHECK_ZERO(clock_nanosleep(clocks[i], TIMER_ABSTIME, &(struct timespec){1, 0}, NULL)); // Past already.
  }
  long long started = now_ms();
  OK(nanosleep(&(struct timespec){0, 50000000}, NULL));
  CHECK(now_ms() - started >= 49 && now_ms() - started < 5000);
  OK(usleep(1000));
  struct timespec odd[] = {{0, -1}, {0, 1000000000}, {-1, 0}};
  for (size_t i = 0; i < COUNT(odd); i++) CHECK_ERRNO(nanosleep(&odd[i], NULL), EINVAL);
  CHECK_EQ(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &odd[0], NULL), EINVAL);
  // The library refuses this clock by itself; the kernel has no sleeps on it. Of others it reads the time before it looks closer.
  struct timespec moment = {0, 1};
  CHECK_ERRNO(syscall(SYS_clock_nanosleep, CLOCK_THREAD_CPUTIME_ID, 0, 8, NULL), EOPNOTSUPP);
  CHECK_ERRNO(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC_COARSE, 0, 8, NULL), EOPNOTSUPP);
  CHECK_ERRNO(syscall(SYS_clock_nanosleep, CLOCK_REALTIME_ALARM, 0, 8, NULL), EFAULT);
  CHECK_ERRNO(syscall(SYS_clock_nanosleep, ~0 * 8 + 6, 0, 8, NULL), EFAULT); // The caller's thread.
  CHECK_ERRNO(syscall(SYS_clock_nanosleep, ~0 * 8 + 6, 0, &moment, NULL), EINVAL);
  CHECK_ERRNO(syscall(SYS_clock_nanosleep, ~4000000 * 8 + 2, 0, 8, NULL), EFAULT); // A process that is not there.
  CHECK_ERRNO(syscall(SYS_clock_nanosleep, ~4000000 * 8 + 2, 0, &moment, NULL), EINVAL);
  CHECK_EQ(clock_nanosleep(77, 0, &(struct timespec){0, 1}, NULL), EINVAL);
  CHECK_ERRNO(syscall(SYS_nanosleep, 8, NULL), EFAULT);
}

static void cpu_time_counts_work_not_sleep(void) {
  long long before = by_libc(CLOCK_PROCESS_CPUTIME_ID), mine = by_libc(CLOCK_THREAD_CPUTIME_ID);
  sleep_ms(100);
  CHECK(by_libc(CLOCK_PROCESS_CPUTIME_ID) - before < 90000000);
  while (by_libc(CLOCK_THREAD_CPUTIME_ID) - mine < 50000000) {}
  CHECK(by_libc(CLOCK_PROCESS_CPUTIME_ID) - before >= 40000000);
  struct tms ticks;
  CHECK(times(&ticks) != -1);
  CHECK(ticks.tms_utime + ticks.tms_stime >= 3);
  clockid_t clock;
  CHECK_ZERO(clock_getcpuclockid(getpid(), &clock));
  CHECK(by_libc(clock) > 0);
  CHECK_ZERO(pthread_getcpuclockid(pthread_self(), &clock));
  CHECK(by_libc(clock) > 0);
}

static void refusals(void) {
  struct timespec time;
  CHECK_ERRNO(clock_gettime(77, &time), EINVAL);
  CHECK_ERRNO(clock_getres(77, &time), EINVAL);
  OK(clock_getres(CLOCK_MONOTONIC, NULL));
  CHECK_ERRNO(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, 8), EFAULT);
  CHECK_ERRNO(syscall(SYS_gettimeofday, 8, NULL), EFAULT);
  pid_t pid;
  IN_CHILD(pid) {
    if (geteuid() == 0) OK(setuid(1000));
    CHECK_ERRNO(clock_settime(CLOCK_REALTIME, &(struct timespec){1, 0}), EPERM);
    CHECK_ERRNO(clock_settime(CLOCK_MONOTONIC, &(struct timespec){1, 0}), EINVAL);
    // The time of a process, by its number.
    clockid_t own;
    CHECK_ZERO(clock_getcpuclockid(getpid(), &own));
    CHECK_ERRNO(clock_settime(own, &(struct timespec){1, 0}), EPERM);
  }
  WAIT_OK(pid);
}

int main(void) {
  every_clock_advances();
  vdso_and_kernel_agree();
  reading_is_cheap();
  threads_see_one_time();
  sleeping_until();
  cpu_time_counts_work_not_sleep();
  refusals();
  return 0;
}
