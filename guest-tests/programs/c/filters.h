// Small filters of system calls.
#ifndef FILTERS_H
#define FILTERS_H

#include "check.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <ucontext.h>

#define LOAD_AT(offset) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset)
#define LOAD(field) LOAD_AT(offsetof(struct seccomp_data, field))
// Goes on if the value is `value`, else skips `count` instructions.
#define UNLESS(value, count) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, count)
#define RETURN(value) BPF_STMT(BPF_RET | BPF_K, value)

UNUSED static int seccomp(unsigned operation, unsigned flags, void *arguments) {
  return syscall(SYS_seccomp, operation, flags, arguments);
}

// Installs a filter; returns what seccomp(2) does.
UNUSED static int install(struct sock_filter *filter, size_t length, unsigned flags) {
  struct sock_fprog program = {length, filter};
  int result = seccomp(SECCOMP_SET_MODE_FILTER, flags, &program);
  CHECK(result >= 0);
  return result;
}

// Answers the calls numbered so with `value`.
UNUSED static void answer(unsigned number, uint32_t value) {
  struct sock_filter filter[] = {LOAD(nr), UNLESS(number, 1), RETURN(value), RETURN(SECCOMP_RET_ALLOW)};
  install(filter, COUNT(filter), 0);
}

#endif
