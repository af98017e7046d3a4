// Assertions and small helpers of the guest programs: a failed assertion prints where and what, and exits 1.
#ifndef CHECK_H
#define CHECK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096L
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define UNUSED __attribute__((unused))
#define NOINLINE __attribute__((noinline, noclone))

__attribute__((format(printf, 3, 4), noreturn)) UNUSED static void check_failed(const char *file, int line, const char *format, ...) {
  char text[1024];
  int length = snprintf(text, sizeof text, "%s:%d: ", file, line);
  va_list arguments;
  va_start(arguments, format);
  length += vsnprintf(text + length, sizeof text - length - 1, format, arguments);
  va_end(arguments);
  if (length > (int)sizeof text - 2) length = sizeof text - 2;
  text[length++] = '\n';
  if (write(STDERR_FILENO, text, length) < 0) _exit(2);
  _exit(1);
}

// An address that no program maps; volatile, so that the compiler does not warn of it.
UNUSED static void *volatile wild = (void *)8;

#define FAIL(...) check_failed(__FILE__, __LINE__, __VA_ARGS__)

// The condition holds.
#define CHECK(condition) \
  do { \
    if (!(condition)) FAIL("failed: %s (errno %d)", #condition, errno); \
  } while (0)

// As CHECK, with words about the case at hand.
#define CHECK_CASE(condition, ...) \
  do { \
    if (!(condition)) { \
      char check_case[256]; \
      snprintf(check_case, sizeof check_case, __VA_ARGS__); \
      FAIL("failed: %s: %s (errno %d)", #condition, check_case, errno); \
    } \
  } while (0)

// Two integers or pointers are equal.
#define CHECK_EQ(left, right) \
  do { \
    long long check_left = (long long)(left), check_right = (long long)(right); \
    if (check_left != check_right) \
      FAIL("failed: %s == %s: %lld (%#llx) and %lld (%#llx)", #left, #right, check_left, check_left, check_right, check_right); \
  } while (0)

// A call that returns -1 upon failure succeeds; its value.
#define OK(call) \
  ({ \
    long long check_value = (long long)(call); \
    if (check_value == -1) FAIL("failed: %s: errno %d (%s)", #call, errno, strerror(errno)); \
    check_value; \
  })

// A call fails with -1 and this errno.
#define CHECK_ERRNO(call, expected) \
  do { \
    errno = 0; \
    long long check_value = (long long)(call); \
    int check_errno = errno; \
    if (check_value != -1) FAIL("failed: %s returned %lld instead of %s", #call, check_value, #expected); \
    if (check_errno != (expected)) FAIL("failed: %s: errno %d (%s) instead of %s", #call, check_errno, strerror(check_errno), #expected); \
  } while (0)

// A pthread call, which returns an error number, succeeds.
#define CHECK_ZERO(call) \
  do { \
    int check_error = (call); \
    if (check_error != 0) FAIL("failed: %s: error %d (%s)", #call, check_error, strerror(check_error)); \
  } while (0)

// The block that follows runs in a child, which exits 0 at its end: IN_CHILD(pid) { ... } WAIT_OK(pid);
#define IN_CHILD(pid) \
  if (((pid) = check_fork(__FILE__, __LINE__)) == 0) \
    for (;; _exit(0))

UNUSED static pid_t check_fork(const char *file, int line) {
  fflush(NULL);
  pid_t pid = fork();
  if (pid < 0) check_failed(file, line, "fork: errno %d", errno);
  return pid;
}

UNUSED static int check_wait(const char *file, int line, pid_t pid) {
  int status;
  pid_t got;
  while ((got = waitpid(pid, &status, 0)) < 0 && errno == EINTR) {}
  if (got != pid) check_failed(file, line, "waitpid(%d) returned %d, errno %d", pid, got, errno);
  return status;
}

// Waits for a child and returns its wait status.
#define WAIT(pid) check_wait(__FILE__, __LINE__, pid)

// The child exited with this status.
#define WAIT_EXIT(pid, code) \
  do { \
    int check_status = WAIT(pid); \
    if (!WIFEXITED(check_status) || WEXITSTATUS(check_status) != (code)) \
      FAIL("failed: child %s: wait status %#x instead of exit %d", #pid, check_status, (int)(code)); \
  } while (0)
#define WAIT_OK(pid) WAIT_EXIT(pid, 0)

// The child was killed by this signal.
#define WAIT_SIGNALED(pid, number) \
  do { \
    int check_status = WAIT(pid); \
    if (!WIFSIGNALED(check_status) || WTERMSIG(check_status) != (number)) \
      FAIL("failed: child %s: wait status %#x instead of signal %d", #pid, check_status, (int)(number)); \
  } while (0)

// Installs a handler with the three-argument form.
UNUSED static void handle(int number, void (*handler)(int, siginfo_t *, void *), int flags) {
  struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
  sigemptyset(&action.sa_mask);
  OK(sigaction(number, &action, NULL));
}

// A set of the given signals, ended by 0.
UNUSED static sigset_t signals(int first, ...) {
  sigset_t set;
  sigemptyset(&set);
  va_list arguments;
  va_start(arguments, first);
  for (int number = first; number != 0; number = va_arg(arguments, int)) sigaddset(&set, number);
  va_end(arguments);
  return set;
}

UNUSED static long long now_ms(void) {
  struct timespec now;
  OK(clock_gettime(CLOCK_MONOTONIC, &now));
  return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

UNUSED static void sleep_ms(long milliseconds) {
  struct timespec rest = {milliseconds / 1000, milliseconds % 1000 * 1000000};
  while (clock_nanosleep(CLOCK_MONOTONIC, 0, &rest, &rest) == EINTR) {}
}

static char check_scratch[64];
static pid_t check_scratch_owner;

UNUSED static void remove_scratch(void) {
  if (getpid() != check_scratch_owner || chdir("/") != 0) return;
  pid_t pid = fork();
  if (pid == 0) {
    execl("/bin/rm", "rm", "-rf", check_scratch, (char *)NULL);
    _exit(127);
  }
  waitpid(pid, NULL, 0);
}

// Makes an empty directory, removed at exit, and enters it. Returns its path.
UNUSED static const char *enter_scratch(void) {
  strcpy(check_scratch, "/tmp/guest-test-XXXXXX");
  CHECK(mkdtemp(check_scratch) != NULL);
  check_scratch_owner = getpid();
  atexit(remove_scratch);
  OK(chmod(check_scratch, 0755));
  OK(chdir(check_scratch));
  umask(022);
  return check_scratch;
}

// Makes a file with this content.
UNUSED static void write_file(const char *path, const char *content) {
  int file = OK(open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  size_t length = strlen(content);
  CHECK_EQ(write(file, content, length), length);
  OK(close(file));
}

// The content of a file, up to the buffer's size, as a string.
UNUSED static ssize_t read_file(const char *path, char *buffer, size_t size) {
  int file = OK(open(path, O_RDONLY | O_CLOEXEC));
  size_t length = 0;
  while (length < size - 1) {
    ssize_t got = OK(read(file, buffer + length, size - 1 - length));
    if (got == 0) break;
    length += got;
  }
  buffer[length] = 0;
  OK(close(file));
  return length;
}

// Waits until a process or thread sleeps, as one does that waits in a system call, however long it takes to get there.
UNUSED static void until_asleep(pid_t id) {
  char path[64], text[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", id);
  do {
    sleep_ms(1);
    read_file(path, text, sizeof text);
    CHECK_CASE(strstr(text, ") Z ") == NULL, "%d has ended", id);
  } while (strstr(text, ") S ") == NULL);
}

// A child that sends a signal to the caller each time that it finds it asleep, so many times.
UNUSED static pid_t signal_asleep(int number, int times) {
  pid_t sleeper = getpid(), pid;
  IN_CHILD(pid) {
    for (int i = 0; i < times; i++) {
      until_asleep(sleeper);
      OK(kill(sleeper, number));
    }
  }
  return pid;
}

// Anonymous private memory of this many bytes.
UNUSED static char *map_anonymous(size_t size, int protection) {
  char *memory = mmap(NULL, size, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(memory != MAP_FAILED);
  return memory;
}

// Memory that children share, zeroed.
UNUSED static void *map_shared(size_t size) {
  void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(memory != MAP_FAILED);
  return memory;
}

static sigjmp_buf check_escape;
static volatile sig_atomic_t check_is_probing;

UNUSED static void check_on_fault(int number, siginfo_t *info, void *context) {
  (void)context;
  if (!check_is_probing) FAIL("signal %d at address %p", number, info->si_addr);
  check_is_probing = 0;
  siglongjmp(check_escape, number);
}

// The signal that reading, or writing back, the byte at an address raises; 0 if none.
UNUSED static int fault_of(volatile char *address, int is_write) {
  handle(SIGSEGV, check_on_fault, 0);
  handle(SIGBUS, check_on_fault, 0);
  int number = sigsetjmp(check_escape, 1);
  if (number != 0) return number;
  check_is_probing = 1;
  char byte = *address;
  if (is_write) *address = byte;
  check_is_probing = 0;
  return 0;
}

UNUSED static int is_readable(volatile char *address) { return fault_of(address, 0) == 0; }
UNUSED static int is_writable(volatile char *address) { return fault_of(address, 1) == 0; }

UNUSED static pthread_t start_thread(void *(*body)(void *), void *argument) {
  pthread_t thread;
  CHECK_ZERO(pthread_create(&thread, NULL, body, argument));
  return thread;
}

UNUSED static void *join_thread(pthread_t thread) {
  void *value;
  CHECK_ZERO(pthread_join(thread, &value));
  return value;
}

#endif
