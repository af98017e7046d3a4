// signalfd: reading queued signals, readiness, non-blocking reads, change of the set, refusals.
#include "check.h"
#include <poll.h>
#include <sys/signalfd.h>

int main(void) {
  sigset_t set = signals(SIGUSR1, SIGRTMIN, 0), more = signals(SIGUSR2, 0), pending;
  OK(sigprocmask(SIG_BLOCK, &set, NULL));
  OK(sigprocmask(SIG_BLOCK, &more, NULL));
  int file = OK(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
  CHECK_EQ(fcntl(file, F_GETFD), FD_CLOEXEC);
  struct signalfd_siginfo info[4];
  struct pollfd entry = {.fd = file, .events = POLLIN};
  CHECK_ERRNO(read(file, info, sizeof info), EAGAIN);
  CHECK_EQ(poll(&entry, 1, 0), 0);
  raise(SIGUSR2); // Not in the set.
  CHECK_EQ(poll(&entry, 1, 0), 0);

  OK(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 5}));
  OK(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 6}));
  OK(kill(getpid(), SIGUSR1));
  CHECK_EQ(poll(&entry, 1, 0), 1);
  CHECK_EQ(entry.revents, POLLIN);
  CHECK_ERRNO(read(file, info, sizeof info[0] - 1), EINVAL);
  CHECK_EQ(read(file, info, sizeof info), 3 * sizeof info[0]);
  CHECK_EQ(info[0].ssi_signo, SIGUSR1);
  CHECK_EQ(info[0].ssi_code, SI_USER);
  CHECK_EQ(info[0].ssi_pid, getpid());
  CHECK_EQ(info[1].ssi_signo, SIGRTMIN);
  CHECK_EQ(info[1].ssi_code, SI_QUEUE);
  CHECK_EQ(info[1].ssi_int, 5);
  CHECK_EQ(info[2].ssi_int, 6);
  CHECK_ERRNO(read(file, info, sizeof info), EAGAIN);

  CHECK_EQ(signalfd(file, &more, 0), file); // The same descriptor with another set.
  CHECK_EQ(poll(&entry, 1, 0), 1);
  CHECK_EQ(read(file, info, sizeof info), sizeof info[0]);
  CHECK_EQ(info[0].ssi_signo, SIGUSR2);
  OK(sigpending(&pending));
  CHECK(!sigismember(&pending, SIGUSR2));

  OK(fcntl(file, F_SETFL, 0));
  pid_t self = getpid(), pid;
  IN_CHILD(pid) {
    sleep_ms(30);
    OK(kill(self, SIGUSR2));
  }
  CHECK_EQ(read(file, info, sizeof info), sizeof info[0]); // Blocks until it comes.
  CHECK_EQ(info[0].ssi_pid, pid);
  WAIT_OK(pid);

  // A child's descriptor reads the child's own signals.
  raise(SIGUSR2);
  IN_CHILD(pid) {
    OK(fcntl(file, F_SETFL, O_NONBLOCK));
    CHECK_ERRNO(read(file, info, sizeof info), EAGAIN);
    raise(SIGUSR2);
    CHECK_EQ(read(file, info, sizeof info), sizeof info[0]);
    CHECK_EQ(info[0].ssi_pid, getpid());
  }
  WAIT_OK(pid);

  set = signals(SIGCHLD, 0);
  OK(sigprocmask(SIG_BLOCK, &set, NULL));
  int children = OK(signalfd(-1, &set, 0));
  IN_CHILD(pid) { _exit(8); }
  CHECK_EQ(read(children, info, sizeof info[0]), sizeof info[0]);
  CHECK_EQ(info[0].ssi_code, CLD_EXITED);
  CHECK_EQ(info[0].ssi_status, 8);
  CHECK_EQ(info[0].ssi_pid, pid);
  WAIT_EXIT(pid, 8);

  CHECK_ERRNO(signalfd(-1, &set, 0x123), EINVAL);
  CHECK_ERRNO(signalfd(999, &set, 0), EBADF);
  CHECK_ERRNO(signalfd(STDERR_FILENO, &set, 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_signalfd4, -1, &set, 4, 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_signalfd4, -1, 8, 8, 0), EFAULT);
  CHECK_ERRNO(write(file, info, sizeof info), EINVAL);
  return 0;
}
