// Set-ID bits: what new files inherit of their directory, who may set the bits, and what takes them; sticky directories.
// static
#include "check.h"
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <sys/xattr.h>

enum { OWNER = 1001, OTHER = 1002, GROUP = 2001, FOREIGN = 2002 };

static unsigned mode_of(const char *path) {
  struct stat status;
  OK(lstat(path, &status));
  return status.st_mode & 07777;
}

static unsigned group_of(const char *path) {
  struct stat status;
  OK(lstat(path, &status));
  return status.st_gid;
}

// Runs what follows as OWNER, who is in GROUP alone.
#define AS_OWNER(pid) \
  IN_CHILD(pid) \
    for (become(OWNER, GROUP);; _exit(0))

static void become(int uid, int gid) {
  OK(syscall(SYS_setgroups, 0, NULL));
  OK(setresgid(gid, gid, gid));
  OK(setresuid(uid, uid, uid));
  OK(prctl(PR_SET_DUMPABLE, 1));
}

// Makes a file in each way there is, in the working directory.
static void make_all(unsigned mode) {
  umask(0);
  OK(close(OK(open("created", O_WRONLY | O_CREAT | O_EXCL, mode))));
  OK(mknod("node", S_IFREG | mode, 0));
  OK(mkfifo("fifo", mode));
  int file = OK(open(".", O_TMPFILE | O_RDWR, mode));
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", file);
  OK(linkat(AT_FDCWD, path, AT_FDCWD, "temporary", AT_SYMLINK_FOLLOW));
  OK(close(file));
  OK(mkdir("directory", mode));
  OK(symlink("nowhere", "link"));
}

static void remove_all(void) {
  OK(unlink("created")), OK(unlink("node")), OK(unlink("fifo")), OK(unlink("temporary")), OK(rmdir("directory")), OK(unlink("link"));
}

static void check_all(unsigned mode, unsigned directory_mode, unsigned group) {
  static const char *names[] = {"created", "node", "fifo", "temporary"};
  for (size_t i = 0; i < COUNT(names); i++) {
    CHECK_CASE(mode_of(names[i]) == mode, "%s has mode %o instead of %o", names[i], mode_of(names[i]), mode);
    CHECK_CASE(group_of(names[i]) == group, "%s has group %u", names[i], group_of(names[i]));
  }
  CHECK_EQ(mode_of("directory"), directory_mode);
  CHECK_EQ(group_of("directory"), group);
  CHECK_EQ(group_of("link"), group);
}

static void test_creation(void) {
  OK(mkdir("plain", 0777)), OK(chmod("plain", 0777));
  OK(mkdir("setgid", 0777)), OK(chown("setgid", 0, FOREIGN)), OK(chmod("setgid", 02777));
  OK(mkdir("own", 0777)), OK(chown("own", 0, GROUP)), OK(chmod("own", 02777));
  pid_t pid;
  AS_OWNER(pid) {
    OK(chdir("plain")), make_all(0640), check_all(0640, 0640, GROUP), remove_all();
    make_all(02775), check_all(02775, 0775, GROUP), remove_all();
    OK(chdir("../setgid")), make_all(0640), check_all(0640, 02640, FOREIGN), remove_all();
    // Only who is in the group makes what is executed with it.
    make_all(02775), check_all(0775, 02775, FOREIGN), remove_all();
    make_all(02765), check_all(02765, 02765, FOREIGN), remove_all();
    make_all(06711), check_all(04711, 02711, FOREIGN), remove_all();
    OK(chdir("../own")), make_all(02775), check_all(02775, 02775, GROUP), remove_all();
    OK(mkdir("below", 0700)), OK(mkdir("below/below", 01700));
    CHECK_EQ(mode_of("below/below"), 03700);
    OK(rmdir("below/below")), OK(rmdir("below"));
    umask(077), OK(mkdir("masked", 0777)), OK(close(OK(creat("file", 06777))));
    CHECK_EQ(mode_of("masked"), 02700);
    CHECK_EQ(mode_of("file"), 06700);
    OK(rmdir("masked")), OK(unlink("file"));
  }
  WAIT_OK(pid);
  umask(0);
  OK(chdir("setgid")), make_all(02775), check_all(02775, 02775, FOREIGN), remove_all(), OK(chdir("..")); // CAP_FSETID.
  OK(rmdir("plain")), OK(rmdir("setgid")), OK(rmdir("own"));
  umask(022);
}

static void make_file(const char *name, int uid, int gid, unsigned mode) {
  write_file(name, "content");
  OK(chown(name, uid, gid));
  OK(chmod(name, mode));
}

// chmod(2) by the owner of a file whose group he is not in.
static void test_chmod(void) {
  make_file("f", OWNER, FOREIGN, 0600);
  OK(mkdir("d", 0700)), OK(chown("d", OWNER, FOREIGN));
  pid_t pid;
  AS_OWNER(pid) {
    OK(chmod("f", 07755));
    CHECK_EQ(mode_of("f"), 05755);
    OK(chmod("f", 02644));
    CHECK_EQ(mode_of("f"), 0644);
    OK(chmod("d", 02755));
    CHECK_EQ(mode_of("d"), 0755);
    int file = OK(open("f", O_RDONLY));
    OK(fchmod(file, 02711));
    CHECK_EQ(mode_of("f"), 0711);
    OK(fchmodat(AT_FDCWD, "f", 02701, 0));
    CHECK_EQ(mode_of("f"), 0701);
    // He may give it to his own group, and then set the bit.
    OK(chown("f", -1, GROUP)), OK(chmod("f", 02755));
    CHECK_EQ(mode_of("f"), 02755);
    CHECK_ERRNO(chown("f", -1, FOREIGN), EPERM);
    CHECK_ERRNO(chown("f", OTHER, -1), EPERM);
  }
  WAIT_OK(pid);
  OK(unlink("f")), OK(rmdir("d"));
}

// What chown(2) takes, from whom.
static void test_chown(void) {
  struct { int gid; unsigned before, by_owner, by_root; } cases[] = {
      {GROUP, 06755, 0755, 0755},     {GROUP, 06745, 02745, 02745},   {GROUP, 02755, 0755, 0755},
      {GROUP, 02645, 02645, 02645},   {FOREIGN, 06745, 0745, 02745},  {FOREIGN, 02644, 0644, 02644},
      {FOREIGN, 04711, 0711, 0711},   {FOREIGN, 01755, 01755, 01755},
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    for (int is_root = 0; is_root < 2; is_root++) {
      make_file("f", OWNER, cases[i].gid, cases[i].before);
      pid_t pid;
      IN_CHILD(pid) {
        if (!is_root) become(OWNER, GROUP);
        OK(chown("f", OWNER, -1));
      }
      WAIT_OK(pid);
      unsigned expected = is_root ? cases[i].by_root : cases[i].by_owner;
      CHECK_CASE(mode_of("f") == expected, "%o of group %d became %o", cases[i].before, cases[i].gid, mode_of("f"));
      OK(unlink("f"));
    }
  }
  OK(mkdir("d", 0755)), OK(chown("d", OWNER, FOREIGN)), OK(chmod("d", 06755)), OK(chown("d", OWNER, GROUP));
  CHECK_EQ(mode_of("d"), 06755);
  OK(rmdir("d"));
}

static void by_write(int file) { CHECK_EQ(write(file, "x", 1), 1); }
static void by_pwritev(int file) {
  struct iovec vector = {"x", 1};
  CHECK_EQ(pwritev(file, &vector, 1, 3), 1);
}
static void by_truncate(int file) {
  (void)file;
  OK(truncate("f", 3));
}
static void by_ftruncate(int file) { OK(ftruncate(file, 3)); }
static void by_fallocate(int file) { OK(posix_fallocate(file, 0, 4096)); }
static void by_open(int file) {
  (void)file;
  OK(close(OK(open("f", O_WRONLY | O_TRUNC))));
}
static void by_splice(int file) {
  int pair[2];
  OK(pipe(pair));
  CHECK_EQ(write(pair[1], "x", 1), 1);
  CHECK_EQ(splice(pair[0], NULL, file, NULL, 1, 0), 1);
}
static void by_sendfile(int file) {
  int source = OK(open("/proc/self/exe", O_RDONLY));
  CHECK_EQ(sendfile(file, source, NULL, 1), 1);
}

// Whoever changes the contents takes the bits, and capabilities, unless he may set them.
static void test_contents(void) {
  static void (*const ways[])(int) = {by_write, by_pwritev, by_truncate, by_ftruncate, by_fallocate, by_open, by_splice, by_sendfile};
  static const uint32_t capability[5] = {0x02000001, 1 << 10, 0, 0, 0};
  struct { int gid; unsigned before, after; } cases[] = {
      {GROUP, 06777, 0777}, {GROUP, 06767, 02767}, {FOREIGN, 06777, 0777}, {FOREIGN, 02767, 0767}, {GROUP, 04666, 0666}, {GROUP, 01666, 01666},
  };
  for (size_t way = 0; way < COUNT(ways); way++) {
    for (size_t i = 0; i < COUNT(cases); i++) {
      pid_t pid;
      make_file("f", 0, cases[i].gid, cases[i].before);
      OK(setxattr("f", "security.capability", capability, sizeof capability, 0));
      AS_OWNER(pid) ways[way](OK(open("f", O_RDWR)));
      WAIT_OK(pid);
      CHECK_CASE(mode_of("f") == cases[i].after, "way %zu: %o became %o", way, cases[i].before, mode_of("f"));
      CHECK_ERRNO(getxattr("f", "security.capability", NULL, 0), ENODATA);
      OK(unlink("f"));
    }
    make_file("f", OWNER, FOREIGN, 06755);
    OK(setxattr("f", "security.capability", capability, sizeof capability, 0));
    int file = OK(open("f", O_RDWR));
    ways[way](file), OK(close(file));
    CHECK_EQ(mode_of("f"), 06755); // CAP_FSETID.
    CHECK_ERRNO(getxattr("f", "security.capability", NULL, 0), ENODATA);
    OK(unlink("f"));
  }
  // Nothing written takes nothing.
  make_file("f", 0, GROUP, 06777);
  pid_t pid;
  AS_OWNER(pid) CHECK_EQ(write(OK(open("f", O_RDWR)), "", 0), 0);
  WAIT_OK(pid);
  CHECK_EQ(mode_of("f"), 06777);
  OK(unlink("f"));
}

// In a sticky directory only the owner of a file, or of the directory, removes or renames it.
static void test_sticky(void) {
  OK(mkdir("t", 0777)), OK(chown("t", OTHER, OTHER)), OK(chmod("t", 01777));
  make_file("t/theirs", OTHER, OTHER, 0666), make_file("t/his", OWNER, GROUP, 0666), make_file("t/another", OTHER, OTHER, 0666);
  OK(mkdir("t/d", 0777)), OK(chmod("t/d", 0777));
  pid_t pid;
  AS_OWNER(pid) {
    CHECK_ERRNO(unlink("t/theirs"), EPERM);
    CHECK_ERRNO(rename("t/theirs", "t/x"), EPERM);
    CHECK_ERRNO(rename("t/his", "t/theirs"), EPERM);
    CHECK_ERRNO(renameat2(AT_FDCWD, "t/his", AT_FDCWD, "t/theirs", RENAME_EXCHANGE), EPERM);
    CHECK_ERRNO(renameat2(AT_FDCWD, "t/his", AT_FDCWD, "t/theirs", RENAME_NOREPLACE), EEXIST);
    CHECK_ERRNO(rmdir("t/d"), EPERM);
    CHECK_ERRNO(rename("t/d", "t/e"), EPERM);
    // Who may is asked before what it is.
    CHECK_ERRNO(rmdir("t/theirs"), EPERM);
    CHECK_ERRNO(unlink("t/d"), EPERM);
    CHECK_ERRNO(rename("t/his", "t/d"), EPERM);
    OK(rename("t/his", "t/hers")), OK(link("t/theirs", "t/linked"));
    CHECK_ERRNO(unlink("t/linked"), EPERM);
    // Two names of one file: nothing happens, and nobody is asked.
    OK(rename("t/linked", "t/theirs"));
    OK(unlink("t/hers"));
    OK(close(OK(open("t/theirs", O_RDWR))));
  }
  WAIT_OK(pid);
  IN_CHILD(pid) {
    become(OTHER, OTHER);
    make_file("t/own", OTHER, OTHER, 0600);
    OK(unlink("t/theirs")), OK(unlink("t/own")), OK(unlink("t/linked")), OK(rmdir("t/d"));
  }
  WAIT_OK(pid);
  OK(unlink("t/another")), OK(rmdir("t"));
}

static void test_all(void) {
  test_creation();
  test_chmod();
  test_chown();
  test_contents();
  test_sticky();
}

int main(void) {
  enter_scratch();
  OK(chmod(".", 0777));
  test_all();
  OK(mkdir("memory", 0755));
  pid_t pid;
  IN_CHILD(pid) {
    OK(unshare(CLONE_NEWNS)), OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
    OK(mount("test", "memory", "tmpfs", 0, "mode=777")), OK(chdir("memory"));
    test_all();
  }
  WAIT_OK(pid);
  return 0;
}
