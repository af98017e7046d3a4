// Threads that all sleep, a hundred, or with an argument until there can be no more: the next is refused in an errno that Linux has
// for it, and those that there are end as they should. Prints how many there were.
// static
#include "check.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static int released;

static void *body(void *argument) {
  pthread_mutex_lock(&mutex);
  while (!released) pthread_cond_wait(&condition, &mutex);
  pthread_mutex_unlock(&mutex);
  return argument;
}

int main(int count, char **words) {
  (void)words;
  enum { FEW = 100, MOST = 100000 };
  static pthread_t threads[MOST];
  pthread_attr_t small;
  CHECK_ZERO(pthread_attr_init(&small));
  CHECK_ZERO(pthread_attr_setstacksize(&small, 32 * 1024));
  long made = 0, wanted = count > 1 ? MOST : FEW;
  int error = 0;
  while (made < wanted && (error = pthread_create(&threads[made], &small, body, (void *)made)) == 0) made++;
  CHECK_CASE(error == 0 || error == EAGAIN || error == ENOMEM, "%s after %ld", strerror(error), made);
  CHECK(made == wanted || count > 1);
  // Who is there already is served.
  CHECK_ERRNO(close(-1), EBADF);
  pthread_mutex_lock(&mutex);
  released = 1;
  pthread_cond_broadcast(&condition);
  pthread_mutex_unlock(&mutex);
  for (long i = 0; i < made; i++) {
    void *result;
    CHECK_ZERO(pthread_join(threads[i], &result));
    CHECK_EQ((long)result, i);
  }
  // There is room again.
  CHECK_ZERO(pthread_create(&threads[0], &small, body, NULL));
  CHECK_ZERO(pthread_join(threads[0], NULL));
  printf("made %ld threads\n", made);
  return 0;
}
