// Files of /proc that tools of administrators read, and settings below /proc/sys that they write.
#include "check.h"
#include <sys/epoll.h>

static char text[1 << 16];

static void calls_are_counted(void) {
  unsigned long long before[4], after[4];
  int file = OK(open("/dev/zero", O_RDWR)), pair[2];
  OK(pipe(pair));
  for (int round = 0; round < 2; round++) {
    unsigned long long *counts = round == 0 ? before : after;
    read_file("/proc/self/io", text, sizeof text);
    CHECK_EQ(sscanf(text, "rchar: %llu wchar: %llu syscr: %llu syscw: %llu", &counts[0], &counts[1], &counts[2], &counts[3]), 4);
    if (round == 0) {
      CHECK_EQ(read(file, text, 10000), 10000);
      CHECK_EQ(write(pair[1], text, 300), 300);
      CHECK_EQ(read(pair[0], text, 1000), 300);
    }
  }
  CHECK(after[0] >= before[0] + 10300);
  CHECK(after[1] >= before[1] + 300);
  CHECK(after[2] >= before[2] + 2);
  CHECK(after[3] >= before[3] + 1);
  OK(close(pair[0]));
  OK(close(pair[1]));
  OK(close(file));
}

static void children_count_once_waited_for(void) {
  unsigned long long before, after;
  read_file("/proc/self/io", text, sizeof text);
  CHECK_EQ(sscanf(text, "rchar: %llu", &before), 1);
  pid_t pid;
  IN_CHILD(pid) {
    int file = OK(open("/dev/zero", O_RDONLY));
    CHECK_EQ(read(file, text, 50000), 50000);
  }
  WAIT_OK(pid);
  read_file("/proc/self/io", text, sizeof text);
  CHECK_EQ(sscanf(text, "rchar: %llu", &after), 1);
  CHECK(after >= before + 50000);
}

static void pages_are_shown(void) {
  uint64_t entries[3];
  char *memory = map_anonymous(3 * PAGE, PROT_READ | PROT_WRITE), *shared = map_shared(PAGE);
  int map = OK(open("/proc/self/pagemap", O_RDONLY));
  memory[PAGE] = 1;
  OK(madvise(memory, PAGE, MADV_DONTNEED));
  OK(madvise(memory + 2 * PAGE, PAGE, MADV_DONTNEED));
  off_t place = (uintptr_t)memory / PAGE * 8;
  CHECK_EQ(pread(map, entries, sizeof entries, place), sizeof entries);
  CHECK_EQ(entries[0] >> 63, 0);
  CHECK_EQ(entries[1] >> 63, 1);
  CHECK_EQ(entries[1] >> 61 & 1, 0);
  CHECK_EQ(entries[1] >> 56 & 1, 1);
  CHECK_EQ(entries[2] >> 63, 0);
  *shared = 1;
  CHECK_EQ(pread(map, entries, 8, (uintptr_t)shared / PAGE * 8), 8);
  CHECK_EQ(entries[0] >> 63, 1);
  CHECK_EQ(entries[0] >> 61 & 1, 1);
  CHECK_ERRNO(pread(map, entries, 8, place + 1), EINVAL);
  CHECK_ERRNO(pread(map, entries, 7, place), EINVAL);
  CHECK_EQ(pread(map, entries, 8, (1L << 47) / PAGE * 8), 0); // Past the end.
  OK(close(map));
  OK(munmap(memory, 3 * PAGE));
  OK(munmap(shared, PAGE));
}

static void write_text(const char *path, const char *content, int expected) {
  int file = OK(open(path, O_WRONLY));
  ssize_t written = write(file, content, strlen(content));
  int error = errno;
  if (expected == 0) CHECK_CASE(written == (ssize_t)strlen(content), "%s: %s: errno %d", path, content, error);
  else CHECK_CASE(written == -1 && error == expected, "%s: %s: %zd, errno %d", path, content, written, error);
  OK(close(file));
}

static void is(const char *path, const char *expected) {
  read_file(path, text, sizeof text);
  CHECK_CASE(strcmp(text, expected) == 0, "%s: %.100s", path, text);
}

static void the_old_scale_of_memory_shortage(void) {
  pid_t pid;
  IN_CHILD(pid) {
    is("/proc/self/oom_adj", "0\n");
    write_text("/proc/self/oom_adj", "16", EINVAL);
    write_text("/proc/self/oom_adj", "-18", EINVAL);
    write_text("/proc/self/oom_adj", "x", EINVAL);
    write_text("/proc/self/oom_adj", "8", 0);
    is("/proc/self/oom_score_adj", "470\n");
    is("/proc/self/oom_adj", "7\n");
    write_text("/proc/self/oom_adj", "15", 0);
    is("/proc/self/oom_score_adj", "1000\n");
    is("/proc/self/oom_adj", "15\n");
    int file = OK(open("/proc/self/oom_adj", O_WRONLY));
    if (write(file, "-17", 3) == 3) {
      is("/proc/self/oom_score_adj", "-1000\n");
      is("/proc/self/oom_adj", "-17\n");
    } else {
      CHECK_EQ(errno, EACCES); // Without CAP_SYS_RESOURCE.
    }
  }
  WAIT_OK(pid);
}

static void references_are_forgotten(void) {
  for (char command = '1'; command <= '5'; command++) write_text("/proc/self/clear_refs", (char[]){command, 0}, 0);
  write_text("/proc/self/clear_refs", "0", EINVAL);
  write_text("/proc/self/clear_refs", "9", EINVAL);
}

static void numbers_are_read_as_the_kernel_does(void) {
  if (geteuid() != 0) return;
  const char *setting = "/proc/sys/vm/swappiness";
  char before[64];
  read_file(setting, before, sizeof before);
  write_text(setting, "0x21\n", 0);
  is(setting, "33\n");
  write_text(setting, " 010 ", 0);
  is(setting, "8\n");
  write_text(setting, "42\n", 0);
  is(setting, "42\n");
  write_text(setting, "x", EINVAL);
  write_text(setting, "12x", EINVAL);
  write_text(setting, "-1", EINVAL);
  write_text(setting, "999999", EINVAL);
  is(setting, "42\n");
  write_text(setting, before, 0);
}

static void tools_find_what_they_read(void) {
  const char *files[] = {
    "/proc/buddyinfo", "/proc/consoles", "/proc/softirqs", "/proc/interrupts", "/proc/execdomains", "/proc/self/sched", "/proc/self/schedstat",
    "/proc/self/cpuset", "/proc/self/numa_maps", "/proc/thread-self/smaps_rollup", "/proc/thread-self/net/dev", "/proc/sys/kernel/panic",
    "/proc/sys/kernel/hung_task_timeout_secs", "/proc/sys/vm/dirty_ratio", "/proc/sys/vm/vfs_cache_pressure", "/proc/sys/vm/min_free_kbytes", "/proc/sys/kernel/sysctl_writes_strict",
  };
  for (size_t i = 0; i < COUNT(files); i++) CHECK_CASE(read_file(files[i], text, sizeof text) > 0, "%s", files[i]);
  unsigned long long ran, waited, turns;
  read_file("/proc/self/schedstat", text, sizeof text);
  CHECK_EQ(sscanf(text, "%llu %llu %llu", &ran, &waited, &turns), 3);
  CHECK(turns > 0);
}

// Who may open anything may open what only tells for writing, too.
static void what_only_tells_takes_nothing(void) {
  static const char *files[] = {"/proc/self/maps", "/proc/self/status", "/proc/self/limits", "/proc/self/wchan"};
  for (size_t i = 0; i < COUNT(files); i++) {
    int file = open(files[i], O_RDWR | O_TRUNC);
    CHECK_CASE(file >= 0, "%s", files[i]);
    CHECK_ERRNO(write(file, "x", 1), EINVAL);
    CHECK_ERRNO(lseek(file, 0, SEEK_END), EINVAL);
    OK(close(file));
  }
  pid_t pid;
  IN_CHILD(pid) {
    OK(setresuid(65534, 65534, 65534));
    CHECK_ERRNO(open("/proc/self/maps", O_RDWR), EACCES);
  }
  WAIT_OK(pid);
}

static void adjustments_are_in_any_notation(void) {
  static const struct { const char *text; int value; } cases[] = {{"0x10", 16}, {"+17\n", 17}, {" 022 ", 18}, {"1 9", 0}, {"0x", 0}, {"--2", 0}, {"", 0}};
  for (size_t i = 0; i < COUNT(cases); i++) {
    int file = OK(open("/proc/self/oom_score_adj", O_RDWR));
    ssize_t written = write(file, cases[i].text, strlen(cases[i].text));
    char text[16] = "";
    CHECK_CASE(written == (cases[i].value ? (ssize_t)strlen(cases[i].text) : -1) || cases[i].text[0] == 0, "%s", cases[i].text);
    OK(pread(file, text, sizeof text, 0));
    if (cases[i].value) CHECK_EQ(atoi(text), cases[i].value);
    OK(close(file));
  }
}

// What reading a byte of a file of a child tells that was opened while it lived: the number of bytes, or minus the errno.
static long read_after(const char *name, int is_waited_for) {
  char path[64], byte;
  pid_t pid;
  IN_CHILD(pid) for (;;) pause();
  snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
  int file = OK(open(path, O_RDONLY));
  OK(kill(pid, SIGKILL));
  siginfo_t info;
  OK(waitid(P_PID, pid, &info, WEXITED | (is_waited_for ? 0 : WNOWAIT)));
  long bytes = read(file, &byte, 1), result = bytes < 0 ? -errno : bytes;
  if (!is_waited_for) OK(waitpid(pid, NULL, 0));
  OK(close(file));
  return result;
}

static void files_outlive_their_process(void) {
  const struct { const char *name; long zombie, gone; } cases[] = {
    {"environ", 0, 0}, {"pagemap", 0, 0}, {"maps", 0, -ESRCH}, {"smaps_rollup", -ESRCH, -ESRCH},
    {"coredump_filter", 0, -ESRCH}, {"loginuid", 1, -ESRCH}, {"sessionid", 1, -ESRCH},
    {"attr/current", -EINVAL, -ESRCH}, {"net/dev", 1, 1}, {"net/snmp", 1, 1}, {"net/raw", 1, 1},
    {"status", 1, -ESRCH}, {"cmdline", 0, -ESRCH}, {"uid_map", 1, 1}, {"mounts", 1, 1},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    long zombie = read_after(cases[i].name, 0), gone = read_after(cases[i].name, 1);
    CHECK_CASE(zombie == cases[i].zombie, "%s of a zombie: %ld", cases[i].name, zombie);
    CHECK_CASE(gone == cases[i].gone, "%s of nobody: %ld", cases[i].name, gone);
  }
}

static void descriptors_are_counted(void) {
  struct stat before, after;
  OK(stat("/proc/self/fd", &before));
  int file = OK(open("/dev/null", O_RDONLY));
  OK(stat("/proc/self/fd", &after));
  CHECK_EQ(after.st_size, before.st_size + 1);
  OK(close(file));
}

static void statistics_of_mounts_are_not_watched(void) {
  struct epoll_event event = {.events = EPOLLPRI};
  int poll = OK(epoll_create1(0)), file = OK(open("/proc/self/mountstats", O_RDONLY));
  CHECK_ERRNO(epoll_ctl(poll, EPOLL_CTL_ADD, file, &event), EPERM);
  OK(close(file));
  OK(close(poll));
}

int main(void) {
  calls_are_counted();
  children_count_once_waited_for();
  pages_are_shown();
  the_old_scale_of_memory_shortage();
  references_are_forgotten();
  numbers_are_read_as_the_kernel_does();
  what_only_tells_takes_nothing();
  adjustments_are_in_any_notation();
  tools_find_what_they_read();
  files_outlive_their_process();
  descriptors_are_counted();
  statistics_of_mounts_are_not_watched();
  return 0;
}
