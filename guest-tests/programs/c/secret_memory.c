// memfd_secret: memory that only its own process reads, by its own hand.
#include "check.h"
#include <sys/resource.h>
#include <sys/uio.h>

static int secret(unsigned flags) { return syscall(SYS_memfd_secret, flags); }

int main(void) {
  int probe = secret(0);
  if (probe < 0 && errno == ENOSYS) return 0; // Some kernels are started without it.
  OK(close(probe));
  CHECK_ERRNO(secret(1), EINVAL);
  int file = OK(secret(O_CLOEXEC)), other = OK(secret(0));
  CHECK_EQ(fcntl(file, F_GETFD), FD_CLOEXEC);
  CHECK_EQ(fcntl(other, F_GETFD), 0);
  char byte = 'x';
  CHECK_ERRNO(read(file, &byte, 1), EINVAL);
  CHECK_ERRNO(write(file, &byte, 1), EINVAL);
  CHECK_ERRNO(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, file, 0) == MAP_FAILED ? -1 : 0, EINVAL);
  OK(ftruncate(file, 2 * PAGE));
  CHECK_ERRNO(ftruncate(file, 3 * PAGE), EINVAL);
  struct stat status;
  OK(fstat(file, &status));
  CHECK(S_ISREG(status.st_mode));
  CHECK_EQ(status.st_size, 2 * PAGE);
  char *memory = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  CHECK(memory != MAP_FAILED);
  strcpy(memory, "hush");
  CHECK_EQ(memory[PAGE], 0);
  char text[64];
  int pipes[2];
  OK(pipe(pipes));
  // By a copy of the program's own it gets out; as it is it does not.
  CHECK_EQ(write(pipes[1], memory, 5), 5);
  CHECK_EQ(read(pipes[0], memory + PAGE, 5), 5);
  CHECK(strcmp(memory + PAGE, "hush") == 0);
  struct iovec inside = {memory, 5}, outside = {text, 5};
  CHECK_ERRNO(vmsplice(pipes[1], &inside, 1, 0), EFAULT);
  CHECK_ERRNO(process_vm_readv(getpid(), &outside, 1, &inside, 1, 0), EFAULT);
  CHECK_ERRNO(process_vm_writev(getpid(), &outside, 1, &inside, 1, 0), EFAULT);
  int own = OK(open("/proc/self/mem", O_RDONLY));
  CHECK_ERRNO(pread(own, text, 5, (off_t)(uintptr_t)memory), EIO);
  OK(close(own));
  // It counts as locked.
  char smaps[8192];
  snprintf(text, sizeof text, "/proc/self/status");
  read_file(text, smaps, sizeof smaps);
  char *locked = strstr(smaps, "VmLck:");
  CHECK(locked != NULL && atoi(locked + 6) >= 8);
  // A child shares it.
  pid_t pid;
  IN_CHILD(pid) { strcpy(memory, "told"); }
  WAIT_OK(pid);
  CHECK(strcmp(memory, "told") == 0);
  return 0;
}
