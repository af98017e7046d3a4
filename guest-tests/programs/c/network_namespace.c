// Network namespaces, as far as unix sockets show them: abstract addresses, and /proc/PID/net/unix.
#include "check.h"
#include <sched.h>
#include <sys/socket.h>
#include <sys/un.h>

static struct sockaddr_un abstract_address(const char *name, socklen_t *length) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strcpy(address.sun_path + 1, name);
  *length = offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name);
  return address;
}

static int listener(const char *name) {
  socklen_t length;
  struct sockaddr_un address = abstract_address(name, &length);
  int file = OK(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  OK(bind(file, (struct sockaddr *)&address, length));
  OK(listen(file, 5));
  return file;
}

// Connects; the errno, or 0.
static int reach(int file, const char *name) {
  socklen_t length;
  struct sockaddr_un address = abstract_address(name, &length);
  return connect(file, (struct sockaddr *)&address, length) < 0 ? errno : 0;
}

static int new_socket(void) { return OK(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)); }

// Whether the sockets of a process's network namespace have this name.
static int is_listed(pid_t pid, const char *name) {
  static char text[1 << 20];
  char path[64], wanted[128];
  snprintf(path, sizeof path, "/proc/%d/net/unix", pid);
  read_file(path, text, sizeof text);
  CHECK(strncmp(text, "Num       RefCount Protocol Flags    Type St Inode Path\n", 56) == 0);
  snprintf(wanted, sizeof wanted, " @%s\n", name);
  return strstr(text, wanted) != NULL;
}

// The streams of the local domain that are open in this namespace.
static int streams(void) {
  char line[256];
  int count = -1;
  FILE *file = fopen("/proc/net/protocols", "r");
  CHECK(file);
  while (fgets(line, sizeof line, file)) sscanf(line, "UNIX-STREAM %*d %d", &count);
  fclose(file);
  return count;
}

int main(void) {
  char name[64];
  snprintf(name, sizeof name, "guest-test-%d", getpid());
  int first = listener(name), outer = OK(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
  CHECK_EQ(reach(new_socket(), name), 0);
  CHECK(is_listed(getpid(), name));
  pid_t pid;
  IN_CHILD(pid) {
    pid_t parent = getppid();
    int early = new_socket();
    OK(unshare(CLONE_NEWNET));
    CHECK_EQ(streams(), 0);
    CHECK_EQ(reach(new_socket(), name), ECONNREFUSED);
    CHECK(streams() >= 0);
    CHECK(!is_listed(getpid(), name));
    CHECK(is_listed(parent, name));
    // A socket stays where it was made.
    CHECK_EQ(reach(early, name), 0);
    // The name is free here.
    int own = listener(name);
    int client = new_socket();
    CHECK_EQ(reach(client, name), 0);
    CHECK(is_listed(getpid(), name));
    int inside = new_socket();
    OK(setns(outer, CLONE_NEWNET));
    // Of a namespace that was left, too.
    CHECK_EQ(reach(inside, name), 0);
    CHECK_EQ(OK(close(own)), 0);
    CHECK_EQ(reach(new_socket(), name), 0);
  }
  WAIT_OK(pid);
  IN_CHILD(pid) {
    OK(setresuid(1000, 1000, 1000));
    CHECK_ERRNO(unshare(CLONE_NEWNET), EPERM);
    CHECK_ERRNO(setns(outer, CLONE_NEWNET), EPERM);
  }
  WAIT_OK(pid);
  OK(close(first));
  CHECK(!is_listed(getpid(), name));
  CHECK_EQ(reach(new_socket(), name), ECONNREFUSED);
  return 0;
}
