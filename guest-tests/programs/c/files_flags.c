// Flags of files (ioctl_iflags(2)): what immutable and append-only files and directories refuse, who may set the flags, what is
// inherited, and how the flags are told. Both on the root file system and on a tmpfs.
#include "check.h"
#include <grp.h>
#include <linux/fs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/xattr.h>

#define FILE_GETATTR 468
#define FILE_SETATTR 469

struct attributes { uint64_t xflags; uint32_t extsize, nextents, projid, cowextsize; };

static int is_tmpfs;

static int flags_of(const char *path) {
  int fd = OK(open(path, O_RDONLY)), flags = 0;
  OK(ioctl(fd, FS_IOC_GETFLAGS, &flags));
  OK(close(fd));
  return flags & ~FS_EXTENT_FL;
}

static int try_flags(const char *path, int flags) {
  int fd = OK(open(path, O_RDONLY)), old = 0;
  // As chattr does: what is not asked for stays.
  if (ioctl(fd, FS_IOC_GETFLAGS, &old) == 0) flags |= old & FS_EXTENT_FL;
  int result = ioctl(fd, FS_IOC_SETFLAGS, &flags), error = errno;
  OK(close(fd));
  errno = error;
  return result;
}

static void set_flags(const char *path, int flags) {
  OK(try_flags(path, flags));
  CHECK_EQ(flags_of(path), flags);
}

static void make(const char *path) {
  OK(close(OK(open(path, O_CREAT | O_RDWR | O_TRUNC, 0644))));
}

static int touch(const char *path, long accessed, long modified) {
  struct timespec times[2] = {{0, accessed}, {0, modified}};
  return utimensat(AT_FDCWD, path, times, 0);
}

static void immutable_file(void) {
  make("file");
  make("other");
  int fd = OK(open("file", O_RDWR));
  set_flags("file", FS_IMMUTABLE_FL);
  CHECK_ERRNO(open("file", O_WRONLY), EPERM);
  CHECK_ERRNO(open("file", O_RDONLY | O_TRUNC), EPERM);
  CHECK_ERRNO(open("file", O_CREAT | O_RDWR, 0644), EPERM);
  CHECK_ERRNO(truncate("file", 0), EPERM);
  CHECK_ERRNO(unlink("file"), EPERM);
  CHECK_ERRNO(rename("file", "renamed"), EPERM);
  CHECK_ERRNO(rename("other", "file"), EPERM);
  CHECK_ERRNO(syscall(SYS_renameat2, AT_FDCWD, "other", AT_FDCWD, "file", RENAME_EXCHANGE), EPERM);
  CHECK_ERRNO(link("file", "linked"), EPERM);
  CHECK_ERRNO(chmod("file", 0600), EPERM);
  CHECK_ERRNO(chown("file", 0, 0), EPERM);
  CHECK_ERRNO(utimensat(AT_FDCWD, "file", NULL, 0), EPERM);
  CHECK_ERRNO(touch("file", 5, UTIME_NOW), EPERM);
  OK(touch("file", UTIME_OMIT, UTIME_OMIT));
  CHECK_ERRNO(setxattr("file", "user.x", "x", 1, 0), EPERM);
  CHECK_ERRNO(removexattr("file", "user.x"), EPERM);
  CHECK_ERRNO(removexattr("file", "system.posix_acl_access"), EPERM);
  CHECK_ERRNO(access("file", W_OK), EPERM);
  OK(access("file", R_OK));
  CHECK_ERRNO(fallocate(fd, 0, 0, 10), EPERM);
  // Who has it open may go on to write on tmpfs, and not on ext4.
  if (is_tmpfs) {
    CHECK_EQ(write(fd, "x", 1), 1);
    OK(ftruncate(fd, 0));
  } else {
    CHECK_ERRNO(write(fd, "x", 1), EPERM);
    CHECK_ERRNO(ftruncate(fd, 0), EPERM);
  }
  OK(close(OK(open("file", O_RDONLY))));
  set_flags("file", 0);
  OK(chmod("file", 0600));
  OK(close(fd));
  OK(unlink("file"));
  OK(unlink("other"));
}

static void append_only_file(void) {
  make("file");
  int before = OK(open("file", O_RDWR));
  set_flags("file", FS_APPEND_FL);
  CHECK_ERRNO(open("file", O_RDWR), EPERM);
  CHECK_ERRNO(open("file", O_RDONLY | O_TRUNC), EPERM);
  CHECK_ERRNO(open("file", O_WRONLY | O_APPEND | O_TRUNC), EPERM);
  int fd = OK(open("file", O_RDWR | O_APPEND));
  CHECK_EQ(write(fd, "abc", 3), 3);
  CHECK_ERRNO(fcntl(fd, F_SETFL, 0), EPERM);
  CHECK_ERRNO(ftruncate(fd, 0), EPERM);
  CHECK_ERRNO(ftruncate(before, 0), EPERM);
  CHECK_ERRNO(truncate("file", 0), EPERM);
  CHECK_ERRNO(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1), EPERM);
  CHECK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EACCES);
  void *private = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  CHECK(private != MAP_FAILED);
  OK(munmap(private, PAGE));
  CHECK_ERRNO(unlink("file"), EPERM);
  CHECK_ERRNO(rename("file", "renamed"), EPERM);
  CHECK_ERRNO(link("file", "linked"), EPERM);
  CHECK_ERRNO(chmod("file", 0600), EPERM);
  OK(utimensat(AT_FDCWD, "file", NULL, 0));
  CHECK_ERRNO(touch("file", 5, 5), EPERM);
  CHECK_ERRNO(setxattr("file", "user.x", "x", 1, 0), EPERM);
  OK(access("file", W_OK));
  set_flags("file", 0);
  OK(close(fd));
  OK(close(before));
  OK(unlink("file"));
}

static void directories(void) {
  OK(mkdir("directory", 0755));
  make("directory/a");
  make("source");
  set_flags("directory", FS_APPEND_FL);
  make("directory/b");
  OK(mkdir("directory/below", 0755));
  OK(rename("source", "directory/source"));
  CHECK_ERRNO(unlink("directory/a"), EPERM);
  CHECK_ERRNO(rmdir("directory/below"), EPERM);
  CHECK_ERRNO(rename("directory/a", "directory/c"), EPERM);
  CHECK_ERRNO(rename("directory", "elsewhere"), EPERM);
  CHECK_ERRNO(rmdir("directory"), EPERM);
  CHECK_ERRNO(chmod("directory", 0700), EPERM);
  set_flags("directory", FS_IMMUTABLE_FL);
  CHECK_ERRNO(open("directory/c", O_CREAT | O_RDWR, 0644), EPERM);
  CHECK_ERRNO(open("directory", O_TMPFILE | O_RDWR, 0644), EPERM);
  CHECK_ERRNO(mkdir("directory/c", 0755), EPERM);
  CHECK_ERRNO(mkdir("directory/a", 0755), EEXIST);
  CHECK_ERRNO(unlink("directory/none"), ENOENT);
  CHECK_ERRNO(unlink("directory/a"), EPERM);
  CHECK_ERRNO(link("directory/a", "directory/c"), EPERM);
  CHECK_ERRNO(access("directory", W_OK), EPERM);
  // What is in it may be written.
  OK(close(OK(open("directory/a", O_RDWR | O_TRUNC))));
  set_flags("directory", FS_NODUMP_FL | FS_NOATIME_FL);
  make("directory/heir");
  CHECK_EQ(flags_of("directory/heir"), FS_NODUMP_FL | FS_NOATIME_FL);
  OK(mkdir("directory/heirs", 0755));
  CHECK_EQ(flags_of("directory/heirs"), FS_NODUMP_FL | FS_NOATIME_FL);
  static const char *const names[] = {"directory/a", "directory/b", "directory/source", "directory/heir"};
  for (size_t i = 0; i < COUNT(names); i++) OK(unlink(names[i]));
  OK(rmdir("directory/below"));
  OK(rmdir("directory/heirs"));
  OK(rmdir("directory"));
}

static void access_times_stay(void) {
  make("file");
  int fd = OK(open("file", O_RDWR));
  CHECK_EQ(write(fd, "abc", 3), 3);
  OK(touch("file", 5, 5));
  set_flags("file", FS_NOATIME_FL);
  char byte;
  CHECK_EQ(pread(fd, &byte, 1, 0), 1);
  struct stat status;
  OK(fstat(fd, &status));
  CHECK_EQ(status.st_atim.tv_sec, 0);
  OK(close(fd));
  OK(unlink("file"));
}

static void as_others(void) {
  make("file");
  OK(chmod("file", 0666));
  pid_t child;
  IN_CHILD(child) {
    OK(setgroups(0, NULL));
    OK(setgid(1000));
    OK(setuid(1000));
    CHECK_ERRNO(try_flags("file", FS_NODUMP_FL), EPERM);
  }
  WAIT_OK(child);
  OK(chown("file", 1000, 1000));
  IN_CHILD(child) {
    OK(setgroups(0, NULL));
    OK(setgid(1000));
    OK(setuid(1000));
    OK(try_flags("file", FS_NODUMP_FL));
    CHECK_ERRNO(try_flags("file", FS_NODUMP_FL | FS_IMMUTABLE_FL), EPERM);
    CHECK_ERRNO(try_flags("file", FS_APPEND_FL), EPERM);
    CHECK_EQ(flags_of("file"), FS_NODUMP_FL);
  }
  WAIT_OK(child);
  OK(unlink("file"));
}

static void other_ways_to_tell(void) {
  make("file");
  int fd = OK(open("file", O_RDWR));
  struct fsxattr extended = {.fsx_xflags = FS_XFLAG_APPEND | FS_XFLAG_NODUMP};
  OK(ioctl(fd, FS_IOC_FSSETXATTR, &extended));
  CHECK_EQ(flags_of("file"), FS_APPEND_FL | FS_NODUMP_FL);
  struct statx status;
  OK(statx(AT_FDCWD, "file", 0, STATX_BASIC_STATS, &status));
  CHECK_EQ(status.stx_attributes, STATX_ATTR_APPEND | STATX_ATTR_NODUMP);
  uint64_t mask = STATX_ATTR_APPEND | STATX_ATTR_NODUMP | STATX_ATTR_IMMUTABLE;
  CHECK_EQ(status.stx_attributes_mask & mask, mask);
  memset(&extended, 0, sizeof extended);
  OK(ioctl(fd, FS_IOC_FSGETXATTR, &extended));
  CHECK_EQ(extended.fsx_xflags, FS_XFLAG_APPEND | FS_XFLAG_NODUMP);
  extended.fsx_xflags = FS_XFLAG_PREALLOC;
  OK(ioctl(fd, FS_IOC_FSSETXATTR, &extended));
  CHECK_EQ(flags_of("file"), 0);
  extended.fsx_xflags = FS_XFLAG_EXTSZINHERIT;
  CHECK_ERRNO(ioctl(fd, FS_IOC_FSSETXATTR, &extended), EINVAL);
  extended.fsx_xflags = 4;
  CHECK_ERRNO(ioctl(fd, FS_IOC_FSSETXATTR, &extended), EOPNOTSUPP);
  extended = (struct fsxattr){.fsx_projid = 5};
  CHECK_ERRNO(ioctl(fd, FS_IOC_FSSETXATTR, &extended), EOPNOTSUPP);
  struct attributes attributes = {.xflags = FS_XFLAG_NODUMP};
  OK(syscall(FILE_SETATTR, AT_FDCWD, "file", &attributes, sizeof attributes, 0));
  CHECK_EQ(flags_of("file"), FS_NODUMP_FL);
  attributes.xflags = 1UL << 40;
  CHECK_ERRNO(syscall(FILE_SETATTR, AT_FDCWD, "file", &attributes, sizeof attributes, 0), EINVAL);
  OK(syscall(FILE_GETATTR, fd, "", &attributes, sizeof attributes, AT_EMPTY_PATH));
  CHECK_EQ(attributes.xflags, FS_XFLAG_NODUMP);
  CHECK_ERRNO(syscall(FILE_GETATTR, AT_FDCWD, "", &attributes, sizeof attributes, 0), ENOENT);
  CHECK_ERRNO(syscall(FILE_GETATTR, AT_FDCWD, "file", &attributes, sizeof attributes - 1, 0), EINVAL);
  CHECK_ERRNO(syscall(FILE_GETATTR, AT_FDCWD, "file", &attributes, 5000, 0), E2BIG);
  CHECK_ERRNO(syscall(FILE_GETATTR, AT_FDCWD, "file", &attributes, sizeof attributes, AT_REMOVEDIR), EINVAL);
  CHECK_ERRNO(syscall(FILE_GETATTR, AT_FDCWD, "file", NULL, sizeof attributes, 0), EFAULT);
  int place = OK(open("file", O_PATH));
  CHECK_ERRNO(syscall(FILE_GETATTR, place, "", &attributes, sizeof attributes, AT_EMPTY_PATH), EBADF);
  OK(symlink("file", "link"));
  CHECK_ERRNO(syscall(FILE_GETATTR, AT_FDCWD, "link", &attributes, sizeof attributes, AT_SYMLINK_NOFOLLOW), EOPNOTSUPP);
  CHECK_ERRNO(syscall(FILE_GETATTR, AT_FDCWD, "/dev/null", &attributes, sizeof attributes, 0), EOPNOTSUPP);
  CHECK_ERRNO(syscall(FILE_GETATTR, AT_FDCWD, "/proc/version", &attributes, sizeof attributes, 0), EOPNOTSUPP);
  CHECK_ERRNO(try_flags("/proc/version", 0), ENOTTY);
  OK(unlink("link"));
  set_flags("file", 0);
  if (is_tmpfs) CHECK_ERRNO(try_flags("file", FS_SYNC_FL), EOPNOTSUPP);
  CHECK_ERRNO(try_flags("file", FS_DIRSYNC_FL), EOPNOTSUPP);
  CHECK_ERRNO(try_flags("file", FS_NOCOW_FL), EOPNOTSUPP);
  OK(close(place));
  OK(close(fd));
  OK(unlink("file"));
}

// What ioctl(2) asks of any file.
static void other_requests(void) {
  make("file");
  int fd = OK(open("file", O_RDWR)), directory = OK(open(".", O_RDONLY)), number = 0, pair[2];
  OK(pipe(pair));
  OK(ioctl(fd, FIGETBSZ, &number));
  CHECK_EQ(number, 4096);
  OK(ioctl(directory, FIGETBSZ, &number));
  OK(ioctl(pair[0], FIGETBSZ, &number));
  CHECK_EQ(number, 4096);
  CHECK_ERRNO(ioctl(fd, FIBMAP, NULL), EFAULT);
  CHECK_ERRNO(ioctl(directory, FIBMAP, &number), ENOTTY);
  CHECK_EQ(write(fd, "abc", 3), 3);
  OK(lseek(fd, 1, SEEK_SET));
  OK(ioctl(fd, FIONREAD, &number));
  CHECK_EQ(number, 2);
  char uuid[17] = {0};
  OK(ioctl(fd, _IOR(0x15, 0, char[17]), uuid));
  CHECK_EQ(uuid[0], 16);
  CHECK_ERRNO(ioctl(fd, FICLONE, fd), EOPNOTSUPP);
  CHECK_ERRNO(ioctl(fd, FICLONE, -1), EBADF);
  CHECK_ERRNO(ioctl(fd, FICLONE, directory), EISDIR);
  CHECK_ERRNO(ioctl(directory, FICLONE, fd), EISDIR);
  CHECK_ERRNO(ioctl(pair[1], FICLONE, fd), EXDEV);
  int appending = OK(open("file", O_RDWR | O_APPEND)), reading = OK(open("file", O_RDONLY));
  CHECK_ERRNO(ioctl(appending, FICLONE, fd), EBADF);
  CHECK_ERRNO(ioctl(reading, FICLONE, fd), EBADF);
  CHECK_ERRNO(ioctl(fd, FICLONERANGE, wild), EFAULT);
  struct file_clone_range range = {.src_fd = fd};
  CHECK_ERRNO(ioctl(fd, FICLONERANGE, &range), EOPNOTSUPP);
  struct file_dedupe_range same = {.src_length = 1};
  CHECK_ERRNO(ioctl(fd, FIDEDUPERANGE, &same), EOPNOTSUPP);
  CHECK_ERRNO(ioctl(pair[0], FS_IOC_GETFLAGS, &number), ENOTTY);
  int all[] = {fd, directory, appending, reading, pair[0], pair[1]};
  for (size_t i = 0; i < COUNT(all); i++) OK(close(all[i]));
  OK(unlink("file"));
}

static void in_directory(const char *pattern) {
  char directory[64];
  strcpy(directory, pattern);
  CHECK(mkdtemp(directory) != NULL);
  if (is_tmpfs) OK(mount("tmpfs", directory, "tmpfs", MS_STRICTATIME, "mode=755"));
  OK(chmod(directory, 0755));
  OK(chdir(directory));
  immutable_file();
  append_only_file();
  directories();
  access_times_stay();
  as_others();
  other_ways_to_tell();
  other_requests();
  OK(chdir("/"));
  if (is_tmpfs) OK(umount(directory));
  OK(rmdir(directory));
}

int main(void) {
  umask(0);
  OK(unshare(CLONE_NEWNS));
  OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
  in_directory("/tmp/flags-XXXXXX");
  is_tmpfs = 1;
  in_directory("/tmp/flags-XXXXXX");
  return 0;
}
