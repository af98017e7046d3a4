// Restrictions that a process puts on itself (`man 7 landlock`).
#include "check.h"
#include <arpa/inet.h>
#include <linux/fs.h>
#include <linux/landlock.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/un.h>

// The kernel's own structure: headers may be older.
struct ruleset_attributes {
  uint64_t files, ports, scopes;
};

#define ALL_FILES 0xffffull
#define EXECUTE (1ull << 0)
#define WRITE_FILE (1ull << 1)
#define READ_FILE (1ull << 2)
#define READ_DIR (1ull << 3)
#define REMOVE_DIR (1ull << 4)
#define REMOVE_FILE (1ull << 5)
#define MAKE_CHAR (1ull << 6)
#define MAKE_DIR (1ull << 7)
#define MAKE_REG (1ull << 8)
#define MAKE_SOCK (1ull << 9)
#define MAKE_FIFO (1ull << 10)
#define MAKE_SYM (1ull << 12)
#define REFER (1ull << 13)
#define TRUNCATE (1ull << 14)
#define IOCTL_DEV (1ull << 15)
#define BIND_TCP 1ull
#define CONNECT_TCP 2ull
#define SCOPE_ABSTRACT 1ull
#define SCOPE_SIGNAL 2ull

static long create(uint64_t files, uint64_t ports, uint64_t scopes) {
  struct ruleset_attributes attributes = {files, ports, scopes};
  return syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0);
}

static long allow_fd(int ruleset, uint64_t access, int fd) {
  struct landlock_path_beneath_attr rule = {.allowed_access = access, .parent_fd = fd};
  return syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
}

static void allow(int ruleset, uint64_t access, const char *path) {
  int fd = open(path, O_PATH | O_CLOEXEC);
  OK(fd);
  OK(allow_fd(ruleset, access, fd));
  close(fd);
}

static long allow_port(int ruleset, uint64_t access, uint64_t port) {
  struct { uint64_t access, port; } rule = {access, port};
  return syscall(SYS_landlock_add_rule, ruleset, 2, &rule, 0);
}

static void restrict_to(int ruleset) {
  OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  OK(syscall(SYS_landlock_restrict_self, ruleset, 0));
  close(ruleset);
}

// Runs the block in a child, which ends well.
#define CHILD(...) \
  do { \
    pid_t child; \
    IN_CHILD(child) __VA_ARGS__ \
    WAIT_OK(child); \
  } while (0)

static void arguments(void) {
  CHECK(syscall(SYS_landlock_create_ruleset, NULL, 0, 1) >= 6);
  CHECK_ERRNO(syscall(SYS_landlock_create_ruleset, NULL, 8, 1), EINVAL);
  CHECK_ERRNO(syscall(SYS_landlock_create_ruleset, "", 0, 1), EINVAL);
  CHECK_ERRNO(syscall(SYS_landlock_create_ruleset, NULL, 0, 1 << 30), EINVAL);
  CHECK_ERRNO(syscall(SYS_landlock_create_ruleset, NULL, 0, 0), EFAULT);
  CHECK_ERRNO(syscall(SYS_landlock_create_ruleset, wild, 8, 0), EFAULT);
  struct ruleset_attributes attributes[200] = {{ALL_FILES, 0, 0}};
  CHECK_ERRNO(syscall(SYS_landlock_create_ruleset, attributes, 7, 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_landlock_create_ruleset, attributes, PAGE + 1, 0), E2BIG);
  attributes[1].files = 1;
  CHECK_ERRNO(syscall(SYS_landlock_create_ruleset, attributes, sizeof attributes, 0), E2BIG);
  CHECK_ERRNO(create(0, 0, 0), ENOMSG);
  CHECK_ERRNO(create(1ull << 40, 0, 0), EINVAL);
  CHECK_ERRNO(create(0, 1ull << 40, 0), EINVAL);
  CHECK_ERRNO(create(0, 0, 1ull << 40), EINVAL);

  int ruleset = create(READ_FILE | READ_DIR, BIND_TCP, 0), directory = open(".", O_PATH), file = open("f", O_CREAT | O_RDWR, 0600);
  OK(ruleset), OK(directory), OK(file);
  CHECK_EQ(fcntl(ruleset, F_GETFD), FD_CLOEXEC);
  CHECK_ERRNO(allow_fd(-1, READ_FILE, directory), EBADF);
  CHECK_ERRNO(allow_fd(file, READ_FILE, directory), EBADFD);
  CHECK_ERRNO(allow_fd(directory, READ_FILE, directory), EBADF);
  CHECK_ERRNO(allow_fd(ruleset, 0, directory), ENOMSG);
  CHECK_ERRNO(allow_fd(ruleset, WRITE_FILE, directory), EINVAL);
  CHECK_ERRNO(allow_fd(ruleset, READ_DIR, file), EINVAL);
  CHECK_ERRNO(allow_fd(ruleset, READ_FILE, -1), EBADF);
  CHECK_ERRNO(allow_fd(ruleset, READ_FILE, ruleset), EBADFD);
  int ends[2];
  OK(pipe(ends));
  CHECK_ERRNO(allow_fd(ruleset, READ_FILE, ends[0]), EBADFD);
  close(ends[0]), close(ends[1]);
  OK(allow_fd(ruleset, READ_FILE, file));
  struct landlock_path_beneath_attr rule = {.allowed_access = READ_FILE, .parent_fd = directory};
  CHECK_ERRNO(syscall(SYS_landlock_add_rule, ruleset, 1, &rule, 1), EINVAL);
  CHECK_ERRNO(syscall(SYS_landlock_add_rule, ruleset, 0, &rule, 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_landlock_add_rule, ruleset, 3, &rule, 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_landlock_add_rule, ruleset, 1, wild, 0), EFAULT);
  CHECK_ERRNO(allow_port(ruleset, 0, 80), ENOMSG);
  CHECK_ERRNO(allow_port(ruleset, CONNECT_TCP, 80), EINVAL);
  CHECK_ERRNO(allow_port(ruleset, BIND_TCP, 65536), EINVAL);
  OK(allow_port(ruleset, BIND_TCP, 80));
  char byte;
  CHECK_ERRNO(read(ruleset, &byte, 1), EINVAL);
  CHECK_ERRNO(write(ruleset, "", 1), EINVAL);

  CHECK_ERRNO(syscall(SYS_landlock_restrict_self, ruleset, 1u << 30), EINVAL);
  CHECK_ERRNO(syscall(SYS_landlock_restrict_self, -1, 0), EBADF);
  CHECK_ERRNO(syscall(SYS_landlock_restrict_self, file, 0), EBADFD);
  CHILD({
    OK(setresuid(1000, 1000, 1000));
    CHECK_ERRNO(syscall(SYS_landlock_restrict_self, ruleset, 0), EPERM);
    CHECK_ERRNO(syscall(SYS_landlock_restrict_self, -1, 1u << 30), EPERM);
    OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    OK(syscall(SYS_landlock_restrict_self, ruleset, 0));
  });
  // Sixteen layers, and not one more.
  CHILD({
    for (int layer = 0; layer < 16; layer++) OK(syscall(SYS_landlock_restrict_self, ruleset, 0));
    CHECK_ERRNO(syscall(SYS_landlock_restrict_self, ruleset, 0), E2BIG);
  });
  close(ruleset), close(directory), close(file);
  OK(unlink("f"));
}

static void make(const char *path) {
  int fd = open(path, O_CREAT | O_RDWR, 0700);
  OK(fd);
  close(fd);
}

static void opens(void) {
  OK(mkdir("open", 0755)), OK(mkdir("open/in", 0755)), OK(mkdir("shut", 0755));
  make("open/f"), make("open/in/f"), make("shut/f");
  OK(link("shut/f", "open/other"));
  int early = open("shut/f", O_RDWR);
  OK(early);
  CHILD({
    int ruleset = create(ALL_FILES & ~EXECUTE, 0, 0);
    allow(ruleset, READ_FILE | READ_DIR, "open");
    allow(ruleset, WRITE_FILE, "open/in");
    restrict_to(ruleset);
    // What is below a directory is allowed, by whatever name it is reached.
    int fd = open("open/f", O_RDONLY);
    OK(fd), close(fd);
    OK(fd = open("open", O_RDONLY | O_DIRECTORY)), close(fd);
    OK(fd = open("open/other", O_RDONLY)), close(fd);
    OK(fd = open("open/in/f", O_RDWR)), close(fd);
    CHECK_ERRNO(open("shut/f", O_RDONLY), EACCES);
    CHECK_ERRNO(open("shut", O_RDONLY | O_DIRECTORY), EACCES);
    CHECK_ERRNO(open(".", O_RDONLY | O_DIRECTORY), EACCES);
    CHECK_ERRNO(open("open/f", O_RDWR), EACCES);
    CHECK_ERRNO(open("open/f", O_WRONLY), EACCES);
    // A path alone is free, and so are what was open before and what has no name.
    OK(fd = open("shut/f", O_PATH)), close(fd);
    struct stat status;
    OK(stat("shut/f", &status));
    OK(ftruncate(early, 3));
    int ends[2];
    OK(pipe(ends));
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", ends[0]);
    CHECK_ERRNO(open("/proc/self/status", O_RDONLY), EACCES);
    OK(fd = memfd_create("m", 0));
    OK(write(fd, "x", 1));
    // To cut is a right of its own.
    CHECK_ERRNO(truncate("open/in/f", 0), EACCES);
    CHECK_ERRNO(open("open/in/f", O_WRONLY | O_TRUNC), EACCES);
    OK(fd = open("open/in/f", O_WRONLY));
    CHECK_ERRNO(ftruncate(fd, 0), EACCES);
    OK(fallocate(fd, 0, 0, 10));
    OK(write(fd, "x", 1)), close(fd);
    CHECK_ERRNO(open("open/new", O_CREAT | O_WRONLY, 0600), EACCES);
    OK(fd = open("open/in", O_TMPFILE | O_WRONLY, 0600)), close(fd);
    CHECK_ERRNO(open("open", O_TMPFILE | O_WRONLY, 0600), EACCES);
    CHECK_ERRNO(mount("none", "open", "tmpfs", 0, NULL), EPERM);
    CHECK_ERRNO(umount("/proc"), EPERM);
  });
  close(early);
}

static void changes(void) {
  CHILD({
    int ruleset = create(ALL_FILES & ~(READ_FILE | WRITE_FILE | READ_DIR | EXECUTE), 0, 0);
    allow(ruleset, MAKE_DIR | REMOVE_FILE, "open");
    restrict_to(ruleset);
    OK(mkdir("open/d", 0700));
    CHECK_ERRNO(rmdir("open/d"), EACCES);
    CHECK_ERRNO(mkdir("shut/d", 0700), EACCES);
    CHECK_ERRNO(mkdir("open/d", 0700), EEXIST);
    CHECK_ERRNO(symlink("a", "open/l"), EACCES);
    CHECK_ERRNO(mkfifo("open/p", 0600), EACCES);
    CHECK_ERRNO(mknod("open/r", S_IFREG | 0600, 0), EACCES);
    CHECK_ERRNO(mknod("open/c", S_IFCHR | 0600, 0), EACCES);
    CHECK_ERRNO(unlink("shut/f"), EACCES);
    CHECK_ERRNO(unlink("shut/missing"), ENOENT);
    CHECK_ERRNO(link("open/f", "open/g"), EACCES);
    CHECK_ERRNO(rename("open/f", "open/g"), EACCES);
    OK(unlink("open/f"));
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "open/s"};
    CHECK_ERRNO(bind(fd, (void *)&address, sizeof address), EACCES);
  });
  OK(rmdir("open/d"));
  make("open/f");
}

// To move a file to another directory takes the right on both sides, and never adds rights.
static void references(void) {
  OK(mkdir("a", 0755)), OK(mkdir("b", 0755)), OK(mkdir("a/sub", 0755));
  make("a/f"), make("b/f");
  CHILD({ // Nobody handles it, and it is denied all the same.
    restrict_to(create(EXECUTE, 0, 0));
    OK(rename("a/f", "a/g"));
    OK(rename("a/g", "a/f"));
    CHECK_ERRNO(rename("a/f", "b/g"), EXDEV);
    CHECK_ERRNO(link("a/f", "b/g"), EXDEV);
    OK(link("a/f", "a/g"));
    OK(unlink("a/g"));
  });
  CHILD({
    int ruleset = create(REFER, 0, 0);
    allow(ruleset, REFER, "a");
    restrict_to(ruleset);
    CHECK_ERRNO(rename("a/f", "b/g"), EXDEV);
    OK(rename("a/f", "a/sub/f"));
    OK(rename("a/sub/f", "a/f"));
  });
  CHILD({
    int ruleset = create(REFER | EXECUTE, 0, 0);
    allow(ruleset, REFER, "a");
    allow(ruleset, REFER | EXECUTE, "b");
    restrict_to(ruleset);
    // One could execute it there.
    CHECK_ERRNO(rename("a/f", "b/g"), EXDEV);
    CHECK_ERRNO(link("a/f", "b/g"), EXDEV);
    CHECK_ERRNO(syscall(SYS_renameat2, AT_FDCWD, "a/f", AT_FDCWD, "b/f", RENAME_EXCHANGE), EXDEV);
    OK(rename("b/f", "a/g"));
    CHECK_ERRNO(rename("a/g", "b/f"), EXDEV);
  });
  OK(rename("a/g", "b/f"));
  CHILD({
    int ruleset = create(REFER | MAKE_REG | REMOVE_FILE, 0, 0);
    allow(ruleset, REFER | REMOVE_FILE, "a");
    allow(ruleset, REFER, "b");
    restrict_to(ruleset);
    CHECK_ERRNO(rename("a/f", "b/g"), EACCES);
    CHECK_ERRNO(rename("b/f", "a/g"), EACCES);
    CHECK_ERRNO(link("a/f", "b/g"), EACCES);
  });
  CHILD({
    int ruleset = create(REFER | MAKE_REG | REMOVE_FILE, 0, 0);
    allow(ruleset, REFER | REMOVE_FILE | MAKE_REG, ".");
    restrict_to(ruleset);
    OK(rename("a/f", "b/g"));
    OK(link("b/g", "a/f"));
    OK(unlink("b/g"));
    OK(syscall(SYS_renameat2, AT_FDCWD, "a/f", AT_FDCWD, "b/f", RENAME_EXCHANGE));
    // A layer that says nothing of files denies it, too.
    restrict_to(create(0, BIND_TCP, 0));
    CHECK_ERRNO(rename("a/f", "b/g"), EXDEV);
  });
}

static void executes(void) {
  CHILD({
    int ruleset = create(EXECUTE, 0, 0);
    allow(ruleset, EXECUTE, "a");
    restrict_to(ruleset);
    CHECK_ERRNO(execl("/bin/true", "true", NULL), EACCES);
    CHECK_ERRNO(execl("b/f", "f", NULL), EACCES);
    CHECK_ERRNO(execl("a/f", "f", NULL), ENOEXEC);
  });
  CHILD({ // Kept over fork and exec.
    int ruleset = create(EXECUTE | READ_FILE, 0, 0);
    allow(ruleset, EXECUTE | READ_FILE, "/");
    restrict_to(ruleset);
    ruleset = create(MAKE_DIR, 0, 0);
    restrict_to(ruleset);
    CHILD({ CHECK_ERRNO(mkdir("new", 0700), EACCES); });
    CHILD({
      execl("/bin/sh", "sh", "-c", "mkdir new 2>/dev/null && exit 1; exit 0", NULL);
      _exit(9);
    });
  });
}

static void devices(void) {
  CHILD({
    int before = open("/dev/null", O_RDWR);
    int ruleset = create(IOCTL_DEV, 0, 0);
    restrict_to(ruleset);
    int fd = open("/dev/null", O_RDWR), number = 0;
    OK(fd);
    CHECK_ERRNO(ioctl(fd, TCGETS, &number), EACCES);
    CHECK_ERRNO(ioctl(fd, FIONREAD, &number), EACCES);
    CHECK_ERRNO(ioctl(before, TCGETS, &number), ENOTTY);
    OK(ioctl(fd, FIOCLEX));
    OK(ioctl(fd, FIONCLEX));
    OK(ioctl(fd, FIONBIO, &number));
    CHECK(ioctl(fd, FIGETBSZ, &number) == 0 || errno != EACCES);
  });
}

// What nobody can name is not restricted, and cannot be named in a rule; queues lie below the root of their file system.
static void files_without_paths(void) {
  CHILD({
    int memory = memfd_create("a", 0), ruleset = create(ALL_FILES, 0, 0);
    OK(memory);
    CHECK_ERRNO(allow_fd(ruleset, READ_FILE, memory), EBADFD);
    int queue = syscall(SYS_mq_open, "landlock", O_RDWR | O_CREAT, 0600, NULL);
    OK(queue);
    char path[64];
    sprintf(path, "/proc/self/fd/%d", memory);
    restrict_to(ruleset);
    OK(open(path, O_RDWR));
    CHECK_ERRNO(syscall(SYS_mq_open, "landlock", O_RDONLY, 0, NULL), EACCES);
    CHECK_ERRNO(syscall(SYS_mq_open, "landlock-new", O_RDWR | O_CREAT, 0600, NULL), EACCES);
    OK(syscall(SYS_mq_unlink, "landlock"));
    OK(syscall(SYS_mq_unlink, "landlock-new"));
  });
}

// A restriction refuses before umount(2) looks at what else it was told.
static void unmounting(void) {
  OK(mkdir("mount", 0700));
  OK(mount("tmpfs", "mount", "tmpfs", 0, NULL));
  CHILD({
    restrict_to(create(MAKE_DIR, 0, 0));
    CHECK_ERRNO(umount2("mount", MNT_EXPIRE), EPERM);
    CHECK_ERRNO(umount2("mount", MNT_EXPIRE | MNT_DETACH), EPERM);
    CHECK_ERRNO(umount2("a", MNT_DETACH), EINVAL);
  });
  OK(umount("mount"));
  OK(rmdir("mount"));
}

static void ports(void) {
  CHILD({
    int ruleset = create(0, BIND_TCP | CONNECT_TCP, 0);
    OK(allow_port(ruleset, BIND_TCP, 18081));
    OK(allow_port(ruleset, CONNECT_TCP, 18082));
    restrict_to(ruleset);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(18083)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    OK(fd);
    CHECK_ERRNO(bind(fd, (void *)&address, 1), EINVAL);
    CHECK_ERRNO(bind(fd, (void *)&address, sizeof address - 1), EINVAL);
    CHECK_ERRNO(bind(fd, (void *)&address, sizeof address), EACCES);
    CHECK_ERRNO(connect(fd, (void *)&address, sizeof address), EACCES);
    address.sin_family = AF_INET6;
    CHECK_ERRNO(bind(fd, (void *)&address, sizeof address), EINVAL);
    address.sin_family = AF_UNSPEC;
    CHECK_ERRNO(bind(fd, (void *)&address, sizeof address), EAFNOSUPPORT);
    OK(connect(fd, (void *)&address, sizeof address));
    address.sin_addr.s_addr = htonl(INADDR_ANY);
    CHECK_ERRNO(bind(fd, (void *)&address, sizeof address), EACCES);
    address.sin_family = AF_INET;
    address.sin_port = htons(18082);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_ERRNO(connect(fd, (void *)&address, sizeof address), ECONNREFUSED);
    address.sin_port = htons(18081);
    CHECK_ERRNO(connect(fd, (void *)&address, sizeof address), EACCES);
    OK(bind(fd, (void *)&address, sizeof address));
    // Others than TCP are free.
    int other = socket(AF_INET, SOCK_DGRAM, 0);
    address.sin_port = htons(18084);
    OK(bind(other, (void *)&address, sizeof address));
    OK(connect(other, (void *)&address, sizeof address));
  });
}

static void pause_for(int fd) {
  char byte;
  if (read(fd, &byte, 1) < 0) _exit(1);
}

// Whether a process may trace, signal and connect depends on whose restrictions are within whose.
static void scopes(void) {
  int up[2], down[2];
  OK(pipe(up)), OK(pipe(down));
  int listener = socket(AF_UNIX, SOCK_STREAM, 0), receiver = socket(AF_UNIX, SOCK_DGRAM, 0);
  struct sockaddr_un name = {.sun_family = AF_UNIX}, other = {.sun_family = AF_UNIX};
  sprintf(name.sun_path + 1, "landlock-%d", getpid());
  sprintf(other.sun_path + 1, "landlock+%d", getpid());
  OK(bind(listener, (void *)&name, sizeof name));
  OK(listen(listener, 4));
  OK(bind(receiver, (void *)&other, sizeof other));
  int connected = socket(AF_UNIX, SOCK_DGRAM, 0);
  OK(connect(connected, (void *)&other, sizeof other));
  pid_t parent = getpid(), child = fork();
  if (child == 0) {
    restrict_to(create(0, 0, SCOPE_ABSTRACT | SCOPE_SIGNAL));
    CHECK_ERRNO(kill(parent, 0), EPERM);
    OK(kill(getpid(), 0));
    CHECK_ERRNO(ptrace(PTRACE_ATTACH, parent, 0, 0), EPERM);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0), datagram = socket(AF_UNIX, SOCK_DGRAM, 0);
    CHECK_ERRNO(connect(fd, (void *)&name, sizeof name), EPERM);
    CHECK_ERRNO(connect(datagram, (void *)&other, sizeof other), EPERM);
    CHECK_ERRNO(sendto(datagram, "a", 1, 0, (void *)&other, sizeof other), EPERM);
    CHECK_EQ(sendto(connected, "a", 1, 0, (void *)&other, sizeof other), 1);
    pid_t grandchild = fork();
    if (grandchild == 0) {
      OK(kill(getppid(), 0));
      CHECK_ERRNO(kill(parent, 0), EPERM);
      pause_for(down[0]);
      _exit(0);
    }
    OK(kill(grandchild, 0));
    OK(write(up[1], "x", 1));
    int status;
    OK(waitpid(grandchild, &status, 0));
    CHECK_EQ(status, 0);
    _exit(0);
  }
  pause_for(up[0]);
  OK(kill(child, 0));
  OK(write(down[1], "x", 1));
  int status;
  CHECK_EQ(waitpid(child, &status, 0), child);
  CHECK_EQ(status, 0);
}

static void traces(void) {
  int down[2];
  OK(pipe(down));
  pid_t victim = fork();
  if (victim == 0) {
    pause_for(down[0]);
    _exit(0);
  }
  CHILD({
    restrict_to(create(READ_DIR, 0, 0));
    CHECK_ERRNO(ptrace(PTRACE_ATTACH, victim, 0, 0), EPERM);
    char byte;
    struct iovec local = {&byte, 1}, remote = {&down, 1};
    CHECK_ERRNO(syscall(SYS_process_vm_readv, victim, &local, 1, &remote, 1, 0), EPERM);
    OK(kill(victim, 0));
    char path[64], target[64];
    snprintf(path, sizeof path, "/proc/%d/fd/%d", victim, down[0]);
    CHECK_ERRNO(readlink(path, target, sizeof target), EACCES);
    pid_t own = fork();
    if (own == 0) pause_for(down[0]);
    snprintf(path, sizeof path, "/proc/%d/fd/%d", own, down[0]);
    OK(readlink(path, target, sizeof target));
    OK(kill(own, SIGKILL));
    OK(waitpid(own, NULL, 0));
  });
  OK(write(down[1], "x", 1));
  OK(waitpid(victim, NULL, 0));
}

int main(void) {
  enter_scratch();
  umask(0);
  arguments();
  opens();
  changes();
  references();
  executes();
  devices();
  files_without_paths();
  unmounting();
  ports();
  scopes();
  traces();
  return 0;
}
