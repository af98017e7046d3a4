// Loop devices: made and found, a file behind them, how it is shown, what is refused, partitions, and the last close.
#include "check.h"
#include <linux/blkpg.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#define SIZE (4 << 20)

static int control, number;
static char name[64];

static char *attribute(const char *format) {
  static char text[4096];
  char path[256];
  snprintf(path, sizeof path, format, number);
  int file = open(path, O_RDONLY);
  if (file < 0) return NULL;
  ssize_t length = OK(read(file, text, sizeof text - 1));
  OK(close(file));
  text[length] = 0;
  if (length > 0 && text[length - 1] == '\n') text[length - 1] = 0;
  return text;
}

#define CHECK_ATTRIBUTE(path, expected) \
  do { \
    char *found = attribute(path); \
    if (found == NULL || strcmp(found, expected)) FAIL("%s: %s, not %s", path, found ? found : "(none)", expected); \
  } while (0)

static int open_loop(int flags) {
  for (int attempt = 0; attempt < 100; attempt++) {
    int loop = open(name, flags);
    if (loop >= 0 || errno != ENOENT) return loop;
    usleep(20000);
  }
  errno = ENOENT;
  return -1;
}

static uint64_t size_of(int loop) {
  uint64_t bytes;
  OK(ioctl(loop, BLKGETSIZE64, &bytes));
  return bytes;
}

static struct loop_info64 status_of(int loop) {
  struct loop_info64 info;
  memset(&info, 0xff, sizeof info);
  OK(ioctl(loop, LOOP_GET_STATUS64, &info));
  return info;
}

static void test_control(void) {
  CHECK_ERRNO(ioctl(control, LOOP_CTL_REMOVE, -1), EINVAL);
  CHECK_ERRNO(ioctl(control, 0x4cff), ENOSYS);
  CHECK_EQ(OK(ioctl(control, LOOP_CTL_ADD, 197)), 197);
  CHECK_ERRNO(ioctl(control, LOOP_CTL_ADD, 197), EEXIST);
  CHECK_EQ(OK(ioctl(control, LOOP_CTL_REMOVE, 197)), 0);
  CHECK_ERRNO(ioctl(control, LOOP_CTL_REMOVE, 197), ENODEV);
}

// Nothing is there without a file.
static void test_unbound(int loop) {
  char buffer[512];
  struct loop_info64 info = {0};
  CHECK_EQ(size_of(loop), 0);
  CHECK_EQ(OK(read(loop, buffer, sizeof buffer)), 0);
  CHECK_ERRNO(ioctl(loop, LOOP_GET_STATUS64, &info), ENXIO);
  CHECK_ERRNO(ioctl(loop, LOOP_SET_STATUS64, &info), ENXIO);
  CHECK_ERRNO(ioctl(loop, LOOP_SET_CAPACITY, 0), ENXIO);
  CHECK_ERRNO(ioctl(loop, LOOP_CLR_FD, 0), ENXIO);
  CHECK_ERRNO(ioctl(loop, LOOP_SET_FD, 9999), EBADF);
  int pipe_ends[2];
  OK(pipe(pipe_ends));
  CHECK_ERRNO(ioctl(loop, LOOP_SET_FD, pipe_ends[0]), EINVAL);
  int directory = OK(open(".", O_RDONLY));
  CHECK_ERRNO(ioctl(loop, LOOP_SET_FD, directory), EINVAL);
  OK(close(directory)), OK(close(pipe_ends[0])), OK(close(pipe_ends[1]));
  CHECK(attribute("/sys/block/loop%d/loop/backing_file") == NULL);
}

// The bytes are the file's.
static void test_bytes(int loop, int file) {
  char text[512] = "the second block", found[1024];
  CHECK_EQ(pwrite(loop, text, 512, 512), 512);
  OK(fsync(loop));
  CHECK_EQ(pread(file, found, 512, 512), 512);
  CHECK(!memcmp(text, found, 512));
  CHECK_EQ(lseek(loop, 0, SEEK_END), SIZE);
  CHECK_EQ(read(loop, found, 512), 0);
  CHECK_ERRNO(write(loop, text, 1), ENOSPC);
  CHECK_EQ(lseek(loop, -100, SEEK_CUR), SIZE - 100);
  CHECK_EQ(write(loop, text, 512), 100);
  CHECK_EQ(pread(loop, found, 1024, SIZE - 512), 512);
  struct stat status;
  OK(fstat(loop, &status));
  CHECK(S_ISBLK(status.st_mode) && status.st_size == 0 && major(status.st_rdev) == 7);
  char *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, loop, 0);
  CHECK(memory != MAP_FAILED);
  CHECK(!memcmp(memory + 512, text, 512));
  memcpy(memory, "mapped", 6);
  OK(msync(memory, PAGE, MS_SYNC));
  OK(munmap(memory, PAGE));
  CHECK_EQ(pread(loop, found, 6, 0), 6);
  CHECK(!memcmp(found, "mapped", 6));
}

static void test_block_requests(int loop) {
  unsigned long sectors;
  int value;
  OK(ioctl(loop, BLKGETSIZE, &sectors));
  CHECK_EQ(sectors, SIZE / 512);
  CHECK_EQ(size_of(loop), SIZE);
  OK(ioctl(loop, BLKSSZGET, &value));
  CHECK_EQ(value, 512);
  OK(ioctl(loop, BLKBSZGET, &value));
  CHECK_EQ(value, 4096);
  value = 1024;
  OK(ioctl(loop, BLKBSZSET, &value));
  value = 1000;
  CHECK_ERRNO(ioctl(loop, BLKBSZSET, &value), EINVAL);
  CHECK_ERRNO(ioctl(loop, BLKBSZSET, NULL), EINVAL);
  CHECK_ERRNO(ioctl(loop, BLKROGET, wild), EFAULT);
  CHECK_ERRNO(ioctl(loop, BLKRAGET, NULL), EINVAL);
  CHECK_ERRNO(ioctl(loop, BLKRRPART), EINVAL);
  CHECK_ERRNO(ioctl(loop, 0x4cff), EINVAL);
  value = 1;
  OK(ioctl(loop, BLKROSET, &value));
  OK(ioctl(loop, BLKROGET, &value));
  CHECK_EQ(value, 1);
  CHECK_ATTRIBUTE("/sys/block/loop%d/ro", "1");
  CHECK_ERRNO(pwrite(loop, "x", 1, 0), EPERM);
  value = 0;
  OK(ioctl(loop, BLKROSET, &value));
  CHECK_EQ(pwrite(loop, "x", 1, 0), 1);
  char zeroes[4096] = {0}, found[4096];
  CHECK_EQ(pwrite(loop, "something", 9, 8192), 9);
  uint64_t range[2] = {8192, 4096};
  OK(ioctl(loop, BLKZEROOUT, range));
  CHECK_EQ(pread(loop, found, 4096, 8192), 4096);
  CHECK(!memcmp(found, zeroes, 4096));
  range[0] = 100;
  CHECK_ERRNO(ioctl(loop, BLKZEROOUT, range), EINVAL);
  range[0] = SIZE;
  CHECK_ERRNO(ioctl(loop, BLKZEROOUT, range), EINVAL);
  int reader = OK(open(name, O_RDONLY));
  range[0] = 8192;
  CHECK_ERRNO(ioctl(reader, BLKZEROOUT, range), EBADF);
  OK(close(reader));
}

static void test_status(int loop, int file) {
  struct stat status;
  OK(fstat(file, &status));
  struct loop_info64 info = status_of(loop);
  CHECK_EQ(info.lo_inode, status.st_ino);
  CHECK_EQ(info.lo_number, number);
  CHECK_EQ(info.lo_flags, 0);
  CHECK_EQ(info.lo_offset, 0);
  CHECK_ERRNO(ioctl(loop, LOOP_GET_STATUS64, NULL), EINVAL);
  CHECK_ERRNO(ioctl(loop, LOOP_SET_FD, file), EBUSY);
  struct loop_info64 new = {.lo_offset = 1024, .lo_sizelimit = 8192};
  strcpy((char *)new.lo_file_name, "some name");
  OK(fsync(loop));
  CHECK_EQ(pwrite(file, "changed", 7, 1024), 7);
  OK(ioctl(loop, LOOP_SET_STATUS64, &new));
  info = status_of(loop);
  CHECK(info.lo_offset == 1024 && info.lo_sizelimit == 8192 && !strcmp((char *)info.lo_file_name, "some name"));
  CHECK_EQ(size_of(loop), 8192);
  CHECK_ATTRIBUTE("/sys/block/loop%d/loop/offset", "1024");
  CHECK_ATTRIBUTE("/sys/block/loop%d/loop/sizelimit", "8192");
  CHECK_ATTRIBUTE("/sys/block/loop%d/size", "16");
  char found[8];
  CHECK_EQ(pread(loop, found, 7, 0), 7);
  CHECK(!memcmp(found, "changed", 7));
  struct loop_info old;
  OK(ioctl(loop, LOOP_GET_STATUS, &old));
  CHECK(old.lo_offset == 1024 && old.lo_number == number && !strcmp(old.lo_name, "some name"));
  new.lo_offset = 1ULL << 63;
  CHECK_ERRNO(ioctl(loop, LOOP_SET_STATUS64, &new), EOVERFLOW);
  new.lo_offset = 0, new.lo_encrypt_type = 1;
  CHECK_ERRNO(ioctl(loop, LOOP_SET_STATUS64, &new), EINVAL);
  struct loop_info64 none = {0};
  OK(ioctl(loop, LOOP_SET_STATUS64, &none));
  CHECK_EQ(size_of(loop), SIZE);
  // The file grows, and the device when it is told.
  OK(ftruncate(file, 2 * SIZE));
  CHECK_EQ(size_of(loop), SIZE);
  OK(ioctl(loop, LOOP_SET_CAPACITY, 0));
  CHECK_EQ(size_of(loop), 2 * SIZE);
  OK(ftruncate(file, SIZE));
  OK(ioctl(loop, LOOP_SET_CAPACITY, 0));
  CHECK_ERRNO(ioctl(loop, LOOP_SET_BLOCK_SIZE, 256), EINVAL);
  CHECK_ERRNO(ioctl(loop, LOOP_SET_BLOCK_SIZE, 1000), EINVAL);
  int value;
  OK(ioctl(loop, LOOP_SET_BLOCK_SIZE, 4096));
  OK(ioctl(loop, BLKSSZGET, &value));
  CHECK_EQ(value, 4096);
  CHECK_ATTRIBUTE("/sys/block/loop%d/queue/logical_block_size", "4096");
  OK(ioctl(loop, LOOP_SET_BLOCK_SIZE, 512));
}

// Partitions that no table names.
static void test_partitions(int loop) {
  struct blkpg_partition partition = {.start = 1 << 20, .length = 1 << 20, .pno = 1};
  struct blkpg_ioctl_arg argument = {.op = BLKPG_ADD_PARTITION, .datalen = sizeof partition, .data = &partition};
  OK(ioctl(loop, BLKPG, &argument));
  CHECK_ERRNO(ioctl(loop, BLKPG, &argument), EBUSY);
  char path[64], found[512];
  CHECK_EQ(pwrite(loop, "the first", 9, 2048 * 512), 9);
  OK(fsync(loop));
  snprintf(path, sizeof path, "/sys/block/loop%d/loop%dp1/start", number, number);
  CHECK_ATTRIBUTE(path, "2048");
  char *device;
  snprintf(path, sizeof path, "/sys/block/loop%d/loop%dp1/dev", number, number);
  CHECK((device = attribute(path)) != NULL);
  unsigned major_number, minor_number;
  CHECK_EQ(sscanf(device, "%u:%u", &major_number, &minor_number), 2);
  OK(mknod("part", S_IFBLK | 0600, makedev(major_number, minor_number)));
  int part = OK(open("part", O_RDWR));
  CHECK_EQ(size_of(part), 2048 * 512);
  CHECK_EQ(read(part, found, 512), 512);
  CHECK(!memcmp(found, "the first", 9));
  CHECK_EQ(lseek(part, 0, SEEK_END), 2048 * 512);
  CHECK_ERRNO(write(part, "x", 1), ENOSPC);
  // In use, it stays.
  argument.op = BLKPG_DEL_PARTITION;
  CHECK_ERRNO(ioctl(loop, BLKPG, &argument), EBUSY);
  struct loop_info64 info = {.lo_flags = LO_FLAGS_PARTSCAN};
  OK(ioctl(loop, LOOP_SET_STATUS64, &info));
  CHECK(status_of(loop).lo_flags & LO_FLAGS_PARTSCAN);
  CHECK_ATTRIBUTE("/sys/block/loop%d/loop/partscan", "1");
  CHECK_ERRNO(ioctl(loop, BLKRRPART), EBUSY);
  OK(close(part));
  OK(ioctl(loop, BLKRRPART));
  CHECK_ERRNO(ioctl(loop, BLKPG, &argument), ENXIO);
}

// Who has it for himself, and what the last close does.
static void test_ends(int loop, int file) {
  int alone = OK(open(name, O_RDWR | O_EXCL));
  CHECK_ERRNO(open(name, O_RDONLY | O_EXCL), EBUSY);
  OK(close(OK(open(name, O_RDONLY))));
  OK(close(alone));
  OK(ioctl(loop, LOOP_CLR_FD, 0));
  OK(close(loop));
  loop = OK(open_loop(O_RDWR));
  struct loop_config config = {.fd = file, .block_size = 4096, .info.lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR};
  OK(ioctl(loop, LOOP_CONFIGURE, &config));
  CHECK_ERRNO(pwrite(loop, "x", 1, 0), EPERM);
  int value;
  OK(ioctl(loop, BLKROGET, &value));
  CHECK_EQ(value, 1);
  OK(ioctl(loop, BLKSSZGET, &value));
  CHECK_EQ(value, 4096);
  CHECK_ATTRIBUTE("/sys/block/loop%d/loop/autoclear", "1");
  CHECK_ERRNO(ioctl(control, LOOP_CTL_REMOVE, number), EBUSY);
  OK(close(loop));
  for (int attempt = 0; attempt < 100 && attribute("/sys/block/loop%d/loop/autoclear"); attempt++) usleep(20000);
  CHECK(attribute("/sys/block/loop%d/loop/autoclear") == NULL);
  loop = OK(open_loop(O_RDWR));
  config.block_size = 100, config.info.lo_flags = 0;
  CHECK_ERRNO(ioctl(loop, LOOP_CONFIGURE, &config), EINVAL);
  config.block_size = 0, config.info.lo_flags = 1 << 20;
  CHECK_ERRNO(ioctl(loop, LOOP_CONFIGURE, &config), EINVAL);
  int reader = OK(open("image", O_RDONLY));
  config.fd = reader, config.info.lo_flags = 0;
  OK(ioctl(loop, LOOP_CONFIGURE, &config));
  CHECK(status_of(loop).lo_flags & LO_FLAGS_READ_ONLY);
  CHECK_ERRNO(ioctl(loop, LOOP_CHANGE_FD, loop), EBADF);
  OK(ioctl(loop, LOOP_CLR_FD, 0));
  OK(close(loop));
}

int main(void) {
  enter_scratch();
  control = OK(open("/dev/loop-control", O_RDWR));
  number = OK(ioctl(control, LOOP_CTL_GET_FREE));
  snprintf(name, sizeof name, "/dev/loop%d", number);
  int file = OK(open("image", O_RDWR | O_CREAT, 0644));
  OK(ftruncate(file, SIZE));
  test_control();
  int loop = OK(open_loop(O_RDWR));
  test_unbound(loop);
  OK(ioctl(loop, LOOP_SET_FD, file));
  CHECK(strstr(attribute("/sys/block/loop%d/loop/backing_file"), "image"));
  test_bytes(loop, file);
  test_block_requests(loop);
  test_status(loop, file);
  test_partitions(loop);
  test_ends(loop, file);
  return 0;
}
