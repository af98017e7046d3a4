// Sockets that only messages on their way refer to: they end, and cost neither descriptors nor the right to send any.
// timeout: 60
#include "check.h"
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#define NOBODY 65432

static int try_to_send(int socket, const int *files, int count) {
  char control[CMSG_SPACE(16 * sizeof(int))] = {0};
  struct iovec part = {"d", 1};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(count * sizeof(int))};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  *header = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(count * sizeof(int))};
  memcpy(CMSG_DATA(header), files, count * sizeof(int));
  return sendmsg(socket, &message, 0);
}

// Linux collects in its own time: who is refused waits for it.
static void send_files(int socket, const int *files, int count) {
  for (int attempt = 0; attempt < 10000; attempt++) {
    if (try_to_send(socket, files, count) == 1) return;
    CHECK_EQ(errno, ETOOMANYREFS);
    OK(usleep(1000));
  }
  FAIL("what is beyond reach is never collected");
}

static void close_both(const int *pair) {
  OK(close(pair[0]));
  OK(close(pair[1]));
}

// Waits until nobody has the other end of a pipe open any more.
static void wait_for_end(int reader) {
  struct pollfd poller = {.fd = reader, .events = POLLIN};
  CHECK_EQ(poll(&poller, 1, 60000), 1);
  CHECK_EQ(poller.revents, POLLHUP);
  OK(close(reader));
}

static void a_ring_ends_with_what_it_holds(void) {
  int ends[2], one[2], two[2];
  OK(pipe(ends));
  OK(socketpair(AF_UNIX, SOCK_STREAM, 0, one));
  OK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, two));
  send_files(one[0], (int[]){two[1], ends[1]}, 2);
  send_files(two[0], (int[]){one[1]}, 1);
  OK(close(ends[1]));
  close_both(one);
  close_both(two);
  wait_for_end(ends[0]);
}

static void a_ring_ends_with_its_process(void) {
  int ends[2];
  OK(pipe(ends));
  pid_t pid;
  IN_CHILD(pid) {
    int pair[2];
    OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
    send_files(pair[0], (int[]){pair[0], pair[1], ends[1]}, 3);
    send_files(pair[1], (int[]){pair[0], pair[1], ends[1]}, 3);
  }
  OK(close(ends[1]));
  WAIT_OK(pid);
  wait_for_end(ends[0]);
}

static void a_ring_in_a_backlog_ends(void) {
  int ends[2];
  OK(pipe(ends));
  int listener = OK(socket(AF_UNIX, SOCK_STREAM, 0)), client = OK(socket(AF_UNIX, SOCK_STREAM, 0));
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "ring"};
  OK(bind(listener, (struct sockaddr *)&address, sizeof address));
  OK(listen(listener, 1));
  OK(connect(client, (struct sockaddr *)&address, sizeof address));
  send_files(client, (int[]){listener, client, ends[1]}, 3);
  OK(close(ends[1]));
  OK(close(client));
  OK(close(listener));
  wait_for_end(ends[0]);
  OK(unlink("ring"));
}

// What can still be received stays, however much else is collected.
static void what_can_be_reached_stays(void) {
  int outer[2], inner[2], pair[2];
  char control[CMSG_SPACE(sizeof(int))], byte;
  OK(socketpair(AF_UNIX, SOCK_STREAM, 0, outer));
  OK(socketpair(AF_UNIX, SOCK_STREAM, 0, inner));
  send_files(inner[0], (int[]){inner[1]}, 1);
  CHECK_EQ(write(inner[0], "kept", 4), 4);
  send_files(outer[0], (int[]){inner[1]}, 1);
  close_both(inner);
  for (int i = 0; i < 100; i++) {
    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    send_files(pair[0], (int[]){pair[1]}, 1);
    close_both(pair);
  }
  struct iovec part = {&byte, 1};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  CHECK_EQ(recvmsg(outer[1], &message, 0), 1);
  int got;
  memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof got);
  char text[8];
  CHECK_EQ(read(got, text, 1), 1);
  CHECK_EQ(read(got, text, 8), 4);
  CHECK(memcmp(text, "kept", 4) == 0);
  OK(close(got));
  close_both(outer);
}

// More files than can be on their way at once inside: they would be refused at last if the earlier ones were still there.
static void many_rings_cost_nothing(void) {
  pid_t pid;
  IN_CHILD(pid) {
    for (int i = 0; i < 10000; i++) {
      int pair[2];
      OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
      send_files(pair[0], (int[]){pair[1], pair[0], pair[1], pair[1]}, 4);
      send_files(pair[1], (int[]){pair[0], pair[0], pair[0], pair[1]}, 4);
      close_both(pair);
    }
  }
  WAIT_OK(pid);
}

// A user may send no more than RLIMIT_NOFILE; that is nobody else's loss.
static void a_user_has_a_limit_of_its_own(void) {
  if (geteuid() != 0) return;
  int ready[2], done[2];
  OK(pipe(ready));
  OK(pipe(done));
  pid_t greedy, modest;
  IN_CHILD(greedy) {
    int pair[2], sent = 0, got;
    OK(setrlimit(RLIMIT_NOFILE, &(struct rlimit){32, 32}));
    OK(setuid(NOBODY + 1));
    OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
    while ((got = try_to_send(pair[0], ready, 1)) == 1) sent++;
    CHECK_EQ(errno, ETOOMANYREFS);
    CHECK_EQ(sent, 33);
    CHECK_EQ(write(ready[1], "r", 1), 1);
    OK(close(done[1]));
    CHECK_EQ(read(done[0], &(char){0}, 1), 0);
  }
  IN_CHILD(modest) {
    int pair[2];
    OK(close(done[1]));
    CHECK_EQ(read(ready[0], &(char){0}, 1), 1);
    OK(setrlimit(RLIMIT_NOFILE, &(struct rlimit){32, 32}));
    OK(setuid(NOBODY + 2));
    OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
    send_files(pair[0], ready, 1);
  }
  WAIT_OK(modest);
  OK(close(done[1]));
  WAIT_OK(greedy);
  close_both(ready);
  OK(close(done[0]));
}

int main(void) {
  enter_scratch();
  a_ring_ends_with_what_it_holds();
  a_ring_ends_with_its_process();
  a_ring_in_a_backlog_ends();
  what_can_be_reached_stays();
  many_rings_cost_nothing();
  a_user_has_a_limit_of_its_own();
  return 0;
}
