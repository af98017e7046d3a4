// prctl(PR_SET_MM): where the parts of a program are, as whoever restores one says.
#include "check.h"
#include <sys/prctl.h>
#include <linux/prctl.h>

static struct prctl_mm_map now(void) {
  char text[4096], *next = text;
  read_file("/proc/self/stat", text, sizeof text);
  struct prctl_mm_map map = {.exe_fd = -1};
  unsigned long long fields[53] = {0};
  next = strrchr(text, ')') + 2;
  for (int i = 3; i <= 52 && next != NULL; i++) {
    fields[i] = i == 3 ? 0 : strtoull(next, NULL, 10);
    next = strchr(next, ' ');
    if (next != NULL) next++;
  }
  map.start_code = fields[26], map.end_code = fields[27], map.start_stack = fields[28];
  map.start_data = fields[45], map.end_data = fields[46], map.start_brk = fields[47];
  map.arg_start = fields[48], map.arg_end = fields[49], map.env_start = fields[50], map.env_end = fields[51];
  map.brk = (unsigned long)sbrk(0);
  return map;
}

int main(void) {
  unsigned size = 0;
  OK(prctl(PR_SET_MM, PR_SET_MM_MAP_SIZE, &size, 0, 0));
  CHECK_EQ(size, sizeof(struct prctl_mm_map));
  CHECK_ERRNO(prctl(PR_SET_MM, PR_SET_MM_MAP_SIZE, wild, 0, 0), EFAULT);
  CHECK_ERRNO(prctl(PR_SET_MM, PR_SET_MM_BRK, 0, 0, 1), EINVAL);
  CHECK_ERRNO(prctl(PR_SET_MM, PR_SET_MM_BRK, 0, 1, 0), EINVAL);
  struct prctl_mm_map map = now();
  CHECK_ERRNO(prctl(PR_SET_MM, PR_SET_MM_MAP, &map, size - 1, 0), EINVAL);
  CHECK_ERRNO(prctl(PR_SET_MM, PR_SET_MM_MAP, wild, size, 0), EFAULT);
  OK(prctl(PR_SET_MM, PR_SET_MM_MAP, &map, size, 0));
  // Another command line.
  char *memory = map_anonymous(PAGE, PROT_READ | PROT_WRITE), text[64];
  strcpy(memory, "another");
  map.arg_start = (unsigned long)memory, map.arg_end = map.arg_start + 8;
  OK(prctl(PR_SET_MM, PR_SET_MM_MAP, &map, size, 0));
  CHECK_EQ(read_file("/proc/self/cmdline", text, sizeof text), 8);
  CHECK(strcmp(text, "another") == 0);
  // And another auxiliary vector.
  uint64_t vector[] = {6, 4096, 77, 88, 0, 0};
  map.auxv = (void *)vector, map.auxv_size = sizeof vector;
  OK(prctl(PR_SET_MM, PR_SET_MM_MAP, &map, size, 0));
  uint64_t seen[64] = {0};
  int file = OK(open("/proc/self/auxv", O_RDONLY));
  CHECK(read(file, seen, sizeof seen) >= (long)sizeof vector);
  CHECK(memcmp(seen, vector, sizeof vector) == 0);
  OK(close(file));
  struct prctl_mm_map bad = map;
  bad.arg_end = bad.arg_start - 1;
  CHECK_ERRNO(prctl(PR_SET_MM, PR_SET_MM_MAP, &bad, size, 0), EINVAL);
  bad = map, bad.start_code = 0;
  CHECK_ERRNO(prctl(PR_SET_MM, PR_SET_MM_MAP, &bad, size, 0), EINVAL);
  bad = map, bad.env_end = -1UL;
  CHECK_ERRNO(prctl(PR_SET_MM, PR_SET_MM_MAP, &bad, size, 0), EINVAL);
  bad = map, bad.auxv_size = 100000;
  CHECK_ERRNO(prctl(PR_SET_MM, PR_SET_MM_MAP, &bad, size, 0), EINVAL);
  pid_t pid;
  IN_CHILD(pid) {
    OK(setuid(12345));
    CHECK_ERRNO(prctl(PR_SET_MM, PR_SET_MM_ARG_START, memory, 0, 0), EPERM);
    CHECK_ERRNO(prctl(PR_SET_MM, 99, memory, 0, 0), EPERM);
  }
  WAIT_OK(pid);
  // One by one, for who may.
  if (prctl(PR_SET_MM, PR_SET_MM_ARG_START, memory + 1, 0, 0) == 0) {
    CHECK_EQ(read_file("/proc/self/cmdline", text, sizeof text), 7);
    CHECK_ERRNO(prctl(PR_SET_MM, PR_SET_MM_ARG_START, 8, 0, 0), EINVAL);
    CHECK_ERRNO(prctl(PR_SET_MM, 99, memory, 0, 0), EINVAL);
    CHECK_ERRNO(prctl(PR_SET_MM, PR_SET_MM_EXE_FILE, 999, 0, 0), EBADF);
    file = OK(open("/bin/sh", O_RDONLY));
    CHECK_ERRNO(prctl(PR_SET_MM, PR_SET_MM_EXE_FILE, file, 0, 0), EBUSY);
  } else {
    CHECK_EQ(errno, EPERM);
  }
  return 0;
}
