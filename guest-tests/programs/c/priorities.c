// Niceness, CPU affinity and CPU numbers: of threads, processes, groups and users, kept by children.
#include "check.h"
#include <sched.h>
#include <sys/resource.h>

static int priority_of(int which, int who) {
  errno = 0;
  int value = getpriority(which, who);
  CHECK_EQ(errno, 0);
  return value;
}

static pid_t paused(void) {
  pid_t pid;
  IN_CHILD(pid) for (;;) pause();
  return pid;
}

static void end(pid_t pid) {
  OK(kill(pid, SIGKILL));
  WAIT_SIGNALED(pid, SIGKILL);
}

static void the_kernel_counts_from_20_down(void) {
  OK(setpriority(PRIO_PROCESS, 0, 5));
  CHECK_EQ(syscall(SYS_getpriority, PRIO_PROCESS, 0), 15);
  OK(setpriority(PRIO_PROCESS, 0, 100));
  CHECK_EQ(priority_of(PRIO_PROCESS, 0), 19);
  OK(setpriority(PRIO_PROCESS, 0, -100));
  CHECK_EQ(priority_of(PRIO_PROCESS, 0), -20);
  OK(setpriority(PRIO_PROCESS, 0, 0));
  errno = 0;
  CHECK(nice(3) == 3 && errno == 0);
  char text[1024];
  read_file("/proc/self/stat", text, sizeof text);
  long niceness = -1, priority = -1;
  CHECK_EQ(sscanf(strrchr(text, ')') + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %ld %ld", &priority, &niceness), 2);
  CHECK_EQ(niceness, 3);
  CHECK_EQ(priority, 23);
}

static void groups_and_users(void) {
  pid_t first = paused(), second = paused();
  OK(setpgid(first, first));
  OK(setpgid(second, first));
  CHECK_EQ(priority_of(PRIO_PROCESS, first), 3);
  OK(setpriority(PRIO_PROCESS, first, 7));
  OK(setpriority(PRIO_PROCESS, second, 9));
  CHECK_EQ(priority_of(PRIO_PGRP, first), 7);
  OK(setpriority(PRIO_PGRP, first, 11));
  CHECK_EQ(priority_of(PRIO_PROCESS, second), 11);
  CHECK_EQ(priority_of(PRIO_PGRP, 0), 3);
  pid_t user;
  int ready[2];
  OK(pipe(ready));
  IN_CHILD(user) {
    OK(setuid(4321));
    CHECK_EQ(priority_of(PRIO_USER, 0), 3);
    OK(setpriority(PRIO_USER, 0, 12));
    CHECK_EQ(priority_of(PRIO_PROCESS, 0), 12);
    OK(write(ready[1], "x", 1));
    for (;;) pause();
  }
  char byte;
  CHECK_EQ(read(ready[0], &byte, 1), 1);
  CHECK_EQ(priority_of(PRIO_USER, 4321), 12);
  OK(setpriority(PRIO_USER, 4321, 13));
  CHECK_EQ(priority_of(PRIO_PROCESS, user), 13);
  end(user);
  CHECK_ERRNO(getpriority(PRIO_USER, 4321), ESRCH);
  end(first), end(second);
  CHECK_ERRNO(getpriority(PRIO_PGRP, first), ESRCH);
  CHECK_ERRNO(setpriority(PRIO_PROCESS, first, 0), ESRCH);
  CHECK_ERRNO(getpriority(7, 0), EINVAL);
  CHECK_ERRNO(setpriority(-1, 0, 0), EINVAL);
}

static void *be_nice(void *number) {
  *(int *)number = syscall(SYS_gettid);
  OK(setpriority(PRIO_PROCESS, 0, 15));
  CHECK_EQ(priority_of(PRIO_PROCESS, 0), 15);
  return NULL;
}

static void threads_have_their_own(void) {
  int number;
  pthread_t thread;
  CHECK_ZERO(pthread_create(&thread, NULL, be_nice, &number));
  CHECK_ZERO(pthread_join(thread, NULL));
  CHECK_EQ(priority_of(PRIO_PROCESS, 0), 3);
}

static void users_may_not_take_it_back(void) {
  pid_t root = paused(), pid;
  IN_CHILD(pid) {
    struct rlimit limit = {0, 0};
    OK(setrlimit(RLIMIT_NICE, &limit));
    OK(setuid(4321));
    OK(setpriority(PRIO_PROCESS, 0, 10));
    CHECK_ERRNO(setpriority(PRIO_PROCESS, 0, 9), EACCES);
    OK(setpriority(PRIO_PROCESS, 0, 10));
    CHECK_ERRNO(setpriority(PRIO_PROCESS, root, 19), EPERM);
  }
  WAIT_OK(pid);
  IN_CHILD(pid) {
    struct rlimit limit = {25, 25};
    // Not everybody who is root may raise limits.
    if (setrlimit(RLIMIT_NICE, &limit) != 0) _exit(0);
    OK(setuid(4321));
    OK(setpriority(PRIO_PROCESS, 0, -5));
    CHECK_ERRNO(setpriority(PRIO_PROCESS, 0, -6), EACCES);
  }
  WAIT_OK(pid);
  end(root);
}

static unsigned current_cpu(void) {
  unsigned cpu = -1;
  OK(syscall(SYS_getcpu, &cpu, NULL, NULL));
  return cpu;
}

static int shown_cpu(void) {
  char text[2048];
  read_file("/proc/thread-self/stat", text, sizeof text);
  char *field = strrchr(text, ')') + 2;
  for (int i = 3; i < 39; i++) field = strchr(field, ' ') + 1;
  return atoi(field);
}

static void *runs_where_it_was_made_to(void *cpu) {
  cpu_set_t set;
  CHECK_EQ(sched_getaffinity(0, sizeof set, &set), 0);
  CHECK_EQ(CPU_COUNT(&set), 1);
  CHECK(CPU_ISSET((long)cpu, &set));
  CHECK_EQ(current_cpu(), (long)cpu);
  CHECK_EQ(shown_cpu(), (long)cpu);
  return NULL;
}

static void affinity_is_obeyed_and_inherited(void) {
  cpu_set_t all, set;
  CHECK_EQ(sched_getaffinity(0, sizeof all, &all), 0);
  CHECK(CPU_COUNT(&all) >= 1);
  CHECK(CPU_ISSET(current_cpu(), &all));
  CHECK(CPU_ISSET(shown_cpu(), &all));
  for (long cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (!CPU_ISSET(cpu, &all)) continue;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    OK(sched_setaffinity(0, sizeof set, &set));
    CHECK_EQ(current_cpu(), cpu);
    pthread_t thread;
    CHECK_ZERO(pthread_create(&thread, NULL, runs_where_it_was_made_to, (void *)cpu));
    CHECK_ZERO(pthread_join(thread, NULL));
    pid_t pid;
    IN_CHILD(pid) runs_where_it_was_made_to((void *)cpu);
    WAIT_OK(pid);
  }
  OK(sched_setaffinity(0, sizeof all, &all));
  // One that is made now may run anywhere, whoever ran on its host thread before.
  pid_t pid;
  IN_CHILD(pid) {
    CHECK_EQ(sched_getaffinity(0, sizeof set, &set), 0);
    CHECK(CPU_EQUAL(&set, &all));
  }
  WAIT_OK(pid);
}

static void another_process_is_moved(void) {
  cpu_set_t all, set;
  CHECK_EQ(sched_getaffinity(0, sizeof all, &all), 0);
  pid_t pid = paused();
  CPU_ZERO(&set);
  for (int cpu = 0; CPU_COUNT(&set) == 0; cpu++)
    if (CPU_ISSET(cpu, &all)) CPU_SET(cpu, &set);
  OK(sched_setaffinity(pid, sizeof set, &set));
  cpu_set_t got;
  CHECK_EQ(sched_getaffinity(pid, sizeof got, &got), 0);
  CHECK(CPU_EQUAL(&got, &set));
  CHECK_EQ(sched_getaffinity(0, sizeof got, &got), 0);
  CHECK(CPU_EQUAL(&got, &all));
  end(pid);
  CHECK_ERRNO(sched_setaffinity(pid, sizeof set, &set), ESRCH);
  CHECK_ERRNO(syscall(SYS_sched_getaffinity, pid, sizeof set, &set), ESRCH);
}

static void bad_affinities(void) {
  cpu_set_t none, all;
  CPU_ZERO(&none);
  CHECK_EQ(sched_getaffinity(0, sizeof all, &all), 0);
  CHECK_ERRNO(sched_setaffinity(0, sizeof none, &none), EINVAL);
  CHECK_ERRNO(sched_setaffinity(0, 0, &all), EINVAL);
  CHECK_ERRNO(sched_setaffinity(-1, sizeof all, &all), ESRCH);
  CHECK_ERRNO(syscall(SYS_sched_setaffinity, 0, sizeof all, wild), EFAULT);
  CHECK_ERRNO(syscall(SYS_sched_getaffinity, 0, sizeof all, wild), EFAULT);
  CHECK_ERRNO(syscall(SYS_sched_getaffinity, 0, 7, &all), EINVAL);
  CHECK_ERRNO(syscall(SYS_sched_getaffinity, 0, 0, &all), EINVAL);
  CHECK_ERRNO(syscall(SYS_sched_getaffinity, -1, sizeof all, &all), ESRCH);
  // CPUs that do not exist are passed over.
  CPU_SET(CPU_SETSIZE - 1, &all);
  OK(sched_setaffinity(0, sizeof all, &all));
  pid_t root = paused(), pid;
  IN_CHILD(pid) {
    OK(setuid(4321));
    CHECK_ERRNO(sched_setaffinity(root, sizeof all, &all), EPERM);
    OK(sched_setaffinity(0, sizeof all, &all));
  }
  WAIT_OK(pid);
  end(root);
}

static long io_priority_of(int which, int who) { return syscall(SYS_ioprio_get, which, who); }
static long set_io_priority(int which, int who, int priority) { return syscall(SYS_ioprio_set, which, who, priority); }

static void io_priorities_are_kept_and_inherited(void) {
  enum { PROCESS = 1, GROUP, USER };
  pid_t pid;
  IN_CHILD(pid) {
    OK(setpgid(0, 0));
    OK(setpriority(PRIO_PROCESS, 0, 0));
    // Of one task what was set; of a group what counts, which follows from the niceness.
    CHECK_EQ(io_priority_of(PROCESS, 0), 0);
    CHECK_EQ(io_priority_of(GROUP, 0), 0x4004);
    OK(setpriority(PRIO_PROCESS, 0, 10));
    CHECK_EQ(io_priority_of(GROUP, 0), 0x4006);
    struct { int priority; long kept; int error; } cases[] = {
      {0, 0, 0}, {8, 8, 0}, {1, 8, EINVAL}, {0x4007, 0x4007, 0}, {0x4008, 0x4008, 0}, {0x8000, 0x4008, EINVAL},
      {0xe000, 0x4008, EINVAL}, {0x14003, 0x4003, 0}, {0x2001, 0x2001, 0}, {0x6003, 0x6003, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
      long result = set_io_priority(PROCESS, 0, cases[i].priority);
      if (cases[i].error) CHECK(result == -1 && errno == cases[i].error);
      else CHECK_EQ(result, 0);
      CHECK_EQ(io_priority_of(PROCESS, 0), cases[i].kept);
    }
    pid_t child;
    IN_CHILD(child) { CHECK_EQ(io_priority_of(PROCESS, 0), 0x6003); }
    WAIT_OK(child);
    child = paused();
    OK(set_io_priority(GROUP, 0, 0x4002));
    CHECK_EQ(io_priority_of(PROCESS, child), 0x4002);
    OK(set_io_priority(PROCESS, child, 0x4005));
    CHECK_EQ(io_priority_of(GROUP, 0), 0x4002);
    CHECK_ERRNO(io_priority_of(PROCESS, -1), ESRCH);
    CHECK_ERRNO(io_priority_of(USER, 77777), ESRCH);
    CHECK_ERRNO(io_priority_of(0, 0), EINVAL);
    CHECK_ERRNO(io_priority_of(4, 0), EINVAL);
    CHECK_ERRNO(set_io_priority(0, 0, 0x4000), EINVAL);
    CHECK_ERRNO(set_io_priority(PROCESS, -1, 0x4000), ESRCH);
    CHECK_ERRNO(set_io_priority(GROUP, 999999, 0x4000), ESRCH);
    pid_t user;
    IN_CHILD(user) {
      OK(setuid(4321));
      CHECK_ERRNO(set_io_priority(PROCESS, child, 0x4000), EPERM);
      CHECK_ERRNO(set_io_priority(PROCESS, 0, 0x2001), EPERM);
      OK(set_io_priority(PROCESS, 0, 0x4001));
    }
    WAIT_OK(user);
    end(child);
  }
  WAIT_OK(pid);
}

int main(void) {
  setpgid(0, 0);
  the_kernel_counts_from_20_down();
  groups_and_users();
  threads_have_their_own();
  users_may_not_take_it_back();
  affinity_is_obeyed_and_inherited();
  another_process_is_moved();
  bad_affinities();
  io_priorities_are_kept_and_inherited();
  return 0;
}
