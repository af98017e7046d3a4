// madvise, mincore, mlock, brk, stack growth and the accounts of memory in /proc.
#include "check.h"
#include <sys/resource.h>

static void dontneed_zeroes_private_memory(void) {
  char *memory = map_anonymous(8 * PAGE, PROT_READ | PROT_WRITE);
  memset(memory, 9, 8 * PAGE);
  OK(madvise(memory + 2 * PAGE, 3 * PAGE, MADV_DONTNEED));
  for (int page = 0; page < 8; page++) CHECK_EQ(memory[page * PAGE + 77], page >= 2 && page < 5 ? 0 : 9);
  memory[3 * PAGE] = 4;
  CHECK_EQ(memory[3 * PAGE], 4);
  OK(munmap(memory, 8 * PAGE));
  char *shared = map_shared(PAGE);
  *shared = 6;
  OK(madvise(shared, PAGE, MADV_DONTNEED)); // Shared memory keeps its content.
  CHECK_EQ(*shared, 6);
  OK(munmap(shared, PAGE));
}

static void advice_is_checked(void) {
  char *memory = map_anonymous(4 * PAGE, PROT_READ | PROT_WRITE);
  int advices[] = {MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_DONTNEED, MADV_FREE, MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_DONTDUMP, MADV_DODUMP};
  for (size_t i = 0; i < COUNT(advices); i++) {
    int got = madvise(memory, 4 * PAGE, advices[i]);
    CHECK_CASE(got == 0 || (errno == EINVAL && (advices[i] == MADV_HUGEPAGE || advices[i] == MADV_NOHUGEPAGE)), "advice %d", advices[i]);
  }
  CHECK_ERRNO(madvise(memory + 1, PAGE, MADV_NORMAL), EINVAL);
  CHECK_ERRNO(madvise(memory, PAGE, 12345), EINVAL);
  OK(madvise(memory, 0, MADV_DONTNEED));
  OK(munmap(memory + PAGE, PAGE));
  CHECK_ERRNO(madvise(memory, 4 * PAGE, MADV_DONTNEED), ENOMEM); // A hole, but the rest is advised.
  OK(munmap(memory, 4 * PAGE));
}

static void mincore_tells_presence(void) {
  char *memory = map_anonymous(4 * PAGE, PROT_READ | PROT_WRITE);
  unsigned char present[4];
  memory[PAGE] = 1;
  OK(mincore(memory, 4 * PAGE, present));
  CHECK(present[1] & 1);
  CHECK_ERRNO(mincore(memory + 1, PAGE, present), EINVAL);
  CHECK_ERRNO(mincore(memory, PAGE, wild), EFAULT);
  OK(munmap(memory + PAGE, PAGE));
  CHECK_ERRNO(mincore(memory, 4 * PAGE, present), ENOMEM);
}

static void locks_are_accepted(void) {
  char *memory = map_anonymous(4 * PAGE, PROT_READ | PROT_WRITE);
  OK(mlock(memory, 4 * PAGE));
  OK(munlock(memory, 4 * PAGE));
  OK(munmap(memory + PAGE, PAGE));
  CHECK_ERRNO(mlock(memory, 4 * PAGE), ENOMEM);
  OK(munlockall());
}

static void the_break_moves(void) {
  char *start = sbrk(0);
  CHECK(sbrk(40 * PAGE) == start);
  for (int page = 0; page < 40; page++) {
    CHECK_EQ(start[page * PAGE], 0);
    start[page * PAGE] = 3;
  }
  CHECK_EQ(syscall(SYS_brk, 0), start + 40 * PAGE);
  CHECK(sbrk(-30 * PAGE) == start + 40 * PAGE);
  CHECK_EQ(start[9 * PAGE], 3);
  CHECK(sbrk(30 * PAGE) == start + 10 * PAGE);
  CHECK_EQ(start[20 * PAGE], 0); // Fresh again.
  OK(brk(start));
  CHECK_EQ(syscall(SYS_brk, 8), start); // A refusal returns the break as it is.
  CHECK_EQ(syscall(SYS_brk, start + 123), start + 123); // Not rounded.
  CHECK_EQ(syscall(SYS_brk, start), start);
}

static NOINLINE int touch_deep(int kilobytes) {
  volatile char frame[1024];
  frame[0] = frame[1023] = kilobytes;
  return kilobytes <= 0 ? 0 : touch_deep(kilobytes - 1) + (frame[0] == (char)kilobytes);
}

static void the_stack_grows(void) {
  CHECK_EQ(touch_deep(6000), 6000);
  // One far step within the limit is growth as well.
  volatile char *far = (char *)__builtin_frame_address(0) - (6L << 20);
  *far = 1;
  CHECK_EQ(*far, 1);
}

static void proc_maps_lists_mappings(void) {
  char *memory = map_anonymous(5 * PAGE, PROT_READ | PROT_WRITE), line[512];
  OK(mprotect(memory + 2 * PAGE, PAGE, PROT_NONE));
  write_file("mapped file", "content");
  int file = OK(open("mapped file", O_RDONLY));
  char *mapped = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, file, 0), path[PATH_MAX];
  CHECK(getcwd(path, sizeof path) != NULL);
  strcat(path, "/mapped file");
  FILE *maps = fopen("/proc/self/maps", "r");
  CHECK(maps != NULL);
  int has_stack = 0, has_heap = 0, has_vdso = 0, has_hole = 0, has_file = 0, has_self = 0;
  unsigned long previous_end = 0;
  sbrk(PAGE);
  while (fgets(line, sizeof line, maps)) {
    unsigned long start, end, offset, inode;
    char rights[8], device[16];
    int name_at = 0;
    CHECK_CASE(sscanf(line, "%lx-%lx %4s %lx %15s %lu %n", &start, &end, rights, &offset, device, &inode, &name_at) == 6, "%.80s", line);
    CHECK(start < end && start >= previous_end && start % PAGE == 0 && end % PAGE == 0);
    CHECK_EQ(strlen(rights), 4);
    previous_end = end;
    line[strcspn(line, "\n")] = 0;
    char *name = line + name_at;
    has_stack |= strcmp(name, "[stack]") == 0 && start <= (unsigned long)&start && end > (unsigned long)&start;
    has_heap |= strcmp(name, "[heap]") == 0;
    has_vdso |= strcmp(name, "[vdso]") == 0;
    has_hole |= start == (unsigned long)(memory + 2 * PAGE) && end == start + PAGE && strcmp(rights, "---p") == 0;
    has_file |= start == (unsigned long)mapped && strcmp(rights, "r--s") == 0 && strcmp(name, path) == 0 && inode != 0;
    has_self |= start <= (unsigned long)proc_maps_lists_mappings && end > (unsigned long)proc_maps_lists_mappings && rights[2] == 'x' && strstr(name, "memory_advice");
  }
  fclose(maps);
  CHECK(has_stack);
  CHECK(has_heap);
  CHECK(has_vdso);
  CHECK(has_hole);
  CHECK(has_file);
  CHECK(has_self);
}

static long status_kilobytes(const char *field) {
  char text[8192];
  read_file("/proc/self/status", text, sizeof text);
  char *found = strstr(text, field);
  CHECK_CASE(found != NULL, "%s", field);
  return atol(found + strlen(field));
}

static void the_accounts_follow(void) {
  long size = status_kilobytes("VmSize:"), resident = status_kilobytes("VmRSS:");
  CHECK(size > 0 && resident > 0 && resident < size);
  char *memory = map_anonymous(32 << 20, PROT_READ | PROT_WRITE);
  CHECK(status_kilobytes("VmSize:") >= size + (32 << 10));
  memset(memory, 1, 16 << 20);
  CHECK(status_kilobytes("VmRSS:") >= resident + (14 << 10));
  OK(munmap(memory, 32 << 20));
  CHECK(status_kilobytes("VmRSS:") < resident + (10 << 10));
  struct rusage usage;
  OK(getrusage(RUSAGE_SELF, &usage));
  CHECK(usage.ru_maxrss >= 14 << 10);
}

int main(void) {
  enter_scratch();
  dontneed_zeroes_private_memory();
  advice_is_checked();
  mincore_tells_presence();
  locks_are_accepted();
  the_break_moves();
  the_stack_grows();
  proc_maps_lists_mappings();
  the_accounts_follow();
  return 0;
}
