// System calls that a thread gets back (`man 2 prctl`, PR_SET_SYSCALL_USER_DISPATCH), security modules, speculation, swap.
#include "check.h"
#include "tracees.h"
#include <sys/prctl.h>
#include <ucontext.h>

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif
#define SYS_USER_DISPATCH 2

static volatile char selector;
static volatile int caught, last_call, last_code;
static volatile uintptr_t last_address, last_rip;

static void hand_back(int number, siginfo_t *info, void *context) {
  (void)number;
  selector = 0;
  greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
  caught++;
  last_call = info->si_syscall;
  last_code = info->si_code;
  last_address = (uintptr_t)info->si_call_addr;
  last_rip = registers[REG_RIP];
  registers[REG_RAX] = 4711;
}

static void dispatch(void) {
  handle(SIGSYS, hand_back, 0);
  CHECK_ERRNO(prctl(PR_SET_SYSCALL_USER_DISPATCH, 0, 1, 0, 0), EINVAL);
  CHECK_ERRNO(prctl(PR_SET_SYSCALL_USER_DISPATCH, 0, 0, 0, &selector), EINVAL);
  CHECK_ERRNO(prctl(PR_SET_SYSCALL_USER_DISPATCH, 2, 0, 0, 0), EINVAL);
  CHECK_ERRNO(prctl(PR_SET_SYSCALL_USER_DISPATCH, 1, 8, -8L, &selector), EINVAL);
  CHECK_ERRNO(prctl(PR_SET_SYSCALL_USER_DISPATCH, 1, 8, 0, &selector), EINVAL);
  CHECK_ERRNO(prctl(PR_SET_SYSCALL_USER_DISPATCH, 1, 0, 0, -1L), EFAULT);
  OK(prctl(PR_SET_SYSCALL_USER_DISPATCH, 1, 0, 0, &selector));
  long self = syscall(SYS_getpid);
  CHECK_EQ(caught, 0);
  selector = 1;
  long result = syscall(SYS_getpid);
  CHECK_EQ(selector, 0);
  CHECK_EQ(caught, 1);
  CHECK_EQ(result, 4711);
  CHECK_EQ(last_call, SYS_getpid);
  CHECK_EQ(last_code, SYS_USER_DISPATCH);
  CHECK_EQ(last_address, last_rip);
  // Numbers that nothing has are handed back like others.
  selector = 1;
  result = syscall(100000);
  CHECK_EQ(result, 4711);
  CHECK_EQ(last_call, 100000);
  CHECK_EQ(syscall(SYS_getpid), self);
  // A child has to ask for itself.
  selector = 1;
  pid_t child;
  selector = 0;
  IN_CHILD(child) {
    selector = 1;
    CHECK_EQ(syscall(SYS_getppid), self);
    CHECK_EQ(caught, 2);
  }
  WAIT_OK(child);
  // What the byte says must have a meaning.
  IN_CHILD(child) {
    OK(prctl(PR_SET_SYSCALL_USER_DISPATCH, 1, 0, 0, &selector));
    signal(SIGSYS, SIG_DFL);
    selector = 7;
    syscall(SYS_getpid);
  }
  WAIT_SIGNALED(child, SIGSYS);
  // If it has none, no handler is asked.
  IN_CHILD(child) {
    OK(prctl(PR_SET_SYSCALL_USER_DISPATCH, 1, 0, 0, &selector));
    selector = 7;
    syscall(SYS_getpid);
  }
  WAIT_SIGNALED(child, SIGSYS);
  IN_CHILD(child) {
    handle(SIGSEGV, hand_back, 0);
    volatile char *gone = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    OK(prctl(PR_SET_SYSCALL_USER_DISPATCH, 1, 0, 0, gone));
    munmap((void *)gone, PAGE);
    syscall(SYS_getpid);
  }
  WAIT_SIGNALED(child, SIGSEGV);
  // Calls from some addresses pass always.
  IN_CHILD(child) {
    selector = 1;
    OK(prctl(PR_SET_SYSCALL_USER_DISPATCH, 1, 1, INT64_MAX, &selector));
    CHECK_EQ(syscall(SYS_getppid), self);
    OK(prctl(PR_SET_SYSCALL_USER_DISPATCH, 0, 0, 0, 0));
  }
  WAIT_OK(child);
  OK(prctl(PR_SET_SYSCALL_USER_DISPATCH, 0, 0, 0, 0));
  selector = 1;
  CHECK_EQ(syscall(SYS_getpid), self);
}

static void modules(void) {
  uint64_t ids[64];
  uint32_t size = sizeof ids;
  long count = syscall(461, ids, &size, 0);
  CHECK(count > 0);
  CHECK_EQ(size, count * 8);
  int has_capability = 0;
  for (long index = 0; index < count; index++) has_capability |= ids[index] == 100;
  CHECK(has_capability);
  CHECK_ERRNO(syscall(461, ids, &size, 1), EINVAL);
  CHECK_ERRNO(syscall(461, ids, wild, 0), EFAULT);
  size = 1;
  CHECK_ERRNO(syscall(461, ids, &size, 0), E2BIG);
  CHECK_EQ(size, count * 8);
  CHECK_ERRNO(syscall(461, wild, &size, 0), EFAULT);
  size = sizeof ids;
  CHECK_ERRNO(syscall(459, 0, ids, &size, 0), EINVAL);
  CHECK_ERRNO(syscall(459, 100, ids, NULL, 0), EINVAL);
  CHECK_ERRNO(syscall(459, 100, ids, &size, 0), EOPNOTSUPP);
  CHECK_ERRNO(syscall(459, 100, ids, &size, 2), EINVAL);
  memset(ids, 0, sizeof ids);
  CHECK_ERRNO(syscall(460, 100, ids, 8, 0), EINVAL);
  CHECK_ERRNO(syscall(460, 100, ids, 5000, 0), E2BIG);
  CHECK_ERRNO(syscall(460, 100, ids, 64, 0), EINVAL);
  CHECK_ERRNO(syscall(460, 100, ids, 64, 1), EINVAL);
  ids[2] = 32;
  CHECK_ERRNO(syscall(460, 100, ids, 64, 0), EOPNOTSUPP);
}

static void speculation(void) {
  CHECK(prctl(52, 0, 0, 0, 0) >= 0);
  CHECK(prctl(52, 1, 0, 0, 0) >= 0);
  CHECK_ERRNO(prctl(52, 9, 0, 0, 0), ENODEV);
  CHECK_ERRNO(prctl(52, 0, 1, 0, 0), EINVAL);
  CHECK_ERRNO(prctl(53, 0, 4, 1, 0), EINVAL);
  CHECK_ERRNO(prctl(53, 9, 4, 0, 0), ENODEV);
}

static void swap(void) {
  enter_scratch();
  write_file("file", "no swap area\n");
  CHECK_ERRNO(syscall(SYS_swapon, "missing", 0), ENOENT);
  CHECK_ERRNO(syscall(SYS_swapon, "file", 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_swapon, "file", 1 << 30), EINVAL);
  CHECK_ERRNO(syscall(SYS_swapon, wild, 0), EFAULT);
  CHECK_ERRNO(syscall(SYS_swapoff, "missing"), ENOENT);
  CHECK_ERRNO(syscall(SYS_swapoff, "file"), EINVAL);
  pid_t child;
  IN_CHILD(child) {
    OK(setresuid(1000, 1000, 1000));
    CHECK_ERRNO(syscall(SYS_swapon, "missing", 0), EPERM);
    CHECK_ERRNO(syscall(SYS_swapon, "missing", 1 << 30), EINVAL);
    CHECK_ERRNO(syscall(SYS_swapoff, wild), EPERM);
  }
  WAIT_OK(child);
}

#define SET_CONFIGURATION 0x4210
#define GET_CONFIGURATION 0x4211

static void do_nothing(void) {}

static void dispatch_of_a_tracee(void) {
  pid_t pid = traced_child(do_nothing, PTRACE_O_EXITKILL);
  struct { uint64_t mode, selector, offset, length; } configuration, wanted = {1, 0, 0x400000, 0x1000};
  memset(&configuration, 0xff, sizeof configuration);
  CHECK_ERRNO(ptrace(GET_CONFIGURATION, pid, sizeof configuration - 1, &configuration), EINVAL);
  CHECK_ERRNO(ptrace(GET_CONFIGURATION, pid, sizeof configuration, wild), EFAULT);
  CHECK_EQ(ptrace(GET_CONFIGURATION, pid, sizeof configuration, &configuration), 0);
  CHECK(!configuration.mode && !configuration.selector && !configuration.offset && !configuration.length);
  CHECK_ERRNO(ptrace(SET_CONFIGURATION, pid, sizeof wanted + 1, &wanted), EINVAL);
  wanted.mode = 3;
  CHECK_ERRNO(ptrace(SET_CONFIGURATION, pid, sizeof wanted, &wanted), EINVAL);
  wanted.mode = 1;
  CHECK_EQ(ptrace(SET_CONFIGURATION, pid, sizeof wanted, &wanted), 0);
  CHECK_EQ(ptrace(GET_CONFIGURATION, pid, sizeof configuration, &configuration), 0);
  CHECK(!memcmp(&configuration, &wanted, sizeof wanted));
  // Its next call comes back.
  NEXT_STOP(pid, PTRACE_CONT, SIGSYS);
  CHECK_EQ(siginfo_of(pid).si_code, SYS_USER_DISPATCH);
  OK(kill(pid, SIGKILL));
  WAIT_SIGNALED(pid, SIGKILL);
}

int main(void) {
  dispatch();
  dispatch_of_a_tracee();
  modules();
  speculation();
  swap();
  return 0;
}
