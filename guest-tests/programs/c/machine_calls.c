// Calls about the machine: ports, modules, other kernels, types of file systems; what a locked-down kernel answers.
#include "check.h"
#include <sys/io.h>

struct small_statfs { int free; unsigned long inodes; char name[6], pack[6]; };

static void types_have_numbers(void) {
  long count = OK(syscall(SYS_sysfs, 3));
  CHECK(count > 3);
  char name[64];
  for (long index = 0; index < count; index++) {
    OK(syscall(SYS_sysfs, 2, index, name));
    CHECK_EQ(syscall(SYS_sysfs, 1, name), index);
  }
  CHECK_ERRNO(syscall(SYS_sysfs, 1, "no such type"), EINVAL);
  CHECK_ERRNO(syscall(SYS_sysfs, 1, wild), EFAULT);
  CHECK_ERRNO(syscall(SYS_sysfs, 2, count, name), EINVAL);
  CHECK_ERRNO(syscall(SYS_sysfs, 2, -1L, name), EINVAL);
  CHECK_ERRNO(syscall(SYS_sysfs, 2, 0, wild), EFAULT);
  CHECK_ERRNO(syscall(SYS_sysfs, 4), EINVAL);
  CHECK_ERRNO(syscall(SYS_sysfs, 0), EINVAL);
}

static void a_device_tells_its_file_system(void) {
  struct stat status;
  struct small_statfs told;
  OK(stat("/proc", &status));
  memset(&told, 0xff, sizeof told);
  OK(syscall(SYS_ustat, (unsigned)status.st_dev, &told));
  CHECK_EQ(told.name[0], 0);
  CHECK_ERRNO(syscall(SYS_ustat, (unsigned)status.st_dev, wild), EFAULT);
  CHECK_ERRNO(syscall(SYS_ustat, 0xfffffff, &told), EINVAL);
}


static void ports_are_checked(void) {
  if (iopl(0) == -1) {
    CHECK_EQ(errno, ENOSYS); // A kernel without ports.
    return;
  }
  CHECK_ERRNO(iopl(4), EINVAL);
  CHECK_ERRNO(iopl(-1), EINVAL);
  CHECK_ERRNO(ioperm(0, 0, 1), EINVAL);
  CHECK_ERRNO(ioperm(65535, 2, 1), EINVAL);
  CHECK_ERRNO(ioperm(~0UL, 2, 1), EINVAL);
  OK(ioperm(0, 3, 0));
}

#define REFUSED(call) CHECK_CASE((call) == -1 && (errno == EPERM || errno == ENOSYS), #call)

static void the_unprivileged_are_refused(void) {
  pid_t pid;
  IN_CHILD(pid) {
    if (geteuid() == 0) OK(setresuid(1234, 1234, 1234));
    REFUSED(iopl(3));
    REFUSED(ioperm(0, 3, 1));
    REFUSED(syscall(SYS_init_module, NULL, 0, ""));
    REFUSED(syscall(SYS_finit_module, -1, "", 0));
    REFUSED(syscall(SYS_delete_module, "none", 0));
    REFUSED(syscall(SYS_kexec_load, 0, 0, NULL, 0));
  }
  WAIT_OK(pid);
}

int main(void) {
  types_have_numbers();
  a_device_tells_its_file_system();
  ports_are_checked();
  the_unprivileged_are_refused();
  return 0;
}
