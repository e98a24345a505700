"""Connects to a metadata service and lets another process, or another program, use the connection.

Usage: hand_over.py ADDRESS PATH WAY. HAND_OVER_PAUSE is a number of seconds between both. Prints the pids of the process that connects and of the one that sends. The ways "often" and
"lost" wait for a line of input once they have connected.
"""

import array
import os
import socket
import sys
import time

address, path, way = sys.argv[1:4]


def connect():
    connection = socket.socket()
    connection.settimeout(60)
    connection.connect((address, 80))
    time.sleep(float(os.environ.get("HAND_OVER_PAUSE", "0")))
    return connection


def taken(descriptor):
    # The descriptor does not block since its first process has given it a time-out.
    connection = socket.socket(fileno=descriptor)
    connection.settimeout(60)
    return connection


def head(name):
    return f"GET {name} HTTP/1.1\r\nHost: {address}\r\n\r\n".encode()


def request(connection, name):
    connection.sendall(head(name))
    read_answer(connection)


def read_answer(connection):
    answer = b""
    while b"\r\n\r\n" not in answer:
        part = connection.recv(65536)
        if not part:
            sys.exit("the service closed the connection")
        answer += part


def in_child(action):
    child = os.fork()
    if child == 0:
        action()
        os._exit(0)
    os.waitpid(child, 0)
    return child


def report(sender):
    print(os.getpid(), sender, flush=True)


def bounce(connection, turns, last):
    # Parent and child send one byte of a request in turn.
    to_child, to_parent = os.pipe(), os.pipe()

    def in_turn():
        for _ in range(turns):
            os.read(to_child[0], 1)
            connection.send(b"a")
            os.write(to_parent[1], b".")
        last()

    child = os.fork()
    if child == 0:
        in_turn()
        os._exit(0)
    connection.send(b"GET /")
    for _ in range(turns):
        os.write(to_child[1], b".")
        os.read(to_parent[0], 1)
        connection.send(b"a")
    os.waitpid(child, 0)
    return child


def wait_for_input():
    print("connected", flush=True)
    sys.stdin.readline()


if way == "send":
    request(taken(int(sys.argv[4])), path)
elif way == "own":
    request(connect(), path)
    report(os.getpid())
elif way == "fork":
    connection = connect()
    report(in_child(lambda: request(connection, path)))
elif way == "pass":
    here, there = socket.socketpair()
    child = os.fork()
    if child == 0:
        _, rights, _, _ = there.recvmsg(1, socket.CMSG_SPACE(4))
        request(taken(array.array("i", rights[0][2])[0]), path)
        os._exit(0)
    connection = connect()
    here.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [connection.fileno()]))])
    connection.close()
    os.waitpid(child, 0)
    report(child)
elif way == "program":
    connection = connect()
    os.set_inheritable(connection.fileno(), True)
    report(os.getpid())
    os.execv(sys.executable, [sys.executable, __file__, address, path, "send", str(connection.fileno())])
elif way == "both":
    connection = connect()
    whole = head(path)
    connection.sendall(whole[:10])
    report(in_child(lambda: (connection.sendall(whole[10:]), read_answer(connection))))
elif way == "often":
    connection = connect()
    wait_for_input()
    child = in_child(lambda: request(connection, path))
    bounce(connection, 40, lambda: None)
    report(child)
elif way == "lost":
    connection, other = connect(), connect()
    wait_for_input()
    # Each turn is a report with all that is known about a process: they fill the kernel's buffer.
    report(bounce(other, 1_500, lambda: request(connection, path)))
elif way == "turns":
    connection = connect()
    child = in_child(lambda: request(connection, path + "/child"))
    request(connection, path + "/opener")
    report(child)
