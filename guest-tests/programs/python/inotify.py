"""inotify(7): the events of a directory and of a file, in order."""
import ctypes
import os
import struct
import tempfile

libc = ctypes.CDLL(None, use_errno=True)
NAMES = {
    0x1: "ACCESS", 0x2: "MODIFY", 0x4: "ATTRIB", 0x8: "CLOSE_WRITE", 0x10: "CLOSE_NOWRITE", 0x20: "OPEN",
    0x40: "MOVED_FROM", 0x80: "MOVED_TO", 0x100: "CREATE", 0x200: "DELETE", 0x400: "DELETE_SELF",
    0x800: "MOVE_SELF", 0x8000: "IGNORED", 0x40000000: "ISDIR",
}
ALL = 0xFFF

directory = tempfile.mkdtemp()
os.chdir(directory)
instance = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)


def watch(path, mask=ALL):
    result = libc.inotify_add_watch(instance, path.encode(), mask)
    return result if result >= 0 else os.strerror(ctypes.get_errno())


def events(title):
    print(f"-- {title}")
    cookies = []
    while True:
        try:
            data = os.read(instance, 4096)
        except BlockingIOError:
            return
        while data:
            descriptor, mask, cookie, length = struct.unpack("iIII", data[:16])
            name = data[16:16 + length].rstrip(b"\0").decode()
            data = data[16 + length:]
            if cookie and cookie not in cookies:
                cookies.append(cookie)
            bits = "|".join(text for bit, text in NAMES.items() if mask & bit)
            print(descriptor, bits, name, cookies.index(cookie) + 1 if cookie else 0, length)


print(watch("."))
with open("file", "w") as file:
    file.write("text")
events("create, write, close")
print(watch("file"), watch("missing"), watch("file", 0))
open("file").read()
events("read")
os.chmod("file", 0o600)
os.utime("file")
os.truncate("file", 2)
events("chmod, utime, truncate")
os.mkdir("sub")
os.rename("file", "sub/moved")
events("mkdir, rename")
os.rename("sub/moved", "back")
os.link("back", "link")
events("rename back, link")
handle = open("back", "rb")
os.unlink("back")
events("unlink while open")
handle.close()
events("last close")
os.rmdir("sub")
events("rmdir")
os.symlink("nowhere", "dangling")
os.mkfifo("fifo")
os.listdir(".")
events("symlink, mkfifo, list")
print(libc.inotify_rm_watch(instance, 1), libc.inotify_rm_watch(instance, 1))
events("rm_watch")
print(watch("fifo", 0x80000000 | 0x4))
os.chmod("fifo", 0o600)
os.chmod("fifo", 0o644)
events("once")
os.unlink("fifo")
os.unlink("link")
os.unlink("dangling")
os.rmdir(directory)
