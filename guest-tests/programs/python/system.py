# Python's own view of the system: os, signal, socket, select, multiprocessing, mmap, fcntl, time, pathlib, shutil.
import fcntl, errno, mmap, multiprocessing, os, pathlib, queue, select, shutil, signal, socket, struct, subprocess, sys, tempfile, threading, time


def show(*words):
    print(*words, flush=True)


root = pathlib.Path(tempfile.mkdtemp(prefix="guest-test-", dir="/tmp"))
os.chdir(root)
(root / "a/b").mkdir(parents=True)
(root / "a/file").write_text("text\n" * 100)
os.symlink("file", "a/link")
show(sorted(str(path.relative_to(root)) for path in root.rglob("*")))
show(os.stat("a/file").st_size, oct(os.stat("a/file").st_mode), os.path.realpath("a/link") == str(root / "a/file"))
shutil.copytree("a", "copy")
show([(entry.name, entry.is_dir()) for entry in sorted(os.scandir("copy"), key=lambda entry: entry.name)])
shutil.make_archive("archive", "gztar", "a")
shutil.unpack_archive("archive.tar.gz", "unpacked")
show((root / "unpacked/file").read_text() == (root / "a/file").read_text())
for call in (lambda: open("absent"), lambda: os.rmdir("a"), lambda: os.mkdir("a"), lambda: os.kill(2**22 + 1, 0)):
    try:
        call()
    except OSError as error:
        show(type(error).__name__, errno.errorcode[error.errno])

received = []
signal.signal(signal.SIGUSR1, lambda number, frame: received.append(number))
os.kill(os.getpid(), signal.SIGUSR1)
signal.setitimer(signal.ITIMER_REAL, 0.02)
signal.signal(signal.SIGALRM, lambda number, frame: received.append(number))
time.sleep(0.1)
show(received)

left, right = socket.socketpair()
left.sendall(b"question")
show(right.recv(100))
poller = select.poll()
poller.register(left, select.POLLIN)
show(poller.poll(10))
right.sendall(b"answer")
show([mask for _, mask in poller.poll(1000)])
server = socket.socket(socket.AF_UNIX)
server.bind("socket")
server.listen()
threading.Thread(target=lambda: (lambda client: (client.sendall(client.recv(100).upper()), client.close()))(server.accept()[0])).start()
client = socket.socket(socket.AF_UNIX)
client.connect("socket")
client.sendall(b"over a unix socket")
show(client.makefile().read())

with open("mapped", "w+b") as file:
    file.truncate(8192)
    view = mmap.mmap(file.fileno(), 8192)
    view[4096:4101] = b"mmap!"
    view.flush()
    file.seek(4096)
    show(file.read(5))
    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    show(struct.unpack("ii", struct.pack("ii", 1, 2)))


def square(number):
    return number * number


if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    with context.Pool(2) as pool:
        show(pool.map(square, range(8)))
    channel = context.Queue()
    process = context.Process(target=channel.put, args=("from a process",))
    process.start()
    show(channel.get(timeout=20))
    process.join()
    show(process.exitcode)
    pid = os.fork()
    if pid == 0:
        os._exit(6)
    show(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    show(subprocess.run(["sh", "-c", "echo out; echo err >&2; exit 4"], capture_output=True, text=True))
    try:
        subprocess.run(["sleep", "10"], timeout=0.1)
    except subprocess.TimeoutExpired:
        show("timed out")
    killed = subprocess.Popen(["sleep", "10"])
    killed.terminate()
    show(killed.wait())
    pipeline = subprocess.Popen(["sort", "-r"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    show(pipeline.communicate("a\nc\nb\n")[0].split())
    work, results = queue.Queue(), []
    threads = [threading.Thread(target=lambda: results.append(work.get(timeout=10))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for number in range(20):
        work.put(number)
    for thread in threads:
        thread.join()
    show(sorted(results) == list(range(20)))
    started = time.monotonic()
    event = threading.Event()
    show(event.wait(0.05), time.monotonic() - started >= 0.05)
    show(sys.getsizeof(bytearray(10**7)) > 10**7, sum(range(10**5)))
    os.chdir("/")
    shutil.rmtree(root)
