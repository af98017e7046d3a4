// splice and its kin: which kinds of files they move data out of and into, and that pages which a program lends to a pipe stay its own.
#include "check.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>

static int from[2], to[2];

static void open_pipes(void) {
  OK(pipe2(from, O_NONBLOCK));
  OK(pipe2(to, O_NONBLOCK));
}

static void close_pipes(void) {
  for (int end = 0; end < 2; end++) close(from[end]), close(to[end]);
}

static void nothing_is_moved_into(int file, const char *name) {
  open_pipes();
  CHECK_CASE(splice(from[0], NULL, file, NULL, 8, 0) == -1 && errno == EINVAL, "%s, an empty pipe", name);
  CHECK_EQ(write(from[1], "12345678", 8), 8);
  CHECK_CASE(splice(from[0], NULL, file, NULL, 8, 0) == -1 && errno == EINVAL, "%s", name);
  char left[9];
  CHECK_EQ(read(from[0], left, sizeof left), 8);
  close_pipes();
  OK(close(file));
}

static void nothing_is_moved_out_of(int file, const char *name) {
  open_pipes();
  CHECK_CASE(splice(file, NULL, to[1], NULL, 8, 0) == -1 && errno == EINVAL, "%s", name);
  CHECK_CASE(sendfile(to[1], file, NULL, 8) == -1 && errno == EINVAL, "%s", name);
  close_pipes();
  OK(close(file));
}

static void kinds(void) {
  sigset_t mask = signals(SIGUSR1, 0);
  nothing_is_moved_into(OK(open("/dev/full", O_RDWR)), "full");
  nothing_is_moved_into(OK(eventfd(5, EFD_NONBLOCK)), "eventfd");
  nothing_is_moved_into(OK(open("/proc/self/comm", O_RDWR)), "comm");
  nothing_is_moved_into(OK(open("/proc/self/mem", O_RDWR)), "mem");
  nothing_is_moved_into(OK(epoll_create1(0)), "epoll");
  nothing_is_moved_out_of(OK(eventfd(5, EFD_NONBLOCK)), "eventfd");
  nothing_is_moved_out_of(OK(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK)), "timerfd");
  nothing_is_moved_out_of(OK(signalfd(-1, &mask, SFD_NONBLOCK)), "signalfd");
  nothing_is_moved_out_of(OK(inotify_init1(IN_NONBLOCK)), "inotify");
  nothing_is_moved_out_of(OK(open("/proc/self/status", O_RDONLY)), "status");
  nothing_is_moved_out_of(OK(open("/proc/self/maps", O_RDONLY)), "maps");
  nothing_is_moved_out_of(OK(open("/proc/net/dev", O_RDONLY)), "net/dev");
}

static void positions_of_devices_stand(void) {
  open_pipes();
  int zero = OK(open("/dev/zero", O_RDWR)), null = OK(open("/dev/null", O_RDWR));
  loff_t offset = 2;
  CHECK_EQ(splice(zero, &offset, to[1], NULL, 5, 0), 5);
  CHECK_EQ(offset, 2);
  CHECK_EQ(splice(to[0], NULL, null, &offset, 8, 0), 5);
  CHECK_EQ(offset, 2);
  int meminfo = OK(open("/proc/meminfo", O_RDONLY)), mounts = OK(open("/proc/self/mounts", O_RDONLY));
  CHECK_EQ(splice(meminfo, NULL, to[1], NULL, 5, 0), 5);
  CHECK_EQ(splice(mounts, &offset, to[1], NULL, 5, 0), 5);
  CHECK_EQ(offset, 7);
  close(zero), close(null), close(meminfo), close(mounts);
  close_pipes();
}

static void streams_are_sent_to_pipes_alone(void) {
  int pair[2], regular = OK(memfd_create("file", 0));
  open_pipes();
  OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair));
  CHECK_EQ(write(pair[1], "hello", 5), 5);
  CHECK_ERRNO(sendfile(regular, pair[0], NULL, 5), EINVAL);
  CHECK_EQ(sendfile(to[1], pair[0], NULL, 9), 5);
  CHECK_ERRNO(sendfile(to[1], pair[0], NULL, 9), EAGAIN);
  CHECK_ERRNO(sendfile(from[1], to[0], NULL, 9), EINVAL);
  close(pair[0]), close(pair[1]), close(regular);
  close_pipes();
}

static void copies_stay_in_a_file_system(void) {
  int regular = OK(open("file", O_RDWR | O_CREAT, 0600)), memory = OK(memfd_create("file", 0));
  CHECK_EQ(write(regular, "hello", 5), 5);
  CHECK_EQ(write(memory, "hello", 5), 5);
  loff_t start = 0, end = 100;
  CHECK_ERRNO(copy_file_range(regular, &start, memory, &start, 5, 0), EXDEV);
  CHECK_ERRNO(copy_file_range(memory, &start, regular, &start, 5, 0), EXDEV);
  CHECK_EQ(copy_file_range(regular, &start, regular, &end, 5, 0), 5);
  int status = OK(open("/proc/self/status", O_RDONLY));
  CHECK_ERRNO(copy_file_range(status, NULL, regular, NULL, 5, 0), EXDEV);
  // Of nothing there is nothing to be copied, whatever can be done with it.
  int comm = OK(open("/proc/self/comm", O_RDWR));
  CHECK_EQ(copy_file_range(status, NULL, comm, NULL, 5, 0), 0);
  close(regular), close(memory), close(status), close(comm);
}

// Where a transfer would end has to be an offset; at a file's end, it does not matter what there is at the other side.
static void ends_of_files(void) {
  open_pipes();
  int file = OK(open("ends", O_RDWR | O_CREAT, 0600)), event = OK(eventfd(5, EFD_NONBLOCK));
  CHECK_EQ(write(file, "hello", 5), 5);
  CHECK_EQ(write(from[1], "there", 5), 5);
  for (int i = 0; i < 2; i++) {
    loff_t last = i ? -1 : LLONG_MAX;
    CHECK_ERRNO(splice(file, &last, to[1], NULL, 1, 0), EINVAL);
    CHECK_ERRNO(splice(from[0], NULL, file, &last, 1, 0), EINVAL);
    CHECK_ERRNO(sendfile(to[1], file, &last, 1), EINVAL);
  }
  off_t place = 5;
  CHECK_EQ(sendfile(event, file, &place, 3), 0);
  CHECK_EQ(sendfile(event, file, NULL, 3), 0);
  place = 4;
  CHECK_ERRNO(sendfile(event, file, &place, 3), EINVAL);
  CHECK_EQ(place, 4);
  close(file), close(event);
  close_pipes();
}

// A page in a pipe is the program's: what it stores there later on is what is read.
static void lent_pages_are_not_copied(void) {
  char *memory = map_anonymous(3 * PAGE, PROT_READ | PROT_WRITE), text[16];
  strcpy(memory, "first");
  struct iovec part = {memory, 6};
  open_pipes();
  CHECK_EQ(vmsplice(from[1], &part, 1, 0), 6);
  strcpy(memory, "later");
  CHECK_EQ(tee(from[0], to[1], 6, 0), 6);
  CHECK_EQ(read(from[0], text, sizeof text), 6);
  CHECK_CASE(strcmp(text, "later") == 0, "%s", text);
  // In the other pipe, too, and after the memory is gone.
  strcpy(memory, "third");
  OK(munmap(memory, PAGE));
  CHECK_EQ(splice(to[0], NULL, from[1], NULL, 6, 0), 6);
  CHECK_EQ(read(from[0], text, sizeof text), 6);
  CHECK_CASE(strcmp(text, "third") == 0, "%s", text);
  // A piece that lies in two pages takes two places; what is written then does not go into them.
  OK(fcntl(from[1], F_SETPIPE_SZ, 2 * PAGE));
  memset(memory + PAGE, 'x', 2 * PAGE);
  struct iovec across = {memory + 2 * PAGE - 3, 6};
  CHECK_EQ(vmsplice(from[1], &across, 1, SPLICE_F_NONBLOCK), 6);
  CHECK_ERRNO(vmsplice(from[1], &across, 1, SPLICE_F_NONBLOCK), EAGAIN);
  CHECK_ERRNO(write(from[1], "y", 1), EAGAIN);
  CHECK_EQ(read(from[0], text, 4), 4);
  CHECK_EQ(write(from[1], "y", 1), 1);
  CHECK_EQ(memory[2 * PAGE + 3], 'x');
  CHECK_EQ(read(from[0], text, sizeof text), 3);
  CHECK(memcmp(text, "xxy", 3) == 0);
  struct iovec bad[2] = {{memory + 2 * PAGE, 4}, {NULL, 4}};
  CHECK_EQ(vmsplice(from[1], bad, 2, 0), 4);
  CHECK_ERRNO(vmsplice(from[1], bad + 1, 1, 0), EFAULT);
  close_pipes();
}

static void each_segment_takes_a_place(void) {
  open_pipes();
  OK(fcntl(to[1], F_SETPIPE_SZ, 2 * PAGE));
  for (int i = 0; i < 3; i++) {
    CHECK_EQ(write(from[1], "x", 1), 1);
    CHECK_EQ(tee(from[0], to[1], 1, 0), i < 2 ? 1 : -1);
    if (i == 2) CHECK_EQ(errno, EAGAIN);
  }
  // The end of one pipe, and nobody who reads the other.
  OK(close(from[1]));
  char rest[8];
  CHECK_EQ(read(from[0], rest, sizeof rest), 3);
  OK(close(to[0]));
  signal(SIGPIPE, SIG_IGN);
  CHECK_ERRNO(splice(from[0], NULL, to[1], NULL, 1, 0), EPIPE);
  close_pipes();
  open_pipes();
  OK(close(from[1]));
  OK(close(to[0]));
  CHECK_ERRNO(splice(from[0], NULL, to[1], NULL, 1, 0), EPIPE);
  close_pipes();
}

int main(void) {
  enter_scratch();
  kinds();
  positions_of_devices_stand();
  streams_are_sent_to_pipes_alone();
  copies_stay_in_a_file_system();
  ends_of_files();
  lent_pages_are_not_copied();
  each_segment_takes_a_place();
  return 0;
}
