// A thread changes the memory that another thread's system calls read and write: results may vary, nothing breaks.
// static
#include "check.h"
#include <sys/socket.h>
#include <sys/uio.h>

static volatile int quit;
static char *area; // Two pages; the second comes and goes.
static struct iovec *volatile vector;
static char *volatile path;

static void *change_values(void *argument) {
  for (unsigned n = 0; !quit; n++) {
    vector->iov_len = n % 3 == 0 ? 8 : n % 3 == 1 ? SIZE_MAX : 4096;
    vector->iov_base = n % 2 ? area : (void *)8;
    path[4] = n % 2 ? 0 : 'x';
    path[5 + n % 100] = n % 7 ? 'y' : 0;
  }
  return argument;
}

static void *change_mappings(void *argument) {
  while (!quit) {
    if (mmap(area + PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED) FAIL("mmap");
    mprotect(area + PAGE, PAGE, PROT_NONE);
    mprotect(area + PAGE, PAGE, PROT_READ | PROT_WRITE);
    munmap(area + PAGE, PAGE);
  }
  return argument;
}

static void is_sane(long got, const char *what) {
  CHECK_CASE(got >= 0 || errno == EFAULT || errno == EINVAL || errno == ENOENT || errno == EAGAIN || errno == ENAMETOOLONG || errno == EMSGSIZE || errno == ENOTDIR || errno == ENOBUFS, "%s", what);
}

int main(void) {
  area = map_anonymous(2 * PAGE, PROT_READ | PROT_WRITE);
  vector = (void *)map_anonymous(PAGE, PROT_READ | PROT_WRITE);
  path = map_anonymous(PAGE, PROT_READ | PROT_WRITE);
  strcpy(path, "/etc");
  int ends[2], pair[2], null = OK(open("/dev/null", O_RDWR)), zero = OK(open("/dev/zero", O_RDONLY));
  OK(pipe2(ends, O_NONBLOCK));
  OK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair));
  pthread_t first = start_thread(change_values, NULL), second = start_thread(change_mappings, NULL);
  char text[8192];
  struct msghdr message = {.msg_iov = vector, .msg_iovlen = 1};
  for (int i = 0; i < 120; i++) {
    is_sane(writev(null, vector, 1), "writev");
    is_sane(readv(zero, vector, 1), "readv");
    is_sane(writev(ends[1], vector, 1), "writev to a pipe");
    is_sane(read(ends[0], text, sizeof text), "read");
    is_sane(sendmsg(pair[0], &message, 0), "sendmsg");
    is_sane(recv(pair[1], text, sizeof text, 0), "recv");
    is_sane(access(path, F_OK), "access");
    is_sane(write(null, area + PAGE - 64, 128), "write across the edge");
    is_sane(read(zero, area + PAGE - 64, 128), "read across the edge");
    is_sane(syscall(SYS_getrandom, area + PAGE - 8, 64, 0), "getrandom across the edge");
    is_sane(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, area + PAGE - 8), "clock_gettime across the edge");
    is_sane(syscall(SYS_futex, area + PAGE, 1, 1, NULL, NULL, 0), "futex wake");
  }
  quit = 1;
  join_thread(first);
  join_thread(second);
  return 0;
}
