// CPU time: what is user time and what is system time, wherever it is told.
// timeout: 120
// not emulated: it measures shares of processor time, which emulation distorts natively, too
#include "check.h"
#include <sched.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/times.h>

#define MS 1000000LL

static long long of_timeval(struct timeval time) { return time.tv_sec * 1000000000LL + time.tv_usec * 1000LL; }

struct usage {
  long long user, system;
};

static struct usage usage_of(int who) {
  struct rusage usage;
  CHECK(getrusage(who, &usage) == 0);
  return (struct usage){of_timeval(usage.ru_utime), of_timeval(usage.ru_stime)};
}

static struct usage since(struct usage before, int who) {
  struct usage now = usage_of(who);
  return (struct usage){now.user - before.user, now.system - before.system};
}

static long long clock_ns(clockid_t clock) {
  struct timespec time;
  CHECK(clock_gettime(clock, &time) == 0);
  return time.tv_sec * 1000000000LL + time.tv_nsec;
}

// Computes until the thread has used this much CPU time.
static void compute(long long ns) {
  long long end = clock_ns(CLOCK_THREAD_CPUTIME_ID) + ns;
  volatile unsigned long sum = 0;
  while (clock_ns(CLOCK_THREAD_CPUTIME_ID) < end)
    for (int i = 0; i < 2000000; i++) sum += i;
}

static char big[64 << 10];

// Has the kernel fill memory until the thread has used this much CPU time.
static void have_served(long long ns) {
  int zero = open("/dev/zero", O_RDONLY);
  CHECK(zero >= 0);
  long long end = clock_ns(CLOCK_THREAD_CPUTIME_ID) + ns;
  while (clock_ns(CLOCK_THREAD_CPUTIME_ID) < end) CHECK(read(zero, big, sizeof big) == sizeof big);
  close(zero);
}

// What it was spent on is estimated, on Linux too (from ticks): a machine with other work distorts single measurements.
// One of these finds what it must.
static void now_and_then(int (*is_as_expected)(void), const char *name) {
  for (int tries = 0; tries < 25; tries++)
    if (is_as_expected()) return;
  FAIL("%s: never", name);
}

static int is_mostly(struct usage spent, int is_user, long long least) {
  long long most = is_user ? spent.user : spent.system, rest = is_user ? spent.system : spent.user;
  if (most >= least && most >= 2 * rest) return 1;
  fprintf(stderr, "user %lld ms, system %lld ms\n", spent.user / MS, spent.system / MS);
  return 0;
}

static int computing_is_user_time(void) {
  struct usage process = usage_of(RUSAGE_SELF), thread = usage_of(RUSAGE_THREAD);
  compute(200 * MS);
  return is_mostly(since(process, RUSAGE_SELF), 1, 150 * MS) && is_mostly(since(thread, RUSAGE_THREAD), 1, 150 * MS);
}

static int system_calls_are_system_time(void) {
  memset(big, 1, sizeof big);
  struct usage process = usage_of(RUSAGE_SELF), thread = usage_of(RUSAGE_THREAD);
  have_served(200 * MS);
  return is_mostly(since(process, RUSAGE_SELF), 0, 130 * MS) && is_mostly(since(thread, RUSAGE_THREAD), 0, 130 * MS);
}

static int short_calls_are_mostly_system_time(void) {
  struct usage before = usage_of(RUSAGE_THREAD);
  long long end = clock_ns(CLOCK_THREAD_CPUTIME_ID) + 200 * MS;
  while (clock_ns(CLOCK_THREAD_CPUTIME_ID) < end)
    for (int i = 0; i < 100; i++) sched_getscheduler(0);
  struct usage spent = since(before, RUSAGE_THREAD);
  return spent.system >= 60 * MS;
}

static void all_clocks_agree(void) {
  for (int i = 0; i < 5; i++) {
    long long process = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    struct usage own = usage_of(RUSAGE_SELF);
    long long later = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    CHECK(own.user + own.system >= process - 2 * MS && own.user + own.system <= later + 2 * MS);
    struct tms ticks;
    CHECK(times(&ticks) != -1);
    long long tick = 1000000000LL / sysconf(_SC_CLK_TCK);
    CHECK(llabs(ticks.tms_utime * tick - own.user) <= 3 * tick);
    CHECK(llabs(ticks.tms_stime * tick - own.system) <= 3 * tick);
    FILE *stat = fopen("/proc/self/stat", "r");
    unsigned long user, system;
    int last_cpu;
    CHECK(fscanf(stat, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %*d %*d %*u %*u "
                           "%*d %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*d %d",
                     &user, &system, &last_cpu) == 3);
    fclose(stat);
    CHECK(llabs((long long)user * tick - own.user) <= 4 * tick);
    CHECK(llabs((long long)system * tick - own.system) <= 4 * tick);
    CHECK(last_cpu >= 0 && last_cpu < sysconf(_SC_NPROCESSORS_CONF));
    compute(20 * MS);
  }
}

static int children_count_once_they_are_waited_for(void) {
  struct usage before = usage_of(RUSAGE_CHILDREN);
  pid_t child = fork();
  if (child == 0) {
    compute(150 * MS);
    have_served(100 * MS);
    _exit(0);
  }
  siginfo_t info;
  CHECK(waitid(P_PID, child, &info, WEXITED | WNOWAIT) == 0);
  struct usage spent = since(before, RUSAGE_CHILDREN);
  CHECK(spent.user + spent.system == 0);
  struct rusage usage;
  CHECK(wait4(child, NULL, 0, &usage) == child);
  spent = since(before, RUSAGE_CHILDREN);
  CHECK(llabs(spent.user - of_timeval(usage.ru_utime)) <= MS);
  CHECK(llabs(spent.system - of_timeval(usage.ru_stime)) <= MS);
  CHECK(spent.user + spent.system >= 240 * MS);
  return spent.user >= 120 * MS && spent.system >= 60 * MS;
}

static atomic_int virtual_alarms, profiling_alarms;
static void note(int signal) { (signal == SIGPROF ? profiling_alarms++ : virtual_alarms++); }

static int interval_timers_count_what_they_say(void) {
  signal(SIGVTALRM, note);
  signal(SIGPROF, note);
  struct itimerval every_10_ms = {{0, 10000}, {0, 10000}}, off = {{0, 0}, {0, 0}};
  CHECK(setitimer(ITIMER_VIRTUAL, &every_10_ms, NULL) == 0 && setitimer(ITIMER_PROF, &every_10_ms, NULL) == 0);
  virtual_alarms = profiling_alarms = 0;
  compute(300 * MS);
  int of_user = virtual_alarms, of_both = profiling_alarms;
  virtual_alarms = profiling_alarms = 0;
  have_served(300 * MS);
  int of_rest = virtual_alarms, of_all = profiling_alarms;
  CHECK(setitimer(ITIMER_VIRTUAL, &off, NULL) == 0 && setitimer(ITIMER_PROF, &off, NULL) == 0);
  return of_user >= 10 && of_both >= of_user - 3 && of_all >= 10 && of_rest <= of_all / 2;
}

static void sleeping_costs_nothing_but_a_switch(void) {
  struct rusage before, after;
  CHECK(getrusage(RUSAGE_THREAD, &before) == 0);
  for (int i = 0; i < 10; i++) usleep(10000);
  CHECK(getrusage(RUSAGE_THREAD, &after) == 0);
  long long spent = of_timeval(after.ru_utime) - of_timeval(before.ru_utime) + of_timeval(after.ru_stime) -
                      of_timeval(before.ru_stime);
  CHECK(spent < 30 * MS);
  CHECK(after.ru_nvcsw - before.ru_nvcsw >= 10);
}

static atomic_int is_over;
static void *work(void *unused) {
  while (!is_over) {
    compute(5 * MS);
    have_served(5 * MS);
  }
  return unused;
}

static void read_stat(const char *path, const char *format, unsigned long long *user, unsigned long long *system) {
  FILE *stat = fopen(path, "r");
  CHECK(stat && fscanf(stat, format, user, system) == 2);
  fclose(stat);
}

static void no_time_ever_falls(void) {
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, work, NULL) == 0);
  struct usage last = usage_of(RUSAGE_SELF);
  unsigned long long last_user = 0, last_system = 0;
  for (int i = 0; i < 100; i++) {
    struct usage now = usage_of(RUSAGE_SELF);
    CHECK(now.user >= last.user && now.system >= last.system);
    last = now;
    unsigned long long user, system;
    read_stat("/proc/stat", "cpu %llu %*u %llu", &user, &system);
    CHECK(user >= last_user && system >= last_system);
    last_user = user, last_system = system;
    if (i % 10 == 0) {
      pid_t child = fork();
      if (child == 0) {
        compute(MS);
        _exit(0);
      }
      CHECK(waitpid(child, NULL, 0) == child);
    }
    usleep(2000);
  }
  is_over = 1;
  CHECK(pthread_join(thread, NULL) == 0);
  CHECK(last.user > 0 && last.system > 0 && last_user > 0);
}

static void *compute_and_look(void *unused) {
  compute(300 * MS);
  char path[64];
  snprintf(path, sizeof path, "/proc/self/task/%ld/stat", syscall(SYS_gettid));
  unsigned long process_ticks, own_ticks;
  const char *paths[] = {"/proc/self/stat", path};
  unsigned long *ticks[] = {&process_ticks, &own_ticks};
  for (int i = 0; i < 2; i++) {
    FILE *stat = fopen(paths[i], "r");
    unsigned long user, system;
    CHECK(fscanf(stat, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) == 2);
    fclose(stat);
    *ticks[i] = user + system;
  }
  long long tick = 1000000000LL / sysconf(_SC_CLK_TCK);
  CHECK(llabs((long long)own_ticks * tick - clock_ns(CLOCK_THREAD_CPUTIME_ID)) <= 5 * tick);
  CHECK(process_ticks >= own_ticks + 200 * MS / tick);
  return unused;
}

static void threads_show_times_of_their_own(void) {
  compute(300 * MS);
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, compute_and_look, NULL) == 0);
  CHECK(pthread_join(thread, NULL) == 0);
}

int main(void) {
  now_and_then(computing_is_user_time, "computing_is_user_time");
  now_and_then(system_calls_are_system_time, "system_calls_are_system_time");
  now_and_then(short_calls_are_mostly_system_time, "short_calls_are_mostly_system_time");
  all_clocks_agree();
  threads_show_times_of_their_own();
  now_and_then(children_count_once_they_are_waited_for, "children_count_once_they_are_waited_for");
  now_and_then(interval_timers_count_what_they_say, "interval_timers_count_what_they_say");
  sleeping_costs_nothing_but_a_switch();
  no_time_ever_falls();
  return 0;
}
