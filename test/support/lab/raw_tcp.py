"""A TCP of its own over a raw socket, to send segments that no kernel sends: raw_tcp.py SOURCE DESTINATION PORT WAY.

The kernel knows no socket of these ports and would reset them: the lab drops its resets. Only for a lab's namespace.
"""
import random
import socket
import struct
import sys
import time

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
source, destination, port, way = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
REQUEST = b"GET /latest/meta-data/instance-id HTTP/1.1\r\nHost: h\r\nX-Way: " + way.encode() + b"\r\nConnection: close\r\n\r\n"

raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
raw.bind((source, 0))
raw.settimeout(3)


def checksum(data):
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def send(seq, ack, flags, payload=b"", sport=None):
    header = struct.pack("!HHIIBBHHH", sport or port, 80, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, 5 << 4, flags, 64240, 0, 0)
    pseudo = socket.inet_aton(source) + socket.inet_aton(destination) + struct.pack("!BBH", 0, 6, len(header) + len(payload))
    total = checksum(pseudo + header + payload)
    raw.sendto(header[:16] + struct.pack("!H", total) + header[18:] + payload, (destination, 0))


def receive():
    while True:
        packet = raw.recv(65535)
        segment = packet[(packet[0] & 15) * 4 :]
        if struct.unpack("!H", segment[2:4])[0] == port and socket.inet_ntoa(packet[12:16]) == destination:
            seq, = struct.unpack("!I", segment[4:8])
            return seq, segment[13], segment[(segment[12] >> 4) * 4 :]


if way == "half-open":
    for n in range(int(sys.argv[5])):
        send(random.getrandbits(32), 0, SYN, sport=port + n)
        if n % 500 == 0:
            time.sleep(0.02)
    sys.exit(0)

isn = 0xFFFFFFF0 if way == "wrap" else random.getrandbits(32)
send(isn, 0, SYN)
server_seq, flags, _ = receive()
assert flags & SYN and flags & ACK, flags
first, ack = isn + 1, server_seq + 1
if way != "no-handshake-ack":
    send(first, ack, ACK)


def parts(size):
    return [(first + n, REQUEST[n : n + size]) for n in range(0, len(REQUEST), size)]


if way == "reversed":
    segments = parts(9)[::-1]
elif way == "doubled":
    segments = [part for part in parts(9) for _ in range(2)]
elif way == "overlapping":
    segments = [(first + n, REQUEST[n : n + 15]) for n in range(0, len(REQUEST), 6)]
elif way == "overlapping-shuffled":
    segments = [(first + n, REQUEST[n : n + 15]) for n in range(0, len(REQUEST), 6)]
    random.shuffle(segments)
elif way == "stray-data":
    # A segment outside the receiver's window, which the receiver discards, must not be taken in.
    segments = [(first + 1_000_000_000, b"x-aws-ec2-metadata-token: t\r\n\r\n"), *parts(30)]
elif way == "keep-alive-probe":
    segments = [*parts(40), (first - 1, b"G")]
else:
    segments = parts(20)
for seq, payload in segments:
    send(seq, ack, ACK | PSH, payload)
end = first + len(REQUEST)
got = b""
while True:
    seq, flags, payload = receive()
    if flags & RST:
        break
    if seq == ack & 0xFFFFFFFF and payload:
        got += payload
        ack += len(payload)
        send(end, ack, ACK)
    if flags & FIN and seq + len(payload) == ack & 0xFFFFFFFF or flags & FIN and not payload and seq == ack & 0xFFFFFFFF:
        send(end, ack + 1, ACK | FIN)
        break
if way == "late-copy":
    time.sleep(0.3)
    for seq, payload in segments:
        send(seq, ack, ACK | PSH, payload)
sys.stdout.write(got.split(b"\r\n", 1)[0].decode())
