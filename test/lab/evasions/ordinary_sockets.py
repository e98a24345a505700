"""Sockets of an ordinary user: ordinary_sockets.py ATTEMPT TAG. Only for a lab's namespace."""
import array
import os
import socket
import struct
import tempfile
import time

from client import answers, ask, connect, get, IPV4, IPV6, missing, PATH, PORT, run, TOKEN


def fast_open():
    for _ in range(2):  # the first one learns the cookie that the second one uses
        client = socket.socket()
        client.sendto(get(), socket.MSG_FASTOPEN, (IPV4, PORT))
        client.settimeout(10)
        answers(client)
        client.close()


def multipath():
    client = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
    client.settimeout(10)
    client.connect((IPV4, PORT))
    ask(get(), client=client)


def ipv6():
    ask(get(), client=connect(IPV6, socket.AF_INET6))


def ipv6_extension_headers():
    for option in (54, 59):  # IPV6_HOPOPTS, IPV6_DSTOPTS: six bytes of padding
        client = socket.socket(socket.AF_INET6)
        client.settimeout(10)
        try:
            client.setsockopt(socket.IPPROTO_IPV6, option, b"\0\0\1\4\0\0\0\0")
        except PermissionError:
            pass  # not for users without CAP_NET_RAW: an ordinary call is left
        client.connect((IPV6, PORT))
        ask(get(), client=client)


def mapped_address():
    ask(get(), client=connect(f"::ffff:{IPV4}", socket.AF_INET6))


def ip_options():
    client = socket.socket()
    client.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, b"\x07\x0b\x04" + b"\0" * 9)  # record route
    client.settimeout(10)
    client.connect((IPV4, PORT))
    ask(get(), client=client)


def small_segments():
    client = socket.socket()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 88)
    client.settimeout(10)
    client.connect((IPV4, PORT))
    ask(get(headers="X-Pad: " + "a" * 3_000 + "\r\n"), client=client)


def tiny_window():
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    client.settimeout(10)
    client.connect((IPV4, PORT))
    ask(get(), client=client)


def urgent(path):
    client = connect()
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: h\r\nX-aws-ec2-metadata-tok".encode())
    time.sleep(0.05)
    client.send(b"e", socket.MSG_OOB)
    time.sleep(0.05)
    ask(b"n: a\r\n\r\n", client=client)


def urgent_byte_in_the_name():
    urgent(PATH)


def urgent_byte_in_the_name_missing():
    urgent(missing(PATH))


def half_close():
    client = connect()
    client.sendall(get())
    client.shutdown(socket.SHUT_WR)
    answers(client)
    client.close()


def reset_after_the_request():
    client = connect()
    client.sendall(get())
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def closed_unread():
    client = connect()
    client.sendall(get())
    client.close()


def asked_by_a_child():
    client = connect()
    if os.fork() == 0:
        ask(get(), client=client)
        os._exit(0)
    client.close()
    os.wait()


def asked_by_a_stranger():
    """The socket is given to another process by a message, and its maker ends."""
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    if os.fork() == 0:
        client = connect()
        mine.sendmsg([b"f"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [client.fileno()]))])
        os._exit(0)
    _, ancillary, _, _ = theirs.recvmsg(1, 1024)
    os.wait()
    descriptor = struct.unpack("i", ancillary[0][2][:4])[0]
    client = socket.socket(fileno=descriptor)
    client.settimeout(10)
    ask(get(), client=client)


def gone_at_once():
    if os.fork() == 0:
        client = connect()
        client.sendall(get())
        os._exit(0)
    os.wait()
    time.sleep(0.1)


def two_hundred_processes():
    for _ in range(200):
        if os.fork() == 0:
            ask(get())
            os._exit(0)
    for _ in range(200):
        os.wait()


def four_hundred_connections():
    clients = [connect() for _ in range(400)]
    for client in clients:
        client.sendall(get())
    for client in clients:
        answers(client)
        client.close()


def one_port_again_and_again():
    port = None
    for _ in range(20):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        client.settimeout(10)
        client.bind((os.environ["OWN_ADDRESS"], port or 0))
        port = client.getsockname()[1]
        client.connect((IPV4, PORT))
        client.sendall(get())
        answers(client)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()


def one_port_of_a_token_call():
    """A call with a token, a reset, and at once the call without one from the same port."""
    client = connect()
    port = client.getsockname()[1]
    client.sendall(get("/latest/meta-data/with-token", TOKEN))
    answers(client)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    again = socket.socket()
    again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    again.settimeout(10)
    again.bind((os.environ["OWN_ADDRESS"], port))
    again.connect((IPV4, PORT))
    ask(get(), client=again)


def bound_to_the_device():
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
    client.settimeout(10)
    client.connect((IPV4, PORT))
    ask(get(), client=client)


def sent_from_a_file():
    with tempfile.TemporaryFile() as file:
        file.write(get())
        file.flush()
        client = connect()
        os.sendfile(client.fileno(), file.fileno(), 0, len(get()))
        ask(client=client)


def kept_alive_for_many():
    client = connect()
    for n in range(50):
        client.sendall(get("/latest/meta-data/with-token", TOKEN) if n % 2 else get())
        answers(client)
    client.close()


def non_blocking_connect():
    client = socket.socket()
    client.setblocking(False)
    client.connect_ex((IPV4, PORT))
    time.sleep(0.1)
    client.setblocking(True)
    client.settimeout(10)
    ask(get(), client=client)


def connected_twice():
    """A socket that is disconnected by connect(AF_UNSPEC) and connected again."""
    client = connect()
    client.sendall(get("/latest/meta-data/with-token", TOKEN))
    answers(client)
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    libc.connect(client.fileno(), bytes(16), 16)
    client.connect((IPV4, PORT))
    ask(get(), client=client)


run(globals())
