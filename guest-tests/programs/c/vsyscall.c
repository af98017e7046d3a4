// The vsyscall page: its three calls, what it refuses, and how it shows in /proc/PID/maps.
#include "check.h"
#include <sys/time.h>

#define PAGE_START 0xffffffffff600000UL

typedef int (*gettimeofday_call)(struct timeval *, struct timezone *);
typedef time_t (*time_call)(time_t *);
typedef int (*getcpu_call)(unsigned *, unsigned *, void *);

static sigjmp_buf escape;
static siginfo_t seen;

static void on_fault(int number, siginfo_t *info, void *context) {
  (void)context;
  seen = *info;
  siglongjmp(escape, number);
}

// The signal that a statement raises, or 0.
#define SIGNAL_OF(statement) \
  ({ \
    int number = sigsetjmp(escape, 1); \
    if (number == 0) { statement; } \
    number; \
  })

int main(void) {
  volatile gettimeofday_call call_gettimeofday = (gettimeofday_call)PAGE_START;
  volatile time_call call_time = (time_call)(PAGE_START + 0x400);
  volatile getcpu_call call_getcpu = (getcpu_call)(PAGE_START + 0x800);
  for (int i = 0; i < 100; i++) {
    struct timeval before, now = {0}, after;
    struct timezone zone = {.tz_minuteswest = 77};
    OK(gettimeofday(&before, NULL));
    CHECK_EQ(call_gettimeofday(&now, i % 2 ? &zone : NULL), 0);
    OK(gettimeofday(&after, NULL));
    CHECK(!timercmp(&now, &before, <) && !timercmp(&now, &after, >));
    time_t first = call_time(NULL), second;
    CHECK_EQ(call_time(&second), second);
    CHECK(second - first <= 1 && first - now.tv_sec <= 1);
    unsigned cpu = 4321, node = 4321;
    CHECK_EQ(call_getcpu(&cpu, &node, NULL), 0);
    CHECK(cpu < 4096 && node < 4096);
    CHECK_EQ(call_getcpu(NULL, NULL, NULL), 0);
  }
  handle(SIGSEGV, on_fault, SA_NODEFER);
  CHECK_EQ(SIGNAL_OF(call_time((time_t *)wild)), SIGSEGV);
  CHECK_EQ(SIGNAL_OF(call_gettimeofday((struct timeval *)wild, NULL)), SIGSEGV);
  CHECK_EQ(SIGNAL_OF(((time_call)(PAGE_START + 0x401))(NULL)), SIGSEGV);
  CHECK(seen.si_addr == NULL);
  CHECK_EQ(SIGNAL_OF(((time_call)(PAGE_START + 0xc00))(NULL)), SIGSEGV);
  CHECK_EQ(SIGNAL_OF((void)*(volatile char *)PAGE_START), SIGSEGV);
  CHECK_EQ(SIGNAL_OF(*(volatile char *)PAGE_START = 0), SIGSEGV);

  static char text[65536];
  read_file("/proc/self/maps", text, sizeof text);
  static const char line[] = "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n";
  size_t length = strlen(text);
  CHECK(length > sizeof line && strcmp(text + length - (sizeof line - 1), line) == 0);
  return 0;
}
