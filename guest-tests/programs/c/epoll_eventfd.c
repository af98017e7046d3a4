// eventfd, epoll (level, edge, one shot, nesting, errors), poll, ppoll, select and pselect.
#include "check.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/socket.h>

static void eventfd_counts(void) {
  uint64_t value;
  int file = OK(eventfd(3, EFD_NONBLOCK));
  CHECK_EQ(read(file, &value, 8), 8);
  CHECK_EQ(value, 3);
  CHECK_ERRNO(read(file, &value, 8), EAGAIN);
  for (value = 1; value <= 4; value++) CHECK_EQ(write(file, &value, 8), 8);
  CHECK_EQ(read(file, &value, 8), 8);
  CHECK_EQ(value, 10);
  value = UINT64_MAX;
  CHECK_ERRNO(write(file, &value, 8), EINVAL);
  value = UINT64_MAX - 1;
  CHECK_EQ(write(file, &value, 8), 8);
  value = 1;
  CHECK_ERRNO(write(file, &value, 8), EAGAIN);
  struct pollfd entry = {.fd = file, .events = POLLIN | POLLOUT};
  CHECK_EQ(poll(&entry, 1, 0), 1);
  CHECK_EQ(entry.revents, POLLIN);
  CHECK_ERRNO(read(file, &value, 7), EINVAL);
  OK(close(file));
  file = OK(eventfd(2, EFD_SEMAPHORE | EFD_CLOEXEC | EFD_NONBLOCK));
  CHECK_EQ(fcntl(file, F_GETFD), FD_CLOEXEC);
  for (int i = 0; i < 2; i++) {
    CHECK_EQ(read(file, &value, 8), 8);
    CHECK_EQ(value, 1);
  }
  CHECK_ERRNO(read(file, &value, 8), EAGAIN);
  OK(close(file));
  CHECK_ERRNO(eventfd(0, 0x100), EINVAL);
  file = OK(eventfd(0, 0));
  pid_t pid;
  IN_CHILD(pid) {
    sleep_ms(20);
    value = 9;
    CHECK_EQ(write(file, &value, 8), 8);
  }
  CHECK_EQ(read(file, &value, 8), 8);
  CHECK_EQ(value, 9);
  WAIT_OK(pid);
  OK(close(file));
}

static int set;

static int wait_events(struct epoll_event *events, int timeout) { return epoll_wait(set, events, 8, timeout); }

static void modes_of_reporting(void) {
  int ends[2];
  char text[16];
  struct epoll_event events[8];
  struct { uint32_t mode; int second, after_partial_read, after_write; } cases[] = {
      {0, 1, 1, 1}, {EPOLLET, 0, 0, 1}, {EPOLLONESHOT, 0, 0, 0}, {EPOLLET | EPOLLONESHOT, 0, 0, 0},
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    OK(pipe2(ends, O_NONBLOCK));
    struct epoll_event wanted = {.events = EPOLLIN | cases[i].mode, .data.u64 = 0x123456789abcdef0};
    OK(epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &wanted));
    CHECK_EQ(wait_events(events, 0), 0);
    CHECK_EQ(write(ends[1], "abcd", 4), 4);
    CHECK_EQ(wait_events(events, 0), 1);
    CHECK_EQ(events[0].events, EPOLLIN);
    CHECK_EQ(events[0].data.u64, 0x123456789abcdef0);
    CHECK_CASE(wait_events(events, 0) == cases[i].second, "case %zu", i);
    CHECK_EQ(read(ends[0], text, 2), 2);
    CHECK_CASE(wait_events(events, 0) == cases[i].after_partial_read, "case %zu", i);
    CHECK_EQ(write(ends[1], "e", 1), 1);
    CHECK_CASE(wait_events(events, 0) == cases[i].after_write, "case %zu", i);
    OK(epoll_ctl(set, EPOLL_CTL_MOD, ends[0], &wanted)); // Arms again and looks at once.
    CHECK_CASE(wait_events(events, 0) == 1, "case %zu", i);
    OK(close(ends[0])); // Removed by the last close.
    CHECK_EQ(wait_events(events, 0), 0);
    OK(close(ends[1]));
  }
}

static void hangups_and_errors_are_always_reported(void) {
  int ends[2];
  struct epoll_event events[8];
  OK(pipe(ends));
  OK(epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &(struct epoll_event){.events = 0}));
  OK(close(ends[1]));
  CHECK_EQ(wait_events(events, 0), 1);
  CHECK_EQ(events[0].events, EPOLLHUP);
  OK(close(ends[0]));
  int pair[2];
  OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  OK(epoll_ctl(set, EPOLL_CTL_ADD, pair[0], &(struct epoll_event){.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP}));
  CHECK_EQ(wait_events(events, 0), 1);
  CHECK_EQ(events[0].events, EPOLLOUT);
  OK(shutdown(pair[1], SHUT_WR));
  CHECK_EQ(wait_events(events, 0), 1);
  CHECK_EQ(events[0].events, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
  OK(close(pair[1]));
  CHECK_EQ(wait_events(events, 0), 1);
  CHECK_EQ(events[0].events, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP);
  OK(close(pair[0]));
}

static void duplicates_and_order(void) {
  int files[4];
  struct epoll_event events[8];
  for (int i = 0; i < 4; i++) {
    files[i] = OK(eventfd(1, 0));
    OK(epoll_ctl(set, EPOLL_CTL_ADD, files[i], &(struct epoll_event){.events = EPOLLIN, .data.fd = i}));
  }
  CHECK_EQ(epoll_wait(set, events, 2, 0), 2);
  int seen = 1 << events[0].data.fd | 1 << events[1].data.fd;
  CHECK_EQ(epoll_wait(set, events, 2, 0), 2); // The others come next.
  seen |= 1 << events[0].data.fd | 1 << events[1].data.fd;
  CHECK_EQ(seen, 15);
  int copy = OK(dup(files[0]));
  CHECK_ERRNO(epoll_ctl(set, EPOLL_CTL_ADD, files[0], &(struct epoll_event){.events = EPOLLIN}), EEXIST);
  OK(epoll_ctl(set, EPOLL_CTL_ADD, copy, &(struct epoll_event){.events = EPOLLIN, .data.fd = 9}));
  CHECK_EQ(wait_events(events, 0), 5);
  OK(epoll_ctl(set, EPOLL_CTL_DEL, copy, NULL));
  OK(close(copy));
  for (int i = 0; i < 4; i++) {
    OK(epoll_ctl(set, EPOLL_CTL_DEL, files[i], NULL));
    OK(close(files[i]));
  }
  CHECK_EQ(wait_events(events, 0), 0);
}

static void sets_nest(void) {
  struct epoll_event events[8];
  int inner = OK(epoll_create1(EPOLL_CLOEXEC)), file = OK(eventfd(0, 0));
  OK(epoll_ctl(set, EPOLL_CTL_ADD, inner, &(struct epoll_event){.events = EPOLLIN, .data.fd = 77}));
  OK(epoll_ctl(inner, EPOLL_CTL_ADD, file, &(struct epoll_event){.events = EPOLLIN}));
  CHECK_EQ(wait_events(events, 0), 0);
  uint64_t one = 1;
  CHECK_EQ(write(file, &one, 8), 8);
  CHECK_EQ(wait_events(events, 1000), 1);
  CHECK_EQ(events[0].data.fd, 77);
  struct pollfd entry = {.fd = inner, .events = POLLIN};
  CHECK_EQ(poll(&entry, 1, 0), 1);
  CHECK_ERRNO(epoll_ctl(inner, EPOLL_CTL_ADD, set, &(struct epoll_event){.events = EPOLLIN}), ELOOP);
  CHECK_ERRNO(epoll_ctl(set, EPOLL_CTL_ADD, set, &(struct epoll_event){.events = EPOLLIN}), EINVAL);
  OK(close(inner));
  OK(close(file));
}

static void ignore(int number) { (void)number; }

static void *write_later(void *argument) {
  sleep_ms(30);
  CHECK_EQ(write(*(int *)argument, "x", 1), 1);
  return NULL;
}

static void waiting_ends_by_event_timeout_or_signal(void) {
  int ends[2];
  struct epoll_event events[8];
  OK(pipe(ends));
  OK(epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &(struct epoll_event){.events = EPOLLIN}));
  long long started = now_ms();
  CHECK_EQ(wait_events(events, 40), 0);
  CHECK(now_ms() - started >= 39);
  pthread_t thread = start_thread(write_later, &ends[1]);
  CHECK_EQ(wait_events(events, -1), 1);
  join_thread(thread);
  char byte;
  CHECK_EQ(read(ends[0], &byte, 1), 1);
  sigset_t blocked = signals(SIGUSR1, 0), none;
  sigemptyset(&none);
  signal(SIGUSR1, ignore);
  OK(sigprocmask(SIG_BLOCK, &blocked, NULL));
  raise(SIGUSR1);
  CHECK_ERRNO(epoll_pwait(set, events, 8, 5000, &none), EINTR);
  raise(SIGUSR1);
  CHECK_ERRNO(ppoll(&(struct pollfd){.fd = ends[0], .events = POLLIN}, 1, &(struct timespec){5, 0}, &none), EINTR);
  raise(SIGUSR1);
  fd_set readers;
  FD_ZERO(&readers);
  FD_SET(ends[0], &readers);
  CHECK_ERRNO(pselect(ends[0] + 1, &readers, NULL, NULL, &(struct timespec){5, 0}, &none), EINTR);
  raise(SIGUSR1);
  CHECK_EQ(epoll_wait(set, events, 8, 0), 0); // Blocked: stays pending.
  sigset_t pending;
  OK(sigpending(&pending));
  CHECK(sigismember(&pending, SIGUSR1));
  OK(sigprocmask(SIG_UNBLOCK, &blocked, NULL));
  OK(close(ends[0]));
  OK(close(ends[1]));
}

static void poll_and_select_tables(void) {
  int ends[2];
  OK(pipe(ends));
  struct pollfd entries[] = {{.fd = ends[0], .events = POLLIN}, {.fd = ends[1], .events = POLLOUT}, {.fd = -1, .events = POLLIN}, {.fd = 999, .events = POLLIN}};
  CHECK_EQ(poll(entries, 4, 1000), 2);
  CHECK_EQ(entries[0].revents, 0);
  CHECK_EQ(entries[1].revents, POLLOUT);
  CHECK_EQ(entries[2].revents, 0);
  CHECK_EQ(entries[3].revents, POLLNVAL);
  CHECK_ERRNO(poll(wild, 1, 0), EFAULT);
  struct timespec zero = {0, -1};
  CHECK_ERRNO(ppoll(NULL, 0, &zero, NULL), EINVAL);
  fd_set readers, writers;
  FD_ZERO(&readers);
  FD_ZERO(&writers);
  FD_SET(ends[0], &readers);
  FD_SET(ends[1], &writers);
  struct timeval limit = {1, 0};
  CHECK_EQ(select(ends[1] + 1, &readers, &writers, NULL, &limit), 1);
  CHECK(!FD_ISSET(ends[0], &readers) && FD_ISSET(ends[1], &writers));
  CHECK_EQ(write(ends[1], "x", 1), 1);
  FD_SET(ends[0], &readers);
  CHECK_EQ(select(ends[1] + 1, &readers, &writers, NULL, NULL), 2);
  FD_ZERO(&readers);
  FD_SET(ends[1] + 1, &readers);
  CHECK_ERRNO(select(ends[1] + 2, &readers, NULL, NULL, &limit), EBADF);
  CHECK_ERRNO(select(-1, NULL, NULL, NULL, &limit), EINVAL);
  limit = (struct timeval){0, 30000};
  CHECK_EQ(select(0, NULL, NULL, NULL, &limit), 0);
  CHECK(limit.tv_sec == 0 && limit.tv_usec == 0); // Linux leaves what remains.
  int regular = OK(open("/etc/passwd", O_RDONLY));
  struct pollfd entry = {.fd = regular, .events = POLLIN | POLLOUT};
  CHECK_EQ(poll(&entry, 1, 0), 1);
  CHECK_EQ(entry.revents, POLLIN | POLLOUT);
  CHECK_ERRNO(epoll_ctl(set, EPOLL_CTL_ADD, regular, &(struct epoll_event){.events = EPOLLIN}), EPERM);
}

static void refusals(void) {
  struct epoll_event event = {.events = EPOLLIN};
  CHECK_ERRNO(epoll_create(0), EINVAL);
  CHECK_ERRNO(epoll_create1(0x77), EINVAL);
  CHECK_ERRNO(epoll_ctl(set, EPOLL_CTL_ADD, 999, &event), EBADF);
  CHECK_ERRNO(epoll_ctl(999, EPOLL_CTL_ADD, 0, &event), EBADF);
  int file = OK(eventfd(0, 0));
  CHECK_ERRNO(epoll_ctl(file, EPOLL_CTL_ADD, set, &event), EINVAL);
  CHECK_ERRNO(epoll_ctl(set, EPOLL_CTL_DEL, file, NULL), ENOENT);
  CHECK_ERRNO(epoll_ctl(set, EPOLL_CTL_MOD, file, &event), ENOENT);
  CHECK_ERRNO(epoll_ctl(set, 9, file, &event), EINVAL);
  CHECK_ERRNO(epoll_ctl(set, EPOLL_CTL_ADD, file, wild), EFAULT);
  CHECK_ERRNO(epoll_wait(set, &event, 0, 0), EINVAL);
  CHECK_ERRNO(epoll_wait(file, &event, 1, 0), EINVAL);
}

int main(void) {
  eventfd_counts();
  set = OK(epoll_create1(0));
  modes_of_reporting();
  hangups_and_errors_are_always_reported();
  duplicates_and_order();
  sets_nest();
  waiting_ends_by_event_timeout_or_signal();
  poll_and_select_tables();
  refusals();
  return 0;
}
