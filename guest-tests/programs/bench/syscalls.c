// The time of one system call that does next to nothing, in nanoseconds. Prints the number.
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static double now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1e9 + now.tv_nsec;
}

int main(int count, char **arguments) {
  long calls = count > 1 ? atol(arguments[1]) : 5000;
  for (int i = 0; i < 100; i++) syscall(SYS_getppid);
  double started = now_ns();
  for (long i = 0; i < calls; i++) syscall(SYS_getppid);
  printf("%.1f\n", (now_ns() - started) / calls);
}
