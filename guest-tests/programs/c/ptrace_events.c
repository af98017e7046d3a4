// ptrace: fork, vfork, clone, exec and exit as events; who is traced with whom; threads and their ends.
#include "tracees.h"

static unsigned long message_of(pid_t pid) {
  unsigned long message;
  OK(ptrace(PTRACE_GETEVENTMSG, pid, 0, &message));
  return message;
}

static void fork_once(void) {
  pid_t pid = fork();
  if (pid == 0) _exit(3);
  int status;
  CHECK_EQ(waitpid(pid, &status, 0), pid);
  _exit(WEXITSTATUS(status) + 1);
}

static void vfork_once(void) {
  pid_t pid = vfork();
  if (pid == 0) _exit(3);
  _exit(4);
}

static void forks_are_events_and_children_are_traced(void) {
  pid_t pid = traced_child(fork_once, PTRACE_O_TRACEFORK);
  NEXT_STOP(pid, PTRACE_CONT, EVENT(PTRACE_EVENT_FORK));
  siginfo_t info = siginfo_of(pid);
  CHECK_EQ(info.si_code, EVENT(PTRACE_EVENT_FORK));
  pid_t child = message_of(pid);
  CHECK(child > 0 && child != pid);
  CHECK_EQ(stop_of(child), SIGSTOP);
  struct user_regs_struct registers = registers_of(child);
  CHECK_EQ(registers.rax, 0);
  resume(child);
  resume(pid);
  // The tracer sees the end first, and then the parent does.
  WAIT_EXIT(child, 3);
  CHECK_EQ(stop_of(pid), SIGCHLD);
  resume_by(pid, PTRACE_CONT, SIGCHLD);
  WAIT_EXIT(pid, 4);
}

static void vfork_tells_twice(void) {
  pid_t pid = traced_child(vfork_once, PTRACE_O_TRACEVFORK | PTRACE_O_TRACEVFORKDONE);
  NEXT_STOP(pid, PTRACE_CONT, EVENT(PTRACE_EVENT_VFORK));
  pid_t child = message_of(pid);
  CHECK_EQ(stop_of(child), SIGSTOP);
  resume(pid);
  int status;
  CHECK_EQ(waitpid(pid, &status, WNOHANG | __WALL), 0);
  resume(child);
  WAIT_EXIT(child, 3);
  CHECK_EQ(stop_of(pid), EVENT(PTRACE_EVENT_VFORK_DONE));
  CHECK_EQ(message_of(pid), child);
  resume(pid);
  int stop = waitpid(pid, &status, 0) == pid && WIFSTOPPED(status);
  if (stop) {
    CHECK_EQ(WSTOPSIG(status), SIGCHLD);
    resume(pid);
    WAIT_EXIT(pid, 4);
  } else {
    CHECK_EQ(WEXITSTATUS(status), 4);
  }
}

static void *in_thread(void *argument) {
  syscall(SYS_getppid);
  return argument;
}

static void make_thread(void) {
  join_thread(start_thread(in_thread, NULL));
  exit(6);
}

static void threads_are_traced_and_waited_for(void) {
  pid_t pid = traced_child(make_thread, PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXIT);
  NEXT_STOP(pid, PTRACE_CONT, EVENT(PTRACE_EVENT_CLONE));
  pid_t thread = message_of(pid);
  CHECK_EQ(stop_of(thread), SIGSTOP);
  resume(pid);
  NEXT_STOP(thread, PTRACE_CONT, EVENT(PTRACE_EVENT_EXIT));
  CHECK_EQ(message_of(thread), 0);
  resume(thread);
  int status;
  CHECK_EQ(waitpid(thread, &status, __WALL), thread);
  // If the process has begun to end meanwhile, its own status counts.
  CHECK(status == 0 || status == 6 << 8);
  CHECK_EQ(stop_of(pid), EVENT(PTRACE_EVENT_EXIT));
  CHECK_EQ(message_of(pid), 6 << 8);
  struct user_regs_struct registers = registers_of(pid);
  CHECK_EQ(registers.orig_rax, SYS_exit_group);
  resume(pid);
  WAIT_EXIT(pid, 6);
}

static void *execute(void *argument) {
  (void)argument;
  execl("/bin/true", "true", (char *)NULL);
  _exit(1);
}

static void exec_in_thread(void) {
  start_thread(execute, NULL);
  for (;;) pause();
}

static void exec_by_a_thread_takes_the_leader_s_number(void) {
  pid_t pid = traced_child(exec_in_thread, PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC);
  NEXT_STOP(pid, PTRACE_CONT, EVENT(PTRACE_EVENT_CLONE));
  pid_t thread = message_of(pid);
  CHECK_EQ(stop_of(thread), SIGSTOP);
  resume(pid);
  resume(thread);
  CHECK_EQ(stop_of(pid), EVENT(PTRACE_EVENT_EXEC));
  CHECK_EQ(message_of(pid), thread);
  CHECK_ERRNO(waitpid(thread, NULL, __WALL), ECHILD);
  struct user_regs_struct registers = registers_of(pid);
  CHECK_EQ(registers.orig_rax, SYS_execve);
  CHECK_EQ(registers.rbp, 0);
  resume(pid);
  WAIT_EXIT(pid, 0);
}

static void exec_alone(void) { execute(NULL); }

static void exec_without_the_option_is_a_trap(void) {
  pid_t pid = traced_child(exec_alone, 0);
  NEXT_STOP(pid, PTRACE_CONT, SIGTRAP);
  siginfo_t info = siginfo_of(pid);
  CHECK_EQ(info.si_code, SI_USER);
  resume(pid);
  WAIT_EXIT(pid, 0);
}

static void kill_oneself(void) { raise(SIGTERM); }

static void death_by_signal_is_an_exit_event(void) {
  pid_t pid = traced_child(kill_oneself, PTRACE_O_TRACEEXIT);
  NEXT_STOP(pid, PTRACE_CONT, SIGTERM);
  resume_by(pid, PTRACE_CONT, SIGTERM);
  CHECK_EQ(stop_of(pid), EVENT(PTRACE_EVENT_EXIT));
  CHECK_EQ(message_of(pid), SIGTERM);
  resume(pid);
  WAIT_SIGNALED(pid, SIGTERM);
}

static void rest(void) {
  for (;;) pause();
}

static void the_end_of_a_tracer_frees_or_kills(void) {
  for (int kills = 0; kills <= 1; kills++) {
    pid_t target, tracer;
    IN_CHILD(target) { rest(); }
    IN_CHILD(tracer) {
      OK(ptrace(PTRACE_SEIZE, target, 0, kills ? PTRACE_O_EXITKILL : 0));
      OK(ptrace(PTRACE_INTERRUPT, target, 0, 0));
      CHECK_EQ(stop_of(target), EVENT(PTRACE_EVENT_STOP));
    }
    WAIT_OK(tracer);
    if (!kills) {
      sleep_ms(50);
      CHECK_EQ(waitpid(target, NULL, WNOHANG), 0);
      char status[4096], path[64];
      snprintf(path, sizeof path, "/proc/%d/status", target);
      read_file(path, status, sizeof status);
      CHECK(strstr(status, "TracerPid:\t0\n") != NULL);
      OK(kill(target, SIGKILL));
    }
    WAIT_SIGNALED(target, SIGKILL);
  }
}

static void a_stranger_traces_and_the_parent_waits(void) {
  pid_t target, tracer;
  int *is_attached = map_shared(PAGE);
  IN_CHILD(target) { rest(); }
  IN_CHILD(tracer) {
    OK(ptrace(PTRACE_ATTACH, target, 0, 0));
    CHECK_EQ(stop_of(target), SIGSTOP);
    char status[4096], path[64], line[64];
    snprintf(path, sizeof path, "/proc/%d/status", target);
    read_file(path, status, sizeof status);
    snprintf(line, sizeof line, "TracerPid:\t%d\n", getpid());
    CHECK(strstr(status, line) != NULL);
    CHECK(strstr(status, "State:\tt (tracing stop)") != NULL);
    *is_attached = 1;
    resume(target);
    siginfo_t info;
    OK(waitid(P_PID, target, &info, WEXITED));
    CHECK_EQ(info.si_code, CLD_TRAPPED);
    CHECK_EQ(info.si_status, SIGUSR1);
    resume_by(target, PTRACE_CONT, SIGUSR1);
    sleep_ms(200);
    int end;
    CHECK_EQ(waitpid(target, &end, 0), target);
    CHECK(WIFSIGNALED(end) && WTERMSIG(end) == SIGUSR1);
    CHECK_ERRNO(waitpid(target, &end, 0), ECHILD);
  }
  while (!*(volatile int *)is_attached) sleep_ms(5);
  CHECK_EQ(waitpid(target, NULL, WNOHANG), 0);
  OK(kill(target, SIGUSR1));
  sleep_ms(100);
  // The tracer has not waited yet.
  CHECK_EQ(waitpid(target, NULL, WNOHANG), 0);
  WAIT_SIGNALED(target, SIGUSR1);
  WAIT_OK(tracer);
}

static void detaching_can_leave_a_signal(void) {
  pid_t target;
  IN_CHILD(target) { rest(); }
  OK(ptrace(PTRACE_ATTACH, target, 0, 0));
  CHECK_EQ(stop_of(target), SIGSTOP);
  OK(ptrace(PTRACE_DETACH, target, 0, SIGTERM));
  WAIT_SIGNALED(target, SIGTERM);
}

int main(void) {
  forks_are_events_and_children_are_traced();
  vfork_tells_twice();
  threads_are_traced_and_waited_for();
  exec_by_a_thread_takes_the_leader_s_number();
  exec_without_the_option_is_a_trap();
  death_by_signal_is_an_exit_event();
  the_end_of_a_tracer_frees_or_kills();
  a_stranger_traces_and_the_parent_waits();
  detaching_can_leave_a_signal();
}
