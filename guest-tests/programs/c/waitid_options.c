// waitid and wait4 with every option: what each selects, reports and consumes; "clone" children; pidfds.
#include "check.h"
#include <linux/wait.h>
#include <sched.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>

#ifndef __WNOTHREAD
#define __WNOTHREAD 0x20000000
#endif

static siginfo_t info;

// The call of the kernel, which has a fifth argument.
static int kernel_waitid(int type, int id, int options) {
  memset(&info, 0, sizeof info);
  return syscall(SYS_waitid, type, id, &info, options, NULL);
}

static void expect(pid_t pid, int code, int status) {
  CHECK_EQ(info.si_signo, SIGCHLD);
  CHECK_EQ(info.si_pid, pid);
  CHECK_EQ(info.si_uid, getuid());
  CHECK_EQ(info.si_code, code);
  CHECK_EQ(info.si_status, status);
}

static void nothing_to_tell(int type, int id, int options) {
  CHECK_EQ(kernel_waitid(type, id, options | WNOHANG), 0);
  CHECK_EQ(info.si_pid, 0);
  CHECK_EQ(info.si_signo, 0);
}

static pid_t paused(void) {
  pid_t pid;
  IN_CHILD(pid) for (;;) pause();
  return pid;
}

static pid_t exited(int status) {
  pid_t pid;
  IN_CHILD(pid) _exit(status);
  return pid;
}

static void stops_and_continuations_are_told_once(void) {
  pid_t pid = paused();
  nothing_to_tell(P_PID, pid, WSTOPPED | WCONTINUED | WEXITED);
  OK(kill(pid, SIGSTOP));
  OK(kernel_waitid(P_PID, pid, WSTOPPED | WNOWAIT));
  expect(pid, CLD_STOPPED, SIGSTOP);
  nothing_to_tell(P_PID, pid, WCONTINUED | WEXITED);
  OK(kernel_waitid(P_PID, pid, WSTOPPED));
  expect(pid, CLD_STOPPED, SIGSTOP);
  nothing_to_tell(P_PID, pid, WSTOPPED);
  OK(kill(pid, SIGCONT));
  OK(kernel_waitid(P_ALL, 0, WCONTINUED | WNOWAIT));
  expect(pid, CLD_CONTINUED, SIGCONT);
  OK(kernel_waitid(P_PGID, 0, WCONTINUED));
  expect(pid, CLD_CONTINUED, SIGCONT);
  nothing_to_tell(P_PID, pid, WCONTINUED);
  // A continuation that nobody waited for is gone with the next stop.
  OK(kill(pid, SIGSTOP));
  OK(kernel_waitid(P_PID, pid, WSTOPPED));
  OK(kill(pid, SIGCONT));
  OK(kill(pid, SIGTSTP));
  OK(kernel_waitid(P_PID, pid, WSTOPPED));
  expect(pid, CLD_STOPPED, SIGTSTP);
  nothing_to_tell(P_PID, pid, WCONTINUED);
  OK(kill(pid, SIGKILL));
  OK(kernel_waitid(P_PID, pid, WEXITED));
  expect(pid, CLD_KILLED, SIGKILL);
}

static void a_zombie_is_seen_until_it_is_consumed(void) {
  pid_t pid = exited(7);
  for (int i = 0; i < 3; i++) {
    OK(kernel_waitid(P_PID, pid, WEXITED | WNOWAIT));
    expect(pid, CLD_EXITED, 7);
  }
  // Only its end can be told of it any more: nobody else is left to wait for.
  CHECK_ERRNO(kernel_waitid(P_PID, pid, WSTOPPED | WCONTINUED), ECHILD);
  CHECK_ERRNO(kernel_waitid(P_PID, pid, WSTOPPED | WNOHANG), ECHILD);
  // It keeps its number: it can be signalled, and its group looked up.
  OK(kill(pid, 0));
  OK(kill(pid, SIGTERM));
  CHECK_EQ(getpgid(pid), getpgrp());
  CHECK_EQ(getsid(pid), getsid(0));
  OK(kernel_waitid(P_PID, pid, WEXITED));
  expect(pid, CLD_EXITED, 7);
  CHECK_ERRNO(kernel_waitid(P_PID, pid, WEXITED), ECHILD);
  CHECK_ERRNO(kill(pid, 0), ESRCH);
}

static void usage_comes_with_the_fifth_argument(void) {
  pid_t pid;
  IN_CHILD(pid) {
    volatile long sum = 0;
    for (long i = 0; i < 20000000; i++) sum += i;
  }
  struct rusage usage;
  memset(&usage, 0xff, sizeof usage);
  OK(syscall(SYS_waitid, P_PID, pid, NULL, WEXITED | WNOWAIT, &usage));
  CHECK(usage.ru_utime.tv_sec >= 0 && usage.ru_utime.tv_usec < 1000000 && usage.ru_maxrss > 0);
  CHECK(usage.ru_utime.tv_sec > 0 || usage.ru_utime.tv_usec > 0);
  int status;
  CHECK_EQ(wait4(pid, &status, 0, &usage), pid);
  CHECK_EQ(status, 0);
}

static void process_groups_select(void) {
  pid_t leader, member, other;
  IN_CHILD(leader) for (;;) pause();
  OK(setpgid(leader, leader));
  IN_CHILD(member) {
    OK(setpgid(0, leader));
    _exit(3);
  }
  IN_CHILD(other) _exit(4);
  OK(kernel_waitid(P_PGID, leader, WEXITED));
  expect(member, CLD_EXITED, 3);
  nothing_to_tell(P_PGID, leader, WEXITED);
  int status;
  CHECK_EQ(waitpid(0, &status, 0), other);
  CHECK_EQ(WEXITSTATUS(status), 4);
  CHECK_ERRNO(waitpid(0, &status, 0), ECHILD);
  CHECK_ERRNO(kernel_waitid(P_PGID, getpgrp(), WEXITED), ECHILD);
  CHECK_EQ(waitpid(-leader, &status, WNOHANG), 0);
  OK(kill(-leader, SIGTERM));
  CHECK_EQ(waitpid(-leader, &status, 0), leader);
  CHECK_EQ(WTERMSIG(status), SIGTERM);
}

static void pidfds_select(void) {
  pid_t pid = paused();
  int descriptor = OK(syscall(SYS_pidfd_open, pid, 0));
  nothing_to_tell(P_PIDFD, descriptor, WEXITED);
  CHECK_ERRNO(kernel_waitid(P_PIDFD, 0, WEXITED), EBADF);
  CHECK_ERRNO(kernel_waitid(P_PIDFD, -1, WEXITED), EINVAL);
  CHECK_ERRNO(kernel_waitid(P_PIDFD, 999, WEXITED), EBADF);
  int own = OK(syscall(SYS_pidfd_open, getpid(), 0));
  CHECK_ERRNO(kernel_waitid(P_PIDFD, own, WEXITED), ECHILD);
  OK(kill(pid, SIGKILL));
  OK(kernel_waitid(P_PIDFD, descriptor, WEXITED | WNOWAIT));
  expect(pid, CLD_KILLED, SIGKILL);
  OK(kernel_waitid(P_PIDFD, descriptor, WEXITED));
  expect(pid, CLD_KILLED, SIGKILL);
  CHECK_ERRNO(kernel_waitid(P_PIDFD, descriptor, WEXITED), ECHILD);
  close(descriptor);
  // A descriptor that does not block makes the wait EAGAIN.
  pid = paused();
  descriptor = OK(syscall(SYS_pidfd_open, pid, O_NONBLOCK));
  CHECK_ERRNO(kernel_waitid(P_PIDFD, descriptor, WEXITED), EAGAIN);
  OK(kill(pid, SIGKILL));
  while (kernel_waitid(P_PIDFD, descriptor, WEXITED) != 0) CHECK_EQ(errno, EAGAIN);
  expect(pid, CLD_KILLED, SIGKILL);
  close(descriptor);
  close(own);
}

static pid_t clone_child(int signal, int status) {
  pid_t pid = syscall(SYS_clone, signal, 0, 0, 0, 0);
  if (pid == 0) _exit(status);
  CHECK(pid > 0);
  return pid;
}

// Children that do not tell their end by SIGCHLD are "clone" children.
// Nobody is told of nobody, even if that is an error.
static void an_answer_is_always_written(void) {
  siginfo_t info;
  memset(&info, 0xff, sizeof info);
  CHECK_ERRNO(waitid(P_ALL, 0, &info, WEXITED), ECHILD);
  CHECK(info.si_signo == 0 && info.si_pid == 0 && info.si_status == 0);
  CHECK_EQ(((unsigned char *)&info)[28], 0xff);
  info.si_pid = 7;
  CHECK_ERRNO(waitid(P_ALL, 0, &info, 0), EINVAL);
  CHECK_EQ(info.si_pid, 0);
  CHECK_ERRNO(waitid(P_ALL, 0, wild, WEXITED), EFAULT);
}

static void clone_children_are_asked_for(void) {
  int signals[] = {0, SIGUSR1};
  signal(SIGUSR1, SIG_IGN);
  for (size_t i = 0; i < COUNT(signals); i++) {
    int status;
    pid_t pid = clone_child(signals[i], 5);
    CHECK_ERRNO(waitpid(pid, &status, 0), ECHILD);
    CHECK_ERRNO(kernel_waitid(P_ALL, 0, WEXITED), ECHILD);
    CHECK_EQ(waitpid(pid, &status, __WCLONE), pid);
    CHECK_EQ(WEXITSTATUS(status), 5);
    pid = clone_child(signals[i], 6);
    CHECK_EQ(waitpid(-1, &status, __WALL), pid);
    CHECK_EQ(WEXITSTATUS(status), 6);
    pid = clone_child(signals[i], 7);
    OK(kernel_waitid(P_ALL, 0, WEXITED | __WALL));
    CHECK_EQ(info.si_signo, SIGCHLD);
    CHECK_EQ(info.si_status, 7);
  }
  pid_t pid = exited(8);
  int status;
  CHECK_ERRNO(waitpid(pid, &status, __WCLONE), ECHILD);
  CHECK_EQ(waitpid(pid, &status, __WCLONE | __WALL), pid);
  signal(SIGUSR1, SIG_DFL);
}

static pid_t of_another_thread;
static void *wait_for_others(void *unused) {
  int status;
  CHECK_ERRNO(waitpid(of_another_thread, &status, __WNOTHREAD), ECHILD);
  CHECK_ERRNO(kernel_waitid(P_ALL, 0, WEXITED | __WNOTHREAD), ECHILD);
  pid_t own = exited(2);
  CHECK_EQ(waitpid(-1, &status, __WNOTHREAD), own);
  CHECK_EQ(waitpid(of_another_thread, &status, 0), of_another_thread);
  return unused;
}

static void a_thread_may_ask_for_its_own_children_only(void) {
  of_another_thread = exited(1);
  pthread_t thread;
  CHECK_ZERO(pthread_create(&thread, NULL, wait_for_others, NULL));
  CHECK_ZERO(pthread_join(thread, NULL));
}

static void bad_requests(void) {
  CHECK_ERRNO(kernel_waitid(P_ALL, 0, 0), EINVAL);
  CHECK_ERRNO(kernel_waitid(P_ALL, 0, WNOHANG), EINVAL);
  CHECK_ERRNO(kernel_waitid(P_ALL, 0, WEXITED | 0x100), EINVAL);
  CHECK_ERRNO(kernel_waitid(P_PID, 0, WEXITED), EINVAL);
  CHECK_ERRNO(kernel_waitid(P_PID, -5, WEXITED), EINVAL);
  CHECK_ERRNO(kernel_waitid(P_PGID, -5, WEXITED), EINVAL);
  CHECK_ERRNO(kernel_waitid(17, 1, WEXITED), EINVAL);
  CHECK_ERRNO(kernel_waitid(P_ALL, 0, WEXITED), ECHILD);
  CHECK_ERRNO(kernel_waitid(P_PID, getpid(), WEXITED), ECHILD);
  CHECK_ERRNO(kernel_waitid(P_PID, 999999999, WEXITED), ECHILD);
  CHECK_ERRNO(syscall(SYS_wait4, -1, NULL, WEXITED, NULL), EINVAL);
  CHECK_ERRNO(syscall(SYS_wait4, -1, NULL, WNOWAIT, NULL), EINVAL);
  CHECK_ERRNO(syscall(SYS_wait4, INT_MIN, NULL, 0, NULL), ESRCH);
  // What cannot be written has been consumed all the same.
  pid_t pid = exited(0);
  OK(kernel_waitid(P_PID, pid, WEXITED | WNOWAIT));
  CHECK_ERRNO(syscall(SYS_wait4, pid, wild, 0, NULL), EFAULT);
  CHECK_ERRNO(syscall(SYS_wait4, pid, NULL, 0, NULL), ECHILD);
}

static void ignored_children_leave_nothing(void) {
  struct sigaction actions[] = {{.sa_handler = SIG_IGN}, {.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT}};
  for (size_t i = 0; i < COUNT(actions); i++) {
    OK(sigaction(SIGCHLD, &actions[i], NULL));
    pid_t pid = exited(1);
    // The wait lasts until all are gone, and then there is nobody.
    CHECK_ERRNO(waitpid(-1, NULL, 0), ECHILD);
    CHECK_ERRNO(kill(pid, 0), ESRCH);
  }
  // A zombie from before stays one.
  signal(SIGCHLD, SIG_DFL);
  pid_t pid = exited(9);
  OK(kernel_waitid(P_PID, pid, WEXITED | WNOWAIT));
  signal(SIGCHLD, SIG_IGN);
  OK(kernel_waitid(P_PID, pid, WEXITED));
  expect(pid, CLD_EXITED, 9);
  signal(SIGCHLD, SIG_DFL);
}

static volatile sig_atomic_t told;
static siginfo_t told_info;
static void note(int signal, siginfo_t *info, void *context) {
  (void)signal, (void)context;
  told_info = *info;
  told++;
}

static void sigchld_tells_of_stops_unless_told_not_to(void) {
  struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO | SA_RESTART};
  OK(sigaction(SIGCHLD, &action, NULL));
  pid_t pid = paused();
  OK(kill(pid, SIGSTOP));
  OK(kernel_waitid(P_PID, pid, WSTOPPED));
  while (told < 1) usleep(1000);
  CHECK_EQ(told_info.si_code, CLD_STOPPED);
  CHECK_EQ(told_info.si_status, SIGSTOP);
  CHECK_EQ(told_info.si_pid, pid);
  OK(kill(pid, SIGCONT));
  OK(kernel_waitid(P_PID, pid, WCONTINUED));
  while (told < 2) usleep(1000);
  CHECK_EQ(told_info.si_code, CLD_CONTINUED);
  CHECK_EQ(told_info.si_status, SIGCONT);
  action.sa_flags |= SA_NOCLDSTOP;
  OK(sigaction(SIGCHLD, &action, NULL));
  OK(kill(pid, SIGSTOP));
  OK(kernel_waitid(P_PID, pid, WSTOPPED));
  CHECK_EQ(told, 2);
  OK(kill(pid, SIGKILL));
  while (told < 3) usleep(1000);
  CHECK_EQ(told_info.si_code, CLD_KILLED);
  CHECK_EQ(told_info.si_status, SIGKILL);
  OK(kernel_waitid(P_PID, pid, WEXITED));
  signal(SIGCHLD, SIG_DFL);
}

int main(void) {
  bad_requests();
  stops_and_continuations_are_told_once();
  a_zombie_is_seen_until_it_is_consumed();
  usage_comes_with_the_fifth_argument();
  process_groups_select();
  pidfds_select();
  clone_children_are_asked_for();
  a_thread_may_ask_for_its_own_children_only();
  ignored_children_leave_nothing();
  sigchld_tells_of_stops_unless_told_not_to();
  an_answer_is_always_written();
  return 0;
}
