// The time of a first touch of anonymous memory, in nanoseconds per 4K page: `touch large` touches one region of
// 256 MiB, `touch small` many regions of 64 KiB, each mapped for itself. Prints the number.
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { PAGE = 4096, LARGE = 256 << 20, SMALL = 64 << 10, SMALL_REGIONS = 500 };

static double now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1e9 + now.tv_nsec;
}

static char *map(size_t size, void *hint) {
  char *memory = mmap(hint, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) perror("mmap");
  return memory;
}

static void touch(volatile char *memory, size_t size) {
  for (size_t at = 0; at < size; at += PAGE) memory[at] = 1;
}

int main(int count, char **arguments) {
  if (count > 1 && strcmp(arguments[1], "small") == 0) {
    // Regions apart from each other, so that they do not grow together into one mapping.
    static char *regions[SMALL_REGIONS];
    for (int i = 0; i < SMALL_REGIONS; i++) regions[i] = map(SMALL, (char *)0x100000000000 + i * 16L * SMALL);
    double started = now_ns();
    for (int i = 0; i < SMALL_REGIONS; i++) touch(regions[i], SMALL);
    printf("%.1f\n", (now_ns() - started) / (SMALL_REGIONS * (SMALL / PAGE)));
    return 0;
  }
  char *memory = map(LARGE, NULL);
  double started = now_ns();
  touch(memory, LARGE);
  printf("%.1f\n", (now_ns() - started) / (LARGE / PAGE));
}
