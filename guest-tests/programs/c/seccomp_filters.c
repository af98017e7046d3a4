// Filters of system calls: what is refused, what each answer does, who gets a filter (`man 2 seccomp`).
#include "check.h"
#include "filters.h"
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/user.h>

static void no_new_privs(void) { OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)); }

static void in_child(void (*body)(void)) {
  pid_t pid;
  IN_CHILD(pid) { body(); }
  WAIT_OK(pid);
}

static int wait_status(void (*body)(void)) {
  pid_t pid;
  IN_CHILD(pid) { body(); }
  int status;
  CHECK_EQ(waitpid(pid, &status, 0), pid);
  return status;
}

static void arguments_are_checked(void) {
  struct sock_filter allow[] = {RETURN(SECCOMP_RET_ALLOW)}, load[] = {LOAD(nr)};
  struct sock_fprog program = {1, allow}, none = {0, allow}, unfinished = {1, load}, nowhere = {1, wild};
  CHECK_ERRNO(seccomp(SECCOMP_SET_MODE_STRICT, 1, NULL), EINVAL);
  CHECK_ERRNO(seccomp(SECCOMP_SET_MODE_STRICT, 0, &program), EINVAL);
  CHECK_ERRNO(seccomp(99, 0, &program), EINVAL);
  CHECK_ERRNO(seccomp(SECCOMP_SET_MODE_FILTER, 0, NULL), EFAULT);
  CHECK_ERRNO(seccomp(SECCOMP_SET_MODE_FILTER, 1u << 20, &program), EINVAL);
  CHECK_ERRNO(seccomp(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_NEW_LISTENER, &program), EINVAL);
  CHECK_ERRNO(seccomp(SECCOMP_SET_MODE_FILTER, 0, &none), EINVAL);
  no_new_privs();
  CHECK_ERRNO(seccomp(SECCOMP_SET_MODE_FILTER, 0, &nowhere), EFAULT);
  CHECK_ERRNO(seccomp(SECCOMP_SET_MODE_FILTER, 0, &unfinished), EINVAL);
  CHECK_ERRNO(prctl(PR_SET_SECCOMP, 3, &program), EINVAL);
  CHECK_ERRNO(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL), EFAULT);
  CHECK_EQ(prctl(PR_GET_SECCOMP), 0);
  uint32_t actions[] = {SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_TRAP, SECCOMP_RET_ERRNO,
                        SECCOMP_RET_USER_NOTIF, SECCOMP_RET_TRACE, SECCOMP_RET_LOG, SECCOMP_RET_ALLOW};
  for (size_t i = 0; i < COUNT(actions); i++) CHECK_EQ(seccomp(SECCOMP_GET_ACTION_AVAIL, 0, &actions[i]), 0);
  uint32_t unknown = 0x12340000;
  CHECK_ERRNO(seccomp(SECCOMP_GET_ACTION_AVAIL, 0, &unknown), EOPNOTSUPP);
  CHECK_ERRNO(seccomp(SECCOMP_GET_ACTION_AVAIL, 1, &actions[0]), EINVAL);
  CHECK_ERRNO(seccomp(SECCOMP_GET_ACTION_AVAIL, 0, NULL), EFAULT);
  struct seccomp_notif_sizes sizes;
  OK(seccomp(SECCOMP_GET_NOTIF_SIZES, 0, &sizes));
  CHECK_EQ(sizes.seccomp_notif, sizeof(struct seccomp_notif));
  CHECK_EQ(sizes.seccomp_notif_resp, sizeof(struct seccomp_notif_resp));
  CHECK_EQ(sizes.seccomp_data, sizeof(struct seccomp_data));
}

static void privileges_are_needed(void) {
  if (geteuid() == 0) OK(setresuid(65534, 65534, 65534));
  struct sock_filter allow[] = {RETURN(SECCOMP_RET_ALLOW)};
  struct sock_fprog program = {1, allow};
  CHECK_ERRNO(seccomp(SECCOMP_SET_MODE_FILTER, 0, &program), EACCES);
  no_new_privs();
  OK(seccomp(SECCOMP_SET_MODE_FILTER, 0, &program));
  CHECK_EQ(prctl(PR_GET_SECCOMP), 2);
  CHECK_ERRNO(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT), EINVAL);
}

static long field_of_status(const char *name) {
  char line[256];
  long value = -1;
  FILE *file = fopen("/proc/self/status", "r");
  CHECK(file);
  while (fgets(line, sizeof line, file))
    if (!strncmp(line, name, strlen(name))) value = strtol(line + strlen(name), NULL, 10);
  fclose(file);
  return value;
}

static void errors_are_returned(void) {
  no_new_privs();
  answer(SYS_getppid, SECCOMP_RET_ERRNO | EXDEV);
  CHECK_ERRNO(syscall(SYS_getppid), EXDEV);
  answer(SYS_getuid, SECCOMP_RET_ERRNO);
  CHECK_EQ(syscall(SYS_getuid), 0);
  answer(SYS_getgid, SECCOMP_RET_ERRNO | 0xffff);
  CHECK_ERRNO(syscall(SYS_getgid), 4095);
  // The newest of equals, and the strictest of all.
  answer(SYS_getppid, SECCOMP_RET_ERRNO | ENOTTY);
  CHECK_ERRNO(syscall(SYS_getppid), ENOTTY);
  answer(SYS_getppid, SECCOMP_RET_LOG);
  CHECK_ERRNO(syscall(SYS_getppid), ENOTTY);
  CHECK_EQ(field_of_status("Seccomp:\t"), 2);
  CHECK_EQ(field_of_status("Seccomp_filters:\t"), 5);
  // A call that does not exist is filtered, too.
  answer(5000, SECCOMP_RET_ERRNO | EILSEQ);
  CHECK_ERRNO(syscall(5000), EILSEQ);
}

static void arguments_are_seen(void) {
  no_new_privs();
  struct sock_filter filter[] = {LOAD(nr), UNLESS(SYS_lseek, 3), LOAD_AT(offsetof(struct seccomp_data, args[1]) + 4),
                                 UNLESS(7, 1), RETURN(SECCOMP_RET_ERRNO | EDOM), RETURN(SECCOMP_RET_ALLOW)};
  install(filter, COUNT(filter), 0);
  CHECK_ERRNO(syscall(SYS_lseek, -1, 7L << 32 | 1, 0), EDOM);
  CHECK_ERRNO(syscall(SYS_lseek, -1, 7, 0), EBADF);
}

static volatile sig_atomic_t traps;

static void on_trap(int signal, siginfo_t *info, void *context) {
  ucontext_t *user = context;
  CHECK_EQ(signal, SIGSYS);
  CHECK_EQ(info->si_code, 1);
  CHECK_EQ(info->si_errno, 77);
  CHECK_EQ(info->si_syscall, SYS_getppid);
  CHECK_EQ(info->si_arch, 0xc000003e);
  CHECK_EQ((long)info->si_call_addr, user->uc_mcontext.gregs[REG_RIP]);
  CHECK_EQ(user->uc_mcontext.gregs[REG_RAX], SYS_getppid);
  user->uc_mcontext.gregs[REG_RAX] = 4711;
  traps++;
}

static void a_trap_is_a_signal_with_the_call(void) {
  no_new_privs();
  struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};
  OK(sigaction(SIGSYS, &action, NULL));
  answer(SYS_getppid, SECCOMP_RET_TRAP | 77);
  CHECK_EQ(syscall(SYS_getppid), 4711);
  CHECK_EQ(syscall(SYS_getppid), 4711);
  CHECK_EQ(traps, 2);
}

static void trapped_while_blocked(void) {
  no_new_privs();
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGSYS);
  OK(sigprocmask(SIG_BLOCK, &set, NULL));
  signal(SIGSYS, SIG_IGN);
  answer(SYS_getppid, SECCOMP_RET_TRAP);
  syscall(SYS_getppid);
}

static void killed_as_process(void) {
  no_new_privs();
  signal(SIGSYS, SIG_IGN);
  answer(SYS_getppid, SECCOMP_RET_KILL_PROCESS);
  syscall(SYS_getppid);
}

static void *make_the_call(void *number) {
  syscall((long)number);
  return number;
}

static void killed_as_process_from_a_thread(void) {
  no_new_privs();
  answer(SYS_getppid, SECCOMP_RET_KILL_PROCESS);
  pthread_t thread;
  pthread_create(&thread, NULL, make_the_call, (void *)SYS_getppid);
  pause();
}

static void killed_as_single_thread(void) {
  no_new_privs();
  answer(SYS_getppid, SECCOMP_RET_KILL_THREAD);
  syscall(SYS_getppid);
}

static void *end_by_call(void *word) {
  OK(syscall(SYS_set_tid_address, word));
  make_the_call((void *)SYS_getppid);
  return NULL;
}

static void a_killed_thread_leaves_the_others(void) {
  no_new_privs();
  answer(SYS_getppid, SECCOMP_RET_KILL_THREAD);
  static volatile int word = 1;
  pthread_t thread;
  CHECK_EQ(pthread_create(&thread, NULL, end_by_call, (void *)&word), 0);
  while (word) usleep(1000);
}

static void unknown_actions(void) {
  no_new_privs();
  answer(SYS_getppid, 0x00120000);
  syscall(SYS_getppid);
}

static void in_strict_mode(long number) {
  OK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT));
  syscall(SYS_write, -1, NULL, 0);
  syscall(number, 0);
}

static void strict_exit(void) { in_strict_mode(SYS_exit); }
static void strict_getpid(void) { in_strict_mode(SYS_getpid); }
static void strict_exit_group(void) { in_strict_mode(SYS_exit_group); }

static void endings_are_told(void) {
  CHECK_EQ(WTERMSIG(wait_status(trapped_while_blocked)), SIGSYS);
  CHECK_EQ(WTERMSIG(wait_status(killed_as_process)), SIGSYS);
  CHECK_EQ(WTERMSIG(wait_status(killed_as_process_from_a_thread)), SIGSYS);
  CHECK_EQ(WTERMSIG(wait_status(killed_as_single_thread)), SIGSYS);
  CHECK_EQ(WTERMSIG(wait_status(unknown_actions)), SIGSYS);
  CHECK_EQ(wait_status(strict_exit), 0);
  CHECK_EQ(WTERMSIG(wait_status(strict_getpid)), SIGKILL);
  CHECK_EQ(WTERMSIG(wait_status(strict_exit_group)), SIGKILL);
}

static void filters_go_with_fork_and_exec(void) {
  no_new_privs();
  answer(SYS_getppid, SECCOMP_RET_ERRNO | EXDEV);
  pid_t pid;
  IN_CHILD(pid) { CHECK_ERRNO(syscall(SYS_getppid), EXDEV); }
  WAIT_OK(pid);
  IN_CHILD(pid) {
    execl("/proc/self/exe", "seccomp_filters", "executed", NULL);
    FAIL("execl: %d", errno);
  }
  WAIT_OK(pid);
}

// ---- threads

static pthread_barrier_t barrier;

static void *meet_twice(void *expected) {
  pthread_barrier_wait(&barrier);
  pthread_barrier_wait(&barrier);
  if (expected) {
    CHECK_ERRNO(syscall(SYS_getppid), EXDEV);
    CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
  } else {
    CHECK(syscall(SYS_getppid) > 0);
  }
  return NULL;
}

static void *meet_with_a_filter_of_its_own(void *tid) {
  answer(SYS_getgid, SECCOMP_RET_ERRNO | EDOM);
  *(pid_t *)tid = gettid();
  return meet_twice(NULL);
}

static struct sock_filter refuse_getppid[] = {LOAD(nr), UNLESS(SYS_getppid, 1), RETURN(SECCOMP_RET_ERRNO | EXDEV),
                                              RETURN(SECCOMP_RET_ALLOW)};

static void threads_can_be_synchronised(void) {
  pthread_t threads[3];
  pthread_barrier_init(&barrier, NULL, COUNT(threads) + 1);
  for (size_t i = 0; i < COUNT(threads); i++) pthread_create(&threads[i], NULL, meet_twice, &barrier);
  pthread_barrier_wait(&barrier);
  no_new_privs();
  struct sock_fprog program = {COUNT(refuse_getppid), refuse_getppid};
  OK(seccomp(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program));
  pthread_barrier_wait(&barrier);
  for (size_t i = 0; i < COUNT(threads); i++) pthread_join(threads[i], NULL);
}

static void a_thread_with_other_filters_is_told(void) {
  pthread_t threads[2];
  static pid_t tid;
  no_new_privs();
  pthread_barrier_init(&barrier, NULL, COUNT(threads) + 1);
  pthread_create(&threads[0], NULL, meet_twice, NULL);
  pthread_create(&threads[1], NULL, meet_with_a_filter_of_its_own, &tid);
  pthread_barrier_wait(&barrier);
  struct sock_fprog program = {COUNT(refuse_getppid), refuse_getppid};
  CHECK_EQ(seccomp(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program), tid);
  CHECK_ERRNO(seccomp(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH, &program), ESRCH);
  CHECK(syscall(SYS_getppid) > 0);
  pthread_barrier_wait(&barrier);
  for (size_t i = 0; i < COUNT(threads); i++) pthread_join(threads[i], NULL);
}

// ---- tracers

static pid_t traced_child(void) {
  pid_t pid = fork();
  if (pid == 0) {
    no_new_privs();
    ptrace(PTRACE_TRACEME);
    raise(SIGSTOP);
    answer(SYS_getppid, SECCOMP_RET_TRACE | 99);
    int differs = syscall(SYS_getppid) != 1234;
    // Another call than the filter asked about, by the tracer's doing.
    differs |= syscall(SYS_getppid) != getpid() ? 2 : 0;
    differs |= syscall(SYS_getppid) != getppid() ? 4 : 0;
    _exit(differs);
  }
  int status;
  CHECK_EQ(waitpid(pid, &status, 0), pid);
  CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
  return pid;
}

// A child that is traced, and has stopped at the end of `body`.
static pid_t traced_child_of(void (*body)(void)) {
  pid_t pid;
  IN_CHILD(pid) {
    OK(ptrace(PTRACE_TRACEME, 0, 0, 0));
    body();
  }
  int status;
  CHECK_EQ(waitpid(pid, &status, 0), pid);
  CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
  return pid;
}

static void resume_to_event(pid_t pid) {
  int status;
  unsigned long message;
  OK(ptrace(PTRACE_CONT, pid, 0, 0));
  CHECK_EQ(waitpid(pid, &status, 0), pid);
  CHECK_EQ(status >> 8, SIGTRAP | PTRACE_EVENT_SECCOMP << 8);
  OK(ptrace(PTRACE_GETEVENTMSG, pid, 0, &message));
  CHECK_EQ(message, 99);
}

static void a_tracer_decides(void) {
  pid_t pid = traced_child();
  OK(ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESECCOMP | PTRACE_O_EXITKILL));
  struct user_regs_struct registers;
  resume_to_event(pid);
  OK(ptrace(PTRACE_GETREGS, pid, 0, &registers));
  CHECK_EQ(registers.orig_rax, SYS_getppid);
  registers.orig_rax = -1;
  registers.rax = 1234;
  OK(ptrace(PTRACE_SETREGS, pid, 0, &registers));
  resume_to_event(pid);
  OK(ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, orig_rax), SYS_getpid));
  resume_to_event(pid);
  // The fourth is the child's own getppid().
  resume_to_event(pid);
  OK(ptrace(PTRACE_CONT, pid, 0, 0));
  WAIT_OK(pid);
}

static void two_filters(void) {
  no_new_privs();
  struct sock_filter allow[] = {RETURN(SECCOMP_RET_ALLOW)};
  install(allow, COUNT(allow), SECCOMP_FILTER_FLAG_LOG);
  answer(SYS_getppid, SECCOMP_RET_ERRNO | EXDEV);
  raise(SIGSTOP);
}

static void a_tracer_reads_filters(void) {
  pid_t pid = traced_child_of(two_filters);
  struct { uint64_t number, flags; } told = {0, 77};
  struct sock_filter program[8];
  CHECK_EQ(ptrace(PTRACE_SECCOMP_GET_METADATA, pid, sizeof told, &told), sizeof told);
  CHECK(told.number == 0 && told.flags == SECCOMP_FILTER_FLAG_LOG);
  told.number = 1;
  CHECK_EQ(ptrace(PTRACE_SECCOMP_GET_METADATA, pid, 100, &told), sizeof told);
  CHECK(told.number == 1 && told.flags == 0);
  told.flags = 77;
  CHECK_EQ(ptrace(PTRACE_SECCOMP_GET_METADATA, pid, 8, &told), 8);
  CHECK_EQ(told.flags, 77);
  told.number = 2;
  CHECK_ERRNO(ptrace(PTRACE_SECCOMP_GET_METADATA, pid, sizeof told, &told), ENOENT);
  CHECK_ERRNO(ptrace(PTRACE_SECCOMP_GET_METADATA, pid, 7, &told), EINVAL);
  CHECK_EQ(ptrace(PTRACE_SECCOMP_GET_FILTER, pid, 0, NULL), 1);
  CHECK_EQ(ptrace(PTRACE_SECCOMP_GET_FILTER, pid, 1, program), 4);
  CHECK(program[1].k == SYS_getppid && program[2].k == (SECCOMP_RET_ERRNO | EXDEV));
  CHECK_ERRNO(ptrace(PTRACE_SECCOMP_GET_FILTER, pid, 2, program), ENOENT);
  CHECK_ERRNO(ptrace(PTRACE_SECCOMP_GET_FILTER, pid, 1, wild), EFAULT);
  OK(kill(pid, SIGKILL));
  WAIT_SIGNALED(pid, SIGKILL);
}

static void without_a_tracer(void) {
  no_new_privs();
  answer(SYS_getppid, SECCOMP_RET_TRACE);
  CHECK_ERRNO(syscall(SYS_getppid), ENOSYS);
}

static void long_chains_are_refused(void) {
  no_new_privs();
  static struct sock_filter filter[BPF_MAXINSNS];
  for (size_t i = 0; i < COUNT(filter); i++) filter[i] = (struct sock_filter)RETURN(SECCOMP_RET_ALLOW);
  struct sock_fprog program = {COUNT(filter), filter};
  int count = 0;
  while (seccomp(SECCOMP_SET_MODE_FILTER, 0, &program) == 0) count++;
  CHECK_EQ(errno, ENOMEM);
  CHECK_EQ(count, 3);
}

int main(int argc, char **argv) {
  if (argc > 1) {
    CHECK(!strcmp(argv[1], "executed"));
    CHECK_ERRNO(syscall(SYS_getppid), EXDEV);
    return 0;
  }
  in_child(arguments_are_checked);
  in_child(privileges_are_needed);
  in_child(errors_are_returned);
  in_child(arguments_are_seen);
  in_child(a_trap_is_a_signal_with_the_call);
  endings_are_told();
  in_child(a_killed_thread_leaves_the_others);
  in_child(filters_go_with_fork_and_exec);
  in_child(threads_can_be_synchronised);
  in_child(a_thread_with_other_filters_is_told);
  a_tracer_decides();
  a_tracer_reads_filters();
  in_child(without_a_tracer);
  in_child(long_chains_are_refused);
  return 0;
}
