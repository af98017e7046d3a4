// Process groups and sessions: membership, inheritance, the errors of setpgid and setsid, kill by group.
#include "check.h"

static void children_inherit_group_and_session(void) {
  pid_t pid;
  IN_CHILD(pid) {
    CHECK_EQ(getpgrp(), getpgid(getppid()));
    CHECK_EQ(getsid(0), getsid(getppid()));
  }
  WAIT_OK(pid);
}

static void setsid_makes_a_leader(void) {
  pid_t pid;
  IN_CHILD(pid) {
    CHECK_EQ(OK(setsid()), getpid());
    CHECK_EQ(getsid(0), getpid());
    CHECK_EQ(getpgrp(), getpid());
    CHECK_ERRNO(setsid(), EPERM);
    CHECK_ERRNO(setpgid(0, 0), EPERM); // A session leader stays in its group.
  }
  WAIT_OK(pid);
  IN_CHILD(pid) {
    OK(setpgid(0, 0));
    CHECK_ERRNO(setsid(), EPERM); // A group leader cannot.
  }
  WAIT_OK(pid);
}

static void setpgid_refuses(void) {
  pid_t self = getpid(), pid;
  CHECK_ERRNO(setpgid(0, -1), EINVAL);
  CHECK_ERRNO(setpgid(-5, 0), EINVAL);
  CHECK_ERRNO(setpgid(0x3ffffff, 0), ESRCH);
  CHECK_ERRNO(setpgid(0, 0x3ffffff), EPERM);
  CHECK_ERRNO(getpgid(0x3ffffff), ESRCH);
  CHECK_ERRNO(getsid(0x3ffffff), ESRCH);
  IN_CHILD(pid) {
    CHECK_ERRNO(setpgid(self, 0), ESRCH); // Only itself and its children.
  }
  WAIT_OK(pid);
  int ready[2];
  char byte;
  OK(pipe(ready));
  IN_CHILD(pid) {
    OK(setsid());
    OK(write(ready[1], "x", 1));
    pause();
  }
  CHECK_EQ(read(ready[0], &byte, 1), 1);
  CHECK_ERRNO(setpgid(pid, getpgrp()), EPERM); // In another session.
  OK(kill(pid, SIGKILL));
  WAIT_SIGNALED(pid, SIGKILL);
  IN_CHILD(pid) {
    execl("/bin/sh", "sh", "-c", "echo >&$0; exec sleep 20", ready[1] == 4 ? "4" : "1", (char *)NULL);
    _exit(127);
  }
  if (ready[1] == 4) {
    CHECK_EQ(read(ready[0], &byte, 1), 1);
    CHECK_ERRNO(setpgid(pid, pid), EACCES); // Has executed already.
  }
  OK(kill(pid, SIGKILL));
  WAIT_SIGNALED(pid, SIGKILL);
}

static void kill_reaches_the_whole_group(void) {
  enum { N = 4 };
  pid_t children[N], group = 0;
  int ready[2];
  char byte;
  OK(pipe(ready));
  for (int i = 0; i < N; i++) {
    IN_CHILD(children[i]) {
      OK(setpgid(0, group));
      OK(write(ready[1], "x", 1));
      pause();
    }
    CHECK_EQ(read(ready[0], &byte, 1), 1);
    if (i == 0) group = children[0];
    CHECK_EQ(getpgid(children[i]), group);
  }
  OK(kill(-group, 0));
  OK(killpg(group, SIGTERM));
  for (int i = 0; i < N; i++) WAIT_SIGNALED(children[i], SIGTERM);
  CHECK_ERRNO(kill(-group, SIGTERM), ESRCH);
}

static void a_group_outlives_its_leader(void) {
  pid_t leader, member;
  int gate[2];
  char byte;
  OK(pipe(gate));
  IN_CHILD(leader) {
    OK(setpgid(0, 0));
    OK(write(gate[1], "x", 1));
    pause();
  }
  CHECK_EQ(read(gate[0], &byte, 1), 1);
  IN_CHILD(member) {
    OK(setpgid(0, leader));
    OK(write(gate[1], "x", 1));
    pause();
  }
  CHECK_EQ(read(gate[0], &byte, 1), 1);
  OK(kill(leader, SIGKILL));
  WAIT_SIGNALED(leader, SIGKILL);
  CHECK_EQ(getpgid(member), leader);
  CHECK_ERRNO(kill(leader, 0), ESRCH);
  OK(kill(-leader, SIGTERM));
  WAIT_SIGNALED(member, SIGTERM);
}

static void orphaned_stopped_group_gets_hangup(void) {
  // The only link of the stopped grandchild's group to its session dies: SIGHUP, then SIGCONT.
  int report[2];
  pid_t pid;
  OK(pipe(report));
  IN_CHILD(pid) {
    OK(setsid());
    pid_t grandchild;
    IN_CHILD(grandchild) {
      OK(setpgid(0, 0));
      sigset_t hangup = signals(SIGHUP, 0);
      OK(sigprocmask(SIG_BLOCK, &hangup, NULL));
      raise(SIGSTOP);
      sigset_t pending;
      OK(sigpending(&pending));
      char answer = sigismember(&pending, SIGHUP) ? 'y' : 'n';
      OK(write(report[1], &answer, 1));
    }
    int status;
    CHECK_EQ(waitpid(grandchild, &status, WUNTRACED), grandchild);
    CHECK(WIFSTOPPED(status));
  }
  WAIT_OK(pid);
  OK(close(report[1]));
  char answer = 0;
  CHECK_EQ(read(report[0], &answer, 1), 1);
  CHECK_EQ(answer, 'y');
}

int main(void) {
  children_inherit_group_and_session();
  setsid_makes_a_leader();
  setpgid_refuses();
  kill_reaches_the_whole_group();
  a_group_outlives_its_leader();
  orphaned_stopped_group_gets_hangup();
  return 0;
}
