// The end of a PID namespace's first process: everything in the namespace ends with it, and nothing begins there any more.
#include "check.h"
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static pid_t clone_init(void) {
  pid_t pid = syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
  CHECK(pid >= 0);
  return pid;
}

// Waits until no process has the other end of this pipe.
static void wait_until_closed(int end) {
  char byte;
  while (OK(read(end, &byte, 1)) > 0) {}
}

static void wait_for_byte(int end) {
  char byte;
  CHECK_EQ(read(end, &byte, 1), 1);
}

static void all_end_with_the_first(void) {
  int held[2], ready[2];
  OK(pipe(held));
  OK(pipe(ready));
  pid_t init = clone_init();
  if (init == 0) {
    close(held[0]);
    CHECK_EQ(getpid(), 1);
    CHECK_EQ(getppid(), 0);
    for (int i = 0; i < 3; i++) {
      pid_t pid;
      IN_CHILD(pid) {
        CHECK_EQ(getpid(), i + 2);
        CHECK_EQ(getppid(), 1);
        // One in a session of its own, one that blocks all signals, one that stops.
        if (i == 0) OK(setsid());
        sigset_t all;
        sigfillset(&all);
        if (i == 1) OK(sigprocmask(SIG_SETMASK, &all, NULL));
        OK(write(ready[1], "x", 1));
        if (i == 2) raise(SIGSTOP);
        for (;;) pause();
      }
    }
    for (;;) pause();
  }
  close(held[1]);
  for (int i = 0; i < 3; i++) wait_for_byte(ready[0]);
  OK(kill(init, SIGKILL));
  wait_until_closed(held[0]);
  WAIT_SIGNALED(init, SIGKILL);
  CHECK_ERRNO(waitpid(-1, NULL, 0), ECHILD);
  close(held[0]), close(ready[0]), close(ready[1]);
}

static void an_init_that_exits_takes_all_with_it(void) {
  int held[2];
  OK(pipe(held));
  pid_t init = clone_init();
  if (init == 0) {
    pid_t pid;
    IN_CHILD(pid) {
      OK(prctl(PR_SET_PDEATHSIG, SIGUSR1));
      for (;;) pause();
    }
    _exit(6);
  }
  close(held[1]);
  WAIT_EXIT(init, 6);
  wait_until_closed(held[0]);
  close(held[0]);
}

static void orphans_are_the_first_ones_to_wait_for(void) {
  pid_t init = clone_init();
  if (init == 0) {
    pid_t child;
    int gone[2];
    OK(pipe(gone));
    IN_CHILD(child) {
      pid_t grandchild;
      IN_CHILD(grandchild) {
        close(gone[1]);
        wait_until_closed(gone[0]);
        while (getppid() != 1) usleep(1000);
        _exit(7);
      }
      CHECK_EQ(grandchild, 3);
    }
    close(gone[1]);
    WAIT_OK(child);
    int status;
    CHECK_EQ(waitpid(-1, &status, 0), 3);
    CHECK_EQ(WEXITSTATUS(status), 7);
    _exit(0);
  }
  WAIT_OK(init);
}

static void nothing_begins_after_the_end(void) {
  pid_t parent;
  IN_CHILD(parent) {
    OK(unshare(CLONE_NEWPID));
    pid_t init;
    IN_CHILD(init) CHECK_EQ(getpid(), 1);
    WAIT_OK(init);
    CHECK_ERRNO(fork(), ENOMEM);
    CHECK_ERRNO(syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0), EINVAL);
  }
  WAIT_OK(parent);
}

static void signals_from_inside_do_not_harm_the_first(void) {
  int ready[2];
  OK(pipe(ready));
  pid_t init = clone_init();
  if (init == 0) {
    pid_t child;
    IN_CHILD(child) {
      OK(kill(1, SIGKILL));
      OK(kill(1, SIGTERM));
      OK(kill(1, SIGSTOP));
      CHECK_ERRNO(kill(-1, SIGUSR1), ESRCH);
    }
    WAIT_OK(child);
    OK(write(ready[1], "x", 1));
    for (;;) pause();
  }
  wait_for_byte(ready[0]);
  // From outside, only what cannot be handled gets through.
  OK(kill(init, SIGTERM));
  int status;
  usleep(20000);
  CHECK_EQ(waitpid(init, &status, WNOHANG), 0);
  OK(kill(init, SIGSTOP));
  CHECK_EQ(waitpid(init, &status, WUNTRACED), init);
  CHECK(WIFSTOPPED(status));
  OK(kill(init, SIGKILL));
  WAIT_SIGNALED(init, SIGKILL);
}

static void a_dead_namespace_inside_of_another(void) {
  pid_t outer = clone_init();
  if (outer == 0) {
    pid_t inner = clone_init();
    if (inner == 0) {
      pid_t child;
      IN_CHILD(child) for (;;) pause();
      for (;;) pause();
    }
    CHECK_EQ(inner, 2);
    usleep(10000);
    OK(kill(inner, SIGKILL));
    WAIT_SIGNALED(inner, SIGKILL);
    // Its numbers are free, and the outer namespace lives.
    CHECK_ERRNO(kill(3, 0), ESRCH);
    pid_t pid;
    IN_CHILD(pid) _exit(0);
    WAIT_OK(pid);
    _exit(0);
  }
  WAIT_OK(outer);
}

int main(void) {
  all_end_with_the_first();
  an_init_that_exits_takes_all_with_it();
  orphans_are_the_first_ones_to_wait_for();
  nothing_begins_after_the_end();
  signals_from_inside_do_not_harm_the_first();
  a_dead_namespace_inside_of_another();
  return 0;
}
