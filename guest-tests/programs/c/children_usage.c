// What children used counts as theirs once they are waited for, and never if nobody waits (`man 2 getrusage`).
#include "check.h"
#include <sys/resource.h>
#include <sys/times.h>

#define BUSY_MS 60
#define BIG (24 << 20)

static void be_busy_and_big(void) {
  struct timespec used;
  do OK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used));
  while (used.tv_sec == 0 && used.tv_nsec < BUSY_MS * 1000000);
  char *memory = map_anonymous(BIG, PROT_READ | PROT_WRITE);
  for (long i = 0; i < BIG; i += PAGE) ((volatile char *)memory)[i] = 1;
}

static long busy_ms(const struct rusage *usage) {
  const struct timeval *times[] = {&usage->ru_utime, &usage->ru_stime};
  return (times[0]->tv_sec + times[1]->tv_sec) * 1000 + (times[0]->tv_usec + times[1]->tv_usec) / 1000;
}

static int counts(void) {
  struct rusage usage;
  struct tms ticks;
  OK(getrusage(RUSAGE_CHILDREN, &usage));
  OK(times(&ticks));
  int is_counted = busy_ms(&usage) >= BUSY_MS;
  CHECK_EQ(usage.ru_maxrss * 1024 >= BIG, is_counted);
  // Each of the two is rounded down to a tick of its own.
  CHECK_EQ(ticks.tms_cutime + ticks.tms_cstime >= BUSY_MS / 10 - 1, is_counted);
  return is_counted;
}

static pid_t busy_child(void) {
  pid_t pid;
  IN_CHILD(pid) { be_busy_and_big(); }
  return pid;
}

static void in_child(void (*body)(void)) {
  pid_t pid;
  IN_CHILD(pid) { body(); }
  WAIT_OK(pid);
}

static void ignored_children_do_not_count(void) {
  signal(SIGCHLD, SIG_IGN);
  pid_t pid = busy_child();
  CHECK_ERRNO(waitpid(pid, NULL, 0), ECHILD);
  CHECK(!counts());
}

static void unwanted_children_do_not_count(void) {
  struct sigaction action = {.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT};
  OK(sigaction(SIGCHLD, &action, NULL));
  pid_t pid = busy_child();
  CHECK_ERRNO(waitpid(pid, NULL, 0), ECHILD);
  CHECK(!counts());
}

static void zombies_count_when_they_are_waited_for(void) {
  pid_t pid = busy_child();
  siginfo_t info;
  OK(waitid(P_PID, pid, &info, WEXITED | WNOWAIT));
  CHECK(!counts());
  struct rusage usage;
  CHECK_EQ(wait4(pid, NULL, 0, &usage), pid);
  CHECK(busy_ms(&usage) >= BUSY_MS);
  CHECK(usage.ru_maxrss * 1024 >= BIG);
  CHECK(counts());
  pid_t child;
  IN_CHILD(child) {
    CHECK(!counts()); // Not inherited.
  }
  WAIT_OK(child);
}

static void grandchildren_count_if_their_parent_waited(void) {
  for (int waits = 0; waits < 2; waits++) {
    pid_t child;
    IN_CHILD(child) {
      if (!waits) signal(SIGCHLD, SIG_IGN);
      waitpid(busy_child(), NULL, 0);
    }
    struct rusage usage;
    CHECK_EQ(wait4(child, NULL, 0, &usage), child);
    CHECK_EQ(busy_ms(&usage) >= BUSY_MS, waits);
    CHECK_EQ(counts(), waits);
  }
}

int main(void) {
  in_child(ignored_children_do_not_count);
  in_child(unwanted_children_do_not_count);
  in_child(zombies_count_when_they_are_waited_for);
  in_child(grandchildren_count_if_their_parent_waited);
  return 0;
}
