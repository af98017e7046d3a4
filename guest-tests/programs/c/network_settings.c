// /proc/sys/net of a new network namespace: what new sockets begin with, what is told in two units, and what is not a number.
#include "inet.h"

#define ROOT "/proc/sys/net/"

// Writes a setting; 0, or the error.
static int set(const char *name, const char *value) {
  char path[128];
  snprintf(path, sizeof path, ROOT "%s", name);
  int file = open(path, O_WRONLY);
  if (file < 0) return errno;
  int error = write(file, value, strlen(value)) == (ssize_t)strlen(value) ? 0 : errno;
  OK(close(file));
  return error;
}

static const char *get(const char *name) {
  static char text[256];
  char path[128];
  snprintf(path, sizeof path, ROOT "%s", name);
  int file = OK(open(path, O_RDONLY));
  ssize_t length = read(file, text, sizeof text - 1);
  int error = errno;
  OK(close(file));
  if (length < 0) snprintf(text, sizeof text, "error %d", error);
  else text[length] = 0;
  text[strcspn(text, "\n")] = 0;
  return text;
}

#define IS(name, value) CHECK_CASE(strcmp(get(name), value) == 0, "%s: %s, not %s", name, get(name), value)

static unsigned mode_of(const char *name) {
  char path[128];
  snprintf(path, sizeof path, ROOT "%s", name);
  struct stat status;
  OK(stat(path, &status));
  return status.st_mode & 07777;
}

static void new_connections(void) {
  CHECK_EQ(set("ipv4/tcp_congestion_control", "nothing"), ENOENT);
  CHECK_EQ(set("ipv4/tcp_congestion_control", "reno\n"), 0);
  CHECK_EQ(set("ipv4/tcp_keepalive_time", "99"), 0);
  CHECK_EQ(set("ipv4/tcp_keepalive_intvl", "9"), 0);
  CHECK_EQ(set("ipv4/tcp_keepalive_probes", "3"), 0);
  CHECK_EQ(set("ipv4/tcp_syn_retries", "2"), 0);
  CHECK_EQ(set("ipv4/tcp_fin_timeout", "20"), 0);
  int one = OK(socket(AF_INET, SOCK_STREAM, 0));
  char name[16] = "";
  socklen_t length = sizeof name;
  OK(getsockopt(one, IPPROTO_TCP, TCP_CONGESTION, name, &length));
  CHECK(strcmp(name, "reno") == 0);
  CHECK_EQ(option_of(one, IPPROTO_TCP, TCP_KEEPIDLE), 99);
  CHECK_EQ(option_of(one, IPPROTO_TCP, TCP_KEEPINTVL), 9);
  CHECK_EQ(option_of(one, IPPROTO_TCP, TCP_KEEPCNT), 3);
  CHECK_EQ(option_of(one, IPPROTO_TCP, TCP_SYNCNT), 2);
  CHECK_EQ(option_of(one, IPPROTO_TCP, TCP_LINGER2), 20);
  OK(close(one));
}

static void neighbours(void) {
  IS("ipv4/neigh/lo/unres_qlen", "101");
  CHECK_EQ(set("ipv4/neigh/lo/base_reachable_time", "7"), 0);
  IS("ipv4/neigh/lo/base_reachable_time_ms", "7000");
  CHECK_EQ(set("ipv6/neigh/lo/retrans_time_ms", "500"), 0);
  IS("ipv6/neigh/lo/retrans_time_ms", "500");
  CHECK_EQ(set("ipv4/neigh/lo/unres_qlen", "7"), 0);
  IS("ipv4/neigh/lo/unres_qlen", "7");
  CHECK_EQ(set("ipv4/neigh/lo/app_solicit", "-1"), EINVAL);
}

static void others(void) {
  IS("ipv4/tcp_fastopen_key", "00000000-00000000-00000000-00000000");
  CHECK_EQ(mode_of("ipv4/tcp_fastopen_key"), 0600);
  CHECK_EQ(set("ipv4/tcp_fastopen_key", "1-2-3"), EINVAL);
  CHECK_EQ(set("ipv4/tcp_fastopen_key", "1-2-3-4,a-b-c-d"), 0);
  IS("ipv4/tcp_fastopen_key", "00000001-00000002-00000003-00000004,0000000a-0000000b-0000000c-0000000d");
  CHECK_EQ(mode_of("ipv6/conf/lo/stable_secret"), 0600);
  IS("ipv6/conf/lo/stable_secret", "error 5");
  CHECK_EQ(set("ipv6/conf/lo/stable_secret", "nothing"), EIO);
  CHECK_EQ(set("ipv6/conf/lo/stable_secret", "fe80::1"), 0);
  IS("ipv6/conf/lo/stable_secret", "fe80:0000:0000:0000:0000:0000:0000:0001");
  IS("ipv6/icmp/ratemask", "0-1,3-127");
  CHECK_EQ(set("ipv6/icmp/ratemask", "256"), EINVAL);
  CHECK_EQ(set("ipv6/icmp/ratemask", "9,0-1"), 0);
  IS("ipv6/icmp/ratemask", "0-1,9");
  CHECK_EQ(mode_of("ipv4/route/flush"), 0200);
  CHECK_EQ(set("ipv4/route/flush", "1"), 0);
  CHECK_EQ(set("ipv6/route/flush", "1"), 0);
  CHECK_EQ(open(ROOT "ipv4/route/flush", O_RDONLY), -1);
  CHECK_EQ(errno, EACCES);
  // What all namespaces have in common is the first one's to change.
  CHECK_EQ(set("core/rmem_max", "5000"), EACCES);
}

int main(void) {
  OK(unshare(CLONE_NEWNET));
  new_connections();
  neighbours();
  others();
  puts("ok");
}
