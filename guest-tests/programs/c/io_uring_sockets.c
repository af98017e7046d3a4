// What rings do with sockets, and what is registered with a ring: files, buffers, counters, personalities, restrictions.
#include "ring.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

static int listening(struct sockaddr_in *address) {
  int fd = OK(socket(AF_INET, SOCK_STREAM, 0));
  *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  OK(bind(fd, (void *)address, sizeof *address));
  OK(listen(fd, 8));
  socklen_t length = sizeof *address;
  OK(getsockname(fd, (void *)address, &length));
  return fd;
}

static void connections(void) {
  struct ring ring;
  ring_open(&ring, 16, 0);
  struct sockaddr_in address;
  int listener = listening(&address);
  // A listener that does not wait does here.
  OK(fcntl(listener, F_SETFL, O_NONBLOCK));
  ring_prepare(&ring, IORING_OP_ACCEPT, listener, NULL, 0, 0, 1)->accept_flags = SOCK_CLOEXEC;
  CHECK_EQ(ring_submit(&ring, 0), 1);
  NO_COMPLETION(&ring);
  ring_prepare(&ring, IORING_OP_SOCKET, AF_INET, NULL, 0, SOCK_STREAM, 2);
  CHECK_EQ(ring_submit(&ring, 1), 1);
  struct completion cqe = ring_wait(&ring);
  CHECK_EQ(cqe.user_data, 2);
  int client = OK(cqe.res);
  ring_prepare(&ring, IORING_OP_CONNECT, client, &address, 0, sizeof address, 3);
  CHECK_EQ(ring_submit(&ring, 2), 1);
  int server = -1;
  for (int index = 0; index < 2; index++) {
    cqe = ring_wait(&ring);
    if (cqe.user_data == 1) server = cqe.res;
    else CHECK_EQ(cqe.res, 0);
  }
  CHECK(server >= 0);
  CHECK_EQ(fcntl(server, F_GETFD), FD_CLOEXEC);
  char bytes[64] = {0};
  ring_prepare(&ring, IORING_OP_RECV, server, bytes, sizeof bytes, 0, 4);
  ring_prepare(&ring, IORING_OP_SEND, client, "hello", 5, 0, 5);
  CHECK_EQ(ring_submit(&ring, 2), 2);
  for (int index = 0; index < 2; index++) CHECK_EQ(ring_wait(&ring).res, 5);
  CHECK(memcmp(bytes, "hello", 5) == 0);
  ring_prepare(&ring, IORING_OP_RECV, server, bytes, sizeof bytes, 0, 4)->msg_flags = MSG_DONTWAIT;
  SUBMIT_ONE(&ring, -EAGAIN);
  struct iovec piece = {"there", 5}, room = {bytes, sizeof bytes};
  struct msghdr out = {.msg_iov = &piece, .msg_iovlen = 1}, in = {.msg_iov = &room, .msg_iovlen = 1};
  ring_prepare(&ring, IORING_OP_SENDMSG, client, &out, 1, 0, 5)->flags = IOSQE_IO_LINK;
  ring_prepare(&ring, IORING_OP_RECVMSG, server, &in, 1, 0, 4);
  CHECK_EQ(ring_submit(&ring, 2), 2);
  for (int index = 0; index < 2; index++) CHECK_EQ(ring_wait(&ring).res, 5);
  CHECK(memcmp(bytes, "there", 5) == 0);
  ring_prepare(&ring, IORING_OP_SHUTDOWN, client, NULL, SHUT_WR, 0, 6);
  SUBMIT_ONE(&ring, 0);
  ring_prepare(&ring, IORING_OP_RECV, server, bytes, sizeof bytes, 0, 4);
  SUBMIT_ONE(&ring, 0);
  // No signal comes with an error.
  ring_prepare(&ring, IORING_OP_SEND, client, "hello", 5, 0, 5);
  SUBMIT_ONE(&ring, -EPIPE);
  close(server), close(client);
  // Connections as they come.
  ring_prepare(&ring, IORING_OP_ACCEPT, listener, NULL, 0, 0, 7)->ioprio = IORING_ACCEPT_MULTISHOT;
  CHECK_EQ(ring_submit(&ring, 0), 1);
  for (int round = 0; round < 3; round++) {
    OK(client = socket(AF_INET, SOCK_STREAM, 0));
    OK(connect(client, (void *)&address, sizeof address));
    cqe = ring_wait(&ring);
    CHECK_EQ(cqe.user_data, 7);
    CHECK_EQ(cqe.flags, IORING_CQE_F_MORE);
    close(OK(cqe.res)), close(client);
  }
  ring_prepare(&ring, IORING_OP_ASYNC_CANCEL, -1, (void *)7, 0, 0, 8);
  CHECK_EQ(ring_submit(&ring, 2), 1);
  for (int index = 0; index < 2; index++) {
    cqe = ring_wait(&ring);
    CHECK_EQ(cqe.res, cqe.user_data == 7 ? -ECANCELED : 0);
  }
  close(listener);
  ring_close(&ring);
}

// A message into each buffer, behind its sender, its control messages and what is told of it.
static void messages_one_after_the_other(void) {
  enum { NAME = 32, CONTROL = 64, HEAD = sizeof(struct io_uring_recvmsg_out) + NAME + CONTROL };
  struct ring ring;
  ring_open(&ring, 16, 0);
  static char memory[6][256];
  struct sockaddr_un here = {.sun_family = AF_UNIX}, there = {.sun_family = AF_UNIX};
  snprintf(here.sun_path + 1, 30, "ring-%d", getpid()), snprintf(there.sun_path + 1, 30, "peer-%d", getpid());
  socklen_t length = 16;
  int receiver = OK(socket(AF_UNIX, SOCK_DGRAM, 0)), sender = OK(socket(AF_UNIX, SOCK_DGRAM, 0)), yes = 1;
  OK(bind(receiver, (void *)&here, length)), OK(bind(sender, (void *)&there, length));
  OK(setsockopt(receiver, SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes));
  OK(connect(sender, (void *)&here, length));
  ring_prepare(&ring, IORING_OP_PROVIDE_BUFFERS, 6, memory, 256, 0, 1)->buf_group = 3;
  SUBMIT_ONE(&ring, 0);
  struct msghdr header = {.msg_namelen = NAME, .msg_controllen = CONTROL};
  struct io_uring_sqe *sqe = ring_prepare(&ring, IORING_OP_RECVMSG, receiver, &header, 1, 0, 2);
  sqe->ioprio = IORING_RECV_MULTISHOT;
  SUBMIT_ONE(&ring, -EINVAL); // It has no buffers to choose from.
  sqe = ring_prepare(&ring, IORING_OP_RECVMSG, receiver, &header, 1, 0, 2);
  sqe->ioprio = IORING_RECV_MULTISHOT, sqe->flags = IOSQE_BUFFER_SELECT, sqe->buf_group = 3;
  CHECK_EQ(ring_submit(&ring, 0), 1);
  for (int round = 0; round < 3; round++) {
    OK(send(sender, "hello", 3 + round, 0));
    struct completion cqe = COMPLETES(&ring, 2, HEAD + 3 + round);
    CHECK_EQ(cqe.flags & 3, IORING_CQE_F_BUFFER | IORING_CQE_F_MORE);
    char *buffer = memory[cqe.flags >> IORING_CQE_BUFFER_SHIFT];
    struct io_uring_recvmsg_out *out = (void *)buffer;
    CHECK_EQ(out->namelen, length);
    CHECK(memcmp(buffer + sizeof *out, &there, length) == 0);
    CHECK_EQ(out->payloadlen, 3 + round);
    CHECK_EQ(out->flags, 0);
    struct cmsghdr *control = (void *)(buffer + sizeof *out + NAME);
    CHECK(out->controllen >= CMSG_LEN(sizeof(struct ucred)) && control->cmsg_type == SCM_CREDENTIALS);
    CHECK(memcmp(buffer + HEAD, "hello", 3 + round) == 0);
  }
  // What has no room is cut.
  char large[300] = {0};
  OK(send(sender, large, sizeof large, 0));
  struct completion cqe = COMPLETES(&ring, 2, 256);
  struct io_uring_recvmsg_out *out = (void *)memory[cqe.flags >> IORING_CQE_BUFFER_SHIFT];
  CHECK_EQ(out->payloadlen, 256 - HEAD);
  CHECK_EQ(out->flags, MSG_TRUNC);
  ring_prepare(&ring, IORING_OP_ASYNC_CANCEL, -1, (void *)2, 0, 0, 8);
  CHECK_EQ(ring_submit(&ring, 2), 1);
  for (int index = 0; index < 2; index++) {
    cqe = ring_wait(&ring);
    CHECK_EQ(cqe.res, cqe.user_data == 2 ? -ECANCELED : 0);
  }
  // The end of a stream is the last message.
  int ends[2];
  OK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
  struct msghdr plain = {0};
  sqe = ring_prepare(&ring, IORING_OP_RECVMSG, ends[0], &plain, 1, 0, 4);
  sqe->ioprio = IORING_RECV_MULTISHOT, sqe->flags = IOSQE_BUFFER_SELECT, sqe->buf_group = 3;
  CHECK_EQ(ring_submit(&ring, 0), 1);
  OK(write(ends[1], "abc", 3));
  COMPLETES(&ring, 4, sizeof *out + 3);
  close(ends[1]);
  CHECK_EQ(COMPLETES(&ring, 4, sizeof *out).flags & 3, IORING_CQE_F_BUFFER);
  close(ends[0]), close(receiver), close(sender);
  ring_close(&ring);
}

// Requests are given buffers as they need them.
static void buffer_groups(void) {
  struct ring ring;
  ring_open(&ring, 16, 0);
  int ends[2];
  static char memory[4][16];
  OK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
  ring_prepare(&ring, IORING_OP_RECV, ends[0], NULL, 16, 0, 1)->flags = IOSQE_BUFFER_SELECT;
  OK(write(ends[1], "a", 1));
  SUBMIT_ONE(&ring, -ENOBUFS);
  struct io_uring_sqe *provide = ring_prepare(&ring, IORING_OP_PROVIDE_BUFFERS, 4, memory, 16, 10, 2);
  provide->buf_group = 7;
  SUBMIT_ONE(&ring, 0);
  for (int round = 0; round < 2; round++) {
    if (round > 0) OK(write(ends[1], "b", 1));
    struct io_uring_sqe *receive = ring_prepare(&ring, IORING_OP_RECV, ends[0], NULL, 16, 0, 1);
    receive->flags = IOSQE_BUFFER_SELECT;
    receive->buf_group = 7;
    struct completion cqe = SUBMIT_ONE(&ring, 1);
    CHECK(cqe.flags & IORING_CQE_F_BUFFER);
    unsigned number = (cqe.flags >> IORING_CQE_BUFFER_SHIFT) - 10;
    CHECK(number < 4);
    CHECK_EQ(memory[number][0], round > 0 ? 'b' : 'a');
  }
  // Two are left; a request that receives again and again ends when there are none.
  struct io_uring_sqe *many = ring_prepare(&ring, IORING_OP_RECV, ends[0], NULL, 0, 0, 3);
  many->flags = IOSQE_BUFFER_SELECT;
  many->buf_group = 7;
  many->ioprio = IORING_RECV_MULTISHOT;
  CHECK_EQ(ring_submit(&ring, 0), 1);
  for (int round = 0; round < 2; round++) {
    OK(write(ends[1], "cd", 2));
    struct completion cqe = COMPLETES(&ring, 3, 2);
    CHECK_EQ(cqe.flags & 3, IORING_CQE_F_BUFFER | IORING_CQE_F_MORE);
  }
  OK(write(ends[1], "e", 1));
  CHECK_EQ(COMPLETES(&ring, 3, -ENOBUFS).flags & IORING_CQE_F_MORE, 0);
  provide = ring_prepare(&ring, IORING_OP_PROVIDE_BUFFERS, 4, memory, 16, 0, 2);
  provide->buf_group = 7;
  SUBMIT_ONE(&ring, 0);
  ring_prepare(&ring, IORING_OP_REMOVE_BUFFERS, 3, NULL, 0, 0, 2)->buf_group = 7;
  SUBMIT_ONE(&ring, 3);
  ring_prepare(&ring, IORING_OP_REMOVE_BUFFERS, 3, NULL, 0, 0, 2)->buf_group = 7;
  SUBMIT_ONE(&ring, 1);
  ring_prepare(&ring, IORING_OP_REMOVE_BUFFERS, 3, NULL, 0, 0, 2)->buf_group = 8;
  SUBMIT_ONE(&ring, -ENOENT);
  // A ring of them.
  struct io_uring_buf *buffers = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(buffers != MAP_FAILED);
  struct io_uring_buf_reg registration = {.ring_addr = (uintptr_t)buffers, .ring_entries = 3, .bgid = 9};
  CHECK_ERRNO(ring_register(ring.fd, IORING_REGISTER_PBUF_RING, &registration, 1), EINVAL);
  registration.ring_entries = 4;
  OK(ring_register(ring.fd, IORING_REGISTER_PBUF_RING, &registration, 1));
  CHECK_ERRNO(ring_register(ring.fd, IORING_REGISTER_PBUF_RING, &registration, 1), EEXIST);
  for (int index = 0; index < 2; index++) {
    buffers[index].addr = (uintptr_t)memory[index];
    buffers[index].len = 16;
    buffers[index].bid = 20 + index;
  }
  ((_Atomic uint16_t *)buffers)[7] = 2;
  for (int round = 0; round < 3; round++) {
    if (round > 0) OK(write(ends[1], "f", 1));
    struct io_uring_sqe *receive = ring_prepare(&ring, IORING_OP_READ, ends[0], NULL, 16, -1, 1);
    receive->flags = IOSQE_BUFFER_SELECT;
    receive->buf_group = 9;
    if (round == 2) {
      SUBMIT_ONE(&ring, -ENOBUFS);
    } else {
      struct completion cqe = SUBMIT_ONE(&ring, 1);
      CHECK_EQ(cqe.flags >> IORING_CQE_BUFFER_SHIFT, 20 + round);
      CHECK_EQ(memory[round][0], round ? 'f' : 'e');
    }
  }
  OK(ring_register(ring.fd, IORING_UNREGISTER_PBUF_RING, &registration, 1));
  CHECK_ERRNO(ring_register(ring.fd, IORING_UNREGISTER_PBUF_RING, &registration, 1), ENOENT);
  close(ends[0]), close(ends[1]);
  ring_close(&ring);
}

static void registered_files(void) {
  struct ring ring;
  ring_open(&ring, 8, 0);
  int ends[2], none[4] = {-1, -1, -1, -1};
  OK(pipe(ends));
  CHECK_ERRNO(ring_register(ring.fd, IORING_UNREGISTER_FILES, NULL, 0), ENXIO);
  CHECK_ERRNO(ring_register(ring.fd, IORING_REGISTER_FILES, ends, 0), EINVAL);
  CHECK_ERRNO(ring_register(ring.fd, IORING_REGISTER_FILES, wild, 2), EFAULT);
  int bad[2] = {ends[0], 1000};
  CHECK_ERRNO(ring_register(ring.fd, IORING_REGISTER_FILES, bad, 2), EBADF);
  CHECK_ERRNO(ring_register(ring.fd, IORING_REGISTER_FILES, &ring.fd, 1), EBADF);
  OK(ring_register(ring.fd, IORING_REGISTER_FILES, none, 4));
  CHECK_ERRNO(ring_register(ring.fd, IORING_REGISTER_FILES, none, 4), EBUSY);
  struct io_uring_files_update update = {.offset = 1, .fds = (uintptr_t)ends};
  CHECK_EQ(ring_register(ring.fd, IORING_REGISTER_FILES_UPDATE, &update, 2), 2);
  update.offset = 3;
  CHECK_ERRNO(ring_register(ring.fd, IORING_REGISTER_FILES_UPDATE, &update, 2), EINVAL);
  close(ends[0]), close(ends[1]);
  char bytes[8];
  ring_prepare(&ring, IORING_OP_WRITE, 2, "abc", 3, 0, 1)->flags = IOSQE_FIXED_FILE;
  SUBMIT_ONE(&ring, 3);
  ring_prepare(&ring, IORING_OP_READ, 1, bytes, 8, 0, 1)->flags = IOSQE_FIXED_FILE;
  SUBMIT_ONE(&ring, 3);
  ring_prepare(&ring, IORING_OP_READ, 0, bytes, 8, 0, 1)->flags = IOSQE_FIXED_FILE;
  SUBMIT_ONE(&ring, -EBADF);
  ring_prepare(&ring, IORING_OP_READ, 9, bytes, 8, 0, 1)->flags = IOSQE_FIXED_FILE;
  SUBMIT_ONE(&ring, -EBADF);
  // Files that get no descriptor at all.
  struct io_uring_sqe *open = ring_prepare(&ring, IORING_OP_OPENAT, AT_FDCWD, "/dev/zero", 0, 0, 1);
  open->open_flags = O_RDONLY;
  open->file_index = 1;
  SUBMIT_ONE(&ring, 0);
  ring_prepare(&ring, IORING_OP_READ, 0, bytes, 8, 0, 1)->flags = IOSQE_FIXED_FILE;
  SUBMIT_ONE(&ring, 8);
  CHECK_EQ(bytes[7], 0);
  open = ring_prepare(&ring, IORING_OP_OPENAT, AT_FDCWD, "/dev/zero", 0, 0, 1);
  open->file_index = IORING_FILE_INDEX_ALLOC;
  SUBMIT_ONE(&ring, 3);
  open = ring_prepare(&ring, IORING_OP_OPENAT, AT_FDCWD, "/dev/zero", 0, 0, 1);
  open->file_index = IORING_FILE_INDEX_ALLOC;
  SUBMIT_ONE(&ring, -ENFILE);
  ring_prepare(&ring, IORING_OP_CLOSE, 0, NULL, 0, 0, 1)->file_index = 1;
  SUBMIT_ONE(&ring, 0);
  ring_prepare(&ring, IORING_OP_CLOSE, 0, NULL, 0, 0, 1)->file_index = 1;
  SUBMIT_ONE(&ring, -EBADF);
  OK(ring_register(ring.fd, IORING_UNREGISTER_FILES, NULL, 0));
  ring_close(&ring);
}

static void registered_buffers(void) {
  struct ring ring;
  ring_open(&ring, 8, 0);
  static char memory[2 * 4096];
  struct iovec pieces[2] = {{memory, 4096}, {memory + 4096, 4096}}, bad = {wild, 4096};
  CHECK_ERRNO(ring_register(ring.fd, IORING_UNREGISTER_BUFFERS, NULL, 0), ENXIO);
  CHECK_ERRNO(ring_register(ring.fd, IORING_REGISTER_BUFFERS, pieces, 0), EINVAL);
  CHECK_ERRNO(ring_register(ring.fd, IORING_REGISTER_BUFFERS, &bad, 1), EFAULT);
  OK(ring_register(ring.fd, IORING_REGISTER_BUFFERS, pieces, 2));
  CHECK_ERRNO(ring_register(ring.fd, IORING_REGISTER_BUFFERS, pieces, 2), EBUSY);
  int file = OK(open("file", O_CREAT | O_RDWR, 0600));
  strcpy(memory, "fixed");
  ring_prepare(&ring, IORING_OP_WRITE_FIXED, file, memory, 5, 0, 1);
  SUBMIT_ONE(&ring, 5);
  ring_prepare(&ring, IORING_OP_READ_FIXED, file, memory + 4100, 100, 0, 1)->buf_index = 1;
  SUBMIT_ONE(&ring, 5);
  CHECK(memcmp(memory + 4100, "fixed", 5) == 0);
  ring_prepare(&ring, IORING_OP_READ_FIXED, file, memory, 100, 0, 1)->buf_index = 1;
  SUBMIT_ONE(&ring, -EFAULT);
  ring_prepare(&ring, IORING_OP_READ_FIXED, file, memory + 4000, 100, 0, 1);
  SUBMIT_ONE(&ring, -EFAULT);
  ring_prepare(&ring, IORING_OP_READ_FIXED, file, memory, 100, 0, 1)->buf_index = 2;
  SUBMIT_ONE(&ring, -EFAULT);
  OK(ring_register(ring.fd, IORING_UNREGISTER_BUFFERS, NULL, 0));
  close(file);
  ring_close(&ring);
}

static void others(void) {
  struct ring ring, second;
  ring_open(&ring, 8, 0);
  int counter = OK(eventfd(0, EFD_NONBLOCK));
  CHECK_ERRNO(ring_register(ring.fd, IORING_UNREGISTER_EVENTFD, NULL, 0), ENXIO);
  CHECK_ERRNO(ring_register(ring.fd, IORING_REGISTER_EVENTFD, &ring.fd, 1), EINVAL);
  CHECK_ERRNO(ring_register(ring.fd, IORING_REGISTER_EVENTFD, &counter, 2), EINVAL);
  OK(ring_register(ring.fd, IORING_REGISTER_EVENTFD, &counter, 1));
  CHECK_ERRNO(ring_register(ring.fd, IORING_REGISTER_EVENTFD, &counter, 1), EBUSY);
  ring_prepare(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 1);
  SUBMIT_ONE(&ring, 0);
  uint64_t count;
  CHECK_EQ(read(counter, &count, 8), 8);
  CHECK_EQ(count, 1);
  OK(ring_register(ring.fd, IORING_UNREGISTER_EVENTFD, NULL, 0));

  struct { struct io_uring_probe head; struct io_uring_probe_op ops[64]; } probe = {0};
  OK(ring_register(ring.fd, IORING_REGISTER_PROBE, &probe, 64));
  CHECK(probe.head.last_op >= IORING_OP_SENDMSG_ZC);
  CHECK(probe.head.ops[IORING_OP_READ].flags & IO_URING_OP_SUPPORTED);
  CHECK_EQ(probe.head.ops[IORING_OP_READ].op, IORING_OP_READ);
  CHECK_ERRNO(ring_register(ring.fd, IORING_REGISTER_PROBE, &probe, 64), EINVAL);

  // As somebody else.
  OK(close(OK(open("secret", O_CREAT | O_RDWR, 0600))));
  OK(seteuid(1000));
  int personality = ring_register(ring.fd, IORING_REGISTER_PERSONALITY, NULL, 0);
  OK(seteuid(0));
  CHECK(personality > 0);
  ring_prepare(&ring, IORING_OP_OPENAT, AT_FDCWD, "secret", 0, 0, 1)->personality = personality;
  SUBMIT_ONE(&ring, -EACCES);
  ring_prepare(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 1)->personality = personality + 1;
  SUBMIT_ONE(&ring, -EINVAL);
  OK(ring_register(ring.fd, IORING_UNREGISTER_PERSONALITY, NULL, personality));
  CHECK_ERRNO(ring_register(ring.fd, IORING_UNREGISTER_PERSONALITY, NULL, personality), EINVAL);

  // A ring is told something by another.
  ring_open(&second, 8, 0);
  ring_prepare(&ring, IORING_OP_MSG_RING, second.fd, NULL, 77, 99, 1);
  SUBMIT_ONE(&ring, 0);
  COMPLETES(&second, 99, 77);
  ring_prepare(&ring, IORING_OP_MSG_RING, counter, NULL, 77, 99, 1);
  SUBMIT_ONE(&ring, -EBADFD);
  ring_close(&second);

  // Entered by a number of its own.
  struct io_uring_rsrc_update self = {.offset = -1u, .data = ring.fd};
  CHECK_EQ(ring_register(ring.fd, IORING_REGISTER_RING_FDS, &self, 1), 1);
  ring_prepare(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 5);
  *SQ_WORD(&ring, tail) += 1;
  ring.prepared = 0;
  CHECK_EQ(ring_enter(self.offset, 1, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_REGISTERED_RING, NULL, 0), 1);
  COMPLETES(&ring, 5, 0);
  self.data = 0;
  CHECK_EQ(ring_register(ring.fd, IORING_UNREGISTER_RING_FDS, &self, 1), 1);
  CHECK_ERRNO(ring_enter(self.offset, 0, 0, IORING_ENTER_GETEVENTS | IORING_ENTER_REGISTERED_RING, NULL, 0), EBADF);
  close(counter);
  ring_close(&ring);
}

static void restrictions(void) {
  struct ring ring;
  ring_open(&ring, 8, IORING_SETUP_R_DISABLED);
  CHECK_ERRNO(ring_enter(ring.fd, 0, 0, 0, NULL, 0), EBADFD);
  struct io_uring_restriction all[2] = {{.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_NOP}, {.opcode = IORING_RESTRICTION_REGISTER_OP, .register_op = IORING_REGISTER_PROBE}};
  OK(ring_register(ring.fd, IORING_REGISTER_RESTRICTIONS, all, 2));
  CHECK_ERRNO(ring_register(ring.fd, IORING_REGISTER_RESTRICTIONS, all, 2), EBUSY);
  OK(ring_register(ring.fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0));
  ring_prepare(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 1);
  SUBMIT_ONE(&ring, 0);
  ring_prepare(&ring, IORING_OP_FSYNC, -1, NULL, 0, 0, 1);
  SUBMIT_ONE(&ring, -EACCES);
  ring_prepare(&ring, IORING_OP_NOP, -1, NULL, 0, 0, 1)->flags = IOSQE_IO_LINK;
  SUBMIT_ONE(&ring, -EACCES);
  CHECK_ERRNO(ring_register(ring.fd, IORING_UNREGISTER_FILES, NULL, 0), EACCES);
  ring_close(&ring);
}

// Pipes in front of each other.
static void splices(void) {
  struct ring ring;
  ring_open(&ring, 8, 0);
  int ends[2], file = OK(open("spliced", O_CREAT | O_RDWR | O_TRUNC, 0600));
  OK(pipe(ends));
  OK(pwrite(file, "0123456789", 10, 0));
  struct io_uring_sqe *sqe = ring_prepare(&ring, IORING_OP_SPLICE, ends[1], (void *)3, 4, -1, 1);
  sqe->splice_fd_in = file;
  SUBMIT_ONE(&ring, 4);
  char bytes[8];
  CHECK_EQ(read(ends[0], bytes, 8), 4);
  CHECK(memcmp(bytes, "3456", 4) == 0);
  OK(write(ends[1], "xy", 2));
  sqe = ring_prepare(&ring, IORING_OP_SPLICE, file, (void *)-1, 2, 8, 1);
  sqe->splice_fd_in = ends[0];
  SUBMIT_ONE(&ring, 2);
  CHECK_EQ(pread(file, bytes, 8, 6), 4);
  CHECK(memcmp(bytes, "67xy", 4) == 0);
  close(ends[0]), close(ends[1]), close(file);
  ring_close(&ring);
}

// Nothing of a ring is done any more when its task has ended or another program runs.
static void ends(void) {
  int pipe_ends[2];
  OK(pipe(pipe_ends));
  pid_t child;
  IN_CHILD(child) {
    struct ring ring;
    ring_open(&ring, 8, 0);
    static char bytes[8];
    for (int index = 0; index < 4; index++) ring_prepare(&ring, IORING_OP_READ, pipe_ends[0], bytes, 8, 0, index);
    CHECK_EQ(ring_submit(&ring, 0), 4);
  }
  WAIT_OK(child);
  char byte;
  OK(write(pipe_ends[1], "a", 1));
  CHECK_EQ(read(pipe_ends[0], &byte, 1), 1);
  close(pipe_ends[0]), close(pipe_ends[1]);
}

int main(void) {
  enter_scratch();
  OK(chmod(".", 0777));
  connections();
  buffer_groups();
  messages_one_after_the_other();
  registered_files();
  registered_buffers();
  others();
  restrictions();
  splices();
  ends();
  return 0;
}
