# Connections between two namespaces whose cable is interrupted: what is sent waits, comes late, or is given up in time.
unshare -mn /bin/bash -s <<'SCRIPT' 2>&1
export LC_ALL=C
mount -t tmpfs none /run
cat >/run/talk.py <<'PYTHON'
import errno, select, socket, subprocess, time

def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)

def cable(state):
    ip("link", "set", "near", state)

def far(state):
    ip("-n", "far", "link", "set", "end", state)

def server():
    return subprocess.Popen(["ip", "netns", "exec", "far", "/usr/bin/python3", "-c", """
import socket, threading
listener = socket.create_server(("", 5000))
print("serving", flush=True)
def serve(connection):
    count = 0
    try:
        while data := connection.recv(65536):
            count += len(data)
            if data.endswith(b"."):
                connection.sendall(b"%d" % count)
    except OSError:
        pass
    connection.close()
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""], stdout=subprocess.PIPE)

def connect(**options):
    client = socket.socket()
    for option, value in options.items():
        client.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    client.connect(("10.0.0.2", 5000))
    return client

def outcome(work):
    try:
        return work()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))

def answer(client):
    return outcome(lambda: client.recv(100))

serving = server()
serving.stdout.readline()
client = connect()
client.sendall(b"before.")
print("open", answer(client))
cable("down")
client.sendall(b"during.")
print("interrupted", select.select([client], [], [], 0.3)[0], outcome(lambda: client.send(b"x", socket.MSG_DONTWAIT)))
cable("up")
client.sendall(b".")
time.sleep(0.1)
print("open again", answer(client)[-2:])
cable("down")
client.send(b"late.")
client.close()
cable("up")

client = connect(TCP_USER_TIMEOUT=700)
cable("down")
client.sendall(b"lost.")
print("given up", answer(client), outcome(lambda: client.send(b"x")))
cable("up")

client = connect(TCP_KEEPIDLE=1, TCP_KEEPINTVL=1, TCP_KEEPCNT=2)
client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
time.sleep(1.5)
print("kept alive", select.select([client], [], [], 0)[0])
cable("down")
print("silent", answer(client), answer(client))
cable("up")

far("down")
client = socket.socket()
client.setblocking(False)
print("connecting", outcome(lambda: client.connect(("10.0.0.2", 5000))))
print("not yet", select.select([], [client], [], 0.3)[1])
far("up")
print("connected", len(select.select([], [client], [], 20)[1]), client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))

client = connect()
client.sendall(b".")
print("there", answer(client))
serving.kill()
serving.wait()
print("closed", answer(client))
PYTHON
ip netns add far
ip link add near type veth peer name end netns far
ip addr add 10.0.0.1/24 dev near
ip link set near up
ip -n far addr add 10.0.0.2/24 dev end
ip -n far link set end up
ip neigh add 10.0.0.2 lladdr $(ip netns exec far cat /sys/class/net/end/address 2>/dev/null || ip -n far -br link show end | grep -o '..:..:..:..:..:..') dev near nud permanent
timeout 60 /usr/bin/python3 /run/talk.py
ip netns pids far | xargs -r kill
SCRIPT
