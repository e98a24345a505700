"""What the attempts of an ordinary user share: one HTTP request after the other, by sockets of the kernel."""
import socket
import sys
import time

IPV4, IPV6, PORT = "169.254.169.254", "fd00:ec2::254", 80
TAG = sys.argv[2]
PATH = f"/latest/meta-data/{TAG}"
TOKEN = "X-aws-ec2-metadata-token: a\r\n"


def get(path=PATH, headers="", method="GET", version="HTTP/1.1"):
    return f"{method} {path} {version}\r\nHost: h\r\n{headers}\r\n".encode("utf-8")


def connect(address=IPV4, family=socket.AF_INET):
    client = socket.socket(family, socket.SOCK_STREAM)
    client.settimeout(10)
    client.connect((address, PORT))
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def answers(client, count=1):
    """Reads until so many status lines have come, or the other side has ended."""
    got = b""
    while got.count(b"HTTP/1.1 ") < count or not got.endswith((b"\r\n\r\n", b"an answer")):
        more = client.recv(65536)
        if not more:
            break
        got += more
    return got


def ask(*parts, count=1, client=None, pause=0.0):
    client = client or connect()
    for part in parts:
        client.sendall(part)
        time.sleep(pause)
    got = answers(client, count)
    client.close()
    return got


def odd_header(line, path=PATH):
    return ask(get(path, line + "\r\n"))


def missing(path):
    return path.replace("/meta-data/", "/meta-data/s404/")


def run(attempts):
    """Runs the attempt that the command line names."""
    attempts[sys.argv[1]]()
