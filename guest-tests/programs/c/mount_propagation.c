// Propagation of mounts (man 7 mount_namespaces): shared, slave, private and unbindable mounts, across namespaces.
// static
#include "mounts.h"

// The line of /proc/self/mountinfo for a mount point: everything up to the separator; the last if there are several.
static const char *line_of(const char *directory) {
  static char text[65536], line[512];
  read_file("/proc/self/mountinfo", text, sizeof text);
  line[0] = 0;
  for (char *at = strtok(text, "\n"); at; at = strtok(NULL, "\n")) {
    char place[256], copy[512];
    snprintf(copy, sizeof copy, "%s", at);
    if (sscanf(at, "%*s %*s %*s %*s %255s", place) == 1 && strcmp(place, directory) == 0) strcpy(line, copy);
  }
  char *end = strstr(line, " - ");
  if (end) *end = 0;
  return line;
}

static char base[128];

static const char *path(const char *name) {
  static char paths[4][256];
  static int next;
  char *path = paths[next++ % 4];
  snprintf(path, 256, "%s/%s", base, name);
  return path;
}

static int is_mounted(const char *name) { return line_of(path(name))[0] != 0; }
static int has_field(const char *name, const char *field) { return strstr(line_of(path(name)), field) != NULL; }
static int field(const char *name, const char *key) {
  const char *found = strstr(line_of(path(name)), key);
  return found ? atoi(found + strlen(key)) : 0;
}

static void make(const char *name) { OK(mkdir(path(name), 0755)); }
static void new_mount(const char *name) { OK(mount("test", path(name), "tmpfs", 0, NULL)); }
static void set(const char *name, unsigned long flags) { OK(mount(NULL, path(name), NULL, flags, NULL)); }
static void bind(const char *from, const char *to, unsigned long flags) {
  OK(mount(path(from), path(to), NULL, MS_BIND | flags, NULL));
}
static void unmount(const char *name) { OK(umount2(path(name), 0)); }

static void test_peers(void) {
  make("a"), make("b");
  new_mount("a");
  make("a/x");
  CHECK(!has_field("a", "shared:"));
  set("a", MS_SHARED);
  CHECK(has_field("a", "shared:"));
  bind("a", "b", 0);
  CHECK_EQ(field("a", "shared:"), field("b", "shared:"));
  new_mount("a/x");
  CHECK(is_mounted("b/x"));
  CHECK(has_field("a/x", "shared:"));
  CHECK_EQ(field("a/x", "shared:"), field("b/x", "shared:"));
  make("b/x/deep");
  OK(access(path("a/x/deep"), F_OK));
  unmount("b/x");
  CHECK(!is_mounted("a/x") && !is_mounted("b/x"));
  // A peer that is in use elsewhere keeps all of them.
  new_mount("a/x");
  int held = OK(open(path("b/x"), O_RDONLY | O_DIRECTORY));
  CHECK_ERRNO(umount2(path("a/x"), 0), EBUSY);
  OK(close(held));
  unmount("a/x");
  unmount("b");
  unmount("a");
}

static void test_slaves(void) {
  new_mount("a");
  make("a/x"), make("a/y");
  set("a", MS_SHARED);
  bind("a", "b", 0);
  set("b", MS_SLAVE);
  CHECK(!has_field("b", "shared:"));
  CHECK_EQ(field("a", "shared:"), field("b", "master:"));
  new_mount("a/x");
  CHECK(is_mounted("b/x"));
  CHECK(!has_field("b/x", "shared:"));
  CHECK_EQ(field("b/x", "master:"), field("a/x", "shared:"));
  new_mount("b/y");
  CHECK(!is_mounted("a/y"));
  // A slave that is shared passes on what it receives.
  unmount("b/y");
  set("b", MS_SHARED);
  CHECK(has_field("b", "shared:") && has_field("b", "master:"));
  make("c");
  bind("b", "c", 0);
  CHECK_EQ(field("b", "shared:"), field("c", "shared:"));
  new_mount("a/y");
  CHECK(is_mounted("b/y") && is_mounted("c/y"));
  CHECK_EQ(field("b/y", "shared:"), field("c/y", "shared:"));
  unmount("a/y");
  CHECK(!is_mounted("b/y") && !is_mounted("c/y"));
  new_mount("c/y");
  CHECK(is_mounted("b/y") && !is_mounted("a/y"));
  unmount("b/y");
  // Private ones neither give nor receive.
  set("c", MS_PRIVATE);
  CHECK(!has_field("c", "shared:") && !has_field("c", "master:"));
  new_mount("a/y");
  CHECK(!is_mounted("c/y"));
  OK(umount2(path("a"), MNT_DETACH));
  OK(umount2(path("b"), MNT_DETACH));
  OK(umount2(path("c"), MNT_DETACH));
}

static void test_unbindable(void) {
  new_mount("a");
  make("a/x"), make("a/y");
  new_mount("a/x");
  set("a/x", MS_UNBINDABLE);
  CHECK(has_field("a/x", " unbindable"));
  CHECK_ERRNO(mount(path("a/x"), path("b"), NULL, MS_BIND, NULL), EINVAL);
  bind("a", "b", MS_REC);
  CHECK(is_mounted("b") && !is_mounted("b/x"));
  // Nothing that cannot be copied is moved below what shares.
  unmount("b");
  new_mount("b");
  set("b", MS_SHARED);
  make("b/x");
  CHECK_ERRNO(mount(path("a/x"), path("b/x"), NULL, MS_MOVE, NULL), EINVAL);
  set("a/x", MS_PRIVATE);
  OK(mount(path("a/x"), path("b/x"), NULL, MS_MOVE, NULL));
  CHECK(has_field("b/x", "shared:"));
  // Nor is anything moved away from there.
  CHECK_ERRNO(mount(path("b/x"), path("a/y"), NULL, MS_MOVE, NULL), EINVAL);
  OK(umount2(path("b"), MNT_DETACH));
  OK(umount2(path("a"), MNT_DETACH));
}

static void test_wrong_arguments(void) {
  new_mount("a");
  make("a/x");
  CHECK_ERRNO(mount(NULL, path("a/x"), NULL, MS_SHARED, NULL), EINVAL);
  CHECK_ERRNO(mount(NULL, path("a"), NULL, MS_SHARED | MS_PRIVATE, NULL), EINVAL);
  CHECK_ERRNO(mount(NULL, path("a"), NULL, MS_SHARED | MS_RDONLY, NULL), EINVAL);
  CHECK_ERRNO(mount(NULL, path("nothing"), NULL, MS_SHARED, NULL), ENOENT);
  CHECK_ERRNO(mount(NULL, path("a"), NULL, MS_BIND, NULL), EINVAL);
  CHECK_ERRNO(mount("", path("a"), NULL, MS_BIND, NULL), EINVAL);
  CHECK_ERRNO(mount(path("nothing"), path("a"), NULL, MS_BIND, NULL), ENOENT);
  CHECK_ERRNO(mount("x", path("a"), "nosuchfs", 0, NULL), ENODEV);
  CHECK_ERRNO(mount("x", path("a"), NULL, 0, NULL), EINVAL);
  CHECK_ERRNO(mount("x", path("a"), "tmpfs", 0, "color=red"), EINVAL);
  write_file(path("file"), "");
  CHECK_ERRNO(mount(path("a"), path("file"), NULL, MS_BIND, NULL), ENOTDIR);
  CHECK_ERRNO(mount(path("file"), path("a"), NULL, MS_BIND, NULL), ENOTDIR);
  CHECK_ERRNO(mount(path("a"), path("file"), NULL, MS_MOVE, NULL), EINVAL);
  CHECK_ERRNO(mount(path("a/x"), path("b"), NULL, MS_MOVE, NULL), EINVAL);
  CHECK_ERRNO(mount(path("a"), path("a/x"), NULL, MS_MOVE, NULL), ELOOP);
  CHECK_ERRNO(umount2(path("a/x"), 0), EINVAL);
  CHECK_ERRNO(umount2(path("a"), 0x100), EINVAL);
  CHECK_ERRNO(umount2(path("a"), MNT_EXPIRE | MNT_DETACH), EINVAL);
  CHECK_ERRNO(umount2(path("a"), MNT_EXPIRE), EAGAIN);
  OK(access(path("a"), F_OK));
  CHECK_ERRNO(umount2(path("a"), MNT_EXPIRE), EAGAIN);
  OK(umount2(path("a"), MNT_EXPIRE));
  CHECK(!is_mounted("a"));
  bind("file", "file", 0);
  CHECK(is_mounted("file"));
  unmount("file");
  // No privilege, no mount.
  pid_t pid;
  IN_CHILD(pid) {
    OK(setresuid(65534, 65534, 65534));
    CHECK_ERRNO(mount("x", path("a"), "tmpfs", 0, NULL), EPERM);
    CHECK_ERRNO(umount2("/proc", 0), EPERM);
    CHECK_ERRNO(unshare(CLONE_NEWNS), EPERM);
  }
  WAIT_OK(pid);
}

// What happens in one namespace is seen in another if the mounts are peers.
static void test_namespaces(void) {
  new_mount("a");
  make("a/x"), make("a/y");
  set("a", MS_SHARED);
  int to_child[2], to_parent[2];
  OK(pipe(to_child)), OK(pipe(to_parent));
  char byte = 0;
  pid_t pid;
  IN_CHILD(pid) {
    OK(unshare(CLONE_NEWNS));
    CHECK(has_field("a", "shared:"));
    CHECK_EQ(write(to_parent[1], &byte, 1), 1);
    CHECK_EQ(read(to_child[0], &byte, 1), 1);
    CHECK(is_mounted("a/x"));
    new_mount("a/y");
    CHECK_EQ(write(to_parent[1], &byte, 1), 1);
    CHECK_EQ(read(to_child[0], &byte, 1), 1);
    CHECK(!is_mounted("a/x"));
    // From now on this namespace only receives.
    OK(mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL));
    unmount("a/y");
    CHECK_EQ(write(to_parent[1], &byte, 1), 1);
    CHECK_EQ(read(to_child[0], &byte, 1), 1);
    CHECK(is_mounted("a/x"));
  }
  CHECK_EQ(read(to_parent[0], &byte, 1), 1);
  new_mount("a/x");
  CHECK_EQ(write(to_child[1], &byte, 1), 1);
  CHECK_EQ(read(to_parent[0], &byte, 1), 1);
  CHECK(is_mounted("a/y"));
  unmount("a/x");
  CHECK_EQ(write(to_child[1], &byte, 1), 1);
  CHECK_EQ(read(to_parent[0], &byte, 1), 1);
  CHECK(is_mounted("a/y"));
  new_mount("a/x");
  CHECK_EQ(write(to_child[1], &byte, 1), 1);
  WAIT_OK(pid);
  CHECK(is_mounted("a/y"));
  OK(umount2(path("a"), MNT_DETACH));
}

// A directory that is a mount point only in another namespace can be removed, and the mount goes.
static void test_removal_of_foreign_mount_points(void) {
  make("victim");
  int to_child[2], to_parent[2];
  OK(pipe(to_child)), OK(pipe(to_parent));
  char byte = 0;
  pid_t pid;
  IN_CHILD(pid) {
    OK(unshare(CLONE_NEWNS));
    new_mount("victim");
    CHECK_ERRNO(rmdir(path("victim")), EBUSY);
    CHECK_EQ(write(to_parent[1], &byte, 1), 1);
    CHECK_EQ(read(to_child[0], &byte, 1), 1);
    CHECK(!is_mounted("victim"));
  }
  CHECK_EQ(read(to_parent[0], &byte, 1), 1);
  CHECK(!is_mounted("victim"));
  OK(rmdir(path("victim")));
  CHECK_EQ(write(to_child[1], &byte, 1), 1);
  WAIT_OK(pid);
}

static void test_pivot(void) {
  pid_t pid;
  IN_CHILD(pid) {
    OK(unshare(CLONE_NEWNS));
    new_mount("a");
    make("a/old"), make("a/new");
    CHECK_ERRNO(syscall(SYS_pivot_root, path("b"), path("b")), EINVAL);
    CHECK_ERRNO(syscall(SYS_pivot_root, "/", path("a/old")), EBUSY);
    CHECK_ERRNO(syscall(SYS_pivot_root, path("a"), "/"), EBUSY);
    CHECK_ERRNO(syscall(SYS_pivot_root, path("a"), path("nothing")), ENOENT);
    set("a", MS_SHARED);
    CHECK_ERRNO(syscall(SYS_pivot_root, path("a"), path("a/old")), EINVAL);
    set("a", MS_PRIVATE);
    OK(chdir(path("a")));
    OK(syscall(SYS_pivot_root, ".", "old"));
    OK(access("/old/proc/self", F_OK));
    OK(access("/new", F_OK));
    // And once more, with the old root on top of the new one.
    OK(mount("test", "/new", "tmpfs", 0, NULL));
    OK(mkdir("/new/sign", 0755));
    OK(chdir("/new"));
    OK(syscall(SYS_pivot_root, ".", "."));
    OK(umount2(".", MNT_DETACH));
    OK(chdir("/"));
    OK(access("/sign", F_OK));
    CHECK_ERRNO(access("/old", F_OK), ENOENT);
  }
  WAIT_OK(pid);
}

int main(void) {
  strcpy(base, enter_own_mounts());
  test_peers();
  test_slaves();
  test_unbindable();
  test_wrong_arguments();
  test_namespaces();
  test_removal_of_foreign_mount_points();
  test_pivot();
  OK(chdir("/"));
  OK(umount2(base, MNT_DETACH));
  return 0;
}
