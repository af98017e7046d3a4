// mmap and munmap: placement, fixed mappings, splitting, refusals, zero filling, very large reservations.
#include "check.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

static void fresh_memory_is_zero(void) {
  unsigned char *memory = (void *)map_anonymous(64 * PAGE, PROT_READ | PROT_WRITE);
  CHECK_EQ((uintptr_t)memory % PAGE, 0);
  for (int i = 0; i < 64 * PAGE; i += 512) CHECK_EQ(memory[i], 0);
  memset(memory, 0xaa, 64 * PAGE);
  OK(munmap(memory, 64 * PAGE));
  unsigned char *again = (void *)map_anonymous(64 * PAGE, PROT_READ | PROT_WRITE);
  for (int i = 0; i < 64 * PAGE; i += 512) CHECK_EQ(again[i], 0);
  OK(munmap(again, 64 * PAGE));
}

static void a_hint_is_taken_when_free(void) {
  char *area = map_anonymous(16 * PAGE, PROT_READ);
  OK(munmap(area, 16 * PAGE));
  char *got = mmap(area + 4 * PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(got == area + 4 * PAGE);
  char *other = mmap(area + 4 * PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(other != MAP_FAILED && other != got);
  OK(munmap(other, PAGE));
  other = mmap(area + 8 * PAGE + 123, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK_EQ((uintptr_t)other % PAGE, 0); // An odd hint is rounded.
  OK(munmap(got, PAGE));
  OK(munmap(other, PAGE));
}

static void fixed_replaces_and_noreplace_does_not(void) {
  char *area = map_anonymous(8 * PAGE, PROT_READ | PROT_WRITE);
  memset(area, 1, 8 * PAGE);
  CHECK(mmap(area + 2 * PAGE, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == area + 2 * PAGE);
  for (int page = 0; page < 8; page++) CHECK_EQ(area[page * PAGE], page != 2 && page != 3);
  CHECK(mmap(area + PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED);
  CHECK_EQ(errno, EEXIST);
  OK(munmap(area + PAGE, PAGE));
  CHECK(mmap(area + PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == area + PAGE);
  CHECK(mmap(area + 1, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED);
  CHECK_EQ(errno, EINVAL);
  OK(munmap(area, 8 * PAGE));
}

static void munmap_splits(void) {
  char *area = map_anonymous(10 * PAGE, PROT_READ | PROT_WRITE);
  memset(area, 7, 10 * PAGE);
  OK(munmap(area + 3 * PAGE, PAGE));
  OK(munmap(area + 6 * PAGE, 2 * PAGE));
  for (int page = 0; page < 10; page++) CHECK_CASE(is_readable(area + page * PAGE) == (page != 3 && page != 6 && page != 7), "page %d", page);
  for (int page = 0; page < 10; page++)
    if (page != 3 && page != 6 && page != 7) CHECK_EQ(area[page * PAGE + 99], 7);
  OK(munmap(area + 3 * PAGE, PAGE)); // A hole may be unmapped.
  OK(munmap(area, 10 * PAGE));
  OK(munmap(area, 10 * PAGE));
  for (int page = 0; page < 10; page++) CHECK(!is_readable(area + page * PAGE));
  CHECK_ERRNO(munmap(area + 1, PAGE), EINVAL);
  CHECK_ERRNO(munmap(area, 0), EINVAL);
  CHECK_ERRNO(munmap((void *)-PAGE, PAGE), EINVAL);
  area = map_anonymous(2 * PAGE, PROT_READ);
  OK(munmap(area, 1)); // A length is rounded up.
  CHECK(!is_readable(area) && is_readable(area + PAGE));
  OK(munmap(area + PAGE, PAGE));
}

static void mprotect_changes_what_is_allowed(void) {
  char *area = map_anonymous(6 * PAGE, PROT_READ | PROT_WRITE);
  memset(area, 5, 6 * PAGE);
  OK(mprotect(area + PAGE, PAGE, PROT_READ));
  OK(mprotect(area + 3 * PAGE, PAGE, PROT_NONE));
  for (int page = 0; page < 6; page++) {
    CHECK_CASE(is_readable(area + page * PAGE) == (page != 3), "page %d", page);
    CHECK_CASE(is_writable(area + page * PAGE) == (page != 3 && page != 1), "page %d", page);
  }
  OK(mprotect(area, 6 * PAGE, PROT_READ | PROT_WRITE));
  for (int page = 0; page < 6; page++) CHECK_EQ(area[page * PAGE], 5);
  OK(munmap(area + 2 * PAGE, PAGE));
  CHECK_ERRNO(mprotect(area, 6 * PAGE, PROT_READ), ENOMEM); // A hole; the part before it has changed.
  CHECK(!is_writable(area));
  CHECK(is_writable(area + 3 * PAGE));
  CHECK_ERRNO(mprotect(area + 1, PAGE, PROT_READ), EINVAL);
  CHECK_ERRNO(mprotect(area, PAGE, 0x40), EINVAL);
  OK(mprotect(area, 0, PROT_READ));
  OK(munmap(area, 6 * PAGE));
}

static void code_can_be_written_then_run(void) {
  unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3}; // mov $42, %eax; ret
  char *area = map_anonymous(PAGE, PROT_READ | PROT_WRITE);
  for (int i = 0; i < 3; i++) {
    code[1] = 42 + i;
    OK(mprotect(area, PAGE, PROT_READ | PROT_WRITE));
    memcpy(area, code, sizeof code);
    OK(mprotect(area, PAGE, PROT_READ | PROT_EXEC));
    CHECK_EQ(((int (*)(void))area)(), 42 + i);
    CHECK(!is_writable(area));
  }
  OK(munmap(area, PAGE));
}

static void odd_requests_are_refused(void) {
  write_file("file", "content");
  int readable_only = OK(open("file", O_RDONLY)), writable_only = OK(open("file", O_WRONLY)), directory = OK(open(".", O_RDONLY)), ends[2];
  OK(pipe(ends));
  struct { size_t length; int protection, flags, file; off_t offset; int expected; } cases[] = {
      {0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, EINVAL},
      {PAGE, PROT_READ, MAP_ANONYMOUS, -1, 0, EINVAL}, // Neither private nor shared.
      {PAGE, PROT_READ, MAP_PRIVATE, -1, 0, EBADF},
      {PAGE, PROT_READ, MAP_PRIVATE, readable_only, 1, EINVAL},
      {PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, readable_only, 0, EACCES},
      {PAGE, PROT_READ, MAP_PRIVATE, writable_only, 0, EACCES},
      {PAGE, PROT_READ, MAP_PRIVATE, directory, 0, ENODEV},
      {PAGE, PROT_READ, MAP_PRIVATE, ends[0], 0, EACCES + 1000},
      {SIZE_MAX, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, ENOMEM},
      {1UL << 50, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, ENOMEM},
      {2 * PAGE, PROT_READ, MAP_PRIVATE, readable_only, (off_t)0x7ffffffffffff000, EOVERFLOW},
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    errno = 0;
    void *got = (void *)syscall(SYS_mmap, NULL, cases[i].length, cases[i].protection, cases[i].flags, cases[i].file, cases[i].offset);
    int expected = cases[i].expected > 1000 ? ENODEV : cases[i].expected;
    CHECK_CASE(got == MAP_FAILED && errno == expected, "case %zu: %p", i, got);
  }
  void *private = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, readable_only, 0); // A private one may be written.
  CHECK(private != MAP_FAILED);
  *(char *)private = 'X';
  OK(munmap(private, PAGE));
  void *shared = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, readable_only, 0);
  CHECK(shared != MAP_FAILED);
  CHECK_ERRNO(mprotect(shared, PAGE, PROT_READ | PROT_WRITE), EACCES);
  OK(munmap(shared, PAGE));
  CHECK(mmap((void *)0x7ffffffff000, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED);
  CHECK_EQ(errno, ENOMEM);
  CHECK(mmap((void *)-PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED);
  CHECK_EQ(errno, ENOMEM);
  close(readable_only), close(writable_only), close(directory), close(ends[0]), close(ends[1]);
}

static void reservations_cost_nothing(void) {
  size_t size = 1UL << 40;
  char *area = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(area != MAP_FAILED);
  for (int i = 0; i < 64; i++) {
    char *place = area + (size / 64) * i + PAGE;
    OK(mprotect(place, PAGE, PROT_READ | PROT_WRITE));
    *place = i;
  }
  for (int i = 0; i < 64; i++) CHECK_EQ(area[(size / 64) * i + PAGE], i);
  OK(munmap(area, size));
}

static void growsdown_and_flags_are_accepted(void) {
  int flags[] = {MAP_STACK, MAP_NORESERVE, MAP_POPULATE, MAP_LOCKED, MAP_32BIT, MAP_GROWSDOWN};
  for (size_t i = 0; i < COUNT(flags); i++) {
    char *area = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags[i], -1, 0);
    CHECK_CASE(area != MAP_FAILED, "flags %#x", flags[i]);
    memset(area, 1, 4 * PAGE);
    if (flags[i] == MAP_32BIT) CHECK((uintptr_t)area < 1UL << 32);
    OK(munmap(area, 4 * PAGE));
  }
}

static void many_mappings_work(void) {
  char *area = map_anonymous(400 * PAGE, PROT_READ | PROT_WRITE);
  for (int page = 0; page < 400; page += 2) OK(mprotect(area + page * PAGE, PAGE, PROT_READ));
  for (int page = 1; page < 400; page += 2) area[page * PAGE] = page;
  for (int page = 0; page < 400; page++) CHECK_EQ(area[page * PAGE], page % 2 ? (char)page : 0);
  OK(munmap(area, 400 * PAGE));
}

int main(void) {
  enter_scratch();
  fresh_memory_is_zero();
  a_hint_is_taken_when_free();
  fixed_replaces_and_noreplace_does_not();
  munmap_splits();
  mprotect_changes_what_is_allowed();
  code_can_be_written_then_run();
  odd_requests_are_refused();
  reservations_cost_nothing();
  growsdown_and_flags_are_accepted();
  many_mappings_work();
  return 0;
}
