// A signal to a process group reaches those who are being made at that moment: of processes that fork all the time, none
// survives a SIGKILL (man 2 kill).
// timeout: 60

#include <sys/prctl.h>

#include "check.h"

#define ROUNDS 40
#define FORKERS 3

// Forks children that end at once, for ever; every other child takes its parent's place.
static void fork_for_ever(void) {
  for (int i = 0;; i++) {
    pid_t child = fork();
    if (child < 0) continue;
    if (child > 0 && i % 2) _exit(0);
    if (child == 0 && i % 2 == 0) _exit(0);
    if (child > 0) waitpid(child, 0, 0);
  }
}

static pid_t start_group(void) {
  pid_t leader = OK(fork());
  if (leader == 0) {
    setpgid(0, 0);
    for (int i = 1; i < FORKERS; i++)
      if (fork() == 0) break;
    fork_for_ever();
  }
  setpgid(leader, leader);
  return leader;
}

// Waits for every process that came of the group; one that was missed forks on, and the test runs into its timeout.
static void reap_all(void) {
  while (waitpid(-1, 0, 0) > 0) {
  }
}

int main(void) {
  OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
  for (int round = 0; round < ROUNDS; round++) {
    pid_t group = start_group();
    usleep(1000 + round * 100);
    if (round % 2) {
      OK(kill(-group, SIGSTOP));
      OK(kill(-group, SIGCONT));
    }
    OK(kill(-group, SIGKILL));
    reap_all();
    CHECK(kill(-group, 0) < 0);
  }
  return 0;
}
