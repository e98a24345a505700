"""Requests written in ways that a library would not: raw_socket.py ADDRESS pipelined|split|bytes|many-headers."""
import socket
import sys
import time

PAUSE_S = 0.02  # Long enough that each write leaves as a packet of its own.
address, way = sys.argv[1:]


def connect():
    connection = socket.create_connection((address, 80), timeout=5)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def head(method, target, *headers):
    return "\r\n".join([f"{method} {target} HTTP/1.1", "Host: 169.254.169.254", *headers, "", ""]).encode()


def get_token():
    with connect() as connection:
        connection.sendall(head("PUT", "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds: 60", "Connection: close"))
        return read_all(connection).rsplit(b"\r\n", 1)[-1].decode()


def read_all(connection):
    answer = b""
    while chunk := connection.recv(65536):
        answer += chunk
    return answer


token = get_token()
with_token = f"x-aws-ec2-metadata-token: {token}"
with connect() as connection:
    if way == "pipelined":
        connection.sendall(
            head("GET", "/latest/meta-data/instance-id", with_token)
            + head("GET", "/latest/meta-data/placement/region")
            + head("GET", "/latest/meta-data/instance-type", with_token, "Connection: close")
        )
    elif way == "split":
        # The cut is inside the header's name.
        request = head("GET", "/latest/meta-data/instance-id", with_token, "Connection: close")
        cut = request.index(b"ec2-metadata-token")
        for part in (request[:2], request[2:cut], request[cut:]):
            connection.sendall(part)
            time.sleep(PAUSE_S)
    elif way == "bytes":
        for byte in head("GET", "/latest/meta-data/instance-id", "Connection: close"):
            connection.sendall(bytes([byte]))
    elif way == "many-headers":
        # The token comes behind more than one packet of other headers.
        padding = [f"X-Padding-{n}: {'p' * 100}" for n in range(60)]
        connection.sendall(head("GET", "/latest/meta-data/instance-id", *padding, with_token, "Connection: close"))
    else:
        sys.exit(f"unknown way {way}")
    read_all(connection)
