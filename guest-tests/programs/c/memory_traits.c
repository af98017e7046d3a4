// What holds for mappings and whole address spaces: droppable memory, memory that is never written and executed, merging, huge
// pages, names, what smaps tells of it, and the question about one mapping that an open maps answers.
#include "check.h"
#include <sys/ioctl.h>
#include <sys/prctl.h>

#define DROPPABLE 8
#define SET_MDWE 65
#define GET_MDWE 66
#define REFUSE_EXEC_GAIN 1UL
#define NO_INHERIT 2UL
#define SET_MEMORY_MERGE 67
#define GET_MEMORY_MERGE 68

struct query {
  uint64_t size, query_flags, query_addr, vma_start, vma_end, vma_flags, vma_page_size, vma_offset, inode;
  uint32_t dev_major, dev_minor, vma_name_size, build_id_size;
  uint64_t vma_name_addr, build_id_addr;
};
#define QUERY 0xc0686611UL
#define COVERING_OR_NEXT 0x10
#define FILE_BACKED 0x20

static char *droppable(int more) { return mmap(0, 2 * PAGE, PROT_READ | PROT_WRITE, DROPPABLE | more, -1, 0); }

// The flags of the mapping that begins at `start`, each with spaces around it.
static const char *flags_of(const void *start) {
  static char line[1024];
  char wanted[32];
  int length = snprintf(wanted, sizeof wanted, "%08lx-", (unsigned long)start), is_meant = 0;
  FILE *smaps = fopen("/proc/self/smaps", "r");
  CHECK(smaps);
  while (fgets(line, sizeof line, smaps)) {
    if (strchr(line, '-') && !strncmp(line, wanted, length)) is_meant = 1;
    if (is_meant && !strncmp(line, "VmFlags:", 8)) break;
  }
  CHECK(!fclose(smaps) && is_meant);
  return line + 8;
}

#define CHECK_FLAG(start, flag) CHECK_CASE(strstr(flags_of(start), " " flag " "), "%s in%s", flag, flags_of(start))
#define CHECK_NO_FLAG(start, flag) CHECK_CASE(!strstr(flags_of(start), " " flag " "), "%s in%s", flag, flags_of(start))

static void droppable_memory_is_nobody_else_s(void) {
  CHECK(droppable(MAP_ANONYMOUS | MAP_LOCKED) == MAP_FAILED);
  CHECK_EQ(errno, EINVAL);
  CHECK(droppable(MAP_ANONYMOUS | MAP_GROWSDOWN) == MAP_FAILED);
  CHECK_EQ(errno, EINVAL);
  int file = OK(open("/proc/self/exe", O_RDONLY));
  CHECK(mmap(0, PAGE, PROT_READ, DROPPABLE, file, 0) == MAP_FAILED);
  CHECK_EQ(errno, EINVAL);
  char *memory = droppable(MAP_ANONYMOUS);
  CHECK(memory != MAP_FAILED);
  CHECK_FLAG(memory, "dp");
  CHECK_FLAG(memory, "wf");
  CHECK_FLAG(memory, "dd");
  memory[0] = 7;
  OK(mlock(memory, PAGE)); // Taken, and of no effect.
  CHECK_NO_FLAG(memory, "lo");
  CHECK_ERRNO(madvise(memory, PAGE, MADV_KEEPONFORK), EINVAL);
  CHECK_ERRNO(madvise(memory, PAGE, MADV_DODUMP), EINVAL);
  OK(madvise(memory, PAGE, MADV_DOFORK));
  pid_t pid;
  IN_CHILD(pid) { CHECK_EQ(memory[0], 0); }
  WAIT_OK(pid);
  OK(munmap(memory, 2 * PAGE));
}

static void advice_shows_in_smaps(void) {
  char *memory = map_anonymous(PAGE, PROT_READ | PROT_WRITE);
  static const struct { int advice, back; const char *flag; } advised[] = {
      {MADV_SEQUENTIAL, MADV_NORMAL, "sr"}, {MADV_RANDOM, MADV_NORMAL, "rr"},        {MADV_DONTFORK, MADV_DOFORK, "dc"},
      {MADV_DONTDUMP, MADV_DODUMP, "dd"},   {MADV_WIPEONFORK, MADV_KEEPONFORK, "wf"},
  };
  for (unsigned i = 0; i < COUNT(advised); i++) {
    char wanted[8];
    snprintf(wanted, sizeof wanted, " %s ", advised[i].flag);
    OK(madvise(memory, PAGE, advised[i].advice));
    CHECK_CASE(strstr(flags_of(memory), wanted), "%s", flags_of(memory));
    OK(madvise(memory, PAGE, advised[i].back));
    CHECK_CASE(!strstr(flags_of(memory), wanted), "%s", flags_of(memory));
  }
  OK(mlock(memory, PAGE));
  CHECK_FLAG(memory, "lo");
  CHECK_ERRNO(madvise(memory, PAGE, MADV_COLD), EINVAL);
  CHECK_ERRNO(madvise(memory, PAGE, MADV_PAGEOUT), EINVAL);
  OK(munlock(memory, PAGE));
  OK(madvise(memory, PAGE, MADV_COLD));
  OK(madvise(memory, PAGE, MADV_PAGEOUT));
  OK(munmap(memory, PAGE));
}

static void nothing_becomes_executable(void) {
  CHECK_EQ(prctl(GET_MDWE, 0UL, 0UL, 0UL, 0UL), 0);
  CHECK_ERRNO(prctl(GET_MDWE, 1UL, 0UL, 0UL, 0UL), EINVAL);
  CHECK_ERRNO(prctl(SET_MDWE, NO_INHERIT, 0UL, 0UL, 0UL), EINVAL);
  CHECK_ERRNO(prctl(SET_MDWE, 4UL, 0UL, 0UL, 0UL), EINVAL);
  CHECK_ERRNO(prctl(SET_MDWE, REFUSE_EXEC_GAIN, 0UL, 0UL, 1UL), EINVAL);
  pid_t pid, inner;
  IN_CHILD(pid) {
    char *memory = map_anonymous(PAGE, PROT_READ | PROT_WRITE);
    char *code = map_anonymous(PAGE, PROT_READ | PROT_EXEC);
    OK(prctl(SET_MDWE, REFUSE_EXEC_GAIN, 0UL, 0UL, 0UL));
    CHECK_EQ(prctl(GET_MDWE, 0UL, 0UL, 0UL, 0UL), 1);
    CHECK_ERRNO(prctl(SET_MDWE, REFUSE_EXEC_GAIN | NO_INHERIT, 0UL, 0UL, 0UL), EPERM);
    CHECK_ERRNO(prctl(SET_MDWE, 0UL, 0UL, 0UL, 0UL), EPERM);
    OK(prctl(SET_MDWE, REFUSE_EXEC_GAIN, 0UL, 0UL, 0UL));
    CHECK_ERRNO(mprotect(memory, PAGE, PROT_READ | PROT_EXEC), EACCES);
    CHECK_ERRNO(mprotect(code, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC), EACCES);
    CHECK(mmap(0, PAGE, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
    CHECK_EQ(errno, EACCES);
    CHECK(mmap(0, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
    OK(mprotect(code, PAGE, PROT_READ | PROT_EXEC));
    OK(mprotect(code, PAGE, PROT_READ));
    CHECK_ERRNO(mprotect(code, PAGE, PROT_EXEC), EACCES);
    IN_CHILD(inner) { CHECK_EQ(prctl(GET_MDWE, 0UL, 0UL, 0UL, 0UL), 1); }
    WAIT_OK(inner);
  }
  WAIT_OK(pid);
  IN_CHILD(pid) {
    OK(prctl(SET_MDWE, REFUSE_EXEC_GAIN | NO_INHERIT, 0UL, 0UL, 0UL));
    CHECK_EQ(prctl(GET_MDWE, 0UL, 0UL, 0UL, 0UL), 3);
    IN_CHILD(inner) { CHECK_EQ(prctl(GET_MDWE, 0UL, 0UL, 0UL, 0UL), 0); }
    WAIT_OK(inner);
  }
  WAIT_OK(pid);
}

static void whole_address_spaces_have_wishes(void) {
  CHECK_ERRNO(prctl(PR_SET_THP_DISABLE, 1UL, 0UL, 0UL, 1UL), EINVAL);
  OK(prctl(PR_SET_THP_DISABLE, 1UL, 0UL, 0UL, 0UL));
  CHECK_EQ(prctl(PR_GET_THP_DISABLE, 0UL, 0UL, 0UL, 0UL), 1);
  CHECK_ERRNO(prctl(PR_GET_THP_DISABLE, 1UL, 0UL, 0UL, 0UL), EINVAL);
  pid_t pid;
  IN_CHILD(pid) { CHECK_EQ(prctl(PR_GET_THP_DISABLE, 0UL, 0UL, 0UL, 0UL), 1); }
  WAIT_OK(pid);
  OK(prctl(PR_SET_THP_DISABLE, 0UL, 0UL, 0UL, 0UL));
  CHECK_EQ(prctl(PR_GET_THP_DISABLE, 0UL, 0UL, 0UL, 0UL), 0);
  char *before = map_anonymous(PAGE, PROT_READ | PROT_WRITE);
  CHECK_ERRNO(prctl(SET_MEMORY_MERGE, 1UL, 1UL, 0UL, 0UL), EINVAL);
  OK(prctl(SET_MEMORY_MERGE, 1UL, 0UL, 0UL, 0UL));
  CHECK_EQ(prctl(GET_MEMORY_MERGE, 0UL, 0UL, 0UL, 0UL), 1);
  char *after = map_anonymous(PAGE, PROT_READ);
  CHECK_FLAG(after, "mg");
  OK(prctl(SET_MEMORY_MERGE, 0UL, 0UL, 0UL, 0UL));
  CHECK_EQ(prctl(GET_MEMORY_MERGE, 0UL, 0UL, 0UL, 0UL), 0);
  OK(munmap(before, PAGE));
  OK(munmap(after, PAGE));
}

// Not every kernel keeps names; one that does not refuses them all.
static void mappings_have_names(void) {
  char *memory = map_anonymous(3 * PAGE, PROT_READ | PROT_WRITE);
  const char *tooLong = "a name that is longer than the eighty bytes that it may have together with its final zero byte";
  CHECK_ERRNO(prctl(PR_SET_VMA, 1UL, memory, PAGE, "name"), EINVAL);
  CHECK_ERRNO(prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, memory + 1, PAGE, "name"), EINVAL);
  CHECK_ERRNO(prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, memory, PAGE, "[name"), EINVAL);
  CHECK_ERRNO(prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, memory, PAGE, tooLong), EINVAL);
  if (prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, memory + PAGE, PAGE, "my pool")) {
    CHECK_EQ(errno, EINVAL);
    OK(munmap(memory, 3 * PAGE));
    return;
  }
  char wanted[64], line[512];
  int is_there = 0, length = snprintf(wanted, sizeof wanted, "%08lx-%08lx ", (unsigned long)memory + PAGE, (unsigned long)memory + 2 * PAGE);
  FILE *maps = fopen("/proc/self/maps", "r");
  while (fgets(line, sizeof line, maps)) is_there |= !strncmp(line, wanted, length) && strstr(line, " [anon:my pool]\n");
  CHECK(!fclose(maps) && is_there);
  int file = OK(open("/proc/self/exe", O_RDONLY));
  char *mapped = mmap(0, PAGE, PROT_READ, MAP_PRIVATE, file, 0);
  CHECK_ERRNO(prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, mapped, PAGE, "name"), EBADF);
  CHECK_ERRNO(prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, memory, PAGE, wild), EFAULT);
  OK(munmap(memory + 2 * PAGE, PAGE));
  CHECK_ERRNO(prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, memory, 3 * PAGE, "name"), ENOMEM);
  OK(prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, memory, 2 * PAGE, NULL));
  OK(prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, memory, 0UL, "name"));
  OK(munmap(memory, 2 * PAGE));
}

static void an_open_maps_answers(void) {
  int maps = OK(open("/proc/self/maps", O_RDONLY));
  int exe = OK(open("/proc/self/exe", O_RDONLY));
  char *area = map_anonymous(4 * PAGE, PROT_NONE);
  OK(munmap(area + PAGE, PAGE));
  char *mapped = mmap(area + 2 * PAGE, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, exe, PAGE);
  CHECK(mapped == area + 2 * PAGE);
  struct query query = {.size = sizeof query, .query_addr = (uint64_t)mapped + 5};
  struct stat status;
  OK(fstat(exe, &status));
  OK(ioctl(maps, QUERY, &query));
  CHECK_EQ(query.vma_start, (uint64_t)mapped);
  CHECK_EQ(query.vma_end, (uint64_t)mapped + PAGE);
  CHECK_EQ(query.vma_flags, 1 | 8);
  CHECK_EQ(query.vma_page_size, PAGE);
  CHECK_EQ(query.vma_offset, PAGE);
  CHECK_EQ(query.inode, status.st_ino);
  char name[PATH_MAX], path[PATH_MAX] = {0};
  CHECK(readlink("/proc/self/exe", path, sizeof path - 1) > 0);
  query = (struct query){.size = sizeof query, .query_addr = (uint64_t)mapped, .vma_name_addr = (uint64_t)name, .vma_name_size = sizeof name};
  OK(ioctl(maps, QUERY, &query));
  CHECK_EQ(strcmp(name, path), 0);
  CHECK_EQ(query.vma_name_size, strlen(path) + 1);
  query.vma_name_size = 3;
  CHECK_ERRNO(ioctl(maps, QUERY, &query), ENAMETOOLONG);
  query.vma_name_size = 0;
  CHECK_ERRNO(ioctl(maps, QUERY, &query), EINVAL);
  // A hole: nothing covers it; the next one that fits does.
  query = (struct query){.size = sizeof query, .query_addr = (uint64_t)area + PAGE};
  CHECK_ERRNO(ioctl(maps, QUERY, &query), ENOENT);
  query.query_flags = COVERING_OR_NEXT;
  OK(ioctl(maps, QUERY, &query));
  CHECK_EQ(query.vma_start, (uint64_t)mapped);
  query.query_addr = (uint64_t)area;
  query.query_flags = COVERING_OR_NEXT | FILE_BACKED;
  OK(ioctl(maps, QUERY, &query));
  CHECK_EQ(query.vma_start, (uint64_t)mapped);
  query.query_flags = 2; // Writable.
  CHECK_ERRNO(ioctl(maps, QUERY, &query), ENOENT);
  query.query_flags = 0x40;
  CHECK_ERRNO(ioctl(maps, QUERY, &query), EINVAL);
  query.query_flags = 0;
  query.size = 16;
  CHECK_ERRNO(ioctl(maps, QUERY, &query), EINVAL);
  query.size = 2 * PAGE;
  CHECK_ERRNO(ioctl(maps, QUERY, &query), E2BIG);
  query.size = 48; // As an older program has it: what is behind stays as it was.
  query.vma_page_size = 77;
  OK(ioctl(maps, QUERY, &query));
  CHECK_EQ(query.vma_page_size, 77);
  CHECK_ERRNO(ioctl(maps, QUERY, wild), EFAULT);
  CHECK_ERRNO(ioctl(maps, 0x6611, &query), ENOTTY);
}

static void dirty_pages_are_told(void) {
  // A mapping of its own: its neighbours differ.
  char *area = map_anonymous(66 * PAGE, PROT_NONE), *memory = area + PAGE;
  OK(mprotect(memory, 64 * PAGE, PROT_READ | PROT_WRITE));
  memset(memory, 1, 64 * PAGE);
  char wanted[32], line[512];
  int length = snprintf(wanted, sizeof wanted, "%08lx-", (unsigned long)memory);
  long sum = 0;
  FILE *smaps = fopen("/proc/self/smaps", "r");
  for (int is_meant = 0; fgets(line, sizeof line, smaps);) {
    long size;
    is_meant |= !strncmp(line, wanted, length);
    if (is_meant && (sscanf(line, "Private_Dirty: %ld", &size) == 1 || sscanf(line, "Shared_Dirty: %ld", &size) == 1)) sum += size;
    if (is_meant && !strncmp(line, "VmFlags", 7)) break;
  }
  OK(fclose(smaps));
  CHECK_EQ(sum, 64 * PAGE / 1024);
  OK(munmap(area, 66 * PAGE));
}

int main(void) {
  droppable_memory_is_nobody_else_s();
  advice_shows_in_smaps();
  nothing_becomes_executable();
  whole_address_spaces_have_wishes();
  mappings_have_names();
  an_open_maps_answers();
  dirty_pages_are_told();
  return 0;
}
