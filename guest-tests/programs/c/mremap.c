// mremap: growing in place, moving, shrinking, fixed targets, what keeps its content, refusals.
#include "check.h"
#include <sys/resource.h>

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

static char *filled(int pages) {
  char *memory = map_anonymous(pages * PAGE, PROT_READ | PROT_WRITE);
  for (int page = 0; page < pages; page++) memset(memory + page * PAGE, 'a' + page, PAGE);
  return memory;
}

static void check_filled(char *memory, int pages) {
  for (int page = 0; page < pages; page++) CHECK_CASE(memory[page * PAGE] == 'a' + page && memory[page * PAGE + PAGE - 1] == 'a' + page, "page %d", page);
}

static void growing_in_place(void) {
  char *area = map_anonymous(16 * PAGE, PROT_READ | PROT_WRITE);
  OK(munmap(area + 4 * PAGE, 12 * PAGE));
  for (int page = 0; page < 4; page++) memset(area + page * PAGE, 'a' + page, PAGE);
  CHECK(mremap(area, 4 * PAGE, 8 * PAGE, 0) == area);
  check_filled(area, 4);
  for (int page = 4; page < 8; page++) CHECK_EQ(area[page * PAGE], 0);
  char *block = mmap(area + 8 * PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  CHECK(mremap(area, 8 * PAGE, 16 * PAGE, 0) == MAP_FAILED);
  CHECK_EQ(errno, ENOMEM);
  char *moved = mremap(area, 8 * PAGE, 16 * PAGE, MREMAP_MAYMOVE);
  CHECK(moved != MAP_FAILED && moved != area);
  check_filled(moved, 4);
  memset(moved + 8 * PAGE, 1, 8 * PAGE);
  CHECK(!is_readable(area));
  OK(munmap(moved, 16 * PAGE));
  OK(munmap(block, PAGE));
}

static void shrinking(void) {
  char *area = filled(8);
  CHECK(mremap(area, 8 * PAGE, 3 * PAGE, 0) == area);
  check_filled(area, 3);
  CHECK(!is_readable(area + 3 * PAGE));
  CHECK(mremap(area, 3 * PAGE, 3 * PAGE, 0) == area);
  OK(munmap(area, 3 * PAGE));
}

static void to_a_fixed_place(void) {
  char *area = filled(4), *target = map_anonymous(8 * PAGE, PROT_READ | PROT_WRITE);
  memset(target, 'T', 8 * PAGE);
  CHECK(mremap(area, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target + 2 * PAGE) == target + 2 * PAGE);
  check_filled(target + 2 * PAGE, 4);
  CHECK_EQ(target[0], 'T');
  CHECK_EQ(target[6 * PAGE], 'T');
  CHECK(!is_readable(area));
  CHECK(mremap(target, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target + 2 * PAGE) == MAP_FAILED);
  CHECK_EQ(errno, EINVAL); // Overlapping.
  CHECK(mremap(target, PAGE, PAGE, MREMAP_FIXED, area) == MAP_FAILED);
  CHECK_EQ(errno, EINVAL); // Fixed needs maymove.
  OK(munmap(target, 8 * PAGE));
}

static void leaving_the_old_place_mapped(void) {
  char *area = filled(3);
  char *moved = mremap(area, 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
  CHECK(moved != MAP_FAILED && moved != area);
  check_filled(moved, 3);
  CHECK(is_readable(area));
  for (int page = 0; page < 3; page++) CHECK_EQ(area[page * PAGE], 0);
  OK(munmap(area, 3 * PAGE));
  // A place that is asked for is a wish, but one that could be granted.
  char *unsuitable[] = {(char *)1, moved, moved + 2 * PAGE, (char *)-PAGE};
  for (size_t i = 0; i < COUNT(unsuitable); i++) {
    CHECK(mremap(moved, 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, unsuitable[i]) == MAP_FAILED);
    CHECK_EQ(errno, EINVAL);
  }
  check_filled(moved, 3);
  OK(munmap(moved, 3 * PAGE));
}

static void part_of_a_mapping_moves(void) {
  char *area = filled(6);
  char *moved = mremap(area + 2 * PAGE, 2 * PAGE, 5 * PAGE, MREMAP_MAYMOVE);
  CHECK(moved != MAP_FAILED);
  CHECK_EQ(moved[0], 'c');
  CHECK_EQ(moved[PAGE], 'd');
  CHECK(is_readable(area) && !is_readable(area + 2 * PAGE) && !is_readable(area + 3 * PAGE) && is_readable(area + 4 * PAGE));
  OK(munmap(area, 6 * PAGE));
  OK(munmap(moved, 5 * PAGE));
}

static void shared_mappings_move_and_duplicate(void) {
  char *area = map_shared(2 * PAGE);
  area[0] = 's';
  char *copy = mremap(area, 0, 2 * PAGE, MREMAP_MAYMOVE); // An old size of zero makes a second mapping.
  CHECK(copy != MAP_FAILED && copy != area);
  copy[1] = 't';
  CHECK_EQ(area[1], 't');
  CHECK_EQ(copy[0], 's');
  char *moved = mremap(area, 2 * PAGE, 4 * PAGE, MREMAP_MAYMOVE);
  CHECK(moved != MAP_FAILED);
  CHECK_EQ(moved[1], 't');
  OK(munmap(copy, 2 * PAGE));
  OK(munmap(moved, 4 * PAGE));
  int file = OK(open("file", O_RDWR | O_CREAT, 0644));
  OK(ftruncate(file, 8 * PAGE));
  CHECK_EQ(pwrite(file, "five", 4, 5 * PAGE), 4);
  char *mapped = mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, file, 0);
  mapped = mremap(mapped, 2 * PAGE, 8 * PAGE, MREMAP_MAYMOVE);
  CHECK(mapped != MAP_FAILED);
  CHECK_EQ(memcmp(mapped + 5 * PAGE, "five", 4), 0);
  OK(munmap(mapped, 8 * PAGE));
}

static void refusals(void) {
  char *area = filled(5);
  OK(munmap(area + 2 * PAGE, 3 * PAGE));
  struct { char *address; size_t old_size, new_size; int flags, expected; } cases[] = {
      {area + 1, PAGE, 2 * PAGE, MREMAP_MAYMOVE, EINVAL},
      {area, PAGE, 0, MREMAP_MAYMOVE, EINVAL},
      {area, PAGE, PAGE, 0x80, EINVAL},
      {area, PAGE, 1UL << 62, MREMAP_MAYMOVE, EINVAL},
      {area, 0, PAGE, MREMAP_MAYMOVE, EINVAL}, // Private memory cannot be duplicated.
      {area, 3 * PAGE, 6 * PAGE, MREMAP_MAYMOVE, EFAULT},
      {(char *)0x10000, PAGE, 2 * PAGE, MREMAP_MAYMOVE, EFAULT},
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    errno = 0;
    void *got = mremap(cases[i].address, cases[i].old_size, cases[i].new_size, cases[i].flags);
    CHECK_CASE(got == MAP_FAILED && errno == cases[i].expected, "case %zu: %p", i, got);
  }
  check_filled(area, 2);
}

// Who may lock any memory is not held back by the limit, not even by one that was lowered since.
static void locked_memory_grows_with_the_privilege(void) {
  pid_t pid;
  IN_CHILD(pid) {
    char *area = filled(1);
    OK(mlock(area, PAGE));
    OK(setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){PAGE, PAGE}));
    area = mremap(area, PAGE, 4 * PAGE, MREMAP_MAYMOVE);
    CHECK(area != MAP_FAILED);
    OK(setresuid(1000, 1000, 1000));
    CHECK(mremap(area, 4 * PAGE, 5 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED);
    CHECK_EQ(errno, EAGAIN);
  }
  WAIT_OK(pid);
}

static void realloc_of_large_blocks(void) {
  unsigned *block = malloc(1 << 20);
  for (unsigned i = 0; i < (1 << 20) / 4; i++) block[i] = i;
  for (int megabytes = 2; megabytes <= 32; megabytes *= 2) {
    block = realloc(block, (size_t)megabytes << 20);
    CHECK(block != NULL);
    for (unsigned i = 0; i < (1 << 20) / 4; i += 97) CHECK_EQ(block[i], i);
    block[((size_t)megabytes << 18) - 1] = 7;
  }
  free(block);
}

int main(void) {
  enter_scratch();
  growing_in_place();
  shrinking();
  to_a_fixed_place();
  leaving_the_old_place_mapped();
  part_of_a_mapping_moves();
  shared_mappings_move_and_duplicate();
  refusals();
  locked_memory_grows_with_the_privilege();
  realloc_of_large_blocks();
  return 0;
}
