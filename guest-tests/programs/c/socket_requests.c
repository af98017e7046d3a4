// ioctl(2) on sockets of all families: which requests look for a link, which are unknown, and what tells of namespaces and bridges.
#include "inet.h"
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define SIOCGSKNS_ 0x894c

static const struct {
  int family, type, protocol;
} kinds[] = {{AF_UNIX, SOCK_STREAM, 0}, {AF_INET, SOCK_STREAM, 0}, {AF_INET6, SOCK_DGRAM, 0}, {AF_NETLINK, SOCK_RAW, 0}, {AF_PACKET, SOCK_RAW, 0}};

static int error_of(int socket, unsigned long request, const char *name) {
  char asked[256] = {0};
  strcpy(asked, name);
  errno = 0;
  return ioctl(socket, request, asked) == -1 ? errno : 0;
}

static void links(int socket) {
  static const int unknown[] = {0x890e, 0x890f, SIOCSIFLINK, SIOCGIFMEM, SIOCSIFMEM, 0x8928, 0x893f, 0x894d, 0x8960, 0x89d0};
  for (size_t i = 0; i < COUNT(unknown); i++) {
    CHECK_CASE(error_of(socket, unknown[i], "lo") == ENOTTY, "%x of lo", unknown[i]);
    CHECK_CASE(error_of(socket, unknown[i], "nosuch") == ENOTTY, "%x of none", unknown[i]);
  }
  static const int asked[] = {SIOCGIFFLAGS, SIOCGIFMTU, SIOCGIFINDEX, SIOCGIFMAP, SIOCGIFTXQLEN, SIOCSIFMETRIC, SIOCSIFHWBROADCAST, SIOCADDMULTI, SIOCDELMULTI, SIOCBONDENSLAVE, SIOCBONDINFOQUERY, SIOCGMIIPHY, SIOCGHWTSTAMP, SIOCDEVPRIVATE};
  for (size_t i = 0; i < COUNT(asked); i++) CHECK_CASE(error_of(socket, asked[i], "nosuch") == ENODEV, "%x", asked[i]);
  static const int wrong[] = {SIOCSIFSLAVE, SIOCADDMULTI, SIOCDELMULTI, SIOCSIFHWBROADCAST};
  for (size_t i = 0; i < COUNT(wrong); i++) CHECK_CASE(error_of(socket, wrong[i], "lo") == EINVAL, "%x", wrong[i]);
  static const int refused[] = {SIOCBONDENSLAVE, SIOCBONDSLAVEINFOQUERY, SIOCBONDCHANGEACTIVE, SIOCGHWTSTAMP, SIOCDEVPRIVATE, SIOCGMIIREG};
  for (size_t i = 0; i < COUNT(refused); i++) CHECK_CASE(error_of(socket, refused[i], "lo") == EOPNOTSUPP, "%x", refused[i]);
}

// Addresses are asked of sockets of IPv4, and of packet sockets, which pass it on.
static void addresses(int socket, int family) {
  int is_inet = family == AF_INET || family == AF_PACKET;
  CHECK_EQ(error_of(socket, SIOCGIFADDR, "nosuch"), is_inet ? ENODEV : ENOTTY);
  CHECK_EQ(error_of(socket, SIOCGIFNETMASK, "nosuch"), is_inet ? ENODEV : ENOTTY);
  if (family != AF_INET6) CHECK_EQ(error_of(socket, SIOCADDRT, ""), is_inet ? EAFNOSUPPORT : ENOTTY);
}

static void namespace_of(int socket) {
  int opened = OK(ioctl(socket, SIOCGSKNS_, 0));
  struct stat own, its;
  OK(stat("/proc/self/ns/net", &own));
  OK(fstat(opened, &its));
  CHECK_EQ(own.st_ino, its.st_ino);
  CHECK_EQ(fcntl(opened, F_GETFD), FD_CLOEXEC);
  OK(close(opened));
  pid_t pid;
  IN_CHILD(pid) {
    OK(setuid(1));
    CHECK_ERRNO(ioctl(socket, SIOCGSKNS_, 0), EPERM);
    CHECK_EQ(error_of(socket, SIOCADDMULTI, "lo"), EPERM);
  }
  WAIT_OK(pid);
}

// As brctl(8) once did it.
static void old_bridges(int socket) {
  int indices[4] = {0};
  unsigned long version[3] = {0}, list[3] = {1, (unsigned long)indices, 4}, other[3] = {9};
  unsigned long make[3] = {2, (unsigned long)"old0"}, drop[3] = {3, (unsigned long)"old0"};
  CHECK_EQ(ioctl(socket, SIOCGIFBR, version), 1);
  CHECK_EQ(ioctl(socket, SIOCSIFBR, version), 1);
  CHECK_EQ(ioctl(socket, SIOCGIFBR, list), 0);
  OK(ioctl(socket, SIOCSIFBR, make));
  CHECK_ERRNO(ioctl(socket, SIOCSIFBR, make), EEXIST);
  CHECK_EQ(ioctl(socket, SIOCGIFBR, list), 1);
  CHECK_EQ(indices[0], (int)if_nametoindex("old0"));
  OK(ioctl(socket, SIOCSIFBR, drop));
  CHECK_ERRNO(ioctl(socket, SIOCSIFBR, drop), ENXIO);
  CHECK_ERRNO(ioctl(socket, SIOCGIFBR, other), EOPNOTSUPP);
  CHECK_ERRNO(ioctl(socket, SIOCGIFBR, 8), EFAULT);
  list[2] = 4096;
  CHECK_ERRNO(ioctl(socket, SIOCGIFBR, list), ENOMEM);
}

// IPv6 has a structure of its own for the addresses of links.
static void addresses_v6(void) {
  struct {
    struct in6_addr address;
    unsigned prefix;
    int device;
  } request = {.prefix = 64, .device = 1};
  CHECK_EQ(inet_pton(AF_INET6, "fd00::7", &request.address), 1);
  int six = OK(socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  struct ifreq up = {.ifr_name = "lo", .ifr_flags = IFF_UP};
  OK(ioctl(six, SIOCSIFFLAGS, &up));
  OK(ioctl(six, SIOCSIFADDR, &request));
  CHECK_ERRNO(ioctl(six, SIOCSIFADDR, &request), EEXIST);
  OK(ioctl(six, SIOCDIFADDR, &request));
  CHECK_ERRNO(ioctl(six, SIOCDIFADDR, &request), EADDRNOTAVAIL);
  request.prefix = 129;
  CHECK_ERRNO(ioctl(six, SIOCSIFADDR, &request), EINVAL);
  request.prefix = 64;
  request.device = 77;
  CHECK_ERRNO(ioctl(six, SIOCSIFADDR, &request), ENODEV);
  OK(close(six));
}

int main(void) {
  OK(unshare(CLONE_NEWNET));
  for (size_t i = 0; i < COUNT(kinds); i++) {
    int any = OK(socket(kinds[i].family, kinds[i].type, kinds[i].protocol));
    links(any);
    addresses(any, kinds[i].family);
    namespace_of(any);
    old_bridges(any);
    OK(close(any));
  }
  addresses_v6();
  return 0;
}
