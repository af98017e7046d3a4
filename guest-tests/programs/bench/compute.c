// The time of a fixed computation in user mode, in milliseconds: integers, floating point, memory. Prints the number.
#include <stdint.h>
#include <stdio.h>
#include <time.h>

enum { WORDS = 1 << 18, ROUNDS = 60 };
static uint32_t table[WORDS];

int main(void) {
  struct timespec from, to;
  for (uint32_t i = 0; i < WORDS; i++) table[i] = i * 2654435761u;
  clock_gettime(CLOCK_MONOTONIC, &from);
  uint64_t state = 88172645463325252u;
  double sum = 0;
  for (int round = 0; round < ROUNDS; round++)
    for (uint32_t i = 0; i < WORDS; i++) {
      state ^= state << 13;
      state ^= state >> 7;
      state ^= state << 17;
      uint32_t *word = &table[state & (WORDS - 1)];
      *word += i;
      sum += 1.0 / (*word | 1);
    }
  clock_gettime(CLOCK_MONOTONIC, &to);
  double milliseconds = (to.tv_sec - from.tv_sec) * 1e3 + (to.tv_nsec - from.tv_nsec) / 1e6;
  if (sum < 0) printf("never ");
  printf("%.3f\n", milliseconds);
}
