// clone and clone3 by the system call itself: what each flag shares, where ids are written, refusals.
#include "check.h"
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>

static char stack[64 * 1024] __attribute__((aligned(16)));
#define STACK_TOP (stack + sizeof stack)

static volatile int value;
static int descriptor;

static int bump(void *argument) {
  (void)argument;
  value++;
  return 17;
}

static int close_descriptor(void *argument) {
  (void)argument;
  return close(descriptor) == 0 ? 0 : 1;
}

static int change_directory_and_umask(void *argument) {
  umask(077);
  return chdir(argument) == 0 ? 0 : 1;
}

static int install_handler(void *argument) {
  (void)argument;
  return signal(SIGUSR1, SIG_IGN) == SIG_ERR;
}

static void memory_is_shared_or_copied(void) {
  struct { int flags, expected; } cases[] = {{0, 1}, {CLONE_VM, 2}, {CLONE_VM | CLONE_VFORK, 2}};
  for (size_t i = 0; i < COUNT(cases); i++) {
    value = 1;
    pid_t pid = OK(clone(bump, STACK_TOP, cases[i].flags | SIGCHLD, NULL));
    WAIT_EXIT(pid, 17);
    CHECK_CASE(value == cases[i].expected, "flags %#x: value %d", cases[i].flags, value);
  }
}

static void descriptors_are_shared_or_copied(void) {
  for (int shared = 0; shared < 2; shared++) {
    descriptor = OK(dup(STDERR_FILENO));
    pid_t pid = OK(clone(close_descriptor, STACK_TOP, (shared ? CLONE_FILES : 0) | SIGCHLD, NULL));
    WAIT_OK(pid);
    CHECK_EQ(fcntl(descriptor, F_GETFD) == -1, shared);
    close(descriptor);
  }
}

static void directory_and_umask_are_shared_or_copied(void) {
  char path[PATH_MAX];
  for (int shared = 0; shared < 2; shared++) {
    OK(chdir("/"));
    umask(022);
    pid_t pid = OK(clone(change_directory_and_umask, STACK_TOP, (shared ? CLONE_FS : 0) | SIGCHLD, "/usr"));
    WAIT_OK(pid);
    CHECK(getcwd(path, sizeof path) != NULL);
    CHECK(strcmp(path, shared ? "/usr" : "/") == 0);
    CHECK_EQ(umask(022), shared ? 077 : 022);
  }
}

static void handlers_are_shared_or_copied(void) {
  for (int shared = 0; shared < 2; shared++) {
    signal(SIGUSR1, SIG_DFL);
    pid_t pid = OK(clone(install_handler, STACK_TOP, CLONE_VM | (shared ? CLONE_SIGHAND : 0) | SIGCHLD, NULL));
    WAIT_OK(pid);
    struct sigaction action;
    OK(sigaction(SIGUSR1, NULL, &action));
    CHECK_EQ(action.sa_handler == SIG_IGN, shared);
  }
  signal(SIGUSR1, SIG_DFL);
}

static void on_signal(int number) { value = number; }

static void clear_sighand_resets_handlers(void) {
  signal(SIGUSR1, on_signal);
  signal(SIGUSR2, SIG_IGN);
  struct clone_args arguments = {.flags = CLONE_CLEAR_SIGHAND, .exit_signal = SIGCHLD};
  fflush(NULL);
  pid_t pid = OK(syscall(SYS_clone3, &arguments, sizeof arguments));
  if (pid == 0) {
    struct sigaction action;
    OK(sigaction(SIGUSR1, NULL, &action));
    CHECK(action.sa_handler == SIG_DFL);
    OK(sigaction(SIGUSR2, NULL, &action));
    CHECK(action.sa_handler == SIG_IGN);
    _exit(0);
  }
  WAIT_OK(pid);
  signal(SIGUSR1, SIG_DFL);
  signal(SIGUSR2, SIG_DFL);
}

static void ids_are_written(void) {
  static volatile pid_t *ids;
  ids = map_shared(PAGE);
  pid_t pid = syscall(SYS_clone, CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | SIGCHLD, 0, &ids[0], &ids[1], 0);
  if (pid == 0) {
    if (ids[1] != getpid()) _exit(1);
    _exit(0);
  }
  CHECK(pid > 0);
  CHECK_EQ(ids[0], pid);
  WAIT_OK(pid);
  CHECK_EQ(ids[1], pid);
  // The id is cleared, and a futex waiter woken, when a task with shared memory ends.
  ids[2] = -1;
  pid = OK(clone(bump, STACK_TOP, CLONE_VM | CLONE_CHILD_CLEARTID | SIGCHLD, NULL, NULL, NULL, &ids[2]));
  WAIT_EXIT(pid, 17);
  CHECK_EQ(ids[2], 0);
}

static void exit_signal_is_chosen(void) {
  sigset_t set = signals(SIGUSR2, SIGCHLD, 0);
  OK(sigprocmask(SIG_BLOCK, &set, NULL));
  pid_t pid = OK(clone(bump, STACK_TOP, SIGUSR2, NULL));
  siginfo_t info;
  CHECK_EQ(sigwaitinfo(&set, &info), SIGUSR2);
  CHECK_EQ(info.si_pid, pid);
  CHECK_EQ(info.si_code, CLD_EXITED);
  CHECK_ERRNO(waitpid(pid, NULL, 0), ECHILD); // Not an ordinary child.
  int status;
  CHECK_EQ(waitpid(pid, &status, __WCLONE), pid);
  CHECK_EQ(WEXITSTATUS(status), 17);
  pid = OK(clone(bump, STACK_TOP, 0, NULL));
  CHECK_EQ(waitpid(pid, &status, __WALL), pid);
  OK(sigprocmask(SIG_UNBLOCK, &set, NULL));
}

static void parent_flag_makes_a_sibling(void) {
  int report[2];
  OK(pipe(report));
  pid_t pid, sibling;
  IN_CHILD(pid) {
    sibling = OK(clone(bump, STACK_TOP, CLONE_PARENT | SIGCHLD, NULL));
    OK(write(report[1], &sibling, sizeof sibling));
    CHECK_ERRNO(waitpid(sibling, NULL, 0), ECHILD);
  }
  CHECK_EQ(read(report[0], &sibling, sizeof sibling), sizeof sibling);
  WAIT_OK(pid);
  WAIT_EXIT(sibling, 17);
}

static void pidfd_polls_and_signals(void) {
  int pidfd = -1;
  struct clone_args arguments = {.flags = CLONE_PIDFD, .pidfd = (uintptr_t)&pidfd, .exit_signal = SIGCHLD};
  fflush(NULL);
  pid_t pid = OK(syscall(SYS_clone3, &arguments, sizeof arguments));
  if (pid == 0) {
    pause();
    _exit(0);
  }
  CHECK(pidfd >= 0);
  CHECK_EQ(fcntl(pidfd, F_GETFD), FD_CLOEXEC);
  struct pollfd entry = {.fd = pidfd, .events = POLLIN};
  CHECK_EQ(poll(&entry, 1, 0), 0);
  OK(syscall(SYS_pidfd_send_signal, pidfd, SIGTERM, NULL, 0));
  CHECK_EQ(poll(&entry, 1, 5000), 1);
  CHECK_EQ(entry.revents, POLLIN);
  siginfo_t info;
  OK(waitid(P_PIDFD, pidfd, &info, WEXITED));
  CHECK_EQ(info.si_pid, pid);
  CHECK_EQ(info.si_status, SIGTERM);
  CHECK_ERRNO(syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0), ESRCH);
  OK(close(pidfd));
}

static void odd_combinations_are_refused(void) {
  struct { unsigned long flags; } cases[] = {
      {CLONE_SIGHAND}, {CLONE_THREAD}, {CLONE_THREAD | CLONE_VM}, {CLONE_THREAD | CLONE_SIGHAND}, {CLONE_FS | CLONE_NEWNS},
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    errno = 0;
    long got = syscall(SYS_clone, cases[i].flags | SIGCHLD, 0, NULL, NULL, 0);
    if (got == 0) _exit(1);
    CHECK_CASE(got == -1 && errno == EINVAL, "flags %#lx: %ld", cases[i].flags, got);
  }
}

static void clone3_checks_its_arguments(void) {
  struct {
    struct clone_args arguments;
    size_t size;
    int expected;
  } cases[] = {
      {{.exit_signal = SIGCHLD}, CLONE_ARGS_SIZE_VER0 - 1, EINVAL},
      {{.exit_signal = SIGCHLD}, PAGE + 1, E2BIG},
      {{.exit_signal = 65}, sizeof(struct clone_args), EINVAL},
      {{.exit_signal = 0x100}, sizeof(struct clone_args), EINVAL},
      {{.flags = CLONE_VM, .stack = 0, .stack_size = PAGE, .exit_signal = SIGCHLD}, sizeof(struct clone_args), EINVAL},
      {{.flags = CLONE_VM, .stack = (uintptr_t)stack, .stack_size = 0, .exit_signal = SIGCHLD}, sizeof(struct clone_args), EINVAL},
      {{.flags = CLONE_DETACHED, .exit_signal = SIGCHLD}, sizeof(struct clone_args), EINVAL},
      {{.flags = 1ULL << 62, .exit_signal = SIGCHLD}, sizeof(struct clone_args), EINVAL},
      {{.flags = CLONE_SIGHAND | CLONE_VM | CLONE_CLEAR_SIGHAND, .exit_signal = SIGCHLD}, sizeof(struct clone_args), EINVAL},
      {{.flags = CLONE_THREAD | CLONE_SIGHAND | CLONE_VM, .exit_signal = SIGCHLD}, sizeof(struct clone_args), EINVAL},
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    errno = 0;
    long got = syscall(SYS_clone3, &cases[i].arguments, cases[i].size);
    if (got == 0) _exit(1);
    CHECK_CASE(got == -1 && errno == cases[i].expected, "case %zu: %ld instead of errno %d", i, got, cases[i].expected);
  }
  CHECK_ERRNO(syscall(SYS_clone3, (void *)8, sizeof(struct clone_args)), EFAULT);
}

int main(void) {
  memory_is_shared_or_copied();
  descriptors_are_shared_or_copied();
  directory_and_umask_are_shared_or_copied();
  handlers_are_shared_or_copied();
  clear_sighand_resets_handlers();
  ids_are_written();
  exit_signal_is_chosen();
  parent_flag_makes_a_sibling();
  pidfd_polls_and_signals();
  odd_combinations_are_refused();
  clone3_checks_its_arguments();
  return 0;
}
