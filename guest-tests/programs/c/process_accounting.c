// acct: a record of each process that ends.
#include "check.h"
#include <sys/acct.h>
#include <sys/prctl.h>

int main(void) {
  enter_scratch();
  CHECK_ERRNO(acct("missing"), ENOENT);
  CHECK_ERRNO(acct("."), EISDIR);
  CHECK_ERRNO(acct("/dev/null"), EACCES);
  CHECK_ERRNO(acct(wild), EFAULT);
  write_file("records", "");
  char name[16];
  OK(prctl(PR_GET_NAME, name));
  time_t before = time(NULL);
  OK(acct("records"));
  pid_t pid, killed;
  IN_CHILD(pid) { _exit(9); }
  WAIT_EXIT(pid, 9);
  IN_CHILD(killed) { pause(); }
  OK(kill(killed, SIGKILL));
  WAIT_SIGNALED(killed, SIGKILL);
  OK(acct(NULL));
  pid_t unseen;
  IN_CHILD(unseen) {}
  WAIT_OK(unseen);
  // Other processes of the machine may have ended meanwhile.
  int records = OK(open("records", O_RDONLY)), seen = 0;
  struct acct_v3 record;
  while (read(records, &record, sizeof record) == sizeof record) {
    CHECK((record.ac_version & 0x7f) == 3);
    CHECK(record.ac_pid != (unsigned)unseen);
    if (record.ac_pid != (unsigned)pid && record.ac_pid != (unsigned)killed) continue;
    int is_killed = record.ac_pid == (unsigned)killed;
    seen |= 1 << is_killed;
    CHECK_EQ(record.ac_exitcode, is_killed ? SIGKILL : 9 << 8);
    CHECK_EQ(record.ac_flag & AXSIG, is_killed ? AXSIG : 0);
    CHECK_EQ(record.ac_uid, getuid());
    CHECK_EQ(record.ac_gid, getgid());
    CHECK_EQ(record.ac_ppid, getpid());
    CHECK(record.ac_btime + 2 >= (unsigned)before && record.ac_btime <= time(NULL) + 1);
    CHECK(strncmp(record.ac_comm, name, 15) == 0);
  }
  CHECK_EQ(seen, 3);
  IN_CHILD(pid) {
    OK(setuid(12345));
    CHECK_ERRNO(acct(NULL), EPERM);
  }
  WAIT_OK(pid);
  return 0;
}
