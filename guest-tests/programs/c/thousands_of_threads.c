// Three thousand threads at once, which all wait, are counted in /proc, and all end: more than a host has vCPUs.
// timeout: 90
#include "check.h"
#include <dirent.h>

enum { N = 3000 };
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static int ready, released;
static long sum;

static void *body(void *argument) {
  pthread_mutex_lock(&mutex);
  if (++ready == N) pthread_cond_broadcast(&condition);
  while (!released) pthread_cond_wait(&condition, &mutex);
  sum += (long)argument;
  pthread_mutex_unlock(&mutex);
  return argument;
}

int main(void) {
  static pthread_t threads[N];
  pthread_attr_t attribute;
  CHECK_ZERO(pthread_attr_init(&attribute));
  CHECK_ZERO(pthread_attr_setstacksize(&attribute, 32 * 1024));
  for (long i = 0; i < N; i++) CHECK_ZERO(pthread_create(&threads[i], &attribute, body, (void *)i));
  pthread_mutex_lock(&mutex);
  while (ready < N) pthread_cond_wait(&condition, &mutex);
  pthread_mutex_unlock(&mutex);
  int count = 0;
  DIR *directory = opendir("/proc/self/task");
  CHECK(directory != NULL);
  for (struct dirent *entry; (entry = readdir(directory)) != NULL;) count += entry->d_name[0] != '.';
  closedir(directory);
  CHECK_EQ(count, N + 1);
  char text[4096], expected[32];
  read_file("/proc/self/status", text, sizeof text);
  snprintf(expected, sizeof expected, "Threads:\t%d\n", N + 1);
  CHECK(strstr(text, expected) != NULL);
  pthread_mutex_lock(&mutex);
  released = 1;
  pthread_cond_broadcast(&condition);
  pthread_mutex_unlock(&mutex);
  for (long i = 0; i < N; i++) CHECK_EQ(join_thread(threads[i]), i);
  CHECK_EQ(sum, (long)N * (N - 1) / 2);
  return 0;
}
