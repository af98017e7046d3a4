// Death at any instruction: a child runs single-stepped and is killed at step N, for many N; threads die, exec and exit
// at random moments in the middle of system calls. The parent hears the truth each time.
// static
// timeout: 60
#include "check.h"
#include <sys/socket.h>

enum { STEP_RUNS = 60, RACES = 40 };

static volatile long steps, last_step;

static void on_step(int number, siginfo_t *info, void *context) {
  (void)number, (void)info, (void)context;
  if (++steps == last_step) kill(getpid(), SIGKILL);
}

// What the steps go through: entries to system calls, faults, forks.
static void short_run(char *fresh) {
  int ends[2];
  char byte = 'x';
  syscall(SYS_pipe2, ends, 0);
  syscall(SYS_write, ends[1], &byte, 1);
  fresh[0] = byte;
  syscall(SYS_read, ends[0], fresh + PAGE, 1);
  syscall(SYS_munmap, fresh, PAGE);
  syscall(SYS_close, ends[0]);
  syscall(SYS_close, ends[1]);
}

static void killed_at_every_step(void) {
  int is_over = 0;
  for (int run = 1; run <= STEP_RUNS && !is_over; run++) {
    char *fresh = map_anonymous(2 * PAGE, PROT_READ | PROT_WRITE);
    pid_t pid;
    IN_CHILD(pid) {
      handle(SIGTRAP, on_step, 0);
      last_step = run * 3;
      __asm__ volatile("pushfq\n orq $0x100, (%%rsp)\n popfq" ::: "memory", "cc");
      short_run(fresh);
      __asm__ volatile("pushfq\n andq $~0x100, (%%rsp)\n popfq" ::: "memory", "cc");
    }
    int status = WAIT(pid);
    is_over = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    CHECK_CASE(is_over || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL), "step %d: status %#x", run * 3, status);
    OK(munmap(fresh, 2 * PAGE));
  }
}

static int race_pair[2];

// Blocks, allocates, sends and receives until somebody ends it.
static void *busy(void *argument) {
  for (long i = (long)argument;; i++) {
    char bytes[256] = {0};
    switch (i % 5) {
      case 0: munmap(mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0), 16 * PAGE); break;
      case 1: if (write(race_pair[0], bytes, sizeof bytes) < 0) sleep_ms(1); break;
      case 2: if (recv(race_pair[1], bytes, sizeof bytes, i % 2 ? MSG_DONTWAIT : 0) < 0) sleep_ms(1); break;
      case 3: close(open("/proc/self/maps", O_RDONLY)); break;
      case 4: {
        pid_t pid = fork();
        if (pid == 0) _exit(0);
        waitpid(pid, NULL, 0);
        break;
      }
    }
  }
  return NULL;
}

static void *ends(void *how) {
  char *const words[] = {"/bin/true", NULL};
  sleep_ms((long)how % 7);
  switch ((long)how % 3) {
    case 0: _exit(7);
    case 1: execv(words[0], words); _exit(8);
    default: kill(getpid(), SIGKILL);
  }
  return NULL;
}

// Three threads each try to end the process in a way of their own; one of them does.
static void exec_exit_and_kill_race(void) {
  for (long race = 0; race < RACES; race++) {
    pid_t pid;
    IN_CHILD(pid) {
      OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK * (race % 2), 0, race_pair));
      pthread_t thread; // Making one fails once the process is ending.
      for (long i = 0; i < 4; i++) pthread_create(&thread, NULL, busy, (void *)i);
      for (long i = 0; i < 3; i++) pthread_create(&thread, NULL, ends, (void *)(race + i));
      if (race % 4 == 0) syscall(SYS_exit, 9); // The first thread ends, its process goes on.
      busy((void *)race);
    }
    int status = WAIT(pid);
    int is_expected = WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 7 || WEXITSTATUS(status) == 0;
    CHECK_CASE(is_expected, "race %ld: status %#x", race, status);
  }
}

int main(void) {
  killed_at_every_step();
  exec_exit_and_kill_race();
  return 0;
}
