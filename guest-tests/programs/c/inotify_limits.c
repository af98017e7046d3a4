// How much of inotify a user may have (man 7 inotify, "/proc interfaces"): instances, watches, queued events. The settings of
// Linux are left as they are; inside, they are changed too.
// timeout: 120
// static
#include "check.h"
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/utsname.h>

enum { USER = 54321 };

static const char *setting_path(const char *name) {
  static char path[64];
  snprintf(path, sizeof path, "/proc/sys/fs/inotify/%s", name);
  return path;
}

static long limit(const char *name) {
  char text[32];
  read_file(setting_path(name), text, sizeof text);
  return atol(text);
}

static int set_limit(const char *name, const char *text) {
  int file = OK(open(setting_path(name), O_WRONLY));
  int written = write(file, text, strlen(text)), error = errno;
  OK(close(file));
  errno = error;
  return written < 0 ? -1 : 0;
}

static void become_user(void) {
  OK(syscall(SYS_setgroups, 0, NULL));
  OK(setresgid(USER, USER, USER));
  OK(setresuid(USER, USER, USER));
}

static void test_instances(void) {
  long most = limit("max_user_instances");
  if (most > 4000) return; // Descriptors would end first.
  struct rlimit files = {5000, 5000};
  pid_t pid;
  IN_CHILD(pid) {
    OK(setrlimit(RLIMIT_NOFILE, &files));
    become_user();
    int last = -1;
    for (long i = 0; i < most; i++) last = OK(inotify_init());
    CHECK_ERRNO(inotify_init1(IN_CLOEXEC), EMFILE);
    pid_t other;
    IN_CHILD(other) CHECK_ERRNO(inotify_init(), EMFILE);
    WAIT_OK(other);
    OK(close(last));
    OK(inotify_init());
  }
  WAIT_OK(pid);
  // All of it has been given back.
  IN_CHILD(pid) {
    become_user();
    OK(inotify_init());
  }
  WAIT_OK(pid);
}

static void test_queue(void) {
  long most = limit("max_queued_events");
  if (most > 100000) return;
  int instance = OK(inotify_init1(IN_NONBLOCK));
  write_file("f", "x");
  int watch = OK(inotify_add_watch(instance, "f", IN_ACCESS | IN_MODIFY));
  int file = OK(open("f", O_RDWR));
  char byte = 'x';
  for (long i = 0; i < most + 20; i++) CHECK_EQ(i % 2 ? pread(file, &byte, 1, 0) : pwrite(file, &byte, 1, 0), 1);
  long count = 0;
  struct inotify_event events[64];
  ssize_t length;
  while ((length = read(instance, events, sizeof events)) > 0) {
    for (size_t i = 0; i < length / sizeof events[0]; i++, count++) {
      int is_last = count == most;
      CHECK_EQ(events[i].wd, is_last ? -1 : watch);
      CHECK_EQ(events[i].mask, is_last ? IN_Q_OVERFLOW : count % 2 ? IN_ACCESS : IN_MODIFY);
      CHECK_EQ(events[i].cookie, 0);
    }
  }
  CHECK_EQ(count, most + 1);
  // After one has been taken out there is room for none, since what says that events were lost is in the queue too.
  for (long i = 0; i < most + 20; i++) CHECK_EQ(i % 2 ? pread(file, &byte, 1, 0) : pwrite(file, &byte, 1, 0), 1);
  CHECK_EQ(read(instance, events, sizeof events[0]), sizeof events[0]);
  CHECK_EQ(pwrite(file, &byte, 1, 0), 1);
  for (count = 0; (length = read(instance, events, sizeof events)) > 0;) count += length / sizeof events[0];
  CHECK_EQ(count, most);
  CHECK_EQ(pwrite(file, &byte, 1, 0), 1);
  CHECK_EQ(read(instance, events, sizeof events), sizeof events[0]);
  CHECK_EQ(events[0].mask, IN_MODIFY);
  OK(close(file)), OK(close(instance));
  OK(unlink("f"));
}

static void test_watches(long most) {
  pid_t pid;
  OK(mkdir("files", 0777)), OK(chmod("files", 0777));
  IN_CHILD(pid) {
    become_user();
    int instances[2] = {OK(inotify_init()), OK(inotify_init())}, watch = 0;
    char name[32];
    for (long i = 0; i <= most; i++) {
      snprintf(name, sizeof name, "files/%ld", i);
      write_file(name, "");
      if (i < most) watch = OK(inotify_add_watch(instances[i % 2], name, IN_OPEN));
    }
    CHECK_ERRNO(inotify_add_watch(instances[0], name, IN_OPEN), ENOSPC);
    snprintf(name, sizeof name, "files/%ld", most - 1);
    CHECK_EQ(inotify_add_watch(instances[(most - 1) % 2], name, IN_OPEN | IN_MODIFY), watch);
    OK(inotify_rm_watch(instances[(most - 1) % 2], watch));
    OK(inotify_add_watch(instances[0], name, IN_OPEN));
    CHECK_ERRNO(inotify_add_watch(instances[0], "files", IN_OPEN), ENOSPC);
    // The end of a file is the end of its watch.
    OK(unlink(name));
    OK(inotify_add_watch(instances[0], "files", IN_OPEN));
    OK(close(instances[0])), OK(close(instances[1]));
    OK(inotify_add_watch(OK(inotify_init()), "files", IN_OPEN));
    for (long i = 0; i <= most; i++) snprintf(name, sizeof name, "files/%ld", i), unlink(name);
  }
  WAIT_OK(pid);
  OK(rmdir("files"));
}

static void test_settings(void) {
  static const char *names[] = {"max_queued_events", "max_user_instances", "max_user_watches"};
  for (size_t i = 0; i < COUNT(names); i++) {
    long before = limit(names[i]);
    CHECK_ERRNO(set_limit(names[i], "-1"), EINVAL);
    CHECK_ERRNO(set_limit(names[i], "4294967296"), EINVAL);
    CHECK_EQ(limit(names[i]), before);
    OK(set_limit(names[i], "10\n"));
    CHECK_EQ(limit(names[i]), 10);
    test_instances();
    test_queue();
    if (i == 2) test_watches(10);
    char text[32];
    snprintf(text, sizeof text, "%ld", before);
    OK(set_limit(names[i], text));
  }
}

int main(void) {
  struct utsname name;
  OK(uname(&name));
  enter_scratch();
  test_instances();
  test_queue();
  if (strstr(name.release, "palisade") != NULL || getenv("CHANGE_LIMITS") != NULL) test_settings();
  return 0;
}
