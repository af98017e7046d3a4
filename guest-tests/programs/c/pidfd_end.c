// Process descriptors around the end of what they stand for: readable when it ends, hung up when it is reaped; whom a
// signal through one reaches.
#include "check.h"
#include <poll.h>
#include <sys/epoll.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif
#define PIDFD_THREAD O_EXCL
#define SIGNAL_THREAD 1
#define SIGNAL_THREAD_GROUP 2
#define SIGNAL_PROCESS_GROUP 4

static int pidfd_open_(pid_t pid, int flags) { return syscall(SYS_pidfd_open, pid, flags); }
static int send_(int file, int number, siginfo_t *info, int flags) {
  return syscall(SYS_pidfd_send_signal, file, number, info, flags);
}

static int readiness(int file, int events, int timeout) {
  struct pollfd entry = {file, events, 0};
  OK(poll(&entry, 1, timeout));
  return entry.revents;
}

static pid_t paused(void) {
  pid_t pid;
  IN_CHILD(pid) for (;;) pause();
  return pid;
}

static void it_hangs_up_when_it_is_reaped(void) {
  pid_t pid = paused();
  int file = OK(pidfd_open_(pid, 0)), set = OK(epoll_create1(0));
  struct epoll_event event = {EPOLLIN, {0}};
  OK(epoll_ctl(set, EPOLL_CTL_ADD, file, &event));
  CHECK_EQ(epoll_wait(set, &event, 1, 0), 0);
  CHECK_EQ(readiness(file, POLLIN, 0), 0);
  OK(kill(pid, SIGKILL));
  CHECK_EQ(epoll_wait(set, &event, 1, -1), 1);
  CHECK_EQ(event.events, EPOLLIN);
  CHECK_EQ(readiness(file, POLLIN, 0), POLLIN);
  CHECK_EQ(readiness(file, 0, 0), 0);
  // A zombie takes signals.
  OK(send_(file, 0, NULL, 0));
  OK(send_(file, SIGTERM, NULL, 0));
  OK(close(OK(pidfd_open_(pid, 0))));
  CHECK_ERRNO(syscall(SYS_pidfd_getfd, file, 0, 0), ESRCH);
  siginfo_t info;
  OK(waitid(P_PIDFD, file, &info, WEXITED));
  CHECK_EQ(info.si_pid, pid);
  CHECK_EQ(epoll_wait(set, &event, 1, -1), 1);
  CHECK_EQ(event.events, EPOLLIN | EPOLLHUP);
  CHECK_EQ(readiness(file, POLLIN, 0), POLLIN | POLLHUP);
  CHECK_EQ(readiness(file, 0, 0), POLLHUP);
  CHECK_ERRNO(send_(file, 0, NULL, 0), ESRCH);
  CHECK_ERRNO(waitid(P_PIDFD, file, &info, WEXITED), ECHILD);
  CHECK_ERRNO(syscall(SYS_pidfd_getfd, file, 0, 0), ESRCH);
  OK(close(set));
  OK(close(file));
}

static void who_waits_for_the_hang_up_alone_wakes(void) {
  pid_t child, waiting;
  IN_CHILD(child) {}
  siginfo_t info;
  OK(waitid(P_PID, child, &info, WEXITED | WNOWAIT));
  int file = OK(pidfd_open_(child, 0));
  IN_CHILD(waiting) { CHECK_EQ(readiness(file, 0, -1), POLLHUP); }
  until_asleep(waiting);
  WAIT_OK(child);
  WAIT_OK(waiting);
  OK(close(file));
}

static void nobody_s_zombie_hangs_up_at_once(void) {
  signal(SIGCHLD, SIG_IGN);
  pid_t pid = paused();
  int file = OK(pidfd_open_(pid, 0));
  OK(kill(pid, SIGKILL));
  while ((readiness(file, POLLIN, -1) & POLLHUP) == 0) {}
  signal(SIGCHLD, SIG_DFL);
  OK(close(file));
}

static volatile pid_t thread_id;
static volatile int go;
static void *wait_for_go(void *argument) {
  thread_id = syscall(SYS_gettid);
  while (!go) sleep_ms(1);
  return argument;
}

static void threads_have_descriptors_of_their_own(void) {
  pthread_t thread = start_thread(wait_for_go, NULL);
  while (thread_id == 0) sleep_ms(1);
  int file = OK(pidfd_open_(thread_id, PIDFD_THREAD));
  CHECK(OK(fcntl(file, F_GETFL)) & PIDFD_THREAD);
  CHECK_EQ(pidfd_open_(thread_id, 0), -1);
  CHECK_EQ(readiness(file, POLLIN, 0), 0);
  OK(send_(file, 0, NULL, 0));
  siginfo_t info;
  CHECK_ERRNO(waitid(P_PIDFD, file, &info, WEXITED | WNOHANG), ECHILD);
  go = 1;
  join_thread(thread);
  while ((readiness(file, POLLIN, -1) & POLLHUP) == 0) {}
  CHECK_ERRNO(send_(file, 0, NULL, 0), ESRCH);
  CHECK_ERRNO(syscall(SYS_pidfd_getfd, file, 0, 0), ESRCH);
  OK(close(file));
  pid_t pid = paused();
  file = OK(pidfd_open_(pid, PIDFD_THREAD));
  OK(kill(pid, SIGKILL));
  OK(waitid(P_PIDFD, file, &info, WEXITED));
  CHECK_EQ(info.si_pid, pid);
  OK(close(file));
}

static volatile sig_atomic_t count;
static void note(int number, siginfo_t *info, void *context) {
  (void)number, (void)info, (void)context;
  count++;
}

static void a_siginfo_is_of_the_signal_and_not_made_up(void) {
  handle(SIGUSR1, note, 0);
  int own = OK(pidfd_open_(getpid(), 0));
  pid_t pid = paused();
  int other = OK(pidfd_open_(pid, 0));
  siginfo_t info;
  memset(&info, 0, sizeof info);
  info.si_signo = SIGUSR2;
  info.si_code = SI_QUEUE;
  CHECK_ERRNO(send_(own, SIGUSR1, &info, 0), EINVAL);
  info.si_signo = SIGUSR1;
  OK(send_(own, SIGUSR1, &info, 0));
  CHECK_EQ(count, 1);
  info.si_code = SI_USER;
  OK(send_(own, SIGUSR1, &info, 0));
  CHECK_EQ(count, 2);
  CHECK_ERRNO(send_(other, SIGUSR1, &info, 0), EPERM);
  CHECK_ERRNO(send_(own, SIGUSR1, &info, SIGNAL_PROCESS_GROUP), EPERM);
  CHECK_ERRNO(send_(own, SIGUSR1, wild, 0), EFAULT);
  CHECK_ERRNO(send_(own, 65, NULL, 0), EINVAL);
  CHECK_ERRNO(send_(own, 0, NULL, 8), EINVAL);
  CHECK_ERRNO(send_(own, 0, NULL, SIGNAL_THREAD | SIGNAL_THREAD_GROUP), EINVAL);
  CHECK_ERRNO(send_(-1, 0, NULL, 0), EBADF);
  OK(close(own));
  OK(close(other));
  OK(kill(pid, SIGKILL));
  WAIT_SIGNALED(pid, SIGKILL);
}

static void a_process_group_is_the_one_of_that_number(void) {
  pid_t leader = paused();
  OK(setpgid(leader, leader));
  pid_t member = paused();
  OK(setpgid(member, leader));
  int of_leader = OK(pidfd_open_(leader, 0)), of_member = OK(pidfd_open_(member, 0));
  CHECK_ERRNO(send_(of_member, SIGTERM, NULL, SIGNAL_PROCESS_GROUP), ESRCH);
  siginfo_t info;
  memset(&info, 0, sizeof info);
  info.si_signo = SIGTERM;
  info.si_code = SI_QUEUE;
  OK(send_(of_leader, SIGTERM, &info, SIGNAL_PROCESS_GROUP));
  WAIT_SIGNALED(leader, SIGTERM);
  WAIT_SIGNALED(member, SIGTERM);
  OK(close(of_leader));
  OK(close(of_member));
}

static void a_wait_that_would_block_is_eagain(void) {
  pid_t pid = paused();
  int file = OK(pidfd_open_(pid, O_NONBLOCK));
  siginfo_t info = {0};
  CHECK_ERRNO(waitid(P_PIDFD, file, &info, WEXITED), EAGAIN);
  OK(waitid(P_PIDFD, file, &info, WEXITED | WNOHANG));
  OK(kill(pid, SIGKILL));
  CHECK_EQ(readiness(file, POLLIN, -1), POLLIN);
  OK(waitid(P_PIDFD, file, &info, WEXITED));
  CHECK_EQ(info.si_pid, pid);
  OK(close(file));
}

int main(void) {
  it_hangs_up_when_it_is_reaped();
  who_waits_for_the_hang_up_alone_wakes();
  nobody_s_zombie_hangs_up_at_once();
  threads_have_descriptors_of_their_own();
  a_siginfo_is_of_the_signal_and_not_made_up();
  a_process_group_is_the_one_of_that_number();
  a_wait_that_would_block_is_eagain();
  return 0;
}
