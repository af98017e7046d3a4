"""Shared memory, semaphores and message queues as Python's library and the C library's calls use them."""
import ctypes
import multiprocessing
import os
import signal
from multiprocessing import shared_memory

libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
IPC_CREAT, IPC_RMID = 0o1000, 0


def check(result):
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def double(name, gate):
    block = shared_memory.SharedMemory(name=name)
    gate.acquire()
    for index in range(len(block.buf) // 1024):
        block.buf[index] *= 2
    block.close()


def posix_shared_memory():
    block = shared_memory.SharedMemory(create=True, size=64 * 1024)
    gate = multiprocessing.Semaphore(0)
    for index in range(64):
        block.buf[index] = index
    child = multiprocessing.Process(target=double, args=(block.name, gate))
    child.start()
    gate.release()
    child.join()
    print("doubled", sum(block.buf[:64]), child.exitcode)
    block.close()
    block.unlink()
    with multiprocessing.Manager() as manager:
        shared = manager.list(range(5))
        shared.append("more")
        print("managed", list(shared))


def system_v_shared_memory():
    segment = check(libc.shmget(0, 4096, IPC_CREAT | 0o600))
    address = libc.shmat(segment, None, 0)
    values = (ctypes.c_int * 10).from_address(address)
    if os.fork() == 0:
        for index in range(10):
            values[index] = index * index
        os._exit(0)
    os.wait()
    print("squares", list(values))
    check(libc.shmctl(segment, IPC_RMID, None))
    check(libc.shmdt(ctypes.c_void_p(address)))


def posix_queue():
    name = b"/guest-test-python-%d" % os.getpid()
    queue = check(libc.mq_open(name, os.O_CREAT | os.O_RDWR, 0o600, None))
    if os.fork() == 0:
        for priority, text in enumerate([b"low", b"middle", b"high"]):
            check(libc.mq_send(queue, text, len(text), priority))
        os._exit(0)
    os.wait()
    buffer, priority = ctypes.create_string_buffer(8192), ctypes.c_uint()
    for _ in range(3):
        length = check(libc.mq_receive(queue, buffer, 8192, ctypes.byref(priority)))
        print("message", buffer.raw[:length], priority.value)
    check(libc.mq_unlink(name))
    check(libc.mq_close(queue))


if __name__ == "__main__":
    signal.alarm(30)
    posix_shared_memory()
    system_v_shared_memory()
    posix_queue()
