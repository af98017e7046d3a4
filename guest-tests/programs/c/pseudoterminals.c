// Pseudoterminals' ioctls: System V's settings, speeds, locked settings, exclusive use, packet mode, hang-ups.
#include "check.h"
#include <asm/ioctls.h>
#include <asm/termbits.h>
#include <poll.h>

int ioctl(int descriptor, unsigned long request, ...);

// <asm/termios.h> has it, but also what <sys/ioctl.h> defines.
struct termio {
  unsigned short c_iflag, c_oflag, c_cflag, c_lflag;
  unsigned char c_line, c_cc[8];
};

static int master, slave;

static int open_slave(void) { return open(ptsname(master), O_RDWR | O_NOCTTY); }

static void open_pair(void) {
  master = OK(posix_openpt(O_RDWR | O_NOCTTY));
  OK(unlockpt(master));
  slave = OK(open_slave());
}

static void close_pair(void) {
  OK(close(slave));
  OK(close(master));
}

static struct termios2 settings(void) {
  struct termios2 now, of_master;
  OK(ioctl(slave, TCGETS2, &now));
  OK(ioctl(master, TCGETS2, &of_master));
  CHECK(memcmp(&now, &of_master, sizeof now) == 0);
  return now;
}

static void system_v_settings_are_halves(void) {
  open_pair();
  struct termios2 before = settings();
  before.c_iflag |= 0x30000;
  before.c_lflag |= 0x20000;
  OK(ioctl(slave, TCSETS2, &before));
  struct termio old;
  memset(&old, 0xaa, sizeof old);
  OK(ioctl(slave, TCGETA, &old));
  CHECK_EQ(old.c_iflag, before.c_iflag & 0xffff);
  CHECK_EQ(old.c_oflag, before.c_oflag);
  CHECK_EQ(old.c_cflag, before.c_cflag);
  CHECK_EQ(old.c_lflag, before.c_lflag & 0xffff);
  CHECK_EQ(old.c_line, 0);
  CHECK(memcmp(old.c_cc, before.c_cc, sizeof old.c_cc) == 0);
  static const int requests[] = {TCSETA, TCSETAW, TCSETAF};
  for (size_t i = 0; i < COUNT(requests); i++) {
    old.c_cc[VINTR] = 'a' + i;
    old.c_lflag ^= ECHO;
    OK(ioctl(i % 2 ? master : slave, requests[i], &old));
    struct termios2 now = settings();
    CHECK_EQ(now.c_cc[VINTR], 'a' + i);
    CHECK_EQ(now.c_cc[VSTART], before.c_cc[VSTART]);
    CHECK_EQ(now.c_iflag, before.c_iflag);
    CHECK_EQ(now.c_lflag, 0x20000 | old.c_lflag);
  }
  CHECK_ERRNO(ioctl(slave, TCGETA, wild), EFAULT);
  CHECK_ERRNO(ioctl(slave, TCSETA, wild), EFAULT);
  close_pair();
}

static void speeds_follow_the_flags_and_characters_have_8_bits(void) {
  static const struct {
    unsigned control, input, output, input_is, output_is;
  } cases[] = {
    {B9600 | CS8, 1, 2, 9600, 9600},
    {B0 | CS5 | PARENB, 1, 2, 0, 0},
    {B4000000 | CS7 | CSTOPB, 1, 2, 4000000, 4000000},
    {BOTHER, 1234, 4321, 4321, 4321},
    {BOTHER | BOTHER << IBSHIFT, 1234, 4321, 1234, 4321},
    {BOTHER | B9600 << IBSHIFT, 1234, 4321, 9600, 4321},
  };
  open_pair();
  for (size_t i = 0; i < COUNT(cases); i++) {
    struct termios2 asked = settings();
    asked.c_cflag = cases[i].control;
    asked.c_ispeed = cases[i].input;
    asked.c_ospeed = cases[i].output;
    OK(ioctl(slave, TCSETS2, &asked));
    struct termios2 now = settings();
    CHECK_EQ(now.c_cflag, (cases[i].control & ~(CSIZE | PARENB)) | CS8 | CREAD);
    CHECK_EQ(now.c_ispeed, cases[i].input_is);
    CHECK_EQ(now.c_ospeed, cases[i].output_is);
  }
  int is_local = 1;
  OK(ioctl(slave, TIOCSSOFTCAR, &is_local));
  CHECK(settings().c_cflag & CLOCAL);
  is_local = 0;
  OK(ioctl(master, TIOCSSOFTCAR, &is_local));
  is_local = 7;
  OK(ioctl(slave, TIOCGSOFTCAR, &is_local));
  CHECK_EQ(is_local, 0);
  close_pair();
}

static void locked_settings_stay(void) {
  if (geteuid() != 0) return;
  open_pair();
  struct termios lock;
  memset(&lock, 0xaa, sizeof lock);
  OK(ioctl(slave, TIOCGLCKTRMIOS, &lock));
  for (size_t i = 0; i < sizeof lock; i++) CHECK_EQ(((char *)&lock)[i], 0);
  lock.c_lflag = ECHO;
  lock.c_cc[VEOF] = 1;
  OK(ioctl(slave, TIOCSLCKTRMIOS, &lock));
  struct termios2 asked;
  memset(&asked, 0, sizeof asked);
  OK(ioctl(slave, TCSETS2, &asked));
  struct termios2 now = settings();
  CHECK_EQ(now.c_lflag, ECHO);
  CHECK_EQ(now.c_cc[VEOF], 4);
  CHECK_EQ(now.c_cc[VINTR], 0);
  struct termios of_master;
  OK(ioctl(master, TIOCGLCKTRMIOS, &of_master));
  CHECK(memcmp(&lock, &of_master, sizeof lock) == 0);
  pid_t pid;
  IN_CHILD(pid) {
    OK(setuid(65432));
    OK(ioctl(slave, TIOCGLCKTRMIOS, &lock));
    CHECK_ERRNO(ioctl(slave, TIOCSLCKTRMIOS, &lock), EPERM);
  }
  WAIT_OK(pid);
  close_pair();
}

static void one_who_is_exclusive_lets_only_the_privileged_in(void) {
  open_pair();
  int is_exclusive = -1;
  OK(ioctl(slave, TIOCGEXCL, &is_exclusive));
  CHECK_EQ(is_exclusive, 0);
  OK(fchmod(slave, 0666));
  OK(ioctl(slave, TIOCEXCL));
  OK(ioctl(slave, TIOCGEXCL, &is_exclusive));
  CHECK_EQ(is_exclusive, 1);
  OK(ioctl(master, TIOCGEXCL, &is_exclusive));
  CHECK_EQ(is_exclusive, 0);
  if (geteuid() == 0) OK(close(OK(open_slave())));
  pid_t pid;
  IN_CHILD(pid) {
    if (geteuid() == 0) OK(setuid(65432));
    CHECK_ERRNO(open_slave(), EBUSY);
    OK(ioctl(slave, TIOCNXCL));
    OK(open_slave());
  }
  WAIT_OK(pid);
  close_pair();
}

static void a_pseudoterminal_has_one_discipline_and_no_wire(void) {
  open_pair();
  int number = -1;
  OK(ioctl(slave, TIOCGETD, &number));
  CHECK_EQ(number, 0);
  OK(ioctl(slave, TIOCSETD, &number));
  number = 1000;
  CHECK_ERRNO(ioctl(slave, TIOCSETD, &number), EINVAL);
  CHECK_ERRNO(ioctl(slave, TIOCSETD, wild), EFAULT);
  static const int nothing[] = {TCSBRK, TCSBRKP, TIOCSBRK, TIOCCBRK};
  for (size_t i = 0; i < COUNT(nothing); i++) OK(ioctl(i % 2 ? slave : master, nothing[i], 0));
  static const int serial[] = {TIOCMGET, TIOCMSET, TIOCGICOUNT, TIOCGSERIAL, TIOCGRS485};
  for (size_t i = 0; i < COUNT(serial); i++) CHECK_ERRNO(ioctl(slave, serial[i], &number), ENOTTY);
  unsigned device, peer;
  OK(ioctl(slave, TIOCGDEV, &device));
  OK(ioctl(master, TIOCGDEV, &peer));
  struct stat status;
  OK(fstat(slave, &status));
  CHECK_EQ(device, status.st_rdev);
  CHECK_EQ(peer, device);
  OK(write(slave, "shown", 5));
  OK(ioctl(slave, TIOCOUTQ, &number));
  CHECK_EQ(number, 0);
  struct pollfd polled = {.fd = master, .events = POLLIN};
  CHECK_EQ(OK(poll(&polled, 1, -1)), 1);
  OK(ioctl(master, TIOCINQ, &number));
  CHECK_EQ(number, 5);
  close_pair();
}

static void flow_characters_are_sent_to_the_master(void) {
  open_pair();
  OK(ioctl(slave, TCXONC, TCIOFF));
  OK(ioctl(slave, TCXONC, TCION));
  char bytes[8];
  size_t got = 0;
  while (got < 2) got += OK(read(master, bytes + got, sizeof bytes - got));
  CHECK_EQ(got, 2);
  CHECK(memcmp(bytes, "\023\021", 2) == 0);
  CHECK_ERRNO(ioctl(slave, TCXONC, 4), EINVAL);
  CHECK_ERRNO(ioctl(slave, TCFLSH, 3), EINVAL);
  // Of the master, they go to the slave, which is stopped by one and goes on by the other.
  struct pollfd polled = {.fd = slave, .events = POLLOUT};
  OK(ioctl(master, TCXONC, TCIOFF));
  CHECK_EQ(OK(poll(&polled, 1, 0)), 0);
  OK(ioctl(master, TCXONC, TCION));
  CHECK_EQ(OK(poll(&polled, 1, -1)), 1);
  close_pair();
}

// What poll says of the master.
static int readiness(void) {
  struct pollfd polled = {.fd = master, .events = POLLIN | POLLPRI};
  OK(poll(&polled, 1, 0));
  return polled.revents;
}

// Reads the status byte that the master has been given.
static int status(void) {
  char bytes[16];
  CHECK_EQ(readiness(), POLLIN | POLLPRI);
  CHECK_EQ(OK(read(master, bytes, sizeof bytes)), 1);
  return bytes[0];
}

static void packet_mode_tells_the_master_what_happened(void) {
  open_pair();
  int on = 5;
  CHECK_ERRNO(ioctl(slave, TIOCPKT, &on), ENOTTY);
  OK(ioctl(master, TIOCPKT, &on));
  OK(ioctl(master, TIOCGPKT, &on));
  CHECK_EQ(on, 1);
  OK(write(slave, "data", 4));
  struct pollfd polled = {.fd = master, .events = POLLIN | POLLPRI};
  CHECK_EQ(OK(poll(&polled, 1, -1)), 1);
  CHECK_EQ(polled.revents, POLLIN);
  char bytes[16];
  CHECK_EQ(OK(read(master, bytes, 3)), 3);
  CHECK(memcmp(bytes, "\0da", 3) == 0);
  CHECK_EQ(OK(read(master, bytes, sizeof bytes)), 3);
  CHECK(memcmp(bytes, "\0ta", 3) == 0);

  CHECK_EQ(readiness(), 0);
  OK(ioctl(slave, TCFLSH, TCIFLUSH));
  CHECK_EQ(status(), TIOCPKT_FLUSHREAD);
  OK(ioctl(slave, TCFLSH, TCOFLUSH));
  CHECK_EQ(status(), TIOCPKT_FLUSHWRITE);
  OK(ioctl(slave, TCXONC, TCOOFF));
  CHECK_EQ(status(), TIOCPKT_STOP);
  OK(ioctl(slave, TCXONC, TCOON));
  CHECK_EQ(status(), TIOCPKT_START);
  struct termios2 changed = settings();
  changed.c_cc[VSTOP] = 'x';
  OK(ioctl(slave, TCSETS2, &changed));
  CHECK_EQ(status(), TIOCPKT_NOSTOP);
  changed.c_cc[VSTOP] = 023;
  OK(ioctl(slave, TCSETS2, &changed));
  CHECK_EQ(status(), TIOCPKT_DOSTOP);
  CHECK_EQ(readiness(), 0);

  on = 0;
  OK(ioctl(master, TIOCPKT, &on));
  OK(ioctl(slave, TCFLSH, TCIFLUSH));
  CHECK_EQ(readiness(), 0);
  close_pair();
}

static void a_typed_byte_is_read(void) {
  if (geteuid() != 0) return;
  open_pair();
  OK(ioctl(slave, TIOCSTI, "x"));
  OK(ioctl(slave, TIOCSTI, "\n"));
  char bytes[8];
  CHECK_EQ(OK(read(slave, bytes, sizeof bytes)), 2);
  CHECK(memcmp(bytes, "x\n", 2) == 0);
  CHECK_ERRNO(ioctl(slave, TIOCSTI, wild), EFAULT);
  close_pair();
}

static void slaves_of_before_a_hang_up_are_dead(void) {
  if (geteuid() != 0) return;
  open_pair();
  OK(ioctl(slave, TIOCVHANGUP));
  char byte;
  CHECK_EQ(OK(read(slave, &byte, 1)), 0);
  CHECK_ERRNO(write(slave, "x", 1), EIO);
  struct termios2 now;
  CHECK_ERRNO(ioctl(slave, TCGETS2, &now), EIO);
  CHECK_ERRNO(ioctl(slave, TIOCSPGRP, &now), ENOTTY);
  OK(fcntl(master, F_SETFL, O_RDWR | O_NONBLOCK));
  CHECK_ERRNO(read(master, &byte, 1), EAGAIN);
  int again = OK(open_slave());
  OK(write(again, "y", 1));
  struct pollfd polled = {.fd = master, .events = POLLIN};
  CHECK_EQ(OK(poll(&polled, 1, -1)), 1);
  CHECK_EQ(OK(read(master, &byte, 1)), 1);
  CHECK_EQ(byte, 'y');
  OK(close(again));
  CHECK_ERRNO(read(master, &byte, 1), EAGAIN);
  polled = (struct pollfd){.fd = slave, .events = POLLIN | POLLOUT};
  CHECK_EQ(OK(poll(&polled, 1, 0)), 1);
  CHECK_EQ(polled.revents, POLLIN | POLLOUT | POLLHUP | POLLERR);
  OK(close(slave));
  CHECK_ERRNO(read(master, &byte, 1), EIO);
  OK(close(master));
}

static void a_hang_up_makes_a_line_anew(void) {
  if (geteuid() != 0) return;
  open_pair();
  struct termios2 before, changed, after;
  OK(ioctl(slave, TCGETS2, &before));
  changed = before;
  changed.c_lflag &= ~(ICANON | ECHO);
  changed.c_oflag = 0;
  OK(ioctl(slave, TCSETS2, &changed));
  CHECK_EQ(OK(write(master, "lost", 4)), 4);
  struct pollfd polled = {.fd = slave, .events = POLLIN};
  CHECK_EQ(OK(poll(&polled, 1, -1)), 1);
  OK(ioctl(slave, TIOCVHANGUP));
  int again = OK(open_slave()), waiting;
  OK(ioctl(again, TCGETS2, &after));
  CHECK(memcmp(&before, &after, sizeof before) == 0);
  OK(ioctl(again, FIONREAD, &waiting));
  CHECK_EQ(waiting, 0);
  OK(close(again));
  close_pair();
}

static volatile sig_atomic_t hang_ups;

static void count_hang_up(int signal UNUSED) { hang_ups++; }

static void vhangup_takes_the_session_s_terminal(void) {
  if (geteuid() != 0) return;
  pid_t pid;
  IN_CHILD(pid) {
    OK(setsid());
    OK(syscall(SYS_vhangup));
    open_pair();
    signal(SIGHUP, count_hang_up);
    OK(ioctl(slave, TIOCSCTTY, 0));
    int tty = OK(open("/dev/tty", O_RDWR));
    OK(syscall(SYS_vhangup));
    CHECK_EQ(hang_ups, 1);
    CHECK_ERRNO(write(slave, "x", 1), EIO);
    CHECK_ERRNO(write(tty, "x", 1), EIO);
    CHECK_ERRNO(open("/dev/tty", O_RDWR), ENXIO);
    OK(setuid(65432));
    CHECK_ERRNO(syscall(SYS_vhangup), EPERM);
  }
  WAIT_OK(pid);
}

int main(void) {
  system_v_settings_are_halves();
  speeds_follow_the_flags_and_characters_have_8_bits();
  locked_settings_stay();
  one_who_is_exclusive_lets_only_the_privileged_in();
  a_pseudoterminal_has_one_discipline_and_no_wire();
  flow_characters_are_sent_to_the_master();
  packet_mode_tells_the_master_what_happened();
  a_typed_byte_is_read();
  slaves_of_before_a_hang_up_are_dead();
  a_hang_up_makes_a_line_anew();
  vhangup_takes_the_session_s_terminal();
  return 0;
}
