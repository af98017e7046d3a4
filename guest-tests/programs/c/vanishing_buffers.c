// Buffers of reads that cannot be written as a whole, or vanish while the read waits: what stays, and what is lost as on Linux; writes whose end cannot be read.
#include "check.h"
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>

static char *edge; // What lies before it can be written, what follows cannot be touched.
static char content[65536], read_back[65536];

static int waiting(int file) {
  int count;
  OK(ioctl(file, FIONREAD, &count));
  return count;
}

static void put(int file, size_t size) { CHECK_EQ(write(file, content, size), size); }

// Takes all out, which must be the content up to here.
static void drain(int file, ssize_t size) {
  CHECK_EQ(read(file, read_back, sizeof read_back), size);
}

static void a_pipe_keeps_what_does_not_fit(void) {
  int ends[2];
  OK(pipe2(ends, O_NONBLOCK));
  put(ends[1], 5);
  CHECK_EQ(read(ends[0], edge - 100, 5000), 5); // Only what is there needs room.
  put(ends[1], 100);
  CHECK_ERRNO(read(ends[0], edge - 50, 100), EFAULT);
  CHECK_EQ(waiting(ends[0]), 100);
  CHECK_EQ(read(ends[0], edge - 50, 50), 50);
  drain(ends[0], 50);
  // Whole pages of the pipe count.
  put(ends[1], 4096);
  put(ends[1], 4096);
  CHECK_EQ(read(ends[0], edge - 5000, 9000), 4096);
  CHECK(memcmp(edge - 5000, content, 4096) == 0);
  CHECK_EQ(waiting(ends[0]), 4096);
  drain(ends[0], 4096);
  put(ends[1], 100);
  struct iovec parts[] = {{edge - 10, 10}, {edge, 10}};
  CHECK_ERRNO(readv(ends[0], parts, 2), EFAULT);
  CHECK_ERRNO(read(ends[0], edge, 10), EFAULT);
  drain(ends[0], 100);
  // A write takes whole pages, too.
  CHECK_ERRNO(write(ends[1], edge - 50, 100), EFAULT);
  CHECK_ERRNO(read(ends[0], read_back, 1), EAGAIN);
  CHECK_EQ(write(ends[1], edge - 5000, 10000), 4096);
  drain(ends[0], 4096);
  OK(close(ends[0]));
  OK(close(ends[1]));
}

static void a_stream_keeps_what_does_not_fit(void) {
  int ends[2];
  OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends));
  put(ends[1], 5);
  CHECK_EQ(read(ends[0], edge - 100, 5000), 5);
  put(ends[1], 40);
  put(ends[1], 40);
  CHECK_EQ(read(ends[0], edge - 50, 100), 40);
  CHECK_ERRNO(recv(ends[0], edge - 20, 40, 0), EFAULT);
  CHECK_ERRNO(recv(ends[0], edge - 20, 40, MSG_PEEK), EFAULT);
  struct iovec part = {edge - 20, 40};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  CHECK_ERRNO(recvmsg(ends[0], &message, 0), EFAULT);
  CHECK_EQ(waiting(ends[0]), 40);
  drain(ends[0], 40);
  CHECK_ERRNO(write(ends[1], edge - 50, 100), EFAULT);
  CHECK_ERRNO(write(ends[1], edge - 8000, 100000), EFAULT);
  CHECK_ERRNO(send(ends[1], edge - 50, 100, 0), EFAULT);
  CHECK_ERRNO(read(ends[0], read_back, 1), EAGAIN);
  OK(close(ends[0]));
  OK(close(ends[1]));
}

static void a_message_is_lost(void) {
  int kinds[] = {SOCK_DGRAM, SOCK_SEQPACKET};
  for (size_t i = 0; i < COUNT(kinds); i++) {
    int ends[2];
    OK(socketpair(AF_UNIX, kinds[i] | SOCK_NONBLOCK, 0, ends));
    put(ends[1], 100);
    CHECK_ERRNO(read(ends[0], edge - 50, 100), EFAULT);
    CHECK_ERRNO(read(ends[0], read_back, 100), EAGAIN);
    put(ends[1], 10);
    CHECK_EQ(read(ends[0], edge - 50, 1000), 10);
    put(ends[1], 100);
    CHECK_ERRNO(recv(ends[0], edge - 50, 100, MSG_PEEK), EFAULT);
    CHECK_EQ(recv(ends[0], read_back, 200, 0), 100);
    OK(close(ends[0]));
    OK(close(ends[1]));
  }
}

static void counters_are_lost(void) {
  char *places[] = {edge, edge - 4};
  for (size_t i = 0; i < COUNT(places); i++) {
    int event = OK(eventfd(3, EFD_NONBLOCK));
    CHECK_ERRNO(read(event, places[i], 8), EFAULT);
    CHECK_ERRNO(read(event, read_back, 8), EAGAIN);
    OK(close(event));
    int timer = OK(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
    OK(timerfd_settime(timer, 0, &(struct itimerspec){.it_value.tv_nsec = 1}, NULL));
    struct pollfd ready = {timer, POLLIN, 0};
    CHECK_EQ(poll(&ready, 1, 10000), 1);
    CHECK_ERRNO(read(timer, edge, 8), EFAULT);
    CHECK_ERRNO(read(timer, read_back, 8), EAGAIN);
    OK(close(timer));
  }
  int event = OK(eventfd(3, EFD_NONBLOCK));
  CHECK_EQ(read(event, edge - 8, 100), 8);
  CHECK_ERRNO(write(event, edge - 4, 8), EFAULT);
  OK(close(event));
}

static void signals_are_lost_one_by_one(void) {
  sigset_t set = signals(SIGUSR1, SIGUSR2, 0);
  OK(sigprocmask(SIG_BLOCK, &set, NULL));
  int file = OK(signalfd(-1, &set, SFD_NONBLOCK));
  OK(raise(SIGUSR1));
  CHECK_ERRNO(read(file, edge, 128), EFAULT);
  CHECK_ERRNO(read(file, read_back, 128), EAGAIN);
  OK(raise(SIGUSR1));
  OK(raise(SIGUSR2));
  CHECK_EQ(read(file, edge - 128, 256), 128);
  CHECK_ERRNO(read(file, read_back, 128), EAGAIN);
  OK(close(file));
  OK(sigprocmask(SIG_UNBLOCK, &set, NULL));
}

static void watches_and_listings(void) {
  int file = OK(inotify_init1(IN_NONBLOCK));
  OK(inotify_add_watch(file, ".", IN_CREATE));
  write_file("a", "");
  CHECK_ERRNO(read(file, edge, 1000), EFAULT);
  CHECK_ERRNO(read(file, read_back, 1000), EAGAIN);
  write_file("b", "");
  write_file("c", "");
  CHECK_ERRNO(read(file, edge - 32, 1000), EFAULT);
  CHECK_ERRNO(read(file, read_back, 1000), EAGAIN);
  OK(close(file));
  // A directory goes on after the last entry that was whole.
  int directory = OK(open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  long first = OK(syscall(SYS_getdents64, directory, edge - 40, 1000));
  CHECK_EQ(first, 24);
  long rest = OK(syscall(SYS_getdents64, directory, read_back, 1000));
  OK(lseek(directory, 0, SEEK_SET));
  CHECK_ERRNO(syscall(SYS_getdents64, directory, edge, 1000), EFAULT);
  CHECK_EQ(syscall(SYS_getdents64, directory, read_back, 1000), first + rest);
  OK(close(directory));
}

static void files_stop_at_the_edge(void) {
  int file = OK(open("file", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  put(file, 10000);
  OK(lseek(file, 0, SEEK_SET));
  CHECK_EQ(read(file, edge - 5000, 10000), 5000);
  CHECK_EQ(lseek(file, 0, SEEK_CUR), 5000);
  CHECK_ERRNO(read(file, edge, 10), EFAULT);
  CHECK_EQ(lseek(file, 0, SEEK_CUR), 5000);
  CHECK_EQ(pwrite(file, edge - 50, 100, 0), 50);
  OK(close(file));
}

static void devices_that_never_look(void) {
  int null = OK(open("/dev/null", O_RDWR | O_CLOEXEC)), zero = OK(open("/dev/zero", O_RDWR | O_CLOEXEC));
  int full = OK(open("/dev/full", O_RDWR | O_CLOEXEC)), random = OK(open("/dev/urandom", O_RDWR | O_CLOEXEC));
  int silent[] = {null, zero};
  for (size_t i = 0; i < COUNT(silent); i++) {
    CHECK_EQ(write(silent[i], edge, 100), 100);
    CHECK_EQ(write(silent[i], wild, 100), 100);
    CHECK_EQ(pwrite(silent[i], edge, 100, 5), 100);
    struct iovec parts[] = {{edge, 10}, {content, 10}};
    CHECK_EQ(writev(silent[i], parts, 2), 20);
    CHECK_ERRNO(write(silent[i], (void *)-4096, 100), EFAULT);
  }
  CHECK_ERRNO(write(full, edge, 100), ENOSPC);
  CHECK_ERRNO(write(full, content, 100), ENOSPC);
  CHECK_ERRNO(write(random, edge, 100), EFAULT);
  CHECK_EQ(read(null, edge, 100), 0);
  CHECK_ERRNO(read(zero, edge, 100), EFAULT);
  int sources[] = {zero, full, random};
  for (size_t i = 0; i < COUNT(sources); i++) {
    CHECK_EQ(read(sources[i], edge - 50, 100), 50);
    CHECK_EQ(read(sources[i], edge - 5000, 10000), 5000);
  }
  for (int i = 0; i < 2; i++) OK(close(silent[i]));
  OK(close(full));
  OK(close(random));
}

struct reader {
  int file;
  char *buffer;
  volatile pid_t id;
};

static void *read_into_buffer(void *argument) {
  struct reader *reader = argument;
  reader->id = gettid();
  ssize_t got = read(reader->file, reader->buffer, PAGE);
  return (void *)(got < 0 ? -(long)errno : got);
}

static void what_arrives_after_the_buffer_is_gone_stays(void) {
  for (int is_socket = 0; is_socket < 2; is_socket++) {
    int ends[2];
    if (is_socket) OK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    else OK(pipe(ends));
    struct reader reader = {ends[0], map_anonymous(PAGE, PROT_READ | PROT_WRITE), 0};
    pthread_t thread = start_thread(read_into_buffer, &reader);
    while (reader.id == 0) sleep_ms(1);
    until_asleep(reader.id);
    OK(munmap(reader.buffer, PAGE));
    put(ends[1], 12);
    CHECK_EQ((long)join_thread(thread), -EFAULT);
    CHECK_EQ(waiting(ends[0]), 12);
    drain(ends[0], 12);
    OK(close(ends[0]));
    OK(close(ends[1]));
  }
}

int main(void) {
  char *area = map_anonymous(4 * PAGE, PROT_READ | PROT_WRITE);
  edge = area + 2 * PAGE;
  OK(mprotect(edge, 2 * PAGE, PROT_NONE));
  for (size_t i = 0; i < sizeof content; i++) content[i] = i % 251;
  enter_scratch();
  a_pipe_keeps_what_does_not_fit();
  a_stream_keeps_what_does_not_fit();
  a_message_is_lost();
  counters_are_lost();
  signals_are_lost_one_by_one();
  watches_and_listings();
  files_stop_at_the_edge();
  devices_that_never_look();
  what_arrives_after_the_buffer_is_gone_stays();
  return 0;
}
