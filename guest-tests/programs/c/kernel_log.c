// The kernel's log: what is written to /dev/kmsg, and read there and by syslog(2).
// inside only: the log of the host is not a test's to write to
#include "check.h"
#include <poll.h>
#include <sys/klog.h>

enum { READ = 2, READ_ALL = 3, READ_CLEAR = 4, CLEAR = 5, SIZE_UNREAD = 9 };

static int log_file;
static char text[8192];

static void say(const char *message) { CHECK_EQ(write(log_file, message, strlen(message)), strlen(message)); }

// The next message has this priority, and these words.
static void expect(int file, unsigned priority, const char *words) {
  unsigned got_priority;
  unsigned long long number, microseconds;
  ssize_t length = OK(read(file, text, sizeof text - 1));
  text[length] = 0;
  int head = 0;
  CHECK_EQ(sscanf(text, "%u,%llu,%llu,-;%n", &got_priority, &number, &microseconds, &head), 3);
  CHECK_EQ(got_priority, priority);
  CHECK_CASE(strcmp(text + head, words) == 0, "%.200s", text);
}

static void test_messages(void) {
  OK(lseek(log_file, 0, SEEK_END));
  CHECK_ERRNO(read(log_file, text, sizeof text), EAGAIN);
  say("plain"), expect(log_file, 12, "plain\n");
  say("<5>level\n"), expect(log_file, 13, "level\n");
  say("<30>daemon"), expect(log_file, 30, "daemon\n");
  say("<x>no number"), expect(log_file, 12, "<x>no number\n");
  say("a\\b\x01"), expect(log_file, 12, "a\\x5cb\\x01\n");
  // One message a read: a message that has no room is lost.
  say("first"), say("second");
  CHECK_ERRNO(read(log_file, text, 5), EINVAL);
  expect(log_file, 12, "second\n");
  memset(text, 'x', 1025);
  CHECK_ERRNO(write(log_file, text, 1025), EINVAL);
}

static void test_places(void) {
  CHECK_ERRNO(lseek(log_file, 1, SEEK_SET), ESPIPE);
  CHECK_ERRNO(lseek(log_file, 0, SEEK_CUR), EINVAL);
  CHECK_ERRNO(lseek(log_file, 0, SEEK_HOLE), EINVAL);
  CHECK_EQ(lseek(log_file, 0, SEEK_SET), 0);
  expect(log_file, 12, "plain\n");
  OK(klogctl(CLEAR, NULL, 0));
  say("behind");
  CHECK_EQ(lseek(log_file, 0, SEEK_DATA), 0);
  expect(log_file, 12, "behind\n");
  struct pollfd ready = {.fd = log_file, .events = POLLIN};
  CHECK_EQ(poll(&ready, 1, 0), 0);
  say("ready");
  CHECK_EQ(poll(&ready, 1, 0), 1);
  int other = OK(open("/dev/kmsg", O_RDONLY | O_NONBLOCK));
  expect(other, 12, "plain\n");
  OK(close(other));
}

static void test_syslog(void) {
  OK(klogctl(CLEAR, NULL, 0));
  CHECK_EQ(klogctl(READ_ALL, text, sizeof text), 0);
  say("<13>shown"), say("again");
  int length = OK(klogctl(READ_CLEAR, text, sizeof text));
  text[length] = 0;
  CHECK(strncmp(text, "<13>[", 5) == 0);
  CHECK(strstr(text, "] shown\n<12>[") != NULL && strstr(text, "] again\n") != NULL);
  CHECK_EQ(klogctl(READ_ALL, text, sizeof text), 0);
  // What is taken is taken, whatever is cleared.
  while (OK(klogctl(SIZE_UNREAD, NULL, 0)) > 0) CHECK(OK(klogctl(READ, text, sizeof text)) > 0);
  pid_t pid;
  IN_CHILD(pid) {
    CHECK(OK(klogctl(READ, text, sizeof text)) > 0);
    CHECK(strstr(text, "] awaited\n") != NULL);
  }
  sleep_ms(50);
  say("awaited");
  WAIT_OK(pid);
}

// Those who wait hear of a message; a writer who says too much is not heard.
static void test_rates(void) {
  OK(lseek(log_file, 0, SEEK_END));
  pid_t pid;
  IN_CHILD(pid) {
    int waiting = OK(open("/dev/kmsg", O_RDONLY));
    OK(lseek(waiting, 0, SEEK_END));
    expect(waiting, 12, "hello\n");
  }
  sleep_ms(50);
  say("hello");
  WAIT_OK(pid);
  write_file("/proc/sys/kernel/printk_devkmsg", "ratelimit\n");
  OK(lseek(log_file, 0, SEEK_END));
  int writer = OK(open("/dev/kmsg", O_WRONLY)), count = 0;
  for (int message = 0; message < 20; message++) CHECK_EQ(write(writer, "x", 1), 1);
  while (read(log_file, text, sizeof text) > 0) count++;
  CHECK_EQ(count, 10);
  write_file("/proc/sys/kernel/printk_devkmsg", "on\n");
  // A reader who is too slow hears so, and goes on with the oldest.
  OK(lseek(log_file, 0, SEEK_SET));
  memset(text, 'y', 1000);
  for (int message = 0; message < 200; message++) CHECK_EQ(write(writer, text, 1000), 1000);
  struct pollfd ready = {.fd = log_file, .events = POLLIN | POLLPRI};
  CHECK_EQ(poll(&ready, 1, 0), 1);
  CHECK_EQ(ready.revents, POLLIN | POLLPRI | POLLERR);
  CHECK_ERRNO(read(log_file, text, sizeof text), EPIPE);
  CHECK(OK(read(log_file, text, sizeof text)) > 1000);
}

static void test_others(void) {
  pid_t pid;
  IN_CHILD(pid) {
    OK(setresuid(99, 99, 99));
    CHECK_ERRNO(open("/dev/kmsg", O_RDONLY), EPERM);
    CHECK_ERRNO(open("/dev/kmsg", O_WRONLY), EACCES);
    CHECK_ERRNO(klogctl(SIZE_UNREAD, NULL, 0), EPERM);
  }
  WAIT_OK(pid);
}

int main(void) {
  write_file("/proc/sys/kernel/printk_devkmsg", "on\n");
  log_file = OK(open("/dev/kmsg", O_RDWR | O_NONBLOCK));
  test_messages();
  test_places();
  test_syslog();
  test_rates();
  test_others();
  return 0;
}
