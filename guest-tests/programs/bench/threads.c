// Threads that are made and joined, one after the other: prints how many in a second.
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#define THREADS 2000

static void *end_at_once(void *unused) { return unused; }

int main(void) {
  struct timespec start, end;
  clock_gettime(CLOCK_MONOTONIC, &start);
  for (int i = 0; i < THREADS; i++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, end_at_once, NULL) != 0 || pthread_join(thread, NULL) != 0) return 1;
  }
  clock_gettime(CLOCK_MONOTONIC, &end);
  double seconds = end.tv_sec - start.tv_sec + (end.tv_nsec - start.tv_nsec) / 1e9;
  printf("%.0f\n", THREADS / seconds);
}
