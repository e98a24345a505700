"""Clients that no HTTP library is: bad_clients.py ADDRESS WAY [COUNT]. What the service answers is of no interest."""
import os
import socket
import struct
import sys
import time

address, way = sys.argv[1:3]
count = int(sys.argv[3]) if len(sys.argv) > 3 else 1
HEAD = b"GET /latest/meta-data/instance-id HTTP/1.1\r\nHost: h\r\n"


def connect():
    connection = socket.create_connection((address, 80), timeout=5)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def send(data):
    with connect() as connection:
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass
        except OSError:
            pass


if way == "garbage":
    for n in range(count):
        send(os.urandom(2000))
elif way == "tls":
    send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(500))
elif way == "zeros":
    send(bytes(100_000))
elif way == "endless-header":
    send(HEAD + b"X-Endless: " + b"a" * 5_000_000)
elif way == "endless-headers":
    send(HEAD + b"X-More: b\r\n" * 500_000)
elif way == "endless-line":
    send(b"GET /" + b"a" * 3_000_000)
elif way == "no-end":
    send(HEAD)
elif way == "half-a-line":
    send(b"GET /latest/me")
elif way.endswith("-reset"):
    with connect() as connection:
        connection.sendall(HEAD if way == "no-end-reset" else b"GET /latest/me")
        time.sleep(0.1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
elif way == "no-utf8":
    send(b"GET /latest/\xff\xfe\xc3( HTTP/1.1\r\nUser-Agent: \xff\xfe\x80\r\nConnection: close\r\n\r\n")
elif way == "huge-body":
    send(b"POST /latest/user-data HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 30000000\r\n\r\n" + bytes(30_000_000))
elif way == "wrong-length":
    send(b"POST /latest/user-data HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n" + bytes(1000))
elif way == "slow-loris":
    connections = [connect() for _ in range(count)]
    for byte in HEAD[:40]:
        for connection in connections:
            connection.send(bytes([byte]))
        time.sleep(0.02)
    time.sleep(0.5)
elif way == "keep-alive":
    with connect() as connection:
        for n in range(count):
            connection.sendall(HEAD + b"\r\n")
            got = connection.recv(65536)
            while b"\r\n\r\n" not in got:
                got += connection.recv(65536)
else:
    sys.exit(f"unknown way {way}")
