// Attributes: stat and statx, chmod, access, times, truncate, statfs, extended attributes, device files.
#include "check.h"
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

static void stat_forms_agree(void) {
  write_file("file", "12345");
  struct stat by_path, by_descriptor, at;
  struct statx extended;
  OK(stat("file", &by_path));
  int file = OK(open("file", O_RDONLY));
  OK(fstat(file, &by_descriptor));
  OK(fstatat(file, "", &at, AT_EMPTY_PATH));
  OK(statx(AT_FDCWD, "file", 0, STATX_BASIC_STATS | STATX_BTIME, &extended));
  CHECK_EQ(memcmp(&by_path, &by_descriptor, sizeof by_path), 0);
  CHECK_EQ(memcmp(&by_path, &at, sizeof by_path), 0);
  CHECK_EQ(extended.stx_mask & STATX_BASIC_STATS, STATX_BASIC_STATS);
  CHECK_EQ(extended.stx_ino, by_path.st_ino);
  CHECK_EQ(extended.stx_size, 5);
  CHECK_EQ(extended.stx_mode, by_path.st_mode);
  CHECK_EQ(extended.stx_nlink, 1);
  CHECK_EQ(extended.stx_blksize, by_path.st_blksize);
  CHECK_EQ(extended.stx_mtime.tv_sec, by_path.st_mtime);
  CHECK_EQ(makedev(extended.stx_dev_major, extended.stx_dev_minor), by_path.st_dev);
  CHECK_EQ(by_path.st_mode, S_IFREG | 0644);
  CHECK(llabs(by_path.st_mtime - time(NULL)) < 100);
  CHECK_ERRNO(statx(AT_FDCWD, "file", 0x40, STATX_ALL, &extended), EINVAL);
  CHECK_ERRNO(statx(AT_FDCWD, "file", 0, 0x80000000U, &extended), EINVAL);
  CHECK_ERRNO(statx(AT_FDCWD, "", 0, STATX_ALL, &extended), ENOENT);
  CHECK_ERRNO(syscall(SYS_newfstatat, AT_FDCWD, "file", 8, 0), EFAULT);
  CHECK_ERRNO(syscall(SYS_fstat, 999, &at), EBADF);
  OK(close(file));
}

static void modes_change(void) {
  struct stat status;
  mode_t modes[] = {0, 0777, 04711, 02755, 01777, 0644};
  for (size_t i = 0; i < COUNT(modes); i++) {
    OK(chmod("file", modes[i]));
    OK(stat("file", &status));
    CHECK_EQ(status.st_mode, S_IFREG | modes[i]);
  }
  int file = OK(open("file", O_RDONLY));
  OK(fchmod(file, 0600));
  OK(fchmodat(AT_FDCWD, "file", 0640, 0));
  OK(close(file));
  OK(symlink("file", "link"));
  OK(chmod("link", 0604));
  OK(stat("file", &status));
  CHECK_EQ(status.st_mode & 0777, 0604);
  CHECK_ERRNO(chmod("absent", 0600), ENOENT);
}

static void access_checks(void) {
  OK(access("file", F_OK));
  OK(access("file", R_OK | W_OK));
  CHECK_ERRNO(access("absent", F_OK), ENOENT);
  CHECK_ERRNO(access("file", 0x18), EINVAL);
  CHECK_ERRNO(access("file/x", F_OK), ENOTDIR);
  OK(chmod("file", 0644));
  CHECK_ERRNO(access("file", X_OK), EACCES); // Not even root executes what nobody may.
  OK(chmod("file", 0100));
  OK(access("file", X_OK));
  OK(symlink("absent", "dangling"));
  OK(faccessat(AT_FDCWD, "dangling", F_OK, AT_SYMLINK_NOFOLLOW));
  OK(chmod("file", 0644));
  if (geteuid() != 0) return;
  pid_t pid;
  OK(mkdir("closed", 0700));
  write_file("closed/file", "");
  OK(chmod("file", 0640));
  IN_CHILD(pid) {
    OK(setgid(1000));
    OK(setuid(1000));
    CHECK_ERRNO(access("closed/file", F_OK), EACCES);
    CHECK_ERRNO(open("file", O_RDONLY), EACCES);
    CHECK_ERRNO(open("closed/file", O_RDONLY), EACCES);
    CHECK_ERRNO(open("new", O_WRONLY | O_CREAT, 0644), EACCES);
    CHECK_ERRNO(unlink("file"), EACCES);
    CHECK_ERRNO(chmod("file", 0777), EPERM);
    CHECK_ERRNO(utimensat(AT_FDCWD, "file", (struct timespec[]){{1, 0}, {1, 0}}, 0), EPERM);
    CHECK_ERRNO(chdir("closed"), EACCES);
    CHECK_ERRNO(execl("file", "file", (char *)NULL), EACCES);
  }
  WAIT_OK(pid);
  OK(chmod("file", 0644));
}

static void times_are_set_and_kept(void) {
  struct stat status;
  struct timespec times[] = {{1000000000, 123456789}, {1100000000, 987654321}};
  OK(utimensat(AT_FDCWD, "file", times, 0));
  OK(stat("file", &status));
  CHECK_EQ(status.st_atim.tv_sec, 1000000000);
  CHECK_EQ(status.st_atim.tv_nsec, 123456789);
  CHECK_EQ(status.st_mtim.tv_sec, 1100000000);
  CHECK_EQ(status.st_mtim.tv_nsec, 987654321);
  times[0].tv_nsec = UTIME_OMIT;
  times[1].tv_nsec = UTIME_NOW;
  OK(utimensat(AT_FDCWD, "file", times, 0));
  OK(stat("file", &status));
  CHECK_EQ(status.st_atim.tv_sec, 1000000000);
  CHECK(llabs(status.st_mtim.tv_sec - time(NULL)) < 100);
  times[0].tv_nsec = 1000000000;
  CHECK_ERRNO(utimensat(AT_FDCWD, "file", times, 0), EINVAL);
  OK(utimensat(AT_FDCWD, "link", (struct timespec[]){{5, 0}, {6, 0}}, AT_SYMLINK_NOFOLLOW));
  OK(lstat("link", &status));
  CHECK_EQ(status.st_mtime, 6);
  int file = OK(open("file", O_WRONLY));
  OK(futimens(file, (struct timespec[]){{7, 0}, {8, 0}}));
  OK(fstat(file, &status));
  CHECK_EQ(status.st_mtime, 8);
  CHECK_EQ(write(file, "x", 1), 1);
  OK(fstat(file, &status));
  CHECK(status.st_mtime > 1000); // Writing touches it,
  OK(futimens(file, (struct timespec[]){{7, 0}, {8, 0}}));
  OK(ftruncate(file, 3));
  OK(fstat(file, &status));
  CHECK(status.st_mtime > 1000); // and so does truncating,
  OK(close(file));
  OK(mkdir("touched", 0755));
  OK(utimensat(AT_FDCWD, "touched", (struct timespec[]){{7, 0}, {8, 0}}, 0));
  write_file("touched/entry", "");
  OK(stat("touched", &status));
  CHECK(status.st_mtime > 1000); // and a new entry touches its directory.
}

static void lengths_change(void) {
  struct stat status;
  char text[32];
  write_file("length", "0123456789");
  OK(truncate("length", 4));
  CHECK_EQ(read_file("length", text, sizeof text), 4);
  OK(truncate("length", 8));
  CHECK_EQ(read_file("length", text, sizeof text), 8);
  CHECK_EQ(memcmp(text, "0123\0\0\0\0", 8), 0);
  CHECK_ERRNO(truncate("length", -1), EINVAL);
  CHECK_ERRNO(truncate(".", 0), EISDIR);
  CHECK_ERRNO(truncate("absent", 0), ENOENT);
  int file = OK(open("length", O_RDWR));
  CHECK_ERRNO(ftruncate(file, -1), EINVAL);
  CHECK_EQ(pwrite(file, "end", 3, 1 << 20), 3);
  OK(fstat(file, &status));
  CHECK_EQ(status.st_size, (1 << 20) + 3);
  CHECK(status.st_blocks < 1 << 10); // The hole takes no room.
  OK(fallocate(file, FALLOC_FL_KEEP_SIZE, 0, 100));
  OK(posix_fallocate(file, 0, (1 << 20) + 100));
  OK(fstat(file, &status));
  CHECK_EQ(status.st_size, (1 << 20) + 100);
  CHECK_ERRNO(lseek(file, -1, SEEK_SET), EINVAL);
  CHECK_ERRNO(lseek(file, 0, 99), EINVAL);
  CHECK_EQ(lseek(file, 1L << 40, SEEK_SET), 1L << 40);
  CHECK_EQ(read(file, text, 1), 0);
  CHECK_ERRNO(pread(file, text, 1, -1), EINVAL);
  OK(close(file));
}

static void holes_can_be_found(void) {
  int file = OK(open("holes", O_RDWR | O_CREAT, 0644));
  OK(ftruncate(file, 1 << 20));
  CHECK_EQ(pwrite(file, "data", 4, 512 << 10), 4);
  off_t data = lseek(file, 0, SEEK_DATA), hole = lseek(file, 512 << 10, SEEK_HOLE);
  CHECK_CASE(data == 0 || (data > 0 && data <= 512 << 10), "%ld", (long)data); // Zero where holes are not known.
  CHECK(hole > 512 << 10 && hole <= 1 << 20);
  CHECK_ERRNO(lseek(file, 2 << 20, SEEK_DATA), ENXIO);
  CHECK_ERRNO(lseek(file, 2 << 20, SEEK_HOLE), ENXIO);
  OK(close(file));
}

static void file_systems_describe_themselves(void) {
  struct statfs status;
  OK(statfs(".", &status));
  CHECK(status.f_bsize > 0 && status.f_namelen >= 255);
  OK(statfs("/proc", &status));
  CHECK_EQ(status.f_type, 0x9fa0);
  OK(statfs("/dev/shm", &status));
  CHECK_EQ(status.f_type, 0x01021994);
  CHECK_ERRNO(statfs("absent", &status), ENOENT);
  CHECK_ERRNO(fstatfs(999, &status), EBADF);
}

static void extended_attributes(const char *path) {
  write_file(path, "");
  char value[64], list[256];
  if (setxattr(path, "user.color", "red", 3, 0) == -1) {
    CHECK_EQ(errno, EOPNOTSUPP);
    return;
  }
  CHECK_EQ(getxattr(path, "user.color", value, sizeof value), 3);
  CHECK_EQ(memcmp(value, "red", 3), 0);
  CHECK_EQ(getxattr(path, "user.color", NULL, 0), 3);
  CHECK_ERRNO(getxattr(path, "user.color", value, 2), ERANGE);
  CHECK_ERRNO(getxattr(path, "user.none", value, 2), ENODATA);
  CHECK_ERRNO(setxattr(path, "user.color", "blue", 4, XATTR_CREATE), EEXIST);
  CHECK_ERRNO(setxattr(path, "user.none", "x", 1, XATTR_REPLACE), ENODATA);
  CHECK_ERRNO(setxattr(path, "nonsense", "x", 1, 0), EOPNOTSUPP);
  CHECK_ERRNO(setxattr(path, "user.", "x", 1, 0), EINVAL);
  OK(setxattr(path, "user.color", "blue", 4, XATTR_REPLACE));
  OK(setxattr(path, "user.empty", "", 0, 0));
  ssize_t length = OK(listxattr(path, list, sizeof list));
  CHECK(memmem(list, length, "user.color", 11) != NULL && memmem(list, length, "user.empty", 11) != NULL);
  CHECK_EQ(listxattr(path, NULL, 0), length);
  CHECK_ERRNO(listxattr(path, list, 3), ERANGE);
  OK(removexattr(path, "user.color"));
  CHECK_ERRNO(removexattr(path, "user.color"), ENODATA);
  int file = OK(open(path, O_RDWR));
  OK(fsetxattr(file, "user.fd", "1", 1, 0));
  CHECK_EQ(fgetxattr(file, "user.fd", value, 8), 1);
  OK(close(file));
}

static void device_files_work(void) {
  char bytes[64];
  struct stat status;
  int file = OK(open("/dev/null", O_RDWR));
  CHECK_EQ(write(file, "gone", 4), 4);
  CHECK_EQ(read(file, bytes, 4), 0);
  OK(fstat(file, &status));
  CHECK(S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3));
  OK(close(file));
  file = OK(open("/dev/zero", O_RDWR));
  memset(bytes, 1, sizeof bytes);
  CHECK_EQ(read(file, bytes, 64), 64);
  for (int i = 0; i < 64; i++) CHECK_EQ(bytes[i], 0);
  // It has one position.
  CHECK_EQ(lseek(file, 0, SEEK_CUR), 0);
  CHECK_EQ(lseek(file, -77, SEEK_SET), 0);
  CHECK_EQ(lseek(file, 1, SEEK_END), 0);
  CHECK_ERRNO(lseek(file, 0, 99), EINVAL);
  char *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
  CHECK(memory != MAP_FAILED);
  CHECK_EQ(memory[5], 0);
  memory[5] = 1;
  OK(close(file));
  file = OK(open("/dev/full", O_WRONLY));
  CHECK_ERRNO(write(file, "x", 1), ENOSPC);
  OK(close(file));
  file = OK(open("/dev/urandom", O_RDONLY));
  memset(bytes, 0, sizeof bytes);
  CHECK_EQ(read(file, bytes, 64), 64);
  int nonzero = 0;
  for (int i = 0; i < 64; i++) nonzero += bytes[i] != 0;
  CHECK(nonzero > 32);
  OK(close(file));
  OK(stat("/dev/stdin", &status));
  OK(access("/dev/fd/0", F_OK));
  file = OK(open("/dev/shm", O_TMPFILE | O_RDWR, 0600));
  CHECK_EQ(write(file, "shm", 3), 3);
  // What there is no room for is refused at once, and takes none.
  CHECK_ERRNO(fallocate(file, 0, 0, 12LL << 40), ENOSPC);
  OK(fstat(file, &status));
  CHECK_EQ(status.st_size, 3);
  CHECK_EQ(status.st_blocks, 8);
  OK(close(file));
}

int main(void) {
  enter_scratch();
  stat_forms_agree();
  modes_change();
  access_checks();
  times_are_set_and_kept();
  lengths_change();
  holes_can_be_found();
  file_systems_describe_themselves();
  extended_attributes("attributes");
  extended_attributes("/dev/shm/guest-test-attributes");
  OK(unlink("/dev/shm/guest-test-attributes"));
  device_files_work();
  return 0;
}
