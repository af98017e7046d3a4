// Asynchronous input and output (`man 2 io_setup` and its kin).
#include "check.h"
#include <linux/aio_abi.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/uio.h>

static int setup(unsigned count, aio_context_t *context) { return syscall(SYS_io_setup, count, context); }
static int destroy(aio_context_t context) { return syscall(SYS_io_destroy, context); }
static int submit(aio_context_t context, long count, struct iocb **requests) {
  return syscall(SYS_io_submit, context, count, requests);
}
static int cancel(aio_context_t context, struct iocb *request, struct io_event *event) {
  return syscall(SYS_io_cancel, context, request, event);
}
static int events_of(aio_context_t context, long least, long count, struct io_event *events, struct timespec *timeout) {
  return syscall(SYS_io_getevents, context, least, count, events, timeout);
}

static aio_context_t context;

static struct iocb request(int opcode, int fd, void *buffer, size_t length, long offset) {
  return (struct iocb){.aio_data = 0xabc, .aio_lio_opcode = opcode, .aio_fildes = fd, .aio_buf = (uintptr_t)buffer, .aio_nbytes = length, .aio_offset = offset};
}

static int submit_one(struct iocb *one) { return submit(context, 1, &one); }

// Waits for one event, which is of `of`; returns its result.
static long result_of(struct iocb *of) {
  struct io_event event;
  CHECK_EQ(events_of(context, 1, 1, &event, NULL), 1);
  CHECK_EQ(event.obj, (uintptr_t)of);
  CHECK_EQ(event.data, of->aio_data);
  CHECK_EQ(event.res2, 0);
  return event.res;
}

static long perform(struct iocb one) {
  CHECK_EQ(submit_one(&one), 1);
  return result_of(&one);
}

static void contexts(void) {
  aio_context_t other = 0, used = 1;
  CHECK_ERRNO(setup(0, &other), EINVAL);
  CHECK_ERRNO(setup(1, &used), EINVAL);
  CHECK_ERRNO(setup(1, wild), EFAULT);
  CHECK_ERRNO(setup(INT_MAX, &other), EINVAL);
  OK(setup(8, &other));
  CHECK(other != 0);
  OK(destroy(other));
  CHECK_ERRNO(destroy(other), EINVAL);
  CHECK_ERRNO(destroy(0), EINVAL);
  CHECK_ERRNO(submit(other, 0, NULL), EINVAL);
  CHECK_ERRNO(events_of(other, 0, 0, NULL, NULL), EINVAL);
  CHECK_ERRNO(submit(context, -1, NULL), EINVAL);
  CHECK_EQ(submit(context, 0, NULL), 0);
  CHECK_ERRNO(submit(context, 1, wild), EFAULT);
  struct iocb *none = wild;
  CHECK_ERRNO(submit(context, 1, &none), EFAULT);
  struct timespec zero = {0, 0};
  CHECK_ERRNO(events_of(context, 1, 1, NULL, wild), EFAULT);
  CHECK_ERRNO(events_of(context, 2, 1, NULL, &zero), EINVAL);
  CHECK_ERRNO(events_of(context, -1, 1, NULL, &zero), EINVAL);
  CHECK_EQ(events_of(context, 0, 1, NULL, NULL), 0);
  CHECK_EQ(events_of(context, 1, 1, NULL, &zero), 0);
}

static void files(void) {
  char path[] = "/tmp/aio.XXXXXX", bytes[16] = "";
  int fd = mkstemp(path);
  OK(fd);
  CHECK_EQ(perform(request(IOCB_CMD_PWRITE, fd, "hello, world", 12, 4)), 12);
  CHECK_EQ(perform(request(IOCB_CMD_PREAD, fd, bytes, 5, 4)), 5);
  CHECK(!memcmp(bytes, "hello", 5));
  CHECK_EQ(perform(request(IOCB_CMD_PREAD, fd, bytes, 16, 100)), 0);
  struct iovec vector[] = {{bytes, 2}, {bytes + 8, 3}};
  CHECK_EQ(perform(request(IOCB_CMD_PREADV, fd, vector, 2, 11)), 5);
  CHECK(!memcmp(bytes, "wo", 2) && !memcmp(bytes + 8, "rld", 3));
  CHECK_EQ(perform(request(IOCB_CMD_PWRITEV, fd, vector, 2, 0)), 5);
  CHECK_EQ(perform(request(IOCB_CMD_FSYNC, fd, NULL, 0, 0)), 0);
  CHECK_EQ(perform(request(IOCB_CMD_FDSYNC, fd, NULL, 0, 0)), 0);
  CHECK_EQ(perform(request(IOCB_CMD_PREAD, fd, wild, 5, 0)), -EFAULT);
  CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);

  struct iocb wrong = request(IOCB_CMD_PREAD, -1, bytes, 1, 0);
  CHECK_ERRNO(submit_one(&wrong), EBADF);
  wrong = request(4, fd, bytes, 1, 0);
  CHECK_ERRNO(submit_one(&wrong), EINVAL);
  wrong = request(IOCB_CMD_PREAD, fd, bytes, -1, 0);
  CHECK_ERRNO(submit_one(&wrong), EINVAL);
  wrong = request(IOCB_CMD_PREAD, fd, bytes, 1, -1);
  CHECK_ERRNO(submit_one(&wrong), EINVAL);
  wrong = request(IOCB_CMD_FSYNC, fd, NULL, 1, 0);
  CHECK_ERRNO(submit_one(&wrong), EINVAL);
  wrong = request(IOCB_CMD_PREAD, fd, bytes, 1, 0);
  wrong.aio_reserved2 = 1;
  CHECK_ERRNO(submit_one(&wrong), EINVAL);
  wrong = request(IOCB_CMD_PREAD, fd, bytes, 1, 0);
  wrong.aio_flags = IOCB_FLAG_RESFD;
  wrong.aio_resfd = fd;
  CHECK_ERRNO(submit_one(&wrong), EINVAL);
  int writer = open(path, O_WRONLY);
  wrong = request(IOCB_CMD_PREAD, writer, bytes, 1, 0);
  CHECK_ERRNO(submit_one(&wrong), EBADF);
  CHECK_ERRNO(cancel(context, &wrong, NULL), EINVAL);

  // What comes before the first bad one is done.
  struct iocb good = request(IOCB_CMD_PREAD, fd, bytes, 1, 0), *both[] = {&good, &wrong};
  CHECK_EQ(submit(context, 2, both), 1);
  CHECK_EQ(result_of(&good), 1);
  close(fd), close(writer);
  OK(unlink(path));
}

static void a_counter_is_told(void) {
  int counter = eventfd(0, EFD_NONBLOCK), zero = open("/dev/zero", O_RDONLY);
  char bytes[4];
  struct iocb one = request(IOCB_CMD_PREAD, zero, bytes, 4, 0);
  one.aio_flags = IOCB_FLAG_RESFD;
  one.aio_resfd = counter;
  struct iocb two = one, *both[] = {&one, &two};
  CHECK_EQ(submit(context, 2, both), 2);
  uint64_t count;
  CHECK_EQ(read(counter, &count, 8), 8);
  CHECK_EQ(count, 2);
  struct io_event events[4];
  CHECK_EQ(events_of(context, 1, 4, events, NULL), 2);
  CHECK_EQ(events[0].obj, (uintptr_t)&one);
  CHECK_EQ(events[1].obj, (uintptr_t)&two);
  close(counter), close(zero);
}

static void polls(void) {
  int files[2];
  OK(pipe(files));
  struct iocb poll = request(IOCB_CMD_POLL, files[0], (void *)POLLIN, 0, 0);
  struct timespec zero = {0, 0};
  struct io_event event;
  CHECK_EQ(submit_one(&poll), 1);
  CHECK_EQ(events_of(context, 1, 1, &event, &zero), 0);
  OK(write(files[1], "a", 1));
  CHECK(result_of(&poll) & POLLIN); // With POLLRDNORM, if the waker said so.
  CHECK_EQ(perform(poll), POLLIN);
  char byte;
  OK(read(files[0], &byte, 1));
  CHECK_EQ(submit_one(&poll), 1);
  CHECK_ERRNO(cancel(context, &poll, &event), EINPROGRESS);
  CHECK_EQ(result_of(&poll), 0);
  CHECK_ERRNO(cancel(context, &poll, &event), EINVAL);
  CHECK_EQ(submit_one(&poll), 1);
  close(files[1]);
  CHECK_EQ(result_of(&poll), POLLHUP);
  poll.aio_nbytes = 1;
  CHECK_ERRNO(submit_one(&poll), EINVAL);
  close(files[0]);
}

static void streams(void) {
  int files[2];
  char bytes[8] = "";
  OK(pipe(files));
  CHECK_EQ(perform(request(IOCB_CMD_PWRITE, files[1], "abc", 3, 0)), 3);
  CHECK_EQ(perform(request(IOCB_CMD_PREAD, files[0], bytes, 8, 0)), 3);
  CHECK(!memcmp(bytes, "abc", 3));
  OK(fcntl(files[0], F_SETFL, O_NONBLOCK));
  CHECK_EQ(perform(request(IOCB_CMD_PREAD, files[0], bytes, 8, 0)), -EAGAIN);
  close(files[1]);
  CHECK_EQ(perform(request(IOCB_CMD_PREAD, files[0], bytes, 8, 0)), 0);
  close(files[0]);
}

static void room_is_bounded(void) {
  int files[2], count = 0;
  OK(pipe(files));
  aio_context_t small = 0;
  OK(setup(4, &small));
  static struct iocb polls[4096];
  for (;;) {
    struct iocb *one = &polls[count];
    *one = request(IOCB_CMD_POLL, files[0], (void *)POLLIN, 0, 0);
    if (submit(small, 1, &one) < 0) break;
    CHECK(++count < (int)COUNT(polls));
  }
  CHECK_EQ(errno, EAGAIN);
  CHECK(count >= 4);
  OK(write(files[1], "a", 1));
  struct io_event events[4];
  CHECK_EQ(events_of(small, 4, 4, events, NULL), 4);
  OK(destroy(small));
  close(files[0]), close(files[1]);
}

static void *destroy_later(void *unused) {
  usleep(20000);
  OK(destroy(context));
  return unused;
}

static void the_end_of_a_context_ends_a_wait(void) {
  pthread_t thread;
  struct io_event event;
  CHECK_EQ(pthread_create(&thread, NULL, destroy_later, NULL), 0);
  CHECK_ERRNO(events_of(context, 1, 1, &event, NULL), EINVAL);
  pthread_join(thread, NULL);
}

static void a_child_has_no_context(void) {
  pid_t pid;
  IN_CHILD(pid) { CHECK_ERRNO(submit(context, 0, NULL), EINVAL); }
  WAIT_OK(pid);
}

int main(void) {
  OK(setup(64, &context));
  contexts();
  files();
  a_counter_is_told();
  polls();
  streams();
  room_is_bounded();
  a_child_has_no_context();
  the_end_of_a_context_ends_a_wait();
  return 0;
}
