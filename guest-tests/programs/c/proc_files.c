// The files of /proc that the C library, shells, python and ps read: present, and of the form that they parse.
#include "check.h"
#include <dirent.h>
#include <sched.h>

static char text[1 << 16];

static void stat_has_52_fields(void) {
  read_file("/proc/self/stat", text, sizeof text);
  int pid, parent, group, session;
  char state;
  char *after = strrchr(text, ')');
  CHECK(after != NULL);
  CHECK_EQ(sscanf(text, "%d (", &pid), 1);
  CHECK_EQ(pid, getpid());
  CHECK(strncmp(strchr(text, '(') + 1, "proc_files", 10) == 0);
  CHECK_EQ(sscanf(after + 2, "%c %d %d %d", &state, &parent, &group, &session), 4);
  CHECK_EQ(state, 'R');
  CHECK_EQ(parent, getppid());
  CHECK_EQ(group, getpgrp());
  CHECK_EQ(session, getsid(0));
  int fields = 2;
  for (char *at = after + 1; *at; at++) fields += *at == ' ';
  CHECK_EQ(fields, 52);
}

static void status_names_what_ps_reads(void) {
  const char *names[] = {"Name:\t", "Umask:\t", "State:\t", "Tgid:\t", "Pid:\t", "PPid:\t", "TracerPid:\t", "Uid:\t", "Gid:\t", "FDSize:\t", "Groups:", "VmPeak:\t", "VmSize:\t", "VmRSS:\t", "VmData:\t", "VmStk:\t", "Threads:\t", "SigQ:\t", "SigPnd:\t", "ShdPnd:\t", "SigBlk:\t", "SigIgn:\t", "SigCgt:\t", "CapInh:\t", "CapPrm:\t", "CapEff:\t", "CapBnd:\t", "NoNewPrivs:\t", "Cpus_allowed:\t", "Cpus_allowed_list:\t", "voluntary_ctxt_switches:\t"};
  signal(SIGUSR1, SIG_IGN);
  handle(SIGUSR2, check_on_fault, 0);
  sigset_t set = signals(SIGTERM, 0);
  OK(sigprocmask(SIG_BLOCK, &set, NULL));
  read_file("/proc/self/status", text, sizeof text);
  for (size_t i = 0; i < COUNT(names); i++) CHECK_CASE(strstr(text, names[i]) != NULL, "%s", names[i]);
  unsigned long ignored, caught, blocked;
  CHECK_EQ(sscanf(strstr(text, "SigIgn:"), "SigIgn:\t%lx", &ignored), 1);
  CHECK_EQ(sscanf(strstr(text, "SigCgt:"), "SigCgt:\t%lx", &caught), 1);
  CHECK_EQ(sscanf(strstr(text, "SigBlk:"), "SigBlk:\t%lx", &blocked), 1);
  CHECK(ignored & 1UL << (SIGUSR1 - 1));
  CHECK(caught & 1UL << (SIGUSR2 - 1));
  CHECK(blocked & 1UL << (SIGTERM - 1));
  OK(sigprocmask(SIG_UNBLOCK, &set, NULL));
  int uid, effective, saved, fs;
  CHECK_EQ(sscanf(strstr(text, "Uid:"), "Uid:\t%d\t%d\t%d\t%d", &uid, &effective, &saved, &fs), 4);
  CHECK(uid == (int)getuid() && effective == (int)geteuid());
}

static void links_lead_where_they_should(void) {
  char link[PATH_MAX], cwd[PATH_MAX];
  ssize_t length = OK(readlink("/proc/self", link, sizeof link));
  link[length] = 0;
  CHECK_EQ(atoi(link), getpid());
  length = OK(readlink("/proc/thread-self", link, sizeof link));
  link[length] = 0;
  snprintf(text, sizeof text, "%d/task/%ld", getpid(), syscall(SYS_gettid));
  CHECK(strcmp(link, text) == 0);
  length = OK(readlink("/proc/self/cwd", link, sizeof link));
  link[length] = 0;
  CHECK(getcwd(cwd, sizeof cwd) != NULL && strcmp(link, cwd) == 0);
  CHECK_EQ(readlink("/proc/self/root", link, sizeof link), 1);
  length = OK(readlink("/proc/self/exe", link, sizeof link));
  link[length] = 0;
  CHECK(strstr(link, "/proc_files") != NULL);
  struct stat by_link, by_name;
  OK(stat("/proc/self/exe", &by_link));
  OK(stat(link, &by_name));
  CHECK_EQ(by_link.st_ino, by_name.st_ino);
  length = OK(readlink("/proc/mounts", link, sizeof link));
  link[length] = 0;
  CHECK(strcmp(link, "self/mounts") == 0);
}

static void fd_lists_descriptors(void) {
  int file = OK(open("listed", O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644)), seen = 0, count = 0;
  OK(write(file, "12345", 5));
  DIR *directory = opendir("/proc/self/fd");
  CHECK(directory != NULL);
  for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
    if (entry->d_name[0] == '.') continue;
    count++;
    seen |= atoi(entry->d_name) == file;
    CHECK(fcntl(atoi(entry->d_name), F_GETFD) >= 0);
  }
  closedir(directory);
  CHECK(seen && count >= 4);
  char path[64], link[PATH_MAX];
  snprintf(path, sizeof path, "/proc/self/fd/%d", file);
  ssize_t length = OK(readlink(path, link, sizeof link));
  link[length] = 0;
  CHECK(strcmp(strrchr(link, '/'), "/listed") == 0);
  snprintf(path, sizeof path, "/proc/self/fdinfo/%d", file);
  read_file(path, text, sizeof text);
  CHECK(strncmp(text, "pos:\t5\n", 7) == 0);
  unsigned flags;
  CHECK_EQ(sscanf(strstr(text, "flags:"), "flags:\t%o", &flags), 1);
  CHECK((flags & (O_APPEND | O_CLOEXEC | O_ACCMODE)) == (O_APPEND | O_CLOEXEC | O_RDWR));
  OK(close(file));
  CHECK_ERRNO(open(path, O_RDONLY), ENOENT);
}

static void strings_of_the_process(void) {
  ssize_t length = read_file("/proc/self/environ", text, sizeof text);
  CHECK(length == 0 || text[length - 1] == 0 || memchr(text, '=', length) != NULL);
  length = read_file("/proc/self/cmdline", text, sizeof text);
  CHECK(length > 0 && text[length - 1] == 0 && strstr(text, "proc_files"));
  read_file("/proc/self/comm", text, sizeof text);
  CHECK(strcmp(text, "proc_files\n") == 0);
  long size, resident, shared;
  read_file("/proc/self/statm", text, sizeof text);
  CHECK_EQ(sscanf(text, "%ld %ld %ld", &size, &resident, &shared), 3);
  CHECK(size >= resident && resident > 0 && shared <= resident);
  length = read_file("/proc/self/auxv", text, sizeof text);
  CHECK(length % 16 == 0 && length >= 16 * 10);
  read_file("/proc/self/limits", text, sizeof text);
  CHECK(strstr(text, "Max open files") != NULL);
  read_file("/proc/self/oom_score_adj", text, sizeof text);
  read_file("/proc/self/mountinfo", text, sizeof text);
  CHECK(strstr(text, " / ") != NULL && strstr(text, " - ") != NULL);
  read_file("/proc/self/mounts", text, sizeof text);
  CHECK(strstr(text, " / ") != NULL && strstr(text, " /proc proc ") != NULL);
  read_file("/proc/self/cgroup", text, sizeof text);
}

static void files_of_the_system(void) {
  long total, available;
  read_file("/proc/meminfo", text, sizeof text);
  CHECK(strncmp(text, "MemTotal:", 9) == 0);
  CHECK_EQ(sscanf(text, "MemTotal: %ld kB", &total), 1);
  CHECK_EQ(sscanf(strstr(text, "MemAvailable:"), "MemAvailable: %ld kB", &available), 1);
  CHECK(total > 0 && available <= total && strstr(text, "SwapTotal:") && strstr(text, "Buffers:") && strstr(text, "Cached:"));
  read_file("/proc/stat", text, sizeof text);
  CHECK(strncmp(text, "cpu  ", 5) == 0 && strstr(text, "\ncpu0 ") && strstr(text, "\nbtime ") && strstr(text, "\nprocesses "));
  read_file("/proc/cpuinfo", text, sizeof text);
  CHECK(strstr(text, "processor\t: 0\n") && strstr(text, "model name\t: ") && strstr(text, "flags\t\t: ") && strstr(text, " sse2 "));
  double up, idle;
  read_file("/proc/uptime", text, sizeof text);
  CHECK_EQ(sscanf(text, "%lf %lf", &up, &idle), 2);
  double one, five, fifteen;
  int running, tasks, last;
  read_file("/proc/loadavg", text, sizeof text);
  CHECK_EQ(sscanf(text, "%lf %lf %lf %d/%d %d", &one, &five, &fifteen, &running, &tasks, &last), 6);
  // The last number is of the reader's namespace, whichever procfs this is.
  pid_t maker, init;
  IN_CHILD(maker) {
    OK(unshare(CLONE_NEWPID));
    IN_CHILD(init) {
      read_file("/proc/loadavg", text, sizeof text);
      CHECK(strstr(text, " 1\n"));
      read_file("/proc/sys/kernel/ns_last_pid", text, sizeof text);
      CHECK(!strcmp(text, "1\n"));
    }
    WAIT_OK(init);
  }
  WAIT_OK(maker);
  read_file("/proc/filesystems", text, sizeof text);
  CHECK(strstr(text, "nodev\ttmpfs\n") && strstr(text, "nodev\tproc\n"));
  const char *numbers[] = {"kernel/pid_max", "kernel/threads-max", "vm/overcommit_memory", "fs/file-max", "kernel/random/entropy_avail", "vm/max_map_count", "kernel/ngroups_max", "kernel/cap_last_cap"};
  for (size_t i = 0; i < COUNT(numbers); i++) {
    char path[128];
    snprintf(path, sizeof path, "/proc/sys/%s", numbers[i]);
    read_file(path, text, sizeof text);
    CHECK_CASE(text[0] >= '0' && text[0] <= '9', "%s: %.20s", path, text);
  }
  read_file("/proc/sys/kernel/hostname", text, sizeof text);
  char host[65];
  OK(gethostname(host, sizeof host));
  CHECK(strncmp(text, host, strlen(host)) == 0);
  read_file("/proc/sys/kernel/random/uuid", text, sizeof text);
  CHECK_EQ(strlen(text), 37);
  read_file("/proc/sys/kernel/random/boot_id", text, sizeof text);
  CHECK_EQ(strlen(text), 37);
}

static void *idle(void *argument) {
  CHECK_EQ(read(*(int *)argument, text, 1), 0);
  return NULL;
}

static void processes_and_tasks_are_listed(void) {
  int gate[2];
  OK(pipe(gate));
  pid_t pid;
  IN_CHILD(pid) {
    OK(close(gate[1]));
    char byte;
    CHECK_EQ(read(gate[0], &byte, 1), 0);
  }
  DIR *directory = opendir("/proc");
  int self = 0, child = 0;
  for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
    self |= atoi(entry->d_name) == getpid();
    child |= atoi(entry->d_name) == pid;
  }
  closedir(directory);
  CHECK(self && child);
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  for (int i = 0; i < 500; i++) {
    read_file(path, text, sizeof text);
    if (strstr(text, ") S ")) break;
    sleep_ms(5);
  }
  CHECK(strstr(text, ") S ") != NULL);
  snprintf(path, sizeof path, "/proc/%d", pid);
  struct stat status;
  OK(stat(path, &status));
  CHECK_EQ(status.st_uid, geteuid());
  snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, gate[0]);
  char link[64] = {0};
  OK(readlink(path, link, sizeof link - 1));
  CHECK(strncmp(link, "pipe:[", 6) == 0);
  pthread_t thread = start_thread(idle, &gate[0]);
  int tasks = 0;
  directory = opendir("/proc/self/task");
  for (struct dirent *entry; (entry = readdir(directory)) != NULL;) tasks += entry->d_name[0] != '.';
  closedir(directory);
  CHECK_EQ(tasks, 2);
  snprintf(path, sizeof path, "/proc/self/task/%d/comm", getpid());
  read_file(path, text, sizeof text);
  CHECK(strcmp(text, "proc_files\n") == 0);
  OK(close(gate[1]));
  join_thread(thread);
  WAIT_OK(pid);
  CHECK_ERRNO(open("/proc/999999999/stat", O_RDONLY), ENOENT);
}

static void it_cannot_be_changed_at_will(void) {
  CHECK_ERRNO(open("/proc/new", O_WRONLY | O_CREAT, 0644), ENOENT);
  CHECK(mkdir("/proc/directory", 0755) == -1);
  CHECK(unlink("/proc/meminfo") == -1);
  CHECK(rename("/proc/meminfo", "/proc/other") == -1);
  struct stat status;
  OK(stat("/proc/meminfo", &status));
  CHECK(S_ISREG(status.st_mode) && status.st_size == 0);
  int file = OK(open("/proc/self/comm", O_WRONLY));
  CHECK_EQ(write(file, "renamed", 7), 7);
  OK(close(file));
  read_file("/proc/self/comm", text, sizeof text);
  CHECK(strcmp(text, "renamed\n") == 0);
  // Reads in small pieces give the same text as one.
  char whole[4096], pieces[4096];
  ssize_t length = read_file("/proc/filesystems", whole, sizeof whole), got = 0, step;
  file = OK(open("/proc/filesystems", O_RDONLY));
  while ((step = OK(read(file, pieces + got, 7))) > 0) got += step;
  CHECK_EQ(got, length);
  CHECK_EQ(memcmp(whole, pieces, length), 0);
  CHECK_EQ(pread(file, pieces, 5, 3), 5);
  CHECK_EQ(memcmp(pieces, whole + 3, 5), 0);
  OK(close(file));
}

static void own_memory_can_be_read(void) {
  volatile unsigned long secret = 0x5ec2e7;
  unsigned long copy = 0;
  int file = OK(open("/proc/self/mem", O_RDWR));
  CHECK_EQ(pread(file, &copy, 8, (off_t)(uintptr_t)&secret), 8);
  CHECK_EQ(copy, 0x5ec2e7);
  CHECK_EQ(pwrite(file, "\1\0\0\0\0\0\0\0", 8, (off_t)(uintptr_t)&secret), 8);
  CHECK_EQ(secret, 1);
  CHECK_ERRNO(pread(file, &copy, 8, 8), EIO);
  OK(close(file));
}

static void a_process_that_gave_up_root_sees_its_own_descriptors(void) {
  int file = OK(open("kept", O_RDWR | O_CREAT, 0666));
  OK(fchmod(file, 0666));
  char theirs[64];
  snprintf(theirs, sizeof theirs, "/proc/%d/fd", getpid());
  pid_t pid;
  IN_CHILD(pid) {
    OK(setgid(4321));
    OK(setuid(4321));
    const char *directories[] = {"/proc/self/fd", "/proc/thread-self/fd"};
    for (size_t i = 0; i < COUNT(directories); i++) {
      char path[64], link[64];
      struct stat status;
      OK(stat(directories[i], &status));
      CHECK_EQ(status.st_uid, 0);
      OK(access(directories[i], R_OK | X_OK));
      OK(close(OK(open(directories[i], O_RDONLY | O_DIRECTORY))));
      snprintf(path, sizeof path, "%s/%d", directories[i], file);
      OK(readlink(path, link, sizeof link));
      OK(close(OK(open(path, O_RDONLY))));
    }
    OK(chdir("/proc/self/fd"));
    CHECK_ERRNO(open(theirs, O_RDONLY), EACCES);
    CHECK_ERRNO(open("/proc/self/environ", O_RDONLY), EACCES);
  }
  WAIT_OK(pid);
  OK(close(file));
}

static void directories_are_not_read(void) {
  const char *directories[] = {"/proc", "/proc/self", "/proc/self/fd", "/proc/self/task", "/proc/sys/kernel", "/sys", "/"};
  for (size_t i = 0; i < COUNT(directories); i++) {
    char byte;
    int directory = OK(open(directories[i], O_RDONLY));
    CHECK_ERRNO(read(directory, &byte, 1), EISDIR);
    CHECK_ERRNO(pread(directory, &byte, 1, 0), EISDIR);
    OK(close(directory));
  }
}

int main(void) {
  enter_scratch();
  stat_has_52_fields();
  directories_are_not_read();
  a_process_that_gave_up_root_sees_its_own_descriptors();
  status_names_what_ps_reads();
  links_lead_where_they_should();
  fd_lists_descriptors();
  strings_of_the_process();
  files_of_the_system();
  processes_and_tasks_are_listed();
  it_cannot_be_changed_at_will();
  own_memory_can_be_read();
  return 0;
}
