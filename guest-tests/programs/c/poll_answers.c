// poll and epoll say what Linux says, bit for bit, write no more than they answer, and wake no more than was asked for.
#include "check.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>

#define ALL 0x7fff

static int answer(int file, short events) {
  struct pollfd entry = {file, events, -1};
  OK(poll(&entry, 1, 0));
  return (unsigned short)entry.revents;
}

static void bits_of_each_kind_of_file(void) {
  int ends[2], value = 1;
  OK(pipe(ends));
  CHECK_EQ(answer(ends[0], ALL), 0);
  CHECK_EQ(answer(ends[1], ALL), POLLOUT | POLLWRNORM);
  CHECK_EQ(write(ends[1], "x", 1), 1);
  CHECK_EQ(answer(ends[0], ALL), POLLIN | POLLRDNORM);
  OK(close(ends[1]));
  CHECK_EQ(answer(ends[0], 0), POLLHUP);
  OK(close(ends[0]));
  OK(pipe(ends));
  OK(close(ends[0]));
  CHECK_EQ(answer(ends[1], 0), POLLERR);
  int counter = OK(eventfd(0, EFD_NONBLOCK));
  CHECK_EQ(answer(counter, ALL), POLLOUT);
  OK(eventfd_write(counter, value));
  CHECK_EQ(answer(counter, ALL), POLLIN | POLLOUT);
  int timer = OK(timerfd_create(CLOCK_MONOTONIC, 0));
  struct itimerspec soon = {.it_value.tv_nsec = 1};
  CHECK_EQ(answer(timer, ALL), 0);
  OK(timerfd_settime(timer, 0, &soon, NULL));
  sleep_ms(5);
  CHECK_EQ(answer(timer, ALL), POLLIN);
  sigset_t set = signals(SIGUSR1, 0);
  OK(sigprocmask(SIG_BLOCK, &set, NULL));
  int pending = OK(signalfd(-1, &set, 0));
  CHECK_EQ(answer(pending, ALL), 0);
  OK(raise(SIGUSR1));
  CHECK_EQ(answer(pending, ALL), POLLIN);
  CHECK_EQ(answer(987, 0), POLLNVAL);
  // These have no positions, and do not mind.
  int files[] = {counter, timer, pending, OK(epoll_create1(0))};
  for (size_t i = 0; i < COUNT(files); i++) {
    CHECK_EQ(lseek(files[i], 5, SEEK_SET), 0);
    CHECK_ERRNO(lseek(files[i], 0, 99), EINVAL);
    CHECK_ERRNO(pread(files[i], &value, sizeof value, 0), ESPIPE);
  }
  CHECK_ERRNO(lseek(ends[1], 0, SEEK_SET), ESPIPE);
  CHECK_ERRNO(lseek(ends[1], 0, 99), EINVAL);
  uint64_t number[2] = {1, 1};
  struct iovec halves[2] = {{number, 4}, {(char *)number + 4, 4}};
  CHECK_ERRNO(writev(counter, halves, 2), EINVAL); // Each by itself.
  CHECK_EQ(writev(counter, halves, 0), 0);
}

static void a_shut_peer_is_seen_by_who_waits_for_nothing(int type) {
  int pair[2];
  OK(socketpair(AF_UNIX, type, 0, pair));
  pid_t sleeper = getpid(), pid;
  IN_CHILD(pid) {
    OK(close(pair[0]));
    until_asleep(sleeper);
    OK(shutdown(pair[1], SHUT_RDWR));
  }
  struct pollfd entry = {pair[0], 0, 0};
  CHECK_EQ(poll(&entry, 1, 10000), 1);
  CHECK_EQ(entry.revents, POLLHUP);
  WAIT_OK(pid);
  close(pair[0]), close(pair[1]);
}

static void only_the_answer_is_written(void) {
  int ends[2];
  OK(pipe(ends));
  // The entry's request is on a page that may not be written, as an array that ends there.
  char *memory = map_anonymous(2 * PAGE, PROT_READ | PROT_WRITE);
  struct pollfd *entries = (void *)(memory + PAGE - 4);
  int file = ends[1];
  short events = POLLOUT;
  memcpy(&entries->fd, &file, sizeof file);
  memcpy(&entries->events, &events, sizeof events);
  OK(mprotect(memory, PAGE, PROT_READ));
  CHECK_EQ(syscall(SYS_poll, entries, 1, 0), 1);
  memcpy(&events, (char *)entries + offsetof(struct pollfd, revents), sizeof events);
  CHECK_EQ(events, POLLOUT);
  OK(mprotect(memory + PAGE, PAGE, PROT_READ));
  CHECK_ERRNO(syscall(SYS_poll, entries, 1, 0), EFAULT);
  // Bits past the words that the count needs stay.
  unsigned long sets[2] = {1UL << ends[1] | 1UL << 60, -1UL};
  CHECK_EQ(syscall(SYS_select, ends[1] + 1, NULL, sets, NULL, &(struct timeval){0, 0}), 1);
  CHECK_EQ(sets[0], 1UL << ends[1]);
  CHECK_EQ(sets[1], -1UL);
}

static void exclusive_interests(void) {
  int set = OK(epoll_create1(0)), inner = OK(epoll_create1(0)), counter = OK(eventfd(0, EFD_NONBLOCK));
  struct { unsigned events; int is_allowed; } cases[] = {
    {EPOLLIN, 1}, {EPOLLOUT | EPOLLERR | EPOLLHUP, 1}, {EPOLLET, 1}, {EPOLLWAKEUP, 1}, {EPOLLONESHOT, 0}, {EPOLLRDHUP, 0},
    {EPOLLPRI, 0}, {EPOLLRDNORM, 0}, {EPOLLMSG, 0}, {1 << 15, 0},
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    struct epoll_event event = {.events = EPOLLEXCLUSIVE | cases[i].events};
    if (!cases[i].is_allowed) CHECK_ERRNO(epoll_ctl(set, EPOLL_CTL_ADD, counter, &event), EINVAL);
    else {
      OK(epoll_ctl(set, EPOLL_CTL_ADD, counter, &event));
      event.events = EPOLLIN;
      CHECK_ERRNO(epoll_ctl(set, EPOLL_CTL_MOD, counter, &event), EINVAL);
      OK(epoll_ctl(set, EPOLL_CTL_DEL, counter, NULL));
    }
  }
  struct epoll_event event = {.events = EPOLLEXCLUSIVE | EPOLLIN};
  CHECK_ERRNO(epoll_ctl(set, EPOLL_CTL_MOD, counter, &event), EINVAL);
  CHECK_ERRNO(epoll_ctl(set, EPOLL_CTL_ADD, inner, &event), EINVAL);
  // Of four that wait, each in a set of its own, one hears.
  int *count = map_shared(PAGE);
  pid_t waiters[4];
  for (int i = 0; i < 4; i++) {
    IN_CHILD(waiters[i]) {
      int own = OK(epoll_create1(0));
      OK(epoll_ctl(own, EPOLL_CTL_ADD, counter, &event));
      if (OK(epoll_wait(own, &event, 1, 10000)) == 1) __atomic_add_fetch(count, 1, __ATOMIC_SEQ_CST);
    }
  }
  for (int i = 0; i < 4; i++) until_asleep(waiters[i]);
  OK(eventfd_write(counter, 1));
  sleep_ms(100);
  CHECK_EQ(__atomic_load_n(count, __ATOMIC_SEQ_CST), 1);
  for (int i = 0; i < 4; i++) OK(kill(waiters[i], SIGKILL));
  for (int i = 0; i < 4; i++) WAIT(waiters[i]);
  // A bad address matters once there is something to tell.
  event.events = EPOLLIN;
  int ends[2];
  OK(pipe(ends));
  OK(epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &event));
  CHECK_EQ(syscall(SYS_epoll_wait, set, wild, 1, 0), 0);
  CHECK_EQ(write(ends[1], "x", 1), 1);
  CHECK_ERRNO(syscall(SYS_epoll_wait, set, wild, 1, 0), EFAULT);
  CHECK_EQ(epoll_wait(set, &event, 1, 0), 1);
}

// What is said of polling network devices is kept, whatever comes of it.
static void busy_polling_is_kept(void) {
  struct parameters {
    uint32_t microseconds;
    uint16_t packets;
    uint8_t is_preferred, padding;
  } set = {100, 8, 1, 0}, got;
  const unsigned long SET = _IOW(0x8a, 1, struct parameters), GET = _IOR(0x8a, 2, struct parameters);
  int file = OK(epoll_create1(0));
  if (ioctl(file, SET, &set) < 0) {
    CHECK_EQ(errno, EINVAL); // A kernel without such polling.
    return;
  }
  OK(ioctl(file, GET, &got));
  CHECK(memcmp(&set, &got, sizeof set) == 0);
  CHECK_ERRNO(ioctl(file, SET, &((struct parameters){1, 1, 1, 1})), EINVAL);
  CHECK_ERRNO(ioctl(file, SET, &((struct parameters){1, 1, 2, 0})), EINVAL);
  CHECK_ERRNO(ioctl(file, SET, &((struct parameters){1U << 31, 1, 1, 0})), EINVAL);
  CHECK_ERRNO(ioctl(file, SET, wild), EFAULT);
  OK(ioctl(file, GET, &got));
  CHECK(memcmp(&set, &got, sizeof set) == 0);
  pid_t pid;
  IN_CHILD(pid) {
    OK(setresuid(99, 99, 99));
    OK(ioctl(file, SET, &((struct parameters){1, 64, 0, 0})));
    CHECK_ERRNO(ioctl(file, SET, &((struct parameters){1, 65, 0, 0})), EPERM);
  }
  WAIT_OK(pid);
  OK(close(file));
}

int main(void) {
  busy_polling_is_kept();
  bits_of_each_kind_of_file();
  a_shut_peer_is_seen_by_who_waits_for_nothing(SOCK_STREAM);
  a_shut_peer_is_seen_by_who_waits_for_nothing(SOCK_SEQPACKET);
  only_the_answer_is_written();
  exclusive_interests();
  return 0;
}
