"""What raw-packet attempts share: packets by hand, beside a connection of the kernel or from a TCP of their own."""
import os
import random
import socket
import struct
import time

FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
SERVICE, PORT = "169.254.169.254", 80
DEVICE = os.environ.get("DEVICE", "eth0")
OWN = os.environ.get("OWN_ADDRESS", "")
NEXT = os.environ.get("NEXT_ADDRESS", SERVICE)  # whose Ethernet address leads to the service
WRAP = 1 << 32


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def tcp(source, destination, sport, dport, seq, ack, flags, payload=b"", options=b"", window=64240, good=True, urgent=0):
    options += b"\1" * (-len(options) % 4)
    offset = (20 + len(options)) // 4 << 4
    head = struct.pack("!HHIIBBHHH", sport, dport, seq % WRAP, ack % WRAP, offset, flags, window, 0, urgent) + options
    pseudo = socket.inet_aton(source) + socket.inet_aton(destination) + struct.pack("!BBH", 0, 6, len(head) + len(payload))
    total = checksum(pseudo + head + payload)
    if not good:
        total ^= 0x2222
    return head[:16] + struct.pack("!H", total) + head[18:] + payload


def ip(source, destination, body, ttl=64, fragment=0, ident=None, protocol=6):
    ident = random.randrange(1, 65536) if ident is None else ident
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), ident, fragment, ttl, protocol, 0)
    head += socket.inet_aton(source) + socket.inet_aton(destination)
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body


def read_tcp(packet):
    """The fields of an IPv4 TCP packet, or None."""
    if len(packet) < 40 or packet[0] >> 4 != 4 or packet[9] != 6:
        return None
    at = (packet[0] & 15) * 4
    size = struct.unpack("!H", packet[2:4])[0]
    sport, dport, seq, ack, offset, flags, window = struct.unpack("!HHIIBBH", packet[at : at + 16])
    return {
        "source": socket.inet_ntoa(packet[12:16]), "destination": socket.inet_ntoa(packet[16:20]),
        "sport": sport, "dport": dport, "seq": seq, "ack": ack, "flags": flags, "window": window,
        "options": packet[at + 20 : at + (offset >> 4) * 4], "data": packet[at + (offset >> 4) * 4 : size],
    }


class Wire:
    """Frames out of eth0, and all that passes there."""

    def __init__(self):
        self.out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.out.bind((DEVICE, 0))
        self.tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.tap.bind((DEVICE, 0))
        self.tap.settimeout(0.2)
        self.own = self.out.getsockname()[4]
        self.peer = None

    def frame(self, packet, to=None, kind=0x0800, tag=b""):
        self.out.send((to or self.peer) + self.own + tag + struct.pack("!H", kind) + packet)

    def wait(self, fits, seconds=3, answers=None):
        """The next TCP packet that fits. `answers`: an address for which ARP is answered meanwhile."""
        end = time.time() + seconds
        while time.time() < end:
            try:
                frame = self.tap.recv(65535)
            except socket.timeout:
                continue
            if frame[12:14] == b"\x08\x06" and answers and frame[20:22] == b"\0\1":
                if socket.inet_ntoa(frame[38:42]) == answers:
                    reply = frame[14:20] + b"\0\2" + self.own + frame[38:42] + frame[22:32]
                    self.frame(reply, to=frame[6:12], kind=0x0806)
                continue
            if frame[12:14] != b"\x08\0":
                continue
            packet = read_tcp(frame[14:])
            if packet and fits(packet):
                packet["from"] = frame[6:12]
                return packet
        return None


NOBODY = bytes.fromhex("02dead00beef")  # no interface has this address: what goes there is captured and never arrives


class Beside:
    """A connection of the kernel, and packets that seem to belong to it."""

    def __init__(self):
        self.wire = Wire()
        self.socket = socket.socket()
        self.socket.settimeout(10)
        self.socket.connect((SERVICE, PORT))
        self.port = self.socket.getsockname()[1]
        syn = self.wire.wait(lambda p: p["sport"] == self.port and p["flags"] & (SYN | ACK) == SYN)
        both = self.wire.wait(lambda p: p["dport"] == self.port and p["flags"] & SYN)
        self.wire.peer = both["from"]
        self.seq, self.ack = (syn["seq"] + 1) % WRAP, (both["seq"] + 1) % WRAP
        self.syn = syn

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
        return got

    def client(self, flags, payload=b"", seq=0, ack=0, arrives=True, **fields):
        """A segment that seems to come from the client; `seq`, `ack`: relative to where it is now."""
        packet = ip(OWN, SERVICE, tcp(OWN, SERVICE, self.port, PORT, self.seq + seq, self.ack + ack, flags, payload, **fields))
        self.wire.frame(packet, to=None if arrives else NOBODY)

    def server(self, flags, payload=b"", seq=0, ack=0, **fields):
        """A segment that seems to come from the service and that nobody gets."""
        packet = ip(SERVICE, OWN, tcp(SERVICE, OWN, PORT, self.port, self.ack + seq, self.seq + ack, flags, payload, **fields))
        self.wire.frame(packet, to=NOBODY)

    def close(self):
        self.socket.close()


class UserStack:
    """A TCP of its own from an address that no kernel has."""

    def __init__(self, address, tag=b""):
        self.wire, self.address, self.tag = Wire(), address, tag
        # A datagram that nobody reads makes the kernel find the Ethernet address that leads to the service.
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"", (NEXT, 9))
        end = time.time() + 3
        while self.wire.peer in (None, bytes(6)) and time.time() < end:
            time.sleep(0.02)
            with open("/proc/net/arp") as table:
                rows = [line.split() for line in table]
            self.wire.peer = next((bytes.fromhex(row[3].replace(":", "")) for row in rows if row[0] == NEXT), None)

    def out(self, sport, seq, ack, flags, payload=b"", **fields):
        packet = ip(self.address, SERVICE, tcp(self.address, SERVICE, sport, PORT, seq, ack, flags, payload, **fields))
        self.wire.frame(packet, tag=self.tag)

    def call(self, sport, request, isn=None, options=b"\2\4\5\xb4", window=64240):
        isn = random.randrange(WRAP) if isn is None else isn
        self.out(sport, isn, 0, SYN, options=options, window=window)
        both = self.wire.wait(lambda p: p["dport"] == sport and p["flags"] & SYN, answers=self.address)
        if both is None:
            raise SystemExit("the service did not answer the SYN")
        seq, ack = isn + 1, both["seq"] + 1
        self.out(sport, seq, ack, ACK)
        self.out(sport, seq, ack, ACK | PSH, request)
        answer = self.wire.wait(lambda p: p["dport"] == sport and p["data"], answers=self.address)
        if answer is None:
            raise SystemExit("the service did not answer the request")
        self.out(sport, seq + len(request), answer["seq"] + len(answer["data"]), ACK)
        self.out(sport, seq + len(request), answer["seq"] + len(answer["data"]), RST | ACK)
        return answer["data"]
