"""Callers that attempts by namespaces and by time use: callers.py ATTEMPT TAG. Only for a lab's namespace."""
import array
import os
import socket
import struct
import sys
import tempfile
import time

from client import answers, ask, connect, get, IPV4, PORT, run, TAG, TOKEN


def plain():
    ask(get())


def plain_with_token():
    ask(get("/latest/meta-data/with-token", TOKEN))


def plain_from_one_port():
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    client.settimeout(10)
    client.bind(("", 45_001))
    client.connect((IPV4, PORT))
    client.sendall(get())
    answers(client)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def plain_with_token_from_one_port():
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    client.settimeout(10)
    client.bind(("", 45_001))
    client.connect((IPV4, PORT))
    client.sendall(get("/latest/meta-data/with-token", TOKEN))
    answers(client)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def to_another_address():
    """The host translates this address and port to the service's."""
    client = socket.create_connection(("10.199.0.9", 8080), 10)
    ask(get(), client=client)


def through_a_proxy():
    """A proxy on the loopback asks; the call is the proxy's."""
    listener = socket.create_server(("127.0.0.1", 0))
    if os.fork() == 0:
        near, _ = listener.accept()
        far = connect()
        far.sendall(near.recv(65536))
        near.sendall(answers(far))
        far.close()
        os._exit(0)
    ask(get(), client=socket.create_connection(listener.getsockname(), 10))
    os.wait()


def by_the_second_interface():
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth9")
    client.settimeout(10)
    client.connect((IPV4, PORT))
    ask(get(), client=client)


def calls_at_once(processes, each):
    for _ in range(processes):
        if os.fork() == 0:
            for _ in range(each):
                ask(get())
            os._exit(0)
    for _ in range(processes):
        os.wait()


def burst():
    calls_at_once(20, 20)


def long_burst():
    calls_at_once(25, 200)


def again_and_again():
    """Calls for four seconds, one after the other."""
    end = time.time() + 4
    while time.time() < end:
        ask(get())
        time.sleep(0.02)


def kept_open():
    """Opens a connection, says so, and asks on it for each line of the input."""
    client = connect()
    client.sendall(get("/latest/meta-data/with-token", TOKEN))
    answers(client)
    print("open", flush=True)
    for _ in sys.stdin:
        client.sendall(get())
        answers(client)
        print("asked", flush=True)


def takes_a_socket():
    """Is given a connection by a process of another namespace, and asks on it for each line of the input."""
    listener = socket.socket(socket.AF_UNIX)
    place = os.path.join(tempfile.gettempdir(), TAG)
    listener.bind(place)
    os.chmod(place, 0o777)
    listener.listen()
    print("open", flush=True)
    near, _ = listener.accept()
    os.unlink(place)
    _, ancillary, _, _ = near.recvmsg(1, 1024)
    client = socket.socket(fileno=struct.unpack("i", ancillary[0][2][:4])[0])
    client.settimeout(10)
    for _ in sys.stdin:
        client.sendall(get())
        answers(client)
        print("asked", flush=True)


def gives_its_socket():
    client = connect()
    client.sendall(get("/latest/meta-data/with-token", TOKEN))
    answers(client)
    far = socket.socket(socket.AF_UNIX)
    far.connect(os.path.join(tempfile.gettempdir(), TAG))
    far.sendmsg([b"f"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [client.fileno()]))])


def ports_to_the_service():
    """The local ports of this namespace's sockets that are, or were a moment ago, connected to the service."""
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table.readlines()[1:]]
    return {int(fields[1].split(":")[1], 16) for fields in rows if fields[2] == "FEA9FEA9:0050"}


def on_the_port_of_the_agent():
    """Takes over the port of a connection to the service that another process of this host has ended."""
    # Ports of earlier callers become free one after the other (TIME_WAIT): the agent may not run at that time.
    old, seen = ports_to_the_service(), set()
    end = time.time() + 20
    print("open", flush=True)
    while time.time() < end:
        seen |= ports_to_the_service() - old
        for port in list(seen):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            client.settimeout(10)
            try:
                client.bind((os.environ["OWN_ADDRESS"], port))
                client.connect((IPV4, PORT))
            except OSError:
                client.close()
                continue
            for _ in range(20):
                client.sendall(get())
                answers(client)
            print("asked", flush=True)
            return
        time.sleep(0.002)
    raise SystemExit("no port was found")


run(globals())
