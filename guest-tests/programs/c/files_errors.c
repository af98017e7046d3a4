// The errors of the calls that take paths and descriptors of files, by their order, as Linux gives them.
// compared
#include "check.h"
#include <dirent.h>
#include <linux/openat2.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <utime.h>

static void print_end(const char *call, long value, int error) {
  if (value < 0) printf("%s = %s\n", call, strerrorname_np(error));
  else printf("%s = %ld\n", call, value);
}

static void print_open(const char *call, int file, int error) {
  printf("%s = %s\n", call, file < 0 ? strerrorname_np(error) : "a descriptor");
  if (file >= 0) OK(close(file));
}

// Prints a call and how it ends; one that returns a descriptor, which is closed.
#define P(...) ({ errno = 0; long p_value = (long)(__VA_ARGS__); print_end(#__VA_ARGS__, p_value, errno); })
#define PF(...) ({ errno = 0; int p_value = (int)(__VA_ARGS__); print_open(#__VA_ARGS__, p_value, errno); })

static char long_name[NAME_MAX + 2], longest_name[NAME_MAX + 1], long_path[PATH_MAX + 1], longest_path[PATH_MAX];

static int openat2_(int directory, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve) {
  struct open_how how = {flags, mode, resolve};
  return syscall(SYS_openat2, directory, path, &how, sizeof how);
}
static int fchmodat2_(int directory, const char *path, mode_t mode, int flags) { return syscall(452, directory, path, mode, flags); }
static int faccessat2_(int directory, const char *path, int mode, int flags) { return syscall(SYS_faccessat2, directory, path, mode, flags); }

static void make(void) {
  memset(long_name, 'n', sizeof long_name - 1), memset(longest_name, 'n', sizeof longest_name - 1);
  memset(long_path, '/', sizeof long_path - 1), memset(longest_path, '/', sizeof longest_path - 1);
  write_file("f", "12345678"), OK(mkdir("d", 0755)), OK(mkdir("full", 0755)), write_file("full/f", "");
  OK(symlink("f", "lf")), OK(symlink("d", "ld")), OK(symlink("absent", "dangling")), OK(symlink("loop", "loop")), OK(symlink("d/", "lslash")), OK(symlink("f/", "lfslash"));
  OK(symlink("../f", "d/up")), OK(symlink("/", "lroot"));
  OK(mkfifo("p", 0644));
  OK(mknod("null", S_IFCHR | 0666, makedev(1, 3))), OK(mknod("nodevice", S_IFCHR | 0666, makedev(250, 77))), OK(mknod("sock", S_IFSOCK | 0666, 0));
  char name[8] = "c0";
  OK(symlink("f", "c0"));
  for (int i = 1; i <= 41; i++) {
    char previous[8];
    strcpy(previous, name), snprintf(name, sizeof name, "c%d", i);
    OK(symlink(previous, name));
  }
}

static void test_open(void) {
  PF(open("f", O_RDONLY));
  PF(open("f/", O_RDONLY)), PF(open("f/.", O_RDONLY)), PF(open("lf/", O_RDONLY)), PF(open("lfslash", O_RDONLY));
  PF(open("absent", O_RDONLY)), PF(open("absent/", O_RDONLY)), PF(open("absent/x", O_RDONLY)), PF(open("f/x", O_RDONLY)), PF(open("", O_RDONLY));
  PF(open(wild, O_RDONLY)), PF(open(long_name, O_RDONLY)), PF(open(longest_name, O_RDONLY)), PF(open(long_path, O_RDONLY)), PF(open(longest_path, O_RDONLY));
  PF(open("loop", O_RDONLY)), PF(open("loop/x", O_RDONLY)), PF(open("c39", O_RDONLY)), PF(open("c40", O_RDONLY)), PF(open("dangling", O_RDONLY)), PF(open("dangling/", O_RDONLY));
  PF(open("d", O_RDONLY)), PF(open("d", O_WRONLY)), PF(open("d", O_RDWR)), PF(open("d", O_RDONLY | O_TRUNC)), PF(open("d", O_RDONLY | O_CREAT, 0644)), PF(open("d/", O_RDONLY | O_CREAT, 0644));
  PF(open("d", O_RDONLY | O_CREAT | O_EXCL, 0644)), PF(open("d/", O_RDONLY | O_CREAT | O_EXCL, 0644)), PF(open("d/.", O_RDONLY | O_CREAT, 0644)), PF(open("d/..", O_RDONLY | O_CREAT | O_EXCL, 0644)), PF(open("/", O_RDONLY | O_CREAT, 0644));
  PF(open("f", O_RDONLY | O_DIRECTORY)), PF(open("lf", O_RDONLY | O_DIRECTORY)), PF(open("ld", O_RDONLY | O_DIRECTORY)), PF(open("absent", O_RDONLY | O_DIRECTORY));
  PF(open("f", O_RDONLY | O_DIRECTORY | O_CREAT, 0644)), PF(open("absent", O_RDONLY | O_DIRECTORY | O_CREAT, 0644)), PF(open("d", O_RDONLY | O_DIRECTORY | O_CREAT, 0644)), PF(open(wild, O_DIRECTORY | O_CREAT, 0644));
  PF(open("lf", O_RDONLY | O_NOFOLLOW)), PF(open("ld", O_RDONLY | O_NOFOLLOW)), PF(open("ld/", O_RDONLY | O_NOFOLLOW)), PF(open("ld", O_RDONLY | O_NOFOLLOW | O_DIRECTORY)), PF(open("lf", O_PATH | O_NOFOLLOW)), PF(open("lf", O_PATH | O_NOFOLLOW | O_DIRECTORY)), PF(open("dangling", O_PATH | O_NOFOLLOW)), PF(open("ld/up", O_RDONLY | O_NOFOLLOW));
  PF(open("lf", O_RDONLY | O_CREAT | O_EXCL, 0644)), PF(open("dangling", O_RDONLY | O_CREAT | O_EXCL, 0644)), PF(open("dangling", O_RDONLY | O_CREAT | O_NOFOLLOW, 0644)), PF(open("lf", O_RDONLY | O_CREAT | O_NOFOLLOW, 0644));
  PF(open("dangling", O_RDONLY | O_CREAT, 0644)), P(unlink("absent"));
  PF(open("f/", O_RDONLY | O_CREAT, 0644)), PF(open("absent/", O_RDONLY | O_CREAT, 0644)), PF(open("lfslash", O_RDONLY | O_CREAT, 0644)), PF(open("absent/x", O_RDONLY | O_CREAT, 0644)), PF(open("f/x", O_RDONLY | O_CREAT, 0644)), PF(open(long_name, O_RDONLY | O_CREAT, 0644)), PF(open("loop", O_RDONLY | O_CREAT, 0644)), PF(open("", O_RDONLY | O_CREAT, 0644));
  PF(open("p", O_WRONLY | O_NONBLOCK)), PF(open("p", O_RDONLY | O_NONBLOCK)), PF(open("p", O_RDWR)), PF(open("p", O_RDWR | O_DIRECTORY)), PF(open("p", O_PATH));
  PF(open("sock", O_RDONLY)), PF(open("sock", O_PATH)), PF(open("sock", O_RDWR | O_CREAT, 0644)), PF(open("null", O_RDWR)), PF(open("null", O_RDWR | O_TRUNC)), PF(open("nodevice", O_RDONLY)), PF(open("nodevice", O_PATH));
  PF(open(".", O_TMPFILE | O_RDWR, 0600)), PF(open(".", O_TMPFILE | O_WRONLY, 0600)), PF(open(".", O_TMPFILE | O_RDONLY, 0600)), PF(open("f", O_TMPFILE | O_RDWR, 0600)), PF(open("absent", O_TMPFILE | O_RDWR, 0600)), PF(open(".", O_TMPFILE | O_RDWR | O_CREAT, 0600)), PF(open(".", O_TMPFILE | O_RDWR | O_EXCL, 0600)), PF(open("ld", O_TMPFILE | O_RDWR, 0600)), PF(open("ld", O_TMPFILE | O_RDWR | O_NOFOLLOW, 0600)), PF(open(".", (O_TMPFILE & ~O_DIRECTORY) | O_RDWR, 0600)), PF(open(wild, O_TMPFILE | O_RDONLY, 0600));
  PF(open("f", 3)), PF(open("f", O_RDONLY | O_TRUNC)), PF(open("f", O_APPEND | O_TRUNC)), PF(open("f", O_PATH | O_TRUNC | O_CREAT | O_EXCL)), PF(open("f", 0x40000000));
  PF(creat("d", 0644)), PF(creat("f/", 0644)), PF(creat(".", 0644)), PF(creat("lf", 0644));
  write_file("f", "12345678");
  int file = OK(open("f", O_RDONLY)), directory = OK(open("d", O_RDONLY)), handle = OK(open("d", O_PATH)), link_handle = OK(open("lf", O_PATH | O_NOFOLLOW));
  PF(openat(file, "x", O_RDONLY)), PF(openat(-1, "x", O_RDONLY)), PF(openat(-1, "/", O_RDONLY)), PF(openat(directory, "", O_RDONLY)), PF(openat(handle, "up", O_RDONLY)), PF(openat(link_handle, "x", O_RDONLY)), PF(openat(99, "", O_RDONLY)), PF(openat(AT_FDCWD, ".", O_RDONLY));
  char byte;
  int mode3 = OK(open("f", 3));
  P(read(mode3, &byte, 1)), P(write(mode3, &byte, 1)), P(fcntl(mode3, F_GETFL) & O_ACCMODE), P(ftruncate(mode3, 1)), OK(close(mode3));
  P(read(handle, &byte, 1)), P(fchmod(handle, 0755)), P(fchown(handle, 0, 0)), P(fsync(handle)), P(ftruncate(handle, 0)), P(fchdir(handle)), OK(chdir(".."));
  P(getdents64(handle, &byte, 1)), P(fgetxattr(handle, "user.a", &byte, 1)), P(ioctl(handle, 0, 0)), P(lseek(handle, 0, SEEK_SET)), P(flock(handle, LOCK_SH)), P(futimens(handle, NULL));
  P(mmap(NULL, 1, PROT_READ, MAP_PRIVATE, handle, 0) == MAP_FAILED ? -1 : 0), P(fcntl(handle, F_GETFL) & ~O_LARGEFILE), P(fcntl(handle, F_SETFL, 0)), P(fcntl(handle, F_GETFD)), P(dup2(handle, 90)), P(close(90)), P(fcntl(handle, F_GETLK, &(struct flock){.l_type = F_RDLCK}));
  P(fchdir(file)), P(fchdir(link_handle)), P(fchdir(-1)), P(read(directory, &byte, 1)), P(write(directory, &byte, 1)), P(pread(directory, &byte, 1, 0)), P(ftruncate(directory, 0)), P(fallocate(directory, 0, 0, 1)), P(mmap(NULL, 1, PROT_READ, MAP_PRIVATE, directory, 0) == MAP_FAILED ? -1 : 0);
  OK(close(file)), OK(close(directory)), OK(close(handle)), OK(close(link_handle));
}

static void test_openat2(void) {
  struct { struct open_how how; uint64_t more; } larger = {{O_RDONLY, 0, 0}, 0};
  PF(syscall(SYS_openat2, AT_FDCWD, "f", &larger, sizeof larger)), larger.more = 1;
  PF(syscall(SYS_openat2, AT_FDCWD, "f", &larger, sizeof larger)), PF(syscall(SYS_openat2, AT_FDCWD, "f", &larger, 23)), PF(syscall(SYS_openat2, AT_FDCWD, "f", &larger, 0)), PF(syscall(SYS_openat2, AT_FDCWD, "f", &larger, 5000)), PF(syscall(SYS_openat2, AT_FDCWD, "f", wild, 24)), PF(syscall(SYS_openat2, AT_FDCWD, "f", NULL, 24));
  PF(openat2_(AT_FDCWD, "f", 0x40000000, 0, 0)), PF(openat2_(AT_FDCWD, "f", 0x100000000, 0, 0)), PF(openat2_(AT_FDCWD, "f", O_RDONLY, 0644, 0)), PF(openat2_(AT_FDCWD, "f", O_CREAT, 010000, 0)), PF(openat2_(AT_FDCWD, "f", O_CREAT, 0644, 0)), PF(openat2_(AT_FDCWD, "f", O_PATH | O_RDWR, 0, 0)), PF(openat2_(AT_FDCWD, "f", O_PATH | O_CREAT, 0, 0)), PF(openat2_(AT_FDCWD, "f", O_RDONLY, 0, 0x100)), PF(openat2_(AT_FDCWD, "f", O_RDONLY, 0, RESOLVE_BENEATH | RESOLVE_IN_ROOT)), PF(openat2_(AT_FDCWD, "d", O_DIRECTORY | O_CREAT, 0644, 0)), PF(openat2_(AT_FDCWD, "f", O_RDONLY | O_LARGEFILE, 0, 0));
  PF(openat2_(AT_FDCWD, "lf", O_RDONLY, 0, RESOLVE_NO_SYMLINKS)), PF(openat2_(AT_FDCWD, "lf", O_RDONLY | O_NOFOLLOW, 0, RESOLVE_NO_SYMLINKS)), PF(openat2_(AT_FDCWD, "lf", O_PATH | O_NOFOLLOW, 0, RESOLVE_NO_SYMLINKS)), PF(openat2_(AT_FDCWD, "ld/up", O_RDONLY, 0, RESOLVE_NO_SYMLINKS)), PF(openat2_(AT_FDCWD, "lf", O_RDONLY, 0, RESOLVE_NO_MAGICLINKS)), PF(openat2_(AT_FDCWD, "/proc/self/exe", O_RDONLY, 0, RESOLVE_NO_MAGICLINKS)), PF(openat2_(AT_FDCWD, "/proc/self/exe", O_PATH | O_NOFOLLOW, 0, RESOLVE_NO_MAGICLINKS)), PF(openat2_(AT_FDCWD, "/proc/self/cwd/f", O_RDONLY, 0, RESOLVE_NO_MAGICLINKS)), PF(openat2_(AT_FDCWD, "/proc/version", O_RDONLY, 0, RESOLVE_NO_XDEV)), PF(openat2_(AT_FDCWD, "/proc/self/exe", O_RDONLY, 0, RESOLVE_NO_XDEV)), PF(openat2_(AT_FDCWD, "f", O_RDONLY, 0, RESOLVE_NO_XDEV));
  PF(openat2_(AT_FDCWD, "..", O_RDONLY, 0, RESOLVE_BENEATH)), PF(openat2_(AT_FDCWD, "d/..", O_RDONLY, 0, RESOLVE_BENEATH)), PF(openat2_(AT_FDCWD, "d/../..", O_RDONLY, 0, RESOLVE_BENEATH)), PF(openat2_(AT_FDCWD, "/f", O_RDONLY, 0, RESOLVE_BENEATH)), PF(openat2_(AT_FDCWD, "lroot", O_RDONLY, 0, RESOLVE_BENEATH)), PF(openat2_(AT_FDCWD, "d/up", O_RDONLY, 0, RESOLVE_BENEATH)), PF(openat2_(AT_FDCWD, ".", O_RDONLY, 0, RESOLVE_BENEATH));
  int directory = OK(open("d", O_PATH));
  PF(openat2_(directory, "up", O_RDONLY, 0, RESOLVE_BENEATH)), PF(openat2_(directory, "up", O_RDONLY, 0, RESOLVE_IN_ROOT)), PF(openat2_(directory, "..", O_RDONLY, 0, RESOLVE_IN_ROOT)), PF(openat2_(directory, "/..", O_RDONLY, 0, RESOLVE_IN_ROOT)), PF(openat2_(directory, "/up", O_RDONLY | O_NOFOLLOW, 0, RESOLVE_IN_ROOT)), PF(openat2_(AT_FDCWD, "/f", O_RDONLY, 0, RESOLVE_IN_ROOT)), PF(openat2_(AT_FDCWD, "lroot/f", O_RDONLY, 0, RESOLVE_IN_ROOT)), PF(openat2_(directory, "new", O_RDWR | O_CREAT, 0600, RESOLVE_BENEATH)), PF(openat2_(directory, "../new", O_RDWR | O_CREAT, 0600, RESOLVE_IN_ROOT)), P(unlink("d/new"));
  PF(openat2_(AT_FDCWD, "f", O_RDONLY | O_CREAT, 0600, RESOLVE_CACHED)), PF(openat2_(AT_FDCWD, "f", O_WRONLY | O_TRUNC, 0, RESOLVE_CACHED)), PF(openat2_(AT_FDCWD, ".", O_TMPFILE | O_RDWR, 0600, RESOLVE_CACHED)), OK(close(OK(open("f", O_RDONLY)))), PF(openat2_(AT_FDCWD, "f", O_RDONLY, 0, RESOLVE_CACHED)), PF(openat2_(-1, "f", O_RDONLY, 0, 0)), PF(openat2_(-1, "/", O_RDONLY, 0, RESOLVE_IN_ROOT)), PF(openat2_(AT_FDCWD, "", O_RDONLY, 0, 0));
  OK(close(directory));
}

static void test_names(void) {
  P(mkdir("d", 0755)), P(mkdir("d/", 0755)), P(mkdir("f", 0755)), P(mkdir("f/", 0755)), P(mkdir("f/x", 0755)), P(mkdir("absent/x", 0755)), P(mkdir("lf", 0755)), P(mkdir("dangling", 0755)), P(mkdir("dangling/", 0755)), P(mkdir("loop/x", 0755)), P(mkdir("loop", 0755)), P(mkdir(".", 0755)), P(mkdir("..", 0755)), P(mkdir("d/.", 0755)), P(mkdir("absent/.", 0755)), P(mkdir("", 0755)), P(mkdir("/", 0755)), P(mkdir(long_name, 0755)), P(mkdir(longest_name, 0755)), P(rmdir(longest_name)), P(mkdir(long_path, 0755)), P(mkdir(wild, 0755)), P(mkdirat(-1, "x", 0755)), P(mkdir("/proc/x", 0755)), P(mkdir("/proc/self/x", 0755));
  P(rmdir("f")), P(rmdir("f/")), P(rmdir("absent")), P(rmdir("full")), P(rmdir("full/.")), P(rmdir("full/..")), P(rmdir(".")), P(rmdir("..")), P(rmdir("")), P(rmdir("/")), P(rmdir("ld")), P(rmdir("ld/")), P(rmdir("loop")), P(rmdir("loop/x")), P(rmdir(long_name)), P(rmdir(wild)), P(rmdir("/proc/self")), P(rmdir("/proc/1")), P(rmdir("f/x"));
  P(unlink("d")), P(unlink("d/")), P(unlink("d/.")), P(unlink("d/..")), P(unlink(".")), P(unlink("/")), P(unlink("f/")), P(unlink("f/x")), P(unlink("absent")), P(unlink("absent/")), P(unlink("ld/")), P(unlink("lf/")), P(unlink("loop/x")), P(unlink("")), P(unlink(long_name)), P(unlink(wild)), P(unlinkat(AT_FDCWD, "d", 0x1)), P(unlinkat(AT_FDCWD, "f", AT_REMOVEDIR)), P(unlinkat(-1, "f", 0)), P(unlinkat(AT_FDCWD, "d/.", AT_REMOVEDIR)), P(unlink("/proc/self/status"));
  P(link("f", "d")), P(link("f", "d/")), P(link("f", "new/")), P(link("f", ".")), P(link("f", "")), P(link("", "x")), P(link("d", "x")), P(link("d/.", "x")), P(link("absent", "x")), P(link("f/", "x")), P(link("absent", "f")), P(link("f", "f")), P(link("f", "absent/x")), P(link("f", "f/x")), P(link("f", long_name)), P(link("f", wild)), P(link(wild, "x")), P(link("loop", "x")), P(unlink("x")), P(link("loop/x", "x")), P(link("f", "dangling")), P(link("f", "dangling/")), P(link("/proc/self/status", "x")), P(linkat(AT_FDCWD, "f", AT_FDCWD, "x", 0x10)), P(linkat(AT_FDCWD, "loop", AT_FDCWD, "x", AT_SYMLINK_FOLLOW)), P(linkat(AT_FDCWD, "", AT_FDCWD, "x", AT_EMPTY_PATH)), P(linkat(-1, "f", AT_FDCWD, "x", 0)), P(linkat(-1, "", AT_FDCWD, "x", AT_EMPTY_PATH)), P(linkat(AT_FDCWD, "f", -1, "x", 0)), P(linkat(AT_FDCWD, "lf", AT_FDCWD, "x", 0)), P(unlink("x"));
  P(symlink("t", "f")), P(symlink("t", "new/")), P(symlink("t", "d/")), P(symlink("", "x")), P(symlink("t", "")), P(symlink(wild, "x")), P(symlink("t", wild)), P(symlink("t", "absent/x")), P(symlink("t", "f/x")), P(symlink("t", long_name)), P(symlink(long_path, "x")), P(symlink(longest_path, "x")), P(unlink("x")), P(symlink("t", ".")), P(symlink("t", "dangling")), P(symlinkat("t", -1, "x")), P(symlink("t", "/proc/x"));
  char text[PATH_MAX];
  P(readlink("lf", text, 10)), P(readlink("lf", text, 0)), P(syscall(SYS_readlink, "lf", text, -1)), P(readlink("f", text, 10)), P(readlink("d", text, 10)), P(readlink("absent", text, 10)), P(readlink("loop", text, 10)), P(readlink("loop/x", text, 10)), P(readlink("ld/", text, 10)), P(readlink("lf/", text, 10)), P(readlink("f/x", text, 10)), P(readlink("", text, 10)), P(readlink(wild, text, 10)), P(readlink("lf", wild, 10)), P(readlink("absent", text, 0)), P(readlinkat(-1, "lf", text, 10)), P(readlinkat(AT_FDCWD, "", text, 10)), P(readlink(long_name, text, 1)), P(readlink("ld", text, 10));
  int handle = OK(open("lf", O_PATH | O_NOFOLLOW)), directory = OK(open("d", O_RDONLY)), file = OK(open("f", O_RDONLY));
  P(readlinkat(handle, "", text, 10)), P(readlinkat(directory, "", text, 10)), P(readlinkat(file, "", text, 10)), P(readlinkat(file, "x", text, 10)), P(linkat(handle, "", AT_FDCWD, "x", AT_EMPTY_PATH)), P(unlink("x")), P(linkat(directory, "", AT_FDCWD, "x", AT_EMPTY_PATH)), P(linkat(file, "", AT_FDCWD, "x", AT_EMPTY_PATH)), P(unlink("x"));
  OK(close(handle)), OK(close(directory)), OK(close(file));
  P(mknod("f", S_IFREG | 0644, 0)), P(mknod("x", S_IFDIR | 0644, 0)), P(mknod("x", S_IFLNK | 0644, 0)), P(mknod("x", 0170000 | 0644, 0)), P(mknod("x", 0644, 0)), P(unlink("x")), P(mknod("x/", S_IFREG | 0644, 0)), P(mknod("d/", S_IFREG | 0644, 0)), P(mknod("absent/x", S_IFIFO | 0644, 0)), P(mknod("", S_IFIFO | 0644, 0)), P(mknod(wild, S_IFIFO | 0644, 0)), P(mknod(long_name, S_IFIFO | 0644, 0)), P(mknod("dangling", S_IFREG | 0644, 0)), P(mknod("f", S_IFDIR, 0)), P(mknod("f", 0170000, 0)), P(mknodat(-1, "x", S_IFREG, 0));
}

static void test_rename(void) {
  write_file("a", "a"), write_file("b", "b"), OK(mkdir("e", 0755)), OK(mkdir("e/in", 0755));
  P(rename("absent", "x")), P(rename("absent", "d")), P(rename("a", "d")), P(rename("d", "a")), P(rename("d", "full")), P(rename("e", "e/in/x")), P(rename("e", "e/in")), P(rename("e/in", "e")), P(rename("a", "a/x")), P(rename("a/", "x")), P(rename("a", "x/")), P(rename("a", "d/")), P(rename("d", "x/")), P(rename("x", "d")), P(rename("d/", "x")), P(rename("x/", "d/")), P(rename("a", "absent/x")), P(rename("a", "")), P(rename("", "x")), P(rename(".", "x")), P(rename("..", "x")), P(rename("d/.", "x")), P(rename("a", ".")), P(rename("a", "d/..")), P(rename("/", "x")), P(rename("a", "/")), P(rename("a", long_name)), P(rename(long_name, "x")), P(rename("a", wild)), P(rename(wild, "x")), P(rename("a", "/proc/x")), P(rename("/proc/self/status", "x")), P(rename("lf", "x")), P(rename("x", "lf")), P(rename("ld/", "x")), P(rename("ld", "x/")), P(rename("loop/x", "x")), P(rename("a", "loop/x")), P(rename("d", "lf")), P(rename("a", "ld")), P(symlink("d", "ld")), P(rename("ld", "a")), P(unlink("a")), P(symlink("d", "ld"));
  write_file("a", "a");
  P(renameat(-1, "a", AT_FDCWD, "x")), P(renameat(AT_FDCWD, "a", -1, "x")), P(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", 8)), P(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE)), P(renameat2(AT_FDCWD, "absent", AT_FDCWD, "b", RENAME_NOREPLACE)), P(renameat2(AT_FDCWD, "a", AT_FDCWD, "a", RENAME_NOREPLACE)), P(renameat2(AT_FDCWD, "a", AT_FDCWD, "absent", RENAME_EXCHANGE)), P(renameat2(AT_FDCWD, "absent", AT_FDCWD, "a", RENAME_EXCHANGE)), P(renameat2(AT_FDCWD, "a", AT_FDCWD, "d", RENAME_EXCHANGE)), P(renameat2(AT_FDCWD, "a", AT_FDCWD, "d/", RENAME_EXCHANGE)), P(renameat2(AT_FDCWD, "d", AT_FDCWD, "a", RENAME_EXCHANGE)), P(renameat2(AT_FDCWD, "a", AT_FDCWD, "b/", RENAME_EXCHANGE)), P(renameat2(AT_FDCWD, "a/", AT_FDCWD, "b", RENAME_EXCHANGE)), P(renameat2(AT_FDCWD, "e", AT_FDCWD, "e/in", RENAME_EXCHANGE)), P(renameat2(AT_FDCWD, "e/in", AT_FDCWD, "e", RENAME_EXCHANGE)), P(renameat2(AT_FDCWD, "a", AT_FDCWD, ".", RENAME_NOREPLACE)), P(renameat2(AT_FDCWD, "a", AT_FDCWD, ".", RENAME_EXCHANGE)), P(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE | RENAME_EXCHANGE)), P(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_WHITEOUT | RENAME_EXCHANGE)), P(renameat2(AT_FDCWD, wild, AT_FDCWD, "b", 8)), P(renameat2(AT_FDCWD, "a", AT_FDCWD, "dangling", RENAME_NOREPLACE));
  P(unlink("a")), P(unlink("b")), P(rmdir("e/in")), P(rmdir("e"));
}

static void test_attributes(void) {
  struct stat status;
  struct statfs fs;
  P(stat("f/", &status)), P(stat("absent", &status)), P(stat("", &status)), P(stat("loop", &status)), P(lstat("loop", &status)), P(lstat("lf/", &status)), P(lstat("ld/", &status)), P(lstat("dangling/", &status)), P(stat(wild, &status)), P(stat("f", wild)), P(stat("absent", wild)), P(fstat(-1, &status)), P(fstatat(AT_FDCWD, "", &status, AT_EMPTY_PATH)), P(fstatat(AT_FDCWD, "f", &status, 0x10)), P(fstatat(-1, "f", &status, 0)), P(fstatat(0, "f", &status, 0)), P(stat(long_name, &status)), P(stat(long_path, &status)), P(fstatat(-1, "", &status, AT_EMPTY_PATH)), P(syscall(SYS_newfstatat, AT_FDCWD, NULL, &status, AT_EMPTY_PATH)), P(syscall(SYS_newfstatat, 0, NULL, &status, AT_EMPTY_PATH)), P(syscall(SYS_newfstatat, 0, NULL, &status, 0));
  struct statx more;
  P(statx(AT_FDCWD, "f", 0, STATX_ALL, &more)), P(statx(AT_FDCWD, "f", 0x10, STATX_ALL, &more)), P(statx(AT_FDCWD, "f", AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC, STATX_ALL, &more)), P(statx(AT_FDCWD, "f", 0, 0x80000000, &more)), P(statx(AT_FDCWD, "", AT_EMPTY_PATH, STATX_ALL, &more)), P(statx(AT_FDCWD, "", 0, STATX_ALL, &more)), P(statx(-1, "f", 0, STATX_ALL, &more)), P(statx(AT_FDCWD, "f", 0, STATX_ALL, wild)), P(statx(AT_FDCWD, wild, 0, STATX_ALL, &more)), P(syscall(SYS_statx, AT_FDCWD, NULL, AT_EMPTY_PATH, STATX_ALL, &more));
  P(statfs("absent", &fs)), P(statfs("", &fs)), P(statfs("f/x", &fs)), P(statfs("f", wild)), P(statfs(wild, &fs)), P(fstatfs(-1, &fs)), P(statfs("loop", &fs)), P(statfs("f", &fs)), P(fs.f_namelen);
  P(access("f", 8)), P(access("f", -1)), P(access("absent", F_OK)), P(access("f/", F_OK)), P(access("loop", F_OK)), P(access("dangling", F_OK)), P(access("", F_OK)), P(access(wild, F_OK)), P(access("f", X_OK)), P(access("d", R_OK | W_OK | X_OK)), P(faccessat2_(AT_FDCWD, "dangling", F_OK, AT_SYMLINK_NOFOLLOW)), P(faccessat2_(AT_FDCWD, "f", F_OK, 0x10)), P(faccessat2_(AT_FDCWD, "", F_OK, AT_EMPTY_PATH)), P(faccessat2_(-1, "", F_OK, AT_EMPTY_PATH)), P(faccessat2_(AT_FDCWD, "f", R_OK, AT_EACCESS)), P(faccessat2_(-1, "f", F_OK, 0)), P(faccessat2_(AT_FDCWD, "lf", X_OK, AT_SYMLINK_NOFOLLOW));
  P(chmod("absent", 0644)), P(chmod("f/", 0644)), P(chmod("loop", 0644)), P(chmod("", 0644)), P(chmod(wild, 0644)), P(chmod("dangling", 0644)), P(fchmod(-1, 0644)), P(fchmodat2_(AT_FDCWD, "lf", 0644, AT_SYMLINK_NOFOLLOW)), P(fchmodat2_(AT_FDCWD, "f", 0644, AT_SYMLINK_NOFOLLOW)), P(fchmodat2_(AT_FDCWD, "f", 0644, 0x10)), P(fchmodat2_(AT_FDCWD, "", 0755, AT_EMPTY_PATH)), P(fchmodat2_(-1, "f", 0644, 0)), P(chmod("f", 0177777)), P((stat("f", &status), status.st_mode)), P(chmod("f", 0644)), P(chmod("/proc/self/status", 0644));
  P(chown("absent", 0, 0)), P(chown("f/", 0, 0)), P(chown("loop", 0, 0)), P(lchown("loop", 0, 0)), P(chown("", 0, 0)), P(fchownat(AT_FDCWD, "", 0, 0, AT_EMPTY_PATH)), P(fchownat(AT_FDCWD, "f", 0, 0, 0x10)), P(fchownat(-1, "f", 0, 0, 0)), P(fchown(-1, 0, 0)), P(chown("dangling", 0, 0)), P(lchown("dangling", 0, 0));
  struct timespec times[2] = {{0, 0}, {0, 0}}, bad[2] = {{0, 1000000000}, {0, 0}}, omit[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}}, negative[2] = {{-5, 5}, {-6, 6}};
  P(utimensat(AT_FDCWD, "absent", times, 0)), P(utimensat(AT_FDCWD, "absent", omit, 0)), P(utimensat(-1, wild, omit, 0x7777)), P(utimensat(AT_FDCWD, "f", bad, 0)), P(utimensat(AT_FDCWD, "absent", bad, 0)), P(utimensat(AT_FDCWD, "f", times, 0x10)), P(utimensat(AT_FDCWD, "f", wild, 0)), P(utimensat(AT_FDCWD, wild, times, 0)), P(syscall(SYS_utimensat, AT_FDCWD, NULL, times, 0)), P(syscall(SYS_utimensat, -1, NULL, times, 0)), P(utimensat(AT_FDCWD, "", times, 0)), P(utimensat(AT_FDCWD, "", times, AT_EMPTY_PATH)), P(utimensat(AT_FDCWD, "dangling", times, 0)), P(utimensat(AT_FDCWD, "dangling", times, AT_SYMLINK_NOFOLLOW)), P(utimensat(AT_FDCWD, "loop", times, 0)), P(utimensat(AT_FDCWD, "f", negative, 0)), P((stat("f", &status), status.st_mtim.tv_sec == -6 && status.st_mtim.tv_nsec == 6)), P(futimens(-1, times)), P(syscall(SYS_utime, "absent", NULL)), P(syscall(SYS_utime, "f", wild)), P(syscall(SYS_utimes, "f", (struct timeval[2]){{0, 1000000}, {0, 0}})), P(syscall(SYS_utimes, "f", (struct timeval[2]){{0, 0}, {0, -1}})), P(syscall(SYS_utimensat, 0, NULL, times, AT_SYMLINK_NOFOLLOW));
}

static void test_space(void) {
  write_file("g", "12345678");
  int file = OK(open("g", O_RDWR)), reader = OK(open("g", O_RDONLY)), writer = OK(open("g", O_WRONLY)), pair[2];
  OK(pipe(pair));
  P(truncate("g", -1)), P(truncate("absent", 0)), P(truncate("absent", -1)), P(truncate("d", 0)), P(truncate("p", 0)), P(truncate("null", 0)), P(truncate("loop", 0)), P(truncate("g/", 0)), P(truncate(wild, 0)), P(truncate("", 0)), P(truncate("dangling", 0)), P(ftruncate(reader, 0)), P(ftruncate(file, -1)), P(ftruncate(-1, 0)), P(ftruncate(pair[1], 0)), P(ftruncate(pair[0], 0));
  P(fallocate(file, 0, 0, 0)), P(fallocate(file, 0, -1, 1)), P(fallocate(file, 0, 0, -1)), P(fallocate(reader, 0, 0, 1)), P(fallocate(pair[1], 0, 0, 1)), P(fallocate(-1, 0, 0, 1)), P(fallocate(file, FALLOC_FL_PUNCH_HOLE, 0, 1)), P(fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE | FALLOC_FL_ZERO_RANGE, 0, 1)), P(fallocate(file, 0x1000, 0, 1)), P(fallocate(file, 0, LONG_MAX - 1, 10)), P(fallocate(file, FALLOC_FL_KEEP_SIZE, 0, 10000)), P(lseek(file, 0, SEEK_END)), P(fallocate(file, 0, 0, 10000)), P(lseek(file, 0, SEEK_END));
  P(lseek(file, -1, SEEK_SET)), P(lseek(file, -20000, SEEK_END)), P(lseek(file, 0, 9)), P(lseek(file, 0, SEEK_SET)), P(lseek(pair[0], 0, SEEK_SET)), P(lseek(-1, 0, SEEK_SET)), P(lseek(pair[0], 0, 9)), P(lseek(file, 20000, SEEK_DATA)), P(lseek(file, 20000, SEEK_HOLE)), P(lseek(file, -1, SEEK_DATA)), P(lseek(file, -1, SEEK_HOLE)), P(lseek(file, 10000, SEEK_HOLE)), P(lseek(file, 0, SEEK_SET));
  int directory = OK(open("d", O_RDONLY));
  P(lseek(directory, -1, SEEK_SET)), P(lseek(directory, 0, 9)), P(lseek(directory, 0, SEEK_SET));
  char buffer[64];
  P(getdents64(directory, buffer, 5)), P(getdents64(file, buffer, 64)), P(getdents64(-1, buffer, 64)), P(getdents64(directory, wild, 64)), P(getdents64(directory, buffer, 0));
  P(read(writer, buffer, 1)), P(write(reader, "x", 1)), P(pread(file, buffer, 1, -1)), P(pwrite(file, "x", 1, -1)), P(pread(pair[0], buffer, 1, 0)), P(pwrite(pair[1], "x", 1, 0)), P(read(file, wild, 1)), P(write(file, wild, 1)), P(read(-1, buffer, 1)), P(readv(file, NULL, 0)), P(readv(file, wild, 1)), P(syscall(SYS_readv, file, NULL, 1025)), P(writev(file, (struct iovec[]){{buffer, -1}}, 1)), P(pwrite(file, "x", 1, LONG_MAX)), P(pread(file, buffer, 1, LONG_MAX)), P(preadv2(file, (struct iovec[]){{buffer, 1}}, 1, 0, 0x10000)), P(read(directory, wild, 1));
  write_file("h", "");
  int other = OK(open("h", O_RDWR)), append = OK(open("h", O_RDWR | O_APPEND));
  P(copy_file_range(file, NULL, other, NULL, 4, 1)), P(copy_file_range(writer, NULL, other, NULL, 4, 0)), P(copy_file_range(file, NULL, reader, NULL, 4, 0)), P(copy_file_range(file, NULL, append, NULL, 4, 0)), P(copy_file_range(pair[0], NULL, other, NULL, 4, 0)), P(copy_file_range(file, NULL, pair[1], NULL, 4, 0)), P(copy_file_range(directory, NULL, other, NULL, 4, 0)), P(copy_file_range(file, NULL, directory, NULL, 4, 0)), P(copy_file_range(file, (off_t[]){0}, file, (off_t[]){2}, 4, 0)), P(copy_file_range(file, (off_t[]){0}, file, (off_t[]){4}, 4, 0)), P(copy_file_range(file, (off_t[]){30000}, other, NULL, 4, 0)), P(copy_file_range(-1, NULL, other, NULL, 4, 0)), P(copy_file_range(file, NULL, -1, NULL, 4, 0)), P(copy_file_range(file, wild, other, NULL, 4, 0)), P(copy_file_range(file, NULL, other, NULL, 0, 0)), P(copy_file_range(file, (off_t[]){LONG_MAX}, other, NULL, 4, 0));
  P(sendfile(other, pair[0], NULL, 4)), P(sendfile(other, file, (off_t[]){-1}, 4)), P(sendfile(reader, file, NULL, 4)), P(sendfile(other, writer, NULL, 4)), P(sendfile(append, file, NULL, 4)), P(sendfile(-1, file, NULL, 4)), P(sendfile(other, file, wild, 4));
  P(readahead(file, 0, 10)), P(readahead(writer, 0, 10)), P(readahead(pair[0], 0, 10)), P(readahead(-1, 0, 10)), P(readahead(directory, 0, 10)), P(readahead(file, -1, 10)), P(posix_fadvise(file, 0, 0, 7)), P(posix_fadvise(file, 0, -1, 0)), P(posix_fadvise(file, -1, 1, 0)), P(posix_fadvise(pair[0], 0, 0, 0)), P(posix_fadvise(-1, 0, 0, 0)), P(posix_fadvise(directory, 0, 0, 0)), P(fsync(pair[0])), P(fdatasync(directory)), P(fsync(-1)), P(syncfs(-1)), P(syncfs(pair[0])), P(sync_file_range(file, 0, 10, 0)), P(sync_file_range(file, -1, 10, 0)), P(sync_file_range(file, 0, -1, 0)), P(sync_file_range(file, 0, 10, 8)), P(sync_file_range(pair[0], 0, 10, 0)), P(sync_file_range(-1, 0, 10, 0));
  P(dup2(-1, 5)), P(dup2(file, -1)), P(dup2(file, 1 << 30)), P(dup3(file, file, 0)), P(dup3(file, 80, 1)), P(dup3(file, file, 1)), P(dup3(-1, -1, 0)), P(dup2(file, file) == file), P(dup2(-1, -1)), P(dup(-1)), P(fcntl(file, F_DUPFD, -1)), P(fcntl(file, F_DUPFD, 1 << 30)), P(fcntl(file, 9999)), P(fcntl(-1, 9999)), P(fcntl(file, F_SETFD, 2)), P(fcntl(file, F_GETFD)), P(close_range(10, 9, 0)), P(close_range(100, 110, 0x10)), P(close(-1)), P(fcntl(file, F_SETFL, O_APPEND | O_CREAT)), P(fcntl(file, F_GETFL) & (O_APPEND | O_CREAT));
  OK(close(file)), OK(close(reader)), OK(close(writer)), OK(close(pair[0])), OK(close(pair[1])), OK(close(directory)), OK(close(other)), OK(close(append)), OK(unlink("g")), OK(unlink("h"));
}

static void test_places(void) {
  char buffer[PATH_MAX];
  P(chdir("f")), P(chdir("absent")), P(chdir("loop")), P(chdir("")), P(chdir(wild)), P(chdir(long_name)), P(chdir("lf")), P(chdir("dangling")), P(chroot("f")), P(chroot("absent")), P(chroot("loop")), P(chroot("")), P(chroot(wild)), P(syscall(SYS_getcwd, buffer, 1)), P(syscall(SYS_getcwd, buffer, 0)), P(syscall(SYS_getcwd, wild, 100)), P(syscall(SYS_getcwd, NULL, 0)), P(umask(0777777)), P(umask(022));
  OK(mkdir("gone", 0755)), OK(chdir("gone")), OK(rmdir("../gone"));
  struct stat status;
  P(syscall(SYS_getcwd, buffer, sizeof buffer)), P(stat(".", &status)), P(stat("..", &status)), P(stat("x", &status)), PF(open(".", O_RDONLY)), PF(open("x", O_RDWR | O_CREAT, 0644)), P(mkdir("x", 0755)), P(mkdir(".", 0755)), P(rename("x", "y")), P(rmdir(".")), P(symlink("x", "y")), P(unlink("x")), P(link("../f", "x")), P(chdir("."));
  int directory = OK(open(".", O_RDONLY));
  P(getdents64(directory, buffer, sizeof buffer)), P(fchdir(directory)), P((fstat(directory, &status), status.st_nlink)), OK(close(directory)), P(chdir(".."));
}

static void test_xattr(void) {
  char value[300], long_attribute[300] = "user.";
  memset(long_attribute + 5, 'a', 255), long_attribute[260] = 0;
  P(setxattr("f", "user.a", "1234", 4, 0)), P(setxattr("f", "user.a", "1234", 4, XATTR_CREATE)), P(setxattr("f", "user.b", "1234", 4, XATTR_REPLACE)), P(setxattr("f", "user.a", "1234", 4, 8)), P(setxattr("f", "user.a", "1234", 4, XATTR_CREATE | XATTR_REPLACE)), P(setxattr("f", "", "1", 1, 0)), P(setxattr("f", "user.", "1", 1, 0)), P(setxattr("f", "nospace", "1", 1, 0)), P(setxattr("f", "other.a", "1", 1, 0)), P(setxattr("f", long_attribute, "1", 1, 0)), P(syscall(SYS_setxattr, "f", "user.a", "1", 65537, 0)), P(setxattr("f", "user.a", wild, 4, 0)), P(setxattr("f", wild, "1", 1, 0)), P(setxattr("f", NULL, "1", 1, 0)), P(setxattr("absent", "user.a", "1", 1, 0)), P(setxattr("f", "user.e", NULL, 0, 0)), P(getxattr("f", "user.e", value, 4)), P(removexattr("f", "user.e"));
  P(getxattr("f", "user.a", value, 4)), P(getxattr("f", "user.a", value, 3)), P(getxattr("f", "user.a", NULL, 0)), P(getxattr("f", "user.a", wild, 4)), P(getxattr("f", "user.x", value, 4)), P(getxattr("f", "", value, 4)), P(getxattr("f", "user.", value, 4)), P(getxattr("f", "other.a", value, 4)), P(getxattr("f", long_attribute, value, 4)), P(getxattr("absent", "user.a", value, 4)), P(getxattr("f", wild, value, 4)), P(lgetxattr("lf", "user.a", value, 4)), P(lsetxattr("lf", "user.a", "1", 1, 0)), P(lsetxattr("lf", "trusted.a", "1", 1, 0)), P(lgetxattr("lf", "trusted.a", value, 4)), P(llistxattr("lf", value, 300)), P(setxattr("p", "user.a", "1", 1, 0)), P(getxattr("p", "user.a", value, 4)), P(setxattr("null", "user.a", "1", 1, 0)), P(setxattr("d", "user.a", "1", 1, 0)), P(fsetxattr(-1, "user.a", "1", 1, 0)), P(fgetxattr(-1, "user.a", value, 1));
  P(listxattr("f", value, 300)), P(listxattr("f", value, 1)), P(listxattr("f", NULL, 0)), P(listxattr("f", wild, 300)), P(listxattr("absent", value, 300)), P(flistxattr(-1, value, 300)), P(removexattr("f", "user.a")), P(removexattr("f", "user.a")), P(removexattr("f", "")), P(removexattr("f", "user.")), P(removexattr("f", "other.a")), P(removexattr("absent", "user.a")), P(removexattr("f", wild)), P(removexattr("d", "user.a")), P(lremovexattr("lf", "trusted.a")), P(fremovexattr(-1, "user.a"));
}

// What of the three times moves with a call, of what it is done to and of its directory.
static struct timespec stamps[2][3];
static void read_stamps(const char *path, struct timespec *to) {
  struct stat status;
  OK(lstat(path, &status));
  to[0] = status.st_atim, to[1] = status.st_mtim, to[2] = status.st_ctim;
}
static void begin_times(const char *path) {
  struct timespec old[2] = {{1000000, 0}, {1000000, 0}};
  OK(utimensat(AT_FDCWD, path, old, AT_SYMLINK_NOFOLLOW)), OK(utimensat(AT_FDCWD, "w", old, 0));
  sleep_ms(12);
  read_stamps(path, stamps[0]), read_stamps("w", stamps[1]);
}
static void end_times(const char *title, const char *path) {
  struct timespec now[3];
  printf("%s:", title);
  for (int which = 0; which < 2; which++) {
    struct stat status;
    const char *name = which ? "w" : path;
    if (lstat(name, &status) != 0) continue;
    read_stamps(name, now);
    for (int i = 0; i < 3; i++)
      if (now[i].tv_sec != stamps[which][i].tv_sec || now[i].tv_nsec != stamps[which][i].tv_nsec) printf(" %s%c", which ? "directory's " : "", "amc"[i]);
  }
  printf("\n");
}
#define TIMES(path, ...) ({ begin_times(path); (void)!(__VA_ARGS__); end_times(#__VA_ARGS__, path); })

static void test_times(void) {
  OK(mkdir("w", 0755)), write_file("w/f", "12345678"), OK(symlink("f", "w/l")), OK(mkdir("w/d", 0755));
  char buffer[64];
  int file = OK(open("w/f", O_RDWR)), quiet = OK(open("w/f", O_RDWR | O_NOATIME)), directory = OK(open("w/d", O_RDONLY));
  struct stat status;
  TIMES("w/f", pread(file, buffer, 4, 0)), TIMES("w/f", pread(file, buffer, 4, 100)), TIMES("w/f", pread(quiet, buffer, 4, 0));
  TIMES("w/f", pwrite(file, "x", 1, 0)), TIMES("w/f", pwrite(file, "x", 0, 0)), TIMES("w/f", ftruncate(file, 8)), TIMES("w/f", ftruncate(file, 4)), TIMES("w/f", truncate("w/f", 4)), TIMES("w/f", truncate("w/f", 8)), TIMES("w/f", fallocate(file, 0, 0, 100)), TIMES("w/f", fallocate(file, 1, 0, 10)), TIMES("w/f", close(open("w/f", O_RDONLY))), TIMES("w/f", close(open("w/f", O_WRONLY | O_TRUNC))), TIMES("w/f", close(open("w/f", O_WRONLY | O_TRUNC))), TIMES("w/f", stat("w/f", &status));
  TIMES("w/f", chmod("w/f", 0644)), TIMES("w/f", chown("w/f", 0, 0)), TIMES("w/f", chown("w/f", -1, -1)), TIMES("w/f", utimensat(AT_FDCWD, "w/f", (struct timespec[]){{5, 5}, {6, 6}}, 0)), TIMES("w/f", utimensat(AT_FDCWD, "w/f", (struct timespec[]){{5, UTIME_OMIT}, {6, 6}}, 0)), TIMES("w/f", utimensat(AT_FDCWD, "w/f", (struct timespec[]){{5, UTIME_OMIT}, {6, UTIME_OMIT}}, 0)), TIMES("w/f", setxattr("w/f", "user.a", "1", 1, 0)), TIMES("w/f", getxattr("w/f", "user.a", buffer, 1)), TIMES("w/f", removexattr("w/f", "user.a")), TIMES("w/f", removexattr("w/f", "user.a"));
  TIMES("w/f", link("w/f", "w/g")), TIMES("w/f", rename("w/g", "w/h")), TIMES("w/f", rename("w/h", "w/f")), TIMES("w/f", unlink("w/h")), TIMES("w/l", stat("w/l", &status)), TIMES("w/l", lstat("w/l", &status)), TIMES("w/l", readlink("w/l", buffer, 10)), TIMES("w/f", symlink("x", "w/s")), TIMES("w/f", unlink("w/s")), TIMES("w/f", mkdir("w/e", 0755)), TIMES("w/f", rmdir("w/e")), TIMES("w/f", mknod("w/n", S_IFREG, 0)), TIMES("w/f", unlink("w/n")), TIMES("w/f", close(open("w/n", O_WRONLY | O_CREAT, 0644))), TIMES("w/n", rename("w/n", "w/o")), TIMES("w/f", rename("w/o", "w/f")), TIMES("w/f", access("w/f", R_OK)), TIMES("w/f", close(open("w", O_TMPFILE | O_RDWR, 0600)));
  TIMES("w/d", getdents64(directory, buffer, 64)), TIMES("w/d", close(open("w/d", O_RDONLY))), TIMES("w/d", mkdir("w/d/x", 0755)), TIMES("w/d", rmdir("w/d/x")), TIMES("w/d", rename("w/d", "w/e")), TIMES("w/e", rename("w/e", "w/d")), TIMES("w/f", copy_file_range(file, NULL, quiet, (off_t[]){8}, 2, 0));
  OK(close(file)), OK(close(quiet)), OK(close(directory));
  file = OK(open("w/f", O_RDWR)), OK(ftruncate(file, PAGE));
  char *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  CHECK(memory != MAP_FAILED);
  TIMES("w/f", memory[0] == 0);
  OK(munmap(memory, PAGE)), OK(close(file)), OK(unlink("w/f")), OK(unlink("w/l")), OK(rmdir("w/d")), OK(rmdir("w"));
}

static void test_all(void) {
  make();
  test_open();
  test_openat2();
  test_names();
  test_rename();
  test_attributes();
  test_space();
  test_places();
  test_xattr();
  test_times();
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  enter_scratch();
  test_all();
  OK(mkdir("memory", 0755));
  fflush(NULL);
  pid_t pid;
  IN_CHILD(pid) {
    OK(unshare(CLONE_NEWNS)), OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
    OK(mount("test", "memory", "tmpfs", 0, NULL)), OK(chdir("memory"));
    printf("tmpfs\n");
    test_all();
    fflush(NULL);
  }
  WAIT_OK(pid);
  return 0;
}
