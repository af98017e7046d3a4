// What is forbidden in directories that many may write to (man 5 proc_sys_fs): fs.protected_hardlinks, _symlinks, _fifos and
// _regular. The settings of Linux are left as they are and what they say is checked; inside, each is set to each value.
// timeout: 120
// static
#include "check.h"
#include <sched.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

enum { ROOT = 0, OWNER = 1001, OTHER = 1002, GROUP = 1003 };

static int may_change;

static const char *setting_path(const char *name) {
  static char path[64];
  snprintf(path, sizeof path, "/proc/sys/fs/protected_%s", name);
  return path;
}

static int level(const char *name) {
  char text[16];
  read_file(setting_path(name), text, sizeof text);
  return atoi(text);
}

static int set_level(const char *name, const char *text) {
  int file = OK(open(setting_path(name), O_WRONLY));
  int written = write(file, text, strlen(text)), error = errno;
  OK(close(file));
  errno = error;
  return written < 0 ? -1 : 0;
}

// Does a thing as a user without any capability, and checks that it ends with this errno (0 for success).
#define AS(uid, expected, call) \
  do { \
    pid_t as_pid; \
    IN_CHILD(as_pid) { \
      OK(setgroups_none()); \
      OK(setresgid(uid, uid, uid)); \
      OK(setresuid(uid, uid, uid)); \
      errno = 0; \
      long as_value = (long)(call); \
      int as_error = as_value == -1 ? errno : 0; \
      if (as_error != (expected)) FAIL("failed: %s as %d: errno %d (%s) instead of %d", #call, (int)(uid), as_error, strerror(as_error), (int)(expected)); \
    } \
    WAIT_OK(as_pid); \
  } while (0)

static int setgroups_none(void) { return syscall(SYS_setgroups, 0, NULL); }

static int exists_as(const char *path) {
  struct stat status;
  return stat(path, &status);
}

static void make_directory(const char *name, int owner, int mode) {
  OK(mkdir(name, 0755));
  OK(chown(name, owner, GROUP));
  OK(chmod(name, mode));
}

static void make_link(const char *target, const char *name, int owner) {
  OK(symlink(target, name));
  OK(lchown(name, owner, owner));
}

// Links of others in a sticky directory that everybody may write to are not followed, as last components.
static void test_symbolic_links(int is_protected) {
  int refused = is_protected ? EACCES : 0;
  make_directory("s", OWNER, 01777);
  write_file("target", "x"), OK(chmod("target", 0777));
  OK(mkdir("place", 0777)), OK(chmod("place", 0777));
  write_file("place/file", "y"), OK(chmod("place/file", 0666));
  make_link("../target", "s/others", OTHER);
  make_link("../target", "s/owners", OWNER);
  make_link("../place", "s/place", OTHER);
  make_link("../absent", "s/dangling", OTHER);
  make_link("s/others", "twice", ROOT);
  make_link("s/others/", "slash", ROOT);
  AS(OTHER, 0, exists_as("s/others"));
  AS(GROUP, 0, exists_as("s/owners"));
  AS(GROUP, refused, exists_as("s/others"));
  AS(GROUP, refused, exists_as("twice"));
  AS(GROUP, refused, open("s/others", O_RDONLY));
  AS(GROUP, refused, open("s/others", O_WRONLY | O_CREAT, 0644));
  AS(GROUP, refused, open("s/others", O_PATH));
  AS(GROUP, refused, access("s/others", R_OK));
  AS(GROUP, refused, truncate("s/others", 0));
  AS(GROUP, refused, chdir("s/place"));
  AS(GROUP, refused, exists_as("s/place/"));
  AS(GROUP, refused, open("s/place", O_TMPFILE | O_RDWR, 0600));
  AS(GROUP, refused ? refused : ENOEXEC, execl("s/others", "x", NULL));
  AS(GROUP, refused ? refused : EPERM, chmod("s/others", 0600));
  AS(GROUP, refused ? refused : ENODATA, getxattr("s/others", "user.x", NULL, 0));
  AS(GROUP, refused ? refused : ENOENT, open("s/dangling", O_RDONLY));
  struct statfs fs;
  AS(GROUP, refused, statfs("s/others", &fs));
  // The root of the system is no exception; its owner is.
  AS(ROOT, refused, exists_as("s/others"));
  // On the way to something else they are followed; not followed, they are like others.
  AS(GROUP, 0, exists_as("s/place/file"));
  struct stat status;
  AS(GROUP, 0, lstat("s/others", &status));
  AS(GROUP, ELOOP, open("s/others", O_RDONLY | O_NOFOLLOW));
  char text[64];
  AS(GROUP, 0, readlink("s/others", text, sizeof text));
  // Only the two bits together matter.
  OK(chmod("s", 0777));
  AS(GROUP, 0, exists_as("s/others"));
  OK(chmod("s", 01775));
  AS(GROUP, 0, exists_as("s/others"));
  OK(chmod("s", 01772));
  AS(OTHER, EACCES, exists_as("s/others"));
  OK(unlink("s/others")), OK(unlink("s/owners")), OK(unlink("s/place")), OK(unlink("s/dangling"));
  OK(unlink("twice")), OK(unlink("slash")), OK(unlink("target")), OK(unlink("place/file"));
  OK(rmdir("place")), OK(rmdir("s"));
}

static void make_file(const char *name, int owner, int mode) {
  write_file(name, "");
  OK(chown(name, owner, owner));
  OK(chmod(name, mode));
}

// What one does not own is linked to only if one may read and write it, and it is an ordinary file.
static void test_hard_links(int is_protected) {
  int refused = is_protected ? EPERM : 0;
  make_directory("h", OWNER, 0777);
  make_file("plain", OWNER, 0666);
  make_file("unreadable", OWNER, 0662);
  make_file("unwritable", OWNER, 0644);
  make_file("setuid", OWNER, 04777);
  make_file("setgid", OWNER, 02777);
  make_file("locking", OWNER, 02767);
  OK(mkfifo("fifo", 0666)), OK(chmod("fifo", 0666)), OK(chown("fifo", OWNER, OWNER));
  make_link("plain", "link", OWNER);
  struct { const char *name; int expected; } cases[] = {
      {"plain", 0}, {"unreadable", refused}, {"unwritable", refused}, {"setuid", refused},
      {"setgid", refused}, {"locking", 0}, {"fifo", refused}, {"link", refused},
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    AS(OTHER, cases[i].expected, link(cases[i].name, "h/new"));
    if (cases[i].expected == 0) OK(unlink("h/new"));
    AS(OWNER, 0, link(cases[i].name, "h/new"));
    OK(unlink("h/new"));
    OK(link(cases[i].name, "h/new")); // CAP_FOWNER.
    // What is in the way is told first, what one may not write to after.
    AS(OTHER, EEXIST, link(cases[i].name, "h/new"));
    AS(OTHER, cases[i].expected ? cases[i].expected : EACCES, link(cases[i].name, "new"));
    OK(unlink("h/new"));
    OK(unlink(cases[i].name));
  }
  // Directories come last.
  OK(mkdir("directory", 0777)), OK(chown("directory", OTHER, OTHER));
  AS(OTHER, EACCES, link("directory", "new"));
  AS(OTHER, EPERM, link("directory", "h/new"));
  OK(rmdir("directory")), OK(rmdir("h"));
}

// Files of others in a sticky directory are not opened by who would create them.
static void test_creation(const char *setting, int is_fifo, int strictness) {
  static const int modes[] = {01777, 01775, 01755, 0777};
  for (size_t i = 0; i < COUNT(modes); i++) {
    int is_refused = (modes[i] & 01002) == 01002 ? strictness >= 1 : (modes[i] & 01020) == 01020 && strictness >= 2;
    int refused = is_refused ? EACCES : 0;
    make_directory("c", OWNER, modes[i]);
    const char *names[] = {"c/others", "c/owners"};
    const int owners[] = {OTHER, OWNER};
    for (int j = 0; j < 2; j++) {
      if (is_fifo) OK(mkfifo(names[j], 0666));
      else write_file(names[j], "x");
      OK(chown(names[j], owners[j], owners[j])), OK(chmod(names[j], 0666));
    }
    OK(symlink("c/others", "link"));
    AS(OTHER, 0, open("c/others", O_RDWR | O_CREAT, 0600));
    AS(GROUP, 0, open("c/owners", O_RDWR | O_CREAT, 0600));
    AS(GROUP, refused, open("c/others", O_RDWR | O_CREAT, 0600));
    AS(GROUP, refused, open("c/others", O_RDWR | O_CREAT | O_TRUNC, 0600));
    AS(GROUP, refused, open("link", O_RDWR | O_CREAT, 0600));
    AS(ROOT, refused, open("c/others", O_RDWR | O_CREAT, 0600));
    AS(GROUP, EEXIST, open("c/others", O_RDWR | O_CREAT | O_EXCL, 0600));
    AS(GROUP, 0, open("c/others", O_RDWR));
    AS(GROUP, 0, open("c/others", O_RDWR | O_TRUNC));
    AS(GROUP, 0, open("c/others", O_PATH | O_CREAT));
    OK(unlink("link")), OK(unlink(names[0])), OK(unlink(names[1])), OK(rmdir("c"));
  }
  CHECK_EQ(level(setting), strictness);
}

// For what is neither a regular file nor a FIFO there is no setting, but the rule.
static void test_other_kinds(void) {
  make_directory("k", OWNER, 01777);
  OK(mknod("k/null", S_IFCHR | 0666, makedev(1, 3))), OK(chmod("k/null", 0666)), OK(chown("k/null", OTHER, OTHER));
  make_link("null", "k/link", OTHER);
  int opened = open("k/null", O_RDWR);
  if (opened >= 0) {
    OK(close(opened));
    AS(OTHER, 0, open("k/null", O_RDWR | O_CREAT, 0600));
    AS(GROUP, 0, open("k/null", O_RDWR));
    AS(GROUP, EACCES, open("k/null", O_RDWR | O_CREAT, 0600));
  }
  AS(GROUP, EACCES, open("k/link", O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  AS(GROUP, EISDIR, open("k/", O_RDWR | O_CREAT, 0600));
  OK(unlink("k/null")), OK(unlink("k/link")), OK(rmdir("k"));
}

static void test_all(void) {
  test_symbolic_links(level("symlinks") != 0);
  test_hard_links(level("hardlinks") != 0);
  test_creation("fifos", 1, level("fifos"));
  test_creation("regular", 0, level("regular"));
  test_other_kinds();
}

static void test_settings(void) {
  struct { const char *name; int max; } settings[] = {{"symlinks", 1}, {"hardlinks", 1}, {"fifos", 2}, {"regular", 2}};
  for (size_t i = 0; i < COUNT(settings); i++) {
    int before = level(settings[i].name);
    char text[16];
    for (int value = 0; value <= settings[i].max; value++) {
      snprintf(text, sizeof text, "%d\n", value);
      OK(set_level(settings[i].name, text));
      CHECK_EQ(level(settings[i].name), value);
      test_all();
    }
    snprintf(text, sizeof text, "%d", settings[i].max + 1);
    CHECK_ERRNO(set_level(settings[i].name, text), EINVAL);
    CHECK_ERRNO(set_level(settings[i].name, "-1"), EINVAL);
    CHECK_ERRNO(set_level(settings[i].name, "x"), EINVAL);
    AS(OTHER, EACCES, open(setting_path(settings[i].name), O_WRONLY));
    snprintf(text, sizeof text, "%d\n", before);
    OK(set_level(settings[i].name, text));
  }
}

int main(void) {
  struct utsname name;
  OK(uname(&name));
  may_change = strstr(name.release, "palisade") != NULL || getenv("CHANGE_PROTECTIONS") != NULL;
  enter_scratch();
  umask(0);
  test_all();
  if (may_change) test_settings();
  OK(mkdir("memory", 0755));
  pid_t pid;
  IN_CHILD(pid) {
    OK(unshare(CLONE_NEWNS));
    OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
    OK(mount("test", "memory", "tmpfs", 0, NULL));
    OK(chdir("memory"));
    OK(chmod(".", 0755));
    test_all();
    if (may_change) test_settings();
  }
  WAIT_OK(pid);
  return 0;
}
