// vfork: the child borrows the parent's memory, and the parent sleeps until the child executes or exits.
#include "check.h"
#include <spawn.h>

static volatile int shared;

static void parent_waits_for_exit(void) {
  shared = 0;
  pid_t pid = vfork();
  if (pid == 0) {
    struct timespec rest = {0, 30000000};
    nanosleep(&rest, NULL);
    shared = 5;
    _exit(6);
  }
  CHECK(pid > 0);
  CHECK_EQ(shared, 5);
  WAIT_EXIT(pid, 6);
}

static void parent_goes_on_at_exec(void) {
  long long started = now_ms();
  pid_t pid = vfork();
  if (pid == 0) {
    execl("/bin/sleep", "sleep", "30", (char *)NULL);
    _exit(127);
  }
  CHECK(now_ms() - started < 20000);
  CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0);
  OK(kill(pid, SIGKILL));
  WAIT_SIGNALED(pid, SIGKILL);
}

static void parent_goes_on_when_the_child_is_killed(void) {
  pid_t pid = vfork();
  if (pid == 0) {
    kill(getpid(), SIGKILL);
    _exit(0);
  }
  WAIT_SIGNALED(pid, SIGKILL);
}

static void a_failed_exec_leaves_memory_usable(void) {
  shared = 0;
  pid_t pid = vfork();
  if (pid == 0) {
    execl("/no/such/file", "file", (char *)NULL);
    shared = errno;
    _exit(9);
  }
  CHECK_EQ(shared, ENOENT);
  WAIT_EXIT(pid, 9);
}

static void *count_up(void *argument) {
  volatile long *count = argument;
  while (count[1] == 0) count[0]++;
  return NULL;
}

static void other_threads_go_on(void) {
  static volatile long count[2];
  pthread_t thread = start_thread(count_up, (void *)count);
  long before = 0, after = 0;
  pid_t pid = vfork();
  if (pid == 0) {
    before = count[0];
    struct timespec rest = {0, 100000000};
    nanosleep(&rest, NULL);
    after = count[0];
    _exit(after > before ? 0 : 1);
  }
  WAIT_OK(pid);
  count[1] = 1;
  join_thread(thread);
}

static void posix_spawn_reports_its_child(void) {
  extern char **environ;
  pid_t pid;
  char *echo[] = {"sh", "-c", "exit 33", NULL};
  CHECK_ZERO(posix_spawn(&pid, "/bin/sh", NULL, NULL, echo, environ));
  WAIT_EXIT(pid, 33);
  CHECK_EQ(posix_spawn(&pid, "/no/such", NULL, NULL, echo, environ), ENOENT);
  CHECK_EQ(posix_spawn(&pid, "/etc/passwd", NULL, NULL, echo, environ), EACCES);
  int ends[2];
  OK(pipe2(ends, O_CLOEXEC));
  posix_spawn_file_actions_t actions;
  CHECK_ZERO(posix_spawn_file_actions_init(&actions));
  CHECK_ZERO(posix_spawn_file_actions_adddup2(&actions, ends[1], 1));
  char *say[] = {"echo", "spawned", NULL};
  CHECK_ZERO(posix_spawnp(&pid, "echo", &actions, NULL, say, environ));
  OK(close(ends[1]));
  char text[32] = {0};
  CHECK_EQ(read(ends[0], text, sizeof text), 8);
  CHECK(strcmp(text, "spawned\n") == 0);
  WAIT_OK(pid);
  FILE *stream = popen("read line; echo got $line >&2; exit 4", "w");
  CHECK(stream != NULL);
  fputs("word\n", stream);
  CHECK_EQ(WEXITSTATUS(pclose(stream)), 4);
  CHECK_EQ(WEXITSTATUS(system("exit 21")), 21);
}

int main(void) {
  parent_waits_for_exit();
  parent_goes_on_at_exec();
  parent_goes_on_when_the_child_is_killed();
  a_failed_exec_leaves_memory_usable();
  other_threads_go_on();
  posix_spawn_reports_its_child();
  return 0;
}
