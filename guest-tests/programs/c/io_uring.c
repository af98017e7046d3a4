// Rings of submissions and completions: setting up, entering, transfers, polls, timeouts, links and cancelling (`man 7 io_uring`).
#include "ring.h"
#include <sys/epoll.h>

static void arguments(void) {
  struct io_uring_params p = {0};
  CHECK_ERRNO(ring_setup(0, &p), EINVAL);
  CHECK_ERRNO(ring_setup(32769, &p), EINVAL);
  CHECK_ERRNO(ring_setup(4, wild), EFAULT);
  p.resv[0] = 1;
  CHECK_ERRNO(ring_setup(4, &p), EINVAL);
  static const unsigned wrong[] = {1u << 30, IORING_SETUP_SQ_AFF, IORING_SETUP_SQPOLL | IORING_SETUP_COOP_TASKRUN, IORING_SETUP_TASKRUN_FLAG, IORING_SETUP_DEFER_TASKRUN};
  for (size_t index = 0; index < COUNT(wrong); index++) {
    p = (struct io_uring_params){.flags = wrong[index]};
    CHECK_ERRNO(ring_setup(4, &p), EINVAL);
  }
  p = (struct io_uring_params){.flags = IORING_SETUP_CQSIZE, .cq_entries = 2};
  CHECK_ERRNO(ring_setup(4, &p), EINVAL);
  p.cq_entries = 0;
  CHECK_ERRNO(ring_setup(4, &p), EINVAL);
  p.cq_entries = 33;
  int fd = ring_setup(5, &p);
  OK(fd);
  CHECK_EQ(p.sq_entries, 8);
  CHECK_EQ(p.cq_entries, 64);
  CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
  char byte;
  CHECK_ERRNO(read(fd, &byte, 1), EINVAL);
  CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0x18000000) == MAP_FAILED);
  CHECK_ERRNO(ring_enter(fd, 0, 0, 1 << 20, NULL, 0), EINVAL);
  CHECK_ERRNO(ring_enter(-1, 0, 0, 0, NULL, 0), EBADF);
  CHECK_ERRNO(ring_enter(0, 0, 0, 0, NULL, 0), EOPNOTSUPP);
  CHECK_ERRNO(ring_register(0, 0, NULL, 0), EOPNOTSUPP);
  CHECK_ERRNO(ring_register(fd, 1000, NULL, 0), EINVAL);
  CHECK_EQ(ring_enter(fd, 0, 0, IORING_ENTER_GETEVENTS, NULL, 0), 0);
  CHECK_EQ(ring_enter(fd, 5, 0, 0, NULL, 0), 0);
  OK(close(fd));
}

static void nothing(unsigned flags) {
  struct ring ring;
  ring_open(&ring, 8, flags);
  for (int round = 0; round < 20; round++) {
    for (int index = 0; index < 8; index++) ring_prepare(&ring, IORING_OP_NOP, -1, NULL, 0, 0, index);
    CHECK_EQ(ring_submit(&ring, 8), 8);
    for (int index = 0; index < 8; index++) COMPLETES(&ring, index, 0);
    NO_COMPLETION(&ring);
  }
  ring_prepare(&ring, 200, -1, NULL, 0, 0, 7);
  CHECK_EQ(ring_submit(&ring, 0), 1);
  COMPLETES(&ring, 7, -EINVAL);
  ring_prepare(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 7)->flags = 0x80;
  CHECK_EQ(ring_submit(&ring, 0), 1);
  COMPLETES(&ring, 7, -EINVAL);
  // What fails at once stops what comes after it from being taken, this time.
  ring_prepare(&ring, 200, -1, NULL, 0, 0, 1);
  ring_prepare(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 2);
  int takes_all = flags & IORING_SETUP_SUBMIT_ALL;
  CHECK_EQ(ring_submit(&ring, 0), takes_all ? 2 : 1);
  if (!takes_all) CHECK_EQ(ring_enter(ring.fd, 1, 0, 0, NULL, 0), 1);
  COMPLETES(&ring, 1, -EINVAL);
  COMPLETES(&ring, 2, 0);
  ring_close(&ring);
}

static void files(void) {
  struct ring ring;
  ring_open(&ring, 8, 0);
  int file = OK(open("file", O_CREAT | O_RDWR, 0600));
  char bytes[64] = {0};
  ring_prepare(&ring, IORING_OP_WRITE, file, "0123456789", 10, 0, 0);
  SUBMIT_ONE(&ring, 10);
  ring_prepare(&ring, IORING_OP_READ, file, bytes, 4, 3, 0);
  SUBMIT_ONE(&ring, 4);
  CHECK(memcmp(bytes, "3456", 4) == 0);
  struct iovec pieces[2] = {{bytes, 2}, {bytes + 10, 20}};
  ring_prepare(&ring, IORING_OP_READV, file, pieces, 2, 0, 0);
  SUBMIT_ONE(&ring, 10);
  CHECK(memcmp(bytes + 10, "23456789", 8) == 0);
  struct iovec out = {"ab", 2};
  ring_prepare(&ring, IORING_OP_WRITEV, file, &out, 1, 10, 0);
  SUBMIT_ONE(&ring, 2);
  // The position moves only for those who ask for it.
  CHECK_EQ(lseek(file, 0, SEEK_CUR), 0);
  ring_prepare(&ring, IORING_OP_READ, file, bytes, 5, -1, 0);
  SUBMIT_ONE(&ring, 5);
  CHECK_EQ(lseek(file, 0, SEEK_CUR), 5);
  ring_prepare(&ring, IORING_OP_READ, file, bytes, 5, 1000, 0);
  SUBMIT_ONE(&ring, 0);
  ring_prepare(&ring, IORING_OP_READ, -1, bytes, 5, 0, 0);
  SUBMIT_ONE(&ring, -EBADF);
  ring_prepare(&ring, IORING_OP_READ, file, wild, 5, 0, 0);
  SUBMIT_ONE(&ring, -EFAULT);
  ring_prepare(&ring, IORING_OP_FSYNC, file, NULL, 0, 0, 0);
  SUBMIT_ONE(&ring, 0);
  ring_prepare(&ring, IORING_OP_FSYNC, file, NULL, 0, 0, 0)->fsync_flags = IORING_FSYNC_DATASYNC;
  SUBMIT_ONE(&ring, 0);
  ring_prepare(&ring, IORING_OP_FSYNC, file, NULL, 0, 0, 0)->fsync_flags = 8;
  SUBMIT_ONE(&ring, -EINVAL);
  // Mode in len, length in addr.
  ring_prepare(&ring, IORING_OP_FALLOCATE, file, (void *)100, 0, 0, 0);
  SUBMIT_ONE(&ring, 0);
  struct stat status;
  OK(fstat(file, &status));
  CHECK_EQ(status.st_size, 100);
  ring_prepare(&ring, IORING_OP_READ, file, bytes, 4, 0, 0)->rw_flags = 0x10000;
  SUBMIT_ONE(&ring, -EOPNOTSUPP);
  ring_close(&ring), close(file);
}

static void names(void) {
  struct ring ring;
  ring_open(&ring, 8, 0);
  ring_prepare(&ring, IORING_OP_MKDIRAT, AT_FDCWD, "dir", 0755, 0, 0);
  SUBMIT_ONE(&ring, 0);
  ring_prepare(&ring, IORING_OP_OPENAT, AT_FDCWD, "dir/f", 0600, 0, 0)->open_flags = O_CREAT | O_RDWR;
  int file = ring_submit(&ring, 1) == 1 ? ring_wait(&ring).res : -1;
  CHECK(file > 0);
  struct statx status;
  ring_prepare(&ring, IORING_OP_STATX, AT_FDCWD, "dir/f", STATX_ALL, (uintptr_t)&status, 0);
  SUBMIT_ONE(&ring, 0);
  CHECK_EQ(status.stx_mode, S_IFREG | 0600);
  struct open_how { uint64_t flags, mode, resolve; } how = {O_RDONLY, 0, 0};
  ring_prepare(&ring, IORING_OP_OPENAT2, AT_FDCWD, "missing", sizeof how, (uintptr_t)&how, 0);
  SUBMIT_ONE(&ring, -ENOENT);
  // The second directory is in len, the second name in addr2.
  ring_prepare(&ring, IORING_OP_RENAMEAT, AT_FDCWD, "dir/f", AT_FDCWD, (uintptr_t)"dir/g", 0);
  SUBMIT_ONE(&ring, 0);
  ring_prepare(&ring, IORING_OP_LINKAT, AT_FDCWD, "dir/g", AT_FDCWD, (uintptr_t)"dir/h", 0);
  SUBMIT_ONE(&ring, 0);
  ring_prepare(&ring, IORING_OP_SYMLINKAT, AT_FDCWD, "h", 0, (uintptr_t)"dir/s", 0);
  SUBMIT_ONE(&ring, 0);
  static const char *const all[] = {"dir/g", "dir/h", "dir/s"};
  for (size_t index = 0; index < COUNT(all); index++) {
    ring_prepare(&ring, IORING_OP_UNLINKAT, AT_FDCWD, all[index], 0, 0, 0);
    SUBMIT_ONE(&ring, 0);
  }
  ring_prepare(&ring, IORING_OP_UNLINKAT, AT_FDCWD, "dir", 0, 0, 0)->unlink_flags = AT_REMOVEDIR;
  SUBMIT_ONE(&ring, 0);
  ring_prepare(&ring, IORING_OP_CLOSE, file, NULL, 0, 0, 0);
  SUBMIT_ONE(&ring, 0);
  CHECK_ERRNO(fcntl(file, F_GETFD), EBADF);
  ring_prepare(&ring, IORING_OP_CLOSE, file, NULL, 0, 0, 0);
  SUBMIT_ONE(&ring, -EBADF);
  ring_prepare(&ring, IORING_OP_CLOSE, ring.fd, NULL, 0, 0, 0);
  SUBMIT_ONE(&ring, -EBADF);
  ring_close(&ring);
}

// What waits is done once it can be, whether its task sleeps, runs or asks.
static void waits(unsigned flags) {
  struct ring ring;
  ring_open(&ring, 8, flags);
  int ends[2];
  char bytes[8];
  OK(pipe(ends));
  ring_prepare(&ring, IORING_OP_READ, ends[0], bytes, 8, 0, 1);
  CHECK_EQ(ring_submit(&ring, 0), 1);
  NO_COMPLETION(&ring);
  OK(write(ends[1], "abc", 3));
  COMPLETES(&ring, 1, 3);
  CHECK(memcmp(bytes, "abc", 3) == 0);
  // Somebody else makes it ready.
  ring_prepare(&ring, IORING_OP_READ, ends[0], bytes, 8, -1, 2);
  CHECK_EQ(ring_submit(&ring, 0), 1);
  pid_t child;
  IN_CHILD(child) {
    sleep_ms(30);
    OK(write(ends[1], "defg", 4));
  }
  COMPLETES(&ring, 2, 4);
  WAIT_OK(child);
  if (!(flags & IORING_SETUP_DEFER_TASKRUN)) {
    ring_prepare(&ring, IORING_OP_READ, ends[0], bytes, 8, 0, 3);
    CHECK_EQ(ring_submit(&ring, 0), 1);
    IN_CHILD(child) {
      sleep_ms(30);
      OK(write(ends[1], "h", 1));
    }
    // It is never asked for.
    while (*CQ_WORD(&ring, tail) == *CQ_WORD(&ring, head)) {}
    COMPLETES(&ring, 3, 1);
    WAIT_OK(child);
  }
  // That reads of the file do not wait is no matter; what asks for that itself is not kept waiting.
  OK(fcntl(ends[0], F_SETFL, O_NONBLOCK));
  ring_prepare(&ring, IORING_OP_READ, ends[0], bytes, 8, 0, 4);
  CHECK_EQ(ring_submit(&ring, 0), 1);
  NO_COMPLETION(&ring);
  OK(write(ends[1], "kl", 2));
  COMPLETES(&ring, 4, 2);
  OK(fcntl(ends[0], F_SETFL, 0));
  ring_prepare(&ring, IORING_OP_READ, ends[0], bytes, 8, 0, 4)->rw_flags = RWF_NOWAIT;
  SUBMIT_ONE(&ring, -EAGAIN);
  // The file stays open for it.
  ring_prepare(&ring, IORING_OP_READ, ends[0], bytes, 8, 0, 5);
  CHECK_EQ(ring_submit(&ring, 0), 1);
  close(ends[0]);
  OK(write(ends[1], "ij", 2));
  COMPLETES(&ring, 5, 2);
  close(ends[1]);
  ring_close(&ring);
}

static void polls(void) {
  struct ring ring;
  ring_open(&ring, 8, 0);
  int ends[2];
  OK(pipe(ends));
  ring_prepare(&ring, IORING_OP_POLL_ADD, ends[1], NULL, 0, 0, 1)->poll32_events = POLLOUT;
  SUBMIT_ONE(&ring, POLLOUT);
  ring_prepare(&ring, IORING_OP_POLL_ADD, ends[0], NULL, 0, 0, 1)->poll32_events = POLLIN;
  CHECK_EQ(ring_submit(&ring, 0), 1);
  NO_COMPLETION(&ring);
  OK(write(ends[1], "a", 1));
  COMPLETES(&ring, 1, POLLIN);
  char byte;
  OK(read(ends[0], &byte, 1));
  // By its number it is taken back.
  ring_prepare(&ring, IORING_OP_POLL_ADD, ends[0], NULL, 0, 0, 2)->poll32_events = POLLIN;
  ring_prepare(&ring, IORING_OP_POLL_REMOVE, -1, (void *)2, 0, 0, 3);
  CHECK_EQ(ring_submit(&ring, 2), 2);
  int seen = 0;
  for (int index = 0; index < 2; index++) {
    struct completion cqe = ring_wait(&ring);
    CHECK_EQ(cqe.res, cqe.user_data == 2 ? -ECANCELED : 0);
    seen += cqe.user_data;
  }
  CHECK_EQ(seen, 5);
  ring_prepare(&ring, IORING_OP_POLL_REMOVE, -1, (void *)2, 0, 0, 3);
  SUBMIT_ONE(&ring, -ENOENT);
  // Again and again.
  ring_prepare(&ring, IORING_OP_POLL_ADD, ends[0], NULL, IORING_POLL_ADD_MULTI, 0, 4)->poll32_events = POLLIN;
  CHECK_EQ(ring_submit(&ring, 0), 1);
  for (int round = 0; round < 3; round++) {
    OK(write(ends[1], "a", 1));
    struct completion cqe = COMPLETES(&ring, 4, POLLIN);
    CHECK_EQ(cqe.flags, IORING_CQE_F_MORE);
    OK(read(ends[0], &byte, 1));
  }
  ring_prepare(&ring, IORING_OP_ASYNC_CANCEL, -1, (void *)4, 0, 0, 5);
  CHECK_EQ(ring_submit(&ring, 2), 1);
  seen = 0;
  for (int index = 0; index < 2; index++) {
    struct completion cqe = ring_wait(&ring);
    CHECK_EQ(cqe.res, cqe.user_data == 4 ? -ECANCELED : 0);
    CHECK_EQ(cqe.flags, 0);
    seen += cqe.user_data;
  }
  CHECK_EQ(seen, 9);
  close(ends[0]), close(ends[1]);
  // The ring itself can be polled, too.
  struct pollfd self = {.fd = ring.fd, .events = POLLIN | POLLOUT};
  CHECK_EQ(poll(&self, 1, 0), 1);
  CHECK_EQ(self.revents, POLLOUT);
  ring_prepare(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 6);
  CHECK_EQ(ring_submit(&ring, 0), 1);
  CHECK_EQ(poll(&self, 1, 0), 1);
  CHECK_EQ(self.revents, POLLIN | POLLOUT);
  COMPLETES(&ring, 6, 0);
  ring_close(&ring);
}

static void timeouts(void) {
  struct ring ring;
  ring_open(&ring, 8, 0);
  struct __kernel_timespec soon = {0, 20000000}, never = {1000, 0};
  long long begin = now_ms();
  ring_prepare(&ring, IORING_OP_TIMEOUT, -1, &soon, 1, 0, 1);
  SUBMIT_ONE(&ring, -ETIME);
  CHECK(now_ms() - begin >= 20);
  ring_prepare(&ring, IORING_OP_TIMEOUT, -1, &soon, 2, 0, 1);
  SUBMIT_ONE(&ring, -EINVAL);
  // After so many completions it is over, too.
  ring_prepare(&ring, IORING_OP_TIMEOUT, -1, &never, 1, 2, 2);
  CHECK_EQ(ring_submit(&ring, 0), 1);
  ring_prepare(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 3);
  CHECK_EQ(ring_submit(&ring, 0), 1);
  COMPLETES(&ring, 3, 0);
  NO_COMPLETION(&ring);
  ring_prepare(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 3);
  CHECK_EQ(ring_submit(&ring, 0), 1);
  COMPLETES(&ring, 3, 0);
  COMPLETES(&ring, 2, 0);
  ring_prepare(&ring, IORING_OP_TIMEOUT, -1, &never, 1, 0, 4);
  ring_prepare(&ring, IORING_OP_TIMEOUT_REMOVE, -1, (void *)4, 0, 0, 5);
  CHECK_EQ(ring_submit(&ring, 2), 2);
  for (int index = 0; index < 2; index++) {
    struct completion cqe = ring_wait(&ring);
    CHECK_EQ(cqe.res, cqe.user_data == 4 ? -ECANCELED : 0);
  }
  ring_prepare(&ring, IORING_OP_TIMEOUT_REMOVE, -1, (void *)4, 0, 0, 5);
  SUBMIT_ONE(&ring, -ENOENT);
  ring_prepare(&ring, IORING_OP_TIMEOUT, -1, &never, 1, 0, 6);
  struct io_uring_sqe *update = ring_prepare(&ring, IORING_OP_TIMEOUT_REMOVE, -1, (void *)6, 0, (uintptr_t)&soon, 7);
  update->timeout_flags = IORING_TIMEOUT_UPDATE;
  CHECK_EQ(ring_submit(&ring, 1), 2);
  COMPLETES(&ring, 7, 0);
  COMPLETES(&ring, 6, -ETIME);
  struct timespec now;
  OK(clock_gettime(CLOCK_MONOTONIC, &now));
  struct __kernel_timespec then = {now.tv_sec, now.tv_nsec};
  ring_prepare(&ring, IORING_OP_TIMEOUT, -1, &then, 1, 0, 8)->timeout_flags = IORING_TIMEOUT_ABS;
  SUBMIT_ONE(&ring, -ETIME);
  // Waiting for completions has a time of its own.
  struct io_uring_getevents_arg wait = {.ts = (uintptr_t)&soon};
  CHECK_ERRNO(ring_enter(ring.fd, 0, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &wait, sizeof wait), ETIME);
  CHECK_ERRNO(ring_enter(ring.fd, 0, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &wait, 8), EINVAL);
  ring_close(&ring);
}

static void links(void) {
  struct ring ring;
  ring_open(&ring, 16, 0);
  int ends[2];
  char bytes[8];
  OK(pipe(ends));
  // One after the other, and each only if the one before it went well.
  ring_prepare(&ring, IORING_OP_READ, ends[0], bytes, 8, 0, 1)->flags = IOSQE_IO_LINK;
  ring_prepare(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 2);
  CHECK_EQ(ring_submit(&ring, 0), 2);
  NO_COMPLETION(&ring);
  OK(write(ends[1], "abcdefgh", 8));
  COMPLETES(&ring, 1, 8);
  COMPLETES(&ring, 2, 0);
  for (int is_hard = 0; is_hard < 2; is_hard++) {
    ring_prepare(&ring, IORING_OP_READ, -1, bytes, 8, 0, 1)->flags = is_hard ? IOSQE_IO_HARDLINK : IOSQE_IO_LINK;
    ring_prepare(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 2)->flags = IOSQE_IO_LINK;
    ring_prepare(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 3);
    ring_prepare(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 4);
    CHECK_EQ(ring_submit(&ring, 4), 4);
    int results[5] = {0};
    for (int index = 0; index < 4; index++) {
      struct completion cqe = ring_wait(&ring);
      results[cqe.user_data] = cqe.res;
    }
    CHECK_EQ(results[1], -EBADF);
    CHECK_EQ(results[2], is_hard ? 0 : -ECANCELED);
    CHECK_EQ(results[3], is_hard ? 0 : -ECANCELED);
    CHECK_EQ(results[4], 0);
  }
  // A short read is no success.
  OK(write(ends[1], "abc", 3));
  ring_prepare(&ring, IORING_OP_READ, ends[0], bytes, 8, 0, 1)->flags = IOSQE_IO_LINK;
  ring_prepare(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 2);
  CHECK_EQ(ring_submit(&ring, 2), 2);
  COMPLETES(&ring, 1, 3);
  COMPLETES(&ring, 2, -ECANCELED);
  // What cannot even begin takes the whole chain along.
  ring_prepare(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 1)->flags = IOSQE_IO_LINK;
  ring_prepare(&ring, 200, -1, NULL, 0, 0, 2);
  CHECK_EQ(ring_submit(&ring, 2), 2);
  COMPLETES(&ring, 1, -ECANCELED);
  COMPLETES(&ring, 2, -EINVAL);
  // A limit of time.
  struct __kernel_timespec soon = {0, 20000000}, never = {1000, 0};
  for (int is_late = 0; is_late < 2; is_late++) {
    ring_prepare(&ring, IORING_OP_READ, ends[0], bytes, 8, 0, 1)->flags = IOSQE_IO_LINK;
    ring_prepare(&ring, IORING_OP_LINK_TIMEOUT, -1, is_late ? &soon : &never, 1, 0, 2);
    CHECK_EQ(ring_submit(&ring, 0), 2);
    if (!is_late) OK(write(ends[1], "abcdefgh", 8));
    for (int index = 0; index < 2; index++) {
      struct completion cqe = ring_wait(&ring);
      if (cqe.user_data == 1) CHECK_EQ(cqe.res, is_late ? -ECANCELED : 8);
      else CHECK_EQ(cqe.res, is_late ? -ETIME : -ECANCELED);
    }
  }
  ring_prepare(&ring, IORING_OP_LINK_TIMEOUT, -1, &soon, 1, 0, 2);
  SUBMIT_ONE(&ring, -EINVAL);
  // Nothing begins before, and nothing passes, what drains.
  ring_prepare(&ring, IORING_OP_READ, ends[0], bytes, 1, 0, 1);
  ring_prepare(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 2)->flags = IOSQE_IO_DRAIN;
  ring_prepare(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 3);
  CHECK_EQ(ring_submit(&ring, 0), 3);
  NO_COMPLETION(&ring);
  OK(write(ends[1], "a", 1));
  for (int index = 1; index <= 3; index++) COMPLETES(&ring, index, index == 1);
  // Successes that nobody wants to hear of.
  ring_prepare(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 1)->flags = IOSQE_CQE_SKIP_SUCCESS;
  ring_prepare(&ring, IORING_OP_READ, -1, bytes, 1, 0, 2)->flags = IOSQE_CQE_SKIP_SUCCESS;
  ring_prepare(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 3);
  CHECK_EQ(ring_submit(&ring, 0), 3);
  COMPLETES(&ring, 2, -EBADF);
  COMPLETES(&ring, 3, 0);
  NO_COMPLETION(&ring);
  close(ends[0]), close(ends[1]);
  ring_close(&ring);
}

static void cancels(void) {
  struct ring ring;
  ring_open(&ring, 16, 0);
  int ends[2];
  char bytes[8];
  OK(pipe(ends));
  ring_prepare(&ring, IORING_OP_ASYNC_CANCEL, -1, (void *)9, 0, 0, 1);
  SUBMIT_ONE(&ring, -ENOENT);
  for (int index = 0; index < 3; index++) ring_prepare(&ring, IORING_OP_READ, ends[0], bytes, 8, 0, 9);
  CHECK_EQ(ring_submit(&ring, 0), 3);
  ring_prepare(&ring, IORING_OP_ASYNC_CANCEL, -1, (void *)9, 0, 0, 1);
  CHECK_EQ(ring_submit(&ring, 2), 1);
  int own = 0, others = 0;
  for (int index = 0; index < 2; index++) {
    struct completion cqe = ring_wait(&ring);
    if (cqe.user_data == 1) own += cqe.res == 0;
    else others += cqe.res == -ECANCELED;
  }
  CHECK_EQ(own, 1);
  CHECK_EQ(others, 1);
  ring_prepare(&ring, IORING_OP_ASYNC_CANCEL, ends[0], NULL, 0, 0, 1)->cancel_flags = IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_ALL;
  CHECK_EQ(ring_submit(&ring, 3), 1);
  own = others = 0;
  for (int index = 0; index < 3; index++) {
    struct completion cqe = ring_wait(&ring);
    if (cqe.user_data == 1) own += cqe.res == 2;
    else others += cqe.res == -ECANCELED;
  }
  CHECK_EQ(own, 1);
  CHECK_EQ(others, 2);
  ring_prepare(&ring, IORING_OP_ASYNC_CANCEL, -1, NULL, 0, 0, 1)->cancel_flags = IORING_ASYNC_CANCEL_ANY;
  SUBMIT_ONE(&ring, 0);
  // What waits when a ring is closed is gone without a word, and the pipe is free.
  ring_prepare(&ring, IORING_OP_READ, ends[0], bytes, 8, 0, 9);
  CHECK_EQ(ring_submit(&ring, 0), 1);
  ring_close(&ring);
  close(ends[0]);
  signal(SIGPIPE, SIG_IGN);
  for (int tries = 0; write(ends[1], "a", 1) == 1 && tries < 500; tries++) sleep_ms(10);
  CHECK_ERRNO(write(ends[1], "a", 1), EPIPE);
  close(ends[1]);
}

// More completions than there is room for are kept.
static void overflows(void) {
  struct ring ring;
  ring_open(&ring, 4, 0);
  for (int index = 0; index < 20; index++) {
    ring_prepare(&ring, IORING_OP_NOP, -1, NULL, 0, 0, index);
    CHECK_EQ(ring_submit(&ring, 0), 1);
  }
  CHECK(*SQ_WORD(&ring, flags) & IORING_SQ_CQ_OVERFLOW);
  for (int index = 0; index < 20; index++) COMPLETES(&ring, index, 0);
  NO_COMPLETION(&ring);
  OK(ring_enter(ring.fd, 0, 0, IORING_ENTER_GETEVENTS, NULL, 0));
  CHECK(!(*SQ_WORD(&ring, flags) & IORING_SQ_CQ_OVERFLOW));
  CHECK_EQ(*CQ_WORD(&ring, overflow), 0);
  ring_close(&ring);
}

static void interrupted(int number) {
  (void)number;
}

static void signals_interrupt(void) {
  struct ring ring;
  ring_open(&ring, 4, 0);
  struct sigaction action = {.sa_handler = interrupted};
  OK(sigaction(SIGALRM, &action, NULL));
  sigset_t alarms = signals(SIGALRM, 0), none;
  sigemptyset(&none);
  pid_t parent = getpid(), child;
  IN_CHILD(child) {
    sleep_ms(50);
    OK(kill(parent, SIGALRM));
  }
  CHECK_ERRNO(ring_enter(ring.fd, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0), EINTR);
  WAIT_OK(child);
  OK(sigprocmask(SIG_BLOCK, &alarms, NULL));
  OK(raise(SIGALRM));
  CHECK_ERRNO(ring_enter(ring.fd, 0, 1, IORING_ENTER_GETEVENTS, &none, 8), EINTR);
  OK(sigprocmask(SIG_UNBLOCK, &alarms, NULL));
  // A request does not end another sleep, but is done in it.
  int ends[2], other[2];
  char bytes[8], byte;
  OK(pipe(ends)), OK(pipe(other));
  ring_prepare(&ring, IORING_OP_READ, ends[0], bytes, 8, 0, 1);
  CHECK_EQ(ring_submit(&ring, 0), 1);
  IN_CHILD(child) {
    sleep_ms(30);
    OK(write(ends[1], "abc", 3));
    sleep_ms(30);
    OK(write(other[1], "x", 1));
  }
  CHECK_EQ(read(other[0], &byte, 1), 1);
  CHECK_EQ(*CQ_WORD(&ring, tail) - *CQ_WORD(&ring, head), 1);
  COMPLETES(&ring, 1, 3);
  WAIT_OK(child);
  close(ends[0]), close(ends[1]), close(other[0]), close(other[1]);
  ring_close(&ring);
}

static void polled_submissions(void) {
  struct ring ring;
  ring_open(&ring, 8, IORING_SETUP_SQPOLL);
  for (int round = 0; round < 10; round++) {
    ring_prepare(&ring, IORING_OP_NOP, -1, NULL, 0, 0, round);
    *SQ_WORD(&ring, tail) += 1;
    ring.prepared = 0;
    if (*SQ_WORD(&ring, flags) & IORING_SQ_NEED_WAKEUP) CHECK_EQ(ring_enter(ring.fd, 1, 0, IORING_ENTER_SQ_WAKEUP, NULL, 0), 1);
    COMPLETES(&ring, round, 0);
  }
  ring_close(&ring);
}

int main(void) {
  enter_scratch();
  arguments();
  static const unsigned kinds[] = {0, IORING_SETUP_SUBMIT_ALL, IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG, IORING_SETUP_SINGLE_ISSUER, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
  for (size_t index = 0; index < COUNT(kinds); index++) {
    nothing(kinds[index]);
    waits(kinds[index]);
  }
  files();
  names();
  polls();
  timeouts();
  links();
  cancels();
  overflows();
  signals_interrupt();
  polled_submissions();
  return 0;
}
