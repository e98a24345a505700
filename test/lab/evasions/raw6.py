"""What raw-packet attempts over IPv6 share: packets by hand, beside a connection of the kernel."""
import os
import random
import socket
import struct
import time

from raw import ACK, NOBODY, PORT, SYN, WRAP, Wire, checksum

SERVICE = "fd00:ec2::254"
OWN = os.environ.get("OWN_ADDRESS_6", "")
KIND = 0x86DD
TCP = 6


def packed(address):
    return socket.inet_pton(socket.AF_INET6, address)


def tcp(source, destination, sport, dport, seq, ack, flags, payload=b"", options=b"", window=64240, good=True):
    options += b"\1" * (-len(options) % 4)
    offset = (20 + len(options)) // 4 << 4
    head = struct.pack("!HHIIBBHHH", sport, dport, seq % WRAP, ack % WRAP, offset, flags, window, 0, 0) + options
    pseudo = packed(source) + packed(destination) + struct.pack("!II", len(head) + len(payload), TCP)
    total = checksum(pseudo + head + payload)
    if not good:
        total ^= 0x2222
    return head[:16] + struct.pack("!H", total) + head[18:] + payload


def ip(source, destination, body, first=TCP):
    """`first`: which header the body begins with."""
    return struct.pack("!IHBB", 6 << 28, len(body), first, 64) + packed(source) + packed(destination) + body


def options_header(body):
    """Destination options that say nothing, in front of TCP (RFC 8200, section 4.6)."""
    return struct.pack("!BBBB4x", TCP, 0, 1, 4) + body


def fragment_header(body, at=0, more=False, ident=None):
    ident = random.randrange(WRAP) if ident is None else ident
    return struct.pack("!BBHI", TCP, 0, at | (1 if more else 0), ident) + body


def read_tcp(frame):
    """The fields of a TCP packet without extension headers, or None."""
    packet = frame[14:]
    if frame[12:14] != b"\x86\xdd" or len(packet) < 60 or packet[6] != TCP:
        return None
    sport, dport, seq, ack, offset, flags = struct.unpack("!HHIIBB", packet[40:54])
    return {"from": frame[6:12], "sport": sport, "dport": dport, "seq": seq, "ack": ack, "flags": flags}


class Beside:
    """A connection of the kernel over IPv6, and packets that seem to belong to it."""

    def __init__(self):
        self.wire = Wire()
        self.socket = socket.socket(socket.AF_INET6)
        self.socket.settimeout(10)
        self.socket.connect((SERVICE, PORT))
        self.port = self.socket.getsockname()[1]
        syn = self.wait(lambda p: p["sport"] == self.port and p["flags"] & (SYN | ACK) == SYN)
        both = self.wait(lambda p: p["dport"] == self.port and p["flags"] & SYN)
        self.wire.peer = both["from"]
        self.seq, self.ack = (syn["seq"] + 1) % WRAP, (both["seq"] + 1) % WRAP

    def wait(self, fits):
        end = time.time() + 3
        while time.time() < end:
            try:
                packet = read_tcp(self.wire.tap.recv(65535))
            except socket.timeout:
                continue
            if packet and fits(packet):
                return packet
        raise SystemExit("the packets of the connection were not seen")

    def ask(self, request):
        self.socket.sendall(request)
        self.seq = (self.seq + len(request)) % WRAP
        got = b""
        while not got.endswith((b"\r\n\r\n", b"an answer")):
            more = self.socket.recv(65536)
            if not more:
                break
            got += more
        self.ack = (self.ack + len(got)) % WRAP

    def body(self, flags, payload=b"", seq=0, **fields):
        return tcp(OWN, SERVICE, self.port, PORT, self.seq + seq, self.ack, flags, payload, **fields)

    def send(self, body, first=TCP, arrives=True):
        self.wire.frame(ip(OWN, SERVICE, body, first), to=None if arrives else NOBODY, kind=KIND)

    def client(self, flags, payload=b"", seq=0, arrives=True, **fields):
        """A segment that seems to come from the client; `seq`: relative to where it is now."""
        self.send(self.body(flags, payload, seq, **fields), arrives=arrives)

    def close(self):
        self.socket.close()
