// Real-time and deadline policies: who may have them, what is kept and told, and what children get.
#include "check.h"
#include <sched.h>
#include <sys/resource.h>

struct attributes {
  uint32_t size, policy;
  uint64_t flags;
  int32_t niceness;
  uint32_t priority;
  uint64_t runtime, deadline, period;
};

#define DEADLINE 6
#define RESETS 1

static int set(pid_t pid, struct attributes attributes) {
  attributes.size = sizeof attributes;
  return syscall(SYS_sched_setattr, pid, &attributes, 0);
}

static struct attributes get(pid_t pid) {
  struct attributes now;
  OK(syscall(SYS_sched_getattr, pid, &now, sizeof now, 0));
  return now;
}

static int schedule(pid_t pid, int policy, int priority) {
  return sched_setscheduler(pid, policy, &(struct sched_param){priority});
}

static void is(pid_t pid, int policy, int priority) {
  struct sched_param parameter = {-1};
  CHECK_EQ(OK(sched_getscheduler(pid)), policy);
  OK(sched_getparam(pid, &parameter));
  CHECK_EQ(parameter.sched_priority, priority);
}

static void priorities_are_kept(void) {
  int policies[] = {SCHED_FIFO, SCHED_RR};
  for (size_t i = 0; i < COUNT(policies); i++) {
    OK(schedule(0, policies[i], 1));
    is(0, policies[i], 1);
    OK(sched_setparam(0, &(struct sched_param){99}));
    is(0, policies[i], 99);
    CHECK_EQ(get(0).priority, 99);
    CHECK_ERRNO(sched_setparam(0, &(struct sched_param){0}), EINVAL);
    CHECK_ERRNO(sched_setparam(0, &(struct sched_param){100}), EINVAL);
    CHECK_ERRNO(schedule(0, policies[i], 0), EINVAL);
    CHECK_ERRNO(schedule(0, policies[i], -1), EINVAL);
    CHECK_ERRNO(schedule(0, SCHED_OTHER, 1), EINVAL);
    OK(setpriority(PRIO_PROCESS, 0, 3)); // Kept for later.
    is(0, policies[i], 99);
    CHECK_EQ(get(0).niceness, 0);
    OK(schedule(0, SCHED_OTHER, 0));
    is(0, SCHED_OTHER, 0);
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), 3);
    OK(setpriority(PRIO_PROCESS, 0, 0));
  }
  CHECK_ERRNO(sched_getparam(0, NULL), EINVAL);
  CHECK_ERRNO(sched_getparam(-1, &(struct sched_param){0}), EINVAL);
  CHECK_ERRNO(sched_getparam(0x3fffffff, &(struct sched_param){0}), ESRCH);
  CHECK_ERRNO(sched_setparam(0, NULL), EINVAL);
}

static void slices_are_told(void) {
  struct timespec slice;
  OK(schedule(0, SCHED_RR, 5));
  OK(sched_rr_get_interval(0, &slice));
  CHECK(slice.tv_sec == 0 && slice.tv_nsec > 0);
  OK(schedule(0, SCHED_FIFO, 5));
  OK(sched_rr_get_interval(0, &slice));
  CHECK(slice.tv_sec == 0 && slice.tv_nsec == 0);
  OK(schedule(0, SCHED_OTHER, 0));
  CHECK_ERRNO(sched_rr_get_interval(-1, &slice), EINVAL);
  CHECK_ERRNO(sched_rr_get_interval(0x3fffffff, &slice), ESRCH);
  CHECK_ERRNO(sched_rr_get_interval(0, wild), EFAULT);
}

static void children_have_them_unless_told_otherwise(void) {
  pid_t pid;
  OK(schedule(0, SCHED_FIFO, 7));
  IN_CHILD(pid) is(0, SCHED_FIFO, 7);
  WAIT_OK(pid);
  OK(schedule(0, SCHED_FIFO | SCHED_RESET_ON_FORK, 7));
  is(0, SCHED_FIFO | SCHED_RESET_ON_FORK, 7);
  IN_CHILD(pid) is(0, SCHED_OTHER, 0);
  WAIT_OK(pid);
  OK(schedule(0, SCHED_OTHER, 0));
}

static void deadlines_are_checked(void) {
  struct attributes wanted = {.policy = DEADLINE, .runtime = 1000000, .deadline = 5000000, .period = 10000000}, wrong;
  OK(set(0, wanted));
  struct attributes now = get(0);
  CHECK_EQ(now.policy, DEADLINE);
  CHECK_EQ(now.runtime, 1000000);
  CHECK_EQ(now.deadline, 5000000);
  CHECK_EQ(now.period, 10000000);
  is(0, DEADLINE, 0);
  CHECK_EQ(fork(), -1); // Only with SCHED_FLAG_RESET_ON_FORK.
  CHECK_EQ(errno, EAGAIN);
  wanted.flags = RESETS;
  OK(set(0, wanted));
  pid_t pid;
  IN_CHILD(pid) is(0, SCHED_OTHER, 0);
  WAIT_OK(pid);
  OK(schedule(0, SCHED_OTHER, 0));
  wanted.flags = 0;
  wrong = wanted;
  wrong.runtime = 6000000;
  CHECK_ERRNO(set(0, wrong), EINVAL);
  wrong = wanted;
  wrong.deadline = 0;
  CHECK_ERRNO(set(0, wrong), EINVAL);
  wrong = wanted;
  wrong.deadline = 20000000;
  CHECK_ERRNO(set(0, wrong), EINVAL);
  wrong = wanted;
  wrong.runtime = 1000;
  CHECK_ERRNO(set(0, wrong), EINVAL);
  wrong = wanted;
  wrong.priority = 1;
  CHECK_ERRNO(set(0, wrong), EINVAL);
  CHECK_ERRNO(schedule(0, DEADLINE, 0), EINVAL);
}

static void limits_allow_users(void) {
  pid_t pid;
  IN_CHILD(pid) {
    // A root without CAP_SYS_RESOURCE cannot allow it.
    int is_allowed = setrlimit(RLIMIT_RTPRIO, &(struct rlimit){10, 10}) == 0;
    CHECK(is_allowed || errno == EPERM);
    OK(setresuid(1234, 1234, 1234));
    CHECK_ERRNO(schedule(0, SCHED_FIFO, 11), EPERM);
    if (is_allowed) {
      OK(schedule(0, SCHED_FIFO, 10));
      OK(schedule(0, SCHED_RR, 3));
      CHECK_ERRNO(sched_setparam(0, &(struct sched_param){11}), EPERM);
      OK(schedule(0, SCHED_OTHER, 0));
    }
    CHECK_ERRNO(set(0, (struct attributes){.policy = DEADLINE, .runtime = 1000000, .deadline = 5000000}), EPERM);
    OK(setrlimit(RLIMIT_RTPRIO, &(struct rlimit){0, 0}));
    CHECK_ERRNO(schedule(0, SCHED_RR, 1), EPERM);
  }
  WAIT_OK(pid);
}

// The field of /proc/self/stat with this number, from 1.
static long stat_field(int number) {
  char text[1024], *at;
  read_file("/proc/self/stat", text, sizeof text);
  at = strrchr(text, ')') + 2;
  for (int field = 3; field < number; field++) at = strchr(at, ' ') + 1;
  return strtol(at, NULL, 10);
}

static void proc_tells(void) {
  OK(schedule(0, SCHED_RR, 20));
  CHECK_EQ(stat_field(18), -21);
  CHECK_EQ(stat_field(40), 20);
  CHECK_EQ(stat_field(41), SCHED_RR);
  OK(schedule(0, SCHED_OTHER, 0));
  CHECK_EQ(stat_field(18), 20);
  CHECK_EQ(stat_field(40), 0);
  CHECK_EQ(stat_field(41), 0);
}

int main(void) {
  if (geteuid() != 0) return 0;
  priorities_are_kept();
  slices_are_told();
  children_have_them_unless_told_otherwise();
  deadlines_are_checked();
  limits_allow_users();
  proc_tells();
  return 0;
}
