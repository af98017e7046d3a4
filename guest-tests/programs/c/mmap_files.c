// File mappings: coherence of shared ones with read and write, isolation of private ones, ends, truncation.
#include "check.h"

#define SEAL_FUTURE_WRITE 0x10
#define SEAL_EXEC 0x20

static char *map_file(int file, size_t size, int flags, off_t offset) {
  char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, file, offset);
  CHECK(memory != MAP_FAILED);
  return memory;
}

static void shared_mappings_are_the_file(void) {
  int file = OK(open("shared", O_RDWR | O_CREAT, 0644));
  OK(ftruncate(file, 3 * PAGE));
  char *first = map_file(file, 3 * PAGE, MAP_SHARED, 0), *second = map_file(file, PAGE, MAP_SHARED, PAGE), byte;
  first[PAGE + 10] = 'a';
  CHECK_EQ(second[10], 'a');
  CHECK_EQ(pread(file, &byte, 1, PAGE + 10), 1);
  CHECK_EQ(byte, 'a');
  CHECK_EQ(pwrite(file, "bcd", 3, PAGE + 11), 3);
  CHECK_EQ(memcmp(second + 10, "abcd", 4), 0);
  CHECK_EQ(memcmp(first + PAGE + 10, "abcd", 4), 0);
  pid_t pid;
  IN_CHILD(pid) {
    second[10] = 'z';
    int mine = OK(open("shared", O_RDWR));
    CHECK_EQ(pwrite(mine, "y", 1, PAGE + 11), 1);
  }
  WAIT_OK(pid);
  CHECK_EQ(memcmp(first + PAGE + 10, "zycd", 4), 0);
  OK(close(file)); // A mapping outlives its descriptor,
  OK(unlink("shared")); // and its name.
  first[0] = 'q';
  OK(msync(first, 3 * PAGE, MS_SYNC));
  OK(munmap(second, PAGE));
  CHECK_EQ(first[PAGE + 10], 'z');
  OK(munmap(first, 3 * PAGE));
}

static void private_mappings_keep_their_writes(void) {
  write_file("private", "original");
  int file = OK(open("private", O_RDWR));
  char *memory = map_file(file, PAGE, MAP_PRIVATE, 0), *other = map_file(file, PAGE, MAP_PRIVATE, 0), text[16];
  CHECK_EQ(memcmp(memory, "original", 8), 0);
  CHECK_EQ(memory[100], 0); // Zeros up to the end of the page.
  memory[0] = 'O';
  CHECK_EQ(pread(file, text, 8, 0), 8);
  CHECK_EQ(memcmp(text, "original", 8), 0);
  CHECK_EQ(other[0], 'o');
  CHECK_EQ(pwrite(file, "new", 3, 0), 3);
  CHECK_EQ(memory[0], 'O');
  pid_t pid;
  IN_CHILD(pid) {
    CHECK_EQ(memory[0], 'O');
    memory[1] = 'R';
  }
  WAIT_OK(pid);
  CHECK(memory[1] != 'R');
  OK(madvise(memory, PAGE, MADV_DONTNEED)); // Drops the private copy.
  CHECK_EQ(memcmp(memory, "newginal", 8), 0);
  OK(close(file));
  OK(munmap(memory, PAGE));
  OK(munmap(other, PAGE));
}

static void beyond_the_end_is_a_bus_error(void) {
  int file = OK(open("short", O_RDWR | O_CREAT, 0644));
  OK(ftruncate(file, PAGE + 100));
  char *memory = map_file(file, 4 * PAGE, MAP_SHARED, 0);
  CHECK_EQ(fault_of(memory, 0), 0);
  CHECK_EQ(fault_of(memory + PAGE + 200, 0), 0);
  CHECK_EQ(fault_of(memory + 2 * PAGE, 0), SIGBUS);
  CHECK_ERRNO(write(file, memory + 2 * PAGE, 1), EFAULT); // The kernel's access fails without a signal.
  OK(ftruncate(file, 3 * PAGE));
  CHECK_EQ(fault_of(memory + 2 * PAGE, 0), 0);
  CHECK_EQ(fault_of(memory + 3 * PAGE, 0), SIGBUS);
  memset(memory, 'f', 3 * PAGE);
  OK(ftruncate(file, 10));
  CHECK_EQ(fault_of(memory + PAGE, 0), SIGBUS); // What was there is gone at once.
  CHECK_EQ(memory[9], 'f');
  CHECK_EQ(memory[10], 0);
  OK(ftruncate(file, 2 * PAGE));
  CHECK_EQ(fault_of(memory + PAGE, 0), 0);
  CHECK_EQ(memory[PAGE], 0);
  OK(close(file));
  OK(munmap(memory, 4 * PAGE));
}

static void bytes_after_the_end_are_not_written(void) {
  write_file("tail", "12345");
  int file = OK(open("tail", O_RDWR));
  char *memory = map_file(file, PAGE, MAP_SHARED, 0), text[32];
  memory[5] = 'X';
  memory[4] = '!';
  OK(munmap(memory, PAGE));
  struct stat status;
  OK(fstat(file, &status));
  CHECK_EQ(status.st_size, 5);
  CHECK_EQ(pread(file, text, 32, 0), 5);
  CHECK_EQ(memcmp(text, "1234!", 5), 0);
  OK(close(file));
}

static void offsets_beyond_the_start(void) {
  int file = OK(open("pages", O_RDWR | O_CREAT, 0644));
  char page[PAGE];
  for (int i = 0; i < 8; i++) {
    memset(page, 'a' + i, PAGE);
    CHECK_EQ(write(file, page, PAGE), PAGE);
  }
  for (int i = 7; i >= 0; i--) {
    char *memory = map_file(file, PAGE, i % 2 ? MAP_SHARED : MAP_PRIVATE, i * PAGE);
    CHECK_EQ(memory[0], 'a' + i);
    CHECK_EQ(memory[PAGE - 1], 'a' + i);
    OK(munmap(memory, PAGE));
  }
  OK(close(file));
}

static void executables_map_privately(void) {
  int file = OK(open("/bin/true", O_RDONLY));
  char *memory = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0);
  CHECK(memory != MAP_FAILED);
  CHECK_EQ(memcmp(memory, "\x7f" "ELF", 4), 0);
  OK(munmap(memory, PAGE));
  memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
  memory[0] = 'x';
  char byte;
  CHECK_EQ(pread(file, &byte, 1, 0), 1);
  CHECK_EQ(byte, 0x7f);
  OK(munmap(memory, PAGE));
  OK(close(file));
}

static void memfd_is_shared_and_sealed(void) {
  int file = OK(memfd_create("name", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  OK(ftruncate(file, PAGE));
  char *memory = map_file(file, PAGE, MAP_SHARED, 0), link[64], path[64];
  strcpy(memory, "via the mapping");
  char text[32] = {0};
  CHECK_EQ(pread(file, text, 15, 0), 15);
  CHECK(strcmp(text, "via the mapping") == 0);
  snprintf(path, sizeof path, "/proc/self/fd/%d", file);
  ssize_t length = OK(readlink(path, link, sizeof link - 1));
  link[length] = 0;
  CHECK_CASE(strcmp(link, "/memfd:name (deleted)") == 0, "%s", link);
  CHECK_EQ(fcntl(file, F_GET_SEALS), 0);
  OK(fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW));
  CHECK_ERRNO(ftruncate(file, 2 * PAGE), EPERM);
  CHECK_ERRNO(ftruncate(file, 10), EPERM);
  CHECK_ERRNO(fcntl(file, F_ADD_SEALS, F_SEAL_WRITE), EBUSY); // A writable shared mapping exists.
  OK(munmap(memory, PAGE));
  OK(fcntl(file, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL));
  CHECK_ERRNO(pwrite(file, "x", 1, 0), EPERM);
  CHECK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0) == MAP_FAILED);
  CHECK_EQ(errno, EPERM);
  CHECK_ERRNO(fcntl(file, F_ADD_SEALS, 0), EPERM);
  OK(close(file));
  // Who may execute a sealed file stays the same, and if anybody may, so do its contents.
  file = OK(memfd_create("name", MFD_ALLOW_SEALING));
  OK(fchmod(file, 0600));
  OK(fcntl(file, F_ADD_SEALS, SEAL_EXEC));
  CHECK_EQ(fcntl(file, F_GET_SEALS), SEAL_EXEC);
  OK(fchmod(file, 0644));
  CHECK_ERRNO(fchmod(file, 0744), EPERM);
  OK(close(file));
  file = OK(memfd_create("name", MFD_ALLOW_SEALING));
  OK(fchmod(file, 0700));
  OK(fcntl(file, F_ADD_SEALS, SEAL_EXEC));
  CHECK_EQ(fcntl(file, F_GET_SEALS), SEAL_EXEC | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | SEAL_FUTURE_WRITE);
  CHECK_ERRNO(pwrite(file, "x", 1, 0), EPERM);
  CHECK_ERRNO(fchmod(file, 0600), EPERM);
  OK(fchmod(file, 0744 & ~0044));
  OK(close(file));
  file = OK(memfd_create("", 0));
  CHECK_EQ(fcntl(file, F_GET_SEALS), F_SEAL_SEAL);
  CHECK_ERRNO(memfd_create("x", 0x4000000), EINVAL);
}

int main(void) {
  enter_scratch();
  shared_mappings_are_the_file();
  private_mappings_keep_their_writes();
  beyond_the_end_is_a_bus_error();
  bytes_after_the_end_are_not_written();
  offsets_beyond_the_start();
  executables_map_privately();
  memfd_is_shared_and_sealed();
  return 0;
}
