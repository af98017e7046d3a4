// The errors of the calls that mount, by their order, and what /proc/self/mountinfo says of what they have done.
// compared
#include "mounts.h"
#include <linux/mount.h>
#include <sys/statvfs.h>

static void print_end(const char *call, long value, int error) {
  printf("%s = %s\n", call, value < 0 ? strerrorname_np(error) : value > 0 ? "a descriptor" : "0");
}

// Prints a call and how it ends.
#define P(...) ({ errno = 0; long p_value = (long)(__VA_ARGS__); print_end(#__VA_ARGS__, p_value, errno); p_value; })

#define fsopen(...) syscall(SYS_fsopen, __VA_ARGS__)
#define fsconfig(...) syscall(SYS_fsconfig, __VA_ARGS__)
#define fsmount(...) syscall(SYS_fsmount, __VA_ARGS__)
#define fspick(...) syscall(SYS_fspick, __VA_ARGS__)
#define move_mount(...) syscall(SYS_move_mount, __VA_ARGS__)
#define open_tree(...) syscall(SYS_open_tree, __VA_ARGS__)
#define mount_setattr(...) syscall(SYS_mount_setattr, __VA_ARGS__)
#define pivot_root(...) syscall(SYS_pivot_root, __VA_ARGS__)

static char place[256];

// The mount's own options and the file system's, of what is mounted on m.
static const char *options(void) {
  static char text[65536], found[512];
  read_file("/proc/self/mountinfo", text, sizeof text);
  found[0] = 0;
  for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
    char where[256], own[128];
    const char *rest = strstr(line, " - ");
    if (sscanf(line, "%*s %*s %*s %*s %255s %127s", where, own) == 2 && strcmp(where, place) == 0)
      snprintf(found, sizeof found, "%s%.300s", own, rest ? rest : "");
  }
  // Some kernels are built to show this.
  char *wide = strstr(found, ",inode64");
  if (wide) memmove(wide, wide + 8, strlen(wide + 8) + 1);
  return found;
}

static void test_configuration(void) {
  P(fsopen("no such", 0)), P(fsopen(wild, 0)), P(fsopen(NULL, 0)), P(fsopen("tmpfs", 2)), P(fsopen("", 0)), P(fsopen("no such", 0x10));
  int fs = P(fsopen("tmpfs", FSOPEN_CLOEXEC));
  P(fsconfig(-1, FSCONFIG_SET_FLAG, NULL, NULL, 0)), P(fsconfig(fs, 100, NULL, NULL, 0)), P(fsconfig(fs, FSCONFIG_SET_FLAG, NULL, NULL, 0)), P(fsconfig(fs, FSCONFIG_SET_FLAG, "ro", "x", 0)), P(fsconfig(fs, FSCONFIG_SET_FLAG, "ro", NULL, 1));
  P(fsconfig(fs, FSCONFIG_SET_STRING, "source", NULL, 0)), P(fsconfig(fs, FSCONFIG_SET_STRING, NULL, "a", 0)), P(fsconfig(fs, FSCONFIG_SET_STRING, "source", "a", 1)), P(fsconfig(fs, FSCONFIG_SET_BINARY, "source", "a", 0)), P(fsconfig(fs, FSCONFIG_SET_BINARY, "source", "a", 1)), P(fsconfig(fs, FSCONFIG_SET_BINARY, "source", "a", 2000000));
  P(fsconfig(fs, FSCONFIG_SET_PATH, "source", "/dev/null", -1)), P(fsconfig(fs, FSCONFIG_SET_PATH, "source", "/dev/null", AT_FDCWD)), P(fsconfig(fs, FSCONFIG_SET_PATH_EMPTY, "source", "/dev/null", -1)), P(fsconfig(fs, FSCONFIG_SET_FD, "source", NULL, -1)), P(fsconfig(fs, FSCONFIG_SET_FD, "source", NULL, 0)), P(fsconfig(fs, FSCONFIG_SET_FD, "source", "x", 0));
  P(fsconfig(fs, FSCONFIG_CMD_CREATE, "x", NULL, 0)), P(fsconfig(fs, FSCONFIG_CMD_RECONFIGURE, "x", NULL, 0)), P(fsconfig(0, FSCONFIG_CMD_CREATE, NULL, NULL, 0)), P(fsconfig(77, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
  P(fsconfig(fs, FSCONFIG_SET_FLAG, "no such", NULL, 0)), P(fsconfig(fs, FSCONFIG_SET_FLAG, wild, NULL, 0)), P(fsconfig(fs, FSCONFIG_SET_STRING, "size", "bad", 0)), P(fsconfig(fs, FSCONFIG_SET_STRING, "size", "1m", 0)), P(fsconfig(fs, FSCONFIG_SET_STRING, "ro", "1", 0)), P(fsconfig(fs, FSCONFIG_SET_FLAG, "size", NULL, 0)), P(fsconfig(fs, FSCONFIG_SET_STRING, "source", "a", 0)), P(fsconfig(fs, FSCONFIG_SET_STRING, "source", "b", 0)), P(fsconfig(fs, FSCONFIG_SET_FLAG, "noexec", NULL, 0)), P(fsconfig(fs, FSCONFIG_SET_FLAG, "ro", NULL, 0)), P(fsconfig(fs, FSCONFIG_SET_FLAG, "rw", NULL, 0));
  P(fsmount(fs, 0, 0)), P(fsmount(fs, 0x10, 0)), P(fsmount(fs, 0, 0x10000)), P(fsmount(-1, 0, 0)), P(fsmount(0, 0, 0)), P(fsmount(fs, 0, 0x30)), P(fsconfig(fs, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0));
  P(fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0)), P(fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0)), P(fsconfig(fs, FSCONFIG_SET_FLAG, "ro", NULL, 0));
  int tree = P(fsmount(fs, 0, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NODIRATIME));
  P(fsmount(fs, 0, 0)), P(fsconfig(fs, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0)), P(fsconfig(fs, FSCONFIG_SET_FLAG, "rw", NULL, 0)), P(fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
  P(move_mount(tree, "", AT_FDCWD, "m", 0)), P(move_mount(tree, "", AT_FDCWD, "m", 0x1000)), P(move_mount(tree, "", AT_FDCWD, "absent", MOVE_MOUNT_F_EMPTY_PATH)), P(move_mount(tree, "", AT_FDCWD, "f", MOVE_MOUNT_F_EMPTY_PATH)), P(move_mount(-1, "", AT_FDCWD, "m", MOVE_MOUNT_F_EMPTY_PATH)), P(move_mount(tree, wild, AT_FDCWD, "m", MOVE_MOUNT_F_EMPTY_PATH)), P(move_mount(tree, "", AT_FDCWD, wild, MOVE_MOUNT_F_EMPTY_PATH)), P(move_mount(tree, "x", AT_FDCWD, "m", MOVE_MOUNT_F_EMPTY_PATH)), P(move_mount(AT_FDCWD, "d", AT_FDCWD, "m", 0)), P(move_mount(tree, "", -1, "m", MOVE_MOUNT_F_EMPTY_PATH));
  P(move_mount(tree, "", AT_FDCWD, "m", MOVE_MOUNT_F_EMPTY_PATH)), P(move_mount(tree, "", AT_FDCWD, "m", MOVE_MOUNT_F_EMPTY_PATH));
  printf("%s\n", options());
  OK(close(tree)), OK(close(fs));
}

static void test_places(void) {
  P(open_tree(AT_FDCWD, "m", 0x2)), P(open_tree(AT_FDCWD, "m", AT_RECURSIVE)), P(open_tree(AT_FDCWD, "absent", OPEN_TREE_CLONE)), P(open_tree(-1, "m", OPEN_TREE_CLONE)), P(open_tree(AT_FDCWD, wild, OPEN_TREE_CLONE)), P(open_tree(AT_FDCWD, "", OPEN_TREE_CLONE)), P(open_tree(AT_FDCWD, "m", 0x10000000));
  P(fspick(AT_FDCWD, "m", 0x10)), P(fspick(AT_FDCWD, "d", 0)), P(fspick(AT_FDCWD, "absent", 0)), P(fspick(-1, "m", 0)), P(fspick(AT_FDCWD, wild, 0)), P(fspick(AT_FDCWD, "", 0));
  int fs = P(fspick(AT_FDCWD, "m", 0));
  P(fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0)), P(fsconfig(fs, FSCONFIG_SET_FLAG, "no such", NULL, 0)), P(fsconfig(fs, FSCONFIG_SET_STRING, "source", "x", 0)), P(fsconfig(fs, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0)), P(fsconfig(fs, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0)), P(fsmount(fs, 0, 0));
  OK(close(fs));
}

static void test_attributes(void) {
  struct mount_attr attributes = {0};
  P(mount_setattr(AT_FDCWD, "m", 0, &attributes, sizeof attributes)), P(mount_setattr(AT_FDCWD, "absent", 0, &attributes, sizeof attributes)), P(mount_setattr(AT_FDCWD, "m", 0x2, &attributes, sizeof attributes)), P(mount_setattr(AT_FDCWD, "m", 0, &attributes, 8)), P(mount_setattr(AT_FDCWD, "m", 0, &attributes, 5000)), P(mount_setattr(AT_FDCWD, "m", 0, wild, sizeof attributes));
  attributes.attr_set = MOUNT_ATTR_RDONLY;
  P(mount_setattr(AT_FDCWD, "d", 0, &attributes, sizeof attributes)), P(mount_setattr(AT_FDCWD, "absent", 0, &attributes, sizeof attributes)), P(mount_setattr(AT_FDCWD, "m", 0, &attributes, sizeof attributes));
  printf("%s\n", options());
  attributes.attr_set = MOUNT_ATTR_NOATIME;
  P(mount_setattr(AT_FDCWD, "m", 0, &attributes, sizeof attributes));
  attributes.attr_clr = MOUNT_ATTR__ATIME, attributes.attr_set = MOUNT_ATTR_STRICTATIME;
  P(mount_setattr(AT_FDCWD, "m", 0, &attributes, sizeof attributes));
  printf("%s\n", options());
  attributes.attr_set = 0, attributes.attr_clr = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
  P(mount_setattr(AT_FDCWD, "m", 0, &attributes, sizeof attributes));
  printf("%s\n", options());
  attributes.attr_clr = 0, attributes.propagation = MS_SHARED | MS_PRIVATE;
  P(mount_setattr(AT_FDCWD, "m", 0, &attributes, sizeof attributes)), attributes.propagation = 1;
  P(mount_setattr(AT_FDCWD, "m", 0, &attributes, sizeof attributes)), attributes.propagation = MS_PRIVATE;
  P(mount_setattr(AT_FDCWD, "m", 0, &attributes, sizeof attributes));
  attributes = (struct mount_attr){.attr_set = MOUNT_ATTR_NOSYMFOLLOW};
  P(mount_setattr(AT_FDCWD, "m", 0, &attributes, sizeof attributes));
  printf("%s\n", options());
  struct stat status;
  char text[10];
  OK(symlink("../f", "m/l"));
  P(open("m/l", O_RDONLY)), P(stat("m/l", &status)), P(lstat("m/l", &status)), P(close(open("m/l", O_PATH | O_NOFOLLOW))), P(readlink("m/l", text, 1) == 1);
  P(umount2("m", 0));
}

// What the flags of mount(2) say, at first and after remounts.
static void test_flags(void) {
  static const unsigned long flags[] = {0, MS_NOATIME, MS_NODIRATIME, MS_RELATIME, MS_STRICTATIME, MS_NOSUID | MS_NODEV | MS_NOEXEC, MS_RDONLY, MS_NOATIME | MS_STRICTATIME, MS_NOSYMFOLLOW, MS_SILENT, MS_NODIRATIME | MS_NOATIME, MS_NODIRATIME | MS_STRICTATIME};
  for (size_t i = 0; i < COUNT(flags); i++) {
    struct statvfs status;
    OK(mount("t", "m", "tmpfs", flags[i], NULL)), OK(statvfs("m", &status));
    printf("%lx: %s %lx", flags[i], options(), status.f_flag);
    OK(mount(NULL, "m", NULL, MS_REMOUNT | MS_BIND | MS_NOEXEC, NULL)), printf(" then %s", options());
    OK(mount(NULL, "m", NULL, MS_REMOUNT, NULL)), printf(" then %s\n", options());
    OK(umount("m"));
  }
}

static void test_options(void) {
  static const char *const texts[] = {"size=1m", "size=bad", "nr_inodes=5", "nr_inodes=1k", "nr_blocks=10", "mode=1777", "mode=755", "mode=9", "uid=1", "uid=bad", "gid=5", "no such", "size=", "size=1m,size=2m", ",,size=1m,", "ro", "rw,size=4k", "noexec", "nosuid", "size=-1", "ro,rw", "defaults"};
  for (size_t i = 0; i < COUNT(texts); i++) {
    errno = 0;
    int is_mounted = mount("t", "m", "tmpfs", 0, texts[i]) == 0;
    printf("%s: %s\n", texts[i], is_mounted ? options() : strerrorname_np(errno));
    if (is_mounted) OK(umount("m"));
  }
}

static void test_moves(void) {
  OK(mount("t", "m", "tmpfs", 0, NULL)), OK(mkdir("m/put", 0755));
  P(mount("m", "d", NULL, MS_MOVE, NULL)), P(mount("d", "d", NULL, MS_MOVE, NULL)), P(mount("d/put", "m", NULL, MS_MOVE, NULL)), P(mount("d", "f", NULL, MS_MOVE, NULL)), P(mount("absent", "m", NULL, MS_MOVE, NULL)), P(mount("d", "m", NULL, MS_MOVE, NULL));
  OK(mount(NULL, "m", NULL, MS_SHARED, NULL)), OK(mkdir("m/x", 0755)), OK(mount("t", "m/x", "tmpfs", 0, NULL));
  P(mount("m/x", "d", NULL, MS_MOVE, NULL)), OK(umount("m/x")), OK(mount(NULL, "m", NULL, MS_UNBINDABLE, NULL));
  P(mount("m", "d", NULL, MS_BIND, NULL)), P(mount("m", "d", NULL, MS_BIND | MS_REC, NULL)), OK(mount(NULL, "m", NULL, MS_PRIVATE, NULL));
  P(pivot_root("absent", "m")), P(pivot_root("m", "absent")), P(pivot_root("f", "m")), P(pivot_root("m", "f")), P(pivot_root("d", "d")), P(pivot_root("/", "/")), P(pivot_root("m", "d")), P(pivot_root("m/put", "m/put")), P(pivot_root(wild, "m")), P(pivot_root("m", wild)), P(pivot_root("", ""));
}

static void test_unprivileged(void) {
  struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY};
  pid_t pid;
  IN_CHILD(pid) {
    OK(setuid(1000));
    P(fsopen("no such", 99)), P(fspick(AT_FDCWD, "absent", 99)), P(open_tree(AT_FDCWD, "m", OPEN_TREE_CLONE)), P(close(open_tree(AT_FDCWD, "m", 0))), P(move_mount(-1, "", -1, "", 0x7777)), P(pivot_root("absent", "absent")), P(mount_setattr(AT_FDCWD, "absent", 0, &attributes, sizeof attributes)), P(mount_setattr(AT_FDCWD, "absent", 0, wild, sizeof attributes)), P(mount_setattr(AT_FDCWD, "absent", 0, wild, 8)), P(fsmount(-1, 99, 99));
    fflush(NULL);
  }
  WAIT_OK(pid);
  OK(umount("m"));
}

int main(void) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  snprintf(place, sizeof place, "%.200s/m", enter_own_mounts());
  OK(mkdir("m", 0755)), OK(mkdir("d", 0755)), write_file("f", "");
  test_configuration();
  test_places();
  test_attributes();
  test_flags();
  test_options();
  test_moves();
  test_unprivileged();
  return 0;
}
