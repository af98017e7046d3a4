// open and its flags, paths and their errors, descriptors: dup, fcntl, close_range, O_PATH, O_TMPFILE, openat2.
#include "check.h"
#include <linux/openat2.h>
#include <sys/uio.h>

static void errors_of_paths(void) {
  write_file("file", "x");
  OK(mkdir("directory", 0755));
  OK(symlink("nowhere", "dangling"));
  OK(symlink("loop_b", "loop_a"));
  OK(symlink("loop_a", "loop_b"));
  OK(symlink("directory", "to_directory"));
  OK(symlink("file", "to_file"));
  char long_name[300], long_path[5000];
  memset(long_name, 'a', sizeof long_name);
  long_name[256] = 0;
  memset(long_path, '/', sizeof long_path);
  long_path[4999] = 0;
  struct { const char *path; int flags, expected; } cases[] = {
      {"absent", O_RDONLY, ENOENT},
      {"", O_RDONLY, ENOENT},
      {"absent/x", O_RDONLY | O_CREAT, ENOENT},
      {"file/x", O_RDONLY, ENOTDIR},
      {"file/", O_RDONLY, ENOTDIR},
      {"file/.", O_RDONLY, ENOTDIR},
      {"directory", O_WRONLY, EISDIR},
      {"directory", O_RDWR, EISDIR},
      {"directory", O_RDONLY | O_CREAT, EISDIR},
      {"new/", O_WRONLY | O_CREAT, EISDIR},
      {"file", O_RDONLY | O_DIRECTORY, ENOTDIR},
      {"file", O_WRONLY | O_CREAT | O_EXCL, EEXIST},
      {"dangling", O_WRONLY | O_CREAT | O_EXCL, EEXIST},
      {"directory", O_RDONLY | O_CREAT | O_EXCL, EEXIST},
      {"dangling", O_RDONLY, ENOENT},
      {"loop_a", O_RDONLY, ELOOP},
      {"loop_a/x", O_RDONLY, ELOOP},
      {"to_file", O_RDONLY | O_NOFOLLOW, ELOOP},
      {"to_directory", O_RDONLY | O_NOFOLLOW | O_DIRECTORY, ENOTDIR},
      {long_name, O_RDONLY, ENAMETOOLONG},
      {long_path, O_RDONLY, ENAMETOOLONG},
      {"directory", O_RDWR | O_TMPFILE | O_CREAT, EINVAL},
      {"file", O_RDWR | O_TMPFILE, ENOTDIR},
      {"directory", O_RDONLY | O_TMPFILE, EINVAL},
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    errno = 0;
    int got = open(cases[i].path, cases[i].flags, 0644);
    CHECK_CASE(got == -1 && errno == cases[i].expected, "%.20s, flags %#o: %d", cases[i].path, cases[i].flags, got);
  }
  CHECK_ERRNO(open(wild, O_RDONLY), EFAULT);
  CHECK_ERRNO(openat(999, "file", O_RDONLY), EBADF);
  int file = OK(open("file", O_RDONLY));
  CHECK_ERRNO(openat(file, "x", O_RDONLY), ENOTDIR);
  OK(close(file));
  file = OK(openat(999, "/etc/passwd", O_RDONLY)); // An absolute path needs no directory.
  OK(close(file));
  long_name[255] = 0;
  file = OK(open(long_name, O_WRONLY | O_CREAT, 0644));
  OK(close(file));
  OK(unlink(long_name));
  file = OK(open("dangling", O_WRONLY | O_CREAT, 0644)); // Creates what the link names.
  OK(close(file));
  OK(unlink("nowhere"));
  memset(long_path, '/', sizeof long_path);
  strcpy(long_path + 4000, "etc/passwd");
  file = OK(open(long_path, O_RDONLY));
  OK(close(file));
}

static void nested_links_up_to_forty(void) {
  char from[16], to[16];
  write_file("link0", "end");
  for (int i = 1; i <= 42; i++) {
    snprintf(from, sizeof from, "link%d", i);
    snprintf(to, sizeof to, "link%d", i - 1);
    OK(symlink(to, from));
  }
  OK(close(OK(open("link40", O_RDONLY))));
  CHECK_ERRNO(open("link41", O_RDONLY), ELOOP);
}

static void creation_modes(void) {
  struct { mode_t mode, mask, expected; } cases[] = {{0666, 022, 0644}, {0777, 077, 0700}, {0600, 0, 0600}, {04755, 0, 04755}, {0, 0, 0}};
  for (size_t i = 0; i < COUNT(cases); i++) {
    umask(cases[i].mask);
    OK(close(OK(open("mode", O_WRONLY | O_CREAT | O_EXCL, cases[i].mode))));
    struct stat status;
    OK(stat("mode", &status));
    CHECK_CASE((status.st_mode & 07777) == cases[i].expected, "case %zu: %o", i, status.st_mode);
    OK(unlink("mode"));
  }
  umask(022);
}

static void access_modes_are_enforced(void) {
  write_file("modes", "abc");
  char text[8];
  int reader = OK(open("modes", O_RDONLY)), writer = OK(open("modes", O_WRONLY));
  CHECK_ERRNO(write(reader, "x", 1), EBADF);
  CHECK_ERRNO(read(writer, text, 1), EBADF);
  CHECK_ERRNO(ftruncate(reader, 0), EINVAL);
  CHECK_EQ(fcntl(reader, F_GETFL) & O_ACCMODE, O_RDONLY);
  CHECK_EQ(fcntl(writer, F_GETFL) & O_ACCMODE, O_WRONLY);
  int directory = OK(open(".", O_RDONLY));
  CHECK_ERRNO(read(directory, text, 1), EISDIR);
  CHECK_ERRNO(write(directory, text, 1), EBADF);
  OK(close(reader));
  OK(close(writer));
  OK(close(directory));
  CHECK_ERRNO(read(reader, text, 1), EBADF);
  CHECK_ERRNO(close(reader), EBADF);
}

static void append_goes_to_the_end(void) {
  int first = OK(open("log", O_WRONLY | O_CREAT | O_APPEND, 0644)), second = OK(open("log", O_RDWR | O_APPEND));
  CHECK_EQ(write(first, "one ", 4), 4);
  CHECK_EQ(write(second, "two ", 4), 4);
  CHECK_EQ(write(first, "three", 5), 5);
  OK(lseek(second, 0, SEEK_SET));
  CHECK_EQ(write(second, "!", 1), 1);
  CHECK_EQ(lseek(second, 0, SEEK_CUR), 14);
  char text[32] = {0};
  CHECK_EQ(pread(second, text, 31, 0), 14);
  CHECK(strcmp(text, "one two three!") == 0);
  CHECK_EQ(pwrite(second, "?", 1, 0), 1); // Linux appends even at an offset.
  CHECK_EQ(lseek(second, 0, SEEK_END), 15);
  OK(fcntl(second, F_SETFL, 0));
  CHECK_EQ(pwrite(second, "O", 1, 0), 1);
  CHECK_EQ(pread(second, text, 1, 0), 1);
  CHECK_EQ(text[0], 'O');
  OK(close(first));
  OK(close(second));
}

static void duplicates_share_the_offset(void) {
  write_file("shared", "abcdefgh");
  int file = OK(open("shared", O_RDONLY)), copy = OK(dup(file)), other = OK(open("shared", O_RDONLY));
  char byte;
  CHECK_EQ(read(file, &byte, 1), 1);
  CHECK_EQ(read(copy, &byte, 1), 1);
  CHECK_EQ(byte, 'b');
  CHECK_EQ(read(other, &byte, 1), 1);
  CHECK_EQ(byte, 'a');
  pid_t pid;
  IN_CHILD(pid) { CHECK_EQ(read(file, &byte, 1), 1); }
  WAIT_OK(pid);
  CHECK_EQ(lseek(copy, 0, SEEK_CUR), 3);
  CHECK_EQ(fcntl(file, F_GETFD), 0);
  int high = OK(fcntl(file, F_DUPFD_CLOEXEC, 100));
  CHECK(high >= 100);
  CHECK_EQ(fcntl(high, F_GETFD), FD_CLOEXEC);
  CHECK_EQ(dup2(file, file), file);
  CHECK_ERRNO(dup3(file, file, 0), EINVAL);
  CHECK_ERRNO(dup3(file, 90, 0x123), EINVAL);
  CHECK_ERRNO(dup2(999, 999), EBADF);
  CHECK_ERRNO(dup2(file, -1), EBADF);
  CHECK_ERRNO(fcntl(file, 12345), EINVAL);
  CHECK_ERRNO(fcntl(999, F_GETFD), EBADF);
  OK(dup3(file, 200, O_CLOEXEC));
  OK(syscall(SYS_close_range, 100, 200, 0));
  CHECK_ERRNO(fcntl(200, F_GETFD), EBADF);
  CHECK_ERRNO(fcntl(high, F_GETFD), EBADF);
  OK(syscall(SYS_close_range, other, other, 4)); // CLOSE_RANGE_CLOEXEC
  CHECK_EQ(fcntl(other, F_GETFD), FD_CLOEXEC);
  CHECK_ERRNO(syscall(SYS_close_range, 5, 4, 0), EINVAL);
  OK(close(file));
  CHECK_EQ(OK(open("shared", O_RDONLY)), file); // The lowest free number.
  OK(close(file));
  OK(close(copy));
  OK(close(other));
}

static void path_descriptors_only_name(void) {
  write_file("named", "content");
  OK(symlink("named", "link"));
  char text[64];
  int file = OK(open("named", O_PATH)), link = OK(open("link", O_PATH | O_NOFOLLOW));
  CHECK_ERRNO(read(file, text, 1), EBADF);
  CHECK_ERRNO(fchmod(file, 0600), EBADF);
  CHECK_ERRNO(ftruncate(file, 0), EBADF);
  struct stat status;
  OK(fstat(file, &status));
  CHECK_EQ(status.st_size, 7);
  OK(fstatat(link, "", &status, AT_EMPTY_PATH));
  CHECK(S_ISLNK(status.st_mode));
  ssize_t length = OK(readlinkat(link, "", text, sizeof text));
  CHECK_EQ(length, 5);
  snprintf(text, sizeof text, "/proc/self/fd/%d", file);
  int reopened = OK(open(text, O_RDWR));
  CHECK_EQ(read(reopened, text, 7), 7);
  OK(close(reopened));
  int directory = OK(open(".", O_PATH | O_DIRECTORY));
  OK(close(OK(openat(directory, "named", O_RDONLY))));
  OK(fchdir(directory));
  CHECK_EQ(fcntl(file, F_GETFL) & O_PATH, O_PATH);
  OK(close(file));
  OK(close(link));
  OK(close(directory));
}

static void unnamed_files_get_a_name(void) {
  int file = OK(open(".", O_TMPFILE | O_RDWR, 0600));
  struct stat status;
  OK(fstat(file, &status));
  CHECK_EQ(status.st_nlink, 0);
  CHECK_EQ(write(file, "temporary", 9), 9);
  char path[64], text[16];
  snprintf(path, sizeof path, "/proc/self/fd/%d", file);
  OK(linkat(AT_FDCWD, path, AT_FDCWD, "appeared", AT_SYMLINK_FOLLOW));
  CHECK_EQ(read_file("appeared", text, sizeof text), 9);
  OK(close(file));
  file = OK(open(".", O_TMPFILE | O_RDWR | O_EXCL, 0600));
  snprintf(path, sizeof path, "/proc/self/fd/%d", file);
  CHECK_ERRNO(linkat(AT_FDCWD, path, AT_FDCWD, "never", AT_SYMLINK_FOLLOW), ENOENT);
  OK(close(file));
}

static long open_how(int directory, const char *path, uint64_t flags, uint64_t resolve) {
  struct open_how how = {.flags = flags, .resolve = resolve};
  return syscall(SYS_openat2, directory, path, &how, sizeof how);
}

static void resolution_can_be_restricted(void) {
  OK(mkdir("root", 0755));
  write_file("root/inside", "in");
  write_file("outside", "out");
  OK(symlink("../outside", "root/escape"));
  OK(symlink("/inside", "root/absolute"));
  OK(symlink("inside", "root/relative"));
  int root = OK(open("root", O_RDONLY | O_DIRECTORY));
  struct { const char *path; uint64_t resolve; int expected; } cases[] = {
      {"inside", RESOLVE_BENEATH, 0},         {"../outside", RESOLVE_BENEATH, EXDEV},  {"escape", RESOLVE_BENEATH, EXDEV},
      {"absolute", RESOLVE_BENEATH, EXDEV},   {"relative", RESOLVE_BENEATH, 0},        {"relative", RESOLVE_NO_SYMLINKS, ELOOP},
      {"absolute", RESOLVE_IN_ROOT, 0},       {"../../inside", RESOLVE_IN_ROOT, 0},    {"escape", RESOLVE_IN_ROOT, ENOENT},
      {"/inside", RESOLVE_BENEATH, EXDEV},    {"inside", RESOLVE_NO_XDEV, 0},          {"inside", 1 << 20, EINVAL},
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    errno = 0;
    long got = open_how(root, cases[i].path, O_RDONLY, cases[i].resolve);
    if (cases[i].expected) CHECK_CASE(got == -1 && errno == cases[i].expected, "case %zu: %ld", i, got);
    else CHECK_CASE(got >= 0, "case %zu", i);
    if (got >= 0) OK(close(got));
  }
  CHECK_ERRNO(open_how(root, "inside", O_RDONLY | (1ULL << 40), 0), EINVAL);
  struct open_how how = {.flags = O_RDONLY, .mode = 0644};
  CHECK_ERRNO(syscall(SYS_openat2, root, "inside", &how, sizeof how), EINVAL); // A mode without O_CREAT.
  CHECK_ERRNO(syscall(SYS_openat2, root, "inside", &how, 8), EINVAL);
  OK(close(root));
}

static void vectors_scatter_and_gather(void) {
  int file = OK(open("vector", O_RDWR | O_CREAT, 0644));
  struct iovec out[] = {{"one", 3}, {"", 0}, {"twotwo", 6}};
  CHECK_EQ(writev(file, out, 3), 9);
  CHECK_EQ(pwritev(file, out, 1, 20), 3);
  char first[4] = {0}, second[20] = {0};
  struct iovec in[] = {{first, 3}, {second, 19}};
  CHECK_EQ(preadv(file, in, 2, 0), 22);
  CHECK(strcmp(first, "one") == 0 && memcmp(second, "twotwo\0", 7) == 0);
  CHECK_EQ(lseek(file, 0, SEEK_CUR), 9);
  CHECK_ERRNO(syscall(SYS_writev, file, out, -1), EINVAL);
  CHECK_ERRNO(syscall(SYS_writev, file, out, IOV_MAX + 1), EINVAL);
  CHECK_EQ(writev(file, out, 0), 0);
  struct iovec negative[] = {{first, 1}, {second, (size_t)-1}};
  CHECK_ERRNO(readv(file, negative, 2), EINVAL);
  struct iovec partly[] = {{"good", 4}, {wild, 4}};
  CHECK_EQ(pwritev(file, partly, 2, 0), 4); // What could be read is written.
  CHECK_ERRNO(writev(file, wild, 2), EFAULT);
  OK(close(file));
}

int main(void) {
  enter_scratch();
  errors_of_paths();
  nested_links_up_to_forty();
  creation_modes();
  access_modes_are_enforced();
  append_goes_to_the_end();
  duplicates_share_the_offset();
  path_descriptors_only_name();
  unnamed_files_get_a_name();
  resolution_can_be_restricted();
  vectors_scatter_and_gather();
  return 0;
}
