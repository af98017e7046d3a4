// A statically linked C program: start-up without a loader, threads, thread-local storage, files, the vDSO.
// static
#include "check.h"
#include <sys/auxv.h>

static __thread int local = 9;
static void *use_local(void *argument) {
  CHECK_EQ(local, 9);
  local = 1;
  return argument;
}

static int constructed;
__attribute__((constructor)) static void construct(void) { constructed = 1; }

int main(int count, char **arguments) {
  CHECK_EQ(count, 1);
  CHECK_EQ(arguments[0][0], '/');
  CHECK(constructed);
  CHECK(getauxval(AT_BASE) == 0); // No interpreter.
  char maps[16384];
  read_file("/proc/self/maps", maps, sizeof maps);
  CHECK(strstr(maps, "ld-linux") == NULL && strstr(maps, "[vdso]") != NULL && strstr(maps, "[stack]") != NULL);
  join_thread(start_thread(use_local, NULL));
  CHECK_EQ(local, 9);
  CHECK(now_ms() > 0);
  enter_scratch();
  write_file("file", "text");
  char *block = malloc(10 << 20);
  memset(block, 1, 10 << 20);
  free(block);
  char text[64];
  snprintf(text, sizeof text, "%.3f %s %d", 3.14159, "formatted", 42);
  CHECK(strcmp(text, "3.142 formatted 42") == 0);
  return 0;
}
