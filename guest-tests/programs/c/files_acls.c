// Access control lists (acl(5)): set and read as attributes, checked at each access, in step with modes, inherited by new files.
#include "check.h"
#include <grp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/xattr.h>

#define ACCESS "system.posix_acl_access"
#define DEFAULT "system.posix_acl_default"

enum { OWNER = 1, USER = 2, GROUP_OBJ = 4, GROUP = 8, MASK = 0x10, OTHER = 0x20 };

struct entry { uint16_t tag, perm; uint32_t id; };
struct list { uint32_t version; struct entry entries[16]; };

#define ENTRIES(...) ((struct list){2, {__VA_ARGS__}})
#define SIZE(count) (4 + 8 * (count))

static int set(const char *path, const char *name, struct list list, int count) {
  return lsetxattr(path, name, &list, SIZE(count), 0);
}

// The entry with the tag in a list; -1 if there is none.
static int entry(const char *path, const char *name, int tag, uint32_t id) {
  struct list list;
  ssize_t size = getxattr(path, name, &list, sizeof list);
  if (size < 0) return -1;
  for (int i = 0; i < (size - 4) / 8; i++)
    if (list.entries[i].tag == tag && (tag & (USER | GROUP) ? list.entries[i].id == id : 1)) return list.entries[i].perm;
  return -1;
}

static unsigned mode(const char *path) {
  struct stat status;
  OK(lstat(path, &status));
  return status.st_mode & 07777;
}

// Whether a user in a group may access the path.
static int may(uid_t uid, gid_t gid, const char *path, int access) {
  pid_t child = fork();
  if (child == 0) {
    if (setgroups(0, NULL) || setgid(gid) || setuid(uid)) _exit(9);
    _exit(faccessat(AT_FDCWD, path, access, AT_EACCESS) == 0 ? 1 : errno == EACCES ? 0 : 9);
  }
  int status;
  OK(waitpid(child, &status, 0));
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) != 9);
  return WEXITSTATUS(status);
}

static void checks_of_values(void) {
  struct list list = ENTRIES({OWNER, 6, -1}, {USER, 7, 1000}, {GROUP_OBJ, 4, -1}, {MASK, 6, -1}, {OTHER, 0, -1});
  CHECK_ERRNO(getxattr("file", ACCESS, NULL, 0), ENODATA);
  CHECK_ERRNO(setxattr("file", ACCESS, &list, 3, 0), EINVAL);
  CHECK_ERRNO(setxattr("file", ACCESS, &list, SIZE(5) - 1, 0), EINVAL);
  CHECK_ERRNO(setxattr("file", ACCESS, &list, SIZE(4), 0), EINVAL);
  list.version = 1;
  CHECK_ERRNO(setxattr("file", ACCESS, &list, SIZE(5), 0), EOPNOTSUPP);
  list.version = 2;
  list.entries[1].perm = 8;
  CHECK_ERRNO(setxattr("file", ACCESS, &list, SIZE(5), 0), EINVAL);
  CHECK_ERRNO(set("file", ACCESS, ENTRIES({OWNER, 6}, {USER, 6, 5}, {GROUP_OBJ, 6}, {OTHER, 6}), 4), EINVAL);
  CHECK_ERRNO(set("file", ACCESS, ENTRIES({GROUP_OBJ, 6}, {OWNER, 6}, {OTHER, 6}), 3), EINVAL);
  CHECK_ERRNO(set("file", ACCESS, ENTRIES({OWNER, 6}, {GROUP_OBJ, 6}, {3, 1}, {OTHER, 6}), 4), EINVAL);
  CHECK_ERRNO(set("file", ACCESS, ENTRIES({OWNER, 6}, {USER, 6, -1}, {GROUP_OBJ, 6}, {MASK, 1}, {OTHER, 6}), 5), EINVAL);
  CHECK_ERRNO(set("file", DEFAULT, ENTRIES({OWNER, 6}, {GROUP_OBJ, 6}, {OTHER, 6}), 3), EACCES);
  OK(setxattr("file", DEFAULT, NULL, 0, 0));
  OK(removexattr("file", DEFAULT));
  OK(removexattr("file", ACCESS));
  OK(symlink("file", "link"));
  CHECK_ERRNO(set("link", ACCESS, ENTRIES({OWNER, 6}, {GROUP_OBJ, 6}, {OTHER, 6}), 3), EOPNOTSUPP);
  CHECK_ERRNO(lgetxattr("link", ACCESS, NULL, 0), EOPNOTSUPP);
  OK(unlink("link"));
  CHECK_ERRNO(getxattr("/proc/version", ACCESS, NULL, 0), EOPNOTSUPP);
  CHECK_ERRNO(set("/proc/version", ACCESS, ENTRIES({OWNER, 6}, {GROUP_OBJ, 6}, {OTHER, 6}), 3), EOPNOTSUPP);
}

static void a_list_decides(void) {
  OK(chown("file", 1000, 1000));
  OK(chmod("file", 04755));
  // What the mode says alone is not kept as a list.
  OK(set("file", ACCESS, ENTRIES({OWNER, 6, -1}, {GROUP_OBJ, 4, -1}, {OTHER, 0, -1}), 3));
  CHECK_EQ(mode("file"), 04640);
  CHECK_ERRNO(getxattr("file", ACCESS, NULL, 0), ENODATA);
  OK(set("file", ACCESS,
         ENTRIES({OWNER, 6, -1}, {USER, 7, 2000}, {USER, 0, 2001}, {GROUP_OBJ, 1, -1}, {GROUP, 6, 3000}, {MASK, 6, -1}, {OTHER, 1, -1}), 7));
  CHECK_EQ(mode("file"), 04661);
  CHECK_EQ(getxattr("file", ACCESS, NULL, 0), SIZE(7));
  char names[256];
  CHECK_EQ(listxattr("file", names, sizeof names), sizeof ACCESS);
  CHECK(strcmp(names, ACCESS) == 0);
  CHECK(may(1000, 9, "file", R_OK | W_OK) && !may(1000, 9, "file", X_OK));
  CHECK(may(2000, 9, "file", R_OK | W_OK) && !may(2000, 9, "file", X_OK));
  CHECK(!may(2001, 9, "file", R_OK) && !may(2001, 3000, "file", R_OK) && !may(2001, 9, "file", X_OK));
  CHECK(!may(5, 1000, "file", R_OK) && !may(5, 1000, "file", X_OK));
  CHECK(may(5, 3000, "file", R_OK | W_OK) && !may(5, 3000, "file", X_OK));
  CHECK(may(5, 5, "file", X_OK) && !may(5, 5, "file", R_OK));
  // chmod changes the mask and not the group.
  OK(chmod("file", 0744));
  CHECK_EQ(entry("file", ACCESS, MASK, 0), 4);
  CHECK_EQ(entry("file", ACCESS, GROUP_OBJ, 0), 1);
  CHECK_EQ(entry("file", ACCESS, OWNER, 0), 7);
  CHECK_EQ(entry("file", ACCESS, OTHER, 0), 4);
  CHECK_EQ(entry("file", ACCESS, USER, 2000), 7);
  CHECK(may(2000, 9, "file", R_OK) && !may(2000, 9, "file", W_OK));
  pid_t child;
  IN_CHILD(child) {
    OK(setgid(2000));
    OK(setuid(2000));
    // Reading a list asks for no permission, changing it for the owner.
    CHECK_EQ(entry("file", ACCESS, MASK, 0), 4);
    CHECK_ERRNO(set("file", ACCESS, ENTRIES({OWNER, 6, -1}, {GROUP_OBJ, 4, -1}, {OTHER, 0, -1}), 3), EPERM);
    CHECK_ERRNO(removexattr("file", ACCESS), EPERM);
  }
  WAIT_OK(child);
  OK(removexattr("file", ACCESS));
  CHECK_EQ(mode("file"), 0744);
  CHECK(may(5, 1000, "file", R_OK));
  // A group that the owner is not in: the set-group-ID bit goes.
  OK(chmod("file", 02755));
  IN_CHILD(child) {
    OK(setgroups(0, NULL));
    OK(setgid(77));
    OK(setuid(1000));
    OK(set("file", ACCESS, ENTRIES({OWNER, 7, -1}, {GROUP_OBJ, 5, -1}, {OTHER, 5, -1}), 3));
    CHECK_EQ(mode("file"), 0755);
  }
  WAIT_OK(child);
}

static void new_files_inherit(void) {
  umask(077);
  OK(mkdir("directory", 0700));
  struct list list =
    ENTRIES({OWNER, 7, -1}, {USER, 7, 2000}, {GROUP_OBJ, 5, -1}, {GROUP, 4, 3000}, {MASK, 7, -1}, {OTHER, 1, -1});
  OK(set("directory", DEFAULT, list, 6));
  CHECK_EQ(mode("directory"), 0700);
  CHECK_ERRNO(getxattr("directory", ACCESS, NULL, 0), ENODATA);
  // The list decides and not the umask, within what was asked for.
  OK(close(OK(open("directory/file", O_CREAT | O_RDWR, 0666))));
  CHECK_EQ(mode("directory/file"), 0660);
  CHECK_EQ(entry("directory/file", ACCESS, MASK, 0), 6);
  CHECK_EQ(entry("directory/file", ACCESS, USER, 2000), 7);
  CHECK_EQ(entry("directory/file", ACCESS, GROUP_OBJ, 0), 5);
  CHECK_ERRNO(getxattr("directory/file", DEFAULT, NULL, 0), ENODATA);
  OK(mkdir("directory/below", 0770));
  CHECK_EQ(mode("directory/below"), 0770);
  CHECK_EQ(entry("directory/below", ACCESS, USER, 2000), 7);
  CHECK_EQ(entry("directory/below", DEFAULT, USER, 2000), 7);
  CHECK_EQ(entry("directory/below", DEFAULT, OTHER, 0), 1);
  OK(mkfifo("directory/fifo", 0666));
  CHECK_EQ(mode("directory/fifo"), 0660);
  OK(symlink("x", "directory/link"));
  CHECK_EQ(mode("directory/link"), 0777);
  int bound = OK(socket(AF_UNIX, SOCK_STREAM, 0));
  struct sockaddr_un address = {AF_UNIX, "directory/socket"};
  OK(bind(bound, (void *)&address, sizeof address));
  // What bind(2) makes has lost the umask before.
  CHECK_EQ(mode("directory/socket"), 0700);
  int fd = OK(open("directory", O_TMPFILE | O_RDWR, 0644));
  struct stat status;
  OK(fstat(fd, &status));
  CHECK_EQ(status.st_mode & 0777, 0640);
  CHECK_EQ(fgetxattr(fd, ACCESS, NULL, 0), SIZE(6));
  OK(close(fd));
  OK(close(bound));
  // A list that says what a mode can say leaves none behind.
  OK(set("directory", DEFAULT, ENTRIES({OWNER, 7, -1}, {GROUP_OBJ, 5, -1}, {OTHER, 4, -1}), 3));
  OK(close(OK(open("directory/plain", O_CREAT | O_RDWR, 0666))));
  CHECK_EQ(mode("directory/plain"), 0644);
  CHECK_ERRNO(getxattr("directory/plain", ACCESS, NULL, 0), ENODATA);
  OK(removexattr("directory", DEFAULT));
  OK(close(OK(open("directory/masked", O_CREAT | O_RDWR, 0666))));
  CHECK_EQ(mode("directory/masked"), 0600);
  static const char *const names[] = {"file", "fifo", "link", "socket", "plain", "masked"};
  OK(chdir("directory"));
  for (size_t i = 0; i < COUNT(names); i++) OK(unlink(names[i]));
  OK(rmdir("below"));
  OK(chdir(".."));
  OK(rmdir("directory"));
  umask(0);
}

static void in_directory(const char *pattern, int is_mounted) {
  char directory[64];
  strcpy(directory, pattern);
  CHECK(mkdtemp(directory) != NULL);
  if (is_mounted) OK(mount("tmpfs", directory, "tmpfs", 0, "mode=755"));
  OK(chmod(directory, 0755));
  OK(chdir(directory));
  OK(close(OK(open("file", O_CREAT | O_RDWR, 0644))));
  checks_of_values();
  a_list_decides();
  new_files_inherit();
  OK(unlink("file"));
  OK(chdir("/"));
  if (is_mounted) OK(umount(directory));
  OK(rmdir(directory));
}

int main(void) {
  umask(0);
  OK(unshare(CLONE_NEWNS));
  OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
  in_directory("/tmp/acls-XXXXXX", 0);
  in_directory("/tmp/acls-XXXXXX", 1);
  return 0;
}
