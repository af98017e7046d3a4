// Who keeps a mount as it is: writers keep it writable, users and mounts below keep it mounted; and what a read-only one refuses.
// static
#include "mounts.h"
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <sys/xattr.h>

#ifndef MOUNT_ATTR_RDONLY
#define MOUNT_ATTR_RDONLY 1
#endif

struct attributes { uint64_t set, clear, propagation, userns; };

static int remount(const char *place, unsigned long flags) { return mount(NULL, place, NULL, MS_REMOUNT | flags, NULL); }
static int set_read_only(const char *place, unsigned flags) {
  struct attributes attributes = {.set = MOUNT_ATTR_RDONLY};
  return syscall(SYS_mount_setattr, AT_FDCWD, place, flags, &attributes, sizeof attributes);
}
static int is_read_only(const char *place) {
  struct statvfs status;
  OK(statvfs(place, &status));
  return (status.f_flag & ST_RDONLY) != 0;
}

// Somebody who may write keeps his mount, and the file system, from becoming read-only.
static void test_writers(void) {
  OK(mkdir("a", 0755)), OK(mkdir("b", 0755));
  OK(mount("test", "a", "tmpfs", 0, NULL));
  write_file("a/f", "text");
  OK(mount("a", "b", NULL, MS_BIND, NULL));
  int file = OK(open("a/f", O_RDWR));
  CHECK_ERRNO(remount("a", MS_RDONLY), EBUSY);
  CHECK_ERRNO(remount("b", MS_RDONLY), EBUSY);
  CHECK_ERRNO(remount("a", MS_BIND | MS_RDONLY), EBUSY);
  CHECK_ERRNO(set_read_only("a", 0), EBUSY);
  CHECK(!is_read_only("a") && !is_read_only("b"));
  CHECK_EQ(write(file, "x", 1), 1);
  // The other mount of the file system has no writer.
  OK(remount("b", MS_BIND | MS_RDONLY));
  CHECK(is_read_only("b") && !is_read_only("a"));
  CHECK_ERRNO(open("b/f", O_WRONLY), EROFS);
  OK(remount("b", MS_BIND));
  OK(close(OK(open("b/f", O_WRONLY))));
  OK(set_read_only("b", 0)), OK(remount("b", MS_BIND));
  // A shared mapping writes; a private one does not.
  char *memory = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, file, 0);
  char *copy = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
  CHECK(memory != MAP_FAILED && copy != MAP_FAILED);
  OK(close(file));
  CHECK_ERRNO(remount("a", MS_RDONLY), EBUSY);
  OK(munmap(memory, PAGE));
  CHECK_ERRNO(remount("a", MS_BIND | MS_RDONLY), EBUSY);
  OK(munmap(copy, PAGE));
  // Readers, O_PATH, directories and devices do not count.
  int reader = OK(open("a/f", O_RDONLY)), handle = OK(open("a/f", O_PATH)), directory = OK(open("a", O_RDONLY));
  OK(mkfifo("a/fifo", 0644));
  int fifo = OK(open("a/fifo", O_RDWR));
  OK(remount("a", MS_RDONLY));
  CHECK(is_read_only("a") && is_read_only("b"));
  CHECK_EQ(write(fifo, "x", 1), 1);
  OK(close(OK(open("a/fifo", O_RDWR | O_NONBLOCK))));
  CHECK_ERRNO(open("a/f", O_RDWR), EROFS);
  OK(remount("a", 0));
  OK(close(reader)), OK(close(handle)), OK(close(directory)), OK(close(fifo));
  // What was created, and what has no name, is written to as well.
  file = OK(open("a/new", O_WRONLY | O_CREAT, 0644));
  CHECK_ERRNO(remount("a", MS_RDONLY), EBUSY);
  OK(close(file));
  file = OK(open("a", O_TMPFILE | O_WRONLY, 0644));
  CHECK_ERRNO(remount("a", MS_BIND | MS_RDONLY), EBUSY);
  OK(close(file));
  // A whole tree becomes read-only, or nothing of it.
  OK(mkdir("a/below", 0755)), OK(mount("test", "a/below", "tmpfs", 0, NULL));
  file = OK(open("a/below/f", O_WRONLY | O_CREAT, 0644));
  CHECK_ERRNO(set_read_only("a", AT_RECURSIVE), EBUSY);
  CHECK(!is_read_only("a") && !is_read_only("a/below"));
  OK(close(file));
  OK(set_read_only("a", AT_RECURSIVE));
  CHECK(is_read_only("a") && is_read_only("a/below"));
  OK(umount("a/below")), OK(umount("a")), OK(umount("b")), OK(rmdir("a")), OK(rmdir("b"));
}

static int bind_in(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strcpy(address.sun_path, path);
  int sock = OK(socket(AF_UNIX, SOCK_STREAM, 0)), result = bind(sock, (struct sockaddr *)&address, sizeof address), error = errno;
  OK(close(sock));
  errno = error;
  return result;
}

// Every call that changes something says EROFS, and does so at its place among the errors.
static void test_refusals(const char *place, unsigned long flags) {
  OK(mkdir("r", 0755)), OK(mount("test", "r", "tmpfs", 0, NULL)), OK(chdir("r"));
  write_file("f", "text"), OK(mkdir("d", 0755)), OK(symlink("f", "s")), OK(mkfifo("p", 0644)), OK(setxattr("f", "user.a", "v", 1, 0));
  OK(mknod("null", S_IFCHR | 0666, 0x103));
  int reader = OK(open("f", O_RDONLY)), directory = OK(open(".", O_RDONLY));
  OK(chdir("..")), OK(remount(place, flags | MS_RDONLY)), OK(chdir("r"));
  CHECK_ERRNO(open("f", O_WRONLY), EROFS);
  CHECK_ERRNO(open("f", O_RDWR), EROFS);
  CHECK_ERRNO(open("f", O_RDONLY | O_TRUNC), EROFS);
  CHECK_ERRNO(open("new", O_RDONLY | O_CREAT, 0644), EROFS);
  CHECK_ERRNO(open("new", O_RDONLY | O_CREAT | O_EXCL, 0644), EROFS);
  CHECK_ERRNO(open("f", O_RDONLY | O_CREAT | O_EXCL, 0644), EEXIST);
  OK(close(OK(open("f", O_RDONLY | O_CREAT, 0644))));
  CHECK_ERRNO(open(".", O_TMPFILE | O_RDWR, 0644), EROFS);
  CHECK_ERRNO(open("d", O_RDWR), EISDIR);
  CHECK_ERRNO(creat("f", 0644), EROFS);
  CHECK_ERRNO(mkdir("new", 0755), EROFS);
  CHECK_ERRNO(mkdir("d", 0755), EEXIST);
  CHECK_ERRNO(mkdir("absent/new", 0755), ENOENT);
  CHECK_ERRNO(rmdir("d"), EROFS);
  CHECK_ERRNO(rmdir("absent"), EROFS);
  CHECK_ERRNO(rmdir("d/."), EINVAL);
  CHECK_ERRNO(unlink("f"), EROFS);
  CHECK_ERRNO(unlink("absent"), EROFS);
  CHECK_ERRNO(unlink("."), EISDIR);
  CHECK_ERRNO(rename("f", "g"), EROFS);
  CHECK_ERRNO(rename("absent", "g"), EROFS);
  CHECK_ERRNO(rename(".", "g"), EBUSY);
  CHECK_ERRNO(rename("f", "../g"), EXDEV);
  CHECK_ERRNO(link("f", "g"), EROFS);
  CHECK_ERRNO(link("f", "s"), EEXIST);
  CHECK_ERRNO(link("../r", "g"), EROFS);
  CHECK_ERRNO(link("absent", "g"), ENOENT);
  CHECK_ERRNO(symlink("f", "g"), EROFS);
  CHECK_ERRNO(symlink("f", "s"), EEXIST);
  CHECK_ERRNO(mknod("g", S_IFREG, 0), EROFS);
  CHECK_ERRNO(mkfifo("p", 0644), EEXIST);
  CHECK_ERRNO(bind_in("u"), EROFS);
  CHECK_ERRNO(bind_in("f"), EADDRINUSE);
  CHECK_ERRNO(chmod("f", 0644), EROFS);
  CHECK_ERRNO(fchmod(reader, 0644), EROFS);
  CHECK_ERRNO(chmod("absent", 0644), ENOENT);
  CHECK_ERRNO(chown("f", 0, 0), EROFS);
  CHECK_ERRNO(lchown("s", 0, 0), EROFS);
  CHECK_ERRNO(fchown(reader, -1, -1), EROFS);
  CHECK_ERRNO(truncate("f", 0), EROFS);
  CHECK_ERRNO(truncate("d", 0), EISDIR);
  CHECK_ERRNO(truncate("p", 0), EINVAL);
  CHECK_ERRNO(utimensat(AT_FDCWD, "f", NULL, 0), EROFS);
  CHECK_ERRNO(futimens(reader, NULL), EROFS);
  CHECK_ERRNO(setxattr("f", "user.b", "v", 1, 0), EROFS);
  CHECK_ERRNO(fsetxattr(reader, "user.b", "v", 1, 0), EROFS);
  CHECK_ERRNO(removexattr("f", "user.a"), EROFS);
  CHECK_ERRNO(access("f", W_OK), EROFS);
  CHECK_ERRNO(access("d", W_OK), EROFS);
  OK(access("p", W_OK)), OK(access("null", W_OK)), OK(access("f", R_OK));
  OK(close(OK(open("p", O_RDWR)))), OK(close(OK(open("null", O_RDWR))));
  OK(close(reader)), OK(close(directory));
  OK(chdir("..")), OK(umount("r")), OK(rmdir("r"));
}

// A bind of a shared mount below itself is unmounted like any other.
static void test_below_itself(void) {
  OK(mkdir("s", 0755)), OK(mount("test", "s", "tmpfs", 0, NULL)), OK(mount(NULL, "s", NULL, MS_SHARED, NULL));
  OK(mkdir("s/x", 0755)), OK(mkdir("s/y", 0755));
  OK(mount("s", "s/x", NULL, MS_BIND, NULL));
  CHECK_ERRNO(umount("s"), EBUSY);
  OK(umount("s/x"));
  CHECK_ERRNO(umount("s/x"), EINVAL);
  // What is mounted on one of the two is on the other, and keeps both.
  OK(mount("s", "s/x", NULL, MS_BIND, NULL)), OK(mount("test", "s/y", "tmpfs", 0, NULL));
  CHECK_ERRNO(umount("s/x"), EBUSY);
  write_file("s/y/f", "x");
  OK(access("s/x/y/f", F_OK));
  int file = OK(open("s/x/y/f", O_RDONLY));
  CHECK_ERRNO(umount("s/y"), EBUSY);
  CHECK_ERRNO(umount("s/x/y"), EBUSY);
  OK(close(file));
  OK(umount("s/x/y"));
  CHECK_ERRNO(access("s/y/f", F_OK), ENOENT);
  OK(umount("s/x"));
  for (int i = 0; i < 3; i++) OK(mount("s", "s/x", NULL, MS_BIND, NULL));
  // Of those that lie on each other, one covers the whole, too.
  int count = 0;
  while (umount2("s", MNT_DETACH) == 0) count++;
  CHECK_EQ(count, 2);
  OK(rmdir("s"));
}

static void test_expiry(void) {
  OK(mkdir("e", 0755)), OK(mount("test", "e", "tmpfs", 0, NULL));
  write_file("e/f", "");
  CHECK_ERRNO(umount2("e", MNT_EXPIRE | MNT_DETACH), EINVAL);
  CHECK_ERRNO(umount2("e", MNT_EXPIRE | MNT_FORCE), EINVAL);
  int file = OK(open("e/f", O_RDONLY));
  CHECK_ERRNO(umount2("e", MNT_EXPIRE), EBUSY);
  OK(close(file));
  CHECK_ERRNO(umount2("e", MNT_EXPIRE), EAGAIN);
  OK(access("e/f", F_OK));
  CHECK_ERRNO(umount2("e", MNT_EXPIRE), EAGAIN);
  OK(umount2("e", MNT_EXPIRE));
  CHECK_ERRNO(umount2("e", MNT_EXPIRE), EINVAL);
  CHECK_ERRNO(umount2("e", 0x10), EINVAL);
  OK(mount("test", "e", "tmpfs", 0, NULL)), OK(symlink("e", "link"));
  CHECK_ERRNO(umount2("link", UMOUNT_NOFOLLOW), EINVAL);
  OK(umount2("link", 0)), OK(unlink("link"));
  CHECK_ERRNO(umount2("absent", 0), ENOENT);
  CHECK_ERRNO(umount2("e", MNT_DETACH), EINVAL);
  CHECK_ERRNO(umount2(wild, 0), EFAULT);
  OK(rmdir("e"));
}

static void test_arguments(void) {
  static char long_name[PATH_MAX + 10], page[PAGE + 10];
  memset(long_name, 'a', sizeof long_name - 1), memset(page, 'a', sizeof page - 1);
  OK(mkdir("m", 0755)), write_file("f", "");
  CHECK_ERRNO(mount("test", "m", "no such type", 0, NULL), ENODEV);
  CHECK_ERRNO(mount("test", "m", NULL, 0, NULL), EINVAL);
  CHECK_ERRNO(mount("test", "m", wild, 0, NULL), EFAULT);
  CHECK_ERRNO(mount(wild, "m", "tmpfs", 0, NULL), EFAULT);
  CHECK_ERRNO(mount("test", wild, "tmpfs", 0, NULL), EFAULT);
  CHECK_ERRNO(mount("test", "m", "tmpfs", 0, wild), EFAULT);
  CHECK_ERRNO(mount("m", "m", NULL, MS_BIND, wild), EFAULT);
  CHECK_ERRNO(mount("test", "m", page, 0, NULL), EINVAL);
  CHECK_ERRNO(mount(page, "m", "tmpfs", 0, NULL), EINVAL);
  CHECK_ERRNO(mount("test", long_name, "tmpfs", 0, NULL), ENAMETOOLONG);
  CHECK_ERRNO(mount("test", "absent", "tmpfs", 0, NULL), ENOENT);
  CHECK_ERRNO(mount("test", "", "tmpfs", 0, NULL), ENOENT);
  CHECK_ERRNO(mount("test", "f", "tmpfs", 0, NULL), ENOTDIR);
  CHECK_ERRNO(mount("test", "f/x", "tmpfs", 0, NULL), ENOTDIR);
  CHECK_ERRNO(mount("test", "m", "tmpfs", 0, "no=such"), EINVAL);
  CHECK_ERRNO(mount("m", "f", NULL, MS_BIND, NULL), ENOTDIR);
  CHECK_ERRNO(mount("f", "m", NULL, MS_BIND, NULL), ENOTDIR);
  CHECK_ERRNO(mount("absent", "m", NULL, MS_BIND, NULL), ENOENT);
  CHECK_ERRNO(mount(NULL, "m", NULL, MS_BIND, NULL), EINVAL);
  CHECK_ERRNO(mount(NULL, "m", NULL, MS_MOVE, NULL), EINVAL);
  CHECK_ERRNO(mount("m", "m", NULL, MS_MOVE, NULL), EINVAL);
  CHECK_ERRNO(mount(NULL, "m", NULL, MS_REMOUNT, NULL), EINVAL);
  CHECK_ERRNO(mount(NULL, "m", NULL, MS_SHARED, NULL), EINVAL);
  CHECK_ERRNO(mount(NULL, ".", NULL, MS_SHARED | MS_PRIVATE, NULL), EINVAL);
  CHECK_ERRNO(remount("m", MS_BIND | MS_RDONLY), EINVAL);
  OK(mount("test", "m", "tmpfs", 0, NULL)), OK(mkdir("m/in", 0755));
  CHECK_ERRNO(mount("m", "m/in", NULL, MS_MOVE, NULL), ELOOP);
  CHECK_ERRNO(unlink("m"), EISDIR);
  CHECK_ERRNO(rmdir("m"), EBUSY);
  CHECK_ERRNO(rename("m", "n"), EBUSY);
  CHECK_ERRNO(rename("f", "m"), EISDIR);
  OK(mkdir("other", 0755));
  CHECK_ERRNO(rename("other", "m"), EBUSY);
  CHECK_ERRNO(renameat2(AT_FDCWD, "f", AT_FDCWD, "m", RENAME_EXCHANGE), EBUSY);
  OK(rmdir("other"));
  pid_t pid;
  IN_CHILD(pid) {
    OK(setuid(1000));
    CHECK_ERRNO(mount("test", "m", "no such type", 0, NULL), EPERM);
    CHECK_ERRNO(mount("test", "absent", "tmpfs", 0, NULL), ENOENT);
    CHECK_ERRNO(mount("test", "m", wild, 0, NULL), EFAULT);
    CHECK_ERRNO(umount("m"), EPERM);
    CHECK_ERRNO(umount("absent"), ENOENT);
    CHECK_ERRNO(umount2("absent", 0x40), EINVAL);
  }
  WAIT_OK(pid);
  OK(umount("m")), OK(rmdir("m")), OK(unlink("f"));
}

int main(void) {
  const char *base = enter_own_mounts();
  test_writers();
  test_refusals("r", 0);
  test_refusals("r", MS_BIND);
  test_below_itself();
  test_expiry();
  test_arguments();
  (void)base;
  return 0;
}
