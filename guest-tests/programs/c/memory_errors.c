// compared
// timeout: 120
// Which of several errors mmap(2) and its kin report: every combination of arguments that are wrong, compared with Linux by a sum for each group.
#include "check.h"

#define START 0x200000000UL
#define MEGABYTE 0x100000UL

// Results of one group, in the order in which they came: their sum tells whether all agree, and how often each came.
static unsigned long sum, counts[4096];
static FILE *details;

static void begin(void) {
  sum = 5381;
  memset(counts, 0, sizeof counts);
}

__attribute__((format(printf, 2, 3))) static void note(long result, const char *format, ...) {
  int error = result == -1 ? errno : 0;
  sum = sum * 33 + error;
  counts[error]++;
  if (details == NULL) return;
  va_list arguments;
  va_start(arguments, format);
  vfprintf(details, format, arguments);
  va_end(arguments);
  fprintf(details, ": %d\n", error);
}

static void report(const char *name) {
  printf("%s %lx", name, sum);
  for (size_t error = 0; error < COUNT(counts); error++)
    if (counts[error] > 0) printf(" %zu:%lu", error, counts[error]);
  printf("\n");
}

static const size_t lengths[] = {0, 1, 4096, 1UL << 47, 1UL << 62, ~0UL, ~0UL - 4094};

static void try_mmap(unsigned long address, size_t length, int protection, int flags, int file, long offset) {
  long result = syscall(SYS_mmap, address, length, protection, flags, file, offset);
  note(result, "mmap %lx %lx %x %x %d %lx", address, length, protection, flags, file, offset);
  if (result != -1) OK(munmap((void *)result, length));
}

static void mmap_of_a_file(int file) {
  const long offsets[] = {0, 1, -4096, LONG_MIN};
  const int protections[] = {0, 2, 3, 7, 0x10};
  const int types[] = {0, MAP_SHARED, MAP_PRIVATE, MAP_SHARED_VALIDATE, 15};
  for (size_t i = 0; i < COUNT(lengths) * COUNT(offsets) * COUNT(protections) * COUNT(types); i++) {
    size_t rest = i;
    int type = types[rest % COUNT(types)], protection = protections[(rest /= COUNT(types)) % COUNT(protections)];
    long offset = offsets[(rest /= COUNT(protections)) % COUNT(offsets)];
    try_mmap(0, lengths[rest / COUNT(offsets)], protection, type, file, offset);
  }
  const int extras[] = {MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_GROWSDOWN, MAP_LOCKED, MAP_ANONYMOUS, MAP_ANONYMOUS | MAP_HUGETLB | 63 << 26, MAP_HUGETLB, MAP_ANONYMOUS | MAP_GROWSDOWN, MAP_NORESERVE, MAP_DENYWRITE, MAP_EXECUTABLE};
  const unsigned long addresses[] = {0, START, START + 1, 0x7ffffffff000};
  for (size_t i = 0; i < COUNT(lengths) * COUNT(extras) * COUNT(addresses) * COUNT(types); i++) {
    size_t rest = i;
    int type = types[rest % COUNT(types)], extra = extras[(rest /= COUNT(types)) % COUNT(extras)];
    unsigned long address = addresses[(rest /= COUNT(extras)) % COUNT(addresses)];
    size_t length = lengths[rest / COUNT(addresses)];
    if (address == 0 && extra & (MAP_FIXED | MAP_FIXED_NOREPLACE)) continue; // Who may do that is another matter.
    for (int protection = 1; protection < 4; protection += 2) try_mmap(address, length, protection, type | extra, file, 0);
  }
}

static void mmap_refuses_in_order(void) {
  int pipe_ends[2];
  OK(pipe(pipe_ends));
  struct {
    const char *name;
    int file;
  } files[] = {
      {"none", -1}, {"read", open("file", O_RDONLY)}, {"write", open("file", O_WRONLY)}, {"both", open("file", O_RDWR)}, {"path", open("file", O_PATH)}, {"pipe", pipe_ends[0]},
      {"pipe-write", pipe_ends[1]}, {"directory", open(".", O_RDONLY | O_DIRECTORY)}, {"memfd", memfd_create("m", 0)},
  };
  for (size_t i = 0; i < COUNT(files); i++) {
    begin();
    mmap_of_a_file(files[i].file);
    report(files[i].name);
  }
}

static int file;

static void lay_out(void) {
  char *area = (char *)START;
  const int anonymous = MAP_ANONYMOUS | MAP_FIXED;
  OK(munmap(area, MEGABYTE));
  CHECK(mmap(area + 0x10000, 0x4000, 3, MAP_PRIVATE | anonymous, -1, 0) != MAP_FAILED);
  CHECK(mmap(area + 0x14000, 0x4000, 1, MAP_PRIVATE | anonymous, -1, 0) != MAP_FAILED);
  CHECK(mmap(area + 0x20000, 0x4000, 3, MAP_SHARED | anonymous, -1, 0) != MAP_FAILED);
  CHECK(mmap(area + 0x30000, 0x4000, 1, MAP_SHARED | MAP_FIXED, file, 0) != MAP_FAILED);
  CHECK(mmap(area + 0x34000, 0x4000, 3, MAP_PRIVATE | MAP_FIXED, file, 0) != MAP_FAILED);
  CHECK(mmap(area + 0x40000, 0x4000, 0, MAP_PRIVATE | anonymous, -1, 0) != MAP_FAILED);
}

static const unsigned long places[] = {1, 0x1000, START + 0x10000, START + 0x10001, START + 0x12000, START + 0x13000, START + 0x18000, START + 0x20000, START + 0x30000, START + 0x34000, START + 0x40000, 0x800000000000, 0xffff800000000000, 0xfffffffffffff000};
// None of them reaches from a place of ours to other mappings.
static const size_t sizes[] = {0, 1, 0x1000, 0x4000, 0x8000, 0x10000, ~0UL, ~0UL - 4094, ~0UL - 8191};

typedef long try_call(unsigned long place, size_t size, unsigned long argument);

static long try_munmap(unsigned long place, size_t size, unsigned long argument) { return syscall(SYS_munmap, place, size, argument); }
static long try_mprotect(unsigned long place, size_t size, unsigned long argument) { return syscall(SYS_mprotect, place, size, argument); }
static long try_madvise(unsigned long place, size_t size, unsigned long argument) { return syscall(SYS_madvise, place, size, argument); }
static long try_msync(unsigned long place, size_t size, unsigned long argument) { return syscall(SYS_msync, place, size, argument); }
static long try_mlock2(unsigned long place, size_t size, unsigned long argument) { return syscall(SYS_mlock2, place, size, argument); }
static long try_munlock(unsigned long place, size_t size, unsigned long argument) { return syscall(SYS_munlock, place, size, argument); }
static long try_mincore(unsigned long place, size_t size, unsigned long argument) {
  static unsigned char vector[64];
  return syscall(SYS_mincore, place, size, argument ? (unsigned char *)wild : vector);
}
static long try_mremap(unsigned long place, size_t size, unsigned long argument) {
  size_t new_size = sizes[argument / 8];
  long result = syscall(SYS_mremap, place, size, new_size, argument % 8, START + 0x80000);
  if (result != -1 && (unsigned long)result != place) OK(munmap((void *)result, new_size));
  return result;
}

static void others_refuse_in_order(void) {
  // MADV_COLLAPSE (25) and those that are not advice for memory of this kind are left to their own tests.
  const struct {
    const char *name;
    try_call *call;
    unsigned long arguments[24];
    size_t count;
  } calls[] = {
      {"munmap", try_munmap, {0}, 1},
      {"mprotect", try_mprotect, {0, 1, 3, 7, 8, 0x10, 0x80, 0x1000000, 0x1000001, 0x2000000, 0x3000000}, 11},
      {"madvise", try_madvise, {0, 1, 2, 3, 5, 7, 10, 11, 16, 17, 18, 19, 20, 21, 22, 23, 26, 27, -1}, 19},
      {"msync", try_msync, {0, 1, 2, 3, 4, 5, 6, 7, 8}, 9},
      {"mlock2", try_mlock2, {0, 1, 2, 3}, 4},
      {"munlock", try_munlock, {0}, 1},
      {"mincore", try_mincore, {0, 1}, 2},
      {"mremap", try_mremap, {0, 1, 2, 8, 9, 16, 17, 18, 24, 25, 32, 33, 40, 41, 48, 49, 50, 56, 57}, 19},
  };
  for (size_t call = 0; call < COUNT(calls); call++) {
    begin();
    for (size_t i = 0; i < COUNT(places) * COUNT(sizes) * calls[call].count; i++) {
      unsigned long place = places[i % COUNT(places)], argument = calls[call].arguments[i / COUNT(places) / COUNT(sizes)];
      size_t size = sizes[i / COUNT(places) % COUNT(sizes)];
      if (place < START && size > START) continue; // All that the program is made of would be meant.
      lay_out();
      errno = 0;
      note(calls[call].call(place, size, argument), "%s %lx %lx %lx", calls[call].name, place, size, argument);
    }
    report(calls[call].name);
  }
}

static void memfd_create_checks_its_flags(void) {
  begin();
  char name[300];
  memset(name, 'a', sizeof name);
  for (int length = 245; length < 255; length++) {
    name[length] = 0;
    long made = syscall(SYS_memfd_create, name, 0);
    note(made, "memfd_create of %d", length);
    if (made >= 0) OK(close(made));
    name[length] = 'a';
  }
  for (int flags = 0; flags < 64; flags++) {
    if (flags & 4) continue; // Huge pages are the host's matter.
    long made = syscall(SYS_memfd_create, "x", flags);
    note(made, "memfd_create %x", flags);
    if (made >= 0) OK(close(made));
  }
  note(syscall(SYS_memfd_create, wild, 0), "memfd_create of no name");
  note(syscall(SYS_memfd_create, wild, 0x100), "memfd_create with neither");
  report("memfd_create");
}

int main(int argc, char **argv) {
  if (argc > 1) details = fopen(argv[1], "w");
  enter_scratch();
  write_file("file", "x");
  OK(truncate("file", 65536));
  file = OK(open("file", O_RDONLY));
  mmap_refuses_in_order();
  others_refuse_in_order();
  memfd_create_checks_its_flags();
  return 0;
}
