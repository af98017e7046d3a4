// What a terminal makes of typed characters and of output: what is shown, what can be read, and when. Each case prints what
// happened, which must be what happens on Linux.
// compared
// timeout: 90
#include "check.h"
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <termios.h>

#ifndef EXTPROC
#define EXTPROC 0200000
#endif

static int master = -1, slave = -1;

static void open_pair(void) {
  if (master >= 0) close(slave), close(master);
  master = OK(posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK));
  OK(grantpt(master)), OK(unlockpt(master));
  slave = OK(open(ptsname(master), O_RDWR | O_NOCTTY | O_NONBLOCK));
}

static void change(tcflag_t input_on, tcflag_t input_off, tcflag_t output_on, tcflag_t output_off, tcflag_t local_on, tcflag_t local_off) {
  struct termios settings;
  OK(tcgetattr(slave, &settings));
  settings.c_iflag = (settings.c_iflag | input_on) & ~input_off;
  settings.c_oflag = (settings.c_oflag | output_on) & ~output_off;
  settings.c_lflag = (settings.c_lflag | local_on) & ~local_off;
  OK(tcsetattr(slave, TCSANOW, &settings));
}
static void local(tcflag_t on, tcflag_t off) { change(0, 0, 0, 0, on, off); }
static void input(tcflag_t on, tcflag_t off) { change(on, off, 0, 0, 0, 0); }
static void output(tcflag_t on, tcflag_t off) { change(0, 0, on, off, 0, 0); }

static void character(int index, int value) {
  struct termios settings;
  OK(tcgetattr(slave, &settings));
  settings.c_cc[index] = value;
  OK(tcsetattr(slave, TCSANOW, &settings));
}

static void print(const char *label, const char *bytes, ssize_t length) {
  printf(" %s", label);
  if (length < 0) {
    printf(" %s", strerrorname_np(errno));
    return;
  }
  if (length > 100) printf(" %zd bytes ending in", length), bytes += length - 10, length = 10;
  printf(" \"");
  for (ssize_t i = 0; i < length; i++) {
    unsigned char byte = bytes[i];
    if (byte < 0x20 || byte >= 0x7f || byte == '\\') printf("\\%02x", byte);
    else putchar(byte);
  }
  putchar('"');
}

// Characters reach the other side a little later; a poll that finds nothing waits for those that are on their way. Where some
// have arrived it does not: the kernel's thread that brings the others goes first, on a busy machine too.
static void settle(void) {
  for (int i = 0; i < 2; i++) {
    struct pollfd files[] = {{slave, POLLIN}, {master, POLLIN}};
    OK(poll(files, 2, 0));
    sleep_ms(files[0].revents & POLLIN ? 8 : 5);
  }
}

static void show(void) {
  static char buffer[65536];
  settle();
  ssize_t length = 0, got;
  while ((got = read(master, buffer + length, sizeof buffer - length)) > 0) length += got;
  print("shows", buffer, length > 0 ? length : got < 0 ? got : 0);
}

static ssize_t try_read(size_t size) {
  static char buffer[65536];
  ssize_t got = read(slave, buffer, size);
  print("reads", buffer, got);
  return got;
}

static void state(void) {
  int waiting, shown;
  OK(ioctl(slave, FIONREAD, &waiting)), OK(ioctl(master, FIONREAD, &shown));
  struct pollfd files[] = {{slave, POLLIN | POLLOUT | POLLPRI}, {master, POLLIN | POLLOUT | POLLPRI}};
  OK(poll(files, 2, 0));
  printf(" state %d %d %x %x", waiting, shown, files[0].revents, files[1].revents);
}

static void type_bytes(const char *bytes, size_t length) {
  CHECK_EQ(write(master, bytes, length), length);
  settle();
}
static void type(const char *text) { type_bytes(text, strlen(text)); }

static void fresh(const char *name) {
  printf("\n%s:", name);
  open_pair();
}

// All that can be read.
static void read_all(void) {
  for (int i = 0; i < 8; i++) {
    ssize_t got = try_read(256);
    if (got < 0) break;
  }
}

static void typed(const char *name, const char *text) {
  printf("\n%s:", name);
  type(text);
  show();
  state();
  read_all();
}

static void erasing(void) {
  const struct {
    const char *name;
    tcflag_t on, off, input;
  } modes[] = {
      {"usual", 0, 0, 0},
      {"utf8", 0, 0, IUTF8},
      {"no echoctl", 0, ECHOCTL, 0},
      {"no echoe", 0, ECHOE, 0},
      {"no echok", 0, ECHOK, 0},
      {"no echoke", 0, ECHOKE, 0},
      {"neither", 0, ECHOKE | ECHOK, 0},
      {"echoprt", ECHOPRT, 0, IUTF8},
      {"no echo", 0, ECHO, 0},
      {"only echonl", ECHONL, ECHO, 0},
      {"no iexten", 0, IEXTEN, 0},
  };
  const char *texts[] = {
      "ab\x7f\x7f\x7f" "c\n",
      "a\xc3\xa4\x7f" "b\xe6\xbc\xa2\xe5\xad\x97\x7f\x7f\n",
      "\xe4\x7f\x80\x7f\x7fz\n",
      "a\tb\tc\x7f\x7f\x7f\x7f\x7fx\n",
      "\t\xc3\xa4\t\x7f\x7f\x7f\n",
      "\x01\x7f" "a\x02\t\x7f\x7f\x7f\n",
      "\x16\x03\x16\x16\x16\n\x7f\x16\t\x7f\n",
      "one two_3  \x17x\x17\x17\x17y\n",
      "a.b-c\xc3\xa4 \x17\x17\x17\x17\n",
      "kill \x01\tme\x15ok\n",
      "re\tprint\x01\x12" "ed\n",
      "abc\x7f\x7f" "d\x7f\x12\x7f\x15 e\n",
  };
  for (size_t i = 0; i < COUNT(modes); i++) {
    for (size_t j = 0; j < COUNT(texts); j++) {
      open_pair();
      change(modes[i].input, 0, 0, 0, modes[i].on, modes[i].off);
      printf("\n%s %zu:", modes[i].name, j);
      OK(write(slave, "p>", 2));
      type(texts[j]);
      show();
      read_all();
    }
  }
}

static void ends_of_lines_and_files(void) {
  fresh("ends");
  character(VEOL, ';'), character(VEOL2, '!');
  typed("eol", "a;b!c\n;;");
  local(0, IEXTEN);
  typed("eol2 is extended", "a;b!c\n");
  local(IEXTEN, 0);
  typed("end of file", "\x04" "ab\x04\x04\x04" "c\n\x04");
  typed("carriage return", "a\rb\r");
  fresh("a buffer that an end of file fills");
  type("abcd\x04" "efgh\n\x04\x04"), state();
  try_read(4), state(), try_read(4), try_read(4), try_read(4), try_read(4), try_read(4);
  type("ab\x04"), try_read(1), try_read(1), try_read(1);
  type("abc\n"), try_read(0), try_read(2), state(), try_read(2), try_read(2);
}

static void long_lines(void) {
  static char text[9000];
  const int sizes[] = {4094, 4095, 4096, 4097, 5000, 9000};
  for (size_t i = 0; i < COUNT(sizes); i++) {
    fresh("long line");
    local(0, ECHO);
    for (int j = 0; j < sizes[i]; j++) text[j] = 'a' + j % 26;
    type_bytes(text, sizes[i]), state(), try_read(8192);
    type("\n"), state(), try_read(8192), try_read(8192);
    type_bytes(text, sizes[i]), type("\x7f\x7f!\n"), try_read(8192);
    type_bytes(text, sizes[i]), type("\x15new\n"), try_read(8192), try_read(8192);
    type_bytes(text, sizes[i]), type("\x04"), try_read(8192), try_read(8192);
  }
  fresh("behind a line");
  local(0, ECHO);
  type("first\n");
  type_bytes(text, 5000), state(), type("\n"), state(), try_read(8192), settle(), state(), try_read(8192), try_read(8192);
  fresh("raw");
  local(0, ECHO | ICANON | ISIG);
  type_bytes(text, 9000), settle(), state();
  for (ssize_t all = 0; all < 9000; settle()) all += try_read(8192);
  state();
  fresh("raw output");
  output(0, OPOST);
  CHECK_EQ(write(slave, text, 9000), 9000);
  settle(), state(), show(), state();
}

static void mapping(void) {
  const struct {
    const char *name;
    tcflag_t on, off;
  } inputs[] = {{"none", 0, ICRNL}, {"icrnl", ICRNL, 0}, {"inlcr", INLCR, ICRNL}, {"igncr", IGNCR, 0}, {"both", INLCR | ICRNL, 0},
                {"istrip", ISTRIP, 0}, {"iuclc", IUCLC, 0}, {"parmrk", PARMRK, 0}};
  for (size_t i = 0; i < COUNT(inputs); i++) {
    for (int canonical = 0; canonical < 2; canonical++) {
      fresh(inputs[i].name);
      change(inputs[i].on, inputs[i].off, 0, 0, canonical ? ICANON : 0, canonical ? 0 : ICANON);
      typed(canonical ? "lines" : "bytes", "a\rB\n\xc1\xff\xd7");
    }
  }
  const struct {
    const char *name;
    tcflag_t on, off;
  } outputs[] = {{"opost", 0, ONLCR}, {"onlcr", ONLCR, 0}, {"ocrnl", OCRNL, ONLCR}, {"onocr", ONOCR, 0}, {"onlret", ONLRET, ONLCR},
                 {"onlret ocrnl onocr", ONLRET | OCRNL | ONOCR, ONLCR}, {"olcuc", OLCUC, 0}, {"xtabs", XTABS, 0}, {"nothing", 0, OPOST}};
  for (size_t i = 0; i < COUNT(outputs); i++) {
    fresh(outputs[i].name);
    output(outputs[i].on, outputs[i].off);
    const char text[] = "\rab\r\r\nc\n\rd\te\b\bf\tg\x01\t\xe4h\xff\r\n";
    OK(write(slave, text, sizeof text - 1));
    show();
    type("x\ty\x7f\x7f\n"), show();
  }
}

static void signals_flush(void) {
  for (int keeps = 0; keeps < 2; keeps++) {
    for (const char *key = "\x03\x1c\x1a"; *key != 0; key++) {
      fresh(keeps ? "noflsh" : "flush");
      local(keeps ? NOFLSH : 0, keeps ? 0 : NOFLSH);
      OK(write(slave, "out", 3));
      settle();
      type("line\nhalf");
      char text[] = {*key, 'r', '\n', 0};
      typed("key", text);
      type("\x16"), typed("literal", text);
    }
  }
  fresh("no isig");
  local(0, ISIG);
  typed("keys", "\x03\x1c\x1a\n");
}

static void flow(void) {
  fresh("flow");
  OK(write(slave, "before", 6));
  settle();
  type("\x13"), state(), show();
  print("writes", "", write(slave, "x", 1));
  type("ab\x7f" "c\n"), show(), state(), try_read(10);
  type("\x11"), show(), state();
  input(IXANY, 0);
  type("\x13"), print("writes", "", write(slave, "x", 1));
  typed("any", "z\n");
  OK(tcflow(slave, TCOOFF));
  print("writes", "", write(slave, "x", 1));
  typed("not any", "z\n");
  typed("not start", "\x11");
  OK(tcflow(slave, TCOON)), show();
  type("\x13"), OK(tcflow(slave, TCOON)), print("writes", "", write(slave, "x", 1));
  input(0, IXON), show(), print("writes", "", write(slave, "y", 1));
  typed("characters", "\x13\x11\n");
  OK(tcflow(slave, TCIOFF)), OK(tcflow(slave, TCION)), show();
  fresh("an interrupt starts");
  type("\x13\x03"), show(), print("writes", "", write(slave, "y", 1)), show();
}

static void switching(void) {
  fresh("lines to bytes");
  type("ab\ncd\x04half"), show(), state(), local(0, ICANON), state(), read_all();
  fresh("bytes to lines");
  local(0, ICANON | ECHO);
  type("ab\ncd"), state(), local(ICANON, 0), state(), type("ef\n"), state(), read_all();
  fresh("there and back");
  type("ab\x16"), local(0, ICANON), local(ICANON, 0), state(), type("\x03" "cd\n"), show(), read_all();
  fresh("nothing to lines");
  local(0, ICANON), local(ICANON, 0), state(), typed("then", "x\n");
  fresh("a nul last");
  local(0, ICANON), type_bytes("ab\0", 3), local(ICANON, 0), state(), read_all();
  fresh("flushed");
  type("ab\ncd"), show();
  struct termios settings;
  OK(tcgetattr(slave, &settings)), OK(tcsetattr(slave, TCSAFLUSH, &settings));
  state(), typed("then", "e\n");
  type("ab\ncd"), OK(tcflush(slave, TCIFLUSH)), state(), typed("flush", "\n");
  fresh("extproc");
  local(EXTPROC, 0), typed("all", "a\x03\x7f\r\n"), typed("end", "\x04"), typed("no end", "x\x04");
}

static void packets(void) {
  int on = 1;
  fresh("packets");
  OK(ioctl(master, TIOCPKT, &on));
  OK(write(slave, "out", 3)), settle(), state();
  char buffer[16];
  print("reads", buffer, read(master, buffer, 2)), print("reads", buffer, read(master, buffer, 16)), print("reads", buffer, read(master, buffer, 16));
  struct {
    const char *name;
    const char *keys;
    tcflag_t on, off, local_on, local_off;
    int flush;
  } steps[] = {
      {"stop", "\x13"}, {"start", "\x11"}, {"no ixon", "", 0, IXON}, {"ixon", "", IXON}, {"interrupt", "\x03"},
      {"flush", "", .flush = 1}, {"extproc", "", .local_on = EXTPROC}, {"still", "", .local_on = ECHO}, {"not", "", .local_off = EXTPROC},
      {"no more", "", .local_off = ECHOK},
  };
  for (size_t i = 0; i < COUNT(steps); i++) {
    printf("\n%s:", steps[i].name);
    type(steps[i].keys);
    if (steps[i].on | steps[i].off | steps[i].local_on | steps[i].local_off)
      change(steps[i].on, steps[i].off, 0, 0, steps[i].local_on, steps[i].local_off);
    if (steps[i].flush) OK(tcflush(slave, TCIOFLUSH));
    state();
    print("reads", buffer, read(master, buffer, 16)), print("reads", buffer, read(master, buffer, 16));
  }
}

// How long a read took, in tenths of a second as VTIME has them, rounded down; a child types meanwhile.
static void timed(const char *name, int least, int time, size_t size, const char *first, int later, int pause_tenths) {
  fresh(name);
  OK(fcntl(slave, F_SETFL, O_RDWR));
  local(0, ICANON | ECHO | ISIG);
  character(VMIN, least), character(VTIME, time);
  type(first);
  struct pollfd file = {slave, POLLIN};
  printf(" polls %d", poll(&file, 1, 0));
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) {
    for (int i = 0; i < later; i++) {
      sleep_ms(pause_tenths * 100);
      if (write(master, "z", 1) != 1) _exit(1);
    }
    _exit(0);
  }
  long long start = now_ms();
  try_read(size);
  long long took = now_ms() - start;
  printf(" %s", took < 90 ? "at once" : "later");
  WAIT_OK(pid);
  settle();
  OK(fcntl(slave, F_SETFL, O_RDWR | O_NONBLOCK));
  try_read(64);
}

static void waits(void) {
  timed("neither, nothing", 0, 0, 8, "", 0, 0);
  timed("neither, some", 0, 0, 8, "ab", 0, 0);
  timed("time, nothing", 0, 2, 8, "", 0, 0);
  timed("time, some", 0, 2, 8, "ab", 0, 0);
  timed("time, in time", 0, 20, 8, "", 1, 2);
  timed("least, enough", 3, 0, 8, "abcd", 0, 0);
  timed("least, not yet", 3, 0, 8, "ab", 1, 2);
  timed("least, small buffer", 3, 0, 2, "ab", 0, 0);
  timed("least, one by one", 3, 0, 8, "", 3, 2);
  timed("both, some", 5, 2, 8, "ab", 0, 0);
  timed("both, enough", 2, 2, 8, "abc", 0, 0);
  timed("both, then in time", 3, 20, 8, "ab", 1, 2);
  timed("both, first late", 3, 2, 8, "", 1, 4);
  timed("both, small buffer", 5, 2, 1, "ab", 0, 0);
  const int settings[][2] = {{0, 0}, {0, 3}, {5, 0}, {5, 3}};
  for (size_t i = 0; i < COUNT(settings); i++) {
    fresh("not waiting");
    local(0, ICANON | ECHO);
    character(VMIN, settings[i][0]), character(VTIME, settings[i][1]);
    try_read(8), type("ab"), state(), try_read(8), try_read(8), type("abcdef"), state(), try_read(2), try_read(8);
  }
}

static void ends_gone(void) {
  fresh("master gone");
  type("data\n");
  OK(close(master)), master = open("/dev/null", O_RDONLY);
  settle();
  struct pollfd file = {slave, POLLIN | POLLOUT | POLLPRI};
  OK(poll(&file, 1, 0));
  int waiting;
  printf(" polls %x", file.revents);
  try_read(10), try_read(10), print("writes", "", write(slave, "x", 1)), print("counts", "", ioctl(slave, FIONREAD, &waiting));
  fresh("slave gone");
  OK(write(slave, "left", 4)), type("typed\n");
  int name = OK(open(ptsname(master), O_RDONLY | O_NOCTTY | O_NONBLOCK | O_PATH));
  OK(close(slave)), settle();
  file = (struct pollfd){master, POLLIN | POLLOUT | POLLPRI};
  OK(poll(&file, 1, 0));
  printf(" polls %x", file.revents);
  show(), OK(poll(&file, 1, 0)), printf(" polls %x", file.revents), show();
  print("writes", "", write(master, "more\n", 5));
  close(name);
  slave = OK(open(ptsname(master), O_RDWR | O_NOCTTY | O_NONBLOCK));
  settle(), state(), show(), read_all(), type("x\n"), read_all();
}

int main(void) {
  OK(setpriority(PRIO_PROCESS, 0, 19));
  erasing();
  ends_of_lines_and_files();
  long_lines();
  mapping();
  signals_flush();
  flow();
  switching();
  packets();
  waits();
  ends_gone();
  putchar('\n');
  return 0;
}
