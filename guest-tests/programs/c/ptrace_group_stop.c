// ptrace: group stops under PTRACE_ATTACH and PTRACE_SEIZE, PTRACE_INTERRUPT and PTRACE_LISTEN.
#include "tracees.h"

#define STOP(signal) ((signal) | PTRACE_EVENT_STOP << 8)

static pid_t resting_child(void) {
  pid_t pid;
  IN_CHILD(pid) {
    for (;;) pause();
  }
  return pid;
}

static void nothing_to_tell(pid_t pid) {
  int status;
  sleep_ms(50);
  CHECK_EQ(waitpid(pid, &status, WNOHANG | __WALL | WUNTRACED), 0);
}

static void end(pid_t pid) {
  OK(kill(pid, SIGKILL));
  WAIT_SIGNALED(pid, SIGKILL);
}

static void an_attached_tracee_stops_for_the_signal_and_for_the_group(void) {
  pid_t pid = resting_child();
  OK(ptrace(PTRACE_ATTACH, pid, 0, 0));
  CHECK_EQ(stop_of(pid), SIGSTOP);
  siginfo_t info;
  OK(ptrace(PTRACE_GETSIGINFO, pid, 0, &info));
  CHECK_EQ(info.si_signo, SIGSTOP);
  OK(ptrace(PTRACE_CONT, pid, 0, SIGSTOP));
  CHECK_EQ(stop_of(pid), SIGSTOP);
  // In the group stop there is no signal.
  CHECK_ERRNO(ptrace(PTRACE_GETSIGINFO, pid, 0, &info), EINVAL);
  CHECK_ERRNO(ptrace(PTRACE_LISTEN, pid, 0, 0), EIO);
  CHECK_ERRNO(ptrace(PTRACE_INTERRUPT, pid, 0, 0), EIO);
  OK(ptrace(PTRACE_CONT, pid, 0, 0));
  nothing_to_tell(pid);
  OK(kill(pid, SIGUSR1));
  CHECK_EQ(stop_of(pid), SIGUSR1);
  end(pid);
}

static void interrupt_stops_a_seized_tracee(void) {
  pid_t pid = resting_child();
  OK(ptrace(PTRACE_SEIZE, pid, 0, 0));
  nothing_to_tell(pid);
  for (int i = 0; i < 3; i++) {
    OK(ptrace(PTRACE_INTERRUPT, pid, 0, 0));
    CHECK_EQ(stop_of(pid), STOP(SIGTRAP));
    siginfo_t info;
    OK(ptrace(PTRACE_GETSIGINFO, pid, 0, &info));
    CHECK_EQ(info.si_signo, SIGTRAP);
    CHECK_EQ(info.si_code, STOP(SIGTRAP));
    OK(ptrace(PTRACE_CONT, pid, 0, 0));
  }
  nothing_to_tell(pid);
  end(pid);
}

static void a_seized_tracee_listens_through_a_group_stop(void) {
  pid_t pid = resting_child();
  OK(ptrace(PTRACE_SEIZE, pid, 0, 0));
  OK(kill(pid, SIGTSTP));
  CHECK_EQ(stop_of(pid), SIGTSTP);
  CHECK_ERRNO(ptrace(PTRACE_LISTEN, pid, 0, 0), EIO);
  OK(ptrace(PTRACE_CONT, pid, 0, SIGTSTP));
  CHECK_EQ(stop_of(pid), STOP(SIGTSTP));
  OK(ptrace(PTRACE_LISTEN, pid, 0, 0));
  nothing_to_tell(pid);
  CHECK_ERRNO(ptrace(PTRACE_CONT, pid, 0, 0), ESRCH);
  // An interruption makes it tell of the stop again.
  OK(ptrace(PTRACE_INTERRUPT, pid, 0, 0));
  CHECK_EQ(stop_of(pid), STOP(SIGTSTP));
  OK(ptrace(PTRACE_LISTEN, pid, 0, 0));
  nothing_to_tell(pid);
  OK(kill(pid, SIGCONT));
  CHECK_EQ(stop_of(pid), STOP(SIGTRAP));
  OK(ptrace(PTRACE_CONT, pid, 0, 0));
  CHECK_EQ(stop_of(pid), SIGCONT);
  OK(ptrace(PTRACE_CONT, pid, 0, SIGCONT));
  nothing_to_tell(pid);
  end(pid);
}

static void a_stopped_process_can_be_seized_and_left_stopped(void) {
  pid_t pid = resting_child();
  int status;
  OK(kill(pid, SIGSTOP));
  CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
  CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
  OK(ptrace(PTRACE_SEIZE, pid, 0, 0));
  CHECK_EQ(stop_of(pid), STOP(SIGSTOP));
  OK(ptrace(PTRACE_DETACH, pid, 0, 0));
  sleep_ms(50);
  char text[4096], path[64];
  snprintf(path, sizeof path, "/proc/%d/status", pid);
  read_file(path, text, sizeof text);
  CHECK(strstr(text, "State:\tT (stopped)") != NULL);
  OK(kill(pid, SIGCONT));
  CHECK_EQ(waitpid(pid, &status, WCONTINUED), pid);
  CHECK(WIFCONTINUED(status));
  end(pid);
}

static void children_of_the_seized_stop_before_they_run(void) {
  pid_t pid;
  int go[2];
  OK(pipe(go));
  IN_CHILD(pid) {
    char byte;
    CHECK_EQ(read(go[0], &byte, 1), 1);
    pid_t child = fork();
    if (child == 0) _exit(0);
    waitpid(child, NULL, 0);
    _exit(8);
  }
  OK(ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACEFORK));
  OK(write(go[1], "", 1));
  CHECK_EQ(stop_of(pid), SIGTRAP | PTRACE_EVENT_FORK << 8);
  unsigned long child;
  OK(ptrace(PTRACE_GETEVENTMSG, pid, 0, &child));
  CHECK_EQ(stop_of(child), STOP(SIGTRAP));
  OK(ptrace(PTRACE_DETACH, (pid_t)child, 0, 0));
  OK(ptrace(PTRACE_DETACH, pid, 0, 0));
  WAIT_EXIT(pid, 8);
}

// As strace(1) begins: the stop may be told of before or after it has ended, and a tracer that listens hears of its end.
static void the_end_of_a_stop_at_once_after_the_seizure_is_told(void) {
  for (int round = 0; round < 400; round++) {
    pid_t pid;
    int status, is_over = 0;
    IN_CHILD(pid) {
      raise(SIGSTOP);
      _exit(8);
    }
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    OK(ptrace(PTRACE_SEIZE, pid, 0, 0));
    for (volatile int spins = round * 250; spins > 0; spins--) {}
    OK(kill(pid, SIGCONT));
    while (!is_over) {
      CHECK_EQ(waitpid(pid, &status, __WALL), pid);
      is_over = WIFEXITED(status);
      if (is_over) continue;
      int stop = status >> 8;
      if (stop == STOP(SIGSTOP)) {
        OK(ptrace(PTRACE_LISTEN, pid, 0, 0));
      } else {
        CHECK_CASE(stop == STOP(SIGTRAP) || stop == SIGCONT, "stop %#x", stop);
        resume(pid);
      }
    }
    CHECK_EQ(WEXITSTATUS(status), 8);
  }
}

int main(void) {
  an_attached_tracee_stops_for_the_signal_and_for_the_group();
  interrupt_stops_a_seized_tracee();
  a_seized_tracee_listens_through_a_group_stop();
  a_stopped_process_can_be_seized_and_left_stopped();
  children_of_the_seized_stop_before_they_run();
  the_end_of_a_stop_at_once_after_the_seizure_is_told();
}
