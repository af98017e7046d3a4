// Scheduling policies and attributes: what is kept, who may change it, and structures of other versions.
#include "check.h"
#include <sched.h>
#include <sys/resource.h>

// <linux/sched/types.h> cannot be included beside <sched.h>.
struct attributes {
  uint32_t size, policy;
  uint64_t flags;
  int32_t niceness;
  uint32_t priority;
  uint64_t runtime, deadline, period;
  uint32_t least, most;
};

enum { KEEP_POLICY = 0x08, KEEP_PARAMETERS = 0x10, RESETS = 0x01, FIRST_SIZE = 48 };

static struct attributes asked(int policy, int niceness) {
  return (struct attributes){.size = FIRST_SIZE, .policy = policy, .niceness = niceness};
}

static int set(pid_t pid, struct attributes attributes) { return syscall(SYS_sched_setattr, pid, &attributes, 0); }

static void is(int policy, int niceness, int flags) {
  struct attributes now;
  memset(&now, 0xaa, sizeof now);
  OK(syscall(SYS_sched_getattr, 0, &now, sizeof now, 0));
  CHECK_EQ(now.size, sizeof now);
  CHECK_EQ(now.policy, policy);
  CHECK_EQ(now.niceness, niceness);
  CHECK_EQ(now.flags, flags);
  CHECK_EQ(now.priority, 0);
  CHECK_EQ(OK(sched_getscheduler(0)), policy | (flags & RESETS ? SCHED_RESET_ON_FORK : 0));
  CHECK_EQ(getpriority(PRIO_PROCESS, 0), niceness);
}

static void attributes_are_kept(void) {
  OK(set(0, asked(SCHED_OTHER, 5)));
  is(SCHED_OTHER, 5, 0);
  OK(set(getpid(), asked(SCHED_BATCH, 7)));
  is(SCHED_BATCH, 7, 0);
  OK(set(0, asked(SCHED_IDLE, 9)));
  is(SCHED_IDLE, 7, 0); // It has no niceness of its own.
  struct attributes kept = asked(SCHED_BATCH, 8);
  kept.flags = KEEP_PARAMETERS;
  OK(set(0, kept));
  is(SCHED_IDLE, 7, 0); // The policy counts as one.
  OK(set(0, asked(SCHED_BATCH, 7)));
  kept = asked(SCHED_OTHER, 8);
  kept.flags = KEEP_POLICY;
  OK(set(0, kept));
  is(SCHED_BATCH, 8, 0);
  OK(set(0, asked(SCHED_OTHER, 100)));
  is(SCHED_OTHER, 19, 0);
  CHECK_ERRNO(set(0, asked(9, 0)), EINVAL);
  CHECK_ERRNO(set(0, asked(-1, 0)), EINVAL);
  CHECK_ERRNO(set(0, (struct attributes){.size = FIRST_SIZE, .priority = 1}), EINVAL);
  CHECK_ERRNO(set(0, (struct attributes){.size = FIRST_SIZE, .policy = SCHED_FIFO}), EINVAL);
  CHECK_ERRNO(set(0, (struct attributes){.size = FIRST_SIZE, .flags = 0x80}), EINVAL);
  CHECK_ERRNO(set(-1, asked(0, 0)), EINVAL);
  CHECK_ERRNO(set(0x3fffff, asked(0, 0)), ESRCH);
  CHECK_ERRNO(syscall(SYS_sched_setattr, 0, NULL, 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_sched_setattr, 0, wild, 0), EFAULT);
  CHECK_ERRNO(sched_setscheduler(0, SCHED_OTHER, NULL), EINVAL);
  CHECK_ERRNO(sched_setscheduler(0, -1, &(struct sched_param){0}), EINVAL);
  CHECK_ERRNO(sched_getparam(0, NULL), EINVAL);
}

static void structures_of_other_versions_are_told_from_ours(void) {
  struct {
    struct attributes known;
    char more[44];
  } bigger = {.known = asked(SCHED_OTHER, 19)};
  bigger.known.size = sizeof bigger;
  OK(syscall(SYS_sched_setattr, 0, &bigger, 0));
  bigger.more[40] = 1;
  CHECK_ERRNO(syscall(SYS_sched_setattr, 0, &bigger, 0), E2BIG);
  CHECK_EQ(bigger.known.size, sizeof bigger.known);
  static const uint32_t wrong[] = {20, 5000};
  for (size_t i = 0; i < COUNT(wrong); i++) {
    struct attributes attributes = asked(SCHED_OTHER, 19);
    attributes.size = wrong[i];
    CHECK_ERRNO(syscall(SYS_sched_setattr, 0, &attributes, 0), E2BIG);
    CHECK_EQ(attributes.size, sizeof attributes);
  }
  struct attributes first = asked(SCHED_OTHER, 19);
  first.size = 0;
  OK(set(0, first));
  for (uint32_t size = 40; size <= 100; size += 4) {
    memset(&bigger, 0x55, sizeof bigger);
    int got = syscall(SYS_sched_getattr, 0, &bigger, size, 0);
    CHECK_EQ(got, size < FIRST_SIZE ? -1 : 0);
    if (got == -1) continue;
    CHECK_EQ(bigger.known.size, size < sizeof bigger.known ? size : sizeof bigger.known);
    for (uint32_t i = sizeof bigger.known; i < sizeof bigger; i++) CHECK_EQ(((char *)&bigger)[i], i < size ? 0 : 0x55);
  }
}

static void children_may_lose_what_is_privileged(void) {
  if (geteuid() != 0) return;
  struct attributes attributes = asked(SCHED_BATCH, -5);
  attributes.flags = RESETS;
  OK(set(0, attributes));
  is(SCHED_BATCH, -5, RESETS);
  pid_t pid;
  IN_CHILD(pid) is(SCHED_BATCH, 0, 0);
  WAIT_OK(pid);
  OK(sched_setscheduler(0, SCHED_OTHER, &(struct sched_param){0}));
  is(SCHED_OTHER, -5, 0);
  IN_CHILD(pid) is(SCHED_OTHER, -5, 0);
  WAIT_OK(pid);
  OK(set(0, asked(SCHED_OTHER, 0)));
}

static void the_unprivileged_only_give_up(void) {
  if (geteuid() != 0) return;
  pid_t root = getpid(), pid;
  IN_CHILD(pid) {
    OK(setrlimit(RLIMIT_NICE, &(struct rlimit){0, 0}));
    OK(setresuid(65432, 65432, 65432));
    CHECK_ERRNO(set(root, asked(SCHED_BATCH, 0)), EPERM);
    CHECK_ERRNO(sched_setscheduler(root, SCHED_BATCH, &(struct sched_param){0}), EPERM);
    CHECK_ERRNO(sched_setparam(root, &(struct sched_param){0}), EPERM);
    OK(set(0, asked(SCHED_OTHER, 1)));
    CHECK_ERRNO(set(0, asked(SCHED_OTHER, 0)), EPERM);
    CHECK_ERRNO(sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){1}), EPERM);
    struct attributes resetting = asked(SCHED_BATCH, 1);
    resetting.flags = RESETS;
    OK(set(0, resetting));
    CHECK_ERRNO(set(0, asked(SCHED_BATCH, 1)), EPERM);
    resetting.policy = SCHED_IDLE;
    OK(set(0, resetting));
    resetting.policy = SCHED_OTHER;
    CHECK_ERRNO(set(0, resetting), EPERM);
    is(SCHED_IDLE, 1, RESETS);
  }
  WAIT_OK(pid);
  is(SCHED_OTHER, 0, 0);
}

int main(void) {
  pid_t pid;
  IN_CHILD(pid) {
    attributes_are_kept();
    structures_of_other_versions_are_told_from_ours();
  }
  WAIT_OK(pid);
  children_may_lose_what_is_privileged();
  the_unprivileged_only_give_up();
  return 0;
}
