// The files of control groups.
#ifndef CONTROL_GROUPS_H
#define CONTROL_GROUPS_H

#include "check.h"

static char check_content[65536];

// What a file holds, until the next call.
UNUSED static char *content(const char *path) {
  read_file(path, check_content, sizeof check_content);
  return check_content;
}

// Writes to a control file; the errno, or 0.
UNUSED static int put(const char *path, const char *value) {
  int file = OK(open(path, O_WRONLY | O_CLOEXEC));
  ssize_t written = write(file, value, strlen(value));
  int error = written < 0 ? errno : 0;
  OK(close(file));
  return error;
}

UNUSED static int put_number(const char *path, long number) {
  char value[32];
  snprintf(value, sizeof value, "%ld", number);
  return put(path, value);
}

// Where the process of a file /proc/PID/cgroup is, as the caller's namespace has it.
UNUSED static const char *unified_group(const char *path) {
  for (char *line = strtok(content(path), "\n"); line; line = strtok(NULL, "\n"))
    if (strncmp(line, "0::", 3) == 0) return line + 3;
  FAIL("%s: no line of the unified hierarchy", path);
}

#endif
