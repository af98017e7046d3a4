// Setting the clock of the sandbox, and steering it (`man 2 clock_settime`, `settimeofday`, `adjtimex`).
// inside only: the clock of the host is not a test's to set
#include "check.h"
#include <sys/time.h>
#include <sys/timex.h>

static long long seconds(clockid_t clock) {
  struct timespec now;
  OK(clock_gettime(clock, &now));
  return now.tv_sec;
}

static long long raw_seconds(void) {
  struct timespec now;
  OK(syscall(SYS_clock_gettime, CLOCK_REALTIME, &now));
  return now.tv_sec;
}

// Both ways to tell the time agree that it is about `expected`.
static void check_time(long long expected) {
  long long shown = seconds(CLOCK_REALTIME), raw = raw_seconds();
  CHECK_CASE(shown >= expected && shown <= expected + 20, "shown %lld, set %lld", shown, expected);
  CHECK_CASE(raw >= expected && raw <= expected + 20, "raw %lld, set %lld", raw, expected);
  CHECK(time(NULL) - expected <= 20);
  struct timeval day;
  OK(gettimeofday(&day, NULL));
  CHECK(day.tv_sec - expected <= 20 && day.tv_sec >= expected);
}

static void sets(void) {
  long long start = seconds(CLOCK_REALTIME), uptime = seconds(CLOCK_MONOTONIC);
  struct timespec later = {start + 100000, 0}, bad = {start, 1000000000};
  OK(clock_settime(CLOCK_REALTIME, &later));
  check_time(start + 100000);
  CHECK(seconds(CLOCK_MONOTONIC) - uptime <= 20);
  struct timeval earlier = {start - 5000, 999999}, wrong = {start, 1000000};
  OK(settimeofday(&earlier, NULL));
  check_time(start - 5000);
  CHECK_ERRNO(clock_settime(CLOCK_REALTIME, &bad), EINVAL);
  CHECK_ERRNO(settimeofday(&wrong, NULL), EINVAL);
  CHECK_ERRNO(clock_settime(CLOCK_MONOTONIC, &later), EINVAL);
  CHECK_ERRNO(syscall(SYS_clock_settime, CLOCK_REALTIME, wild), EFAULT);
  struct timespec before_all = {1, 0};
  CHECK_ERRNO(clock_settime(CLOCK_REALTIME, &before_all), EINVAL);
  struct timespec far = {INT64_MAX, 0};
  CHECK_ERRNO(clock_settime(CLOCK_REALTIME, &far), EINVAL);
  check_time(start - 5000);
  struct timezone zone = {-60, 0}, told = {0};
  OK(settimeofday(NULL, &zone));
  OK(syscall(SYS_gettimeofday, NULL, &told));
  CHECK_EQ(told.tz_minuteswest, -60);
  zone.tz_minuteswest = 10000;
  CHECK_ERRNO(settimeofday(NULL, &zone), EINVAL);
  struct timex step = {.modes = ADJ_SETOFFSET, .time = {5000, 0}};
  OK(adjtimex(&step));
  check_time(start);
}

static void steers(void) {
  struct timex state = {0};
  CHECK_EQ(adjtimex(&state), TIME_ERROR);
  CHECK(state.status & STA_UNSYNC);
  CHECK_EQ(state.tick, 10000);
  struct timex change = {.modes = ADJ_FREQUENCY | ADJ_STATUS | ADJ_TICK | ADJ_MAXERROR, .freq = 100 << 16, .status = STA_PLL, .tick = 10010, .maxerror = 1000};
  CHECK_EQ(adjtimex(&change), TIME_OK);
  state.modes = 0;
  CHECK_EQ(adjtimex(&state), TIME_OK);
  CHECK_EQ(state.freq, 100 << 16);
  CHECK_EQ(state.tick, 10010);
  CHECK_EQ(state.maxerror, 1000);
  change = (struct timex){.modes = ADJ_TICK, .tick = 8000};
  CHECK_ERRNO(adjtimex(&change), EINVAL);
  change = (struct timex){.modes = 0x8000};
  CHECK_ERRNO(adjtimex(&change), EINVAL);
  CHECK_ERRNO(syscall(SYS_adjtimex, wild), EFAULT);
  change = (struct timex){.modes = ADJ_STATUS | ADJ_TICK, .status = STA_UNSYNC, .tick = 10000};
  CHECK_EQ(adjtimex(&change), TIME_ERROR);
}

static void others_may_not(void) {
  pid_t child;
  IN_CHILD(child) {
    OK(setresuid(1000, 1000, 1000));
    struct timespec now;
    OK(clock_gettime(CLOCK_REALTIME, &now));
    CHECK_ERRNO(clock_settime(CLOCK_REALTIME, &now), EPERM);
    struct timeval day = {now.tv_sec, 0};
    CHECK_ERRNO(settimeofday(&day, NULL), EPERM);
    struct timex change = {.modes = ADJ_TICK, .tick = 8000};
    CHECK_ERRNO(adjtimex(&change), EPERM);
    change.modes = 0x8000;
    CHECK_ERRNO(adjtimex(&change), EINVAL);
    change.modes = ADJ_OFFSET_SS_READ;
    CHECK(adjtimex(&change) >= 0);
  }
  WAIT_OK(child);
}

int main(void) {
  sets();
  steers();
  others_may_not();
  return 0;
}
