// Calls of known kinds and numbers: what the tests of --profile look for. Without words it makes them all, and ends with 0.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

#define WITH_FRAME __attribute__((noinline, noclone, optimize("no-omit-frame-pointer", "no-optimize-sibling-calls")))

static void make_calls(void) {
  for (int i = 0; i < 1000; i++) CHECK(syscall(SYS_getpgrp) >= 0);
  for (int i = 0; i < 5000; i++) CHECK(syscall(SYS_getuid) >= 0);
  for (int i = 0; i < 300; i++) CHECK(syscall(SYS_lseek, -1, 0L, SEEK_SET) == -1 && errno == EBADF);
  for (int i = 0; i < 20; i++) CHECK(syscall(SYS_sched_yield) == 0);
  struct timespec nap = {.tv_nsec = 20000000};
  CHECK(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &nap, NULL) == 0);
  char *memory = malloc(16 << 20);
  CHECK(memory != NULL);
  memset(memory, 1, 16 << 20);
  free(memory);
  // Too much to be brought in before it is touched.
  size_t much = 1UL << 30;
  char *sparse = mmap(NULL, much, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(sparse != MAP_FAILED);
  sparse[much / 2] = 1;
  CHECK(munmap(sparse, much) == 0);
}

WITH_FRAME long spin_here(long turns) {
  volatile long sum = 0;
  for (long i = 0; i < turns; i++) sum += i;
  return sum;
}

WITH_FRAME long outer(long turns) {
  return spin_here(turns) + 1;
}

static void read_much(int portions) {
  static char buffer[1 << 20];
  int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
  CHECK(zero >= 0);
  for (int i = 0; i < portions; i++) CHECK(read(zero, buffer, sizeof buffer) == sizeof buffer);
  CHECK(close(zero) == 0);
}

WITH_FRAME int main(int count, char **words) {
  const char *word = count > 1 ? words[1] : "";
  if (strcmp(word, "signal") == 0) raise(SIGKILL);
  if (strcmp(word, "spin") != 0) make_calls();
  if (strcmp(word, "calls") != 0) {
    CHECK(outer(strcmp(word, "spin") == 0 ? 100000000 : 1000) > 0);
    read_much(strcmp(word, "spin") == 0 ? 1000 : 2);
  }
  return count > 2 ? atoi(words[2]) : 0;
}
