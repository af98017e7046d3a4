// Moving bytes inside the kernel: sendfile, copy_file_range, splice, tee, vmsplice, and plain large copies.
#include "check.h"
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

enum { SIZE = 200000 };
static unsigned char content[SIZE], result[SIZE];

static int open_source(void) { return OK(open("source", O_RDONLY)); }
static int open_target(void) { return OK(open("target", O_RDWR | O_CREAT | O_TRUNC, 0644)); }

static void check_target(int target) {
  CHECK_EQ(pread(target, result, SIZE, 0), SIZE);
  CHECK_EQ(memcmp(result, content, SIZE), 0);
}

static void sendfile_copies(void) {
  int source = open_source(), target = open_target();
  off_t offset = 0;
  while (offset < SIZE) CHECK(OK(sendfile(target, source, &offset, SIZE)) > 0);
  CHECK_EQ(lseek(source, 0, SEEK_CUR), 0); // With an offset of its own the file's stays.
  check_target(target);
  CHECK_EQ(sendfile(target, source, &offset, 10), 0);
  OK(lseek(source, SIZE - 5, SEEK_SET));
  CHECK_EQ(sendfile(target, source, NULL, 100), 5);
  CHECK_EQ(lseek(source, 0, SEEK_CUR), SIZE);
  int ends[2];
  OK(pipe(ends));
  offset = 3;
  CHECK_EQ(sendfile(ends[1], source, &offset, 100), 100);
  CHECK_EQ(offset, 103);
  CHECK_EQ(read(ends[0], result, SIZE), 100);
  CHECK_EQ(memcmp(result, content + 3, 100), 0);
  CHECK_ERRNO(sendfile(target, 999, NULL, 1), EBADF);
  CHECK_ERRNO(sendfile(source, target, NULL, 1), EBADF);
  CHECK_ERRNO(syscall(SYS_sendfile, target, source, 8, 1), EFAULT);
  offset = -1;
  CHECK_ERRNO(sendfile(target, source, &offset, 1), EINVAL);
  OK(close(source));
  OK(close(target));
}

// No way of copying makes a file longer than RLIMIT_FSIZE; who is at the limit hears so, whether or not there is anything to copy.
static void copies_end_at_the_limit(void) {
  pid_t pid;
  IN_CHILD(pid) {
    char bytes[100] = {0};
    struct rlimit limit = {50, 1000};
    struct stat found;
    OK(signal(SIGXFSZ, SIG_IGN) == SIG_ERR ? -1 : 0);
    int source = OK(open("long", O_CREAT | O_RDWR, 0644)), target = OK(open("short", O_CREAT | O_RDWR, 0644)), ends[2];
    CHECK_EQ(write(source, bytes, sizeof bytes), sizeof bytes);
    OK(pipe(ends));
    OK(setrlimit(RLIMIT_FSIZE, &limit));
    CHECK_EQ(write(ends[1], bytes, 90), 90);
    off_t from = 0, to = 40;
    CHECK_EQ(copy_file_range(source, &from, target, &to, 20, 0), 10);
    CHECK_ERRNO(copy_file_range(source, &from, target, &to, 20, 0), EFBIG);
    from = 100;
    CHECK_ERRNO(copy_file_range(source, &from, target, &to, 20, 0), EFBIG);
    CHECK_ERRNO(copy_file_range(source, &from, target, &to, 0, 0), EFBIG);
    from = 0;
    OK(lseek(target, 40, SEEK_SET));
    CHECK_EQ(sendfile(target, source, &from, 20), 10);
    CHECK_ERRNO(sendfile(target, source, &from, 20), EFBIG);
    to = 40;
    CHECK_EQ(splice(ends[0], NULL, target, &to, 20, 0), 10);
    CHECK_ERRNO(splice(ends[0], NULL, target, &to, 20, 0), EFBIG);
    OK(fstat(target, &found));
    CHECK_EQ(found.st_size, 50);
    limit.rlim_cur = RLIM_INFINITY, limit.rlim_max = RLIM_INFINITY;
    from = 0, to = INT64_MAX;
    if (setrlimit(RLIMIT_FSIZE, &limit) == 0) CHECK_ERRNO(copy_file_range(source, &from, target, &to, 20, 0), EFBIG);
  }
  WAIT_OK(pid);
}

static void copy_file_range_copies(void) {
  int source = open_source(), target = open_target();
  size_t copied = 0;
  while (copied < SIZE) {
    ssize_t got = OK(copy_file_range(source, NULL, target, NULL, SIZE - copied, 0));
    CHECK(got > 0);
    copied += got;
  }
  check_target(target);
  CHECK_EQ(copy_file_range(source, NULL, target, NULL, 10, 0), 0);
  off64_t from = 10, to = 20;
  CHECK_EQ(copy_file_range(source, &from, target, &to, 30, 0), 30);
  CHECK_EQ(from, 40);
  CHECK_EQ(to, 50);
  CHECK_EQ(pread(target, result, 30, 20), 30);
  CHECK_EQ(memcmp(result, content + 10, 30), 0);
  CHECK_ERRNO(copy_file_range(source, NULL, target, NULL, 1, 7), EINVAL);
  CHECK_ERRNO(copy_file_range(target, NULL, source, NULL, 1, 0), EBADF);
  from = 0, to = 5;
  CHECK_ERRNO(copy_file_range(target, &from, target, &to, 10, 0), EINVAL); // Overlapping.
  OK(close(source));
  OK(close(target));
}

static void splice_moves_through_a_pipe(void) {
  int source = open_source(), target = open_target(), ends[2];
  OK(pipe(ends));
  for (size_t moved = 0; moved < SIZE;) {
    ssize_t in = OK(splice(source, NULL, ends[1], NULL, SIZE, 0));
    CHECK(in > 0);
    for (ssize_t left = in; left > 0;) left -= OK(splice(ends[0], NULL, target, NULL, left, SPLICE_F_MOVE));
    moved += in;
  }
  check_target(target);
  CHECK_EQ(splice(source, NULL, ends[1], NULL, 10, 0), 0);
  CHECK_ERRNO(splice(source, NULL, target, NULL, 10, 0), EINVAL); // One must be a pipe.
  CHECK_ERRNO(splice(ends[0], NULL, target, NULL, 10, SPLICE_F_NONBLOCK), EAGAIN);
  loff_t offset = 0;
  CHECK_ERRNO(splice(ends[0], &offset, target, NULL, 10, 0), ESPIPE);
  int second[2];
  OK(pipe(second));
  CHECK_EQ(write(ends[1], "copied twice", 12), 12);
  CHECK_EQ(tee(ends[0], second[1], 100, 0), 12);
  CHECK_EQ(read(second[0], result, 100), 12);
  CHECK_EQ(memcmp(result, "copied twice", 12), 0);
  CHECK_EQ(read(ends[0], result, 100), 12);
  struct iovec part = {"mapped", 6};
  CHECK_EQ(vmsplice(ends[1], &part, 1, 0), 6);
  CHECK_EQ(read(ends[0], result, 100), 6);
  CHECK_EQ(memcmp(result, "mapped", 6), 0);
  OK(close(source));
  OK(close(target));
}

static void odd_sizes_arrive_whole(void) {
  int target = open_target();
  size_t sizes[] = {1, 4095, 4096, 4097, 65537, 99999}, at = 0;
  for (size_t i = 0; i < COUNT(sizes) && at + sizes[i] <= SIZE; i++) {
    CHECK_EQ(write(target, content + at, sizes[i]), sizes[i]);
    at += sizes[i];
  }
  OK(lseek(target, 0, SEEK_SET));
  size_t got = 0;
  for (size_t step = 1; got < at; step = step * 3 + 1) got += OK(read(target, result + got, step > at - got ? at - got : step));
  CHECK_EQ(memcmp(result, content, at), 0);
  OK(fsync(target));
  OK(fdatasync(target));
  OK(sync_file_range(target, 0, 0, SYNC_FILE_RANGE_WRITE));
  OK(posix_fadvise(target, 0, 0, POSIX_FADV_SEQUENTIAL));
  OK(readahead(target, 0, 100));
  OK(close(target));
}

int main(void) {
  enter_scratch();
  for (size_t i = 0; i < SIZE; i++) content[i] = (i * 2654435761U) >> 24;
  int source = OK(open("source", O_WRONLY | O_CREAT, 0644));
  CHECK_EQ(write(source, content, SIZE), SIZE);
  OK(close(source));
  sendfile_copies();
  copy_file_range_copies();
  copies_end_at_the_limit();
  splice_moves_through_a_pipe();
  odd_sizes_arrive_whole();
  return 0;
}
