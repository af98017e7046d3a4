// inside only: it sets how many huge pages there are.
// Huge pages from the pool: what is promised, used and given back, by mappings, files, segments and file systems.
#include "check.h"
#include <sys/mount.h>
#include <sys/shm.h>
#include <sys/statfs.h>

#define HUGE (2L << 20)
#define POOL "/proc/sys/vm/nr_hugepages"
#define OVERCOMMIT "/proc/sys/vm/nr_overcommit_hugepages"

static long field(const char *path, const char *name) {
  FILE *file = fopen(path, "r");
  CHECK(file != NULL);
  char line[256];
  long value = -1;
  while (fgets(line, sizeof line, file) != NULL)
    if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':') value = atol(line + strlen(name) + 1);
  fclose(file);
  return value;
}

static void set(const char *path, long value) {
  char text[32];
  snprintf(text, sizeof text, "%ld", value);
  write_file(path, text);
}

// Total, free, reserved and surplus pages are these.
#define COUNTS(total, free, reserved, surplus) \
  do { \
    long counts[] = {field("/proc/meminfo", "HugePages_Total"), field("/proc/meminfo", "HugePages_Free"), \
      field("/proc/meminfo", "HugePages_Rsvd"), field("/proc/meminfo", "HugePages_Surp")}; \
    if (counts[0] != (total) || counts[1] != (free) || counts[2] != (reserved) || counts[3] != (surplus)) \
      FAIL("total %ld, free %ld, reserved %ld, surplus %ld", counts[0], counts[1], counts[2], counts[3]); \
  } while (0)

static sigjmp_buf back;

static void leave(int number UNUSED, siginfo_t *info UNUSED, void *context UNUSED) { siglongjmp(back, 1); }

static int is_bus_error(volatile char *place) {
  if (sigsetjmp(back, 1) != 0) return 1;
  *place = 1;
  return 0;
}

static char *map(long pages, int flags, int file) {
  return mmap(NULL, pages * HUGE, PROT_READ | PROT_WRITE, flags, file, 0);
}

static char *map_memory(long pages, int flags) { return map(pages, flags | MAP_ANONYMOUS | MAP_HUGETLB, -1); }

static void check_private(void) {
  long free_kb = field("/proc/meminfo", "MemFree");
  set(POOL, 8);
  COUNTS(8, 8, 0, 0);
  CHECK(field("/proc/meminfo", "MemFree") < free_kb - 7 * HUGE / 1024);
  char *memory = map_memory(2, MAP_PRIVATE);
  CHECK(memory != MAP_FAILED && (long)memory % HUGE == 0);
  COUNTS(8, 8, 2, 0);
  memory[0] = 1;
  memory[HUGE + 5] = 2;
  CHECK_EQ(memory[HUGE - 1], 0);
  COUNTS(8, 6, 0, 0);
  // Locks are of whole pages.
  OK(mlock(memory + PAGE, PAGE));
  memory[2 * PAGE] = 1;
  OK(munlock(memory, PAGE));
  COUNTS(8, 6, 0, 0);
  CHECK_EQ(field("/proc/self/status", "HugetlbPages"), 4096);
  // Huge pages are not cut.
  CHECK_ERRNO(munmap(memory, PAGE), EINVAL);
  CHECK_ERRNO(munmap(memory + PAGE, HUGE), EINVAL);
  CHECK_ERRNO(mprotect(memory, PAGE, PROT_READ), EINVAL);
  CHECK(mmap(memory + PAGE, HUGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED && errno == EINVAL);
  CHECK(mmap(memory + PAGE, HUGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_FIXED, -1, 0) == MAP_FAILED);
  CHECK_ERRNO(madvise(memory + PAGE, HUGE, MADV_DONTNEED), EINVAL);
  CHECK_ERRNO(madvise(memory, HUGE, MADV_FREE), EINVAL);
  CHECK(mremap(memory, 2 * HUGE, 3 * HUGE, MREMAP_MAYMOVE) == MAP_FAILED && errno == EINVAL);
  pid_t pid;
  IN_CHILD(pid) {
    CHECK_EQ(memory[0], 1);
    memory[0] = 9;
    COUNTS(8, 5, 0, 0);
  }
  WAIT_OK(pid);
  CHECK_EQ(memory[0], 1);
  COUNTS(8, 6, 0, 0);
  OK(madvise(memory, HUGE + PAGE, MADV_DONTNEED));
  COUNTS(8, 7, 0, 0);
  CHECK_EQ(memory[0] + memory[HUGE + 5], 2);
  CHECK(mremap(memory, 2 * HUGE, HUGE, 0) == memory);
  COUNTS(8, 7, 0, 0);
  OK(munmap(memory, HUGE));
  COUNTS(8, 8, 0, 0);
}

static void check_limits(void) {
  CHECK(map_memory(9, MAP_PRIVATE) == MAP_FAILED && errno == ENOMEM);
  CHECK(map_memory(9, MAP_SHARED) == MAP_FAILED && errno == ENOMEM);
  char *memory = map_memory(9, MAP_PRIVATE | MAP_NORESERVE);
  CHECK(memory != MAP_FAILED);
  COUNTS(8, 8, 0, 0);
  for (int page = 0; page < 8; page++) CHECK(!is_bus_error(memory + page * HUGE));
  CHECK(is_bus_error(memory + 8 * HUGE));
  OK(munmap(memory, 9 * HUGE));
  set(OVERCOMMIT, 2);
  CHECK(map_memory(11, MAP_SHARED) == MAP_FAILED && errno == ENOMEM);
  memory = map_memory(10, MAP_PRIVATE);
  CHECK(memory != MAP_FAILED);
  COUNTS(10, 10, 10, 2);
  memory[0] = 1;
  COUNTS(10, 9, 9, 2);
  char text[16];
  read_file(POOL, text, sizeof text);
  CHECK_EQ(atoi(text), 8);
  read_file("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", text, sizeof text);
  CHECK_EQ(atoi(text), 10);
  OK(munmap(memory, 10 * HUGE));
  COUNTS(8, 8, 0, 0);
  set(OVERCOMMIT, 0);
  memory = map_memory(4, MAP_PRIVATE);
  memory[0] = 1;
  set(POOL, 1);
  COUNTS(4, 3, 3, 3);
  OK(munmap(memory, 4 * HUGE));
  COUNTS(1, 1, 0, 0);
  set(POOL, 8);
}

static void check_shared(void) {
  char *memory = map_memory(3, MAP_SHARED);
  CHECK(memory != MAP_FAILED);
  COUNTS(8, 8, 3, 0);
  pid_t pid;
  IN_CHILD(pid) memory[0] = 7;
  WAIT_OK(pid);
  CHECK_EQ(memory[0], 7);
  COUNTS(8, 7, 2, 0);
  OK(munmap(memory, 3 * HUGE));
  int segment = OK(shmget(IPC_PRIVATE, HUGE + 5, 0600 | IPC_CREAT | SHM_HUGETLB));
  COUNTS(8, 8, 2, 0);
  memory = shmat(segment, NULL, 0);
  CHECK(memory != (void *)-1 && (long)memory % HUGE == 0);
  memory[HUGE + 100] = 1;
  OK(shmdt(memory));
  COUNTS(8, 7, 1, 0);
  OK(shmctl(segment, IPC_RMID, NULL));
  COUNTS(8, 8, 0, 0);
  CHECK_ERRNO(shmget(IPC_PRIVATE, 9 * HUGE, 0600 | IPC_CREAT | SHM_HUGETLB), ENOMEM);
}

static void check_file(void) {
  int file = OK(memfd_create("huge", MFD_HUGETLB));
  char *memory = map(1, MAP_SHARED, file);
  CHECK(memory != MAP_FAILED);
  struct stat status;
  OK(fstat(file, &status));
  CHECK_EQ(status.st_size, HUGE);
  CHECK_EQ(status.st_blksize, HUGE);
  COUNTS(8, 8, 1, 0);
  memory[5] = 3;
  char byte;
  CHECK(pread(file, &byte, 1, 5) == 1 && byte == 3);
  CHECK_ERRNO(write(file, &byte, 1), EINVAL);
  // Of parts of pages only the bytes go.
  OK(fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1, HUGE - 1));
  CHECK_EQ(memory[5], 0);
  COUNTS(8, 7, 0, 0);
  OK(fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, HUGE));
  COUNTS(8, 8, 0, 0);
  OK(munmap(memory, HUGE));
  OK(fallocate(file, 0, 0, 3 * HUGE));
  COUNTS(8, 5, 0, 0);
  CHECK_ERRNO(fallocate(file, 0, 0, 9 * HUGE), ENOSPC);
  OK(ftruncate(file, HUGE));
  COUNTS(8, 7, 0, 0);
  memory = map(1, MAP_SHARED, file);
  OK(ftruncate(file, 0));
  CHECK(is_bus_error(memory));
  OK(munmap(memory, HUGE));
  OK(close(file));
  COUNTS(8, 8, 0, 0);
}

static void check_file_system(void) {
  enter_scratch();
  OK(mkdir("huge", 0755));
  CHECK_ERRNO(mount("none", "huge", "hugetlbfs", 0, "size=2M,min_size=4M"), EINVAL);
  CHECK_ERRNO(mount("none", "huge", "hugetlbfs", 0, "min_size=40M"), ENOMEM);
  OK(mount("none", "huge", "hugetlbfs", 0, "size=4M,min_size=2M,mode=700"));
  COUNTS(8, 8, 1, 0);
  struct statfs status;
  OK(statfs("huge", &status));
  CHECK_EQ(status.f_bsize, HUGE);
  CHECK_EQ(status.f_blocks, 2);
  CHECK_EQ(status.f_bfree, 2);
  int file = OK(open("huge/file", O_CREAT | O_RDWR, 0600));
  CHECK(map(3, MAP_SHARED, file) == MAP_FAILED && errno == ENOMEM);
  char *memory = map(2, MAP_SHARED, file);
  CHECK(memory != MAP_FAILED);
  COUNTS(8, 8, 2, 0);
  memory[0] = memory[HUGE] = 1;
  CHECK(map(1, MAP_PRIVATE, file) == MAP_FAILED && errno == ENOMEM);
  OK(statfs("huge", &status));
  CHECK_EQ(status.f_bfree, 0);
  OK(munmap(memory, 2 * HUGE));
  OK(truncate("huge/file", HUGE));
  memory = map(1, MAP_PRIVATE, file);
  CHECK(memory != MAP_FAILED && memory[0] == 1);
  COUNTS(8, 7, 1, 0);
  memory[0] = 5;
  COUNTS(8, 6, 0, 0);
  char byte;
  CHECK(pread(file, &byte, 1, 0) == 1 && byte == 1);
  OK(munmap(memory, HUGE));
  OK(close(file));
  OK(unlink("huge/file"));
  COUNTS(8, 8, 1, 0);
  OK(umount("huge"));
  COUNTS(8, 8, 0, 0);
}

int main(void) {
  handle(SIGBUS, leave, 0);
  check_private();
  check_limits();
  check_shared();
  check_file();
  check_file_system();
  set(POOL, 0);
  COUNTS(0, 0, 0, 0);
  return 0;
}
