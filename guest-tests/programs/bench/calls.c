// What one operation costs: `calls NAME [ROUNDS]` prints microseconds. NAME is one of the table at the end.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, MAPPED_PAGES = 4 };

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static double now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}

static int zero, file, to_self[2], ping[2], pong[2];
static pid_t partner;

static void open_zero(void) {
  if ((zero = open("/dev/zero", O_RDONLY)) < 0) fail("/dev/zero");
}

static void make_file(void) {
  static char contents[PAGE];
  char path[] = "/dev/shm/calls.XXXXXX";
  if ((file = mkstemp(path)) < 0) fail(path);
  unlink(path);
  if (write(file, contents, PAGE) != PAGE) fail("write");
}

static void make_pipe(void) {
  if (pipe(to_self) != 0) fail("pipe");
}

static void start_partner(void) {
  if (pipe(ping) != 0 || pipe(pong) != 0) fail("pipe");
  if ((partner = fork()) < 0) fail("fork");
  if (partner > 0) return;
  close(ping[1]);
  char byte;
  while (read(ping[0], &byte, 1) == 1)
    if (write(pong[1], &byte, 1) != 1) break;
  _exit(0);
}

static void end_partner(void) {
  close(ping[1]);
  waitpid(partner, NULL, 0);
}

// A socket of the loopback's that another process answers byte by byte, or that connections are made to.
static int far, near;
static struct sockaddr_in place = {.sin_family = AF_INET};

static int loopback_socket(int type) {
  int made = socket(AF_INET, type, 0);
  if (made < 0) fail("socket");
  place.sin_port = 0;
  place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(made, (struct sockaddr *)&place, sizeof place) != 0) fail("bind");
  if (getsockname(made, (struct sockaddr *)&place, &(socklen_t){sizeof place}) != 0) fail("getsockname");
  return made;
}

static void go_to(int type) {
  if ((near = socket(AF_INET, type, 0)) < 0) fail("socket");
  if (connect(near, (struct sockaddr *)&place, sizeof place) != 0) fail("connect");
}

static void start_tcp_partner(void) {
  int on = 1, listener = loopback_socket(SOCK_STREAM);
  if (listen(listener, 128) != 0) fail("listen");
  go_to(SOCK_STREAM);
  if ((far = accept(listener, NULL, NULL)) < 0) fail("accept");
  setsockopt(near, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(far, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if ((partner = fork()) < 0) fail("fork");
  if (partner > 0) {
    close(far);
    return;
  }
  close(near);
  char byte;
  while (recv(far, &byte, 1, 0) == 1)
    if (send(far, &byte, 1, 0) != 1) break;
  _exit(0);
}

static void start_udp_partner(void) {
  far = loopback_socket(SOCK_DGRAM);
  go_to(SOCK_DGRAM);
  if ((partner = fork()) < 0) fail("fork");
  if (partner > 0) return;
  struct sockaddr_in sender;
  char byte;
  for (socklen_t len; recvfrom(far, &byte, 1, 0, (struct sockaddr *)&sender, (len = sizeof sender, &len)) == 1;)
    if (sendto(far, &byte, 1, 0, (struct sockaddr *)&sender, len) != 1) break;
  _exit(0);
}

static void start_listener(void) {
  far = loopback_socket(SOCK_STREAM);
  if (listen(far, 128) != 0) fail("listen");
}

static void round_trip(void) {
  char byte = 1;
  if (send(near, &byte, 1, 0) != 1 || recv(near, &byte, 1, 0) != 1) fail("round trip");
}

static void connect_and_close(void) {
  go_to(SOCK_STREAM);
  int accepted = accept(far, NULL, NULL);
  if (accepted < 0) fail("accept");
  // The end that closes first is broken off, so that no port lingers.
  setsockopt(near, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
  close(near);
  close(accepted);
}

static void end_tcp_partner(void) {
  close(near);
  waitpid(partner, NULL, 0);
}

static void end_udp_partner(void) {
  // Nothing of no bytes is answered: it ends the partner.
  if (send(near, NULL, 0, 0) != 0) fail("send");
  waitpid(partner, NULL, 0);
}

static void getpid_by_syscall(void) { syscall(SYS_getpid); }

static void getppid_by_libc(void) { getppid(); }

static void read_zero(void) {
  char byte;
  if (read(zero, &byte, 1) != 1) fail("read");
}

static void pread_page(void) {
  char page[PAGE];
  if (pread(file, page, PAGE, 0) != PAGE) fail("pread");
}

static void pipe_byte(void) {
  char byte = 1;
  if (write(to_self[1], &byte, 1) != 1 || read(to_self[0], &byte, 1) != 1) fail("pipe");
}

static void ping_pong(void) {
  char byte = 1;
  if (write(ping[1], &byte, 1) != 1 || read(pong[0], &byte, 1) != 1) fail("ping-pong");
}

static void open_and_close(void) {
  int descriptor = open("/etc/passwd", O_RDONLY);
  if (descriptor < 0 || close(descriptor) != 0) fail("/etc/passwd");
}

static void map_and_touch(void) {
  char *memory = mmap(NULL, MAPPED_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail("mmap");
  for (int page = 0; page < MAPPED_PAGES; page++) ((volatile char *)memory)[page * PAGE] = 1;
  if (munmap(memory, MAPPED_PAGES * PAGE) != 0) fail("munmap");
}

static void fork_and_wait(void) {
  pid_t child = fork();
  if (child == 0) _exit(0);
  if (child < 0 || waitpid(child, NULL, 0) != child) fail("fork");
}

static void *end_at_once(void *unused) { return unused; }

static void create_and_join(void) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, end_at_once, NULL) != 0 || pthread_join(thread, NULL) != 0) fail("thread");
}

static void nothing(void) {}

// The operations, how often each is done, and how many the figure is divided by besides.
static const struct {
  const char *name;
  void (*begin)(void), (*once)(void), (*end)(void);
  long rounds;
  int parts;
} OPERATIONS[] = {
    {"getpid", nothing, getpid_by_syscall, nothing, 20000, 1},
    {"getppid", nothing, getppid_by_libc, nothing, 20000, 1},
    {"zero", open_zero, read_zero, nothing, 20000, 1},
    {"pread", make_file, pread_page, nothing, 20000, 1},
    {"pipe", make_pipe, pipe_byte, nothing, 10000, 1},
    {"pingpong", start_partner, ping_pong, end_partner, 2000, 1},
    {"open", nothing, open_and_close, nothing, 5000, 1},
    {"mmap", nothing, map_and_touch, nothing, 2000, MAPPED_PAGES},
    {"fork", nothing, fork_and_wait, nothing, 300, 1},
    {"thread", nothing, create_and_join, nothing, 500, 1},
    {"tcp", start_tcp_partner, round_trip, end_tcp_partner, 2000, 1},
    {"udp", start_udp_partner, round_trip, end_udp_partner, 2000, 1},
    {"connect", start_listener, connect_and_close, nothing, 2000, 1},
};

int main(int count, char **arguments) {
  for (size_t i = 0; count > 1 && i < sizeof OPERATIONS / sizeof *OPERATIONS; i++) {
    if (strcmp(OPERATIONS[i].name, arguments[1]) != 0) continue;
    long rounds = count > 2 ? atol(arguments[2]) : OPERATIONS[i].rounds;
    OPERATIONS[i].begin();
    for (long round = 0; round < rounds / 20 + 1; round++) OPERATIONS[i].once();
    double started = now_us();
    for (long round = 0; round < rounds; round++) OPERATIONS[i].once();
    double each = (now_us() - started) / rounds / OPERATIONS[i].parts;
    OPERATIONS[i].end();
    printf("%.3f\n", each);
    return 0;
  }
  fprintf(stderr, "calls NAME [ROUNDS]\n");
  return 2;
}
