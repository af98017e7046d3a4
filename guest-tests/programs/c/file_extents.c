// FS_IOC_FIEMAP: where a file's data is.
#include "check.h"
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>

static union {
  struct fiemap map;
  char room[sizeof(struct fiemap) + 8 * sizeof(struct fiemap_extent)];
} wanted;

static struct fiemap *ask(__u64 start, __u64 length, __u32 flags, __u32 count) {
  memset(&wanted, 0, sizeof wanted);
  wanted.map.fm_start = start, wanted.map.fm_length = length, wanted.map.fm_flags = flags, wanted.map.fm_extent_count = count;
  return &wanted.map;
}

int main(void) {
  enter_scratch();
  int file = OK(open("file", O_RDWR | O_CREAT, 0600));
  static char block[2 * PAGE] = {1};
  CHECK_EQ(pwrite(file, block, sizeof block, 0), (long)sizeof block);
  CHECK_EQ(pwrite(file, block, 100, 64 * PAGE), 100);
  OK(fsync(file));
  if (ioctl(file, FS_IOC_FIEMAP, ask(0, -1ULL, 0, 8)) < 0) {
    CHECK_EQ(errno, EOPNOTSUPP); // A file system without extents.
    return 0;
  }
  struct fiemap_extent *extents = wanted.map.fm_extents;
  CHECK_EQ(wanted.map.fm_mapped_extents, 2);
  CHECK_EQ(extents[0].fe_logical, 0);
  CHECK_EQ(extents[0].fe_length, 2 * PAGE);
  CHECK_EQ(extents[0].fe_flags & FIEMAP_EXTENT_LAST, 0);
  CHECK_EQ(extents[1].fe_logical, 64 * PAGE);
  CHECK_EQ(extents[1].fe_length, PAGE);
  CHECK_EQ(extents[1].fe_flags & FIEMAP_EXTENT_LAST, FIEMAP_EXTENT_LAST);
  // How many there would be, and a part of them.
  OK(ioctl(file, FS_IOC_FIEMAP, ask(0, -1ULL, FIEMAP_FLAG_SYNC, 0)));
  CHECK_EQ(wanted.map.fm_mapped_extents, 2);
  OK(ioctl(file, FS_IOC_FIEMAP, ask(0, PAGE, 0, 8)));
  CHECK_EQ(wanted.map.fm_mapped_extents, 1);
  OK(ioctl(file, FS_IOC_FIEMAP, ask(4 * PAGE, PAGE, 0, 8)));
  CHECK_EQ(wanted.map.fm_mapped_extents, 0);
  OK(ioctl(file, FS_IOC_FIEMAP, ask(0, -1ULL, 0, 1)));
  CHECK_EQ(wanted.map.fm_mapped_extents, 1);
  CHECK_ERRNO(ioctl(file, FS_IOC_FIEMAP, ask(0, 0, 0, 8)), EINVAL);
  CHECK_ERRNO(ioctl(file, FS_IOC_FIEMAP, ask(0, -1ULL, 0, -1U)), EINVAL);
  CHECK_ERRNO(ioctl(file, FS_IOC_FIEMAP, ask(0, -1ULL, 0x100, 8)), EBADR);
  CHECK_EQ(wanted.map.fm_flags, 0x100);
  CHECK_ERRNO(ioctl(file, FS_IOC_FIEMAP, wild), EFAULT);
  return 0;
}
