// Calls about memory that few programs make: mseal, remap_file_pages, process_madvise, process_mrelease, cachestat.
#include "check.h"
#include <sys/uio.h>

#define SYS_cachestat_ 451
#define SYS_mseal_ 462
#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif
#ifndef SYS_process_mrelease
#define SYS_process_mrelease 448
#endif

static long seal(void *start, unsigned long length) { return syscall(SYS_mseal_, start, length, 0UL); }

static void sealed_mappings_stay(void) {
  char *memory = map_anonymous(8 * PAGE, PROT_READ | PROT_WRITE);
  memset(memory, 5, 8 * PAGE);
  CHECK_ERRNO(syscall(SYS_mseal_, memory, PAGE, 1UL), EINVAL);
  CHECK_ERRNO(seal(memory + 1, PAGE), EINVAL);
  CHECK_ERRNO(seal(memory, -PAGE * 2), EINVAL);
  CHECK_ERRNO(seal(memory, ~0UL), EINVAL);
  OK(seal(memory, 0));
  char *hole = map_anonymous(3 * PAGE, PROT_READ);
  OK(munmap(hole + PAGE, PAGE));
  CHECK_ERRNO(seal(hole, 3 * PAGE), ENOMEM);
  OK(munmap(hole, 3 * PAGE)); // Nothing of it was sealed.
  OK(seal(memory + 2 * PAGE, 3 * PAGE));
  OK(seal(memory + 2 * PAGE, PAGE)); // Once more is no error.
  CHECK_ERRNO(munmap(memory, 8 * PAGE), EPERM);
  CHECK_EQ(memory[0], 5); // All or nothing.
  CHECK_ERRNO(munmap(memory + 4 * PAGE, PAGE), EPERM);
  CHECK_ERRNO(mprotect(memory + 3 * PAGE, PAGE, PROT_READ), EPERM);
  CHECK(mmap(memory + 3 * PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED);
  CHECK_EQ(errno, EPERM);
  CHECK(mremap(memory + 2 * PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED);
  CHECK_EQ(errno, EPERM);
  CHECK(mremap(memory + 2 * PAGE, 2 * PAGE, PAGE, 0) == MAP_FAILED);
  CHECK_EQ(errno, EPERM);
  CHECK(mremap(memory, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, memory + 4 * PAGE) == MAP_FAILED);
  CHECK_EQ(errno, EPERM);
  memory[3 * PAGE] = 6; // It may be used as before.
  OK(madvise(memory + 3 * PAGE, PAGE, MADV_DONTNEED)); // What may be written may be thrown away.
  CHECK_EQ(memory[3 * PAGE], 0);
  OK(mprotect(memory + 5 * PAGE, PAGE, PROT_READ)); // Its neighbours are free.
  OK(seal(memory + 5 * PAGE, PAGE));
  CHECK_ERRNO(madvise(memory + 5 * PAGE, PAGE, MADV_DONTNEED), EPERM);
  CHECK_ERRNO(madvise(memory + 5 * PAGE, PAGE, MADV_DONTFORK), EPERM);
  CHECK_EQ(memory[5 * PAGE], 5);
  OK(madvise(memory + 5 * PAGE, PAGE, MADV_NORMAL));
  pid_t pid;
  IN_CHILD(pid) { CHECK_ERRNO(munmap(memory + 2 * PAGE, PAGE), EPERM); }
  WAIT_OK(pid);
  OK(munmap(memory, 2 * PAGE));
  OK(munmap(memory + 6 * PAGE, 2 * PAGE));
}

static void pages_of_a_file_are_rearranged(void) {
  enter_scratch();
  int file = OK(open("file", O_RDWR | O_CREAT, 0600));
  for (int page = 0; page < 6; page++) CHECK_EQ(pwrite(file, &(char){'a' + page}, 1, page * PAGE), 1);
  OK(ftruncate(file, 6 * PAGE));
  char *memory = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  CHECK(memory != MAP_FAILED);
  OK(remap_file_pages(memory + PAGE, PAGE, 0, 5, 0));
  OK(remap_file_pages(memory, PAGE, 0, 2, MAP_NONBLOCK));
  CHECK_EQ(memory[0], 'c');
  CHECK_EQ(memory[PAGE], 'f');
  CHECK_EQ(memory[2 * PAGE], 'c');
  CHECK_EQ(memory[3 * PAGE], 'd');
  memory[PAGE + 1] = 'x';
  char byte;
  CHECK_EQ(pread(file, &byte, 1, 5 * PAGE + 1), 1);
  CHECK_EQ(byte, 'x');
  CHECK_ERRNO(remap_file_pages(memory, PAGE, PROT_READ, 0, 0), EINVAL);
  CHECK_ERRNO(remap_file_pages(memory, 0, 0, 0, 0), EINVAL);
  CHECK_ERRNO(remap_file_pages(memory, -PAGE, 0, 0, 0), EINVAL);
  CHECK_ERRNO(remap_file_pages(memory, PAGE, 0, ~0UL, 0), EINVAL);
  char *private = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, file, 0);
  CHECK_ERRNO(remap_file_pages(private, PAGE, 0, 0, 0), EINVAL);
  char *anonymous = map_anonymous(PAGE, PROT_READ);
  CHECK_ERRNO(remap_file_pages(anonymous, PAGE, 0, 0, 0), EINVAL);
  OK(munmap(anonymous, PAGE));
  CHECK_ERRNO(remap_file_pages(anonymous, PAGE, 0, 0, 0), EINVAL);
  OK(munmap(private, PAGE));
  OK(munmap(memory, 4 * PAGE));
  char *shared = map_shared(3 * PAGE);
  for (int page = 0; page < 3; page++) shared[page * PAGE] = 'a' + page;
  OK(remap_file_pages(shared, PAGE, 0, 2, 0));
  CHECK_EQ(shared[0], 'c');
  OK(munmap(shared, 3 * PAGE));
  OK(close(file));
}

struct range { unsigned long long offset, length; };
struct counts { unsigned long long cached, dirty, writeback, evicted, recently_evicted; };

static void the_page_cache_is_counted(void) {
  int file = OK(open("cached", O_RDWR | O_CREAT, 0600));
  char page[PAGE];
  memset(page, 7, sizeof page);
  for (int i = 0; i < 5; i++) CHECK_EQ(write(file, page, PAGE), PAGE);
  struct range all = {0, 0}, two = {PAGE, PAGE + 1};
  struct counts counts;
  OK(syscall(SYS_cachestat_, file, &all, &counts, 0));
  CHECK_EQ(counts.cached, 5);
  OK(syscall(SYS_cachestat_, file, &two, &counts, 0));
  CHECK_EQ(counts.cached, 2);
  CHECK_ERRNO(syscall(SYS_cachestat_, file, &all, &counts, 1), EINVAL);
  CHECK_ERRNO(syscall(SYS_cachestat_, file, wild, &counts, 0), EFAULT);
  CHECK_ERRNO(syscall(SYS_cachestat_, file, &all, wild, 0), EFAULT);
  CHECK_ERRNO(syscall(SYS_cachestat_, -1, &all, &counts, 0), EBADF);
  CHECK_ERRNO(syscall(SYS_cachestat_, OK(memfd_create("huge", MFD_HUGETLB)), &all, &counts, 0), EOPNOTSUPP);
  OK(close(file));
}

static void another_process_takes_advice(void) {
  char *memory = map_anonymous(4 * PAGE, PROT_READ | PROT_WRITE);
  struct iovec pieces[2] = {{memory, 2 * PAGE}, {memory + 3 * PAGE, PAGE}};
  pid_t pid;
  IN_CHILD(pid) { pause(); }
  int other = OK(syscall(SYS_pidfd_open, pid, 0));
  CHECK_EQ(syscall(SYS_process_madvise, other, pieces, 2, MADV_COLD, 0), 3 * PAGE);
  CHECK_EQ(syscall(SYS_process_madvise, other, pieces, 1, MADV_PAGEOUT, 0), 2 * PAGE);
  CHECK_EQ(syscall(SYS_process_madvise, other, pieces, 1, MADV_WILLNEED, 0), 2 * PAGE);
  CHECK_ERRNO(syscall(SYS_process_madvise, other, pieces, 1, MADV_DONTNEED, 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_process_madvise, other, pieces, 1, MADV_COLD, 1), EINVAL);
  CHECK_ERRNO(syscall(SYS_process_madvise, other, pieces, 5000, MADV_COLD, 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_process_madvise, other, wild, 1, MADV_COLD, 0), EFAULT);
  CHECK_ERRNO(syscall(SYS_process_madvise, -1, pieces, 1, MADV_COLD, 0), EBADF);
  CHECK_ERRNO(syscall(SYS_process_madvise, STDERR_FILENO, pieces, 1, MADV_COLD, 0), EBADF);
  CHECK_ERRNO(syscall(SYS_process_mrelease, other, 1), EINVAL);
  CHECK_ERRNO(syscall(SYS_process_mrelease, other, 0), EINVAL); // It lives.
  CHECK_ERRNO(syscall(SYS_process_mrelease, -1, 0), EBADF);
  OK(kill(pid, SIGKILL));
  WAIT_SIGNALED(pid, SIGKILL);
  CHECK_ERRNO(syscall(SYS_process_mrelease, other, 0), ESRCH);
  CHECK_ERRNO(syscall(SYS_process_madvise, other, pieces, 1, MADV_COLD, 0), ESRCH);
  OK(close(other));
  OK(munmap(memory, 4 * PAGE));
}

int main(void) {
  sealed_mappings_stay();
  pages_of_a_file_are_rearranged();
  the_page_cache_is_counted();
  another_process_takes_advice();
  return 0;
}
