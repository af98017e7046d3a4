// TUN and TAP links: how a program comes by one, what it reads of what goes out, and what becomes of what it writes.
#include "inet.h"
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sched.h>

enum { INFORMATION = 4, HEADER = 14, IP = 20, UDP = 8 };
#define OWN "10.9.0.1"
#define PEER "10.9.0.2"
static const unsigned char PEER_HARDWARE[6] = {2, 0, 0, 0, 0, 9};

static int clone_device(void) { return OK(open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK)); }

static struct ifreq asked(const char *name, int flags) {
  struct ifreq request = {.ifr_flags = flags};
  strcpy(request.ifr_name, name);
  return request;
}

static int attach(int device, const char *name, int flags) {
  struct ifreq request = asked(name, flags);
  return ioctl(device, TUNSETIFF, &request);
}

static int ask_link(int request, struct ifreq *about) {
  int one = OK(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)), result = ioctl(one, request, about), error = errno;
  OK(close(one));
  errno = error;
  return result;
}

static int flags_of(const char *name) {
  struct ifreq request = asked(name, 0);
  return ask_link(SIOCGIFFLAGS, &request) ? -1 : (unsigned short)request.ifr_flags;
}

// Gives a link the own address, and takes it up.
static void set_up(const char *name) {
  struct ifreq request = asked(name, 0);
  struct sockaddr_in address = at(OWN, 0).v4, mask = at("255.255.255.0", 0).v4;
  memcpy(&request.ifr_addr, &address, sizeof address);
  OK(ask_link(SIOCSIFADDR, &request));
  memcpy(&request.ifr_netmask, &mask, sizeof mask);
  OK(ask_link(SIOCSIFNETMASK, &request));
  request = asked(name, flags_of(name) | IFF_UP);
  OK(ask_link(SIOCSIFFLAGS, &request));
}

static void without_a_link(void) {
  int device = clone_device(), number = 1;
  char byte;
  struct pollfd poll_one = {.fd = device, .events = POLLIN | POLLOUT};
  CHECK_ERRNO(read(device, &byte, 1), EBADFD);
  CHECK_ERRNO(write(device, &byte, 1), EBADFD);
  CHECK_EQ(poll(&poll_one, 1, 0), 1);
  CHECK_EQ(poll_one.revents, POLLERR);
  struct ifreq request = asked("", 0);
  CHECK_ERRNO(ioctl(device, TUNGETIFF, &request), EBADFD);
  CHECK_ERRNO(ioctl(device, TUNSETPERSIST, 1), EBADFD);
  CHECK_ERRNO(ioctl(device, TUNGETSNDBUF, &number), EBADFD);
  CHECK_ERRNO(ioctl(device, FIONREAD, &number), EBADFD);
  unsigned features;
  OK(ioctl(device, TUNGETFEATURES, &features));
  CHECK_EQ(features & (IFF_TUN | IFF_TAP | IFF_NO_PI | IFF_VNET_HDR), IFF_TUN | IFF_TAP | IFF_NO_PI | IFF_VNET_HDR);
  CHECK_ERRNO(attach(device, "", 0), EINVAL);
  CHECK_ERRNO(attach(device, "lo", IFF_TUN), EINVAL);
  CHECK_ERRNO(attach(device, "a/b", IFF_TUN), EINVAL);
  CHECK_ERRNO(ioctl(device, TUNSETIFF, 8), EFAULT);
  CHECK_ERRNO(lseek(device, 0, SEEK_SET), ESPIPE);
  OK(close(device));
}

static void names_and_settings(void) {
  int device = clone_device(), number;
  struct ifreq request = asked("", IFF_TAP);
  OK(ioctl(device, TUNSETIFF, &request));
  CHECK(strcmp(request.ifr_name, "tap0") == 0);
  CHECK_EQ(request.ifr_flags, IFF_TAP);
  CHECK_ERRNO(attach(device, "", IFF_TAP), EEXIST);
  request = asked("", 0);
  OK(ioctl(device, TUNGETIFF, &request));
  CHECK(strcmp(request.ifr_name, "tap0") == 0);
  CHECK_EQ(request.ifr_flags, IFF_TAP | IFF_NOFILTER);
  CHECK_EQ(flags_of("tap0"), IFF_BROADCAST | IFF_MULTICAST);
  request = asked("tap0", 0);
  OK(ask_link(SIOCGIFHWADDR, &request));
  CHECK_EQ(request.ifr_hwaddr.sa_family, ARPHRD_ETHER);
  request = asked("", 0);
  OK(ioctl(device, SIOCGIFHWADDR, &request));
  CHECK_EQ(request.ifr_hwaddr.sa_family, ARPHRD_ETHER);
  int other = clone_device();
  CHECK_ERRNO(attach(other, "tap0", IFF_TAP), EBUSY);
  CHECK_ERRNO(attach(other, "tap0", IFF_TUN), EINVAL);
  CHECK_ERRNO(attach(other, "tap0", IFF_TAP | IFF_TUN_EXCL), EBUSY);
  OK(attach(other, "wire%d", IFF_TUN | IFF_NO_PI));
  CHECK_EQ(flags_of("wire0"), IFF_POINTOPOINT | IFF_NOARP | IFF_MULTICAST);
  request = asked("wire0", 0);
  OK(ask_link(SIOCGIFHWADDR, &request));
  CHECK_EQ(request.ifr_hwaddr.sa_family, ARPHRD_NONE);
  OK(ioctl(other, TUNGETSNDBUF, &number));
  CHECK_EQ(number, 0x7fffffff);
  number = 0;
  CHECK_ERRNO(ioctl(other, TUNSETSNDBUF, &number), EINVAL);
  OK(ioctl(other, TUNGETVNETHDRSZ, &number));
  CHECK_EQ(number, 10);
  number = 9;
  CHECK_ERRNO(ioctl(other, TUNSETVNETHDRSZ, &number), EINVAL);
  OK(ioctl(other, TUNSETOFFLOAD, TUN_F_CSUM));
  CHECK_ERRNO(ioctl(other, TUNSETOFFLOAD, 0x8000), EINVAL);
  CHECK_ERRNO(ioctl(other, FIONREAD, &number), EINVAL);
  OK(close(other));
  CHECK_EQ(flags_of("wire0"), -1);
  OK(close(device));
  CHECK_EQ(flags_of("tap0"), -1);
}

static void links_that_stay(void) {
  int device = clone_device();
  OK(attach(device, "stay", IFF_TUN));
  OK(ioctl(device, TUNSETPERSIST, 1));
  OK(close(device));
  CHECK(flags_of("stay") >= 0);
  device = clone_device();
  OK(attach(device, "stay", IFF_TUN | IFF_NO_PI));
  struct ifreq request = asked("", 0);
  OK(ioctl(device, TUNGETIFF, &request));
  CHECK_EQ((unsigned short)request.ifr_flags, IFF_TUN | IFF_NO_PI | IFF_PERSIST);
  OK(ioctl(device, TUNSETPERSIST, 0));
  OK(close(device));
  CHECK_EQ(flags_of("stay"), -1);
}

static void rights(void) {
  int device = clone_device();
  OK(attach(device, "owned", IFF_TUN));
  OK(ioctl(device, TUNSETOWNER, 1234));
  OK(ioctl(device, TUNSETPERSIST, 1));
  OK(close(device));
  pid_t child;
  IN_CHILD(child) {
    device = clone_device();
    OK(setresuid(1235, 1235, 1235));
    CHECK_ERRNO(attach(device, "owned", IFF_TUN), EPERM);
    CHECK_ERRNO(attach(device, "new", IFF_TUN), EPERM);
  }
  WAIT_OK(child);
  IN_CHILD(child) {
    device = clone_device();
    OK(setresuid(1234, 1234, 1234));
    OK(attach(device, "owned", IFF_TUN));
  }
  WAIT_OK(child);
  device = clone_device();
  OK(attach(device, "owned", IFF_TUN));
  OK(ioctl(device, TUNSETPERSIST, 0));
  OK(close(device));
}

static unsigned short sum(const unsigned char *bytes, size_t length) {
  unsigned total = 0;
  for (size_t at_byte = 0; at_byte < length; at_byte++) total += at_byte & 1 ? bytes[at_byte] : bytes[at_byte] << 8;
  while (total >> 16) total = (total & 0xffff) + (total >> 16);
  return htons(~total & 0xffff);
}

// A packet of IP from the peer. Returns its length.
static size_t packet(unsigned char *bytes, int protocol, const void *message, size_t length) {
  size_t whole = IP + length;
  memcpy(bytes, (unsigned char[IP]){0x45, 0, whole >> 8, whole, 0, 1, 0, 0, 64, protocol}, IP);
  in_addr_t from = inet_addr(PEER), to = inet_addr(OWN);
  memcpy(bytes + 12, &from, 4);
  memcpy(bytes + 16, &to, 4);
  unsigned short checksum = sum(bytes, IP);
  memcpy(bytes + 10, &checksum, 2);
  memcpy(bytes + IP, message, length);
  return whole;
}

static size_t ping(unsigned char *bytes) {
  unsigned char echo[16] = {ICMP_ECHO, 0, 0, 0, 0, 7, 0, 1, 'h', 'e', 'l', 'l', 'o'};
  unsigned short checksum = sum(echo, sizeof echo);
  memcpy(echo + 2, &checksum, 2);
  return packet(bytes, IPPROTO_ICMP, echo, sizeof echo);
}

// Reads what goes out until there is a packet or frame of this protocol; others (of IPv6) go by.
static ssize_t next(int device, unsigned char *bytes, size_t size, int offset, int protocol) {
  struct pollfd poll_one = {.fd = device, .events = POLLIN};
  for (;;) {
    CHECK_EQ(poll(&poll_one, 1, 5000), 1);
    ssize_t got = OK(read(device, bytes, size));
    if ((bytes[offset] << 8 | bytes[offset + 1]) == protocol) return got;
  }
}

static void packets_of_ip(void) {
  unsigned char bytes[2048];
  int device = clone_device();
  OK(attach(device, "tun0", IFF_TUN | IFF_NO_PI));
  CHECK_ERRNO(write(device, bytes, 0), EINVAL);
  memset(bytes, 0, sizeof bytes);
  CHECK_ERRNO(write(device, bytes, 40), EINVAL);
  size_t length = ping(bytes);
  CHECK_ERRNO(write(device, bytes, length), EIO);
  CHECK_ERRNO(read(device, bytes, sizeof bytes), EAGAIN);
  set_up("tun0");
  CHECK_EQ(flags_of("tun0"), IFF_POINTOPOINT | IFF_NOARP | IFF_MULTICAST | IFF_UP | IFF_RUNNING);
  struct pollfd poll_one = {.fd = device, .events = POLLOUT};
  CHECK_EQ(poll(&poll_one, 1, 0), 1);

  // Who is pinged answers.
  length = ping(bytes);
  CHECK_EQ(write(device, bytes, length), length);
  CHECK_EQ(next(device, bytes, sizeof bytes, 0, 0x4500), length);
  CHECK_EQ(bytes[9], IPPROTO_ICMP);
  CHECK_EQ(bytes[IP], ICMP_ECHOREPLY);
  CHECK(memcmp(bytes + IP + 8, "hello", 5) == 0);

  // A datagram goes out, and another comes in.
  int one = OK(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  OK(bind_to(one, at(OWN, 4000)));
  OK(connect_to(one, at(PEER, 5000)));
  OK(send(one, "out", 3, 0));
  CHECK_EQ(next(device, bytes, sizeof bytes, 0, 0x4500), IP + UDP + 3);
  CHECK(memcmp(bytes + IP, (unsigned char[]){4000 >> 8, 4000 & 255, 5000 >> 8, 5000 & 255}, 4) == 0);
  CHECK(memcmp(bytes + IP + UDP, "out", 3) == 0);
  unsigned char datagram[UDP + 2] = {5000 >> 8, 5000 & 255, 4000 >> 8, 4000 & 255, 0, UDP + 2, 0, 0, 'i', 'n'};
  length = packet(bytes, IPPROTO_UDP, datagram, sizeof datagram);
  CHECK_EQ(write(device, bytes, length), length);
  CHECK_EQ(recv(one, bytes, sizeof bytes, 0), 2);
  CHECK(memcmp(bytes, "in", 2) == 0);

  // Who has little room gets the beginning.
  OK(send(one, "long enough", 11, 0));
  CHECK_EQ(OK(read(device, bytes, 24)), 24);
  OK(close(one));
  OK(close(device));
}

static void packet_sockets(void) {
  unsigned char bytes[2048], written[2048];
  int device = clone_device();
  OK(attach(device, "tun0", IFF_TUN | IFF_NO_PI));
  set_up("tun0");
  int one = OK(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_IP)));
  size_t length = ping(written);
  CHECK_EQ(write(device, written, length), length);
  struct sockaddr_ll from;
  socklen_t size = sizeof from;
  CHECK_EQ(recvfrom(one, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &size), length);
  CHECK(memcmp(bytes, written, length) == 0);
  CHECK_EQ(from.sll_protocol, htons(ETH_P_IP));
  CHECK_EQ(from.sll_pkttype, PACKET_HOST);
  CHECK_EQ(from.sll_halen, 0);
  CHECK_EQ(from.sll_hatype, ARPHRD_NONE);
  struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP), .sll_ifindex = from.sll_ifindex};
  next(device, bytes, sizeof bytes, 0, 0x4500);
  CHECK_EQ(sendto(one, written, length, 0, (struct sockaddr *)&to, sizeof to), length);
  CHECK_EQ(next(device, bytes, sizeof bytes, 0, 0x4500), length);
  CHECK(memcmp(bytes, written, length) == 0);
  OK(close(one));
  OK(close(device));
}

// What is asked or told of an address of IPv4, by the peer, with what goes before a frame.
static size_t address_message(unsigned char *bytes, int operation, const unsigned char *own) {
  memset(bytes, 0, INFORMATION);
  bytes[2] = ETH_P_ARP >> 8, bytes[3] = ETH_P_ARP & 255;
  unsigned char *frame = bytes + INFORMATION, *message = frame + HEADER;
  memcpy(frame, own, 6);
  memcpy(frame + 6, PEER_HARDWARE, 6);
  frame[12] = ETH_P_ARP >> 8, frame[13] = ETH_P_ARP & 255;
  memcpy(message, (unsigned char[8]){0, 1, 8, 0, 6, 4, 0, operation}, 8);
  in_addr_t from = inet_addr(PEER), to = inet_addr(OWN);
  memcpy(message + 8, PEER_HARDWARE, 6);
  memcpy(message + 14, &from, 4);
  memcpy(message + 18, own, 6);
  memcpy(message + 24, &to, 4);
  return INFORMATION + HEADER + 28;
}

static void frames(void) {
  unsigned char bytes[2048], own[6];
  int device = clone_device();
  OK(attach(device, "tap0", IFF_TAP));
  struct ifreq request = asked("tap0", 0);
  OK(ask_link(SIOCGIFHWADDR, &request));
  memcpy(own, request.ifr_hwaddr.sa_data, 6);
  CHECK_ERRNO(write(device, bytes, 2), EINVAL);
  CHECK_ERRNO(write(device, bytes, INFORMATION + HEADER - 1), EINVAL);
  set_up("tap0");

  // A datagram waits until the peer has told where it is.
  int one = OK(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  OK(connect_to(one, at(PEER, 5000)));
  OK(send(one, "out", 3, 0));
  CHECK_EQ(next(device, bytes, sizeof bytes, 2, ETH_P_ARP), INFORMATION + HEADER + 28);
  unsigned char *message = bytes + INFORMATION + HEADER;
  CHECK(memcmp(bytes + INFORMATION, "\377\377\377\377\377\377", 6) == 0);
  CHECK(memcmp(bytes + INFORMATION + 6, own, 6) == 0);
  CHECK_EQ(message[7], 1);
  in_addr_t wanted = inet_addr(PEER);
  CHECK(memcmp(message + 24, &wanted, 4) == 0);
  size_t length = address_message(bytes, 2, own);
  CHECK_EQ(write(device, bytes, length), length);
  CHECK_EQ(next(device, bytes, sizeof bytes, 2, ETH_P_IP), INFORMATION + HEADER + IP + UDP + 3);
  CHECK(memcmp(bytes + INFORMATION, PEER_HARDWARE, 6) == 0);
  CHECK(memcmp(bytes + INFORMATION + HEADER + IP + UDP, "out", 3) == 0);
  OK(close(one));

  // Who asks for the own address is answered, and so is who pings.
  length = address_message(bytes, 1, own);
  CHECK_EQ(write(device, bytes, length), length);
  CHECK_EQ(next(device, bytes, sizeof bytes, 2, ETH_P_ARP), length);
  CHECK_EQ(message[7], 2);
  CHECK(memcmp(message + 8, own, 6) == 0);
  memcpy(bytes, (unsigned char[INFORMATION]){0, 0, ETH_P_IP >> 8, ETH_P_IP & 255}, INFORMATION);
  memcpy(bytes + INFORMATION, own, 6);
  memcpy(bytes + INFORMATION + 6, PEER_HARDWARE, 6);
  memcpy(bytes + INFORMATION + 12, bytes + 2, 2);
  length = INFORMATION + HEADER + ping(bytes + INFORMATION + HEADER);
  CHECK_EQ(write(device, bytes, length), length);
  CHECK_EQ(next(device, bytes, sizeof bytes, 2, ETH_P_IP), length);
  CHECK_EQ(bytes[INFORMATION + HEADER + IP], ICMP_ECHOREPLY);
  OK(close(device));
}

static void nobody_answers(void) {
  int device = clone_device(), one = OK(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  OK(attach(device, "tap0", IFF_TAP));
  set_up("tap0");
  CHECK_ERRNO(connect_to(one, at(PEER, 80)), EINPROGRESS);
  struct pollfd poll_one = {.fd = one, .events = POLLIN | POLLOUT};
  CHECK_EQ(poll(&poll_one, 1, 10000), 1);
  CHECK_EQ(poll_one.revents, POLLIN | POLLOUT | POLLHUP | POLLERR);
  CHECK_ERRNO(connect_to(one, at(PEER, 80)), EHOSTUNREACH);
  OK(close(one));
  OK(close(device));
}

int main(void) {
  OK(unshare(CLONE_NEWNET));
  struct ifreq request = asked("lo", IFF_UP);
  OK(ask_link(SIOCSIFFLAGS, &request));
  without_a_link();
  names_and_settings();
  links_that_stay();
  rights();
  packets_of_ip();
  packet_sockets();
  frames();
  nobody_answers();
  puts("ok");
}
