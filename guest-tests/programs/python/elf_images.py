"""execve(2) of images that are odd, torn or foreign, of interpreters and of chains of scripts: what becomes of each."""
import errno
import os
import resource
import shutil
import struct
import tempfile

EXIT_42 = bytes.fromhex("b83c000000bf2a0000000f05")
LOAD, INTERP, NOTE = 1, 3, 4
READ, WRITE, EXECUTE = 4, 2, 1
READ_EXECUTE, READ_WRITE = READ | EXECUTE, READ | WRITE
PROGRAM, SHARED = 2, 3

directory = tempfile.mkdtemp()
os.chmod(directory, 0o755)
os.chdir(directory)


def segment(kind, flags, offset, address, in_file, in_memory, alignment=0x1000):
    return struct.pack("<IIQQQQQQ", kind, flags, offset, address, address, in_file, in_memory, alignment)


def image(segments, entry=0x401000, kind=PROGRAM, size=0x3000, count=None, data={}, **header):
    field = {"bits": 2, "order": 1, "machine": 62, "version": 1, "offset": 64, "header": 64, "entry_size": 56, **header}
    head = b"\x7fELF" + bytes([field["bits"], field["order"], 1]) + bytes(9) + struct.pack(
        "<HHIQQQIHHHHHH", kind, field["machine"], field["version"], entry, field["offset"], 0, 0, field["header"],
        field["entry_size"], len(segments) if count is None else count, 0, 0, 0)
    content = bytearray(size)
    content[:64] = head
    content[64:64 + 56 * len(segments)] = b"".join(segments)
    content[0x1000:0x1000 + len(EXIT_42)] = EXIT_42
    for offset, text in data.items():
        content[offset:offset + len(text)] = text
    return bytes(content)


def code(address=0x401000, offset=0x1000, in_file=0x1000, in_memory=0x1000, **more):
    return segment(LOAD, READ_EXECUTE, offset, address, in_file, in_memory, **more)


def data(address, in_file=0x1000, in_memory=0x1000, offset=0x2000):
    return segment(LOAD, READ_WRITE, offset, address, in_file, in_memory)


def with_interpreter(name, **more):
    name = os.fsencode(name)
    return image([segment(INTERP, READ, 0x2000, 0x402000, len(name), len(name)), code()], data={0x2000: name}, **more)


def beside(name):
    return with_interpreter(f"{directory}/{name}\0")


plain = image([code()])
images = {
    "plain": plain,
    "nothing_to_load": image([segment(NOTE, READ, 0, 0, 0, 0)]),
    "not_executable": image([segment(LOAD, READ, 0x1000, 0x401000, 0x1000, 0x1000)]),
    "anonymous": image([code(), data(0x500000, 0, 0x2000, 0)]),
    "anonymous_first": image([data(0x300000, 0, 0x2000, 0), code()]),
    "no_text": image([code(offset=0, in_file=0)]),
    "empty": image([code(), data(0x500000, 0, 0)]),
    "empty_first": image([data(0x500000, 0, 0), code()]),
    "out_of_order": image([data(0x500000), code()]),
    "twice": image([code(), code()]),
    "overlapping": image([code(in_file=0x2000, in_memory=0x2000), data(0x402000)]),
    "unaligned_offset": image([code(offset=0x1004, in_file=0xFFC, in_memory=0xFFC)]),
    "unaligned_both": image([code(0x401004, offset=0x1004, in_file=0xF00, in_memory=0xF00)]),
    "less_in_memory": image([code(in_memory=0x800)]),
    "ends_behind_file": image([code(in_file=0x8000, in_memory=0x8000)]),
    "behind_file": image([code(), segment(LOAD, READ_WRITE, 0x8000, 0x500000, 0x1000, 0x1000)]),
    "kernel_address": image([code(), data(0xFFFF800000000000)]),
    "last_address": image([code(), data(0x7FFFFFFFF000)]),
    "huge": image([code(), data(0x500000, in_memory=0x7FFFFFFFFFFF)]),
    "endless": image([code(), data(0x500000, in_memory=0xFFFFFFFFFFFFFFFF)]),
    "entry_in_kernel": image([code()], entry=0xFFFF800000000000),
    "entry_nowhere": image([code()], entry=0x700000),
    "odd_alignment": image([code(alignment=3)]),
    "large_alignment": image([code(alignment=0x200000)]),
    "shared": image([code(0x1000)], entry=0x1000, kind=SHARED),
    "shared_at_end": image([code(0x7FFFFFFFF000)], entry=0x7FFFFFFFF000, kind=SHARED),
    "shared_out_of_order": image([data(0x10000), code(0x1000)], entry=0x1000, kind=SHARED),
    "object": image([code()], kind=1),
    "core": image([code()], kind=4),
    "of_32_bits": image([code()], bits=1),
    "of_9": image([code()], bits=9),
    "other_order": image([code()], order=2),
    "machine_386": image([code()], machine=3),
    "machine_arm": image([code()], machine=40),
    "version_0": image([code()], version=0),
    "header_0": image([code()], header=0),
    "other_entries": image([code()], entry_size=64),
    "no_headers": image([code()], count=0),
    "many_headers": image([code()], count=2000),
    "headers_nowhere": image([code()], offset=0x10000),
    "torn_header": plain[:40],
    "torn_headers": plain[:80],
    "magic": b"\x7fELF",
    "interpreter_missing": with_interpreter("/no/such\0"),
    "interpreter_not_executable": with_interpreter("/etc/passwd\0"),
    "interpreter_directory": with_interpreter("/tmp\0"),
    "interpreter_text": beside("text"),
    "interpreter_long_text": beside("long_text"),
    "interpreter_torn": beside("torn_header"),
    "interpreter_plain": beside("plain"),
    "interpreter_shared": beside("shared"),
    "interpreter_object": beside("object"),
    "interpreter_of_32_bits": beside("of_32_bits"),
    "interpreter_machine_386": beside("machine_386"),
    "interpreter_nothing_to_load": beside("nothing_to_load"),
    "interpreter_twice": beside("twice"),
    "interpreter_kernel_address": beside("kernel_address"),
    "interpreter_without_end": with_interpreter("/no/such"),
    "interpreter_empty": with_interpreter("\0"),
    "interpreter_letter": with_interpreter("x"),
    "interpreter_too_long": image([segment(INTERP, READ, 0x2000, 0x402000, 5000, 5000), code()], size=0x8000),
    "interpreter_behind_file": image([segment(INTERP, READ, 0x9000, 0x402000, 10, 10), code()]),
    "interpreter_ends_early": with_interpreter(f"{directory}/shared\0more\0"),
    "text": b"hello\n",
    "long_text": b"hello\n" * 100,
    "nothing": b"",
    "script": b"#!/bin/sh\nexit 42\n",
    "script_of_nothing": b"#!\n",
    "script_with_blanks": b"#!   \t /bin/sh   \nexit 42\n",
    "script_with_nul": b"#!/bin/sh\0\nexit 42\n",
    "script_without_line": b"#!/bin/true",
    "script_too_long": b"#!/" + b"x" * 300 + b"\n",
    "script_long_argument": b"#!/bin/true " + b"x" * 300 + b"\n",
    "script_missing": b"#!/no/such\n",
    "script_directory": b"#!/tmp\n",
    "script_relative": b"#!plain\n",
    "script_text": os.fsencode(f"#!{directory}/text\n"),
    "script_itself": os.fsencode(f"#!{directory}/script_itself\n"),
    "script_return": b"#!/bin/sh\r\nexit 42\n",
    "chain_0": os.fsencode(f"#!{directory}/plain\n"),
}
for number in range(1, 8):
    images[f"chain_{number}"] = os.fsencode(f"#!{directory}/chain_{number - 1}\n")

for name, content in images.items():
    with open(name, "wb") as file:
        file.write(content)
    os.chmod(name, 0o755)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
for name in images:
    pid = os.fork()
    if pid == 0:
        try:
            os.execv(f"./{name}", [name])
        except OSError as error:
            print(name, errno.errorcode[error.errno], flush=True)
            os._exit(200)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        print(name, "signal", os.WTERMSIG(status), flush=True)
    elif os.WEXITSTATUS(status) != 200:
        print(name, "exit", os.WEXITSTATUS(status), flush=True)
os.chdir("/")
shutil.rmtree(directory)
