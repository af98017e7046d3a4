// Random bytes as code: each child executes some and ends as it will; its parent hears of it, and the sandbox lives on.
// On Linux the children may make no system call but read, write and exit. `code_fuzz SEED CHILDREN` goes on longer.
// static
// timeout: 60
#include "check.h"
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>

enum { CODE_PAGES = 4, LIFETIME_MS = 60 };

static uint64_t next(uint64_t *state) {
  uint64_t z = (*state += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

// What a hostile program would try first: privileged, trapping and mode-changing instructions.
static const char *const openings[] = {
    "\xf4", "\x0f\x01\xd0", "\x0f\x01\xd1", "\x0f\x22\xd8", "\x0f\x20\xd8", "\x0f\x30", "\x0f\x32", "\xfa", "\xfb", "\xcd\x80",
    "\xcd\x03", "\xcd\x0e", "\xcd\x08", "\xcc", "\xf1", "\xce", "\x0f\x0b", "\x0f\x34", "\x0f\x05", "\x0f\x07", "\x0f\x35",
    "\xe6\x80", "\xe4\x80", "\xee", "\xec", "\x6c", "\x6e", "\x0f\x01\xc1", "\x0f\x01\xd9", "\x0f\x01\xf8", "\x0f\xa2", "\x0f\x31",
    "\x9d", "\xcf", "\x48\xcf", "\xcb", "\xff\x2c\x24", "\x8e\xd8", "\x8e\xd0", "\x8e\xe0", "\x0f\x01\x18", "\x0f\x01\x10", "\x0f\x00\xd8",
    "\x0f\x01\x38", "\x0f\xae\x18", "\x0f\xae\x28", "\x0f\xc7\x1e", "\xf3\x48\x0f\xae\xd8", "\xf3\x48\x0f\xae\xd0", "\xea", "\x66\xff\x3c\x24",
    "\x9c\x81\x0c\x24\x00\x01\x00\x00\x9d", "\x9c\x81\x0c\x24\x00\x00\x04\x00\x9d\x8b\x00", "\x48\x31\xe4\x50", "\xf0\x0f\xc7\xc8",
};

static void execute(uint64_t seed) {
  uint64_t state = seed;
  setpgid(0, 0);
  setrlimit(RLIMIT_AS, &(struct rlimit){256 << 20, 256 << 20});
  setrlimit(RLIMIT_NPROC, &(struct rlimit){30, 30});
  setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
  int sink = open("/dev/null", O_RDWR);
  for (int i = 0; i < 3; i++) dup2(sink, i);
  unsigned char *code = (void *)map_anonymous(CODE_PAGES * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
  for (int i = 0; i < CODE_PAGES * PAGE; i += 8) *(uint64_t *)(code + i) = next(&state);
  if (seed % 2) {
    const char *opening = openings[seed / 2 % COUNT(openings)];
    memcpy(code, opening, strlen(opening) ? strlen(opening) : 1);
  }
  // At times the code runs off the end of its mapping.
  unsigned char *entry = seed % 7 == 0 ? code + CODE_PAGES * PAGE - 3 : code;
  if (getppid() != 1 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0) _exit(0);
  uint64_t registers[8];
  for (size_t i = 0; i < COUNT(registers); i++) registers[i] = next(&state) % 2 ? next(&state) : (uint64_t)code + next(&state) % (CODE_PAGES * PAGE);
  __asm__ volatile(
      "mov 0(%0), %%rax\n mov 8(%0), %%rbx\n mov 16(%0), %%rdx\n mov 24(%0), %%rsi\n mov 32(%0), %%r8\n mov 40(%0), %%r9\n mov 48(%0), %%r10\n mov %1, %%rdi\n jmp *%%rcx\n"
      : : "D"(registers), "S"(code), "c"(entry) : "memory");
}

int main(int argc, char **argv) {
  uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
  int children = argc > 2 ? atoi(argv[2]) : 2 * (int)COUNT(openings);
  int killed = 0;
  for (int i = 0; i < children; i++) {
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) execute(seed * 100000 + i);
    int status;
    long long start = now_ms();
    while (waitpid(pid, &status, WNOHANG | __WALL) == 0) {
      sleep_ms(1);
      if (now_ms() - start > LIFETIME_MS) kill(pid, SIGKILL);
      CHECK_CASE(now_ms() - start < 10000, "child %d (seed %llu) outlives SIGKILL", i, (unsigned long long)seed);
    }
    CHECK(WIFSIGNALED(status) || WIFEXITED(status));
    killed += WIFSIGNALED(status);
    if (getpid() == 1) kill(-1, SIGKILL);
    while (waitpid(-1, NULL, WNOHANG | __WALL) > 0) {}
  }
  CHECK_CASE(killed > children / 2, "%d of %d", killed, children);
  if (argc > 1) fprintf(stderr, "made %d streams\n", children);
  return 0;
}
