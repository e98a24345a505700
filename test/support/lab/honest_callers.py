"""Callers that always ask with a token. Usage: honest_callers.py HOW HOST PORT PATH COUNT"""
import http.client
import select
import socket
import sys
import threading
import time

how, host, port, path, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], int(sys.argv[5])


def connect():
    return http.client.HTTPConnection(host, port, timeout=20)


def token(connection):
    connection.request("PUT", "/latest/api/token", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"})
    return connection.getresponse().read().decode()


def read(connection, secret, **more):
    connection.request("GET", path, headers={"X-aws-ec2-metadata-token": secret, **more})
    connection.getresponse().read()


def kept():
    """One connection for all reads."""
    connection = connect()
    secret = token(connection)
    for _ in range(count):
        read(connection, secret)
        time.sleep(0.3)
    connection.close()


def older():
    """One connection that is opened at once, and used when a line is read."""
    connection = connect()
    connection.connect()
    print("open", flush=True)
    sys.stdin.readline()
    secret = token(connection)
    for _ in range(count):
        read(connection, secret)
        time.sleep(0.3)
    connection.close()


def many():
    """A new connection for each request, several at once."""
    secret = token(connect())

    def ask():
        for _ in range(count // 2):
            connection = connect()
            read(connection, secret, Connection="close")
            connection.close()
            time.sleep(0.05)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def same_port():
    """The same local port again and again, with resets between the connections."""
    chosen = None
    secret = token(connect())
    for _ in range(count):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        raw = socket.socket(family)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if chosen is not None:
            raw.bind(chosen)
        raw.connect((host, port))
        chosen = raw.getsockname()[:2]
        connection = connect()
        connection.sock = raw
        read(connection, secret)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        raw.close()
        time.sleep(0.1)


def impatient():
    """Connections that ask nothing, and some whose client leaves before the answer."""
    secret = token(connect())
    for number in range(count):
        raw = socket.create_connection((host, port))
        if number % 2:
            raw.sendall(f"GET {path} HTTP/1.1\r\nX-aws-ec2-metadata-token: {secret}\r\n\r\n".encode())
        raw.close()
        time.sleep(0.1)


def nonblocking():
    """A connection by a socket that does not wait, as asynchronous clients make it."""
    secret = token(connect())
    for _ in range(count):
        raw = socket.socket()
        raw.setblocking(False)
        raw.connect_ex((host, port))
        select.select([], [raw], [], 10)
        raw.setblocking(True)
        connection = connect()
        connection.sock = raw
        read(connection, secret, Connection="close")
        raw.close()


callers = {function.__name__: function for function in (kept, older, many, same_port, impatient, nonblocking)}
callers[how]()
