// The mount calls with descriptors: open_tree, move_mount, fsopen, fsconfig, fsmount, fspick, mount_setattr; polling
// of /proc/self/mounts; files of namespaces as mounts.
// static
#include "check.h"
#include <linux/mount.h>
#include <poll.h>
#include <sched.h>

int mount(const char *, const char *, const char *, unsigned long, const void *);
int umount2(const char *, int);
#define MNT_DETACH 2

static long open_tree_at(int directory, const char *path, unsigned flags) { return syscall(SYS_open_tree, directory, path, flags); }
static long move(int from, const char *from_path, const char *to, unsigned flags) {
  return syscall(SYS_move_mount, from, from_path, AT_FDCWD, to, flags);
}
static long configure(int file, unsigned command, const char *key, const char *value, int number) {
  return syscall(SYS_fsconfig, file, command, key, value, number);
}
static long set_attributes(const char *path, unsigned flags, struct mount_attr *attributes) {
  return syscall(SYS_mount_setattr, AT_FDCWD, path, flags, attributes, sizeof *attributes);
}

static int mounts_with(const char *words) {
  static char text[1 << 20];
  read_file("/proc/self/mountinfo", text, sizeof text);
  int count = 0;
  for (char *at = text; (at = strstr(at, words)); at++) count++;
  return count;
}

static void test_open_tree(void) {
  OK(mount("treetest", "a", "tmpfs", 0, NULL));
  OK(mkdir("a/x", 0755)), OK(mkdir("a/y", 0755));
  OK(mount("treetest", "a/x", "tmpfs", 0, NULL));
  OK(mkdir("a/x/inner", 0755));
  CHECK_ERRNO(open_tree_at(AT_FDCWD, "a", AT_RECURSIVE), EINVAL);
  CHECK_ERRNO(open_tree_at(AT_FDCWD, "a", 0x40000000), EINVAL);
  CHECK_ERRNO(open_tree_at(AT_FDCWD, "nothing", OPEN_TREE_CLONE), ENOENT);
  int plain = OK(open_tree_at(AT_FDCWD, "a", OPEN_TREE_CLOEXEC));
  CHECK_EQ(fcntl(plain, F_GETFL) & O_PATH, O_PATH);
  CHECK_EQ(fcntl(plain, F_GETFD), FD_CLOEXEC);
  OK(close(plain));
  int alone = OK(open_tree_at(AT_FDCWD, "a", OPEN_TREE_CLONE));
  CHECK_ERRNO(faccessat(alone, "x/inner", F_OK, 0), ENOENT);
  OK(close(alone));
  int tree = OK(open_tree_at(AT_FDCWD, "a", OPEN_TREE_CLONE | AT_RECURSIVE));
  OK(faccessat(tree, "x/inner", F_OK, 0));
  CHECK_EQ(mounts_with("treetest"), 2);
  CHECK_ERRNO(move(tree, "", "file", MOVE_MOUNT_F_EMPTY_PATH), EINVAL);
  CHECK_ERRNO(move(tree, "", "nothing", MOVE_MOUNT_F_EMPTY_PATH), ENOENT);
  CHECK_ERRNO(move(tree, "", "b", 0), ENOENT);
  CHECK_ERRNO(move(tree, "", "b", 0x8), EINVAL);
  OK(move(tree, "", "b", MOVE_MOUNT_F_EMPTY_PATH));
  OK(access("b/x/inner", F_OK));
  CHECK_EQ(mounts_with("treetest"), 4);
  OK(close(tree));
  CHECK_EQ(mounts_with("treetest"), 4);
  OK(move(AT_FDCWD, "b/x", "c", 0));
  OK(access("c/inner", F_OK));
  CHECK_ERRNO(access("b/x/inner", F_OK), ENOENT);
  OK(umount2("c", 0)), OK(umount2("b", 0)), OK(umount2("a", MNT_DETACH));
}

static void test_new_file_system(void) {
  CHECK_ERRNO(syscall(SYS_fsopen, "nosuchfs", 0), ENODEV);
  CHECK_ERRNO(syscall(SYS_fsopen, "tmpfs", 0x10), EINVAL);
  int context = OK(syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC));
  char message[64] = {0};
  CHECK_ERRNO(read(context, message, sizeof message), ENODATA);
  CHECK_ERRNO(configure(context, FSCONFIG_SET_STRING, "nonsense", "1", 0), EINVAL);
  CHECK_ERRNO(configure(context, FSCONFIG_SET_STRING, "size", "x", 0), EINVAL);
  CHECK_ERRNO(configure(context, FSCONFIG_SET_FLAG, "other", NULL, 0), EINVAL);
  OK(read(context, message, sizeof message));
  CHECK(strcmp(message, "e tmpfs: Unknown parameter 'nonsense'\n") == 0);
  CHECK_ERRNO(read(context, message, 10), EMSGSIZE);
  OK(read(context, message, sizeof message));
  CHECK(strncmp(message, "e tmpfs: Bad value for 'size'\n", 30) == 0);
  OK(read(context, message, sizeof message));
  CHECK(strncmp(message, "e tmpfs: Unknown parameter 'other'\n", 35) == 0);
  CHECK_ERRNO(read(context, message, sizeof message), ENODATA);
  OK(configure(context, FSCONFIG_SET_STRING, "source", "contexttest", 0));
  OK(configure(context, FSCONFIG_SET_STRING, "size", "1m", 0));
  OK(configure(context, FSCONFIG_SET_STRING, "mode", "0711", 0));
  CHECK_ERRNO(configure(context, FSCONFIG_SET_STRING, "color", "red", 0), EINVAL);
  CHECK_ERRNO(configure(context, FSCONFIG_SET_STRING, "size", NULL, 0), EINVAL);
  CHECK_ERRNO(configure(context, FSCONFIG_CMD_CREATE, "size", NULL, 0), EINVAL);
  CHECK_ERRNO(configure(context, 77, NULL, NULL, 0), EOPNOTSUPP);
  CHECK_ERRNO(configure(0, FSCONFIG_CMD_CREATE, NULL, NULL, 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_fsmount, context, 0, 0), EINVAL);
  OK(configure(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
  CHECK_ERRNO(configure(context, FSCONFIG_SET_STRING, "size", "2m", 0), EBUSY);
  CHECK_ERRNO(syscall(SYS_fsmount, context, 0x80, 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_fsmount, context, 0, 0x40000000), EINVAL);
  int tree = OK(syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC));
  CHECK_ERRNO(syscall(SYS_fsmount, context, 0, 0), EBUSY);
  OK(close(context));
  OK(mkdirat(tree, "made", 0755));
  CHECK_EQ(mounts_with("contexttest"), 0);
  OK(move(tree, "", "a", MOVE_MOUNT_F_EMPTY_PATH));
  OK(close(tree));
  CHECK_EQ(mounts_with("nosuid,noexec,relatime - tmpfs contexttest rw,size=1024k"), 1);
  OK(access("a/made", F_OK));
  struct stat status;
  OK(stat("a", &status));
  CHECK_EQ(status.st_mode & 07777, 0711);

  CHECK_ERRNO(syscall(SYS_fspick, AT_FDCWD, "a/made", 0), EINVAL);
  context = OK(syscall(SYS_fspick, AT_FDCWD, "a", FSPICK_CLOEXEC));
  OK(configure(context, FSCONFIG_SET_FLAG, "ro", NULL, 0));
  OK(configure(context, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0));
  CHECK_ERRNO(mkdir("a/more", 0755), EROFS);
  OK(configure(context, FSCONFIG_SET_FLAG, "rw", NULL, 0));
  OK(configure(context, FSCONFIG_SET_STRING, "size", "2m", 0));
  OK(configure(context, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0));
  OK(mkdir("a/more", 0755));
  CHECK_EQ(mounts_with("contexttest rw,size=2048k"), 1);
  OK(close(context));
  OK(umount2("a", 0));
}

static void test_attributes(void) {
  OK(mount("attrtest", "a", "tmpfs", 0, NULL));
  OK(mkdir("a/x", 0755));
  OK(mount("attrtest", "a/x", "tmpfs", 0, NULL));
  struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY};
  OK(set_attributes("a", AT_RECURSIVE, &attributes));
  CHECK_ERRNO(mkdir("a/y", 0755), EROFS);
  CHECK_ERRNO(mkdir("a/x/y", 0755), EROFS);
  attributes = (struct mount_attr){.attr_clr = MOUNT_ATTR_RDONLY, .attr_set = MOUNT_ATTR_NOSYMFOLLOW};
  OK(set_attributes("a", 0, &attributes));
  OK(mkdir("a/y", 0755));
  CHECK_ERRNO(mkdir("a/x/y", 0755), EROFS);
  OK(symlink("y", "a/link"));
  CHECK_ERRNO(access("a/link/.", F_OK), ELOOP);
  attributes = (struct mount_attr){.attr_clr = MOUNT_ATTR__ATIME, .attr_set = MOUNT_ATTR_NOATIME, .propagation = 1 << 20};
  OK(set_attributes("a", 0, &attributes));
  CHECK_EQ(mounts_with("noatime"), 1);
  CHECK_EQ(mounts_with("shared:"), 1);
  const struct {
    struct mount_attr attributes;
    int error;
  } wrong[] = {
      {{.attr_set = 1ull << 40}, EINVAL},
      {{.attr_set = MOUNT_ATTR_NOATIME}, EINVAL},
      {{.attr_clr = MOUNT_ATTR_NOATIME}, EINVAL},
      {{.attr_set = MOUNT_ATTR_RDONLY, .propagation = 3 << 18}, EINVAL},
      {{.propagation = 1}, EINVAL},
  };
  for (size_t i = 0; i < COUNT(wrong); i++) {
    attributes = wrong[i].attributes;
    CHECK_ERRNO(set_attributes("a", 0, &attributes), wrong[i].error);
  }
  attributes = (struct mount_attr){.attr_set = MOUNT_ATTR_RDONLY};
  CHECK_ERRNO(set_attributes("a/y", 0, &attributes), EINVAL);
  CHECK_ERRNO(set_attributes("a", 0x10, &attributes), EINVAL);
  CHECK_ERRNO(syscall(SYS_mount_setattr, AT_FDCWD, "a", 0, &attributes, 8), EINVAL);
  CHECK_ERRNO(syscall(SYS_mount_setattr, AT_FDCWD, "a", 0, &attributes, 5000), E2BIG);
  CHECK_ERRNO(syscall(SYS_mount_setattr, AT_FDCWD, "a", 0, wild, sizeof attributes), EFAULT);
  OK(umount2("a/x", 0)), OK(umount2("a", 0));
}

static void test_poll(void) {
  int file = OK(open("/proc/self/mounts", O_RDONLY));
  struct pollfd poll_file = {.fd = file, .events = POLLPRI};
  CHECK_EQ(poll(&poll_file, 1, 0), 0);
  OK(mount("polltest", "a", "tmpfs", 0, NULL));
  CHECK_EQ(poll(&poll_file, 1, 1000), 1);
  CHECK_EQ(poll_file.revents, POLLPRI | POLLERR);
  CHECK_EQ(poll(&poll_file, 1, 0), 0);
  pid_t pid;
  IN_CHILD(pid) {
    sleep_ms(100);
    OK(umount2("a", 0));
  }
  CHECK_EQ(poll(&poll_file, 1, 5000), 1);
  WAIT_OK(pid);
  OK(close(file));
}

// How many files of namespaces the test has mounted; the host may have mounted others.
static int own_namespace_files(void) {
  static char text[1 << 20];
  read_file("/proc/self/mountinfo", text, sizeof text);
  int count = 0;
  for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
    count += strstr(line, check_scratch) != NULL && strstr(line, " nsfs nsfs ") != NULL;
  return count;
}

// The file of a namespace keeps it, as an open file or as a mount.
static void test_namespace_files(void) {
  int to_child[2], to_parent[2];
  OK(pipe(to_child)), OK(pipe(to_parent));
  char byte = 0, path[64], name[80], link[64] = {0};
  pid_t pid;
  IN_CHILD(pid) {
    OK(unshare(CLONE_NEWNS | CLONE_NEWUTS));
    OK(mount("inside", "a", "tmpfs", 0, NULL));
    OK(sethostname("inner", 5));
    CHECK_EQ(write(to_parent[1], &byte, 1), 1);
    CHECK_EQ(read(to_child[0], &byte, 1), 1);
  }
  CHECK_EQ(read(to_parent[0], &byte, 1), 1);
  snprintf(path, sizeof path, "/proc/%d/ns/mnt", pid);
  CHECK(readlink(path, link, sizeof link - 1) > 0);
  OK(mount(path, "file", NULL, MS_BIND, NULL));
  snprintf(name, sizeof name, " %s /", link);
  CHECK_EQ(mounts_with(name), 1);
  CHECK_EQ(own_namespace_files(), 1);
  snprintf(path, sizeof path, "/proc/%d/ns/uts", pid);
  OK(mount(path, "other", NULL, MS_BIND, NULL));
  // A namespace cannot hold its own file.
  write_file("loop", "");
  CHECK_ERRNO(mount("/proc/self/ns/mnt", "loop", NULL, MS_BIND, NULL), EINVAL);
  CHECK_EQ(write(to_child[1], &byte, 1), 1);
  WAIT_OK(pid);
  // It lives on without a task.
  IN_CHILD(pid) {
    int own = OK(open("/proc/self/ns/mnt", O_RDONLY));
    int uts = OK(open("other", O_RDONLY));
    OK(setns(uts, CLONE_NEWUTS));
    char host[64];
    OK(gethostname(host, sizeof host));
    CHECK(strcmp(host, "inner") == 0);
    int file = OK(open("file", O_RDONLY));
    CHECK_ERRNO(setns(file, CLONE_NEWUTS), EINVAL);
    OK(setns(file, CLONE_NEWNS));
    CHECK_EQ(mounts_with("tmpfs inside"), 1);
    CHECK_EQ(own_namespace_files(), 0);
    OK(setns(own, CLONE_NEWNS));
    CHECK_EQ(own_namespace_files(), 2);
  }
  WAIT_OK(pid);
  // A copy of the mounts has none of the files of mount namespaces.
  IN_CHILD(pid) {
    OK(unshare(CLONE_NEWNS));
    CHECK_EQ(own_namespace_files(), 1);
  }
  WAIT_OK(pid);
  OK(umount2("file", 0)), OK(umount2("other", 0));
}

// Each PID namespace has a procfs of its own, and what is mounted on names that procfs makes up stays there.
static void test_proc(void) {
  pid_t pid;
  IN_CHILD(pid) {
    OK(unshare(CLONE_NEWNS | CLONE_NEWPID));
    pid_t init;
    IN_CHILD(init) {
      OK(mount("proc", "/proc", "proc", 0, NULL));
      char target[16] = {0};
      CHECK(readlink("/proc/self", target, sizeof target - 1) > 0);
      CHECK(strcmp(target, "1") == 0);
      CHECK_ERRNO(access("/proc/2", F_OK), ENOENT);
      OK(mount("/proc/sys", "/proc/sys", NULL, MS_BIND, NULL));
      OK(mount(NULL, "/proc/sys", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
      CHECK_ERRNO(open("/proc/sys/kernel/hostname", O_WRONLY), EROFS);
      OK(mount("over", "/proc/1/task/1", "tmpfs", 0, NULL));
      CHECK_ERRNO(access("/proc/self/task/1/comm", F_OK), ENOENT);
      OK(umount2("/proc/1/task/1", 0));
      OK(access("/proc/self/task/1/comm", F_OK));
    }
    WAIT_OK(init);
  }
  WAIT_OK(pid);
}

int main(void) {
  // Linux 6.18 counts namespaces for each CPU, and takes the count for their age.
  cpu_set_t first;
  CPU_ZERO(&first);
  CPU_SET(0, &first);
  OK(sched_setaffinity(0, sizeof first, &first));
  OK(unshare(CLONE_NEWNS));
  OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
  const char *base = enter_scratch();
  OK(mount("test", base, "tmpfs", 0, NULL));
  OK(chdir(base));
  OK(mkdir("a", 0755)), OK(mkdir("b", 0755)), OK(mkdir("c", 0755));
  write_file("file", ""), write_file("other", "");
  test_open_tree();
  test_new_file_system();
  test_attributes();
  test_poll();
  test_namespace_files();
  test_proc();
  OK(chdir("/"));
  OK(umount2(base, MNT_DETACH));
  return 0;
}
