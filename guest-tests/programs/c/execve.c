// execve: what a new program gets, what it keeps, what it loses, and every refusal.
#include "check.h"
#include <elf.h>
#include <sys/auxv.h>

static const char *self_path;

// Runs in a child: executes this program again in a role.
static void become(const char *role, char *const environment[]) {
  char *arguments[] = {"execve", (char *)role, NULL};
  execve("/proc/self/exe", arguments, environment);
  FAIL("execve as %s: errno %d", role, errno);
}

static char *const no_environment[] = {NULL};

// --- the roles of the new program

static void role_auxv(void) {
  CHECK_EQ(getauxval(AT_PAGESZ), PAGE);
  CHECK_EQ(getauxval(AT_UID), getuid());
  CHECK_EQ(getauxval(AT_EUID), geteuid());
  CHECK_EQ(getauxval(AT_GID), getgid());
  CHECK_EQ(getauxval(AT_SECURE), 0);
  CHECK_EQ(getauxval(AT_CLKTCK), 100);
  CHECK_EQ(getauxval(AT_PHENT), sizeof(Elf64_Phdr));
  CHECK(getauxval(AT_PHNUM) > 3 && getauxval(AT_PHDR) != 0 && getauxval(AT_ENTRY) != 0);
  CHECK(getauxval(AT_SYSINFO_EHDR) != 0);
  CHECK_EQ(memcmp((void *)getauxval(AT_SYSINFO_EHDR), ELFMAG, SELFMAG), 0);
  CHECK(strcmp((char *)getauxval(AT_PLATFORM), "x86_64") == 0);
  CHECK(strcmp((char *)getauxval(AT_EXECFN), "/proc/self/exe") == 0);
  unsigned long *random = (unsigned long *)getauxval(AT_RANDOM);
  CHECK(random != NULL && (random[0] != 0 || random[1] != 0));
  const Elf64_Phdr *header = (void *)getauxval(AT_PHDR);
  int has_interpreter = 0;
  for (unsigned long i = 0; i < getauxval(AT_PHNUM); i++) has_interpreter |= header[i].p_type == PT_INTERP;
  // A program that is linked statically has neither.
  CHECK_EQ(getauxval(AT_BASE) != 0, has_interpreter);
  int file = OK(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  Elf64_Ehdr own;
  CHECK_EQ(pread(file, &own, sizeof own, 0), sizeof own);
  CHECK_EQ(getauxval(AT_PHNUM), own.e_phnum);
  Elf64_Phdr in_file[own.e_phnum];
  CHECK_EQ(pread(file, in_file, sizeof in_file, own.e_phoff), sizeof in_file);
  CHECK_EQ(memcmp(header, in_file, sizeof in_file), 0);
  OK(close(file));
}

static void role_signals(void) {
  struct sigaction action;
  OK(sigaction(SIGUSR1, NULL, &action));
  CHECK(action.sa_handler == SIG_DFL); // Was caught.
  OK(sigaction(SIGUSR2, NULL, &action));
  CHECK(action.sa_handler == SIG_IGN); // Was ignored.
  sigset_t set;
  OK(sigprocmask(SIG_SETMASK, NULL, &set));
  CHECK(sigismember(&set, SIGTERM) && !sigismember(&set, SIGHUP)); // The mask is kept,
  OK(sigpending(&set));
  CHECK(sigismember(&set, SIGTERM)); // and so is what is pending.
  stack_t stack;
  OK(sigaltstack(NULL, &stack));
  CHECK(stack.ss_flags & SS_DISABLE);
}

static void role_descriptors(void) {
  CHECK_EQ(fcntl(50, F_GETFD), 0);
  CHECK_ERRNO(fcntl(51, F_GETFD), EBADF);
  CHECK_ERRNO(fcntl(52, F_GETFD), EBADF);
}

static void role_comm(void) {
  char text[256];
  read_file("/proc/self/comm", text, sizeof text);
  CHECK_CASE(strcmp(text, "exe\n") == 0, "comm %.20s", text); // The last component of the path that was asked for.
  ssize_t length = OK(readlink("/proc/self/exe", text, sizeof text - 1));
  text[length] = 0;
  CHECK_CASE(strcmp(text, getenv("EXPECTED_PATH")) == 0, "exe %.200s", text);
  length = read_file("/proc/self/cmdline", text, sizeof text);
  CHECK_EQ(length, sizeof "execve" + sizeof "comm");
  CHECK_EQ(memcmp(text, "execve\0comm", length), 0);
}

// --- the cases

static void arguments_and_environment_arrive(void) {
  int ends[2];
  OK(pipe(ends));
  pid_t pid;
  IN_CHILD(pid) {
    OK(dup2(ends[1], 1));
    execle("/bin/sh", "sh", "-c", "echo \"$0|$1|$2|$A|$B\"", "zero", "", "two words", (char *)NULL, (char *[]){"A=1", "B=x=y", NULL});
    _exit(127);
  }
  OK(close(ends[1]));
  char text[64] = {0};
  CHECK(read(ends[0], text, sizeof text) > 0);
  CHECK_CASE(strcmp(text, "zero||two words|1|x=y\n") == 0, "%s", text);
  WAIT_OK(pid);
  OK(close(ends[0]));
}

static void ignore(int number) { (void)number; }

static void in_role(const char *role) {
  pid_t pid;
  IN_CHILD(pid) {
    if (strcmp(role, "signals") == 0) {
      sigset_t set = signals(SIGTERM, 0);
      OK(sigprocmask(SIG_BLOCK, &set, NULL));
      signal(SIGUSR1, ignore);
      signal(SIGUSR2, SIG_IGN);
      raise(SIGTERM);
      stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536};
      OK(sigaltstack(&stack, NULL));
    }
    if (strcmp(role, "descriptors") == 0) {
      OK(dup2(1, 50));
      OK(dup3(1, 51, O_CLOEXEC));
      OK(dup2(1, 52));
      OK(fcntl(52, F_SETFD, FD_CLOEXEC));
    }
    char expected[PATH_MAX + 20];
    snprintf(expected, sizeof expected, "EXPECTED_PATH=%s", self_path);
    become(role, (char *[]){expected, NULL});
  }
  WAIT_OK(pid);
}

static void *execute_from_thread(void *argument) {
  (void)argument;
  become("identity", (char *[]){getenv("EXPECTED_PID"), NULL});
  return NULL;
}

static void *wait_forever(void *argument) {
  (void)argument;
  for (;;) pause();
  return NULL;
}

static void a_thread_that_executes_becomes_the_process(void) {
  pid_t pid;
  IN_CHILD(pid) {
    static char expected[64];
    snprintf(expected, sizeof expected, "EXPECTED_PID=PID=%d", getpid());
    putenv(expected);
    for (int i = 0; i < 5; i++) start_thread(wait_forever, NULL);
    start_thread(execute_from_thread, NULL);
    wait_forever(NULL);
  }
  WAIT_OK(pid);
}

static void role_identity(void) {
  char text[4096];
  CHECK_EQ(atoi(getenv("PID")), getpid());
  CHECK_EQ(syscall(SYS_gettid), getpid());
  read_file("/proc/self/status", text, sizeof text);
  CHECK(strstr(text, "Threads:\t1\n") != NULL);
}

static void files_refuse_to_be_executed(void) {
  char *arguments[] = {"x", NULL};
  write_file("plain", "#!/bin/sh\nexit 0\n");
  write_file("garbage", "\x01\x02 neither ELF nor script");
  write_file("empty", "");
  write_file("torn", "\x7f" "ELF\x02\x01\x01");
  write_file("no_interpreter", "#!/no/such/interpreter\n");
  write_file("blank_interpreter", "#!   \n");
  write_file("loop", "#!./loop\n");
  write_file("no_line", "#! ");
  OK(mkdir("directory", 0755));
  OK(symlink("cycle_b", "cycle_a"));
  OK(symlink("cycle_a", "cycle_b"));
  char long_name[300];
  memset(long_name, 'n', sizeof long_name);
  long_name[299] = 0;
  const char *executables[] = {"garbage", "empty", "torn", "no_interpreter", "blank_interpreter", "loop", "no_line"};
  for (size_t i = 0; i < COUNT(executables); i++) OK(chmod(executables[i], 0755));
  struct { const char *path; int expected; } cases[] = {
      {"absent", ENOENT},        {"", ENOENT},          {"plain", EACCES},   {"directory", EACCES},
      {"plain/below", ENOTDIR},  {"garbage", ENOEXEC},  {"empty", ENOEXEC},  {"no_interpreter", ENOENT},
      {"cycle_a", ELOOP},        {"loop", ELOOP},       {long_name, ENAMETOOLONG}, {"blank_interpreter", ENOEXEC},
      {"torn", ENOEXEC},         {"no_line", EACCES},
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    errno = 0;
    int got = execve(cases[i].path, arguments, no_environment);
    CHECK_CASE(got == -1 && errno == cases[i].expected, "%s: expected %d", cases[i].path, cases[i].expected);
  }
  CHECK_ERRNO(execve(wild, arguments, no_environment), EFAULT);
  CHECK_ERRNO(execve("/bin/true", wild, no_environment), EFAULT);
  CHECK_ERRNO(execve("/bin/true", (char *[]){wild, NULL}, no_environment), EFAULT);
  CHECK_ERRNO(execve("/bin/true", arguments, wild), EFAULT);
}

static void an_executable_open_for_writing_is_busy(void) {
  OK(system("cp /bin/true busy"));
  int file = OK(open("busy", O_WRONLY));
  CHECK_ERRNO(execve("./busy", (char *[]){"busy", NULL}, no_environment), ETXTBSY);
  OK(close(file));
  pid_t pid;
  IN_CHILD(pid) { execve("./busy", (char *[]){"busy", NULL}, no_environment); FAIL("errno %d", errno); }
  WAIT_OK(pid);
}

static void scripts_get_their_interpreter_and_argument(void) {
  write_file("script", "#! /bin/sh -e\necho \"$0 $1 $-\"\nfalse\nexit 0\n");
  OK(chmod("script", 0755));
  write_file("nested", "#!./script\n");
  OK(chmod("nested", 0755));
  int ends[2];
  OK(pipe(ends));
  struct { const char *path, *expected; } cases[] = {{"./script", "./script arg e\n"}, {"./nested", "./script ./nested e\n"}};
  for (size_t i = 0; i < COUNT(cases); i++) {
    pid_t pid;
    IN_CHILD(pid) {
      OK(dup2(ends[1], 1));
      execl(cases[i].path, "ignored", "arg", (char *)NULL);
      FAIL("errno %d", errno);
    }
    WAIT_EXIT(pid, 1);
    char text[128] = {0};
    OK(read(ends[0], text, sizeof text));
    CHECK_CASE(strcmp(text, cases[i].expected) == 0, "%s", text);
  }
  char name[16], body[32];
  for (int depth = 1; depth < 8; depth++) {
    snprintf(name, sizeof name, "depth%d", depth);
    snprintf(body, sizeof body, depth == 1 ? "#!/bin/true\n" : "#!./depth%d\n", depth - 1);
    write_file(name, body);
    OK(chmod(name, 0755));
    pid_t pid;
    IN_CHILD(pid) {
      execl(name, name, (char *)NULL);
      _exit(errno == ELOOP ? 100 : 101);
    }
    WAIT_EXIT(pid, depth <= 5 ? 0 : 100); // Four interpreters may themselves be scripts.
  }
}

static void oversized_arguments_are_refused(void) {
  // One string may have 32 pages; all together a quarter of the stack's limit.
  char *large = malloc(33 * PAGE);
  memset(large, 'a', 33 * PAGE);
  large[32 * PAGE] = 0;
  CHECK_ERRNO(execve("/bin/true", (char *[]){large, NULL}, no_environment), E2BIG);
  large[32 * PAGE - 1] = 0;
  pid_t pid;
  IN_CHILD(pid) { execve("/bin/true", (char *[]){"true", large, NULL}, no_environment); FAIL("errno %d", errno); }
  WAIT_OK(pid);
  char *many[101];
  for (int i = 0; i < 100; i++) many[i] = large;
  many[100] = NULL;
  CHECK_ERRNO(execve("/bin/true", many, no_environment), E2BIG);
  free(large);
}

static void a_descriptor_can_be_executed(void) {
  pid_t pid;
  IN_CHILD(pid) {
    int file = OK(open("/bin/sh", O_PATH | O_CLOEXEC));
    syscall(SYS_execveat, file, "", (char *[]){"sh", "-c", "exit 14", NULL}, no_environment, AT_EMPTY_PATH);
    FAIL("errno %d", errno);
  }
  WAIT_EXIT(pid, 14);
  IN_CHILD(pid) {
    int directory = OK(open("/bin", O_PATH | O_DIRECTORY));
    syscall(SYS_execveat, directory, "sh", (char *[]){"sh", "-c", "exit 15", NULL}, no_environment, 0);
    FAIL("errno %d", errno);
  }
  WAIT_EXIT(pid, 15);
  OK(symlink("/bin/true", "link"));
  CHECK_ERRNO(syscall(SYS_execveat, AT_FDCWD, "link", (char *[]){"x", NULL}, no_environment, AT_SYMLINK_NOFOLLOW), ELOOP);
  CHECK_ERRNO(syscall(SYS_execveat, 999, "link", (char *[]){"x", NULL}, no_environment, 0), EBADF);
  CHECK_ERRNO(syscall(SYS_execveat, AT_FDCWD, "", (char *[]){"x", NULL}, no_environment, 0), ENOENT);
  CHECK_ERRNO(syscall(SYS_execveat, AT_FDCWD, "", (char *[]){"x", NULL}, no_environment, 0x10), ENOENT);
  CHECK_ERRNO(syscall(SYS_execveat, AT_FDCWD, "link", (char *[]){"x", NULL}, no_environment, 0x10), EINVAL);
}

static void an_empty_argument_list_gets_an_empty_name(void) {
  pid_t pid;
  IN_CHILD(pid) {
    execve("/proc/self/exe", (char *[]){NULL}, (char *[]){"EMPTY=1", NULL});
    FAIL("errno %d", errno);
  }
  WAIT_EXIT(pid, 88);
}

int main(int count, char **arguments) {
  if (getenv("EMPTY")) return count == 1 && arguments[0][0] == 0 && arguments[1] == NULL ? 88 : 1;
  if (count == 2) {
    struct { const char *role; void (*body)(void); } roles[] = {
        {"auxv", role_auxv}, {"signals", role_signals}, {"descriptors", role_descriptors}, {"comm", role_comm}, {"identity", role_identity},
    };
    for (size_t i = 0; i < COUNT(roles); i++)
      if (strcmp(arguments[1], roles[i].role) == 0) {
        roles[i].body();
        return 0;
      }
    return 2;
  }
  static char path[PATH_MAX];
  OK(readlink("/proc/self/exe", path, sizeof path - 1));
  self_path = path;
  enter_scratch();
  arguments_and_environment_arrive();
  in_role("auxv");
  in_role("signals");
  in_role("descriptors");
  in_role("comm");
  a_thread_that_executes_becomes_the_process();
  files_refuse_to_be_executed();
  an_executable_open_for_writing_is_busy();
  scripts_get_their_interpreter_and_argument();
  oversized_arguments_are_refused();
  a_descriptor_can_be_executed();
  an_empty_argument_list_gets_an_empty_name();
  return 0;
}
