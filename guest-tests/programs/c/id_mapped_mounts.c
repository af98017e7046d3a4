// ID-mapped mounts (mount_setattr(2), MOUNT_ATTR_IDMAP): whose files are through such a mount, who may do what there, whose
// new ones become, and which mounts cannot be so.
#include "mounts.h"
#include "user_namespaces.h"
#include <linux/mount.h>
#include <sys/xattr.h>

#define FIRST 100000
#define LENGTH 1000

// A user namespace in which FIRST and those after it are 0 and so on; without maps if there is no text.
static int make_namespace(const char *map) {
  int release;
  void enter(void) { OK(unshare(CLONE_NEWUSER)); }
  pid_t pid = start_inside(enter, &release);
  if (map != NULL) {
    CHECK_EQ(write_text(map_of(pid, "uid_map"), map), 0);
    CHECK_EQ(write_text(map_of(pid, "gid_map"), map), 0);
  }
  int file = OK(open(map_of(pid, "ns/user"), O_RDONLY | O_CLOEXEC));
  OK(close(release));
  WAIT_OK(pid);
  return file;
}

static int clone_tree(const char *path) { return OK(syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE)); }

static long map_ids(int tree, long namespace) {
  struct mount_attr attributes = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = namespace};
  return syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attributes, sizeof attributes);
}

static void attach(int tree, const char *path) { OK(syscall(SYS_move_mount, tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH)); }

static void check_owner(const char *path, unsigned user, unsigned group) {
  struct stat found;
  OK(lstat(path, &found));
  CHECK_CASE(found.st_uid == user && found.st_gid == group, "%s belongs to %u:%u", path, found.st_uid, found.st_gid);
}

static void test_refusals(int namespace) {
  int tree = clone_tree("real"), empty = make_namespace(NULL);
  CHECK_ERRNO(map_ids(tree, OK(open("/proc/self/ns/user", O_RDONLY))), EPERM);
  CHECK_ERRNO(map_ids(tree, OK(open("/proc/self/ns/mnt", O_RDONLY))), EINVAL);
  CHECK_ERRNO(map_ids(tree, OK(open("/dev/null", O_RDONLY))), EINVAL);
  CHECK_ERRNO(map_ids(tree, empty), EINVAL);
  CHECK_ERRNO(map_ids(tree, 999), EBADF);
  CHECK_ERRNO(map_ids(tree, 1L << 40), EINVAL);
  struct mount_attr attributes = {.attr_clr = MOUNT_ATTR_IDMAP, .userns_fd = namespace};
  CHECK_ERRNO(syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attributes, sizeof attributes), EINVAL);
  // Others may have looked at it already.
  CHECK_ERRNO(map_ids(OK(open("real", O_PATH)), namespace), EINVAL);
  // Who writes through it began so with other owners.
  int writer = OK(openat(tree, "file", O_WRONLY));
  CHECK_ERRNO(map_ids(tree, namespace), EBUSY);
  OK(close(writer));
  OK(map_ids(tree, namespace));
  CHECK_ERRNO(map_ids(tree, namespace), EPERM);
  CHECK_ERRNO(map_ids(clone_tree("/proc"), namespace), EINVAL);
}

static void test_owners(void) {
  check_owner("shown/file", FIRST + 5, FIRST + 6);
  check_owner("real/file", 5, 6);
  int file = OK(open("shown/file", O_RDONLY));
  struct stat found;
  OK(fstat(file, &found));
  CHECK_EQ(found.st_uid, FIRST + 5);
  OK(close(file));
  OK(chown("shown/file", FIRST + 7, FIRST + 8));
  check_owner("real/file", 7, 8);
  CHECK_ERRNO(chown("shown/file", 7, 7), EOVERFLOW);
  // Whom the map does not have is nobody, and nobody's files stay as they are.
  check_owner("shown/stranger", NOBODY, NOBODY);
  CHECK_ERRNO(chmod("shown/stranger", 0600), EOVERFLOW);
  CHECK_ERRNO(open("shown/stranger", O_WRONLY), EACCES);
  OK(close(OK(open("real/stranger", O_WRONLY))));
  // Root has no number there.
  CHECK_ERRNO(open("shown/new", O_CREAT | O_RDWR, 0644), EOVERFLOW);
  CHECK_ERRNO(mkdir("shown/new", 0755), EOVERFLOW);
  CHECK_ERRNO(symlink("a", "shown/new"), EOVERFLOW);
  CHECK_ERRNO(mknod("shown/new", S_IFIFO | 0644, 0), EOVERFLOW);
}

// Entries of an access control list name users of the mount, too.
static void test_lists(void) {
  struct {
    uint32_t version;
    struct { uint16_t tag, permissions; uint32_t id; } entries[5];
  } list = {2, {{1, 6, -1}, {2, 4, FIRST + 9}, {4, 0, -1}, {16, 4, -1}, {32, 0, -1}}}, got;
  OK(setxattr("shown/file", "system.posix_acl_access", &list, sizeof list, 0));
  CHECK_EQ(getxattr("real/file", "system.posix_acl_access", &got, sizeof got), sizeof got);
  CHECK_EQ(got.entries[1].id, 9);
  CHECK_EQ(getxattr("shown/file", "system.posix_acl_access", &got, sizeof got), sizeof got);
  CHECK_EQ(got.entries[1].id, FIRST + 9);
  list.entries[1].id = 9;
  CHECK_ERRNO(setxattr("shown/file", "system.posix_acl_access", &list, sizeof list, 0), EINVAL);
  pid_t pid;
  IN_CHILD(pid) {
    become(FIRST + 9);
    OK(close(OK(open("shown/file", O_RDONLY))));
    CHECK_ERRNO(open("shown/file", O_WRONLY), EACCES);
    CHECK_ERRNO(open("real/file", O_RDONLY), EACCES);
  }
  WAIT_OK(pid);
  OK(removexattr("shown/file", "system.posix_acl_access"));
}

// A user is one through the one mount and another through the other.
static void test_users(void) {
  pid_t pid;
  IN_CHILD(pid) {
    become(FIRST + 3);
    umask(0);
    OK(close(OK(open("shown/own", O_CREAT | O_RDWR, 0600))));
    check_owner("shown/own", FIRST + 3, FIRST + 3);
    OK(chmod("shown/own", 0644));
    OK(mkdir("shown/directory", 0755));
    OK(close(OK(open("shown/directory/inner", O_CREAT | O_RDWR, 0600))));
    OK(truncate("shown/own", 10));
    CHECK_ERRNO(open("real/own", O_WRONLY), EACCES);
    CHECK_ERRNO(chmod("real/own", 0600), EPERM);
    CHECK_ERRNO(open("real/directory/inner", O_RDONLY), EACCES);
    CHECK_ERRNO(open("shown/file", O_WRONLY), EACCES);
  }
  WAIT_OK(pid);
  check_owner("real/own", 3, 3);
  check_owner("real/directory/inner", 3, 3);
  IN_CHILD(pid) {
    become(3);
    OK(close(OK(open("real/own", O_WRONLY))));
    CHECK_ERRNO(open("shown/own", O_WRONLY), EACCES);
  }
  WAIT_OK(pid);
  // A sticky directory keeps what is others'.
  OK(chmod("real", 01777));
  IN_CHILD(pid) {
    become(FIRST + 4);
    CHECK_ERRNO(unlink("shown/own"), EPERM);
    CHECK_ERRNO(rename("shown/own", "shown/other"), EPERM);
  }
  WAIT_OK(pid);
  IN_CHILD(pid) {
    become(FIRST + 3);
    OK(rename("shown/own", "shown/other"));
    OK(unlink("shown/other"));
  }
  WAIT_OK(pid);
}

// Copies of the mount show what it shows, and mountinfo tells.
static void test_copies(void) {
  static char text[1 << 16];
  OK(mkdir("copy", 0755));
  OK(mount("shown", "copy", NULL, MS_BIND, NULL));
  check_owner("copy/file", FIRST + 7, FIRST + 8);
  OK(unshare(CLONE_NEWNS));
  check_owner("copy/file", FIRST + 7, FIRST + 8);
  read_file("/proc/self/mountinfo", text, sizeof text);
  CHECK(strstr(text, "/copy rw,relatime,idmapped") != NULL);
  OK(mount(NULL, "copy", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
  check_owner("copy/file", FIRST + 7, FIRST + 8);
}

int main(void) {
  const char *base = enter_own_mounts();
  OK(mkdir("real", 0755)), OK(mkdir("shown", 0755));
  OK(mount("real", "real", "tmpfs", 0, NULL));
  OK(chmod("real", 0777));
  write_file("real/file", "text"), write_file("real/stranger", "text");
  OK(chown("real/file", 5, 6));
  OK(chown("real/stranger", 5000, 5000));
  char map[64];
  snprintf(map, sizeof map, "0 %d %d", FIRST, LENGTH);
  int namespace = make_namespace(map);
  test_refusals(namespace);
  int tree = clone_tree("real");
  OK(map_ids(tree, namespace));
  attach(tree, "shown");
  test_owners();
  test_lists();
  test_users();
  test_copies();
  OK(chdir("/"));
  OK(umount2(base, MNT_DETACH));
  return 0;
}
