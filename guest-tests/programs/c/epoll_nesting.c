// Epolls that watch epolls: what each call answers, a line each.
// compared
#include "check.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#define DEPTH 8

static int sets[DEPTH], counter;
static struct epoll_event found[4];

#define TELL(expression) \
  do { \
    errno = 0; \
    long result = (expression); \
    printf("%s: %ld %s\n", #expression, result, result < 0 ? strerrorname_np(errno) : ""); \
  } while (0)

static long change(int set, int operation, int watched, unsigned events) {
  return epoll_ctl(set, operation, watched, &(struct epoll_event){.events = events});
}

static long polled(int set) {
  struct pollfd entry = {set, POLLIN | POLLOUT, 0};
  OK(poll(&entry, 1, 0));
  return entry.revents;
}

static long count(void) { return write(counter, &(uint64_t){1}, 8); }

static void depth_and_loops(void) {
  for (int i = 0; i < DEPTH - 1; i++) TELL(change(sets[i], EPOLL_CTL_ADD, sets[i + 1], EPOLLIN));
  TELL(change(sets[4], EPOLL_CTL_ADD, sets[0], EPOLLIN));
  TELL(change(sets[1], EPOLL_CTL_ADD, sets[1], EPOLLIN));
  TELL(change(sets[1], EPOLL_CTL_DEL, sets[4], 0));
}

static void readiness_rises(void) {
  uint64_t value;
  TELL(change(sets[4], EPOLL_CTL_ADD, counter, EPOLLIN));
  TELL(epoll_wait(sets[0], found, 4, 0));
  TELL(count());
  TELL(epoll_wait(sets[0], found, 4, 0));
  TELL(epoll_wait(sets[4], found, 4, 0));
  TELL(polled(sets[0]));
  TELL(read(counter, &value, 8));
  TELL(epoll_wait(sets[0], found, 4, 0));
  TELL(polled(sets[0]));
}

static void edges_rise_once(void) {
  TELL(change(sets[0], EPOLL_CTL_MOD, sets[1], EPOLLIN | EPOLLET));
  TELL(count());
  TELL(epoll_wait(sets[0], found, 4, 0));
  TELL(epoll_wait(sets[0], found, 4, 0));
  TELL(count());
  TELL(epoll_wait(sets[0], found, 4, 0));
  TELL(epoll_wait(sets[4], found, 4, 0));
}

int main(void) {
  enter_scratch();
  for (int i = 0; i < DEPTH; i++) sets[i] = OK(epoll_create1(0));
  counter = OK(eventfd(0, EFD_NONBLOCK));
  depth_and_loops();
  readiness_rises();
  edges_rise_once();
  return 0;
}
