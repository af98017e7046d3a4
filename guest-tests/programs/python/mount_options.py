"""The options of tmpfs and its kin, and move_mount(2) with MOVE_MOUNT_BENEATH: results, and what /proc/mounts shows."""
import ctypes
import errno
import os
import tempfile

libc = ctypes.CDLL(None, use_errno=True)
REMOUNT, READ_ONLY, BIND = 0x20, 1, 0x1000
EMPTY_SOURCE, BENEATH = 4, 0x200


def outcome(result):
    return "ok" if result >= 0 else errno.errorcode[ctypes.get_errno()]


def mount(target, kind=None, flags=0, options=None):
    options = options.encode() if options is not None else None
    kind = kind.encode() if kind is not None else None
    return outcome(libc.mount(b"source", target.encode(), kind, ctypes.c_ulong(flags), options))


def umount(target):
    return outcome(libc.umount2(target.encode(), 0))


def shown(target):
    lines = [line.split(" ") for line in open("/proc/self/mounts")]
    return [" ".join(line[2:4]) for line in lines if line[1] == f"{base}/{target}"]


def tell(*what):
    print(*what, flush=True)


base = tempfile.mkdtemp()
libc.unshare(0x20000)
libc.mount(None, b"/", None, ctypes.c_ulong(0x44000), None)
libc.mount(b"source", base.encode(), b"tmpfs", 0, None)
os.chdir(base)
os.mkdir("a")
for options in [
    "size=1m", "nr_inodes=100", "nr_blocks=10", "mode=700", "uid=5,gid=6", "huge=never", "huge=always", "huge=advise", "huge=bad",
    "mpol=default", "mpol=local", "mpol=local:0", "mpol=prefer", "mpol=prefer:0", "mpol=bind", "mpol=bind:0-0,noswap",
    "mpol=interleave", "mpol=bind=static:0", "mpol=bind=other:0", "mpol=other", "mpol=",
    "noswap", "inode64", "inode32", "size=0", "nr_inodes=0", "size=12345", "mode=9", "uid=-1", "size", "size=1k,size=2m",
    "size=1m,nr_inodes=7,mode=711,uid=1,huge=within_size,noswap,inode64", "foo",
]:
    tell("tmpfs", options, mount("a", "tmpfs", 0, options), *shown("a"))
    umount("a")
mount("a", "tmpfs", 0, "size=64k,nr_inodes=5")
try:
    for i in range(10):
        with open(f"a/{i}", "w") as file:
            file.write("x" * 20000)
except OSError as error:
    tell("full", errno.errorcode[error.errno], len(os.listdir("a")))
for options in ["size=4k", "nr_inodes=2", "size=1m", "huge=always", "size=0"]:
    tell("remount", options, mount("a", "tmpfs", REMOUNT, options), *shown("a"))
umount("a")
mount("a", "tmpfs", 0, "size=1%")
tell("percent", os.statvfs("a").f_blocks > 100)
umount("a")
for kind, options in [("ramfs", "size=5,foo"), ("ramfs", "mode=700"), ("bpf", None), ("bpf", "mode=711,uid=3"), ("bpf", "foo")]:
    tell(kind, options, mount("a", kind, 0, options), *shown("a"), oct(os.stat("a").st_mode))
    if kind == "bpf" and shown("a"):
        os.mkdir("a/directory")
        os.symlink("x", "a/link")
        tell("open", outcome(libc.open(b"a/file", os.O_CREAT | os.O_WRONLY, 0o600)))
        tell("fifo", outcome(libc.mknod(b"a/fifo", 0o10600, ctypes.c_ulong(0))))
    umount("a")


def new_tree():
    context = libc.syscall(430, b"tmpfs", 0)
    libc.syscall(431, context, 6, None, None, 0)
    return libc.syscall(432, context, 0, 0)


def beneath(target):
    return outcome(libc.syscall(429, new_tree(), b"", -100, target, EMPTY_SOURCE | BENEATH))


mount("a", "tmpfs")
open("a/top", "w").close()
tell("beneath", beneath(b"a"), os.listdir("a"), len(shown("a")))
tell("umount", umount("a"), os.listdir("a"), len(shown("a")))
tell("umount", umount("a"), len(shown("a")))
tell("beneath nothing", beneath(b"a"))
os.mkdir("b")
tell("beneath nothing", beneath(b"b"))
tell("beneath the root", beneath(b"/"))
tell("beneath no mount", beneath(b"b/none"))
open("file", "w").close()
descriptor = os.open("file", os.O_RDONLY)
link = os.open(f"/proc/self/fd/{descriptor}", os.O_PATH | os.O_NOFOLLOW)
for target in (f"/proc/self/fdinfo/{descriptor}", f"/proc/self/fd/{link}"):
    tell("on a fleeting name", outcome(libc.mount(b"file", target.encode(), None, ctypes.c_ulong(BIND), None)))
tell("through a link", outcome(libc.mount(b"file", f"/proc/self/fd/{descriptor}".encode(), None, ctypes.c_ulong(BIND), None)))
mount("b", "sysfs")
for path in (f"{base}/b/new", "/proc/new"):
    tell(os.path.basename(os.path.dirname(path)), outcome(libc.mkdir(path.encode(), 0o755)), outcome(libc.open(path.encode(), os.O_CREAT | os.O_WRONLY, 0o600)))
