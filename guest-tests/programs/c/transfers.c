// sendfile, splice, tee and vmsplice: what moves at once, who waits, and that nothing is lost on the way.
#include "check.h"
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

static char block[1 << 20];
static int from[2], to[2], file;
static volatile sig_atomic_t broken_pipes;

static void note(int number, siginfo_t *info, void *context) {
  (void)number, (void)info, (void)context;
  broken_pipes++;
}

static int unread(int end) {
  int count;
  OK(ioctl(end, FIONREAD, &count));
  return count;
}

static void fill(int end) {
  OK(fcntl(end, F_SETFL, O_NONBLOCK));
  while (write(end, block, PAGE) > 0) {}
  OK(fcntl(end, F_SETFL, 0));
}

static void open_pipes(void) {
  OK(pipe(from));
  OK(pipe(to));
}

static void close_pipes(void) {
  for (int end = 0; end < 2; end++) close(from[end]), close(to[end]);
}

static void a_pipe_takes_what_fits(void) {
  open_pipes();
  off_t offset = 0;
  CHECK_EQ(sendfile(to[1], file, &offset, sizeof block), 65536);
  CHECK_EQ(offset, 65536);
  OK(fcntl(to[1], F_SETFL, O_NONBLOCK));
  CHECK_ERRNO(sendfile(to[1], file, &offset, 10), EAGAIN);
  CHECK_EQ(read(to[0], block, 5000), 5000);
  CHECK_EQ(sendfile(to[1], file, &offset, 100000), 4096);
  struct iovec part = {block, 200000};
  CHECK_ERRNO(vmsplice(to[1], &part, 1, SPLICE_F_NONBLOCK), EAGAIN);
  // vmsplice does not care how the pipe was opened.
  CHECK(vmsplice(from[1], &part, 1, 0) > 60000);
  OK(fcntl(from[1], F_SETFL, O_NONBLOCK));
  pid_t pid = signal_asleep(SIGUSR1, 1);
  CHECK_ERRNO(vmsplice(from[1], &part, 1, 0), EINTR);
  WAIT_OK(pid);
  CHECK_EQ(vmsplice(from[1], &part, 0, 0), 0);
  CHECK_ERRNO(vmsplice(file, &part, 1, 0), EBADF);
  CHECK_ERRNO(vmsplice(from[1], &part, 1, 0x100), EINVAL);
  close_pipes();
}

static void between_pipes(void) {
  open_pipes();
  CHECK_EQ(write(from[1], "0123456789", 10), 10);
  CHECK_EQ(tee(from[0], to[1], 5, 0), 5);
  CHECK_EQ(splice(from[0], NULL, to[1], NULL, 7, 0), 7);
  CHECK_EQ(unread(to[0]), 12);
  CHECK_EQ(read(to[0], block, 100), 12);
  CHECK(memcmp(block, "012340123456", 12) == 0);
  fill(to[1]);
  CHECK_ERRNO(splice(from[0], NULL, to[1], NULL, 7, SPLICE_F_NONBLOCK), EAGAIN);
  CHECK_ERRNO(tee(from[0], to[1], 7, SPLICE_F_NONBLOCK), EAGAIN);
  OK(fcntl(from[0], F_SETFL, O_NONBLOCK));
  CHECK_ERRNO(splice(from[0], NULL, to[1], NULL, 7, 0), EAGAIN);
  OK(fcntl(from[0], F_SETFL, 0));
  CHECK_EQ(unread(from[0]), 3);
  OK(close(to[0]));
  broken_pipes = 0;
  CHECK_ERRNO(splice(from[0], NULL, to[1], NULL, 7, 0), EPIPE);
  CHECK_ERRNO(tee(from[0], to[1], 7, 0), EPIPE);
  CHECK_EQ(broken_pipes, 2);
  CHECK_EQ(unread(from[0]), 3);
  close_pipes();
}

static void to_and_from_sockets(void) {
  int pair[2];
  open_pipes();
  OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  OK(fcntl(from[1], F_SETPIPE_SZ, sizeof block));
  CHECK_EQ(write(from[1], block, sizeof block), (long)sizeof block);
  OK(fcntl(pair[0], F_SETFL, O_NONBLOCK));
  long moved = OK(splice(from[0], NULL, pair[0], NULL, sizeof block, 0));
  CHECK_CASE(moved > 150000, "%ld", moved); // All that SO_SNDBUF allows, not only until poll would say no.
  CHECK_ERRNO(send(pair[0], "x", 1, 0), EAGAIN);
  CHECK_ERRNO(splice(from[0], NULL, pair[0], NULL, 10, 0), EAGAIN);
  CHECK_EQ(unread(from[0]), (long)sizeof block - moved);
  CHECK_EQ(splice(pair[1], NULL, to[1], NULL, 1000, 0), 1000);
  CHECK_EQ(unread(pair[1]), moved - 1000);
  OK(shutdown(pair[1], SHUT_RD));
  broken_pipes = 0;
  CHECK_ERRNO(splice(from[0], NULL, pair[0], NULL, 10, 0), EPIPE);
  off_t offset = 0;
  CHECK_ERRNO(sendfile(pair[0], file, &offset, 10), EPIPE);
  CHECK_EQ(broken_pipes, 2);
  CHECK_EQ(unread(from[0]), (long)sizeof block - moved);
  close(pair[0]), close(pair[1]);
  close_pipes();
}

static void a_blocked_writer_to_a_pipe_whose_reader_goes(void) {
  struct iovec part = {block, 10};
  for (int call = 0; call < 4; call++) {
    open_pipes();
    CHECK_EQ(write(from[1], "0123456789", 10), 10);
    fill(to[1]);
    pid_t sleeper = getpid(), pid;
    IN_CHILD(pid) {
      OK(close(to[1]));
      until_asleep(sleeper);
    }
    OK(close(to[0]));
    broken_pipes = 0;
    off_t offset = 0;
    errno = 0;
    long result = call == 0   ? write(to[1], block, 10)
                  : call == 1 ? splice(from[0], NULL, to[1], NULL, 10, 0)
                  : call == 2 ? sendfile(to[1], file, &offset, 10)
                              : vmsplice(to[1], &part, 1, 0);
    CHECK_CASE(result == -1 && errno == EPIPE && broken_pipes == 1, "call %d: %ld, %d signals", call, result, (int)broken_pipes);
    WAIT_OK(pid);
    close(to[1]), close(from[0]), close(from[1]);
  }
}

static void refusals(void) {
  open_pipes();
  off_t offset = 0, negative = -1;
  CHECK_EQ(splice(-1, NULL, -1, NULL, 0, 0x100), 0);
  CHECK_ERRNO(splice(from[0], NULL, to[1], NULL, 10, 0x100), EINVAL);
  CHECK_ERRNO(splice(from[0], NULL, from[1], NULL, 10, 0), EINVAL);
  CHECK_ERRNO(splice(from[0], &offset, file, NULL, 10, 0), ESPIPE);
  CHECK_ERRNO(splice(file, NULL, to[1], &offset, 10, 0), ESPIPE);
  CHECK_ERRNO(splice(from[0], wild, file, NULL, 10, 0), ESPIPE);
  CHECK_ERRNO(splice(file, wild, to[1], NULL, 10, 0), EFAULT);
  CHECK_ERRNO(splice(file, &negative, to[1], NULL, 10, 0), EINVAL);
  CHECK_ERRNO(splice(file, NULL, file, NULL, 10, 0), EINVAL);
  CHECK_ERRNO(splice(from[1], NULL, file, NULL, 10, 0), EBADF);
  CHECK_ERRNO(splice(from[0], NULL, to[0], NULL, 10, 0), EBADF);
  CHECK_ERRNO(splice(from[0], NULL, file, NULL, 10, SPLICE_F_NONBLOCK), EAGAIN);
  CHECK_EQ(tee(from[0], to[1], 0, 0), 0);
  CHECK_ERRNO(tee(from[0], from[1], 10, 0), EINVAL);
  CHECK_ERRNO(tee(file, to[1], 10, 0), EINVAL);
  int appending = OK(open("file", O_WRONLY | O_APPEND));
  CHECK_ERRNO(splice(from[0], NULL, appending, NULL, 10, 0), EINVAL);
  CHECK_ERRNO(sendfile(appending, file, NULL, 10), EINVAL);
  // The offset is written back whatever comes of the call, and nothing lies beyond the largest.
  off_t *fixed = map_anonymous(PAGE, PROT_READ | PROT_WRITE), far = INT64_MAX - 3;
  *fixed = -1;
  OK(mprotect(fixed, PAGE, PROT_READ));
  CHECK_ERRNO(sendfile(to[1], file, fixed, 10), EFAULT);
  CHECK_ERRNO(sendfile(to[1], file, &far, 10), EINVAL);
  CHECK_ERRNO(sendfile(to[1], file, &far, SIZE_MAX), EINVAL);
  far = -1;
  CHECK_ERRNO(sendfile(to[1], file, &far, 10), EINVAL);
  int null = OK(open("/dev/null", O_RDWR));
  CHECK_ERRNO(sendfile(to[1], null, NULL, 10), EINVAL);
  CHECK_ERRNO(splice(null, NULL, to[1], NULL, 10, 0), EINVAL);
  OK(close(null));
  OK(close(from[1]));
  CHECK_EQ(splice(from[0], NULL, to[1], NULL, 10, 0), 0);
  CHECK_EQ(splice(from[0], NULL, file, NULL, 10, 0), 0);
  CHECK_EQ(tee(from[0], to[1], 10, 0), 0);
  // What is a pipe's alone.
  CHECK_ERRNO(fcntl(file, F_GETPIPE_SZ), EBADF);
  struct iovec none = {block, 0};
  CHECK_EQ(writev(to[1], &none, 1), 0);
  CHECK_ERRNO(pwritev(to[1], &none, 1, 5), ESPIPE);
  int packets[2];
  OK(pipe2(packets, O_DIRECT | O_NONBLOCK));
  CHECK_EQ(fcntl(packets[0], F_GETFL), O_NONBLOCK);
  CHECK_EQ(fcntl(packets[1], F_GETFL), O_NONBLOCK | O_DIRECT | O_WRONLY);
  close_pipes();
}

int main(void) {
  enter_scratch();
  handle(SIGPIPE, note, 0);
  handle(SIGUSR1, note, 0);
  file = OK(open("file", O_RDWR | O_CREAT, 0600));
  CHECK_EQ(write(file, block, sizeof block), (long)sizeof block);
  a_pipe_takes_what_fits();
  between_pipes();
  to_and_from_sockets();
  a_blocked_writer_to_a_pipe_whose_reader_goes();
  refusals();
  return 0;
}
