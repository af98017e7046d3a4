// timeout: 60
// ETXTBSY: who may write a file is not executed, what is executed is not written (execve(2), open(2), truncate(2)).
#include "check.h"
#include <stdbool.h>
#include <sys/sendfile.h>

extern char **environ;

// A copy of a small program that stays until its standard input ends.
static const char *const program_source = "/bin/cat";

static void copy_program(int to) {
  int from = OK(open(program_source, O_RDONLY));
  while (OK(sendfile(to, from, NULL, 1 << 20)) > 0) {}
  OK(close(from));
}

static void make_program(const char *name) {
  int file = OK(open(name, O_WRONLY | O_CREAT | O_TRUNC, 0755));
  copy_program(file);
  OK(close(file));
}

static void make_script(const char *name, const char *text) {
  int file = OK(open(name, O_WRONLY | O_CREAT | O_TRUNC, 0755));
  CHECK_EQ(write(file, text, strlen(text)), strlen(text));
  OK(close(file));
}

// A process that executes something: it ends when `input` is closed.
struct running {
  pid_t pid;
  int input, output;
};

// Starts `path`, or what `file` is open at if there is no path, and waits until it runs.
static struct running start(const char *path, int file) {
  int input[2], output[2];
  OK(pipe2(input, O_CLOEXEC));
  OK(pipe2(output, O_CLOEXEC));
  struct running running = {.input = input[1], .output = output[0]};
  IN_CHILD(running.pid) {
    OK(dup2(input[0], 0));
    OK(dup2(output[1], 1));
    char *arguments[] = {"cat", NULL};
    if (path) execve(path, arguments, environ);
    else fexecve(file, arguments, environ);
    FAIL("errno %d", errno);
  }
  OK(close(input[0]));
  OK(close(output[1]));
  char byte = 'x';
  CHECK_EQ(write(running.input, &byte, 1), 1);
  CHECK_EQ(read(running.output, &byte, 1), 1);
  return running;
}

static void end(struct running running) {
  OK(close(running.input));
  WAIT_OK(running.pid);
  OK(close(running.output));
}

// The execve fails with ETXTBSY, in a child.
#define CHECK_BUSY(call) \
  do { \
    pid_t busy_pid; \
    IN_CHILD(busy_pid) CHECK_ERRNO(call, ETXTBSY); \
    WAIT_OK(busy_pid); \
  } while (0)

static char *const arguments[] = {"busy", NULL};

static void what_is_executed_is_not_written(void) {
  make_program("run");
  OK(symlink("run", "link"));
  struct running running = start("./run", -1);
  OK(link("run", "other"));
  const char *names[] = {"run", "link", "other"};
  const int flags[] = {O_WRONLY, O_RDWR, O_WRONLY | O_TRUNC, O_RDONLY | O_TRUNC, O_WRONLY | O_CREAT, O_RDWR | O_APPEND};
  struct stat before, after;
  OK(stat("run", &before));
  for (size_t name = 0; name < COUNT(names); name++) {
    for (size_t flag = 0; flag < COUNT(flags); flag++) CHECK_ERRNO(open(names[name], flags[flag], 0600), ETXTBSY);
    CHECK_ERRNO(creat(names[name], 0700), ETXTBSY);
    CHECK_ERRNO(truncate(names[name], 0), ETXTBSY);
  }
  OK(stat("run", &after));
  CHECK_EQ(after.st_size, before.st_size);
  CHECK_EQ(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
  char name[64];
  int handle = OK(open("run", O_PATH));
  snprintf(name, sizeof name, "/proc/self/fd/%d", handle);
  CHECK_ERRNO(open(name, O_WRONLY), ETXTBSY);
  snprintf(name, sizeof name, "/proc/%d/exe", running.pid);
  CHECK_ERRNO(open(name, O_WRONLY), ETXTBSY);
  OK(close(handle));
  // Not asked for writing, and what is not its contents.
  OK(close(OK(open("run", O_RDONLY))));
  OK(chmod("run", 0700));
  OK(utimensat(AT_FDCWD, "run", NULL, 0));
  // Executed once more.
  struct running second = start("./run", -1);
  end(running);
  CHECK_ERRNO(open("run", O_WRONLY), ETXTBSY);
  end(second);
  for (size_t i = 0; i < COUNT(names); i++) OK(close(OK(open(names[i], O_WRONLY))));
  OK(truncate("run", 5));
}

static void names_of_what_is_executed_may_go(void) {
  make_program("victim");
  make_script("new", "text");
  struct running running = start("./victim", -1);
  OK(link("victim", "kept"));
  OK(rename("new", "victim"));
  OK(close(OK(open("victim", O_WRONLY))));
  CHECK_ERRNO(open("kept", O_WRONLY), ETXTBSY);
  OK(rename("kept", "moved"));
  CHECK_ERRNO(truncate("moved", 0), ETXTBSY);
  OK(unlink("moved"));
  end(running);
}

static void a_permission_that_is_missing_is_told_first(void) {
  int file = OK(open("plain", O_WRONLY | O_CREAT, 0644));
  CHECK_ERRNO(execve("./plain", arguments, environ), EACCES);
  OK(fchmod(file, 0755));
  // Busy comes before what is in the file.
  CHECK_BUSY(execve("./plain", arguments, environ));
  OK(close(file));
  make_program("secret");
  OK(chmod("secret", 0555));
  struct running running = start("./secret", -1);
  CHECK_ERRNO(open("secret", O_WRONLY | O_DIRECTORY), ENOTDIR);
  CHECK_ERRNO(open("secret", O_WRONLY | O_CREAT | O_EXCL, 0600), EEXIST);
  CHECK_ERRNO(truncate("secret", -1), EINVAL);
  if (geteuid() != 0) CHECK_ERRNO(open("secret", O_WRONLY), EACCES);
  end(running);
}

static void a_file_open_for_writing_is_not_executed(void) {
  make_program("written");
  const int flags[] = {O_WRONLY, O_RDWR, O_WRONLY | O_APPEND};
  for (size_t i = 0; i < COUNT(flags); i++) {
    int file = OK(open("written", flags[i]));
    CHECK_BUSY(execve("./written", arguments, environ));
    CHECK_BUSY(execveat(AT_FDCWD, "written", arguments, environ, 0));
    CHECK_BUSY(fexecve(file, arguments, environ));
    int other = OK(open("written", O_RDONLY));
    CHECK_BUSY(fexecve(other, arguments, environ));
    int copy = OK(dup(file));
    OK(close(file));
    CHECK_BUSY(execve("./written", arguments, environ));
    OK(close(copy));
    OK(close(other));
    end(start("./written", -1));
  }
  int reader = OK(open("written", O_RDONLY));
  int place = OK(open("written", O_PATH));
  end(start("./written", -1));
  end(start(NULL, reader));
  OK(close(place));
  OK(close(reader));
}

// A mapping keeps what it was made from open, whatever its own protection.
static void a_mapping_of_what_was_open_for_writing_counts(void) {
  make_program("mapped");
  struct { int flags, protection, mapping; bool is_busy; } cases[] = {
      {O_RDWR, PROT_READ | PROT_WRITE, MAP_SHARED, true}, {O_RDWR, PROT_READ, MAP_SHARED, true},
      {O_RDWR, PROT_READ | PROT_WRITE, MAP_PRIVATE, true}, {O_RDONLY, PROT_READ | PROT_WRITE, MAP_PRIVATE, false},
      {O_RDONLY, PROT_READ, MAP_SHARED, false},
  };
  for (size_t i = 0; i < COUNT(cases); i++) {
    int file = OK(open("mapped", cases[i].flags));
    char *memory = mmap(NULL, 2 * PAGE, cases[i].protection, cases[i].mapping, file, 0);
    CHECK(memory != MAP_FAILED);
    OK(close(file));
    if (cases[i].is_busy) {
      CHECK_BUSY(execve("./mapped", arguments, environ));
      OK(mprotect(memory, PAGE, PROT_NONE));
      OK(munmap(memory, PAGE));
      CHECK_BUSY(execve("./mapped", arguments, environ));
    } else {
      end(start("./mapped", -1));
      OK(munmap(memory, PAGE));
    }
    OK(munmap(memory + PAGE, PAGE));
    end(start("./mapped", -1));
  }
}

static void scripts_are_busy_until_their_interpreter_has_them(void) {
  make_program("interpreter");
  make_script("script", "#!./interpreter -u\n");
  make_script("waiting", "#!/bin/sh\nread line\necho \"$line\"\nread line\nexit 0\n");
  int file = OK(open("script", O_WRONLY));
  CHECK_BUSY(execve("./script", arguments, environ));
  OK(close(file));
  file = OK(open("interpreter", O_WRONLY));
  CHECK_BUSY(execve("./script", arguments, environ));
  OK(close(file));
  int input[2], output[2];
  OK(pipe2(input, O_CLOEXEC));
  OK(pipe2(output, O_CLOEXEC));
  pid_t pid;
  IN_CHILD(pid) {
    OK(dup2(input[0], 0));
    OK(dup2(output[1], 1));
    execve("./waiting", arguments, environ);
    FAIL("errno %d", errno);
  }
  char line[2];
  CHECK_EQ(write(input[1], "a\n", 2), 2);
  CHECK_EQ(read(output[0], line, 2), 2);
  // It is the interpreter that is executed.
  OK(close(OK(open("waiting", O_WRONLY))));
  CHECK_EQ(write(input[1], "b\n", 2), 2);
  WAIT_OK(pid);
}

// Linux counts those who open a memory file, not the one who made it.
static void memory_files_are_busy_as_others(void) {
  int file = OK(memfd_create("program", MFD_CLOEXEC));
  copy_program(file);
  char name[64];
  snprintf(name, sizeof name, "/proc/self/fd/%d", file);
  struct running running = start(NULL, file);
  CHECK_ERRNO(open(name, O_RDWR), ETXTBSY);
  CHECK_ERRNO(open(name, O_RDONLY | O_TRUNC), ETXTBSY);
  CHECK_ERRNO(truncate(name, 0), ETXTBSY);
  struct stat status;
  OK(fstat(file, &status));
  OK(ftruncate(file, status.st_size + PAGE));
  CHECK_EQ(pwrite(file, "x", 1, status.st_size), 1);
  end(running);
  int writer = OK(open(name, O_RDWR));
  CHECK_BUSY(fexecve(file, arguments, environ));
  OK(close(writer));
  end(start(NULL, file));
  OK(close(file));

  int unnamed = open(".", O_TMPFILE | O_RDWR, 0700);
  if (unnamed == -1) {
    CHECK_EQ(errno, EOPNOTSUPP);
    return;
  }
  copy_program(unnamed);
  CHECK_BUSY(fexecve(unnamed, arguments, environ));
  snprintf(name, sizeof name, "/proc/self/fd/%d", unnamed);
  int reader = OK(open(name, O_RDONLY | O_CLOEXEC));
  OK(close(unnamed));
  end(start(NULL, reader));
  OK(close(reader));
}

static void writers_wait_for_the_last_who_executes(void) {
  make_program("first");
  struct running running = start("./first", -1);
  // A zombie executes nothing any more.
  OK(close(running.input));
  siginfo_t information;
  OK(waitid(P_PID, running.pid, &information, WEXITED | WNOWAIT));
  OK(close(OK(open("first", O_WRONLY))));
  char path[64], text[256];
  snprintf(path, sizeof path, "/proc/%d/exe", running.pid);
  CHECK_ERRNO(readlink(path, text, sizeof text), ENOENT);
  WAIT_OK(running.pid);
  OK(close(running.output));
}

// A copy of this program, executed to do `deed`.
static void copy_self(const char *name) {
  int from = OK(open("/proc/self/exe", O_RDONLY)), to = OK(open(name, O_WRONLY | O_CREAT | O_TRUNC, 0755));
  while (OK(sendfile(to, from, NULL, 1 << 20)) > 0) {}
  OK(close(from));
  OK(close(to));
}

// Runs in the copy: a child keeps it executed; then the copy itself executes another program.
static int executed_copy(void) {
  CHECK_ERRNO(open("self", O_WRONLY), ETXTBSY);
  int ends[2];
  OK(pipe(ends));
  pid_t child;
  IN_CHILD(child) {
    char byte;
    OK(close(ends[1]));
    CHECK_EQ(read(ends[0], &byte, 1), 0);
  }
  OK(close(ends[0]));
  make_program("next");
  // A vforked child that executes something else leaves this one's program as it is.
  pid_t vforked = vfork();
  if (vforked == 0) {
    execl("/bin/true", "true", NULL);
    _exit(1);
  }
  WAIT_OK(vforked);
  CHECK_ERRNO(truncate("self", 0), ETXTBSY);
  struct running other = start("./next", -1);
  CHECK_ERRNO(open("next", O_WRONLY), ETXTBSY);
  CHECK_ERRNO(open("self", O_WRONLY), ETXTBSY);
  end(other);
  // A failed execve keeps the program.
  CHECK_ERRNO(execve("./absent", arguments, environ), ENOENT);
  CHECK_ERRNO(execve("./script-of-nothing", arguments, environ), ENOEXEC);
  CHECK_ERRNO(open("self", O_WRONLY), ETXTBSY);
  OK(close(OK(open("script-of-nothing", O_WRONLY))));
  char number[16], pid[16];
  snprintf(number, sizeof number, "%d", ends[1]);
  snprintf(pid, sizeof pid, "%d", child);
  execl("./last", "last", "--last", number, pid, NULL);
  FAIL("errno %d", errno);
}

// Runs in the program that follows the copy.
static int last_program(int end, pid_t child) {
  CHECK_ERRNO(open("self", O_WRONLY), ETXTBSY);
  OK(close(end));
  WAIT_OK(child);
  OK(close(OK(open("self", O_WRONLY))));
  CHECK_ERRNO(open("last", O_WRONLY), ETXTBSY);
  return 0;
}

static void forks_keep_and_execve_replaces_what_is_executed(void) {
  copy_self("self");
  copy_self("last");
  make_script("script-of-nothing", "nothing");
  pid_t pid;
  IN_CHILD(pid) {
    execl("./self", "self", "--copy", NULL);
    FAIL("errno %d", errno);
  }
  WAIT_OK(pid);
  OK(close(OK(open("last", O_WRONLY))));
}

int main(int argument_count, char **words) {
  if (argument_count == 2 && strcmp(words[1], "--copy") == 0) return executed_copy();
  if (argument_count == 4 && strcmp(words[1], "--last") == 0) return last_program(atoi(words[2]), atoi(words[3]));
  enter_scratch();
  what_is_executed_is_not_written();
  names_of_what_is_executed_may_go();
  a_permission_that_is_missing_is_told_first();
  a_file_open_for_writing_is_not_executed();
  a_mapping_of_what_was_open_for_writing_counts();
  scripts_are_busy_until_their_interpreter_has_them();
  memory_files_are_busy_as_others();
  writers_wait_for_the_last_who_executes();
  forks_keep_and_execve_replaces_what_is_executed();
  return 0;
}
