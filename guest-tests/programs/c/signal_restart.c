// Interrupted calls: which restart with SA_RESTART, which end with EINTR, and what time remains.
#include "check.h"
#include <linux/futex.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>

static volatile sig_atomic_t hits;
static int gate[2], pair[2], full[2], epoll_set, locked;

static void on_alarm(int number, siginfo_t *info, void *context) {
  (void)number, (void)info, (void)context;
  if (++hits == 2) { // The second alarm lets a restarted call end.
    char byte = 'x', bytes[65536];
    if (write(gate[1], &byte, 1) != 1 || write(pair[1], &byte, 1) != 1) _exit(3);
    while (read(full[0], bytes, sizeof bytes) > 0) {}
  }
}

static char byte;
static long call_read(void) { return read(gate[0], &byte, 1); }
static long call_write(void) { return write(full[1], &byte, 1); }
static long call_recv(void) { return recv(pair[0], &byte, 1, 0); }
static long call_recvmsg(void) {
  struct iovec part = {&byte, 1};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  return recvmsg(pair[0], &message, 0);
}
static long call_poll(void) { return poll(&(struct pollfd){.fd = gate[0], .events = POLLIN}, 1, 10000); }
static long call_select(void) {
  fd_set set;
  FD_ZERO(&set);
  FD_SET(gate[0], &set);
  return select(gate[0] + 1, &set, NULL, NULL, &(struct timeval){10, 0});
}
static long call_epoll(void) { return epoll_wait(epoll_set, &(struct epoll_event){0}, 1, 10000); }
static long call_pause(void) { return pause(); }
static long call_nanosleep(void) { return nanosleep(&(struct timespec){10, 0}, NULL); }
static long call_recv_with_timeout(void) { return recv(pair[0], &byte, 1, 0); }
static unsigned word;
static long call_futex(void) { return syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &(struct timespec){10, 0}, NULL, 0); }
static long call_futex_absolute(void) {
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_sec += 10;
  return syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, 0, &until, NULL, FUTEX_BITSET_MATCH_ANY);
}
static long call_flock(void) { return flock(locked, LOCK_EX); }

static void calls_restart_or_do_not(void) {
  // Zero means: ends with EINTR at the first signal. Otherwise the value of the restarted call.
  struct { const char *name; long (*call)(void); long restarted; int restarted_errno; } cases[] = {
      {"read", call_read, 1, 0},     {"write", call_write, 1, 0},
      {"recv", call_recv, 1, 0},     {"recvmsg", call_recvmsg, 1, 0},
      {"poll", call_poll, 0, 0},     {"select", call_select, 0, 0},
      {"epoll_wait", call_epoll, 0, 0}, {"pause", call_pause, 0, 0},
      {"nanosleep", call_nanosleep, 0, 0},
      {"futex with a time-out", call_futex, 0, 0}, {"futex until a time", call_futex_absolute, 0, 0},
      {"flock", call_flock, -2, 0},
  };
  pid_t holder;
  int ready[2];
  OK(pipe(ready));
  IN_CHILD(holder) {
    int file = OK(open("lock", O_RDWR));
    OK(flock(file, LOCK_EX));
    OK(write(ready[1], "x", 1));
    pause();
  }
  CHECK_EQ(read(ready[0], &byte, 1), 1);
  for (int restart = 0; restart < 2; restart++)
    for (size_t i = 0; i < COUNT(cases); i++) {
      if (restart && cases[i].restarted == -2) continue;
      OK(pipe2(gate, O_CLOEXEC));
      OK(pipe2(full, O_CLOEXEC));
      OK(fcntl(full[0], F_SETFL, O_NONBLOCK));
      OK(fcntl(full[1], F_SETFL, O_NONBLOCK));
      while (write(full[1], &byte, 1) == 1) {
        char page[4096];
        while (write(full[1], page, sizeof page) > 0) {}
      }
      OK(fcntl(full[1], F_SETFL, 0));
      OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
      epoll_set = OK(epoll_create1(0));
      OK(epoll_ctl(epoll_set, EPOLL_CTL_ADD, gate[0], &(struct epoll_event){.events = EPOLLIN}));
      handle(SIGALRM, on_alarm, restart ? SA_RESTART : 0);
      hits = 0;
      pid_t caller = signal_asleep(SIGALRM, 2);
      errno = 0;
      long got = cases[i].call();
      int error = errno, signals = hits;
      WAIT_OK(caller);
      if (restart && cases[i].restarted > 0)
        CHECK_CASE(got == cases[i].restarted && signals == 2, "%s with SA_RESTART: %ld, errno %d, %d signals", cases[i].name, got, error, signals);
      else
        CHECK_CASE(got == -1 && error == EINTR && signals == 1, "%s: %ld, errno %d, %d signals", cases[i].name, got, error, signals);
      int open_now[] = {gate[0], gate[1], full[0], full[1], pair[0], pair[1], epoll_set};
      for (size_t n = 0; n < COUNT(open_now); n++) OK(close(open_now[n]));
    }
  OK(kill(holder, SIGKILL));
  WAIT_SIGNALED(holder, SIGKILL);
}

static void receive_timeout_is_never_restarted(void) {
  OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  struct timeval limit = {5, 0};
  OK(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
  handle(SIGALRM, on_alarm, SA_RESTART);
  hits = -100;
  pid_t caller = signal_asleep(SIGALRM, 1);
  CHECK_ERRNO(call_recv_with_timeout(), EINTR);
  WAIT_OK(caller);
  close(pair[0]), close(pair[1]);
}

static void nanosleep_reports_what_remains(void) {
  handle(SIGALRM, on_alarm, SA_RESTART);
  hits = -100;
  struct timespec rest = {0};
  pid_t caller = signal_asleep(SIGALRM, 1);
  CHECK_ERRNO(nanosleep(&(struct timespec){100, 0}, &rest), EINTR);
  CHECK_CASE(rest.tv_sec > 80 && rest.tv_sec < 100 && rest.tv_nsec > 0, "%ld s", (long)rest.tv_sec);
  WAIT_OK(caller);
  caller = signal_asleep(SIGALRM, 1);
  CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){100, 0}, &rest), EINTR);
  CHECK_CASE(rest.tv_sec > 80 && rest.tv_sec < 100, "%ld s", (long)rest.tv_sec);
  WAIT_OK(caller);
  struct timespec until;
  OK(clock_gettime(CLOCK_MONOTONIC, &until));
  until.tv_sec += 100;
  rest.tv_sec = 77;
  caller = signal_asleep(SIGALRM, 1);
  CHECK_EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, &rest), EINTR);
  CHECK_EQ(rest.tv_sec, 77); // Untouched for an absolute time.
  WAIT_OK(caller);
}

static void stop_and_continue_restart_with_the_remaining_time(void) {
  // Without a handler a stop is invisible: the call goes on and ends at its own time.
  pid_t pid;
  for (int kind = 0; kind < 3; kind++) {
    IN_CHILD(pid) {
      long long started = now_ms();
      if (kind == 0) OK(nanosleep(&(struct timespec){0, 200000000}, NULL));
      if (kind == 1) CHECK_EQ(poll(NULL, 0, 200), 0);
      if (kind == 2) {
        unsigned futex = 0;
        CHECK_ERRNO(syscall(SYS_futex, &futex, FUTEX_WAIT_PRIVATE, 0, &(struct timespec){0, 200000000}, NULL, 0), ETIMEDOUT);
      }
      long long took = now_ms() - started;
      CHECK_CASE(took >= 199 && took < 5000, "kind %d took %lld ms", kind, took);
    }
    until_asleep(pid);
    OK(kill(pid, SIGSTOP));
    int status;
    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    CHECK(WIFSTOPPED(status));
    OK(kill(pid, SIGCONT));
    WAIT_OK(pid);
  }
}

static void ignored_signals_do_not_interrupt(void) {
  signal(SIGALRM, SIG_IGN);
  struct itimerval often = {{0, 10000}, {0, 10000}}, stop = {0};
  OK(setitimer(ITIMER_REAL, &often, NULL));
  long long started = now_ms();
  OK(nanosleep(&(struct timespec){0, 80000000}, NULL));
  CHECK(now_ms() - started >= 79);
  OK(setitimer(ITIMER_REAL, &stop, NULL));
}

static void wait_restarts(void) {
  pid_t self = getpid(), pid;
  int over[2];
  OK(pipe(over));
  for (int restart = 1; restart >= 0; restart--) {
    handle(SIGALRM, on_alarm, restart ? SA_RESTART : 0);
    hits = -100;
    IN_CHILD(pid) {
      until_asleep(self);
      OK(kill(self, SIGALRM));
      if (restart) until_asleep(self);
      else CHECK_EQ(read(over[0], &byte, 1), 1);
      _exit(5);
    }
    int status;
    if (!restart) {
      CHECK_ERRNO(waitpid(pid, &status, 0), EINTR);
      OK(write(over[1], "", 1));
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(WEXITSTATUS(status), 5);
    CHECK_EQ(hits, -99);
  }
  OK(close(over[0]));
  OK(close(over[1]));
}

static void partial_transfers_are_reported(void) {
  int ends[2];
  OK(pipe(ends));
  char *large = map_anonymous(1 << 20, PROT_READ | PROT_WRITE);
  handle(SIGALRM, on_alarm, SA_RESTART);
  hits = -100;
  pid_t caller = signal_asleep(SIGALRM, 1);
  ssize_t wrote = OK(write(ends[1], large, 1 << 20)); // Interrupted after filling the pipe.
  CHECK_EQ(wrote, 65536);
  WAIT_OK(caller);
  close(ends[0]), close(ends[1]);
}

int main(void) {
  enter_scratch();
  write_file("lock", "");
  locked = OK(open("lock", O_RDWR));
  calls_restart_or_do_not();
  receive_timeout_is_never_restarted();
  nanosleep_reports_what_remains();
  stop_and_continue_restart_with_the_remaining_time();
  ignored_signals_do_not_interrupt();
  wait_restarts();
  partial_transfers_are_reported();
  return 0;
}
