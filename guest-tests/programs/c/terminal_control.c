// Controlling terminals: how a session gets one, loses it, and which errors job control gives.
#include "check.h"
#include <grp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>

static int master, slave;
static volatile sig_atomic_t hang_ups, continues;

static void count(int number) {
  if (number == SIGHUP) hang_ups++;
  else continues++;
}

static void open_pair(void) {
  master = OK(posix_openpt(O_RDWR | O_NOCTTY));
  OK(grantpt(master)), OK(unlockpt(master));
  slave = OK(open(ptsname(master), O_RDWR | O_NOCTTY));
}

// Runs a test as the leader of a session without a terminal, which alone has the pair.
static void in_session(void (*test)(void)) {
  pid_t pid;
  open_pair();
  IN_CHILD(pid) {
    OK(setsid());
    signal(SIGHUP, count), signal(SIGCONT, count);
    test();
  }
  OK(close(master)), OK(close(slave));
  WAIT_OK(pid);
}

static void become_nobody(void) {
  OK(setgroups(0, NULL));
  OK(setresgid(65534, 65534, 65534)), OK(setresuid(65534, 65534, 65534));
}

static void a_master_stands_for_its_slave(void) {
  int session;
  OK(ioctl(master, TIOCSCTTY, 0));
  CHECK_EQ(tcgetpgrp(slave), getpid());
  CHECK_EQ(tcgetpgrp(master), getpid());
  OK(ioctl(master, TIOCGSID, &session));
  CHECK_EQ(session, getpid());
  OK(tcsetpgrp(master, getpid()));
  CHECK_ERRNO(ioctl(master, TIOCNOTTY), ENOTTY);
  OK(ioctl(slave, TIOCNOTTY));
  CHECK(hang_ups == 1 && continues == 1);
  CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
  CHECK_EQ(tcgetpgrp(master), 0);
  CHECK_ERRNO(tcgetpgrp(slave), ENOTTY);
  CHECK_ERRNO(ioctl(master, TIOCGSID, &session), ENOTTY);
  CHECK_ERRNO(ioctl(slave, TIOCGPTPEER, O_RDWR), EIO);
}

static void only_readers_get_one(void) {
  int writer = OK(open(ptsname(master), O_WRONLY));
  CHECK_ERRNO(tcgetpgrp(slave), ENOTTY);
  pid_t pid;
  IN_CHILD(pid) {
    OK(setsid());
    become_nobody();
    CHECK_ERRNO(ioctl(writer, TIOCSCTTY, 0), EPERM);
    OK(ioctl(slave, TIOCSCTTY, 0));
    OK(ioctl(writer, TIOCSCTTY, 0)); // It is already.
  }
  WAIT_OK(pid);
  OK(open(ptsname(master), O_RDONLY));
  CHECK_EQ(tcgetpgrp(slave), getpid());
}

static void one_terminal_a_session_and_one_session_a_terminal(void) {
  OK(ioctl(slave, TIOCSCTTY, 0));
  int first = slave;
  pid_t pid;
  IN_CHILD(pid) {
    CHECK_ERRNO(ioctl(slave, TIOCSCTTY, 0), EPERM); // No leader.
    OK(setsid());
    CHECK_ERRNO(ioctl(slave, TIOCSCTTY, 0), EPERM);
    pid_t user;
    IN_CHILD(user) {
      OK(setsid());
      become_nobody();
      CHECK_ERRNO(ioctl(slave, TIOCSCTTY, 1), EPERM);
    }
    WAIT_OK(user);
  }
  WAIT_OK(pid);
  open_pair();
  CHECK_ERRNO(ioctl(slave, TIOCSCTTY, 0), EPERM);
  CHECK_ERRNO(tcgetpgrp(slave), ENOTTY);
  CHECK_ERRNO(ioctl(slave, TIOCNOTTY), ENOTTY);
  OK(ioctl(first, TIOCNOTTY));
  OK(ioctl(slave, TIOCSCTTY, 0));
}

static void the_privileged_may_steal_one(void) {
  OK(ioctl(slave, TIOCSCTTY, 0));
  pid_t pid;
  IN_CHILD(pid) {
    OK(setsid());
    OK(ioctl(slave, TIOCSCTTY, 1));
    CHECK_EQ(tcgetpgrp(slave), getpid());
  }
  WAIT_OK(pid);
  CHECK_ERRNO(tcgetpgrp(slave), ENOTTY);
  CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
  CHECK_EQ(hang_ups, 0); // Nobody tells the old session.
  OK(ioctl(slave, TIOCSCTTY, 0));
}

static int set_foreground(pid_t group) { return ioctl(slave, TIOCSPGRP, &group); }

static void errors_of_a_foreground(void) {
  CHECK_ERRNO(ioctl(slave, TIOCSPGRP, wild), EFAULT);
  CHECK_ERRNO(set_foreground(-1), EINVAL);
  CHECK_ERRNO(set_foreground(getpid()), ENOTTY);
  OK(ioctl(slave, TIOCSCTTY, 0));
  CHECK_ERRNO(ioctl(slave, TIOCSPGRP, wild), EFAULT);
  CHECK_ERRNO(set_foreground(-1), EINVAL);
  CHECK_ERRNO(set_foreground(0x3ffffff), ESRCH);
  CHECK_ERRNO(set_foreground(getpgid(getppid())), EPERM);
  OK(set_foreground(getpid()));
}

// A group whose parents are gone is not stopped: reading and changing settings fail instead.
static void an_orphaned_group_gets_errors(void) {
  OK(ioctl(slave, TIOCSCTTY, 0));
  int results[2];
  OK(pipe(results));
  pid_t pid, orphan;
  IN_CHILD(pid) {
    pid_t parent = getpid();
    IN_CHILD(orphan) {
      OK(setpgid(0, 0));
      while (getppid() == parent) sleep_ms(1);
      char byte;
      struct termios settings;
      CHECK_ERRNO(read(slave, &byte, 1), EIO);
      OK(tcgetattr(slave, &settings));
      CHECK_ERRNO(tcsetattr(slave, TCSANOW, &settings), EIO);
      CHECK_ERRNO(set_foreground(getpid()), ENOTTY);
      CHECK_ERRNO(tcflush(slave, TCIFLUSH), EIO);
      CHECK_EQ(write(slave, "x", 1), 1);
      CHECK_EQ(write(results[1], "y", 1), 1);
    }
  }
  WAIT_OK(pid);
  OK(close(results[1]));
  char byte;
  CHECK_EQ(read(results[0], &byte, 1), 1);
}

// What a process of the foreground hears: of a hang-up nothing, of the leader's exit SIGHUP, and SIGCONT if it was hung up.
static void a_foreground_hears_when_the_leader_exits(void) {
  for (int is_hung_up = 0; is_hung_up < 2; is_hung_up++) {
    int ready[2], results[2];
    OK(pipe(ready)), OK(pipe(results));
    open_pair();
    pid_t leader, foreground;
    IN_CHILD(leader) {
      OK(setsid());
      OK(ioctl(slave, TIOCSCTTY, 0));
      signal(SIGHUP, SIG_IGN);
      IN_CHILD(foreground) {
        OK(close(master));
        OK(setpgid(0, 0));
        signal(SIGTTOU, SIG_IGN);
        signal(SIGHUP, count), signal(SIGCONT, count);
        hang_ups = continues = 0;
        OK(tcsetpgrp(slave, getpid()));
        pid_t parent = getppid();
        CHECK_EQ(write(ready[1], "x", 1), 1);
        while (getppid() == parent) sleep_ms(5);
        sleep_ms(50);
        CHECK_CASE(hang_ups == 1 && continues == is_hung_up, "%d: %d and %d", is_hung_up, hang_ups, continues);
        CHECK_EQ(write(results[1], "y", 1), 1);
      }
      char byte;
      CHECK_EQ(read(ready[0], &byte, 1), 1);
      struct pollfd file = {slave, POLLHUP};
      if (is_hung_up) {
        OK(close(master));
        CHECK_EQ(poll(&file, 1, 5000), 1);
      }
    }
    if (is_hung_up) OK(close(master));
    WAIT_OK(leader);
    OK(close(results[1]));
    char byte;
    CHECK_CASE(read(results[0], &byte, 1) == 1, "hung up: %d", is_hung_up);
    if (!is_hung_up) OK(close(master));
    OK(close(slave)), OK(close(results[0])), OK(close(ready[0])), OK(close(ready[1]));
  }
}

// A process that leads no session gives the terminal up for itself; who was made before the session had one has none.
static void each_process_has_it_or_not(void) {
  pid_t early, late, grandchild;
  int ready[2];
  char byte;
  OK(pipe(ready));
  IN_CHILD(early) {
    CHECK_EQ(read(ready[0], &byte, 1), 1);
    CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
    CHECK_ERRNO(tcgetpgrp(slave), ENOTTY);
    CHECK_ERRNO(ioctl(slave, TIOCNOTTY), ENOTTY);
  }
  OK(ioctl(slave, TIOCSCTTY, 0));
  CHECK_EQ(write(ready[1], "x", 1), 1);
  WAIT_OK(early);
  IN_CHILD(late) {
    OK(close(open("/dev/tty", O_RDWR)));
    CHECK_EQ(tcgetpgrp(slave), getppid());
    OK(ioctl(slave, TIOCNOTTY));
    CHECK_ERRNO(ioctl(slave, TIOCNOTTY), ENOTTY);
    CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
    CHECK_ERRNO(tcgetpgrp(slave), ENOTTY);
    IN_CHILD(grandchild) { CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO); }
    WAIT_OK(grandchild);
  }
  WAIT_OK(late);
  OK(close(open("/dev/tty", O_RDWR)));
  CHECK(hang_ups == 0);
}

// What TIOCGPTPEER opens is the slave's node: its mode and owner are changed, and it is opened again.
static void a_peer_is_the_node(void) {
  int peer = OK(ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY));
  char name[64];
  struct stat before, after;
  snprintf(name, sizeof name, "/proc/self/fd/%d", peer);
  OK(fchmod(peer, 0604));
  OK(fchown(peer, 3, 4));
  OK(fstat(peer, &before));
  CHECK(before.st_mode == (S_IFCHR | 0604) && before.st_uid == 3 && before.st_gid == 4);
  OK(stat(ptsname(master), &after));
  CHECK(before.st_ino == after.st_ino && before.st_dev == after.st_dev && before.st_mode == after.st_mode);
  int again = OK(open(name, O_RDWR | O_NOCTTY));
  CHECK_EQ(write(again, "x", 1), 1);
  CHECK_EQ(read(master, name, 1), 1);
  OK(close(again)), OK(close(peer));
}

// The settings are the slave's, for the foreground alone at whichever end.
static void the_master_sets_for_the_foreground(void) {
  struct termios settings;
  pid_t pid;
  OK(ioctl(slave, TIOCSCTTY, 0));
  OK(tcgetattr(master, &settings));
  IN_CHILD(pid) {
    OK(setpgid(0, 0));
    signal(SIGTTOU, SIG_DFL);
    CHECK_EQ(tcsetattr(master, TCSANOW, &settings), 0);
  }
  int status;
  OK(waitpid(pid, &status, WUNTRACED));
  CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTOU);
  OK(kill(pid, SIGKILL));
  WAIT_SIGNALED(pid, SIGKILL);
}

static void the_master_s_end_hangs_up(void) {
  OK(ioctl(slave, TIOCSCTTY, 0));
  int terminal = OK(open("/dev/tty", O_RDWR));
  char byte;
  OK(write(master, "unread\n", 7));
  OK(close(master));
  while (hang_ups == 0 || continues == 0) sleep_ms(1); // The parent may still have it for a moment.
  CHECK(hang_ups == 1 && continues == 1);
  const int ends[] = {slave, terminal};
  for (size_t i = 0; i < COUNT(ends); i++) {
    struct pollfd file = {ends[i], POLLIN | POLLOUT | POLLPRI};
    CHECK_EQ(poll(&file, 1, 0), 1);
    CHECK_EQ(file.revents, POLLIN | POLLOUT | POLLERR | POLLHUP);
    int number;
    CHECK_EQ(read(ends[i], &byte, 1), 0);
    CHECK_ERRNO(write(ends[i], "x", 1), EIO);
    CHECK_ERRNO(ioctl(ends[i], FIONREAD, &number), EIO);
    CHECK_ERRNO(tcgetpgrp(ends[i]), EIO);
    CHECK_ERRNO(ioctl(ends[i], TIOCSPGRP, &number), ENOTTY);
    CHECK_ERRNO(ioctl(ends[i], TIOCSCTTY, 0), EIO);
  }
  CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
}

int main(void) {
  in_session(a_master_stands_for_its_slave);
  in_session(only_readers_get_one);
  in_session(one_terminal_a_session_and_one_session_a_terminal);
  in_session(the_privileged_may_steal_one);
  in_session(errors_of_a_foreground);
  in_session(an_orphaned_group_gets_errors);
  in_session(each_process_has_it_or_not);
  in_session(a_peer_is_the_node);
  in_session(the_master_sets_for_the_foreground);
  in_session(the_master_s_end_hangs_up);
  a_foreground_hears_when_the_leader_exits();
  return 0;
}
