// ptrace: system calls that the tracer emulates (PTRACE_SYSEMU), and what a new child's first stop tells.
#include "check.h"
#include <sys/ptrace.h>
#include <sys/reg.h>
#include <sys/user.h>

#define SYSEMU 31
#define SYSEMU_SINGLESTEP 32
#define SYSGOOD_TRAP (SIGTRAP | 0x80)

static pid_t tracee;

static int wait_for_stop(void) {
  int status = WAIT(tracee);
  CHECK_CASE(WIFSTOPPED(status), "%#x", status);
  return WSTOPSIG(status);
}

static void resume(int request) { OK(ptrace(request, tracee, 0, 0)); }

static struct user_regs_struct registers(void) {
  struct user_regs_struct words;
  OK(ptrace(PTRACE_GETREGS, tracee, 0, &words));
  return words;
}

static void begin(void (*body)(void)) {
  IN_CHILD(tracee) {
    OK(ptrace(PTRACE_TRACEME, 0, 0, 0));
    raise(SIGSTOP);
    body();
  }
  CHECK_EQ(wait_for_stop(), SIGSTOP);
  OK(ptrace(PTRACE_SETOPTIONS, tracee, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL));
}

static void call_twice(void) {
  long first = syscall(777, 1, 2, 3);
  long second = syscall(SYS_getppid);
  syscall(SYS_exit_group, first == 4242 && second == getppid() ? 0 : 1);
}

static void calls_are_left_to_the_tracer(void) {
  begin(call_twice);
  resume(SYSEMU);
  CHECK_EQ(wait_for_stop(), SYSGOOD_TRAP);
  struct user_regs_struct words = registers();
  CHECK_EQ(words.orig_rax, 777);
  CHECK_EQ(words.rdi, 1);
  CHECK_EQ(words.rdx, 3);
  CHECK_EQ((long)words.rax, -ENOSYS);
  struct __ptrace_syscall_info info;
  OK(ptrace(PTRACE_GET_SYSCALL_INFO, tracee, sizeof info, &info));
  CHECK_EQ(info.op, PTRACE_SYSCALL_INFO_ENTRY);
  CHECK_EQ(info.entry.nr, 777);
  words.rax = 4242;
  OK(ptrace(PTRACE_SETREGS, tracee, 0, &words));
  // There is no stop at the end of a call that was not made.
  resume(SYSEMU);
  CHECK_EQ(wait_for_stop(), SYSGOOD_TRAP);
  words = registers();
  CHECK_EQ(words.orig_rax, SYS_getppid);
  words.rax = getpid();
  OK(ptrace(PTRACE_SETREGS, tracee, 0, &words));
  // The mode at the begin of a call says whether it is made.
  resume(PTRACE_SYSCALL);
  CHECK_EQ(wait_for_stop(), SYSGOOD_TRAP);
  CHECK_EQ(registers().rax, getpid());
  resume(PTRACE_SYSCALL);
  CHECK_EQ(wait_for_stop(), SYSGOOD_TRAP);
  CHECK_EQ(registers().orig_rax, SYS_getppid);
  resume(PTRACE_SYSCALL);
  CHECK_EQ(wait_for_stop(), SYSGOOD_TRAP);
  CHECK_EQ(registers().rax, getpid());
  resume(PTRACE_CONT);
  WAIT_OK(tracee);
}

static void step_into_call(void) {
  long result;
  __asm__ volatile("nop; nop; mov $777, %%eax; syscall; nop; nop; nop" : "=a"(result)::"rcx", "r11", "memory");
  syscall(SYS_exit_group, result == 5 ? 0 : 1);
}

static void steps_stop_at_calls_too(void) {
  begin(step_into_call);
  int calls = 0;
  long long steps_after = -1;
  // The rest of raise makes calls, which steps make: only this one is emulated.
  for (;;) {
    struct user_regs_struct words = registers();
    errno = 0;
    long code = ptrace(PTRACE_PEEKTEXT, tracee, words.rip, 0);
    int is_call = errno == 0 && (code & 0xffff) == 0x050f && words.rax == 777;
    if (is_call || steps_after >= 0) resume(SYSEMU_SINGLESTEP);
    else resume(PTRACE_SINGLESTEP);
    int signal = wait_for_stop();
    words = registers();
    if (is_call) {
      CHECK_EQ(signal, SYSGOOD_TRAP);
      CHECK_EQ(words.orig_rax, 777);
      calls++;
      words.rax = 5;
      OK(ptrace(PTRACE_SETREGS, tracee, 0, &words));
      steps_after = words.rip;
      continue;
    }
    CHECK_EQ(signal, SIGTRAP);
    if (steps_after >= 0) {
      // No stop for the end of the call: the next is after the instruction that follows it.
      CHECK_EQ(words.rip, steps_after + 1);
      CHECK_EQ(words.rax, 5);
      break;
    }
  }
  CHECK_EQ(calls, 1);
  resume(PTRACE_CONT);
  WAIT_OK(tracee);
}

static void fork_once(void) {
  pid_t pid = fork();
  if (pid == 0) _exit(0);
  WAIT_OK(pid);
  _exit(0);
}

static void a_child_begins_in_the_call_that_made_it(void) {
  begin(fork_once);
  OK(ptrace(PTRACE_SETOPTIONS, tracee, 0, PTRACE_O_TRACEFORK | PTRACE_O_TRACECLONE));
  resume(PTRACE_CONT);
  CHECK_EQ(wait_for_stop(), SIGTRAP);
  unsigned long child;
  OK(ptrace(PTRACE_GETEVENTMSG, tracee, 0, &child));
  long parents_call = registers().orig_rax;
  pid_t parent = tracee;
  tracee = child;
  CHECK_EQ(wait_for_stop(), SIGSTOP);
  struct user_regs_struct words = registers();
  CHECK_EQ(words.orig_rax, parents_call);
  CHECK_EQ(words.rax, 0);
  resume(PTRACE_CONT);
  tracee = parent;
  resume(PTRACE_CONT);
  int status = 0;
  CHECK_EQ(waitpid(child, &status, __WALL), (pid_t)child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  for (;;) {
    CHECK_EQ(waitpid(parent, &status, __WALL), parent);
    if (WIFEXITED(status)) break;
    CHECK_EQ(WSTOPSIG(status), SIGCHLD);
    OK(ptrace(PTRACE_CONT, parent, 0, SIGCHLD));
  }
  CHECK_EQ(WEXITSTATUS(status), 0);
}

static void *sleep_forever(void *argument) {
  for (;;) pause();
  return argument;
}

static void *execute(void *argument) {
  char *arguments[] = {"true", NULL};
  execv("/bin/true", arguments);
  return argument;
}

static void execute_with_threads(void) {
  pthread_t sleeping = start_thread(sleep_forever, NULL), executing = start_thread(execute, NULL);
  (void)sleeping, (void)executing;
  for (;;) pause();
}

// execve goes on only when the tracer has waited for the threads that it ends.
static void exec_waits_until_threads_are_reaped(void) {
  begin(execute_with_threads);
  OK(ptrace(PTRACE_SETOPTIONS, tracee, 0, PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC));
  // A thread may stop before it is announced: it goes on afterwards, lest it executes and its announcement is lost.
  pid_t announced[2] = {0}, early = 0;
  resume(PTRACE_CONT);
  int clones = 0, ended = 0, executed = 0;
  while (!executed) {
    int status;
    pid_t pid = OK(waitpid(-1, &status, __WALL));
    if (WIFEXITED(status)) {
      CHECK(pid != tracee);
      ended++;
      continue;
    }
    CHECK(WIFSTOPPED(status));
    if (status >> 8 == (SIGTRAP | PTRACE_EVENT_CLONE << 8)) {
      unsigned long child;
      OK(ptrace(PTRACE_GETEVENTMSG, pid, 0, &child));
      CHECK(clones < 2);
      announced[clones++] = child;
      if (early == (pid_t)child) {
        OK(ptrace(PTRACE_CONT, early, 0, 0));
        early = 0;
      }
    } else if (pid != tracee && pid != announced[0] && pid != announced[1]) {
      CHECK_EQ(early, 0);
      early = pid;
      continue;
    }
    if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXEC << 8)) {
      CHECK_EQ(pid, tracee);
      executed = 1;
    }
    OK(ptrace(PTRACE_CONT, pid, 0, 0));
  }
  CHECK_EQ(clones, 2);
  CHECK_EQ(ended, 1);
  WAIT_OK(tracee);
}

int main(void) {
  calls_are_left_to_the_tracer();
  steps_stop_at_calls_too();
  a_child_begins_in_the_call_that_made_it();
  exec_waits_until_threads_are_reaped();
  return 0;
}
