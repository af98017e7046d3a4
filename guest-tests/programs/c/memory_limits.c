// What may be mapped at all: reservations, commitment, RLIMIT_AS and RLIMIT_DATA count the pages that change, not the mapping around them.
#include "check.h"
#include <sys/resource.h>

#define MIB (1UL << 20)
#define GIB (1UL << 30)

static char *reserve(size_t size) { return map_anonymous(size, PROT_NONE); }

static void a_part_of_a_reservation_becomes_usable(void) {
  // More than there is memory, of which little is ever used.
  size_t size = 8192 * GIB;
  char *area = reserve(size);
  for (size_t at = 0; at < size; at += size / 16) {
    OK(mprotect(area + at, 16 << 10, PROT_READ | PROT_WRITE));
    memset(area + at, 1, 16 << 10);
  }
  CHECK_EQ(fault_of(area + (16 << 10), 0), SIGSEGV);
  OK(madvise(area, size, MADV_DONTNEED));
  CHECK_EQ(area[0], 0);
  OK(mprotect(area, 16 << 10, PROT_NONE));
  OK(mprotect(area, size, PROT_NONE));
  OK(munmap(area, size));
}

static void all_of_a_reservation_does_not(void) {
  size_t size = 8192 * GIB;
  char *area = reserve(size);
  CHECK_ERRNO(mprotect(area, size, PROT_READ | PROT_WRITE), ENOMEM);
  OK(mprotect(area, size, PROT_READ));
  OK(munmap(area, size));
  CHECK_EQ((long)mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), -1);
  CHECK_EQ(errno, ENOMEM);
  CHECK_EQ((long)mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), -1);
  CHECK_EQ(errno, ENOMEM);
  // Who says that it will not be used is believed.
  area = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(area != MAP_FAILED);
  area[size - 1] = 1;
  OK(mprotect(area, size, PROT_NONE));
  OK(mprotect(area, size, PROT_READ | PROT_WRITE));
  CHECK_EQ(area[size - 1], 1);
  OK(munmap(area, size));
}

static void a_mapping_grows_by_what_is_added(void) {
  size_t size = 8192 * GIB;
  char *area = reserve(size);
  OK(mprotect(area, 4 * PAGE, PROT_READ | PROT_WRITE));
  strcpy(area, "moved");
  char *moved = mremap(area, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE);
  CHECK(moved != MAP_FAILED);
  CHECK(strcmp(moved, "moved") == 0);
  CHECK_EQ((long)mremap(moved, 8 * PAGE, size, MREMAP_MAYMOVE), -1);
  CHECK_EQ(errno, ENOMEM);
  CHECK(strcmp(moved, "moved") == 0);
  OK(munmap(moved, 8 * PAGE));
  OK(munmap(area, size));
  char *unused = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(unused != MAP_FAILED);
  CHECK((unused = mremap(unused, size, size + PAGE, MREMAP_MAYMOVE)) != MAP_FAILED);
  OK(munmap(unused, size + PAGE));
}

static size_t data_size(void) {
  char text[8192];
  read_file("/proc/self/status", text, sizeof text);
  return strtoul(strstr(text, "VmData:") + 7, NULL, 10) * 1024;
}

static void data_is_limited_by_what_becomes_writable(void) {
  pid_t pid;
  IN_CHILD(pid) {
    char *area = reserve(GIB);
    size_t limit = data_size() + 16 * MIB;
    OK(setrlimit(RLIMIT_DATA, &(struct rlimit){limit, limit}));
    OK(mprotect(area, 8 * MIB, PROT_READ | PROT_WRITE));
    CHECK_ERRNO(mprotect(area + 512 * MIB, 12 * MIB, PROT_READ | PROT_WRITE), ENOMEM);
    CHECK_EQ(fault_of(area + 512 * MIB, 0), SIGSEGV);
    OK(mprotect(area + 512 * MIB, 4 * MIB, PROT_READ | PROT_WRITE));
    // What gives up its right to be written does not count, nor what others share.
    OK(mprotect(area, 8 * MIB, PROT_READ));
    OK(mprotect(area + 64 * MIB, 8 * MIB, PROT_READ | PROT_WRITE));
    CHECK(mmap(NULL, 64 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
    CHECK_EQ((long)mmap(NULL, 12 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), -1);
    CHECK_EQ(errno, ENOMEM);
    CHECK_EQ((long)mremap(area + 64 * MIB, 8 * MIB, 32 * MIB, MREMAP_MAYMOVE), -1);
    CHECK_EQ(errno, ENOMEM);
    CHECK_EQ((long)sbrk(32 * MIB), -1);
    CHECK_EQ(errno, ENOMEM);
  }
  WAIT_OK(pid);
}

static void the_address_space_is_limited_as_a_whole(void) {
  pid_t pid;
  IN_CHILD(pid) {
    char *area = reserve(64 * MIB);
    OK(setrlimit(RLIMIT_AS, &(struct rlimit){GIB, GIB}));
    OK(mprotect(area, 16 * MIB, PROT_READ | PROT_WRITE));
    CHECK_EQ((long)mmap(NULL, GIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), -1);
    CHECK_EQ(errno, ENOMEM);
    CHECK_EQ((long)mmap(NULL, GIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0), -1);
    CHECK_EQ(errno, ENOMEM);
    // Over what is mapped already, only the rest counts.
    char *large = reserve(768 * MIB);
    CHECK(mmap(large, 768 * MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == large);
    CHECK_EQ((long)mremap(large, 768 * MIB, GIB, MREMAP_MAYMOVE), -1);
    CHECK_EQ(errno, ENOMEM);
  }
  WAIT_OK(pid);
}

static void locks_are_limited(void) {
  pid_t pid;
  IN_CHILD(pid) {
    OK(setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){4 * PAGE, 4 * PAGE}));
    if (geteuid() == 0) OK(setuid(65432));
    char *area = map_anonymous(16 * PAGE, PROT_READ | PROT_WRITE);
    OK(mlock(area, 4 * PAGE));
    OK(mlock(area, 4 * PAGE));
    CHECK_ERRNO(mlock(area, 5 * PAGE), ENOMEM);
    CHECK_ERRNO(mlock(area + 8 * PAGE, 1), ENOMEM);
    CHECK_EQ((long)mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0), -1);
    CHECK_EQ(errno, EAGAIN);
    CHECK_EQ((long)mremap(area, 4 * PAGE, 5 * PAGE, MREMAP_MAYMOVE), -1);
    CHECK_EQ(errno, EAGAIN);
    CHECK_ERRNO(mlockall(MCL_CURRENT), ENOMEM);
    char *huge = mmap(NULL, 8192 * GIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(huge != MAP_FAILED);
    CHECK_ERRNO(mlock(huge, 8192 * GIB), ENOMEM);
    OK(munlock(huge, 8192 * GIB));
    OK(munlock(area, 16 * PAGE));
    OK(setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){0, 0}));
    CHECK_ERRNO(mlock(area, PAGE), EPERM);
    CHECK_ERRNO(mlockall(MCL_CURRENT), EPERM);
    OK(munlock(area, PAGE));
  }
  WAIT_OK(pid);
  // What may not be touched cannot be locked in memory.
  char *area = map_anonymous(4 * PAGE, PROT_NONE);
  CHECK_ERRNO(mlock(area, 4 * PAGE), ENOMEM);
  OK(munlock(area, 4 * PAGE));
}

int main(void) {
  a_part_of_a_reservation_becomes_usable();
  all_of_a_reservation_does_not();
  a_mapping_grows_by_what_is_added();
  data_is_limited_by_what_becomes_writable();
  the_address_space_is_limited_as_a_whole();
  locks_are_limited();
  return 0;
}
