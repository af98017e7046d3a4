// The bound on open file descriptions, fs.file-max: for the unprivileged, and what needs no new description goes on.
// inside only: the setting is the whole machine's
#include "check.h"

static void read_numbers(const char *path, unsigned long long numbers[], int count) {
  FILE *file = fopen(path, "re");
  CHECK(file != NULL);
  for (int i = 0; i < count; i++) CHECK_EQ(fscanf(file, "%llu", &numbers[i]), 1);
  CHECK_EQ(fclose(file), 0);
}

static void set_most(unsigned long long most) {
  char text[32];
  snprintf(text, sizeof text, "%llu\n", most);
  int file = OK(open("/proc/sys/fs/file-max", O_WRONLY));
  CHECK_EQ(OK(write(file, text, strlen(text))), strlen(text));
  OK(close(file));
}

int main(void) {
  unsigned long long most, numbers[3];
  read_numbers("/proc/sys/fs/file-max", &most, 1);
  CHECK_EQ(most, LLONG_MAX);
  read_numbers("/proc/sys/fs/file-nr", numbers, 3);
  CHECK_EQ(numbers[1], 0);
  CHECK_EQ(numbers[2], most);
  set_most(numbers[0] + 10);

  pid_t pid;
  IN_CHILD(pid) {
    OK(setuid(65432));
    int last = -1, got, made = 0;
    while ((got = open("/", O_RDONLY)) >= 0) last = got, made++;
    CHECK_EQ(errno, ENFILE);
    CHECK_CASE(made > 8 && made <= 11, "%d made", made);
    int ends[2];
    CHECK_ERRNO(pipe(ends), ENFILE);
    OK(dup(last));
    pid_t child;
    IN_CHILD(child) {}
    WAIT_OK(child);
    CHECK_ERRNO(open("/proc/sys/fs/file-max", O_WRONLY), EACCES);
  }
  WAIT_OK(pid);

  set_most(0);
  OK(close(OK(open("/", O_RDONLY)))); // The privileged go on.
  set_most(most);
  read_numbers("/proc/sys/fs/file-max", &numbers[0], 1);
  CHECK_EQ(numbers[0], most);
  return 0;
}
