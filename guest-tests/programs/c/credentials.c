// User and group ids: reading, setting as root and as another user, supplementary groups, capabilities.
#include "check.h"
#include <grp.h>
#include <linux/capability.h>
#include <sys/fsuid.h>

static void ids_agree(void) {
  uid_t real, effective, saved;
  gid_t group, effective_group, saved_group;
  OK(getresuid(&real, &effective, &saved));
  OK(getresgid(&group, &effective_group, &saved_group));
  CHECK_EQ(real, getuid());
  CHECK_EQ(effective, geteuid());
  CHECK_EQ(group, getgid());
  CHECK_EQ(effective_group, getegid());
  CHECK(getgroups(0, NULL) >= 0);
  CHECK_ERRNO(syscall(SYS_getgroups, -1, NULL), EINVAL);
  CHECK_ERRNO(syscall(SYS_getresuid, 8, 8, 8), EFAULT);
}

static void a_user_cannot_change_at_will(void) {
  pid_t pid;
  IN_CHILD(pid) {
    if (geteuid() == 0) {
      OK(setgroups(2, (gid_t[]){5000, 6000}));
      gid_t groups[8];
      CHECK_EQ(getgroups(8, groups), 2);
      CHECK_EQ(groups[0], 5000);
      CHECK_EQ(groups[1], 6000);
      CHECK_ERRNO(getgroups(1, groups), EINVAL);
      OK(setresgid(1001, 1001, 1001));
      OK(setresuid(1000, 1000, 1000));
      CHECK_EQ(getuid(), 1000);
      CHECK_EQ(getegid(), 1001);
    }
    CHECK_ERRNO(setuid(0), EPERM);
    CHECK_ERRNO(setgid(0), EPERM);
    CHECK_ERRNO(setreuid(0, -1), EPERM);
    CHECK_ERRNO(setresuid(-1, 0, -1), EPERM);
    CHECK_ERRNO(setgroups(0, NULL), EPERM);
    OK(setresuid(-1, -1, -1));
    OK(setuid(getuid()));
    CHECK_ERRNO(setuid(-1), EINVAL);
    CHECK_ERRNO(chown("/etc/passwd", 1000, 1000), EPERM);
    CHECK_ERRNO(open("/etc/passwd", O_WRONLY), EACCES);
    CHECK_ERRNO(kill(1, SIGTERM), EPERM);
    CHECK_ERRNO(open("/etc/shadow", O_RDONLY), EACCES);
  }
  WAIT_OK(pid);
}

static void saved_ids_allow_return(void) {
  if (geteuid() != 0) return;
  pid_t pid;
  IN_CHILD(pid) {
    OK(seteuid(1000));
    CHECK_ERRNO(open("/etc/shadow", O_RDONLY), EACCES);
    CHECK_EQ(getuid(), 0);
    OK(seteuid(0));
    OK(setreuid(1000, 1001)); // The saved id follows the effective one.
    uid_t real, effective, saved;
    OK(getresuid(&real, &effective, &saved));
    CHECK_EQ(real, 1000);
    CHECK_EQ(effective, 1001);
    CHECK_EQ(saved, 1001);
    CHECK_ERRNO(seteuid(0), EPERM);
    OK(seteuid(1000));
  }
  WAIT_OK(pid);
}

static void capabilities_follow_the_user(void) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2];
  OK(syscall(SYS_capget, &header, data));
  if (geteuid() == 0) CHECK(data[0].effective & (1U << CAP_CHOWN));
  header.version = 1;
  CHECK_ERRNO(syscall(SYS_capget, &header, data), EINVAL);
  CHECK_EQ(header.version, _LINUX_CAPABILITY_VERSION_3); // The kernel says which it prefers.
  header.version = _LINUX_CAPABILITY_VERSION_3;
  header.pid = 0x3ffffff;
  CHECK_ERRNO(syscall(SYS_capget, &header, data), ESRCH);
  if (geteuid() != 0) return;
  pid_t pid;
  IN_CHILD(pid) {
    header.pid = 0;
    OK(setuid(1000));
    OK(syscall(SYS_capget, &header, data));
    CHECK_EQ(data[0].effective, 0);
    CHECK_EQ(data[0].permitted, 0);
  }
  WAIT_OK(pid);
}

static void files_get_the_ids_of_their_maker(void) {
  struct stat status;
  write_file("mine", "");
  OK(stat("mine", &status));
  CHECK_EQ(status.st_uid, geteuid());
  CHECK_EQ(status.st_gid, getegid());
  if (geteuid() != 0) return;
  OK(chown("mine", 1234, 5678));
  OK(stat("mine", &status));
  CHECK_EQ(status.st_uid, 1234);
  CHECK_EQ(status.st_gid, 5678);
  OK(chmod("mine", 06755));
  OK(chown("mine", -1, 1));
  OK(stat("mine", &status));
  CHECK_EQ(status.st_mode & 07777, 0755); // A change of owner drops set-user-id and set-group-id.
  OK(mkdir("open", 0777));
  OK(chmod("open", 0777));
  OK(mkdir("sticky", 0777));
  OK(chmod("sticky", 01777));
  write_file("sticky/file", "");
  OK(mkdir("grouped", 0777));
  OK(chown("grouped", 0, 4321));
  OK(chmod("grouped", 02777));
  pid_t pid;
  IN_CHILD(pid) {
    OK(setgroups(0, NULL));
    OK(setgid(1000));
    OK(setuid(1000));
    write_file("open/theirs", "");
    OK(stat("open/theirs", &status));
    CHECK_EQ(status.st_uid, 1000);
    CHECK_ERRNO(unlink("sticky/file"), EPERM);
    CHECK_ERRNO(rename("sticky/file", "open/file"), EPERM);
    write_file("grouped/file", "");
    OK(stat("grouped/file", &status));
    CHECK_EQ(status.st_gid, 4321);
    OK(mkdir("grouped/directory", 0755));
    OK(stat("grouped/directory", &status));
    CHECK_EQ(status.st_gid, 4321);
    CHECK(status.st_mode & S_ISGID);
    CHECK_ERRNO(mkdir("refused", 0755), EACCES);
  }
  WAIT_OK(pid);
}

int main(void) {
  enter_scratch();
  ids_agree();
  a_user_cannot_change_at_will();
  saved_ids_allow_return();
  capabilities_follow_the_user();
  files_get_the_ids_of_their_maker();
  int previous = setfsuid(-1);
  CHECK_EQ(previous, geteuid());
  return 0;
}
