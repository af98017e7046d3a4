// prctl and arch_prctl: names, dumpability, no_new_privs, segment bases, what is refused.
#include "check.h"
#include <sched.h>
#include <asm/prctl.h>
#include <sys/prctl.h>

#ifndef PR_GET_AUXV
#define PR_GET_AUXV 0x41555856
#endif

static void names_are_kept_and_cut(void) {
  char name[17] = {0}, text[64];
  OK(prctl(PR_SET_NAME, "a name that is far too long"));
  OK(prctl(PR_GET_NAME, name));
  CHECK(strcmp(name, "a name that is ") == 0);
  read_file("/proc/self/comm", text, sizeof text);
  CHECK(strcmp(text, "a name that is \n") == 0);
  OK(prctl(PR_SET_NAME, "new"));
  read_file("/proc/thread-self/comm", text, sizeof text);
  CHECK(strcmp(text, "new\n") == 0);
  CHECK_ERRNO(prctl(PR_SET_NAME, 8), EFAULT);
  CHECK_ERRNO(prctl(PR_GET_NAME, 8), EFAULT);
}

static void *own_name(void *argument) {
  char *name = argument;
  OK(prctl(PR_GET_NAME, name)); // Inherited,
  CHECK(strcmp(name, "new") == 0);
  CHECK_ZERO(pthread_setname_np(pthread_self(), "worker"));
  OK(prctl(PR_GET_NAME, name));
  return NULL;
}

static void names_are_per_thread(void) {
  char name[17] = {0};
  join_thread(start_thread(own_name, name));
  CHECK(strcmp(name, "worker") == 0);
  OK(prctl(PR_GET_NAME, name));
  CHECK(strcmp(name, "new") == 0);
}

static void flags_are_kept(void) {
  CHECK_EQ(prctl(PR_GET_DUMPABLE), 1);
  OK(prctl(PR_SET_DUMPABLE, 0));
  CHECK_EQ(prctl(PR_GET_DUMPABLE), 0);
  OK(prctl(PR_SET_DUMPABLE, 1));
  CHECK_ERRNO(prctl(PR_SET_DUMPABLE, 2), EINVAL);
  CHECK_EQ(prctl(PR_GET_KEEPCAPS), 0);
  CHECK_ERRNO(prctl(PR_SET_KEEPCAPS, 2), EINVAL);
  pid_t pid;
  IN_CHILD(pid) {
    CHECK_ERRNO(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0), EINVAL);
    CHECK_ERRNO(prctl(PR_SET_NO_NEW_PRIVS, 1, 1, 0, 0), EINVAL);
    OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
    pid_t grandchild;
    IN_CHILD(grandchild) { CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1); }
    WAIT_OK(grandchild);
  }
  WAIT_OK(pid);
  CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
  OK(prctl(PR_SET_TIMERSLACK, 12345));
  CHECK_EQ(prctl(PR_GET_TIMERSLACK), 12345);
  OK(prctl(PR_SET_TIMERSLACK, 0));
  CHECK_EQ(prctl(PR_CAPBSET_READ, 0) >= 0, 1);
  CHECK_ERRNO(prctl(PR_CAPBSET_READ, 1000), EINVAL);
  CHECK_ERRNO(prctl(0x7fffffff, 0, 0, 0, 0), EINVAL);
}

static void the_address_of_the_number_is_told(void) {
  static int word;
  int *address = NULL;
  OK(syscall(SYS_set_tid_address, &word));
  // Only kernels that can make checkpoints tell it.
  if (prctl(PR_GET_TID_ADDRESS, &address, 0, 0, 0) < 0) {
    CHECK_EQ(errno, EINVAL);
    return;
  }
  CHECK(address == &word);
  CHECK_ERRNO(prctl(PR_GET_TID_ADDRESS, 8, 0, 0, 0), EFAULT);
  CHECK_ERRNO(prctl(PR_GET_TID_ADDRESS, NULL, 0, 0, 0), EFAULT);
}

// The auxiliary vector, as much as there is room for, is that of /proc/self/auxv.
static void the_auxiliary_vector_is_told(void) {
  static unsigned long told[128], kept[128];
  long length = OK(prctl(PR_GET_AUXV, told, sizeof told, 0, 0));
  CHECK(length >= 40 * 8 && length < (long)sizeof told && length % 16 == 0);
  int file = OK(open("/proc/self/auxv", O_RDONLY));
  ssize_t shown = OK(read(file, kept, sizeof kept));
  CHECK(shown <= length && memcmp(told, kept, shown) == 0);
  OK(close(file));
  told[1] = 77;
  CHECK_EQ(prctl(PR_GET_AUXV, told, 8, 0, 0), length);
  CHECK_EQ(told[1], 77);
  CHECK_EQ(prctl(PR_GET_AUXV, wild, 0, 0, 0), length);
  CHECK_ERRNO(prctl(PR_GET_AUXV, wild, 8, 0, 0), EFAULT);
  CHECK_ERRNO(prctl(PR_GET_AUXV, told, 8, 1, 0), EINVAL);
}

static unsigned long read_gs(void) {
  unsigned long value;
  __asm__ volatile("movq %%gs:0, %0" : "=r"(value));
  return value;
}

// What is to come of memory that fails, and who writes back for others: kept, and handed on.
static void task_flags_are_handed_on(void) {
  CHECK_EQ(prctl(PR_MCE_KILL_GET, 0, 0, 0, 0), PR_MCE_KILL_DEFAULT);
  CHECK_ERRNO(prctl(PR_MCE_KILL, PR_MCE_KILL_CLEAR, 1, 0, 0), EINVAL);
  CHECK_ERRNO(prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 1, 0), EINVAL);
  CHECK_ERRNO(prctl(PR_MCE_KILL, 2, 0, 0, 0), EINVAL);
  OK(prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0));
  pid_t pid;
  IN_CHILD(pid) {
    CHECK_EQ(prctl(PR_MCE_KILL_GET, 0, 0, 0, 0), PR_MCE_KILL_EARLY);
    OK(prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_LATE, 0, 0));
    CHECK_EQ(prctl(PR_MCE_KILL_GET, 0, 0, 0, 0), PR_MCE_KILL_LATE);
    OK(prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_DEFAULT, 0, 0));
    CHECK_EQ(prctl(PR_MCE_KILL_GET, 0, 0, 0, 0), PR_MCE_KILL_DEFAULT);
    CHECK_ERRNO(prctl(PR_MCE_KILL, PR_MCE_KILL_SET, 3, 0, 0), EINVAL);
    CHECK_EQ(prctl(PR_MCE_KILL_GET, 0, 0, 0, 0), PR_MCE_KILL_LATE);
  }
  WAIT_OK(pid);
  CHECK_EQ(prctl(PR_MCE_KILL_GET, 0, 0, 0, 0), PR_MCE_KILL_EARLY);
  OK(prctl(PR_MCE_KILL, PR_MCE_KILL_CLEAR, 0, 0, 0));
  CHECK_EQ(prctl(PR_MCE_KILL_GET, 0, 0, 0, 0), PR_MCE_KILL_DEFAULT);
  if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) == -1) {
    CHECK_EQ(errno, EPERM); // Where root lacks CAP_SYS_RESOURCE.
    CHECK_ERRNO(prctl(PR_GET_IO_FLUSHER, 1, 0, 0, 0), EPERM);
    return;
  }
  IN_CHILD(pid) { CHECK_EQ(prctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0), 1); }
  WAIT_OK(pid);
  CHECK_ERRNO(prctl(PR_SET_IO_FLUSHER, 2, 0, 0, 0), EINVAL);
  CHECK_ERRNO(prctl(PR_SET_IO_FLUSHER, 0, 1, 0, 0), EINVAL);
  CHECK_ERRNO(prctl(PR_GET_IO_FLUSHER, 1, 0, 0, 0), EINVAL);
  OK(prctl(PR_SET_IO_FLUSHER, 0, 0, 0, 0));
  CHECK_EQ(prctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0), 0);
}

static void segment_bases_are_kept(void) {
  static unsigned long block[2] = {0x1122334455667788, 0};
  unsigned long base = 0;
  OK(syscall(SYS_arch_prctl, ARCH_SET_GS, block));
  CHECK_EQ(read_gs(), block[0]);
  sched_yield();
  OK(syscall(SYS_arch_prctl, ARCH_GET_GS, &base));
  CHECK_EQ(base, (unsigned long)block);
  OK(syscall(SYS_arch_prctl, ARCH_GET_FS, &base));
  CHECK_EQ(base, (unsigned long)pthread_self());
  pid_t pid;
  IN_CHILD(pid) { CHECK_EQ(read_gs(), block[0]); } // Inherited by fork.
  WAIT_OK(pid);
  CHECK_ERRNO(syscall(SYS_arch_prctl, ARCH_SET_GS, 0x8000000000000000UL), EPERM);
  CHECK_ERRNO(syscall(SYS_arch_prctl, ARCH_SET_FS, 0xffff800000000000UL), EPERM);
  CHECK_ERRNO(syscall(SYS_arch_prctl, ARCH_GET_FS, 8), EFAULT);
  CHECK_ERRNO(syscall(SYS_arch_prctl, 0x9999, 0), EINVAL);
  OK(syscall(SYS_arch_prctl, ARCH_SET_GS, 0));
}

int main(void) {
  names_are_kept_and_cut();
  names_are_per_thread();
  flags_are_kept();
  task_flags_are_handed_on();
  the_address_of_the_number_is_told();
  the_auxiliary_vector_is_told();
  segment_bases_are_kept();
  return 0;
}
