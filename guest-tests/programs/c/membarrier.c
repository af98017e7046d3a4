// membarrier: what has to be registered first, and who inherits it.
#include "check.h"
#include <linux/membarrier.h>

// MEMBARRIER_CMD_GET_REGISTRATIONS, which older headers lack.
#define GET_REGISTRATIONS (1 << 9)

static long barrier(int command, unsigned flags) { return syscall(SYS_membarrier, command, flags, 0); }

int main(int count, char **arguments) {
  if (count > 1) {
    CHECK_EQ(barrier(GET_REGISTRATIONS, 0), 0);
    return 5;
  }
  static const int wanted[] = {
    MEMBARRIER_CMD_GLOBAL, MEMBARRIER_CMD_GLOBAL_EXPEDITED, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED,
    MEMBARRIER_CMD_PRIVATE_EXPEDITED, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED,
    MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ,
    GET_REGISTRATIONS,
  };
  for (size_t index = 0; index < COUNT(wanted); index++)
    CHECK_EQ(barrier(MEMBARRIER_CMD_QUERY, 0) & wanted[index], wanted[index]);
  CHECK_ERRNO(barrier(1 << 20, 0), EINVAL);
  CHECK_ERRNO(barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED, 1), EINVAL);
  OK(barrier(MEMBARRIER_CMD_GLOBAL, 0));
  OK(barrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0));
  CHECK_EQ(barrier(GET_REGISTRATIONS, 0), 0);
  CHECK_ERRNO(barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0), EPERM);
  CHECK_ERRNO(barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 0), EPERM);
  OK(barrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0));
  OK(barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0));
  CHECK_EQ(barrier(GET_REGISTRATIONS, 0), MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
  CHECK_ERRNO(barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 0), EPERM);
  OK(barrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ, 0));
  int registered = MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED | MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ;
  CHECK_EQ(barrier(GET_REGISTRATIONS, 0), registered);
  pid_t pid;
  IN_CHILD(pid) {
    CHECK_EQ(barrier(GET_REGISTRATIONS, 0), registered);
    OK(barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0));
    OK(barrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 0));
    // What it adds is its own.
    OK(barrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0));
    execl("/proc/self/exe", arguments[0], "executed", NULL);
  }
  WAIT_EXIT(pid, 5);
  CHECK_EQ(barrier(GET_REGISTRATIONS, 0), registered);
  return 0;
}
