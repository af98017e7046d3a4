// Runs a program, or each file of a directory in turn, in namespaces of its own, and does a little work all the while: a line
// of output tells each time that fork, files and pipes have served it. Who runs hostile programs sees by it whether they take
// the system from others. Its status is the program's; a file of a directory may end as it will.
//
// `canary PROGRAM [ARGUMENT]...` or `canary DIRECTORY`; alone, it watches over a process that sleeps.
// static
#include "check.h"
#include <dirent.h>
#include <sched.h>

enum { BEAT_MS = 50, LIFETIME_MS = 500, NAMESPACES = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWCGROUP };

// What the rest of the system is to serve: a child, a file, a pipe.
static void beat(int file, int pipe[2]) {
  pid_t pid;
  char read_back[5] = "";
  OK(pwrite(file, "canary", 5, 0));
  IN_CHILD(pid) OK(write(pipe[1], "beat!", 5));
  WAIT_OK(pid);
  OK(read(pipe[0], read_back, 5));
  OK(pread(file, read_back, 5, 0));
  CHECK(memcmp(read_back, "canar", 5) == 0);
  OK(write(STDOUT_FILENO, "beat\n", 5));
}

// Executes one file, which is ended after a while.
static void execute(const char *path) {
  pid_t pid = OK(fork());
  if (pid == 0) {
    setsid();
    execl(path, path, NULL);
    _exit(0);
  }
  long long end = now_ms() + LIFETIME_MS;
  while (waitpid(pid, NULL, WNOHANG) == 0) {
    if (now_ms() > end) kill(pid, SIGKILL);
    CHECK_CASE(now_ms() < end + 20000, "%s outlives SIGKILL", path);
    sleep_ms(1);
  }
}

static void execute_each(const char *directory) {
  DIR *listing = opendir(directory);
  CHECK(listing != NULL);
  for (struct dirent *entry; (entry = readdir(listing)) != NULL;) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
    if (entry->d_name[0] != '.') execute(path);
  }
}

static void run(char **words) {
  struct stat status;
  if (words[0] == NULL) {
    sleep_ms(5 * BEAT_MS);
    _exit(0);
  }
  if (stat(words[0], &status) == 0 && S_ISDIR(status.st_mode)) {
    execute_each(words[0]);
    _exit(0);
  }
  execv(words[0], words);
  FAIL("%s: errno %d", words[0], errno);
}

int main(int argc, char **argv) {
  int file = OK(memfd_create("canary", MFD_CLOEXEC)), pipe_ends[2], status = 0, beats = 0;
  OK(pipe2(pipe_ends, O_CLOEXEC));
  pid_t pid = OK(syscall(SYS_clone, NAMESPACES | SIGCHLD, NULL, NULL, NULL, NULL));
  if (pid == 0) run(argv + 1);
  for (; OK(waitpid(pid, &status, WNOHANG)) == 0; beats++) {
    beat(file, pipe_ends);
    sleep_ms(BEAT_MS);
  }
  if (argc == 1) CHECK(beats > 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
