// Which of a process's threads decides how it ends; what a traced thread's end shows then.
#include "check.h"
#include <sys/ptrace.h>

static int numbers[2];

static void exit_thread(int status) { syscall(SYS_exit, status); }

static void *exit_later(void *status) {
  usleep(50000);
  exit_thread((long)status);
  return NULL;
}

static void the_last_thread_to_exit_decides(void) {
  pid_t pid = check_fork(__FILE__, __LINE__);
  if (pid == 0) {
    pthread_t thread;
    CHECK_ZERO(pthread_create(&thread, NULL, exit_later, (void *)9));
    exit_thread(5);
  }
  int status = check_wait(__FILE__, __LINE__, pid);
  CHECK(WIFEXITED(status));
  CHECK_EQ(WEXITSTATUS(status), 9);
}

static void *be_traced_and_exit(void *unused) {
  OK(ptrace(PTRACE_TRACEME, 0, 0, 0));
  int number = syscall(SYS_gettid);
  OK(write(numbers[1], &number, sizeof number));
  exit_thread(4);
  return unused;
}

static void a_traced_thread_shows_how_its_process_ended(void) {
  OK(pipe(numbers));
  pid_t pid = check_fork(__FILE__, __LINE__);
  if (pid == 0) {
    pthread_t thread;
    CHECK_ZERO(pthread_create(&thread, NULL, be_traced_and_exit, NULL));
    usleep(50000);
    exit_thread(5);
  }
  int number, status;
  CHECK_EQ(read(numbers[0], &number, sizeof number), sizeof number);
  siginfo_t info;
  while (info.si_pid = 0, waitid(P_PID, pid, &info, WEXITED | WNOWAIT | WNOHANG | __WALL) == 0 && info.si_pid == 0) {
    // The process is no zombie to anybody before its traced thread is gone: see it in /proc instead.
    char path[64], text[4096];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    read_file(path, text, sizeof text);
    if (strstr(text, ") Z")) break;
    usleep(1000);
  }
  CHECK_EQ(waitpid(number, &status, __WALL), number);
  CHECK(WIFEXITED(status));
  CHECK_EQ(WEXITSTATUS(status), 5);
  CHECK_EQ(waitpid(pid, &status, 0), pid);
  CHECK_EQ(WEXITSTATUS(status), 5);
}

int main(void) {
  the_last_thread_to_exit_decides();
  a_traced_thread_shows_how_its_process_ended();
  return 0;
}
