// Timers: setitimer of three kinds, timer_create with each notification, overruns, timerfd, refusals.
#include "check.h"
#include <poll.h>
#include <sys/time.h>
#include <sys/timerfd.h>

static volatile sig_atomic_t count, code, value, most_overruns;

static void note(int number, siginfo_t *info, void *context) {
  (void)number, (void)context;
  count++;
  code = info->si_code;
  value = info->si_value.sival_int;
  if (info->si_overrun > most_overruns) most_overruns = info->si_overrun;
}

static void wait_for_count(int wanted) {
  long long deadline = now_ms() + 8000;
  while (count < wanted) {
    CHECK_CASE(now_ms() < deadline, "%d of %d", (int)count, wanted);
    sleep_ms(2);
  }
}

static void interval_timers_repeat(void) {
  handle(SIGALRM, note, 0);
  struct itimerval often = {{0, 10000}, {0, 20000}}, old;
  long long started = now_ms();
  count = 0;
  OK(setitimer(ITIMER_REAL, &often, NULL));
  wait_for_count(3);
  CHECK(now_ms() - started >= 38);
  OK(getitimer(ITIMER_REAL, &old));
  CHECK_EQ(old.it_interval.tv_usec, 10000);
  CHECK(old.it_value.tv_sec == 0 && old.it_value.tv_usec <= 20000);
  OK(setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {100, 0}}, &old));
  CHECK_EQ(old.it_interval.tv_usec, 10000);
  OK(getitimer(ITIMER_REAL, &old));
  CHECK(old.it_value.tv_sec >= 99);
  pid_t pid;
  IN_CHILD(pid) {
    OK(getitimer(ITIMER_REAL, &old));
    CHECK_EQ(old.it_value.tv_sec, 0); // Not inherited.
  }
  WAIT_OK(pid);
  OK(setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL));
  CHECK_ERRNO(setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 1000000}}, NULL), EINVAL);
  CHECK_ERRNO(setitimer(9, &often, NULL), EINVAL);
  CHECK_ERRNO(getitimer(ITIMER_REAL, wild), EFAULT);
}

static void cpu_timers_count_work(void) {
  struct { int which, number; } cases[] = {{ITIMER_VIRTUAL, SIGVTALRM}, {ITIMER_PROF, SIGPROF}};
  for (size_t i = 0; i < COUNT(cases); i++) {
    handle(cases[i].number, note, 0);
    count = 0;
    OK(setitimer(cases[i].which, &(struct itimerval){{0, 0}, {0, 40000}}, NULL));
    sleep_ms(100);
    CHECK_EQ(count, 0); // Sleeping does not count.
    long long deadline = now_ms() + 8000;
    while (count == 0) {
      CHECK(now_ms() < deadline);
      for (volatile int n = 0; n < 10000; n++) {}
    }
  }
}

static void posix_timers_signal_with_a_value(void) {
  handle(SIGRTMIN + 1, note, 0);
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 1, .sigev_value.sival_int = 4711};
  timer_t timer;
  OK(timer_create(CLOCK_MONOTONIC, &event, &timer));
  struct itimerspec setting = {{0, 10000000}, {0, 10000000}}, now;
  OK(timer_gettime(timer, &now));
  CHECK(now.it_value.tv_sec == 0 && now.it_value.tv_nsec == 0);
  count = 0;
  OK(timer_settime(timer, 0, &setting, NULL));
  wait_for_count(3);
  CHECK_EQ(code, SI_TIMER);
  CHECK_EQ(value, 4711);
  sigset_t set = signals(SIGRTMIN + 1, 0);
  OK(sigprocmask(SIG_BLOCK, &set, NULL));
  sleep_ms(100);
  count = most_overruns = 0;
  OK(sigprocmask(SIG_UNBLOCK, &set, NULL)); // One signal stands for all expirations; the next one may come already.
  CHECK(count >= 1 && count <= 2);
  CHECK_CASE(most_overruns >= 4, "%d overruns", (int)most_overruns);
  OK(timer_settime(timer, 0, &(struct itimerspec){0}, &now));
  CHECK_EQ(now.it_interval.tv_nsec, 10000000);
  struct timespec until;
  OK(clock_gettime(CLOCK_MONOTONIC, &until));
  until.tv_nsec += 20000000;
  if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
  count = 0;
  OK(timer_settime(timer, TIMER_ABSTIME, &(struct itimerspec){.it_value = until}, NULL));
  wait_for_count(1);
  sleep_ms(30);
  CHECK_EQ(count, 1);
  OK(timer_delete(timer));
}

static volatile int notified;
static void in_thread(union sigval argument) { notified += argument.sival_int; }

static void other_notifications(void) {
  timer_t silent, threaded;
  struct sigevent none = {.sigev_notify = SIGEV_NONE};
  OK(timer_create(CLOCK_REALTIME, &none, &silent));
  OK(timer_settime(silent, 0, &(struct itimerspec){.it_value = {50, 0}}, NULL));
  struct itimerspec now;
  OK(timer_gettime(silent, &now));
  CHECK(now.it_value.tv_sec >= 48 && now.it_value.tv_sec <= 50);
  OK(timer_delete(silent));
  struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = in_thread, .sigev_value.sival_int = 5};
  OK(timer_create(CLOCK_MONOTONIC, &event, &threaded));
  OK(timer_settime(threaded, 0, &(struct itimerspec){.it_value = {0, 10000000}}, NULL));
  for (int i = 0; i < 1000 && notified == 0; i++) sleep_ms(5);
  CHECK_EQ(notified, 5);
  OK(timer_delete(threaded));
  handle(SIGALRM, note, 0);
  timer_t default_timer;
  OK(timer_create(CLOCK_MONOTONIC, NULL, &default_timer)); // SIGALRM
  count = 0;
  OK(timer_settime(default_timer, 0, &(struct itimerspec){.it_value = {0, 1}}, NULL));
  wait_for_count(1);
  OK(timer_delete(default_timer));
  timer_t cpu;
  OK(timer_create(CLOCK_PROCESS_CPUTIME_ID, NULL, &cpu));
  count = 0;
  OK(timer_settime(cpu, 0, &(struct itimerspec){.it_value = {0, 20000000}}, NULL));
  long long deadline = now_ms() + 8000;
  while (count == 0) CHECK(now_ms() < deadline);
  OK(timer_delete(cpu));
}

// Since 6.13 a signal that waits when its timer is deleted or set anew stays pending and is dropped when it is taken.
static void signals_of_former_settings_are_dropped(void) {
  handle(SIGALRM, note, 0);
  sigset_t set = signals(SIGALRM, 0), pending;
  struct itimerspec soon = {.it_value = {0, 1000}}, often = {{0, 1000000}, {0, 1000}}, late = {.it_value = {100, 0}};
  struct itimerspec *anew[] = {&late, &(struct itimerspec){0}, NULL};
  OK(sigprocmask(SIG_BLOCK, &set, NULL));
  for (size_t i = 0; i < COUNT(anew); i++) {
    timer_t timer;
    OK(timer_create(CLOCK_MONOTONIC, NULL, &timer));
    OK(timer_settime(timer, 0, &soon, NULL));
    do OK(sigpending(&pending));
    while (!sigismember(&pending, SIGALRM));
    OK(anew[i] ? timer_settime(timer, 0, anew[i], NULL) : timer_delete(timer));
    OK(sigpending(&pending));
    CHECK(sigismember(&pending, SIGALRM));
    count = 0;
    OK(sigprocmask(SIG_UNBLOCK, &set, NULL));
    CHECK_EQ(count, 0);
    OK(sigprocmask(SIG_BLOCK, &set, NULL));
    if (anew[i]) OK(timer_delete(timer));
  }
  timer_t timer;
  siginfo_t info;
  OK(timer_create(CLOCK_MONOTONIC, NULL, &timer));
  OK(timer_settime(timer, 0, &often, NULL));
  sleep_ms(50);
  OK(timer_settime(timer, 0, &soon, NULL));
  sleep_ms(50);
  CHECK_EQ(sigtimedwait(&set, &info, &(struct timespec){0}), SIGALRM);
  CHECK_EQ(info.si_overrun, 0); // Not those of the interval before.
  CHECK_ERRNO(sigtimedwait(&set, &info, &(struct timespec){0}), EAGAIN);
  OK(timer_delete(timer));
  OK(sigprocmask(SIG_UNBLOCK, &set, NULL));
}

static void posix_timer_refusals(void) {
  timer_t timer;
  struct sigevent bad = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = 99};
  CHECK_ERRNO(syscall(SYS_timer_create, CLOCK_MONOTONIC, &bad, &timer), EINVAL);
  CHECK_ERRNO(syscall(SYS_timer_create, 99, NULL, &timer), EINVAL);
  CHECK_ERRNO(syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, 8), EFAULT);
  CHECK_ERRNO(syscall(SYS_timer_delete, 123456), EINVAL);
  CHECK_ERRNO(syscall(SYS_timer_gettime, 123456, &bad), EINVAL);
  OK(timer_create(CLOCK_MONOTONIC, NULL, &timer));
  CHECK_ERRNO(timer_settime(timer, 0, &(struct itimerspec){.it_value = {0, 1000000000}}, NULL), EINVAL);
  OK(timer_delete(timer));
  CHECK_ERRNO(timer_delete(timer), EINVAL);
}

// Those of timer_settime and ITIMER_REAL know no interval while they are disarmed; others keep it.
static void intervals_of_idle_timers(void) {
  struct itimerspec idle = {.it_interval = {5, 0}}, now;
  clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID};
  for (size_t i = 0; i < COUNT(clocks); i++) {
    int timer;
    OK(syscall(SYS_timer_create, clocks[i], NULL, &timer));
    OK(syscall(SYS_timer_settime, timer, 0, &idle, NULL));
    OK(syscall(SYS_timer_gettime, timer, &now));
    CHECK_CASE(now.it_interval.tv_sec == 0, "clock %d", clocks[i]);
    // What is to be set is looked at first.
    CHECK_ERRNO(syscall(SYS_timer_settime, timer, 0, NULL, &now), EINVAL);
    CHECK_ERRNO(syscall(SYS_timer_settime, 123456, 0, 8, &now), EFAULT);
    OK(syscall(SYS_timer_delete, timer));
  }
  struct itimerval idle_interval = {.it_interval = {5, 0}}, kept;
  for (int which = ITIMER_REAL; which <= ITIMER_PROF; which++) {
    OK(setitimer(which, &idle_interval, NULL));
    OK(getitimer(which, &kept));
    CHECK_EQ(kept.it_interval.tv_sec, which == ITIMER_REAL ? 0 : 5);
    OK(setitimer(which, &(struct itimerval){0}, NULL));
  }
  int file = OK(timerfd_create(CLOCK_MONOTONIC, 0));
  OK(timerfd_settime(file, 0, &idle, NULL));
  OK(timerfd_gettime(file, &now));
  CHECK_EQ(now.it_interval.tv_sec, 5);
  OK(close(file));
}

static void timerfd_counts_expirations(void) {
  uint64_t expirations;
  int file = OK(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  CHECK_ERRNO(read(file, &expirations, 8), EAGAIN);
  OK(timerfd_settime(file, 0, &(struct itimerspec){{0, 10000000}, {0, 10000000}}, NULL));
  struct pollfd entry = {.fd = file, .events = POLLIN};
  CHECK_EQ(poll(&entry, 1, 5000), 1);
  sleep_ms(50);
  CHECK_EQ(read(file, &expirations, 8), 8);
  CHECK_CASE(expirations >= 4 && expirations < 1000, "%lu", (unsigned long)expirations);
  struct itimerspec now;
  OK(timerfd_gettime(file, &now));
  CHECK_EQ(now.it_interval.tv_nsec, 10000000);
  OK(timerfd_settime(file, 0, &(struct itimerspec){0}, &now));
  CHECK_EQ(now.it_interval.tv_nsec, 10000000);
  sleep_ms(20);
  CHECK_ERRNO(read(file, &expirations, 8), EAGAIN);
  CHECK_ERRNO(read(file, &expirations, 4), EINVAL);
  OK(fcntl(file, F_SETFL, 0));
  struct timespec until;
  OK(clock_gettime(CLOCK_MONOTONIC, &until));
  until.tv_nsec += 30000000;
  if (until.tv_nsec >= 1000000000) until.tv_sec++, until.tv_nsec -= 1000000000;
  long long started = now_ms();
  OK(timerfd_settime(file, TFD_TIMER_ABSTIME, &(struct itimerspec){.it_value = until}, NULL));
  CHECK_EQ(read(file, &expirations, 8), 8); // Blocks.
  CHECK_EQ(expirations, 1);
  CHECK(now_ms() - started >= 28);
  OK(close(file));
  file = OK(timerfd_create(CLOCK_REALTIME, 0));
  OK(timerfd_settime(file, TFD_TIMER_ABSTIME, &(struct itimerspec){.it_value = {1, 0}}, NULL)); // Long past.
  CHECK_EQ(read(file, &expirations, 8), 8);
  CHECK_ERRNO(timerfd_settime(file, 0x99, &now, NULL), EINVAL);
  CHECK_ERRNO(timerfd_settime(file, 0, &(struct itimerspec){.it_value = {0, -1}}, NULL), EINVAL);
  CHECK_ERRNO(timerfd_gettime(1, &now), EINVAL);
  CHECK_ERRNO(timerfd_create(77, 0), EINVAL);
  CHECK_ERRNO(timerfd_create(CLOCK_MONOTONIC, 0x7), EINVAL);
  OK(close(file));
}

int main(void) {
  interval_timers_repeat();
  cpu_timers_count_work();
  posix_timers_signal_with_a_value();
  other_notifications();
  signals_of_former_settings_are_dropped();
  posix_timer_refusals();
  intervals_of_idle_timers();
  timerfd_counts_expirations();
  return 0;
}
