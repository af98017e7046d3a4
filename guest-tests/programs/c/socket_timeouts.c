// SO_RCVTIMEO and SO_SNDTIMEO hold for every call that waits on a socket: what has been moved by then counts, and a signal
// does not start the time anew.
#include "check.h"
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

#define TIMEOUT_MS 60

static int pair[2], spare[2], file;
static char block[64 * 1024];
static volatile sig_atomic_t signals_seen;

static void note(int number, siginfo_t *info, void *context) {
  (void)number, (void)info, (void)context;
  signals_seen++;
}

static void set_timeout(int socket, int option, long milliseconds) {
  struct timeval timeout = {milliseconds / 1000, milliseconds % 1000 * 1000};
  OK(setsockopt(socket, SOL_SOCKET, option, &timeout, sizeof timeout));
}

static struct iovec vector[2] = {{block, 10}, {block + 10, 10}};
static struct mmsghdr messages[2] = {
  {.msg_hdr = {.msg_iov = vector, .msg_iovlen = 2}},
  {.msg_hdr = {.msg_iov = vector, .msg_iovlen = 2}},
};

static long do_read(void) { return read(pair[0], block, 10); }
static long do_readv(void) { return readv(pair[0], vector, 2); }
static long do_recv(void) { return recv(pair[0], block, 10, 0); }
static long do_recvmsg(void) { return recvmsg(pair[0], &messages[0].msg_hdr, 0); }
static long do_recvmmsg(void) { return recvmmsg(pair[0], messages, 2, 0, NULL); }
static long do_peek(void) { return recv(pair[0], block, 10, MSG_PEEK); }
static long splice_out(void) { return splice(pair[0], NULL, spare[1], NULL, 10, 0); }
static long do_write(void) { return write(pair[0], block, 10); }
static long do_writev(void) { return writev(pair[0], vector, 2); }
static long do_send(void) { return send(pair[0], block, 10, 0); }
static long do_sendmsg(void) { return sendmsg(pair[0], &messages[0].msg_hdr, 0); }
static long do_sendmmsg(void) { return sendmmsg(pair[0], messages, 2, 0); }
static long do_sendfile(void) {
  off_t offset = 0;
  return sendfile(pair[0], file, &offset, 10);
}
static long splice_in(void) { return splice(spare[0], NULL, pair[0], NULL, 10, 0); }

static struct { const char *name; long (*call)(void); int option; } calls[] = {
  {"read", do_read, SO_RCVTIMEO}, {"readv", do_readv, SO_RCVTIMEO}, {"recv", do_recv, SO_RCVTIMEO},
  {"recvmsg", do_recvmsg, SO_RCVTIMEO}, {"recvmmsg", do_recvmmsg, SO_RCVTIMEO}, {"peek", do_peek, SO_RCVTIMEO},
  {"splice from", splice_out, SO_RCVTIMEO}, {"write", do_write, SO_SNDTIMEO}, {"writev", do_writev, SO_SNDTIMEO},
  {"send", do_send, SO_SNDTIMEO}, {"sendmsg", do_sendmsg, SO_SNDTIMEO}, {"sendmmsg", do_sendmmsg, SO_SNDTIMEO},
  {"sendfile", do_sendfile, SO_SNDTIMEO}, {"splice to", splice_in, SO_SNDTIMEO},
};

static void fill(int socket) {
  while (send(socket, block, 1000, MSG_DONTWAIT) > 0) {}
  CHECK_EQ(errno, EAGAIN);
}

static void every_call_ends_at_its_time(int type) {
  for (size_t i = 0; i < COUNT(calls); i++) {
    OK(socketpair(AF_UNIX, type, 0, pair));
    OK(pipe(spare));
    if (calls[i].option == SO_SNDTIMEO) fill(pair[0]);
    if (calls[i].call == splice_in) CHECK_EQ(write(spare[1], "0123456789", 10), 10);
    set_timeout(pair[0], calls[i].option, TIMEOUT_MS);
    long long start = now_ms();
    errno = 0;
    long result = calls[i].call();
    CHECK_CASE(result == -1 && errno == EAGAIN, "%s of type %d returned %ld", calls[i].name, type, result);
    CHECK_CASE(now_ms() - start >= TIMEOUT_MS - 5, "%s was early", calls[i].name);
    // A handler that asks for a restart gets none, for the time would begin anew.
    set_timeout(pair[0], calls[i].option, 20000);
    signals_seen = 0;
    pid_t sender = signal_asleep(SIGUSR1, 1);
    result = calls[i].call();
    CHECK_CASE(result == -1 && errno == EINTR, "%s, interrupted, returned %ld", calls[i].name, result);
    CHECK_EQ(signals_seen, 1);
    WAIT_OK(sender);
    for (int end = 0; end < 2; end++) OK(close(pair[end])), OK(close(spare[end]));
  }
}

static void without_a_timeout_the_call_is_restarted(void) {
  OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  pid_t sleeper = getpid(), pid;
  signals_seen = 0;
  IN_CHILD(pid) {
    until_asleep(sleeper);
    OK(kill(sleeper, SIGUSR1));
    sleep_ms(30);
    CHECK_EQ(write(pair[1], "late", 4), 4);
  }
  CHECK_EQ(read(pair[0], block, 10), 4);
  CHECK_EQ(signals_seen, 1);
  WAIT_OK(pid);
  close(pair[0]), close(pair[1]);
}

static void what_was_moved_counts(void) {
  static char large[1 << 20];
  OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  set_timeout(pair[0], SO_SNDTIMEO, TIMEOUT_MS);
  set_timeout(pair[1], SO_RCVTIMEO, TIMEOUT_MS);
  long sent = OK(write(pair[0], large, sizeof large));
  CHECK_CASE(sent > 100000 && sent < 400000, "%ld", sent);
  CHECK_ERRNO(write(pair[0], large, sizeof large), EAGAIN);
  CHECK_EQ(recv(pair[1], large, sizeof large, MSG_WAITALL), sent);
  CHECK_ERRNO(recv(pair[1], large, sizeof large, MSG_WAITALL), EAGAIN);
  // sendfile and splice move no more than fits, and lose nothing.
  off_t offset = 0;
  long moved = OK(sendfile(pair[0], file, &offset, sizeof large));
  CHECK_EQ(offset, moved);
  CHECK_CASE(moved > 100000, "%ld", moved);
  CHECK_EQ(recv(pair[1], large, sizeof large, MSG_WAITALL), moved);
  int pipe_ends[2], left;
  OK(pipe(pipe_ends));
  OK(fcntl(pipe_ends[1], F_SETPIPE_SZ, 1 << 20));
  CHECK_EQ(write(pipe_ends[1], large, sizeof large), (long)sizeof large);
  moved = OK(splice(pipe_ends[0], NULL, pair[0], NULL, sizeof large, 0));
  CHECK_CASE(moved > 100000, "%ld", moved);
  CHECK_EQ(recv(pair[1], large, sizeof large, MSG_WAITALL), moved);
  OK(fcntl(pipe_ends[0], F_SETFL, O_NONBLOCK));
  for (left = 0;;) {
    long got = read(pipe_ends[0], large, sizeof large);
    if (got < 0) break;
    left += got;
  }
  CHECK_EQ(left + moved, (long)sizeof large);
  close(pipe_ends[0]), close(pipe_ends[1]);
  close(pair[0]), close(pair[1]);
}

static void low_water_marks(void) {
  OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  int least = 4;
  OK(setsockopt(pair[0], SOL_SOCKET, SO_RCVLOWAT, &least, sizeof least));
  set_timeout(pair[0], SO_RCVTIMEO, TIMEOUT_MS);
  CHECK_EQ(write(pair[1], "ab", 2), 2);
  long long start = now_ms();
  CHECK_EQ(read(pair[0], block, 10), 2);
  CHECK(now_ms() - start >= TIMEOUT_MS - 5);
  CHECK_EQ(write(pair[1], "abcd", 4), 4);
  start = now_ms();
  CHECK_EQ(read(pair[0], block, 10), 4);
  close(pair[0]), close(pair[1]);
}

static void connecting_and_accepting(int type) {
  struct sockaddr_un address = {AF_UNIX, "listener"};
  int listener = OK(socket(AF_UNIX, type, 0)), clients[2];
  OK(bind(listener, (void *)&address, sizeof address));
  OK(listen(listener, 0));
  set_timeout(listener, SO_RCVTIMEO, TIMEOUT_MS);
  long long start = now_ms();
  CHECK_ERRNO(accept(listener, NULL, NULL), EAGAIN);
  CHECK(now_ms() - start >= TIMEOUT_MS - 5);
  for (int i = 0; i < 2; i++) clients[i] = OK(socket(AF_UNIX, type, 0));
  OK(connect(clients[0], (void *)&address, sizeof address));
  set_timeout(clients[1], SO_SNDTIMEO, TIMEOUT_MS);
  start = now_ms();
  CHECK_ERRNO(connect(clients[1], (void *)&address, sizeof address), EAGAIN);
  CHECK(now_ms() - start >= TIMEOUT_MS - 5);
  set_timeout(clients[1], SO_SNDTIMEO, 20000);
  pid_t sender = signal_asleep(SIGUSR1, 1);
  CHECK_ERRNO(connect(clients[1], (void *)&address, sizeof address), EINTR);
  WAIT_OK(sender);
  // Accepted sockets have time-outs of their own.
  int accepted = OK(accept(listener, NULL, NULL));
  struct timeval timeout = {9, 9};
  socklen_t size = sizeof timeout;
  OK(getsockopt(accepted, SOL_SOCKET, SO_RCVTIMEO, &timeout, &size));
  CHECK_EQ(timeout.tv_sec, 0);
  CHECK_EQ(timeout.tv_usec, 0);
  close(accepted), close(clients[0]), close(clients[1]), close(listener);
  OK(unlink("listener"));
}

static void a_writer_whose_reader_goes_is_told(int closes) {
  struct { int type; long (*call)(void); } cases[] = {
    {SOCK_STREAM, do_write}, {SOCK_STREAM, do_writev}, {SOCK_STREAM, do_send}, {SOCK_STREAM, do_sendfile},
    {SOCK_STREAM, splice_in}, {SOCK_SEQPACKET, do_write}, {SOCK_SEQPACKET, splice_in},
  };
  handle(SIGPIPE, note, 0);
  for (size_t i = 0; i < COUNT(cases); i++) {
    OK(socketpair(AF_UNIX, cases[i].type, 0, pair));
    OK(pipe(spare));
    CHECK_EQ(write(spare[1], "0123456789", 10), 10);
    fill(pair[0]);
    pid_t sleeper = getpid(), pid;
    IN_CHILD(pid) {
      OK(close(pair[0]));
      until_asleep(sleeper);
      if (!closes) OK(shutdown(pair[1], SHUT_RD));
    }
    if (closes) OK(close(pair[1]));
    signals_seen = 0;
    errno = 0;
    long result = cases[i].call();
    // What was never read is a reset. Who has waited gets no SIGPIPE.
    CHECK_CASE(result == -1 && errno == (closes ? ECONNRESET : EPIPE), "case %zu returned %ld", i, result);
    CHECK_CASE(signals_seen == 0, "case %zu raised %d", i, (int)signals_seen);
    int is_told = cases[i].type == SOCK_STREAM;
    if (cases[i].call != splice_in || closes == 0) {
      result = cases[i].call();
      CHECK_CASE(result == -1 && errno == EPIPE, "case %zu, again, returned %ld", i, result);
      CHECK_CASE(signals_seen == is_told, "case %zu, again, raised %d", i, (int)signals_seen);
    }
    WAIT_OK(pid);
    close(pair[0]), close(spare[0]), close(spare[1]);
    if (!closes) OK(close(pair[1]));
  }
}

int main(void) {
  enter_scratch();
  handle(SIGUSR1, note, SA_RESTART);
  static char content[1 << 20];
  file = OK(open("file", O_RDWR | O_CREAT, 0600));
  CHECK_EQ(write(file, content, sizeof content), (long)sizeof content);
  every_call_ends_at_its_time(SOCK_STREAM);
  every_call_ends_at_its_time(SOCK_SEQPACKET);
  without_a_timeout_the_call_is_restarted();
  what_was_moved_counts();
  low_water_marks();
  connecting_and_accepting(SOCK_STREAM);
  connecting_and_accepting(SOCK_SEQPACKET);
  a_writer_whose_reader_goes_is_told(0);
  a_writer_whose_reader_goes_is_told(1);
  return 0;
}
