// Many threads that sleep. Says "begin", makes them at the first line of input, says "asleep", and at the next line
// has each run once and makes one more. Prints how long all took, in milliseconds, and that one, in microseconds.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define STACK_BYTES (16 << 10)

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t news = PTHREAD_COND_INITIALIZER, quiet = PTHREAD_COND_INITIALIZER;
static long count, asleep, awoken;
static int call;

static double now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}

static void *sleep_until_called(void *unused) {
  pthread_mutex_lock(&mutex);
  if (++asleep == count) pthread_cond_signal(&quiet);
  while (call == 0) pthread_cond_wait(&news, &mutex);
  if (++awoken == count) pthread_cond_signal(&quiet);
  while (call == 1) pthread_cond_wait(&news, &mutex);
  pthread_mutex_unlock(&mutex);
  return unused;
}

static void *end_at_once(void *unused) { return unused; }

static void say(const char *word) {
  char line[16];
  printf("%s\n", word);
  fflush(stdout);
  if (fgets(line, sizeof line, stdin) == NULL) exit(1);
}

int main(int argument_count, char **arguments) {
  count = argument_count > 1 ? atol(arguments[1]) : 10000;
  say("begin");
  pthread_attr_t attribute;
  pthread_attr_init(&attribute);
  pthread_attr_setstacksize(&attribute, STACK_BYTES);
  pthread_t thread;
  for (long i = 0; i < count; i++) {
    int error = pthread_create(&thread, &attribute, sleep_until_called, NULL);
    if (error != 0) {
      fprintf(stderr, "thread %ld: %s\n", i, strerror(error));
      return 1;
    }
  }
  pthread_mutex_lock(&mutex);
  while (asleep < count) pthread_cond_wait(&quiet, &mutex);
  pthread_mutex_unlock(&mutex);
  say("asleep");
  double started = now_us();
  if (pthread_create(&thread, &attribute, end_at_once, NULL) != 0 || pthread_join(thread, NULL) != 0) return 1;
  double one_more_us = now_us() - started;
  started = now_us();
  pthread_mutex_lock(&mutex);
  call = 1;
  pthread_cond_broadcast(&news);
  while (awoken < count) pthread_cond_wait(&quiet, &mutex);
  double round_ms = (now_us() - started) / 1e3;
  pthread_mutex_unlock(&mutex);
  printf("%.1f %.0f\n", round_ms, one_more_us);
  fflush(stdout);
  _exit(0);
}
