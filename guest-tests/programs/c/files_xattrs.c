// Extended attributes (xattr(7)) by name: whose they are, what kind of file has them, sizes, and the calls that take a directory.
#include "check.h"
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/xattr.h>

#define SETXATTRAT 463
#define GETXATTRAT 464
#define LISTXATTRAT 465
#define REMOVEXATTRAT 466

struct attribute { uint64_t value; uint32_t size, flags; };

static char value[70000];

static void as_nobody(void) {
  OK(setgid(65534));
  OK(setuid(65534));
}

static void names_are_checked_before_paths(void) {
  CHECK_ERRNO(setxattr("/nonexistent", wild, "x", 1, 0), EFAULT);
  CHECK_ERRNO(setxattr("/nonexistent", "", "x", 1, 0), ERANGE);
  CHECK_ERRNO(setxattr("/nonexistent", "user.x", value, 65537, 0), E2BIG);
  CHECK_ERRNO(setxattr("/nonexistent", "user.x", wild, 1, 0), EFAULT);
  CHECK_ERRNO(setxattr("/nonexistent", "user.x", wild, 1, 9), EINVAL);
  CHECK_ERRNO(setxattr("/nonexistent", "user.x", "x", 1, 0), ENOENT);
  CHECK_ERRNO(getxattr("/nonexistent", wild, value, 1), EFAULT);
  CHECK_ERRNO(removexattr("/nonexistent", ""), ERANGE);
  CHECK_ERRNO(removexattr("/nonexistent", "user.x"), ENOENT);
  CHECK_ERRNO(fgetxattr(99, "user.x", value, 1), EBADF);
}

static void lengths(const char *file) {
  char name[300];
  memset(name, 'n', sizeof name);
  memcpy(name, "user.", 5);
  name[255] = 0;
  OK(setxattr(file, name, "v", 1, 0));
  CHECK_EQ(getxattr(file, name, value, sizeof value), 1);
  CHECK_EQ(listxattr(file, NULL, 0), 256);
  CHECK_ERRNO(listxattr(file, value, 255), ERANGE);
  OK(removexattr(file, name));
  name[255] = 'n';
  name[256] = 0;
  CHECK_ERRNO(setxattr(file, name, "v", 1, 0), ERANGE);
  CHECK_ERRNO(getxattr(file, name, value, 1), ERANGE);
  OK(setxattr(file, "user.a", "12345", 5, XATTR_CREATE));
  CHECK_ERRNO(setxattr(file, "user.a", "12345", 5, XATTR_CREATE), EEXIST);
  CHECK_ERRNO(setxattr(file, "user.b", "12345", 5, XATTR_REPLACE), ENODATA);
  CHECK_EQ(getxattr(file, "user.a", NULL, 0), 5);
  CHECK_ERRNO(getxattr(file, "user.a", value, 4), ERANGE);
  OK(setxattr(file, "user.a", NULL, 0, XATTR_REPLACE));
  CHECK_EQ(getxattr(file, "user.a", value, 1), 0);
  OK(removexattr(file, "user.a"));
  CHECK_ERRNO(removexattr(file, "user.a"), ENODATA);
}

static void prefixes(const char *file) {
  CHECK_ERRNO(setxattr(file, "foo", "x", 1, 0), EOPNOTSUPP);
  CHECK_ERRNO(getxattr(file, "foo", value, 1), EOPNOTSUPP);
  CHECK_ERRNO(removexattr(file, "foo"), EOPNOTSUPP);
  CHECK_ERRNO(setxattr(file, "user.", "x", 1, 0), EINVAL);
  CHECK_ERRNO(getxattr(file, "trusted.", value, 1), EINVAL);
  CHECK_ERRNO(setxattr(file, "system.foo", "x", 1, 0), EOPNOTSUPP);
  CHECK_ERRNO(setxattr("/proc/version", "user.x", "x", 1, 0), EOPNOTSUPP);
  CHECK_ERRNO(setxattr("/dev/null", "user.", "x", 1, 0), EPERM);
  CHECK_EQ(listxattr("/proc/version", value, sizeof value), 0);
  CHECK_EQ(listxattr("/sys/kernel", value, sizeof value), 0);
  OK(chmod(file, 0600));
  pid_t child;
  IN_CHILD(child) {
    as_nobody();
    // Before the file system is asked for the name, the file is.
    CHECK_ERRNO(setxattr(file, "foo", "x", 1, 0), EACCES);
    CHECK_ERRNO(getxattr(file, "foo", value, 1), EACCES);
    CHECK_ERRNO(setxattr(file, "user.x", "x", 1, 0), EACCES);
    CHECK_ERRNO(setxattr(file, "trusted.x", "x", 1, 0), EPERM);
    CHECK_ERRNO(getxattr(file, "trusted.x", value, 1), ENODATA);
    CHECK_ERRNO(setxattr(file, "security.x", "x", 1, 0), EPERM);
    CHECK_ERRNO(getxattr(file, "system.foo", value, 1), EOPNOTSUPP);
  }
  WAIT_OK(child);
  OK(setxattr(file, "trusted.x", "x", 1, 0));
  CHECK_EQ(listxattr(file, value, sizeof value), 10);
  OK(chmod(file, 0644));
  IN_CHILD(child) {
    as_nobody();
    CHECK_EQ(listxattr(file, value, sizeof value), 0);
  }
  WAIT_OK(child);
  OK(removexattr(file, "trusted.x"));
}

static void sticky_directories(const char *directory) {
  OK(chmod(directory, 01777));
  pid_t child;
  IN_CHILD(child) {
    as_nobody();
    CHECK_ERRNO(setxattr(directory, "user.x", "x", 1, 0), EPERM);
  }
  WAIT_OK(child);
  OK(chmod(directory, 0777));
  IN_CHILD(child) {
    as_nobody();
    OK(setxattr(directory, "user.x", "x", 1, 0));
    OK(removexattr(directory, "user.x"));
  }
  WAIT_OK(child);
}

static void special_files(void) {
  OK(mkfifo("fifo", 0666));
  OK(symlink("nowhere", "link"));
  int bound = OK(socket(AF_UNIX, SOCK_STREAM, 0));
  struct sockaddr_un address = {AF_UNIX, "socket"};
  OK(bind(bound, (void *)&address, sizeof address));
  static const char *const names[] = {"fifo", "link", "socket"};
  for (size_t i = 0; i < COUNT(names); i++) {
    CHECK_ERRNO(lsetxattr(names[i], "user.x", "x", 1, 0), EPERM);
    CHECK_ERRNO(lgetxattr(names[i], "user.x", value, 1), ENODATA);
    CHECK_ERRNO(lremovexattr(names[i], "user.x"), EPERM);
    OK(lsetxattr(names[i], "trusted.x", "x", 1, 0));
    CHECK_EQ(llistxattr(names[i], value, sizeof value), 10);
    OK(lremovexattr(names[i], "trusted.x"));
  }
}

static void nameless_files(void) {
  static const struct { int family, type; const char *protocol; } sockets[] = {
    {AF_INET, SOCK_STREAM, "TCP"}, {AF_INET, SOCK_DGRAM, "UDP"}, {AF_INET6, SOCK_STREAM, "TCPv6"},
    {AF_INET6, SOCK_DGRAM, "UDPv6"}, {AF_UNIX, SOCK_STREAM, "UNIX-STREAM"}, {AF_UNIX, SOCK_DGRAM, "UNIX"},
    {AF_UNIX, SOCK_SEQPACKET, "UNIX"}, {AF_NETLINK, SOCK_RAW, "NETLINK"},
  };
  for (size_t i = 0; i < COUNT(sockets); i++) {
    int fd = OK(socket(sockets[i].family, sockets[i].type, 0));
    CHECK_EQ(fgetxattr(fd, "system.sockprotoname", value, sizeof value), strlen(sockets[i].protocol) + 1);
    CHECK_CASE(strcmp(value, sockets[i].protocol) == 0, "%s", sockets[i].protocol);
    CHECK_ERRNO(fgetxattr(fd, "system.sockprotoname", value, 1), ERANGE);
    CHECK_ERRNO(fsetxattr(fd, "system.sockprotoname", "x", 1, 0), EOPNOTSUPP);
    CHECK_EQ(flistxattr(fd, value, sizeof value), 21);
    CHECK(strcmp(value, "system.sockprotoname") == 0);
    OK(close(fd));
  }
  int pair[2];
  OK(pipe(pair));
  int files[] = {pair[0], pair[1], OK(eventfd(0, 0)), OK(socket(AF_INET, SOCK_STREAM, 0))};
  for (size_t i = 0; i < COUNT(files); i++) {
    CHECK_ERRNO(fsetxattr(files[i], "user.x", "x", 1, 0), EPERM);
    CHECK_ERRNO(fgetxattr(files[i], "user.x", value, 1), ENODATA);
    CHECK_ERRNO(fsetxattr(files[i], "trusted.x", "x", 1, 0), EOPNOTSUPP);
    CHECK_ERRNO(fsetxattr(files[i], "security.x", "x", 1, 0), EOPNOTSUPP);
    CHECK_ERRNO(fgetxattr(files[i], "foo", value, 1), EOPNOTSUPP);
    if (i < 3) CHECK_EQ(flistxattr(files[i], value, sizeof value), 0);
  }
}

static void calls_with_directories(const char *directory) {
  int fd = OK(open(directory, O_RDONLY | O_DIRECTORY)), path = OK(open(directory, O_PATH));
  struct attribute set = {(uintptr_t) "abc", 3, 0}, get = {(uintptr_t)value, sizeof value, 0};
  OK(syscall(SETXATTRAT, fd, "file", 0, "user.at", &set, sizeof set));
  CHECK_EQ(syscall(GETXATTRAT, fd, "file", 0, "user.at", &get, sizeof get), 3);
  CHECK(memcmp(value, "abc", 3) == 0);
  CHECK_EQ(syscall(LISTXATTRAT, fd, "file", 0, value, sizeof value), 8);
  set.flags = XATTR_CREATE;
  CHECK_ERRNO(syscall(SETXATTRAT, fd, "file", 0, "user.at", &set, sizeof set), EEXIST);
  set.flags = 8;
  CHECK_ERRNO(syscall(SETXATTRAT, fd, "file", 0, "user.at", &set, sizeof set), EINVAL);
  set.flags = 0;
  get.flags = 1;
  CHECK_ERRNO(syscall(GETXATTRAT, fd, "file", 0, "user.at", &get, sizeof get), EINVAL);
  CHECK_ERRNO(syscall(SETXATTRAT, fd, "file", 0, "user.at", &set, sizeof set - 1), EINVAL);
  CHECK_ERRNO(syscall(SETXATTRAT, fd, "file", 0, "user.at", &set, 5000), E2BIG);
  CHECK_ERRNO(syscall(SETXATTRAT, fd, "file", AT_REMOVEDIR, "user.at", &set, sizeof set), EINVAL);
  OK(syscall(REMOVEXATTRAT, fd, "file", 0, "user.at"));
  // A descriptor alone, if it is more than a place.
  OK(syscall(SETXATTRAT, fd, "", AT_EMPTY_PATH, "user.at", &set, sizeof set));
  OK(syscall(REMOVEXATTRAT, fd, NULL, AT_EMPTY_PATH, "user.at"));
  CHECK_ERRNO(syscall(SETXATTRAT, fd, "", 0, "user.at", &set, sizeof set), ENOENT);
  CHECK_ERRNO(syscall(LISTXATTRAT, path, "", AT_EMPTY_PATH, value, sizeof value), EBADF);
  CHECK_EQ(syscall(LISTXATTRAT, path, ".", AT_EMPTY_PATH, value, sizeof value), 0);
  OK(syscall(SETXATTRAT, AT_FDCWD, "", AT_EMPTY_PATH, "user.at", &set, sizeof set));
  OK(removexattr(".", "user.at"));
  CHECK_ERRNO(syscall(SETXATTRAT, fd, "link", AT_SYMLINK_NOFOLLOW, "user.at", &set, sizeof set), EPERM);
}

static void in_directory(const char *pattern) {
  char directory[64];
  strcpy(directory, pattern);
  CHECK(mkdtemp(directory) != NULL);
  OK(chmod(directory, 0755));
  OK(chdir(directory));
  OK(close(OK(open("file", O_CREAT | O_RDWR, 0644))));
  lengths("file");
  prefixes("file");
  OK(mkdir("directory", 0755));
  sticky_directories("directory");
  special_files();
  calls_with_directories(directory);
  static const char *const names[] = {"file", "fifo", "link", "socket"};
  for (size_t i = 0; i < COUNT(names); i++) OK(unlink(names[i]));
  OK(rmdir("directory"));
  OK(chdir("/"));
  OK(rmdir(directory));
}

int main(void) {
  umask(0);
  names_are_checked_before_paths();
  nameless_files();
  in_directory("/tmp/xattrs-XXXXXX");
  in_directory("/dev/shm/xattrs-XXXXXX");
  return 0;
}
