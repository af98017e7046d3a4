// What inotify tells, and in what order: the events of each call, to who watches the file, its other name and its directory.
// compared
#include "check.h"
#include <sched.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/xattr.h>

static int instance;
static const char *names[4096];

static const struct { uint32_t bit; const char *name; } bits[] = {
    {IN_ACCESS, "ACCESS"}, {IN_MODIFY, "MODIFY"}, {IN_ATTRIB, "ATTRIB"}, {IN_CLOSE_WRITE, "CLOSE_WRITE"},
    {IN_CLOSE_NOWRITE, "CLOSE_NOWRITE"}, {IN_OPEN, "OPEN"}, {IN_MOVED_FROM, "MOVED_FROM"}, {IN_MOVED_TO, "MOVED_TO"},
    {IN_CREATE, "CREATE"}, {IN_DELETE, "DELETE"}, {IN_DELETE_SELF, "DELETE_SELF"}, {IN_MOVE_SELF, "MOVE_SELF"},
    {IN_UNMOUNT, "UNMOUNT"}, {IN_Q_OVERFLOW, "Q_OVERFLOW"}, {IN_IGNORED, "IGNORED"}, {IN_ISDIR, "ISDIR"},
};

static int watch_for(const char *path, uint32_t mask) {
  int watch = OK(inotify_add_watch(instance, path, mask));
  names[watch] = path;
  return watch;
}

static int watch(const char *path) { return watch_for(path, IN_ALL_EVENTS); }

// Prints what has happened since, after a title.
static void tell(const char *title) {
  static char buffer[65536] __attribute__((aligned(8)));
  static uint32_t first_cookie;
  printf("%s:", title);
  ssize_t length;
  while ((length = read(instance, buffer, sizeof buffer)) > 0) {
    for (char *at = buffer; at < buffer + length;) {
      struct inotify_event *event = (struct inotify_event *)at;
      printf(" [%s", event->wd < 0 ? "-1" : names[event->wd]);
      for (size_t i = 0; i < COUNT(bits); i++)
        if (event->mask & bits[i].bit) printf(" %s", bits[i].name);
      if (event->len) printf(" \"%s\"", event->name[0] == '#' ? "#" : event->name);
      if (event->cookie) {
        if (first_cookie == 0) first_cookie = event->cookie;
        printf(" cookie");
      }
      printf("]");
      at += sizeof *event + event->len;
    }
  }
  CHECK(length == -1 && errno == EAGAIN);
  printf("\n");
}

static void begin(void) { instance = OK(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)); }
static void end(void) {
  tell("rest");
  OK(close(instance));
}

static void test_names(void) {
  begin();
  watch(".");
  write_file("a", "x"), tell("create and write");
  watch("a");
  OK(link("a", "b")), tell("link");
  OK(unlink("b")), tell("unlink of another name");
  OK(link("a", "b")), OK(unlink("a")), tell("link, and unlink of the watched name");
  OK(chmod("b", 0600)), tell("chmod by the other name");
  write_file("b", "y"), tell("write by the other name");
  int file = OK(open("b", O_RDONLY));
  OK(unlink("b")), tell("unlink while open");
  OK(fchmod(file, 0644)), tell("chmod when removed");
  char byte;
  OK(read(file, &byte, 1)), tell("read when removed");
  OK(close(file)), tell("last close");
  write_file("c", ""), watch("c"), tell("again");
  OK(unlink("c")), tell("unlink");
  OK(mkdir("d", 0755)), watch("d"), tell("mkdir");
  OK(rmdir("d")), tell("rmdir");
  OK(mkdir("d", 0755)), watch("d"), file = OK(open("d", O_RDONLY)), tell("open directory");
  OK(rmdir("d")), tell("rmdir while open"), OK(close(file)), tell("close");
  OK(mkdir("d", 0755)), watch("d"), OK(mkdir("d/e", 0755)), watch("d/e"), tell("nested");
  OK(rmdir("d/e")), OK(rmdir("d")), tell("rmdir of both");
  OK(symlink("nowhere", "s")), tell("symlink"), OK(unlink("s")), tell("unlink symlink");
  OK(mkfifo("p", 0644)), tell("fifo"), OK(unlink("p"));
  OK(mknod("n", S_IFREG | 0644, 0)), tell("mknod"), OK(unlink("n")), tell("and unlink");
  int sock = OK(socket(AF_UNIX, SOCK_STREAM, 0));
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "u"};
  OK(bind(sock, (struct sockaddr *)&address, sizeof address)), tell("bind"), OK(unlink("u")), OK(close(sock)), tell("unlink socket");
  end();
}

static void test_renames(void) {
  begin();
  OK(mkdir("x", 0755)), OK(mkdir("y", 0755)), write_file("x/f", ""), write_file("y/g", "");
  watch("x"), watch("y"), watch("x/f"), watch("y/g");
  OK(rename("x/f", "x/h")), tell("rename");
  OK(rename("x/h", "y/h")), tell("to another directory");
  OK(rename("y/h", "y/g")), tell("over another");
  OK(rename("y/g", "y/g")), tell("to itself");
  OK(link("y/g", "y/same")), tell("link"), OK(rename("y/same", "y/g")), tell("to its other name");
  write_file("x/i", ""), watch("x/i"), tell("another");
  OK(renameat2(AT_FDCWD, "x/i", AT_FDCWD, "y/g", RENAME_EXCHANGE)), tell("exchange");
  OK(mkdir("x/m", 0755)), OK(mkdir("y/n", 0755)), watch("x/m"), watch("y/n"), tell("directories");
  OK(rename("x/m", "y/n")), tell("directory over directory");
  int file = OK(open("y/same", O_RDONLY)), other = OK(open("x/i", O_RDONLY));
  tell("open"), OK(rename("x/i", "y/g")), tell("over an open one"), OK(close(file)), OK(close(other)), tell("close");
  OK(unlink("y/same")), OK(unlink("y/g")), OK(rmdir("y/n")), OK(rmdir("x")), OK(rmdir("y")), tell("all removed");
  end();
}

static void test_contents(void) {
  begin();
  watch(".");
  write_file("f", "some text"), watch("f"), tell("made");
  int file = OK(open("f", O_RDWR | O_TRUNC)), pair[2];
  tell("open with O_TRUNC");
  OK(close(OK(open("f", O_WRONLY | O_TRUNC)))), tell("O_TRUNC of an empty file, and close");
  OK(ftruncate(file, 100)), tell("ftruncate");
  OK(ftruncate(file, 100)), tell("ftruncate to the same");
  OK(truncate("f", 50)), tell("truncate");
  OK(posix_fallocate(file, 0, 4096)), tell("fallocate");
  CHECK_EQ(pwrite(file, "text", 4, 0), 4);
  tell("pwrite");
  CHECK_EQ(write(file, "", 0), 0);
  tell("write of nothing");
  CHECK_EQ(pread(file, (char[4]){0}, 4, 0), 4);
  tell("pread");
  CHECK_EQ(pread(file, (char[4]){0}, 4, 10000), 0);
  tell("read at the end");
  OK(pipe(pair));
  off_t offset = 0;
  CHECK_EQ(splice(file, &offset, pair[1], NULL, 4, 0), 4);
  tell("splice out");
  offset = 0;
  CHECK_EQ(splice(pair[0], NULL, file, &offset, 4, 0), 4);
  tell("splice in");
  offset = 0;
  CHECK_EQ(sendfile(pair[1], file, &offset, 4), 4);
  tell("sendfile");
  write_file("g", ""), tell("another");
  int other = OK(open("g", O_RDWR));
  off_t from = 0, to = 0;
  CHECK_EQ(copy_file_range(file, &from, other, &to, 4, 0), 4);
  tell("copy_file_range");
  char *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  CHECK(memory != MAP_FAILED);
  memory[0] = 'm', OK(msync(memory, PAGE, MS_SYNC)), OK(munmap(memory, PAGE)), tell("mmap");
  OK(fsync(file)), tell("fsync");
  OK(close(other)), OK(close(file)), tell("close");
  OK(close(OK(open("f", O_PATH)))), tell("O_PATH");
  CHECK_ERRNO(open("f", O_CREAT | O_EXCL | O_RDWR, 0644), EEXIST);
  tell("O_EXCL");
  OK(close(OK(open("f", O_CREAT | O_RDWR, 0644)))), tell("O_CREAT of what exists");
  OK(close(OK(open(".", O_RDONLY)))), tell("open directory");
  int temporary = OK(open(".", O_TMPFILE | O_RDWR, 0644));
  CHECK_EQ(write(temporary, "t", 1), 1);
  tell("O_TMPFILE");
  OK(linkat(AT_FDCWD, ({ static char path[64]; snprintf(path, sizeof path, "/proc/self/fd/%d", temporary); path; }), AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
  tell("linkat"), OK(close(temporary)), tell("close of it");
  OK(unlink("f")), OK(unlink("g")), OK(unlink("named")), tell("unlink");
  end();
}

static void test_attributes(void) {
  begin();
  OK(mkdir("d", 0755)), write_file("d/f", "");
  watch("d"), watch("d/f");
  OK(chmod("d/f", 0644)), tell("chmod");
  OK(chown("d/f", -1, -1)), tell("chown to nothing");
  OK(chown("d/f", 0, -1)), tell("chown");
  struct timespec both[2] = {{1, 1}, {2, 2}}, accessed[2] = {{3, 3}, {0, UTIME_OMIT}}, modified[2] = {{0, UTIME_OMIT}, {4, 4}}, neither[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
  OK(utimensat(AT_FDCWD, "d/f", both, 0)), tell("both times");
  OK(utimensat(AT_FDCWD, "d/f", NULL, 0)), tell("both times to now");
  OK(utimensat(AT_FDCWD, "d/f", accessed, 0)), tell("access time");
  OK(utimensat(AT_FDCWD, "d/f", modified, 0)), tell("modification time");
  OK(utimensat(AT_FDCWD, "d/f", neither, 0)), tell("neither time");
  OK(setxattr("d/f", "user.a", "v", 1, 0)), tell("setxattr");
  OK(removexattr("d/f", "user.a")), tell("removexattr");
  OK(chmod("d", 0700)), OK(utimensat(AT_FDCWD, "d", modified, 0)), tell("of the directory");
  OK(chmod("d/f", 04755)), tell("setuid");
  OK(chown("d/f", 1, -1)), tell("chown takes it");
  OK(unlink("d/f")), OK(rmdir("d"));
  end();
}

static void test_execution(void) {
  begin();
  OK(mkdir("d", 0755));
  char buffer[4096];
  int from = OK(open("/proc/self/exe", O_RDONLY)), to = OK(open("d/program", O_WRONLY | O_CREAT, 0755));
  for (ssize_t length; (length = OK(read(from, buffer, sizeof buffer))) > 0;) CHECK_EQ(write(to, buffer, length), length);
  OK(close(from)), OK(close(to));
  write_file("d/script", "#!d/program exit\n"), OK(chmod("d/script", 0755));
  watch("d"), watch("d/program");
  pid_t pid;
  IN_CHILD(pid) execl("d/program", "program", "exit", NULL);
  WAIT_EXIT(pid, 7);
  tell("exec");
  IN_CHILD(pid) execl("d/script", "script", NULL);
  WAIT_EXIT(pid, 7);
  tell("exec of a script");
  OK(chmod("d/program", 0644)), tell("chmod");
  CHECK_ERRNO(execl("d/program", "program", NULL), EACCES);
  tell("exec that may not be");
  OK(unlink("d/program")), OK(unlink("d/script")), OK(rmdir("d"));
  end();
}

static void test_options(void) {
  begin();
  OK(mkdir("d", 0755)), write_file("d/f", ""), OK(symlink("d/f", "link")), OK(symlink("d", "dlink"));
  CHECK_ERRNO(inotify_add_watch(instance, "d", 0), EINVAL);
  CHECK_ERRNO(inotify_add_watch(instance, "d", IN_ALL_EVENTS | IN_MASK_ADD | IN_MASK_CREATE), EINVAL);
  CHECK_ERRNO(inotify_add_watch(-1, "d", IN_ALL_EVENTS), EBADF);
  CHECK_ERRNO(inotify_add_watch(0, "d", 0), EINVAL);
  CHECK_ERRNO(inotify_add_watch(instance, "absent", IN_ALL_EVENTS), ENOENT);
  CHECK_ERRNO(inotify_add_watch(instance, "d/f", IN_ALL_EVENTS | IN_ONLYDIR), ENOTDIR);
  CHECK_ERRNO(inotify_add_watch(instance, "dlink", IN_ALL_EVENTS | IN_ONLYDIR | IN_DONT_FOLLOW), ENOTDIR);
  CHECK_ERRNO(inotify_add_watch(instance, wild, IN_ALL_EVENTS), EFAULT);
  CHECK_ERRNO(inotify_rm_watch(instance, 77), EINVAL);
  CHECK_ERRNO(inotify_init1(0x8), EINVAL);
  int directory = OK(open("d", O_RDONLY));
  CHECK_ERRNO(inotify_add_watch(directory, "d", IN_ALL_EVENTS), EINVAL);
  OK(close(directory));
  int watched = watch_for("dlink", IN_ONLYDIR | IN_CREATE);
  CHECK_EQ(watch_for("d", IN_CREATE | IN_MASK_ADD | IN_DELETE), watched);
  write_file("d/g", ""), OK(unlink("d/g")), tell("added");
  CHECK_ERRNO(inotify_add_watch(instance, "d", IN_CREATE | IN_MASK_CREATE), EEXIST);
  CHECK_EQ(watch_for("d", IN_OPEN), watched);
  write_file("d/g", ""), OK(unlink("d/g")), tell("replaced");
  CHECK_EQ(watch_for("d", IN_ONLYDIR), watched);
  write_file("d/g", ""), OK(unlink("d/g")), tell("no events");
  OK(inotify_rm_watch(instance, watched)), tell("removed");
  CHECK_ERRNO(inotify_rm_watch(instance, watched), EINVAL);
  int link_watch = watch_for("link", IN_ALL_EVENTS | IN_DONT_FOLLOW), file_watch = watch("d/f");
  CHECK(link_watch != file_watch && file_watch != watched);
  CHECK_EQ(watch("link"), file_watch);
  OK(lchown("link", 0, 0)), OK(chown("link", 0, 0)), tell("of a link");
  OK(unlink("link")), tell("its end");
  watch_for("d/f", IN_OPEN | IN_CLOSE | IN_ONESHOT);
  write_file("d/f", ""), tell("once");
  watch_for("d", IN_ALL_EVENTS | IN_EXCL_UNLINK), watch_for("d/f", IN_ALL_EVENTS);
  int file = OK(open("d/f", O_RDWR));
  OK(unlink("d/f")), tell("open and unlink");
  CHECK_EQ(write(file, "x", 1), 1);
  OK(fchmod(file, 0600));
  OK(ftruncate(file, 0));
  OK(close(file));
  tell("when removed");
  write_file("d/f", ""), watch_for("d/f", IN_ALL_EVENTS | IN_EXCL_UNLINK), file = OK(open("d/f", O_RDWR)), OK(unlink("d/f")), tell("again");
  CHECK_EQ(write(file, "x", 1), 1);
  OK(fchmod(file, 0600));
  OK(close(file));
  tell("when removed, and excluded");
  end();
}

static void test_queue(void) {
  begin();
  write_file("f", "12345678"), OK(link("f", "longer than sixteen")), watch("."), watch("f");
  int file = OK(open("f", O_RDWR)), length;
  tell("open");
  for (int i = 0; i < 3; i++) CHECK_EQ(pread(file, (char[1]){0}, 1, 0), 1);
  OK(ioctl(instance, FIONREAD, &length)), printf("%d waiting\n", length);
  tell("the same three times");
  for (int i = 0; i < 2; i++) {
    CHECK_EQ(pread(file, (char[1]){0}, 1, 0), 1);
    CHECK_EQ(pwrite(file, "x", 1, 0), 1);
  }
  tell("alternately");
  OK(close(file)), file = OK(open("longer than sixteen", O_RDONLY));
  OK(ioctl(instance, FIONREAD, &length)), printf("%d waiting\n", length);
  char buffer[256];
  CHECK_ERRNO(read(instance, buffer, 15), EINVAL);
  CHECK_ERRNO(read(instance, buffer, 31), EINVAL);
  CHECK_EQ(read(instance, buffer, 33), 32);
  tell("the rest"), OK(close(file)), tell("close");
  CHECK_ERRNO(read(instance, buffer, 256), EAGAIN);
  CHECK_ERRNO(read(instance, buffer, 0), EAGAIN);
  // Renames in a row differ by their cookies alone.
  OK(rename("f", "g")), OK(rename("g", "f")), OK(unlink("f")), OK(unlink("longer than sixteen")), tell("renames");
  end();
}

static void test_unmount(void) {
  pid_t pid;
  IN_CHILD(pid) {
    OK(unshare(CLONE_NEWNS)), OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
    begin();
    OK(mkdir("m", 0755)), OK(mkdir("n", 0755)), OK(mount("test", "m", "tmpfs", 0, NULL)), write_file("m/f", "");
    OK(mount("m", "n", NULL, MS_BIND, NULL));
    watch("m"), watch("m/f");
    OK(umount("m")), tell("first unmount");
    OK(umount("n")), tell("last unmount");
    OK(rmdir("m")), OK(rmdir("n"));
    end();
  }
  WAIT_OK(pid);
}

static void all(void) {
  test_names();
  test_renames();
  test_contents();
  test_attributes();
  test_execution();
  test_options();
  test_queue();
}

int main(int count, char **arguments) {
  if (count > 1 && strcmp(arguments[1], "exit") == 0) return 7;
  setvbuf(stdout, NULL, _IOLBF, 0);
  enter_scratch();
  all();
  test_unmount();
  OK(mkdir("memory", 0755));
  pid_t pid;
  IN_CHILD(pid) {
    OK(unshare(CLONE_NEWNS)), OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
    OK(mount("test", "memory", "tmpfs", 0, NULL)), OK(chdir("memory"));
    printf("tmpfs\n");
    all();
    fflush(NULL);
  }
  WAIT_OK(pid);
  return 0;
}
