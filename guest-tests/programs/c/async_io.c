// Signals when a file becomes ready (`man 2 fcntl`: O_ASYNC, F_SETOWN, F_SETOWN_EX, F_SETSIG).
#include "check.h"
#include <sys/ioctl.h>
#include <sys/inotify.h>
#include <sys/socket.h>

static volatile sig_atomic_t count, last_signal, last_code, last_fd;
static volatile long last_band;

static void note(int signal, siginfo_t *info, void *context) {
  (void)context;
  count++;
  last_signal = signal;
  last_code = info->si_code;
  last_fd = info->si_fd;
  last_band = info->si_band;
}

static void catch(int signal) {
  struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO};
  OK(sigaction(signal, &action, NULL));
}

static void set_async(int fd, int is_on) {
  int flags = fcntl(fd, F_GETFL);
  OK(fcntl(fd, F_SETFL, is_on ? flags | O_ASYNC : flags & ~O_ASYNC));
}

// The count of signals goes up by `by` through `action`, before that returns: whoever makes a file ready tells of it.
#define TELLS(by, action) \
  do { \
    int before = count; \
    action; \
    CHECK_EQ(count, before + (by)); \
  } while (0)

static void pipes_and_sockets(void) {
  int files[2], kind;
  for (kind = 0; kind < 3; kind++) {
    OK(kind == 0 ? pipe(files) : socketpair(AF_UNIX, kind == 1 ? SOCK_STREAM : SOCK_DGRAM, 0, files));
    TELLS(0, OK(write(files[1], "a", 1)));
    set_async(files[0], 1);
    TELLS(0, OK(write(files[1], "a", 1))); // Nobody owns it.
    OK(fcntl(files[0], F_SETOWN, getpid()));
    char bytes[8];
    while (kind == 0 ? read(files[0], bytes, 2) < 2 : recv(files[0], bytes, sizeof bytes, MSG_DONTWAIT) > 0) {}
    TELLS(1, OK(write(files[1], "a", 1)));
    CHECK_EQ(last_signal, SIGIO);
    CHECK_EQ(last_code, SI_KERNEL);
    set_async(files[0], 0);
    OK(read(files[0], bytes, 1));
    TELLS(0, OK(write(files[1], "a", 1)));
    CHECK_EQ(fcntl(files[0], F_GETFL) & O_ASYNC, 0);
    close(files[0]), close(files[1]);
  }
}

static void chosen_signals_tell_more(void) {
  int files[2];
  OK(pipe(files));
  int chosen[] = {SIGRTMIN + 1, SIGUSR1, SIGIO, SIGCHLD};
  OK(fcntl(files[0], F_SETOWN, getpid()));
  set_async(files[0], 1);
  for (size_t i = 0; i < COUNT(chosen); i++) {
    char byte;
    catch(chosen[i]);
    OK(fcntl(files[0], F_SETSIG, chosen[i]));
    CHECK_EQ(fcntl(files[0], F_GETSIG), chosen[i]);
    TELLS(1, OK(write(files[1], "a", 1)));
    CHECK_EQ(last_signal, chosen[i]);
    CHECK_EQ(last_fd, files[0]);
    CHECK_EQ(last_band, 0x41);
    CHECK_EQ(last_code, chosen[i] == SIGCHLD ? SI_SIGIO : POLL_IN);
    OK(read(files[0], &byte, 1));
  }
  signal(SIGCHLD, SIG_DFL);
  close(files[0]), close(files[1]);
}

static void room_is_told_of(void) {
  int files[2];
  char page[4096];
  OK(pipe2(files, O_NONBLOCK));
  memset(page, 1, sizeof page);
  while (write(files[1], page, sizeof page) > 0) {}
  OK(fcntl(files[1], F_SETOWN, getpid()));
  OK(fcntl(files[1], F_SETSIG, SIGRTMIN + 1));
  set_async(files[1], 1);
  TELLS(1, OK(read(files[0], page, sizeof page)));
  CHECK_EQ(last_code, POLL_OUT);
  CHECK_EQ(last_fd, files[1]);
  CHECK_EQ(last_band, 0x304);
  close(files[0]), close(files[1]);
}

static void the_ioctls_do_the_same(void) {
  int files[2], on = 1, owner = 0, null = open("/dev/null", O_RDWR);
  OK(socketpair(AF_UNIX, SOCK_STREAM, 0, files));
  owner = getpid();
  OK(ioctl(files[0], FIOSETOWN, &owner));
  OK(ioctl(files[0], FIOASYNC, &on));
  CHECK(fcntl(files[0], F_GETFL) & O_ASYNC);
  TELLS(1, OK(write(files[1], "a", 1)));
  owner = -getpgrp();
  OK(ioctl(files[0], SIOCSPGRP, &owner));
  owner = 0;
  OK(ioctl(files[0], SIOCGPGRP, &owner));
  CHECK_EQ(owner, -getpgrp());
  CHECK_ERRNO(ioctl(null, FIOASYNC, &on), ENOTTY);
  OK(fcntl(null, F_SETFL, O_RDWR | O_ASYNC));
  on = 0;
  OK(ioctl(files[0], FIOASYNC, &on));
  TELLS(0, OK(write(files[1], "a", 1)));
  close(files[0]), close(files[1]), close(null);
}

// ---- owners

static void wait_for_signal(int signal) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  siginfo_t info;
  CHECK_EQ(sigwaitinfo(&set, &info), signal);
}

static void a_process_group_hears(void) {
  int files[2], ready[2];
  OK(pipe(files)), OK(pipe(ready));
  sigset_t set, old;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN + 2);
  OK(sigprocmask(SIG_BLOCK, &set, &old));
  pid_t children[3], group = 0;
  for (size_t i = 0; i < COUNT(children); i++) {
    IN_CHILD(children[i]) {
      OK(setpgid(0, group));
      OK(write(ready[1], "r", 1));
      wait_for_signal(SIGRTMIN + 2);
    }
    char byte;
    CHECK_EQ(read(ready[0], &byte, 1), 1);
    group = children[0];
  }
  struct f_owner_ex owner = {F_OWNER_PGRP, group};
  OK(fcntl(files[0], F_SETOWN_EX, &owner));
  OK(fcntl(files[0], F_SETSIG, SIGRTMIN + 2));
  set_async(files[0], 1);
  OK(write(files[1], "a", 1));
  for (size_t i = 0; i < COUNT(children); i++) WAIT_OK(children[i]);
  OK(sigprocmask(SIG_SETMASK, &old, NULL));
  close(files[0]), close(files[1]), close(ready[0]), close(ready[1]);
}

static volatile pid_t hearer;
static pthread_barrier_t barrier;

static void *hear(void *unused) {
  hearer = gettid();
  pthread_barrier_wait(&barrier);
  wait_for_signal(SIGRTMIN + 3);
  return unused;
}

static void a_thread_hears(void) {
  int files[2];
  OK(pipe(files));
  sigset_t set, old;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN + 3);
  OK(pthread_sigmask(SIG_BLOCK, &set, &old));
  pthread_t thread;
  pthread_barrier_init(&barrier, NULL, 2);
  CHECK_EQ(pthread_create(&thread, NULL, hear, NULL), 0);
  pthread_barrier_wait(&barrier);
  struct f_owner_ex owner = {F_OWNER_TID, hearer}, read_back;
  OK(fcntl(files[0], F_SETOWN_EX, &owner));
  OK(fcntl(files[0], F_GETOWN_EX, &read_back));
  CHECK_EQ(read_back.type, F_OWNER_TID);
  CHECK_EQ(read_back.pid, hearer);
  OK(fcntl(files[0], F_SETSIG, SIGRTMIN + 3));
  set_async(files[0], 1);
  OK(write(files[1], "a", 1));
  pthread_join(thread, NULL);
  OK(pthread_sigmask(SIG_SETMASK, &old, NULL));
  close(files[0]), close(files[1]);
}

static void who_may_not_signal_does_not(void) {
  if (geteuid() != 0) return;
  int files[2];
  OK(pipe(files));
  pid_t pid;
  IN_CHILD(pid) {
    OK(setresuid(65533, 65533, 65533));
    OK(fcntl(files[0], F_SETOWN, getppid()));
    set_async(files[0], 1);
  }
  WAIT_OK(pid);
  TELLS(0, OK(write(files[1], "a", 1)));
  OK(fcntl(files[0], F_SETOWN, getpid()));
  TELLS(1, OK(write(files[1], "a", 1)));
  close(files[0]), close(files[1]);
}

static void inotify_tells(void) {
  char directory[] = "/tmp/async_io.XXXXXX", path[64];
  CHECK(mkdtemp(directory));
  snprintf(path, sizeof path, "%s/file", directory);
  int watcher = inotify_init1(0);
  OK(inotify_add_watch(watcher, directory, IN_CREATE));
  OK(fcntl(watcher, F_SETOWN, getpid()));
  set_async(watcher, 1);
  int fd;
  TELLS(1, fd = open(path, O_CREAT | O_WRONLY, 0600));
  OK(fd);
  close(fd), close(watcher);
  OK(unlink(path)), OK(rmdir(directory));
}

// An owner hears of urgent data by SIGURG, O_ASYNC or not.
static void urgent_data_is_told_of(void) {
  int files[2], owner = getpid();
  OK(socketpair(AF_UNIX, SOCK_STREAM, 0, files));
  TELLS(0, OK(send(files[1], "a", 1, MSG_OOB)));
  OK(fcntl(files[0], F_SETOWN, owner));
  TELLS(0, OK(send(files[1], "b", 1, 0)));
  TELLS(1, OK(send(files[1], "c", 1, MSG_OOB)));
  CHECK_EQ(last_signal, SIGURG);
  // Nobody hears any more.
  OK(fcntl(files[0], F_SETOWN, 0));
  TELLS(0, OK(send(files[1], "d", 1, MSG_OOB)));
  OK(ioctl(files[0], FIOSETOWN, &owner));
  TELLS(1, OK(send(files[1], "e", 1, MSG_OOB)));
  close(files[0]), close(files[1]);
}

int main(void) {
  catch(SIGURG);
  urgent_data_is_told_of();
  catch(SIGIO);
  pipes_and_sockets();
  chosen_signals_tell_more();
  catch(SIGIO);
  catch(SIGRTMIN + 1);
  room_is_told_of();
  the_ioctls_do_the_same();
  a_process_group_hears();
  a_thread_hears();
  who_may_not_signal_does_not();
  inotify_tells();
  return 0;
}
