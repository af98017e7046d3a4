// Children under ptrace: how they begin, their stops, and how they go on.
#ifndef TRACEES_H
#define TRACEES_H

#include "check.h"
#include <sys/ptrace.h>
#include <sys/user.h>

// The stop that PTRACE_O_TRACE* and PTRACE_SEIZE report, as `stop_of` tells it.
#define EVENT(number) (SIGTRAP | (number) << 8)

// Waits for the next stop of a tracee: the signal, and an event above it.
UNUSED static int stop_of(pid_t pid) {
  int status;
  CHECK_EQ(waitpid(pid, &status, __WALL), pid);
  CHECK_CASE(WIFSTOPPED(status), "status %#x", status);
  return status >> 8;
}

// A child that is traced and has stopped before it runs `body`; when that returns it exits with 9.
UNUSED static pid_t traced_child(void (*body)(void), long options) {
  pid_t pid;
  IN_CHILD(pid) {
    OK(ptrace(PTRACE_TRACEME, 0, 0, 0));
    raise(SIGSTOP);
    body();
    _exit(9);
  }
  CHECK_EQ(stop_of(pid), SIGSTOP);
  OK(ptrace(PTRACE_SETOPTIONS, pid, 0, options));
  return pid;
}

// Lets a tracee go on by PTRACE_CONT, PTRACE_SYSCALL, ... with a signal, or 0.
UNUSED static void resume_by(pid_t pid, int request, int signal) { OK(ptrace(request, pid, 0, (long)signal)); }

UNUSED static void resume(pid_t pid) { resume_by(pid, PTRACE_CONT, 0); }

// Lets a tracee go on and waits for its next stop, which is this one.
#define NEXT_STOP(pid, request, expected) \
  do { \
    resume_by(pid, request, 0); \
    CHECK_EQ(stop_of(pid), expected); \
  } while (0)

UNUSED static siginfo_t siginfo_of(pid_t pid) {
  siginfo_t info;
  OK(ptrace(PTRACE_GETSIGINFO, pid, 0, &info));
  return info;
}

UNUSED static struct user_regs_struct registers_of(pid_t pid) {
  struct user_regs_struct registers;
  OK(ptrace(PTRACE_GETREGS, pid, 0, &registers));
  return registers;
}

#endif
