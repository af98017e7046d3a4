"""Images and volumes: unpacking, starts, walks, throughput, and what one more sandbox of an image takes of memory."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import time

TIMEOUT_S = 600
FILES = 100_000
IMAGE_MIB = 500
PYTHONS = 10
VOLUME_MIB = 256
VOLUME_FILES = 5_000
MAKE_FILES = f"""
import os
for number in range({VOLUME_FILES}):
    with open(f"f{{number}}", "w") as file:
        file.write("text")
    os.rename(f"f{{number}}", f"g{{number}}")
    os.stat(f"g{{number}}")
for number in range({VOLUME_FILES}):
    os.unlink(f"g{{number}}")
"""


def run(command, **more):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                          timeout=TIMEOUT_S, **more)
    if done.returncode != 0:
        raise RuntimeError(f"exit status {done.returncode}: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")


def timed_ms(command, **more):
    started = time.perf_counter()
    run(command, **more)
    return (time.perf_counter() - started) * 1e3


class World:
    """Root file systems in a directory, made when the first measure wants them."""

    def __init__(self, directory, memory_kib):
        self.directory, self.memory_kib = pathlib.Path(directory) / "images", memory_kib

    def path(self, name):
        return str(self.directory / name)

    def prepare(self):
        """A root of busybox's programs with many files, and one with large files; each in a directory and an archive."""
        if self.directory.exists():
            return
        self.directory.mkdir()
        for name in ["many", "large"]:
            root = self.directory / name
            for folder in ["bin", "dev", "proc", "sys", "tmp", "etc", "files"]:
                (root / folder).mkdir(parents=True)
            shutil.copy(shutil.which("busybox"), root / "bin/busybox")
            for program in ["sh", "true", "find"]:
                (root / "bin" / program).symlink_to("busybox")
        for number in range(FILES):
            folder = self.directory / f"many/files/{number // 100}"
            if number % 100 == 0:
                folder.mkdir()
            (folder / str(number)).touch()
        for number in range(IMAGE_MIB // 10):
            # Half of it is noise, so that it is packed to half.
            (self.directory / f"large/files/{number}").write_bytes((os.urandom(1 << 10) + b"a" * (1 << 10)) * (5 << 10))
        for name in ["many", "large"]:
            run(["tar", "-C", self.path(name), "-cf", self.path(f"{name}.tar"), "."])
        run(["sh", "-c", f"gzip -1 < {self.path('large.tar')} > {self.path('large.tar.gz')}"])

    def fresh(self):
        return tempfile.mkdtemp(dir=self.directory)

    def unpack_ms(self, place):
        """Unpacking into an empty store; natively with tar."""
        target = self.fresh()
        try:
            if place.prefix:
                return timed_ms([self.vmm(place), "images", "--store", target, "pull-in", self.path("large.tar.gz")])
            return timed_ms(["tar", "-C", target, "-xzf", self.path("large.tar.gz")])
        finally:
            shutil.rmtree(target)

    @staticmethod
    def vmm(place):
        if pathlib.Path(place.prefix[0]).name != "vmm":
            raise RuntimeError("this is vmm's alone")
        return place.prefix[0]

    def start_ms(self, image, is_first):
        """A start of /bin/true; natively in a chroot."""
        def once(place):
            if not place.prefix:
                return timed_ms(["chroot", self.path("many"), "/bin/true"])
            store = self.fresh()
            command = [self.vmm(place), "--store", store, "--image", self.path(image), "--", "/bin/true"]
            try:
                # The second one finds an archive that it knows, once that is older than a second.
                return timed_ms(command) if is_first else [run(command), timed_ms(command)][1]
            finally:
                shutil.rmtree(store)
        return once

    def walk_ms(self, image):
        """find through all files."""
        def once(place):
            if not place.prefix:
                return timed_ms(["chroot", self.path("many"), "/bin/find", "/files", "-size", "+1"])
            store = self.path("store")
            return timed_ms([self.vmm(place), "--store", store, "--image", self.path(image), "--", "/bin/find", "/files", "-size", "+1"])
        return once

    def in_volume_ms(self, script):
        """A shell script in a directory of the host, which is a volume inside."""
        def once(place):
            directory = self.fresh()
            try:
                if not place.prefix:
                    return timed_ms(["/bin/sh", "-ec", script], cwd=directory)
                mounted = [self.vmm(place), "--volume", f"{directory}:/mnt", "--workdir", "/mnt"]
                return timed_ms(mounted + place.prefix[1:] + ["/bin/sh", "-ec", script])
            finally:
                shutil.rmtree(directory)
        return once

    def tenth_mib(self, place):
        """The proportional memory that an idle python adds to nine of them."""
        command = place.prefix + ["/usr/bin/python3", "-c", "import sys; print('ready', flush=True); sys.stdin.read()"]
        running = []
        try:
            for _ in range(PYTHONS):
                before = sum(self.memory_kib(process.pid) for process in running)
                process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
                running.append(process)
                if process.stdout.readline() != "ready\n":
                    raise RuntimeError("python does not start")
            return (sum(self.memory_kib(process.pid) for process in running) - before) / 1024
        finally:
            for process in running:
                process.stdin.close()
            for process in running:
                process.wait(timeout=TIMEOUT_S)


def measures(directory, memory_kib, measure):
    """All rows; `measure` makes one, and `memory_kib` tells the proportional memory of a process group."""
    world = World(directory, memory_kib)
    write = f"dd if=/dev/zero of=file bs=64k count={VOLUME_MIB * 16} conv=fsync 2>/dev/null"
    rows = [
        (f"image of {IMAGE_MIB} MB unpacked", "ms", "tar's", world.unpack_ms),
        ("start of a directory", "ms", "", world.start_ms("many", True)),
        ("first start of an archive", "ms", "", world.start_ms("many.tar", True)),
        ("second start of an archive", "ms", "the directory's", world.start_ms("many.tar", False)),
        (f"walk through {FILES:,} files of a directory", "ms", "", world.walk_ms("many")),
        (f"walk through {FILES:,} files of a layer", "ms", "the directory's", world.walk_ms("many.tar")),
        (f"volume: {VOLUME_MIB} MB written", "ms", "", world.in_volume_ms(write)),
        (f"volume: {VOLUME_MIB} MB written and read", "ms", "", world.in_volume_ms(f"{write}; cat file > /dev/null")),
        (f"volume: {VOLUME_FILES:,} files made, renamed and removed", "ms", "",
         world.in_volume_ms(f"exec /usr/bin/python3 -c '{MAKE_FILES}'")),
        (f"python3, the {PYTHONS}th: resident memory that it adds", "MiB", "", world.tenth_mib),
    ]
    return [measure(name, unit, reach, once, world.prepare) for name, unit, reach, once in rows]
