// timeout: 60
// POSIX message queues: names, attributes, priorities, waiting, time-outs, notification, poll, the file system.
#include "check.h"

#include <mqueue.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sched.h>
#include <dirent.h>

static char name[64];

static mqd_t make(int flags, long messages, long bytes) {
  struct mq_attr attributes = {.mq_maxmsg = messages, .mq_msgsize = bytes};
  mqd_t queue = mq_open(name, O_CREAT | flags, 0600, &attributes);
  CHECK_CASE(queue >= 0, "%ld messages of %ld bytes", messages, bytes);
  return queue;
}

static void drop(mqd_t queue) {
  OK(mq_close(queue));
  OK(mq_unlink(name));
}

static struct mq_attr attributes_of(mqd_t queue) {
  struct mq_attr attributes;
  OK(mq_getattr(queue, &attributes));
  return attributes;
}

// Receives and compares.
static void expect(mqd_t queue, const char *text, unsigned priority) {
  char buffer[8192];
  unsigned got = 12345;
  CHECK_EQ(mq_receive(queue, buffer, sizeof buffer, &got), strlen(text));
  CHECK_CASE(memcmp(buffer, text, strlen(text)) == 0, "%.*s instead of %s", (int)strlen(text), buffer, text);
  CHECK_EQ(got, priority);
}

static void send_text(mqd_t queue, const char *text, unsigned priority) {
  OK(mq_send(queue, text, strlen(text), priority));
}

static void test_names(void) {
  CHECK_ERRNO(mq_open(name, O_RDWR), ENOENT);
  CHECK_ERRNO(mq_unlink(name), ENOENT);
  CHECK_ERRNO(syscall(SYS_mq_open, "a/b", O_RDWR | O_CREAT, 0600, NULL), EACCES);
  CHECK_ERRNO(syscall(SYS_mq_open, "/a", O_RDWR | O_CREAT, 0600, NULL), EACCES);
  CHECK_ERRNO(syscall(SYS_mq_open, ".", O_RDWR, 0, NULL), EACCES);
  CHECK_ERRNO(syscall(SYS_mq_open, "", O_RDWR | O_CREAT, 0600, NULL), ENOENT);
  CHECK_ERRNO(syscall(SYS_mq_open, wild, O_RDWR, 0, NULL), EFAULT);
  CHECK_ERRNO(syscall(SYS_mq_open, name + 1, O_RDWR | O_CREAT, 0600, wild), EFAULT);
  char longest[300];
  memset(longest, 'x', sizeof longest);
  longest[255] = 0;
  int queue = OK(syscall(SYS_mq_open, longest, O_RDWR | O_CREAT, 0600, NULL));
  OK(close(queue));
  OK(syscall(SYS_mq_unlink, longest));
  longest[255] = 'x';
  longest[256] = 0;
  CHECK_ERRNO(syscall(SYS_mq_open, longest, O_RDWR | O_CREAT, 0600, NULL), ENAMETOOLONG);
  queue = OK(mq_open(name, O_CREAT | O_RDWR, 0640, NULL));
  CHECK_ERRNO(mq_open(name, O_CREAT | O_EXCL | O_RDWR, 0600, NULL), EEXIST);
  CHECK_ERRNO(syscall(SYS_mq_open, name + 1, O_RDWR | O_WRONLY, 0, NULL), EINVAL);
  struct mq_attr attributes = attributes_of(queue);
  CHECK(attributes.mq_flags == 0 && attributes.mq_maxmsg == 10 && attributes.mq_msgsize == 8192 && attributes.mq_curmsgs == 0);
  CHECK_EQ(fcntl(queue, F_GETFD), FD_CLOEXEC);
  struct stat status;
  OK(fstat(queue, &status));
  CHECK_EQ(status.st_mode, S_IFREG | 0640);
  CHECK_EQ(status.st_size, 80);
  CHECK_EQ(status.st_nlink, 1);
  // Without its name it goes on.
  send_text(queue, "left", 3);
  OK(mq_unlink(name));
  CHECK_ERRNO(mq_open(name, O_RDWR), ENOENT);
  expect(queue, "left", 3);
  OK(mq_close(queue));
  CHECK_ERRNO(mq_close(queue), EBADF);
}

static void test_limits(void) {
  static const struct { long messages, bytes; int error; } cases[] = {
      {0, 10, EINVAL}, {10, 0, EINVAL}, {-1, 10, EINVAL}, {10, -1, EINVAL},
      {65537, 1, EINVAL}, {1, (16 << 20) + 1, EINVAL},
  };
  for (size_t index = 0; index < COUNT(cases); index++) {
    struct mq_attr attributes = {.mq_maxmsg = cases[index].messages, .mq_msgsize = cases[index].bytes};
    errno = 0;
    CHECK(mq_open(name, O_CREAT | O_RDWR, 0600, &attributes) == -1);
    CHECK_CASE(errno == cases[index].error, "%ld messages of %ld bytes", cases[index].messages, cases[index].bytes);
  }
  // Queues are charged to the user while they exist.
  pid_t child;
  IN_CHILD(child) {
    OK(setuid(4321));
    struct mq_attr attributes = {.mq_maxmsg = 11, .mq_msgsize = 8};
    CHECK_ERRNO(mq_open(name, O_CREAT | O_RDWR, 0600, &attributes), EINVAL);
    OK(setrlimit(RLIMIT_MSGQUEUE, &(struct rlimit){2 * (10 * 8 + 20 * 48), 100000}));
    attributes.mq_maxmsg = 10;
    mqd_t one = OK(mq_open("/guest-test-one", O_CREAT | O_RDWR, 0600, &attributes));
    mqd_t two = OK(mq_open("/guest-test-two", O_CREAT | O_RDWR, 0600, &attributes));
    CHECK_ERRNO(mq_open(name, O_CREAT | O_RDWR, 0600, &attributes), EMFILE);
    OK(mq_unlink("/guest-test-one"));
    CHECK_ERRNO(mq_open(name, O_CREAT | O_RDWR, 0600, &attributes), EMFILE);
    OK(mq_close(one));
    one = OK(mq_open(name, O_CREAT | O_RDWR, 0600, &attributes));
    OK(mq_unlink("/guest-test-two"));
    OK(mq_unlink(name));
    OK(mq_close(one));
    OK(mq_close(two));
  }
  WAIT_OK(child);
}

static void test_permissions(void) {
  umask(027);
  mqd_t queue = OK(mq_open(name, O_CREAT | O_RDONLY, 0666, NULL));
  umask(022);
  struct stat status;
  OK(fstat(queue, &status));
  CHECK_EQ(status.st_mode & 07777, 0640);
  OK(fchmod(queue, 0604));
  CHECK_ERRNO(mq_send(queue, "x", 1, 0), EBADF);
  pid_t child;
  IN_CHILD(child) {
    OK(setgid(4321));
    OK(setuid(4321));
    mqd_t other = OK(mq_open(name, O_RDONLY));
    OK(mq_close(other));
    CHECK_ERRNO(mq_open(name, O_WRONLY), EACCES);
    CHECK_ERRNO(mq_open(name, O_RDWR), EACCES);
    CHECK_ERRNO(syscall(SYS_mq_unlink, name + 1), EPERM);
  }
  WAIT_OK(child);
  mqd_t writer = OK(mq_open(name, O_WRONLY));
  char buffer[8192];
  CHECK_ERRNO(mq_receive(writer, buffer, sizeof buffer, NULL), EBADF);
  OK(mq_close(writer));
  CHECK_ERRNO(mq_send(0, "x", 1, 0), EBADF);
  CHECK_ERRNO(mq_getattr(0, &(struct mq_attr){0}), EBADF);
  drop(queue);
}

static void test_messages(void) {
  mqd_t queue = make(O_RDWR | O_NONBLOCK, 4, 16);
  char buffer[16];
  CHECK_EQ(attributes_of(queue).mq_flags, O_NONBLOCK);
  CHECK_ERRNO(mq_receive(queue, buffer, sizeof buffer, NULL), EAGAIN);
  CHECK_ERRNO(mq_receive(queue, buffer, 15, NULL), EMSGSIZE);
  CHECK_ERRNO(mq_send(queue, buffer, 17, 0), EMSGSIZE);
  CHECK_ERRNO(mq_send(queue, buffer, 1, 32768), EINVAL);
  CHECK_ERRNO(syscall(SYS_mq_timedsend, queue, wild, 1, 0, NULL), EFAULT);
  send_text(queue, "first", 1);
  send_text(queue, "", 32767);
  send_text(queue, "second", 1);
  send_text(queue, "low", 0);
  CHECK_ERRNO(mq_send(queue, "x", 1, 0), EAGAIN);
  CHECK_EQ(attributes_of(queue).mq_curmsgs, 4);
  expect(queue, "", 32767);
  expect(queue, "first", 1);
  expect(queue, "second", 1);
  expect(queue, "low", 0);
  struct mq_attr old, new = {.mq_flags = 0, .mq_maxmsg = 99};
  OK(mq_setattr(queue, &new, &old));
  CHECK(old.mq_flags == O_NONBLOCK && attributes_of(queue).mq_flags == 0 && attributes_of(queue).mq_maxmsg == 4);
  new.mq_flags = O_APPEND;
  CHECK_ERRNO(mq_setattr(queue, &new, &old), EINVAL);
  char text[128];
  send_text(queue, "twelve bytes", 0);
  ssize_t length = OK(read(queue, text, sizeof text));
  CHECK_CASE(length == 60 && memcmp(text, "QSIZE:12         NOTIFY:0     SIGNO:0     NOTIFY_PID:0     \n", 60) == 0, "%.*s", (int)length, text);
  drop(queue);
}

static void test_waiting(void) {
  mqd_t queue = make(O_RDWR, 1, 8);
  pid_t child;
  IN_CHILD(child) {
    char buffer[8];
    for (int number = 0; number < 500; number++) {
      unsigned priority;
      CHECK_EQ(mq_receive(queue, buffer, sizeof buffer, &priority), 1);
      CHECK(buffer[0] == (char)number && priority == (unsigned)number);
    }
  }
  for (int number = 0; number < 500; number++) {
    char text = number;
    OK(mq_send(queue, &text, 1, number));
  }
  WAIT_OK(child);
  // Time-outs are absolute, and are looked at before anything else.
  struct timespec soon, bad = {0, 1000000000};
  OK(clock_gettime(CLOCK_REALTIME, &soon));
  soon.tv_nsec += 30000000;
  if (soon.tv_nsec >= 1000000000) soon.tv_sec++, soon.tv_nsec -= 1000000000;
  char buffer[8];
  long long start = now_ms();
  CHECK_ERRNO(mq_timedreceive(queue, buffer, sizeof buffer, NULL, &soon), ETIMEDOUT);
  CHECK(now_ms() - start >= 20);
  CHECK_ERRNO(mq_timedreceive(queue, buffer, sizeof buffer, NULL, &bad), EINVAL);
  send_text(queue, "full", 0);
  CHECK_ERRNO(mq_timedsend(queue, "x", 1, 0, &soon), ETIMEDOUT);
  CHECK_ERRNO(mq_timedsend(queue, "x", 1, 0, &bad), EINVAL);
  CHECK_EQ(mq_timedreceive(queue, buffer, sizeof buffer, NULL, &soon), 4);
  drop(queue);
}

static volatile sig_atomic_t handled;

static void count(int number, siginfo_t *info, void *context) {
  (void)number, (void)info, (void)context;
  handled++;
}

static void test_signals(void) {
  mqd_t queue = make(O_RDWR, 1, 8);
  for (int restarts = 0; restarts < 2; restarts++) {
    pid_t child;
    IN_CHILD(child) {
      char buffer[8];
      handle(SIGUSR1, count, restarts ? SA_RESTART : 0);
      if (restarts) CHECK_EQ(mq_receive(queue, buffer, sizeof buffer, NULL), 4);
      else CHECK_ERRNO(mq_receive(queue, buffer, sizeof buffer, NULL), EINTR);
      CHECK_EQ(handled, 1);
    }
    until_asleep(child);
    OK(kill(child, SIGUSR1));
    if (restarts) until_asleep(child);
    if (restarts) send_text(queue, "text", 0);
    WAIT_OK(child);
  }
  drop(queue);
}

static siginfo_t last;

static void note(int number, siginfo_t *info, void *context) {
  (void)number, (void)context;
  last = *info;
  handled++;
}

static void test_notification(void) {
  mqd_t queue = make(O_RDWR, 4, 8);
  handle(SIGUSR1, note, 0);
  handled = 0;
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 77};
  OK(mq_notify(queue, &event));
  CHECK_ERRNO(mq_notify(queue, &event), EBUSY);
  char text[128];
  OK(pread(queue, text, sizeof text, 0));
  CHECK_CASE(memcmp(text, "QSIZE:0          NOTIFY:0     SIGNO:10    NOTIFY_PID:", 53) == 0, "%.60s", text);
  pid_t child;
  IN_CHILD(child) {
    CHECK_ERRNO(mq_notify(queue, &event), EBUSY);
    OK(mq_notify(queue, NULL));
    OK(mq_close(queue));
    queue = OK(mq_open(name, O_RDWR));
    send_text(queue, "one", 0);
  }
  WAIT_OK(child);
  CHECK_EQ(handled, 1);
  CHECK(last.si_code == SI_MESGQ && last.si_value.sival_int == 77 && last.si_pid == child && last.si_uid == getuid());
  // One message is all; and one that comes to others is no news.
  OK(mq_notify(queue, &event));
  send_text(queue, "two", 0);
  CHECK_EQ(handled, 1);
  expect(queue, "one", 0);
  expect(queue, "two", 0);
  IN_CHILD(child) {
    expect(queue, "three", 0);
  }
  until_asleep(child);
  send_text(queue, "three", 0);
  WAIT_OK(child);
  CHECK_EQ(handled, 1);
  send_text(queue, "four", 0);
  CHECK_EQ(handled, 2);
  CHECK_EQ(last.si_pid, getpid());
  expect(queue, "four", 0);
  send_text(queue, "five", 0);
  CHECK_EQ(handled, 2);
  expect(queue, "five", 0);
  // It ends with any descriptor of the queue that the process closes, with null, or with the process.
  OK(mq_notify(queue, &event));
  OK(mq_close(OK(mq_open(name, O_RDONLY))));
  OK(mq_notify(queue, &event));
  OK(mq_notify(queue, NULL));
  OK(mq_notify(queue, NULL));
  IN_CHILD(child) {
    OK(mq_notify(queue, &event));
  }
  WAIT_OK(child);
  event.sigev_notify = SIGEV_NONE;
  OK(mq_notify(queue, &event));
  send_text(queue, "six", 0);
  OK(mq_notify(queue, &event));
  CHECK_EQ(handled, 2);
  event = (struct sigevent){.sigev_notify = 99};
  CHECK_ERRNO(syscall(SYS_mq_notify, queue, &event), EINVAL);
  event = (struct sigevent){.sigev_notify = SIGEV_SIGNAL, .sigev_signo = 65};
  CHECK_ERRNO(syscall(SYS_mq_notify, queue, &event), EINVAL);
  drop(queue);
}

static void test_poll(void) {
  mqd_t queue = make(O_RDWR, 1, 8);
  struct pollfd entry = {queue, POLLIN | POLLOUT, 0};
  CHECK_EQ(poll(&entry, 1, 0), 1);
  CHECK_EQ(entry.revents, POLLOUT);
  send_text(queue, "x", 0);
  CHECK_EQ(poll(&entry, 1, 0), 1);
  CHECK_EQ(entry.revents, POLLIN);
  expect(queue, "x", 0);
  pid_t child;
  IN_CHILD(child) {
    sleep_ms(50);
    send_text(queue, "y", 0);
  }
  entry.events = POLLIN;
  CHECK_EQ(poll(&entry, 1, 5000), 1);
  CHECK_EQ(entry.revents, POLLIN);
  WAIT_OK(child);
  drop(queue);
}

static void test_file_system(void) {
  const char *place = enter_scratch();
  pid_t child;
  IN_CHILD(child) {
    OK(unshare(CLONE_NEWNS | CLONE_NEWIPC));
    OK(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
    OK(mkdir("queues", 0755));
    OK(mount("none", "queues", "mqueue", 0, NULL));
    mqd_t queue = make(O_RDWR, 2, 8);
    send_text(queue, "x", 0);
    char path[128], line[128];
    snprintf(path, sizeof path, "queues%s", name);
    int file = OK(open(path, O_RDONLY));
    CHECK(read(file, line, sizeof line) == 60 && memcmp(line, "QSIZE:1 ", 8) == 0);
    OK(close(file));
    struct stat status;
    OK(stat("queues", &status));
    CHECK_EQ(status.st_mode, S_IFDIR | 01777);
    OK(close(OK(open("queues/made", O_CREAT | O_RDWR, 0600))));
    mqd_t made = OK(mq_open("/made", O_RDWR));
    CHECK_EQ(attributes_of(made).mq_maxmsg, 10);
    OK(unlink("queues/made"));
    CHECK_ERRNO(mq_open("/made", O_RDWR), ENOENT);
    CHECK_ERRNO(mkdir("queues/directory", 0700), EPERM);
    DIR *list = opendir("queues");
    int entries = 0;
    for (struct dirent *entry; (entry = readdir(list)); entries++) {}
    closedir(list);
    CHECK_EQ(entries, 3);
    OK(mq_unlink(name));
    CHECK_ERRNO(access(path, F_OK), ENOENT);
    OK(umount("queues"));
  }
  WAIT_OK(child);
  (void)place;
}

int main(void) {
  OK(unshare(CLONE_NEWIPC)); // Its limits are the usual ones, whatever the host's are.
  snprintf(name, sizeof name, "/guest-test-%d", getpid());
  test_names();
  test_limits();
  test_permissions();
  test_messages();
  test_waiting();
  test_signals();
  test_notification();
  test_poll();
  test_file_system();
  return 0;
}
