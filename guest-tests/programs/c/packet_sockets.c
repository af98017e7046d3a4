// Packet sockets on a loopback of their own: what they see, how they tell of it, what they send, rings of frames
// and of blocks, and groups that share what comes.
#include "inet.h"
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sched.h>
#include <sys/uio.h>

enum { LOOPBACK = 1, TEST_PROTOCOL = 0x1234, HEADER = 14, BLOCK = 4096, BLOCKS = 4, FRAME = 1024 };

static void set_up(const char *name) {
  struct ifreq request = {.ifr_flags = IFF_UP};
  strcpy(request.ifr_name, name);
  int one = OK(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  OK(ioctl(one, SIOCSIFFLAGS, &request));
  OK(close(one));
}

static int make(int type, int protocol) { return OK(socket(AF_PACKET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, htons(protocol))); }

static struct sockaddr_ll link_address(int protocol, int device) {
  return (struct sockaddr_ll){.sll_family = AF_PACKET, .sll_protocol = htons(protocol), .sll_ifindex = device, .sll_halen = 6};
}

static int bind_link(int socket, int protocol, int device) {
  struct sockaddr_ll address = link_address(protocol, device);
  return bind(socket, (struct sockaddr *)&address, sizeof address);
}

static ssize_t receive(int socket, unsigned char *bytes, size_t size, struct sockaddr_ll *from) {
  socklen_t length = sizeof *from;
  ssize_t got = recvfrom(socket, bytes, size, 0, (struct sockaddr *)from, &length);
  if (got >= 0) CHECK_EQ(length, sizeof *from);
  return got;
}

static void expect_nothing(int socket) {
  char byte;
  CHECK_ERRNO(recv(socket, &byte, 1, 0), EAGAIN);
}

// Sends a datagram of this text on the loopback, to somebody who is there.
static void say(const char *text) {
  int sender = OK(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)), receiver = OK(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  OK(bind_to(receiver, at("127.0.0.1", 0)));
  OK(connect_to(sender, own_name(receiver)));
  OK(send(sender, text, strlen(text), 0));
  OK(close(sender));
  OK(close(receiver));
}

static void check_datagram(const unsigned char *packet, ssize_t length, const char *text) {
  CHECK_EQ(length, 20 + 8 + strlen(text));
  CHECK_EQ(packet[0], 0x45);
  CHECK_EQ(packet[2] << 8 | packet[3], length);
  CHECK_EQ(packet[9], IPPROTO_UDP);
  CHECK(memcmp(packet + 12, "\177\0\0\1\177\0\0\1", 8) == 0);
  CHECK(memcmp(packet + 28, text, strlen(text)) == 0);
}

static void names(void) {
  int one = make(SOCK_RAW, ETH_P_ALL);
  struct sockaddr_ll told;
  socklen_t length = sizeof told;
  OK(getsockname(one, (struct sockaddr *)&told, &length));
  CHECK_EQ(length, offsetof(struct sockaddr_ll, sll_addr));
  CHECK_EQ(told.sll_protocol, htons(ETH_P_ALL));
  CHECK_EQ(told.sll_ifindex, 0);
  OK(bind_link(one, 0, LOOPBACK));
  length = sizeof told;
  OK(getsockname(one, (struct sockaddr *)&told, &length));
  CHECK_EQ(length, offsetof(struct sockaddr_ll, sll_addr) + 6);
  CHECK_EQ(told.sll_protocol, htons(ETH_P_ALL));
  CHECK_EQ(told.sll_hatype, ARPHRD_LOOPBACK);
  CHECK_EQ(told.sll_ifindex, LOOPBACK);
  CHECK_EQ(told.sll_halen, 6);
  char text[1024];
  read_file("/proc/net/packet", text, sizeof text);
  CHECK(strstr(text, " 3      3    0003   1     1 0      0 ") != NULL);
  OK(close(one));
}

static void refusals(void) {
  int one = make(SOCK_RAW, 0);
  char name[32];
  struct sockaddr_ll address = link_address(TEST_PROTOCOL, LOOPBACK);
  CHECK_ERRNO(socket(AF_PACKET, SOCK_STREAM, 0), ESOCKTNOSUPPORT);
  CHECK_ERRNO(connect(one, (struct sockaddr *)&address, sizeof address), EOPNOTSUPP);
  CHECK_ERRNO(listen(one, 1), EOPNOTSUPP);
  CHECK_ERRNO(accept(one, NULL, NULL), EOPNOTSUPP);
  CHECK_ERRNO(shutdown(one, SHUT_RDWR), EOPNOTSUPP);
  CHECK_ERRNO(getpeername(one, (struct sockaddr *)name, &(socklen_t){sizeof name}), EOPNOTSUPP);
  CHECK_ERRNO(bind(one, (struct sockaddr *)&address, sizeof address - 1), EINVAL);
  CHECK_ERRNO(bind_link(one, 0, 12345), ENODEV);
  address.sll_family = AF_INET;
  CHECK_ERRNO(bind(one, (struct sockaddr *)&address, sizeof address), EINVAL);
  CHECK_ERRNO(send(one, "x", 1, 0), ENXIO);
  OK(bind_link(one, 0, LOOPBACK));
  CHECK_ERRNO(send(one, "x", 1, 0), EINVAL);
  CHECK_ERRNO(send(one, map_anonymous(70000, PROT_READ), 70000, 0), EMSGSIZE);
  CHECK_ERRNO(recv(one, name, sizeof name, MSG_OOB), EINVAL);
  CHECK_ERRNO(recv(one, name, sizeof name, MSG_ERRQUEUE), EAGAIN);
  expect_nothing(one);
  OK(close(one));
  pid_t pid;
  IN_CHILD(pid) {
    OK(setuid(65534));
    CHECK_ERRNO(socket(AF_PACKET, SOCK_RAW, 0), EPERM);
    CHECK_ERRNO(socket(AF_PACKET, SOCK_STREAM, 0), EPERM);
  }
  WAIT_OK(pid);
}

// One for everything sees what goes out as well as what comes in; one for a protocol what comes in.
static void seeing(void) {
  int all = make(SOCK_RAW, ETH_P_ALL), cooked = make(SOCK_DGRAM, ETH_P_IP), others = make(SOCK_RAW, ETH_P_ARP), deaf = make(SOCK_RAW, 0);
  unsigned char bytes[2048];
  struct sockaddr_ll from;
  say("hello");
  for (int kind = PACKET_OUTGOING; kind >= 0; kind -= PACKET_OUTGOING) {
    CHECK_EQ(await_events(all, POLLIN), POLLIN);
    ssize_t got = receive(all, bytes, sizeof bytes, &from);
    check_datagram(bytes + HEADER, got - HEADER, "hello");
    CHECK(memcmp(bytes, "\0\0\0\0\0\0\0\0\0\0\0\0\10\0", HEADER) == 0);
    CHECK_EQ(from.sll_pkttype, kind);
    CHECK_EQ(from.sll_protocol, htons(ETH_P_IP));
    CHECK_EQ(from.sll_ifindex, LOOPBACK);
    CHECK_EQ(from.sll_hatype, ARPHRD_LOOPBACK);
    CHECK_EQ(from.sll_halen, 6);
  }
  expect_nothing(all);
  ssize_t got = receive(cooked, bytes, sizeof bytes, &from);
  check_datagram(bytes, got, "hello");
  CHECK_EQ(from.sll_pkttype, PACKET_HOST);
  expect_nothing(cooked);
  expect_nothing(others);
  expect_nothing(deaf);
  struct tpacket_stats told;
  OK(getsockopt(all, SOL_PACKET, PACKET_STATISTICS, &told, &(socklen_t){sizeof told}));
  CHECK_EQ(told.tp_packets, 2);
  CHECK_EQ(told.tp_drops, 0);
  OK(getsockopt(all, SOL_PACKET, PACKET_STATISTICS, &told, &(socklen_t){sizeof told}));
  CHECK_EQ(told.tp_packets, 0);
  OK(set_option(all, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1));
  say("again");
  CHECK_EQ(receive(all, bytes, 20, &from), 20);
  CHECK_EQ(from.sll_pkttype, PACKET_HOST);
  expect_nothing(all);
  OK(close(all));
  OK(close(cooked));
  OK(close(others));
  OK(close(deaf));
}

// ICMP's echo, and what it says of a port where nobody is.
static void echoes(void) {
  int all = make(SOCK_DGRAM, ETH_P_IP), sender = OK(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  struct address target = at("127.0.0.1", 9);
  OK(sendto(sender, "x", 1, 0, &target.any, target.length));
  unsigned char bytes[2048];
  struct sockaddr_ll from;
  // Which of them is seen first is Linux's own business.
  for (int seen = 0; seen < 29 + 57;) {
    CHECK_EQ(await_events(all, POLLIN), POLLIN);
    ssize_t got = receive(all, bytes, sizeof bytes, &from);
    CHECK(got == 29 || got == 20 + 8 + 29);
    CHECK_EQ(bytes[9], got == 29 ? IPPROTO_UDP : IPPROTO_ICMP);
    if (got != 29) CHECK_EQ(bytes[20] << 8 | bytes[21], 0x303);
    seen += got;
  }
  expect_nothing(all);
  OK(close(all));
  OK(close(sender));
}

static void auxiliary(void) {
  int one = make(SOCK_RAW, ETH_P_IP);
  OK(set_option(one, SOL_PACKET, PACKET_AUXDATA, 1));
  CHECK_EQ(option_of(one, SOL_PACKET, PACKET_AUXDATA), 1);
  say("hello");
  char bytes[16], control[256];
  struct iovec piece = {bytes, sizeof bytes};
  struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  CHECK_EQ(recvmsg(one, &message, 0), sizeof bytes);
  CHECK_EQ(message.msg_flags, MSG_TRUNC);
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  CHECK(header != NULL && header->cmsg_level == SOL_PACKET && header->cmsg_type == PACKET_AUXDATA);
  CHECK_EQ(header->cmsg_len, CMSG_LEN(sizeof(struct tpacket_auxdata)));
  struct tpacket_auxdata told;
  memcpy(&told, CMSG_DATA(header), sizeof told);
  CHECK_EQ(told.tp_status & TP_STATUS_USER, TP_STATUS_USER);
  CHECK_EQ(told.tp_len, HEADER + 33);
  CHECK_EQ(told.tp_snaplen, HEADER + 33);
  CHECK_EQ(told.tp_mac, 0);
  CHECK_EQ(told.tp_net, HEADER);
  OK(close(one));
}

// A filter sees the header, and whom a frame is for.
static void filters(void) {
  struct sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, SKF_AD_OFF + SKF_AD_PKTTYPE),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_OUTGOING, 0, 3),
      BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IP, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, 30),
      BPF_STMT(BPF_RET | BPF_K, 0),
  };
  struct sock_fprog description = {COUNT(program), program};
  int one = make(SOCK_RAW, ETH_P_ALL);
  OK(setsockopt(one, SOL_SOCKET, SO_ATTACH_FILTER, &description, sizeof description));
  say("hello");
  unsigned char bytes[64];
  struct sockaddr_ll from;
  CHECK_EQ(receive(one, bytes, sizeof bytes, &from), 30);
  CHECK_EQ(from.sll_pkttype, PACKET_OUTGOING);
  expect_nothing(one);
  OK(close(one));
}

// A frame goes out and comes in: its sender sees only that it comes in.
static void sending(void) {
  static const unsigned char destinations[][6] = {{0}, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, {1, 0, 0x5e, 0, 0, 1}, {2, 1, 1, 1, 1, 1}};
  static const int kinds[] = {PACKET_HOST, PACKET_MULTICAST, PACKET_MULTICAST, PACKET_OTHERHOST};
  int sender = make(SOCK_RAW, ETH_P_ALL), other = make(SOCK_RAW, ETH_P_ALL), cooked = make(SOCK_DGRAM, 0);
  OK(bind_link(sender, 0, LOOPBACK));
  unsigned char bytes[64], frame[20] = {[12] = TEST_PROTOCOL >> 8, [13] = TEST_PROTOCOL & 0xff, [14] = 'x'};
  struct sockaddr_ll from;
  for (size_t i = 0; i < COUNT(kinds); i++) {
    memcpy(frame, destinations[i], 6);
    CHECK_EQ(send(sender, frame, sizeof frame, 0), sizeof frame);
    CHECK_EQ(receive(other, bytes, sizeof bytes, &from), sizeof frame);
    CHECK_EQ(from.sll_pkttype, PACKET_OUTGOING);
    CHECK_EQ(receive(other, bytes, sizeof bytes, &from), sizeof frame);
    CHECK_EQ(from.sll_pkttype, kinds[i]);
    CHECK_EQ(receive(sender, bytes, sizeof bytes, &from), sizeof frame);
    CHECK(memcmp(bytes, frame, sizeof frame) == 0);
    CHECK_EQ(from.sll_protocol, htons(TEST_PROTOCOL));
    expect_nothing(sender);
    expect_nothing(other);
  }
  struct sockaddr_ll target = link_address(TEST_PROTOCOL, LOOPBACK);
  CHECK_ERRNO(send(cooked, "abc", 3, 0), ENXIO);
  CHECK_EQ(sendto(cooked, "abc", 3, 0, (struct sockaddr *)&target, sizeof target), 3);
  CHECK_EQ(receive(sender, bytes, sizeof bytes, &from), HEADER + 3);
  CHECK_EQ(bytes[12] << 8 | bytes[13], TEST_PROTOCOL);
  CHECK(memcmp(bytes + HEADER, "abc", 3) == 0);
  OK(close(sender));
  OK(close(other));
  OK(close(cooked));
}

static void options(void) {
  int one = make(SOCK_RAW, ETH_P_ALL), version = TPACKET_V2;
  CHECK_ERRNO(set_option(one, SOL_PACKET, 0, 1), ENOPROTOOPT);
  CHECK_ERRNO(set_option(one, SOL_PACKET, PACKET_STATISTICS, 1), ENOPROTOOPT);
  CHECK_ERRNO(setsockopt(one, SOL_PACKET, PACKET_AUXDATA, "", 1), EINVAL);
  CHECK_ERRNO(set_option(one, SOL_PACKET, PACKET_IGNORE_OUTGOING, 2), EINVAL);
  CHECK_ERRNO(set_option(one, SOL_PACKET, PACKET_VERSION, 7), EINVAL);
  CHECK_ERRNO(getsockopt(one, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &version, &(socklen_t){4}), ENOPROTOOPT);
  OK(getsockopt(one, SOL_PACKET, PACKET_HDRLEN, &version, &(socklen_t){4}));
  CHECK_EQ(version, sizeof(struct tpacket2_hdr));
  struct packet_mreq request = {.mr_ifindex = LOOPBACK, .mr_type = PACKET_MR_PROMISC};
  OK(setsockopt(one, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &request, sizeof request));
  OK(setsockopt(one, SOL_PACKET, PACKET_DROP_MEMBERSHIP, &request, sizeof request));
  CHECK_ERRNO(setsockopt(one, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &request, 8), EINVAL);
  // What was never joined is left all the same; a group has an address of the link's length.
  OK(setsockopt(one, SOL_PACKET, PACKET_DROP_MEMBERSHIP, &request, sizeof request));
  request.mr_type = PACKET_MR_MULTICAST;
  CHECK_ERRNO(setsockopt(one, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &request, sizeof request), EINVAL);
  CHECK_ERRNO(setsockopt(one, SOL_PACKET, PACKET_LOSS, "\1\0\0\0\0\0\0", 8), EINVAL);
  CHECK_EQ(option_of(one, SOL_SOCKET, SO_PROTOCOL), 0);
  char name[16];
  CHECK_ERRNO(getsockopt(one, SOL_SOCKET, SO_PEERNAME, name, &(socklen_t){sizeof name}), ENOTCONN);
  request.mr_ifindex = 12345;
  CHECK_ERRNO(setsockopt(one, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &request, sizeof request), ENODEV);
  OK(close(one));
}

static void ring(void) {
  int one = make(SOCK_RAW, ETH_P_IP);
  CHECK_EQ(mmap(NULL, 2 * BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED, one, 0), MAP_FAILED);
  CHECK_EQ(errno, EINVAL);
  OK(set_option(one, SOL_PACKET, PACKET_VERSION, TPACKET_V2));
  struct tpacket_req wrong[] = {{BLOCK + 1, 2, FRAME, 8}, {BLOCK, 2, FRAME + 1, 8}, {BLOCK, 2, FRAME, 7}, {BLOCK, 2, 16, 512}, {BLOCK, 0, FRAME, 8}};
  for (size_t i = 0; i < COUNT(wrong); i++) CHECK_ERRNO(setsockopt(one, SOL_PACKET, PACKET_RX_RING, &wrong[i], sizeof wrong[i]), EINVAL);
  struct tpacket_req request = {BLOCK, 2, FRAME, 2 * BLOCK / FRAME};
  OK(setsockopt(one, SOL_PACKET, PACKET_RX_RING, &request, sizeof request));
  CHECK_ERRNO(setsockopt(one, SOL_PACKET, PACKET_RX_RING, &request, sizeof request), EBUSY);
  CHECK_ERRNO(set_option(one, SOL_PACKET, PACKET_VERSION, TPACKET_V1), EBUSY);
  unsigned char *memory = mmap(NULL, 2 * BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED, one, 0);
  CHECK(memory != MAP_FAILED);
  CHECK_EQ(events_of(one, 0) & POLLIN, 0);
  // Around the ring and on.
  for (unsigned i = 0; i < 2 * request.tp_frame_nr; i++) {
    char text[32];
    snprintf(text, sizeof text, "number %u", i);
    say(text);
    CHECK_EQ(await_events(one, POLLIN), POLLIN);
    volatile struct tpacket2_hdr *header = (void *)(memory + i % request.tp_frame_nr * FRAME);
    CHECK_EQ(header->tp_status & TP_STATUS_USER, TP_STATUS_USER);
    CHECK_EQ(header->tp_net, TPACKET_ALIGN(TPACKET2_HDRLEN + 16));
    CHECK_EQ(header->tp_mac, header->tp_net - HEADER);
    CHECK_EQ(header->tp_len, HEADER + 28 + strlen(text));
    CHECK_EQ(header->tp_snaplen, header->tp_len);
    check_datagram((unsigned char *)header + header->tp_net, header->tp_len - HEADER, text);
    struct sockaddr_ll *from = (void *)((char *)header + TPACKET_ALIGN(sizeof *header));
    CHECK_EQ(from->sll_ifindex, LOOPBACK);
    CHECK_EQ(from->sll_protocol, htons(ETH_P_IP));
    header->tp_status = TP_STATUS_KERNEL;
    CHECK_EQ(events_of(one, 0) & POLLIN, 0);
  }
  // What finds no place is lost, and the next that does tells of it.
  for (unsigned i = 0; i <= request.tp_frame_nr; i++) say("x");
  struct tpacket_stats told;
  OK(getsockopt(one, SOL_PACKET, PACKET_STATISTICS, &told, &(socklen_t){sizeof told}));
  CHECK_EQ(told.tp_packets, 3 * request.tp_frame_nr + 1);
  CHECK_EQ(told.tp_drops, 1);
  OK(munmap(memory, 2 * BLOCK));
  OK(close(one));
}

static int make_blocks(unsigned wait_ms, unsigned char **memory) {
  int one = make(SOCK_RAW, ETH_P_IP);
  OK(set_option(one, SOL_PACKET, PACKET_VERSION, TPACKET_V3));
  struct tpacket_req3 request = {BLOCK, BLOCKS, FRAME, BLOCKS * BLOCK / FRAME, wait_ms, 13, 0};
  CHECK_ERRNO(setsockopt(one, SOL_PACKET, PACKET_RX_RING, &request, sizeof(struct tpacket_req)), EINVAL);
  request.tp_sizeof_priv = BLOCK - 112;
  CHECK_ERRNO(setsockopt(one, SOL_PACKET, PACKET_RX_RING, &request, sizeof request), EINVAL);
  request.tp_sizeof_priv = 13;
  OK(setsockopt(one, SOL_PACKET, PACKET_RX_RING, &request, sizeof request));
  *memory = mmap(NULL, BLOCKS * BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED, one, 0);
  CHECK(*memory != MAP_FAILED);
  return one;
}

// A block that was handed over: its status beside that, and how many frames it has.
static unsigned check_block(unsigned char *memory, unsigned index, unsigned sequence, unsigned status, const char *text) {
  struct tpacket_block_desc *block = (void *)(memory + index * BLOCK);
  struct tpacket_hdr_v1 *head = &block->hdr.bh1;
  CHECK_EQ(block->version, TPACKET_V3);
  CHECK_EQ(block->offset_to_priv, sizeof *block);
  CHECK_EQ(head->block_status, TP_STATUS_USER | status);
  CHECK_EQ(head->seq_num, sequence);
  CHECK_EQ(head->offset_to_first_pkt, sizeof *block + 16);
  struct tpacket3_hdr *frame = (void *)((char *)block + head->offset_to_first_pkt);
  unsigned length = head->offset_to_first_pkt;
  for (unsigned i = 0; i < head->num_pkts; i++) {
    CHECK_EQ(frame->tp_status & TP_STATUS_USER, TP_STATUS_USER);
    CHECK_EQ(frame->tp_net, TPACKET_ALIGN(TPACKET3_HDRLEN + 16));
    CHECK_EQ(frame->tp_mac, frame->tp_net - HEADER);
    CHECK_EQ(frame->tp_snaplen, frame->tp_len);
    check_datagram((unsigned char *)frame + frame->tp_net, frame->tp_len - HEADER, text);
    struct sockaddr_ll *from = (void *)((char *)frame + TPACKET_ALIGN(sizeof *frame));
    CHECK_EQ(from->sll_ifindex, LOOPBACK);
    int is_last = i + 1 == head->num_pkts;
    unsigned taken = (frame->tp_mac + frame->tp_snaplen + 7) & ~7U;
    CHECK_EQ(frame->tp_next_offset, is_last ? 0 : taken);
    if (is_last) CHECK_EQ(head->ts_last_pkt.ts_sec, frame->tp_sec);
    length += taken;
    frame = (void *)((char *)frame + taken);
  }
  CHECK_EQ(head->blk_len, length);
  return head->num_pkts;
}

static void blocks(void) {
  unsigned char *memory;
  int one = make_blocks(20, &memory), header = TPACKET_V3;
  OK(getsockopt(one, SOL_PACKET, PACKET_HDRLEN, &header, &(socklen_t){4}));
  CHECK_EQ(header, sizeof(struct tpacket3_hdr));
  CHECK_EQ(events_of(one, 50) & POLLIN, 0);
  // A block that is not full is handed over when its time has come, and not before.
  for (unsigned i = 0; i < 2 * BLOCKS; i++) {
    say("hello");
    await_events(one, POLLIN);
    CHECK_EQ(check_block(memory, i % BLOCKS, i + 1, TP_STATUS_BLK_TMO, "hello"), 1);
    ((struct tpacket_block_desc *)(memory + i % BLOCKS * BLOCK))->hdr.bh1.block_status = TP_STATUS_KERNEL;
    CHECK_EQ(events_of(one, 0) & POLLIN, 0);
  }
  OK(munmap(memory, BLOCKS * BLOCK));
  OK(close(one));

  // Blocks that are full, until there is none left.
  enum { PER_BLOCK = 3, LONG = 1000 };
  char text[LONG + 1] = {0};
  memset(text, 'x', LONG);
  one = make_blocks(100000, &memory);
  for (int i = 0; i < PER_BLOCK * BLOCKS; i++) say(text);
  CHECK_EQ(((struct tpacket_block_desc *)(memory + (BLOCKS - 1) * BLOCK))->hdr.bh1.block_status, TP_STATUS_KERNEL);
  for (int i = 0; i < 3; i++) say(text);
  for (unsigned i = 0; i < BLOCKS; i++) CHECK_EQ(check_block(memory, i, i + 1, 0, text), PER_BLOCK);
  struct tpacket_stats_v3 told;
  OK(getsockopt(one, SOL_PACKET, PACKET_STATISTICS, &told, &(socklen_t){sizeof told}));
  CHECK_EQ(told.tp_packets, PER_BLOCK * BLOCKS + 3);
  CHECK_EQ(told.tp_drops, 3);
  CHECK_EQ(told.tp_freeze_q_cnt, 1);
  ((struct tpacket_block_desc *)memory)->hdr.bh1.block_status = TP_STATUS_KERNEL;
  for (int i = 0; i <= PER_BLOCK; i++) say(text);
  CHECK_EQ(check_block(memory, 0, BLOCKS + 1, 0, text), PER_BLOCK);
  OK(munmap(memory, BLOCKS * BLOCK));
  OK(close(one));
}

// How many frames wait at a socket.
static int count(int socket) {
  char byte;
  for (int many = 0;; many++)
    if (recv(socket, &byte, 1, 0) < 0) return many;
}

static int fan_out(int socket, unsigned group, unsigned kind) { return set_option(socket, SOL_PACKET, PACKET_FANOUT, (int)(group | kind << 16)); }

// Sockets that share what comes.
static void groups(void) {
  enum { GROUP = 77, SHARED = 10 };
  int ends[2] = {make(SOCK_RAW, ETH_P_IP), make(SOCK_RAW, ETH_P_IP)}, other = make(SOCK_RAW, ETH_P_ALL), deaf = make(SOCK_RAW, 0);
  CHECK_EQ(option_of(other, SOL_PACKET, PACKET_FANOUT), 0);
  CHECK_ERRNO(fan_out(other, GROUP, 99), EINVAL);
  CHECK_ERRNO(fan_out(other, GROUP, PACKET_FANOUT_ROLLOVER | PACKET_FANOUT_FLAG_ROLLOVER), EINVAL);
  CHECK_ERRNO(fan_out(other, GROUP, PACKET_FANOUT_FLAG_UNIQUEID), EINVAL);
  CHECK_ERRNO(fan_out(deaf, GROUP, PACKET_FANOUT_LB), EINVAL);
  CHECK_ERRNO(setsockopt(other, SOL_PACKET, PACKET_FANOUT, "", 1), EINVAL);
  CHECK_ERRNO(set_option(other, SOL_PACKET, PACKET_FANOUT_DATA, 1), EINVAL);
  for (int i = 0; i < 2; i++) OK(fan_out(ends[i], GROUP, PACKET_FANOUT_LB));
  CHECK_EQ(option_of(ends[1], SOL_PACKET, PACKET_FANOUT), GROUP | PACKET_FANOUT_LB << 16);
  CHECK_ERRNO(fan_out(ends[0], GROUP, PACKET_FANOUT_LB), EALREADY);
  CHECK_ERRNO(bind_link(ends[0], ETH_P_IP, LOOPBACK), EINVAL);
  // One of another protocol, or for another kind.
  CHECK_ERRNO(fan_out(other, GROUP, PACKET_FANOUT_LB), EINVAL);
  int late = make(SOCK_RAW, ETH_P_IP);
  CHECK_ERRNO(fan_out(late, GROUP, PACKET_FANOUT_HASH), EINVAL);
  CHECK_ERRNO(fan_out(late, GROUP, PACKET_FANOUT_LB | PACKET_FANOUT_FLAG_ROLLOVER), EINVAL);
  count(ends[0]), count(ends[1]), count(late);
  for (int i = 0; i < SHARED; i++) say("x");
  CHECK_EQ(count(ends[0]), SHARED / 2);
  CHECK_EQ(count(ends[1]), SHARED / 2);
  CHECK_EQ(count(late), SHARED);
  for (int i = 0; i < 2; i++) OK(close(ends[i]));
  OK(close(late));

  // Whoever a program says; a group of at most two.
  struct fanout_args wish = {.id = GROUP, .type_flags = PACKET_FANOUT_CBPF, .max_num_members = 2};
  struct sock_filter second = BPF_STMT(BPF_RET | BPF_K, 1);
  struct sock_fprog program = {1, &second};
  for (int i = 0; i < 2; i++) {
    ends[i] = make(SOCK_RAW, ETH_P_IP);
    OK(setsockopt(ends[i], SOL_PACKET, PACKET_FANOUT, &wish, sizeof wish));
  }
  late = make(SOCK_RAW, ETH_P_IP);
  CHECK_ERRNO(setsockopt(late, SOL_PACKET, PACKET_FANOUT, &wish, sizeof wish), ENOSPC);
  OK(setsockopt(ends[0], SOL_PACKET, PACKET_FANOUT_DATA, &program, sizeof program));
  count(ends[0]), count(ends[1]);
  for (int i = 0; i < SHARED; i++) say("x");
  CHECK_EQ(count(ends[0]), 0);
  CHECK_EQ(count(ends[1]), SHARED);
  for (int i = 0; i < 2; i++) OK(close(ends[i]));

  // One flow is one socket's; one without a number gets one.
  for (int i = 0; i < 2; i++) ends[i] = make(SOCK_RAW, ETH_P_IP);
  OK(fan_out(ends[0], 0, PACKET_FANOUT_HASH | PACKET_FANOUT_FLAG_UNIQUEID));
  unsigned group = option_of(ends[0], SOL_PACKET, PACKET_FANOUT);
  OK(fan_out(ends[1], group, PACKET_FANOUT_HASH));
  int sender = OK(socket(AF_INET, SOCK_DGRAM, 0)), receiver = OK(socket(AF_INET, SOCK_DGRAM, 0));
  OK(bind_to(receiver, at("127.0.0.1", 0)));
  OK(connect_to(sender, own_name(receiver)));
  OK(connect_to(receiver, own_name(sender)));
  count(ends[0]), count(ends[1]);
  for (int i = 0; i < SHARED; i++) OK(send(i % 2 ? sender : receiver, "x", 1, 0));
  int got[2] = {count(ends[0]), count(ends[1])};
  CHECK(got[0] + got[1] == SHARED && got[0] * got[1] == 0);
  OK(close(sender));
  OK(close(receiver));
  for (int i = 0; i < 2; i++) OK(close(ends[i]));
  OK(close(late));
  OK(close(other));
  OK(close(deaf));
}

static void run(const char *command) { CHECK_CASE(system(command) == 0, "%s", command); }

// One at the other end of a cable answers who asks who has its address.
static void asking(void) {
  int ready[2], done[2];
  char command[128], byte;
  OK(pipe(ready));
  OK(pipe(done));
  pid_t pid;
  IN_CHILD(pid) {
    OK(unshare(CLONE_NEWNET));
    CHECK_EQ(write(ready[1], "x", 1), 1);
    CHECK_EQ(read(done[0], &byte, 1), 1);
    run("ip addr add 10.1.0.2/24 dev v1");
    run("ip link set v1 address 02:00:00:00:00:02");
    run("ip link set v1 up");
    CHECK_EQ(write(ready[1], "x", 1), 1);
    CHECK_EQ(read(done[0], &byte, 1), 1);
  }
  CHECK_EQ(read(ready[0], &byte, 1), 1);
  run("ip link add v0 address 02:00:00:00:00:01 type veth peer name v1");
  snprintf(command, sizeof command, "ip link set v1 netns %d", pid);
  run(command);
  run("ip addr add 10.1.0.1/24 dev v0");
  run("ip link set v0 up");
  CHECK_EQ(write(done[1], "x", 1), 1);
  CHECK_EQ(read(ready[0], &byte, 1), 1);
  int one = make(SOCK_DGRAM, ETH_P_ARP), device = if_nametoindex("v0");
  OK(bind_link(one, ETH_P_ARP, device));
  unsigned char question[28] = {0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 1, 0, 1, 0, 0, 0, 0, 0, 0, 10, 1, 0, 2}, answer[64];
  static const unsigned char expected[28] = {0, 1, 8, 0, 6, 4, 0, 2, 2, 0, 0, 0, 0, 2, 10, 1, 0, 2, 2, 0, 0, 0, 0, 1, 10, 1, 0, 1};
  struct sockaddr_ll target = link_address(ETH_P_ARP, device), from;
  memset(target.sll_addr, 0xff, 6);
  do {
    OK(sendto(one, question, sizeof question, 0, (struct sockaddr *)&target, sizeof target));
    CHECK_EQ(await_events(one, POLLIN), POLLIN);
  } while (receive(one, answer, sizeof answer, &from) != 28 || answer[7] != 2);
  CHECK(memcmp(answer, expected, sizeof expected) == 0);
  CHECK_EQ(from.sll_pkttype, PACKET_HOST);
  CHECK_EQ(from.sll_hatype, ARPHRD_ETHER);
  CHECK(memcmp(from.sll_addr, expected + 8, 6) == 0);
  CHECK_EQ(write(done[1], "x", 1), 1);
  WAIT_OK(pid);
  OK(close(one));
}

int main(void) {
  OK(unshare(CLONE_NEWNET));
  set_up("lo");
  names();
  refusals();
  seeing();
  echoes();
  auxiliary();
  filters();
  sending();
  options();
  ring();
  blocks();
  groups();
  asking();
  puts("ok");
}
