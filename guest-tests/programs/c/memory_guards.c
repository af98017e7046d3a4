// MADV_GUARD_INSTALL and MADV_GUARD_REMOVE: pages that nobody touches.
#include "check.h"
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif

static int mappings_in(char *start, char *end) {
  FILE *maps = fopen("/proc/self/maps", "r");
  CHECK(maps != NULL);
  char line[512];
  int count = 0;
  while (fgets(line, sizeof line, maps)) {
    unsigned long first, last;
    if (sscanf(line, "%lx-%lx", &first, &last) == 2) count += first < (unsigned long)end && last > (unsigned long)start;
  }
  fclose(maps);
  return count;
}

int main(void) {
  char *memory = map_anonymous(8 * PAGE, PROT_READ | PROT_WRITE), byte;
  if (madvise(memory, PAGE, MADV_GUARD_INSTALL) < 0 && errno == EINVAL) return 0; // Linux before 6.13 has none.
  OK(madvise(memory, PAGE, MADV_GUARD_REMOVE));
  memset(memory, 7, 8 * PAGE);
  OK(madvise(memory + 2 * PAGE, 2 * PAGE, MADV_GUARD_INSTALL));
  int pipes[2];
  OK(pipe(pipes));
  CHECK_ERRNO(write(pipes[1], memory + 2 * PAGE, 1), EFAULT);
  CHECK_EQ(write(pipes[1], "x", 1), 1);
  CHECK_ERRNO(read(pipes[0], memory + 3 * PAGE, 1), EFAULT);
  CHECK_EQ(fault_of(memory + 2 * PAGE, 0), SIGSEGV);
  CHECK_EQ(fault_of(memory + 3 * PAGE + 9, 1), SIGSEGV);
  CHECK_EQ(memory[PAGE], 7);
  CHECK_EQ(memory[4 * PAGE], 7);
  // It is one mapping still, and more protection or advice does not take the guards away.
  CHECK(mappings_in(memory, memory + 8 * PAGE) == 1);
  OK(mprotect(memory, 8 * PAGE, PROT_READ));
  OK(mprotect(memory, 8 * PAGE, PROT_READ | PROT_WRITE));
  OK(madvise(memory, 8 * PAGE, MADV_DONTNEED));
  CHECK_EQ(fault_of(memory + 3 * PAGE, 0), SIGSEGV);
  CHECK_EQ(memory[PAGE], 0);
  CHECK_ERRNO(madvise(memory, 8 * PAGE, MADV_POPULATE_WRITE), EFAULT);
  pid_t pid;
  IN_CHILD(pid) { CHECK_EQ(fault_of(memory + 2 * PAGE, 0), SIGSEGV); }
  WAIT_OK(pid);
  OK(madvise(memory, 8 * PAGE, MADV_GUARD_REMOVE));
  CHECK_EQ(memory[2 * PAGE], 0);
  memory[3 * PAGE] = 1;
  // A new mapping in its place has none.
  OK(madvise(memory, PAGE, MADV_GUARD_INSTALL));
  CHECK(mmap(memory, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == memory);
  CHECK_EQ(*memory, 0);
  OK(mlock(memory + PAGE, PAGE));
  CHECK_ERRNO(madvise(memory + PAGE, PAGE, MADV_GUARD_INSTALL), EINVAL);
  OK(munmap(memory + 6 * PAGE, PAGE));
  CHECK_ERRNO(madvise(memory + 5 * PAGE, 3 * PAGE, MADV_GUARD_INSTALL), ENOMEM);
  CHECK_EQ(fault_of(memory + 7 * PAGE, 0), SIGSEGV);
  byte = memory[4 * PAGE];
  CHECK_EQ(byte, 0);
  return 0;
}
