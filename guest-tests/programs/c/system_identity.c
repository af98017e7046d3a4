// What a program learns of its system: uname, sysinfo, getrandom, affinity, getcpu, scheduling, usage.
#include "check.h"
#include <sched.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

static void names(void) {
  struct utsname name;
  OK(uname(&name));
  CHECK(strcmp(name.sysname, "Linux") == 0);
  CHECK(strcmp(name.machine, "x86_64") == 0);
  CHECK_CASE(atoi(name.release) >= 6, "release %s", name.release);
  CHECK(name.nodename[0] != 0 && name.version[0] != 0);
  char text[512], host[65];
  OK(gethostname(host, sizeof host));
  CHECK(strcmp(host, name.nodename) == 0);
  read_file("/proc/version", text, sizeof text);
  CHECK(strncmp(text, "Linux version ", 14) == 0 && strncmp(text + 14, name.release, strlen(name.release)) == 0);
  read_file("/proc/sys/kernel/osrelease", text, sizeof text);
  CHECK(strncmp(text, name.release, strlen(name.release)) == 0);
  CHECK_ERRNO(syscall(SYS_uname, 8), EFAULT);
}

static void amounts(void) {
  struct sysinfo info;
  OK(sysinfo(&info));
  CHECK(info.uptime > 0 || info.uptime == 0);
  CHECK(info.mem_unit > 0 && info.totalram >= info.freeram && info.totalram > 0);
  CHECK(info.procs > 0);
  CHECK(sysconf(_SC_PHYS_PAGES) > 0);
  CHECK_EQ(sysconf(_SC_PAGESIZE), PAGE);
  CHECK(sysconf(_SC_NPROCESSORS_ONLN) >= 1);
  CHECK(sysconf(_SC_OPEN_MAX) >= 256);
  CHECK(get_nprocs_conf() >= 1);
}

static void random_bytes(void) {
  unsigned char first[64], second[64];
  CHECK_EQ(getrandom(first, sizeof first, 0), 64);
  CHECK_EQ(getrandom(second, sizeof second, GRND_NONBLOCK), 64);
  CHECK(memcmp(first, second, 64) != 0);
  char *large = malloc(100000);
  CHECK_EQ(getrandom(large, 100000, GRND_RANDOM), 100000);
  long ones = 0;
  for (int i = 0; i < 100000; i++) ones += __builtin_popcount((unsigned char)large[i]);
  CHECK_CASE(ones > 396000 && ones < 404000, "%ld of 800000 bits", ones);
  free(large);
  CHECK_ERRNO(getrandom(first, 1, 0x100), EINVAL);
  CHECK_ERRNO(getrandom(wild, 1, 0), EFAULT);
  CHECK_EQ(getrandom(first, 0, 0), 0);
}

static void processors(void) {
  cpu_set_t set, one;
  CPU_ZERO(&set);
  OK(sched_getaffinity(0, sizeof set, &set));
  CHECK(CPU_COUNT(&set) >= 1);
  CHECK(CPU_COUNT(&set) <= sysconf(_SC_NPROCESSORS_CONF));
  int chosen = 0;
  while (!CPU_ISSET(chosen, &set)) chosen++;
  CPU_ZERO(&one);
  CPU_SET(chosen, &one);
  OK(sched_setaffinity(0, sizeof one, &one));
  OK(sched_getaffinity(0, sizeof set, &set));
  CHECK(CPU_EQUAL(&set, &one));
  unsigned cpu, node;
  OK(syscall(SYS_getcpu, &cpu, &node, NULL));
  CHECK_EQ(cpu, chosen);
  CHECK_EQ(sched_getcpu(), chosen);
  pid_t pid;
  IN_CHILD(pid) {
    OK(sched_getaffinity(0, sizeof set, &set));
    CHECK(CPU_EQUAL(&set, &one));
  }
  WAIT_OK(pid);
  CPU_ZERO(&set);
  CHECK_ERRNO(sched_setaffinity(0, sizeof set, &set), EINVAL);
  CHECK_ERRNO(sched_getaffinity(0x3ffffff, sizeof set, &set), ESRCH);
  CHECK_ERRNO(syscall(SYS_sched_getaffinity, 0, 1, &set), EINVAL);
  CHECK_ERRNO(syscall(SYS_sched_getaffinity, 0, 128, 8), EFAULT);
}

static void scheduling(void) {
  OK(sched_yield());
  CHECK_EQ(sched_getscheduler(0), SCHED_OTHER);
  struct sched_param parameters = {77};
  OK(sched_getparam(0, &parameters));
  CHECK_EQ(parameters.sched_priority, 0);
  CHECK_EQ(sched_get_priority_max(SCHED_FIFO), 99);
  CHECK_EQ(sched_get_priority_min(SCHED_FIFO), 1);
  CHECK_EQ(sched_get_priority_max(SCHED_OTHER), 0);
  CHECK_ERRNO(sched_get_priority_max(99), EINVAL);
  parameters.sched_priority = 5;
  CHECK_ERRNO(sched_setscheduler(0, SCHED_OTHER, &parameters), EINVAL);
  parameters.sched_priority = 0;
  OK(sched_setscheduler(0, SCHED_BATCH, &parameters));
  CHECK_EQ(sched_getscheduler(0), SCHED_BATCH);
  struct timespec interval;
  OK(sched_rr_get_interval(0, &interval));
}

static void usage(void) {
  struct rusage before, after;
  OK(getrusage(RUSAGE_SELF, &before));
  char *memory = map_anonymous(200 * PAGE, PROT_READ | PROT_WRITE);
  memset(memory, 1, 200 * PAGE);
  struct timespec used;
  do OK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used));
  while (used.tv_sec == 0 && used.tv_nsec < 40000000);
  OK(getrusage(RUSAGE_SELF, &after));
  CHECK(after.ru_minflt > before.ru_minflt);
  CHECK((after.ru_utime.tv_sec + after.ru_stime.tv_sec) * 1000000 + after.ru_utime.tv_usec + after.ru_stime.tv_usec >= 20000);
  OK(getrusage(RUSAGE_THREAD, &after));
  OK(getrusage(RUSAGE_CHILDREN, &after));
  CHECK_ERRNO(getrusage(99, &after), EINVAL);
  CHECK_ERRNO(syscall(SYS_getrusage, RUSAGE_SELF, 8), EFAULT);
}

static void unknown_calls(void) {
  long numbers[] = {350, 400, 423, 600, 1000, 0x40000000, -1, 0x7fffffff};
  for (size_t i = 0; i < COUNT(numbers); i++) {
    errno = 0;
    CHECK_CASE(syscall(numbers[i], 0, 0, 0, 0, 0, 0) == -1 && errno == ENOSYS, "call %ld", numbers[i]);
  }
}

static void the_log(void) {
  enum { READ = 2, READ_ALL = 3, READ_CLEAR = 4, CONSOLE_LEVEL = 8, SIZE_BUFFER = 10 };
  char room[64];
  if (syscall(SYS_syslog, READ_ALL, room, 0) < 0) {
    CHECK_EQ(errno, EPERM);
    return; // The log is not for this user.
  }
  CHECK(syscall(SYS_syslog, SIZE_BUFFER, NULL, 0) > 0);
  for (int action = READ; action <= READ_CLEAR; action++) {
    CHECK_ERRNO(syscall(SYS_syslog, action, NULL, 10), EINVAL);
    CHECK_ERRNO(syscall(SYS_syslog, action, room, -1), EINVAL);
    CHECK_ERRNO(syscall(SYS_syslog, action, (void *)-1L, 10), EFAULT);
    CHECK_EQ(syscall(SYS_syslog, action, room, 0), 0);
  }
  CHECK_ERRNO(syscall(SYS_syslog, CONSOLE_LEVEL, NULL, 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_syslog, CONSOLE_LEVEL, NULL, 9), EINVAL);
  CHECK_ERRNO(syscall(SYS_syslog, CONSOLE_LEVEL, NULL, -1), EINVAL);
  CHECK_ERRNO(syscall(SYS_syslog, 11, NULL, 0), EINVAL);
  CHECK_ERRNO(syscall(SYS_syslog, -1, NULL, 0), EINVAL);
}

static void swap_areas(void) {
  CHECK_ERRNO(syscall(SYS_swapon, "/tmp", 0), EISDIR);
  CHECK_ERRNO(syscall(SYS_swapoff, "/tmp"), EISDIR);
  CHECK_ERRNO(syscall(SYS_swapon, "/tmp/none", 0), ENOENT);
  CHECK_ERRNO(syscall(SYS_swapon, "/tmp/none", 0xff0000), EINVAL);
  CHECK_ERRNO(syscall(SYS_swapoff, "/dev/null"), EINVAL);
}

int main(void) {
  swap_areas();
  names();
  the_log();
  amounts();
  random_bytes();
  processors();
  scheduling();
  usage();
  unknown_calls();
  return 0;
}
