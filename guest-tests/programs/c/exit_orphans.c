// The end of threads and processes: exit_group, the last thread, orphans, subreapers, parent-death signals.
#include "check.h"
#include <sys/prctl.h>

static void *exit_whole_process(void *argument) {
  (void)argument;
  sleep_ms(10);
  exit(23);
  return NULL;
}

static void *forever(void *argument) {
  (void)argument;
  for (;;) sleep(100);
  return NULL;
}

static void *spin(void *argument) {
  for (;;) __asm__ volatile("" ::: "memory");
  return argument;
}

static void exit_group_ends_every_thread(void) {
  pid_t pid;
  IN_CHILD(pid) {
    for (int i = 0; i < 4; i++) start_thread(forever, NULL);
    start_thread(spin, NULL); // A thread that never makes a system call ends as well.
    start_thread(exit_whole_process, NULL);
    forever(NULL);
  }
  WAIT_EXIT(pid, 23);
}

static void *exit_later(void *argument) {
  sleep_ms(30);
  syscall(SYS_exit, (long)argument);
  return NULL;
}

static void the_last_thread_ends_the_process(void) {
  pid_t pid;
  IN_CHILD(pid) {
    start_thread(exit_later, (void *)7L);
    syscall(SYS_exit, 3L); // Only the first thread ends; since Linux 6.0 the last thread's status is the process's.
  }
  WAIT_EXIT(pid, 7);
  IN_CHILD(pid) {
    start_thread(exit_whole_process, NULL);
    pthread_exit(NULL);
  }
  WAIT_EXIT(pid, 23);
}

static void a_fatal_signal_ends_every_thread(void) {
  pid_t pid;
  IN_CHILD(pid) {
    for (int i = 0; i < 3; i++) start_thread(forever, NULL);
    start_thread(spin, NULL);
    sleep_ms(10);
    abort();
  }
  WAIT_SIGNALED(pid, SIGABRT);
}

static void note(void) { OK(write(1, "", 0)); }
static int order[2], orders;
static void first_registered(void) { order[orders++] = 1; if (orders != 2 || order[0] != 2) _exit(9); }
static void second_registered(void) { order[orders++] = 2; }

static void exit_handlers_run_in_reverse(void) {
  pid_t pid;
  IN_CHILD(pid) {
    atexit(note);
    atexit(first_registered);
    atexit(second_registered);
    exit(5);
  }
  WAIT_EXIT(pid, 5);
}

static void orphans_go_to_the_subreaper(void) {
  OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
  int enabled = 0;
  OK(prctl(PR_GET_CHILD_SUBREAPER, &enabled));
  CHECK_EQ(enabled, 1);
  int report[2];
  OK(pipe(report));
  pid_t self = getpid(), pid, orphan;
  IN_CHILD(pid) {
    IN_CHILD(orphan) {
      for (int i = 0; i < 500 && getppid() != self; i++) sleep_ms(10);
      _exit(getppid() == self ? 66 : 1);
    }
    OK(write(report[1], &orphan, sizeof orphan));
  }
  WAIT_OK(pid);
  CHECK_EQ(read(report[0], &orphan, sizeof orphan), sizeof orphan);
  WAIT_EXIT(orphan, 66);
  OK(prctl(PR_SET_CHILD_SUBREAPER, 0));
}

static void parent_death_signal_is_sent(void) {
  OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
  int report[2];
  OK(pipe(report));
  pid_t pid, orphan;
  IN_CHILD(pid) {
    IN_CHILD(orphan) {
      sigset_t set = signals(SIGUSR1, 0);
      OK(sigprocmask(SIG_BLOCK, &set, NULL));
      OK(prctl(PR_SET_PDEATHSIG, SIGUSR1));
      int number = 0;
      OK(prctl(PR_GET_PDEATHSIG, &number));
      CHECK_EQ(number, SIGUSR1);
      OK(write(report[1], &(pid_t){getpid()}, sizeof(pid_t)));
      struct timespec limit = {10, 0};
      CHECK_EQ(sigtimedwait(&set, NULL, &limit), SIGUSR1);
      _exit(44);
    }
    pid_t ready;
    CHECK_EQ(read(report[0], &ready, sizeof ready), sizeof ready);
    OK(write(report[1], &orphan, sizeof orphan));
  }
  WAIT_OK(pid);
  CHECK_EQ(read(report[0], &orphan, sizeof orphan), sizeof orphan);
  WAIT_EXIT(orphan, 44);
  OK(prctl(PR_SET_CHILD_SUBREAPER, 0));
  CHECK_ERRNO(prctl(PR_SET_PDEATHSIG, 65), EINVAL);
}

static void zombies_keep_their_id(void) {
  pid_t pid;
  siginfo_t info;
  IN_CHILD(pid) { _exit(0); }
  OK(waitid(P_PID, pid, &info, WEXITED | WNOWAIT));
  OK(kill(pid, 0));
  OK(kill(pid, SIGKILL));
  char path[64], text[512];
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  read_file(path, text, sizeof text);
  CHECK_CASE(strstr(text, ") Z ") != NULL, "%.200s", text);
  WAIT_OK(pid);
  CHECK_ERRNO(kill(pid, 0), ESRCH);
  CHECK_ERRNO(open(path, O_RDONLY), ENOENT);
}

int main(void) {
  exit_group_ends_every_thread();
  the_last_thread_ends_the_process();
  a_fatal_signal_ends_every_thread();
  exit_handlers_run_in_reverse();
  orphans_go_to_the_subreaper();
  parent_death_signal_is_sent();
  zombies_keep_their_id();
  return 0;
}
