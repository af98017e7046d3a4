"""Processes, threads, event loops, terminals and shared memory as Python's library uses them."""
import asyncio
import concurrent.futures
import ctypes
import mmap
import multiprocessing
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading


def square(number):
    return number * number


def add(counter):
    for _ in range(100):
        with counter.get_lock():
            counter.value += 1


def section(name):
    print("--", name, flush=True)


def processes():
    section("processes")
    with multiprocessing.Pool(3) as pool:
        print(pool.map(square, range(8)))
    counter = multiprocessing.Value("i", 0)
    workers = [multiprocessing.Process(target=add, args=(counter,)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print(counter.value, [worker.exitcode for worker in workers])
    done = subprocess.run(["sh", "-c", "cat; echo err >&2; exit 3"], input=b"x" * 200_000, capture_output=True)
    print(done.returncode, len(done.stdout), done.stderr)
    try:
        subprocess.run(["sleep", "5"], timeout=0.1)
    except subprocess.TimeoutExpired:
        print("timed out")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        print(list(pool.map(square, range(5))))


async def events():
    section("asyncio")
    process = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
    print(await process.communicate(b"through cat"))

    async def answer(reader, writer):
        writer.write((await reader.readline()).upper())
        writer.close()

    with tempfile.TemporaryDirectory() as directory:
        server = await asyncio.start_unix_server(answer, directory + "/socket")
        reader, writer = await asyncio.open_unix_connection(directory + "/socket")
        writer.write(b"abc\n")
        print(await reader.read())
        writer.close()
        server.close()
    arrived = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, arrived.set)
    os.kill(os.getpid(), signal.SIGUSR1)
    await arrived.wait()
    print(await asyncio.gather(*[asyncio.sleep(0.01, number) for number in range(4)]))
    print(await asyncio.to_thread(threading.active_count) >= 2)


def terminals():
    section("terminals")
    pid, master = pty.fork()
    if pid == 0:
        os.execvp("sh", ["sh", "-c", "tty > /dev/null && read line && echo got $line && stty size"])
    os.write(master, b"typed\n")
    output = b""
    while True:
        try:
            portion = os.read(master, 1000)
        except OSError as error:
            print(error.strerror)
            break
        if not portion:
            break
        output += portion
    print(output, os.waitpid(pid, 0)[1])


def memory():
    section("memory")
    shared = mmap.mmap(-1, 8192)
    pid = os.fork()
    if pid == 0:
        shared[0:5] = b"child"
        os._exit(0)
    os.waitpid(pid, 0)
    print(shared[0:5])
    with tempfile.TemporaryFile() as file:
        file.write(b"0" * 5000)
        file.flush()
        mapping = mmap.mmap(file.fileno(), 0)
        mapping[4999] = ord("A")
        print(os.pread(file.fileno(), 2, 4998))
    library = ctypes.CDLL(None)
    compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
    numbers = (ctypes.c_int * 5)(3, 1, 4, 1, 5)
    library.qsort(numbers, 5, 4, compare(lambda left, right: left[0] - right[0]))
    print(list(numbers))


def sockets():
    section("sockets")
    left, right = socket.socketpair()
    socket.send_fds(left, [b"fds"], [0, 1])
    data, descriptors, _, _ = socket.recv_fds(right, 10, 4)
    print(data, len(descriptors))
    poller = select.epoll()
    poller.register(right, select.EPOLLIN)
    print(poller.poll(0.01))
    left.send(b"x")
    print(len(poller.poll(1)), select.select([right], [left], [], 1)[0] == [right])


if __name__ == "__main__":
    processes()
    asyncio.run(events())
    terminals()
    memory()
    sockets()
    print("python", sys.version_info.major)
