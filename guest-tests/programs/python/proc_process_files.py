"""Files of /proc/PID that tell of labels and of mapped files, and what is mounted where in /sys."""
import errno
import mmap
import os
import stat
import tempfile


def result(call):
    try:
        return call()
    except OSError as error:
        return errno.errorcode[error.errno]


def read(path):
    with open(path, "rb") as file:
        return file.read()


def write(path, text):
    with open(path, "wb", buffering=0) as file:
        return file.write(text)


for name in sorted(os.listdir("/proc/self/attr")):
    if name in ("apparmor", "smack"):
        continue
    path = f"/proc/self/attr/{name}"
    print(name, oct(os.stat(path).st_mode), flush=True)
print("write", result(lambda: write("/proc/self/attr/current", b"label")))

with tempfile.NamedTemporaryFile() as file:
    file.write(bytes(8192))
    file.flush()
    memory = mmap.mmap(file.fileno(), 8192, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    links = {}
    for name in os.listdir("/proc/self/map_files"):
        target = result(lambda: os.readlink(f"/proc/self/map_files/{name}"))
        links.setdefault(target, []).append(name)
    (own,) = links[file.name]
    start, end = (int(address, 16) for address in own.split("-"))
    print("mapping", end - start, oct(os.lstat(f"/proc/self/map_files/{own}").st_mode))
    print("same file", os.path.samestat(os.stat(f"/proc/self/map_files/{own}"), os.stat(file.name)))
    print("maps has it", any(line.startswith(own) for line in open("/proc/self/maps")))
print("directory", oct(stat.S_IMODE(os.stat("/proc/self/map_files").st_mode)))
print("none", result(lambda: os.readlink("/proc/self/map_files/0-1000")))
print("wrong", result(lambda: os.readlink("/proc/self/map_files/name")))
for directory in ("kernel/debug", "kernel/tracing", "kernel/security", "fs/pstore", "fs/fuse/connections", "fs/cgroup"):
    print(directory, os.path.isdir(f"/sys/{directory}"))
