// MFD_HUGETLB: files of huge pages, whether or not there are any.
#include "check.h"
#include <sys/sendfile.h>
#ifndef MFD_HUGE_SHIFT
#define MFD_HUGE_SHIFT 26
#endif

#define HUGE (2L << 20)

int main(void) {
  int file = memfd_create("huge", MFD_HUGETLB | MFD_ALLOW_SEALING | 21U << MFD_HUGE_SHIFT);
  if (file < 0) {
    CHECK(errno == EINVAL || errno == ENODEV || errno == ENOSYS); // A kernel without them.
    return 0;
  }
  CHECK_ERRNO(memfd_create("huge", MFD_HUGETLB | 14U << MFD_HUGE_SHIFT), ENODEV);
  CHECK_ERRNO(memfd_create("huge", 21U << MFD_HUGE_SHIFT), EINVAL);
  struct stat status;
  OK(fstat(file, &status));
  CHECK(S_ISREG(status.st_mode));
  CHECK_EQ(status.st_size, 0);
  char text[16] = "x";
  CHECK_ERRNO(write(file, text, 1), EINVAL);
  CHECK_EQ(read(file, text, sizeof text), 0);
  CHECK_ERRNO(ftruncate(file, PAGE), EINVAL);
  OK(ftruncate(file, 2 * HUGE));
  CHECK_EQ(pread(file, text, sizeof text, 2 * HUGE - 5), 5);
  CHECK_EQ(text[0], 0);
  CHECK_EQ(lseek(file, 0, SEEK_END), 2 * HUGE);
  CHECK_ERRNO(mmap(NULL, HUGE, PROT_READ, MAP_SHARED, file, PAGE) == MAP_FAILED ? -1 : 0, EINVAL);
  CHECK_ERRNO(fallocate(file, 0x10, 0, HUGE), EOPNOTSUPP);
  OK(fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, HUGE));
  int pipes[2];
  OK(pipe(pipes));
  CHECK_ERRNO(splice(file, NULL, pipes[1], NULL, 10, 0), EINVAL);
  CHECK_ERRNO(sendfile(pipes[1], file, NULL, 10), EINVAL);
  CHECK_EQ(fcntl(file, F_GET_SEALS), 0);
  OK(fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK));
  CHECK_ERRNO(ftruncate(file, 0), EPERM);
  OK(ftruncate(file, 3 * HUGE));
  // The pool may be empty; then there is no memory for a mapping.
  char *memory = mmap(NULL, HUGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  CHECK(memory != MAP_FAILED || errno == ENOMEM);
  memory = mmap(NULL, HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
  CHECK(memory != MAP_FAILED || errno == ENOMEM);
  read_file("/proc/sys/vm/nr_hugepages", text, sizeof text);
  int pool = open("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", O_RDONLY);
  char same[16];
  CHECK(pool >= 0 && read(pool, same, sizeof same) > 0);
  CHECK_EQ(atoi(same), atoi(text));
  return 0;
}
