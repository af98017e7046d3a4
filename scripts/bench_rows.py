"""The rows of scripts/bench that are whole programs: the commands, and the trees and databases that they work on."""

import os
import pathlib
import re
import shutil
import subprocess

FILES, DIRECTORIES = 20_000, 200
MODULES = 100
INSERTS, COMMITS = 20_000, 400
SUBPROCESSES = 200
SQLITE = f"""
import sqlite3, tempfile
with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
    database = sqlite3.connect(directory + "/rows.db")
    database.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, text TEXT)")
    database.commit()
    for commit in range({COMMITS}):
        rows = (("row %d of commit %d" % (row, commit),) for row in range({INSERTS // COMMITS}))
        database.executemany("INSERT INTO rows (text) VALUES (?)", rows)
        database.commit()
    assert database.execute("SELECT count(*) FROM rows").fetchone() == ({INSERTS},)
"""
RUN_TRUE = f"import subprocess\nfor _ in range({SUBPROCESSES}): subprocess.run(['/bin/true'], check=True)\n"
# Ends with how long a request took, in microseconds.
REDIS = """
set -e
d=$(mktemp -d); trap 'rm -rf $d' EXIT
redis-server --port 0 --unixsocket $d/s --save '' --daemonize no >$d/log &
until redis-cli -s $d/s ping >/dev/null 2>&1; do sleep 0.02; done
rate=$(redis-benchmark -s $d/s -t get -c 10 --csv "$@" | tail -n 1 | tr -d '"' | cut -d, -f2)
redis-cli -s $d/s shutdown nosave; wait
echo $rate | awk '{ print 1e6 / $1 }'
"""
# The same over TCP, of 50 clients: $1 is what they ask for.
REDIS_TCP = """
set -e
d=$(mktemp -d); trap 'rm -rf $d' EXIT; test=$1; shift
redis-server --port 6399 --save '' --daemonize no >$d/log &
until redis-cli -p 6399 ping >/dev/null 2>&1; do sleep 0.02; done
rate=$(redis-benchmark -p 6399 -t $test -c 50 --csv "$@" | tail -n 1 | tr -d '"' | cut -d, -f2)
redis-cli -p 6399 shutdown nosave; wait
echo $rate | awk '{ print 1e6 / $1 }'
"""
# Ends with how long a GiB takes in so many streams, in milliseconds.
IPERF = """
set -e
iperf3 -s -1 -p 5299 >/dev/null & sleep 0.3
iperf3 -c 127.0.0.1 -p 5299 -t 2 -P $1 -J | awk '/"sum_received"/ { found = 1 }
  found && /"bits_per_second"/ { gsub(/,/, ""); print 8 * 2 ^ 30 / $2 * 1000; exit }'
wait
"""
# Ends with how long a request of wrk's took, in microseconds; a file of 1 KiB.
NGINX = """
set -e
d=$(mktemp -d); trap 'rm -rf $d' EXIT; cd $d; head -c 1024 /dev/zero >index.html
cat >conf <<END
worker_processes 1; daemon on; pid $d/pid; error_log $d/error; user root;
events { worker_connections 256; }
http { access_log off; server { listen 127.0.0.1:8099; root $d; }
  client_body_temp_path $d/b; proxy_temp_path $d/p; fastcgi_temp_path $d/f; uwsgi_temp_path $d/u; scgi_temp_path $d/s; }
END
nginx -c $d/conf
wrk -t1 -c20 -d2 http://127.0.0.1:8099/ | awk '/Requests.sec/ { print 1e6 / $2 }'
nginx -c $d/conf -s stop 2>/dev/null
"""
# Ends with how long a transaction took, in milliseconds.
PGBENCH = """
set -e
cd /; d=$(mktemp -d); trap 'rm -rf $d' EXIT
cp -r $1/data $d/data; chmod 700 $d/data
$2/pg_ctl -D $d/data -l $d/log -w -o "-k $d -c listen_addresses= -c fsync=off" start >/dev/null
$2/pgbench -h $d -n -c 2 -t 100 postgres 2>/dev/null | sed -n 's/^latency average = \\([0-9.]*\\) ms.*/\\1/p'
$2/pg_ctl -D $d/data -m immediate stop >/dev/null
"""


def shell(script, *arguments):
    return ["/bin/sh", "-c", script, "sh", *map(str, arguments)]


def python():
    return "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else "python3"


def in_new_directory(command):
    """Runs a command of the shell with $d naming a directory of its own."""
    return f"d=$(mktemp -d) && {command} && rm -rf $d"


class Trees:
    """What the programs work on, made natively when first asked for."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)

    def made(self, name, make):
        path = self.directory / name
        if not path.exists():
            path.mkdir()
            make(path)
        return path

    def repository(self):
        return self.made("repository", self.make_repository)

    @staticmethod
    def make_repository(path):
        for directory in range(DIRECTORIES):
            (path / f"d{directory}").mkdir()
            for file in range(FILES // DIRECTORIES):
                text = f"file {file} of directory {directory}\n" * 8
                (path / f"d{directory}/f{file}.txt").write_text(text)
        git = ["git", "-C", str(path), "-c", "user.name=bench", "-c", "user.email=bench@localhost"]
        for command in [["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "all"]]:
            subprocess.run(git + command, check=True, stdout=subprocess.DEVNULL)

    def modules(self):
        return self.made("modules", self.make_modules)

    @staticmethod
    def make_modules(path):
        for number in range(MODULES):
            (path / f"m{number}.c").write_text(f"#include <stdio.h>\nint f{number}(void) {{ return puts(\"{number}\"); }}\n")
        (path / "hello.c").write_text('#include <stdio.h>\nint main(void) { return puts("hello") < 0; }\n')
        objects = " ".join(f"m{number}.o" for number in range(MODULES))
        (path / "Makefile").write_text(f"VPATH = {path}\nall: {objects}\n")

    def cluster(self):
        return self.made("cluster", self.make_cluster)

    @staticmethod
    def make_cluster(path):
        shutil.chown(path, "postgres")
        as_postgres = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        script = """set -e; cd /; $2/initdb -D $1/data -A trust >/dev/null
            $2/pg_ctl -D $1/data -l $1/log -w -o "-k $1 -c listen_addresses= -c fsync=off" start >/dev/null
            $2/pgbench -h $1 -i -q -s 1 postgres 2>/dev/null; $2/pg_ctl -D $1/data -w stop >/dev/null
            chmod -R go+rX $1"""
        subprocess.run(as_postgres + shell(script, path, postgres_directory()), check=True)


def postgres_directory():
    versions = pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = max(versions, key=lambda path: int(re.search(r"postgresql/(\d+)", str(path))[1]), default=None)
    if newest is None:
        raise RuntimeError("postgres is not installed")
    return newest.parent


def programs(trees):
    """Whole commands, by wall-clock time in milliseconds: (name, figure to reach, what makes the command)."""
    repository, modules = trees.repository, trees.modules
    git = "git -c safe.directory='*' --no-optional-locks -C $1"
    add = in_new_directory("mkdir $d/objects && GIT_OBJECT_DIRECTORY=$d/objects GIT_INDEX_FILE=$d/index "
                           "git -c safe.directory='*' -C $1 add -A")
    return [
        ("true", "4", lambda: ["/bin/true"]),
        ("python3 -c pass", "18", lambda: [python(), "-c", "pass"]),
        ("gcc hello", "60", lambda: shell(in_new_directory("gcc -o $d/hello $1/hello.c"), modules())),
        ("sh: 100 x true", "110", lambda: shell("i=0; while [ $i -lt 100 ]; do /bin/true; i=$((i + 1)); done")),
        (f"python: {SUBPROCESSES} subprocesses", "280", lambda: [python(), "-c", RUN_TRUE]),
        ("find /usr/lib", "300", lambda: ["/usr/bin/find", "/usr/lib"]),
        ("tar /usr/include", "300", lambda: shell("tar -cf - /usr/include 2>/dev/null | cat >/dev/null")),
        ("dd 4 KiB x 100,000", "80", lambda: shell("dd if=/dev/zero of=/dev/null bs=4k count=100000 2>/dev/null")),
        (f"sqlite: {INSERTS:,} inserts", "300", lambda: [python(), "-c", SQLITE]),
        (f"git status, {FILES:,} files", "1.5 x native", lambda: shell(f"{git} status --porcelain", repository())),
        (f"git add, {FILES:,} files", "1.5 x native", lambda: shell(add, repository())),
        (f"grep -r, {FILES:,} files", "1.5 x native", lambda: shell("! grep -r nowhere $1", repository())),
        (f"make -j2 of {MODULES} files", "1.5 x native",
         lambda: shell(in_new_directory("make -s -j2 -C $d -f $1/Makefile"), modules())),
    ]


def servers(trees):
    """Commands that print their figure: (name, unit, figure to reach, what makes the command)."""
    def pgbench():
        cluster = trees.cluster()
        as_postgres = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        return as_postgres + shell(PGBENCH, cluster, postgres_directory())
    return [
        ("redis get, unix socket", "us", "1.5 x native", lambda: shell(REDIS, "-n", 5_000)),
        ("redis get, pipelined", "us", "1.5 x native", lambda: shell(REDIS, "-n", 40_000, "-P", 16)),
        ("redis get, tcp, 50 clients", "us", "native", lambda: shell(REDIS_TCP, "get", "-n", 10_000)),
        ("redis set, tcp, 50 clients", "us", "native", lambda: shell(REDIS_TCP, "set", "-n", 10_000)),
        ("redis get, tcp, pipelined", "us", "native", lambda: shell(REDIS_TCP, "get", "-n", 40_000, "-P", 16)),
        ("iperf3, a GiB in one stream", "ms", "native", lambda: shell(IPERF, 1)),
        ("iperf3, a GiB in eight streams", "ms", "native", lambda: shell(IPERF, 8)),
        ("nginx and wrk, a file of 1 KiB", "us", "1.5 x native", lambda: shell(NGINX)),
        ("pgbench, a transaction", "ms", "1.5 x native", pgbench),
    ]


# One operation each, by guest-tests/programs/bench/calls.c: (name, its name there, figure to reach), in microseconds.
OPERATIONS = [
    ("getpid by syscall()", "getpid", "0.05"),
    ("getppid by libc", "getppid", "0.3"),
    ("read 1 byte of /dev/zero", "zero", "0.4"),
    ("pread 4 KiB of a tmpfs file", "pread", "0.8"),
    ("write and read 1 byte of a pipe", "pipe", "1.0"),
    ("ping-pong of two processes", "pingpong", "40"),
    ("open and close", "open", "3.5"),
    ("mmap, touch, munmap, per page", "mmap", "6"),
    ("fork and wait", "fork", "250"),
    ("thread created and joined", "thread", "90"),
    ("tcp round trip of two processes", "tcp", "40"),
    ("udp round trip of two processes", "udp", "40"),
    ("tcp connection made and broken off", "connect", "native"),
]
