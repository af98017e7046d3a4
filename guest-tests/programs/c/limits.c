// Resource limits: getrlimit, prlimit, inheritance, and what each limit refuses.
#include "check.h"
#include <sys/resource.h>
#include <sys/time.h>

static void set_limit(int resource, rlim_t soft) {
  struct rlimit limit;
  OK(getrlimit(resource, &limit));
  limit.rlim_cur = soft;
  OK(setrlimit(resource, &limit));
}

static void every_limit_can_be_read(void) {
  struct rlimit limit;
  for (int resource = 0; resource < RLIM_NLIMITS; resource++) {
    OK(getrlimit(resource, &limit));
    CHECK_CASE(limit.rlim_cur <= limit.rlim_max, "resource %d", resource);
  }
  CHECK_ERRNO(getrlimit(RLIM_NLIMITS, &limit), EINVAL);
  CHECK_ERRNO(getrlimit(-1, &limit), EINVAL);
  CHECK_ERRNO(syscall(SYS_getrlimit, RLIMIT_NOFILE, (void *)8), EFAULT);
}

static void soft_may_not_exceed_hard(void) {
  struct rlimit limit, old;
  pid_t pid;
  IN_CHILD(pid) {
    limit = (struct rlimit){70, 80};
    OK(setrlimit(RLIMIT_NOFILE, &limit));
    limit = (struct rlimit){81, 80};
    CHECK_ERRNO(setrlimit(RLIMIT_NOFILE, &limit), EINVAL);
    limit = (struct rlimit){60, 80};
    OK(prlimit(0, RLIMIT_NOFILE, &limit, &old));
    CHECK_EQ(old.rlim_cur, 70);
    CHECK_EQ(old.rlim_max, 80);
    pid_t grandchild;
    IN_CHILD(grandchild) {
      OK(getrlimit(RLIMIT_NOFILE, &limit));
      CHECK_EQ(limit.rlim_cur, 60);
      CHECK_EQ(limit.rlim_max, 80);
    }
    WAIT_OK(grandchild);
    OK(prlimit(getppid(), RLIMIT_CORE, NULL, &old));
    CHECK_ERRNO(prlimit(0x3ffffff, RLIMIT_CORE, NULL, &old), ESRCH);
    CHECK_ERRNO(prlimit(-1, RLIMIT_CORE, NULL, &old), ESRCH);
  }
  WAIT_OK(pid);
}

static void descriptors_are_limited(void) {
  pid_t pid;
  IN_CHILD(pid) {
    set_limit(RLIMIT_NOFILE, 40);
    int last = -1, got;
    while ((got = dup(1)) >= 0) last = got;
    CHECK_EQ(errno, EMFILE);
    CHECK_EQ(last, 39);
    CHECK_ERRNO(open("/", O_RDONLY), EMFILE);
    CHECK_ERRNO(dup2(1, 40), EBADF);
    CHECK_ERRNO(fcntl(1, F_DUPFD, 40), EINVAL);
    int ends[2] = {-1, -1};
    CHECK_ERRNO(pipe(ends), EMFILE);
    CHECK_EQ(ends[0], -1);
    OK(close(20));
    CHECK_ERRNO(pipe(ends), EMFILE); // Room for one end is not enough, and nothing leaks.
    CHECK_EQ(dup(1), 20);
    set_limit(RLIMIT_NOFILE, 3); // Open ones above a lowered limit stay.
    OK(fcntl(39, F_GETFD));
    CHECK_ERRNO(dup(1), EMFILE);
  }
  WAIT_OK(pid);
}

static volatile sig_atomic_t exceeded;
static void on_exceeded(int number, siginfo_t *info, void *context) {
  (void)info, (void)context;
  exceeded = number;
}

static void file_size_is_limited(void) {
  pid_t pid;
  IN_CHILD(pid) {
    handle(SIGXFSZ, on_exceeded, 0);
    set_limit(RLIMIT_FSIZE, 1000);
    int file = OK(open("limited", O_RDWR | O_CREAT | O_TRUNC, 0644));
    char bytes[600] = {0};
    CHECK_EQ(write(file, bytes, 600), 600);
    CHECK_EQ(write(file, bytes, 600), 400);
    CHECK_EQ(exceeded, 0);
    CHECK_ERRNO(write(file, bytes, 1), EFBIG);
    CHECK_EQ(exceeded, SIGXFSZ);
    exceeded = 0;
    CHECK_ERRNO(ftruncate(file, 1001), EFBIG);
    CHECK_EQ(exceeded, SIGXFSZ);
    OK(ftruncate(file, 1000));
    signal(SIGXFSZ, SIG_DFL);
    OK(pwrite(file, bytes, 1, 1000));
  }
  WAIT_SIGNALED(pid, SIGXFSZ);
}

static void address_space_is_limited(void) {
  pid_t pid;
  IN_CHILD(pid) {
    set_limit(RLIMIT_AS, 256UL << 20);
    CHECK(mmap(NULL, 512UL << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
    CHECK_EQ(errno, ENOMEM);
    char *small = map_anonymous(1 << 20, PROT_READ);
    CHECK(mremap(small, 1 << 20, 512UL << 20, MREMAP_MAYMOVE) == MAP_FAILED);
    CHECK_EQ(errno, ENOMEM);
    CHECK(malloc(512UL << 20) == NULL);
  }
  WAIT_OK(pid);
}

static void data_is_limited(void) {
  pid_t pid;
  IN_CHILD(pid) {
    set_limit(RLIMIT_DATA, 16UL << 20);
    char *start = sbrk(0);
    CHECK(sbrk(64L << 20) == (void *)-1);
    CHECK_EQ(errno, ENOMEM);
    CHECK(sbrk(0) == start);
  }
  WAIT_OK(pid);
}

static void cpu_time_is_limited(void) {
  pid_t pid;
  IN_CHILD(pid) {
    struct rlimit limit = {1, 2};
    OK(setrlimit(RLIMIT_CPU, &limit));
    for (;;) __asm__ volatile("");
  }
  WAIT_SIGNALED(pid, SIGXCPU);
}

static void *recurse(void *depth) {
  volatile char frame[16384];
  frame[0] = 1;
  if ((long)depth > 0) recurse((void *)((long)depth - 1));
  return (void *)(long)frame[0];
}

static void stack_is_limited(void) {
  pid_t pid;
  IN_CHILD(pid) { recurse((void *)300L); } // 5 MiB of the usual 8.
  WAIT_OK(pid);
  IN_CHILD(pid) {
    set_limit(RLIMIT_STACK, 1 << 20);
    recurse((void *)300L);
  }
  WAIT_SIGNALED(pid, SIGSEGV);
}

static void priorities_are_kept(void) {
  pid_t pid;
  IN_CHILD(pid) {
    errno = 0;
    int before = getpriority(PRIO_PROCESS, 0);
    CHECK_EQ(errno, 0);
    OK(setpriority(PRIO_PROCESS, 0, before + 3 > 19 ? 19 : before + 3));
    CHECK_EQ(getpriority(PRIO_PROCESS, 0), before + 3 > 19 ? 19 : before + 3);
    CHECK_ERRNO(setpriority(77, 0, 0), EINVAL);
    CHECK_ERRNO(getpriority(PRIO_PROCESS, 0x3ffffff), ESRCH);
  }
  WAIT_OK(pid);
}

int main(void) {
  enter_scratch();
  every_limit_can_be_read();
  soft_may_not_exceed_hard();
  descriptors_are_limited();
  file_size_is_limited();
  address_space_is_limited();
  data_is_limited();
  cpu_time_is_limited();
  stack_is_limited();
  priorities_are_kept();
  return 0;
}
