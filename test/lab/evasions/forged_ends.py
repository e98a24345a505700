"""Ends and beginnings of a connection that are forged: forged_ends.py ATTEMPT TAG. Only for a lab's namespace."""
import random
import socket
import time

from raw import ACK, FIN, NOBODY, OWN, PORT, RST, SERVICE, SYN, ip, tcp
from raw_requests import SETTLE, LINGER, get, beside, then_ask, run


def reset_with_bad_checksum():
    it = beside()
    it.client(RST | ACK, good=False)
    then_ask(it, LINGER)


def reset_before_anything_with_bad_checksum():
    it = beside(False)
    it.client(RST | ACK, good=False)
    then_ask(it, LINGER)


def reset_outside_the_window():
    it = beside()
    it.client(RST | ACK, seq=-900_000)
    then_ask(it, LINGER)


def reset_ahead_in_the_window():
    it = beside()
    it.client(RST, seq=1_000)  # the kernel answers with a challenge (RFC 5961)
    then_ask(it, LINGER)


def reset_that_never_arrives():
    it = beside()
    it.client(RST | ACK, arrives=False)
    then_ask(it, LINGER)


def reset_of_the_server_that_never_arrives():
    it = beside()
    it.server(RST | ACK)
    then_ask(it, LINGER)


def reset_of_the_server_with_bad_checksum():
    it = beside()
    it.server(RST | ACK, good=False)
    then_ask(it, LINGER)


def end_that_never_arrives():
    it = beside()
    it.client(FIN | ACK, arrives=False)
    then_ask(it, 3)


def end_with_bad_checksum():
    it = beside()
    it.client(FIN | ACK, good=False)
    then_ask(it, 3)


def both_ends_that_never_arrive():
    it = beside()
    it.client(FIN | ACK, arrives=False)
    it.server(FIN | ACK, ack=1)
    it.client(ACK, seq=1, ack=1, arrives=False)
    then_ask(it, 3)


def end_of_the_server_that_never_arrives():
    it = beside()
    it.server(FIN | ACK)
    then_ask(it, 3)


def reset_before_anything_that_never_arrives():
    it = beside(False)
    it.client(RST | ACK, arrives=False)
    then_ask(it, LINGER)


def new_syn_with_bad_checksum():
    it = beside()
    it.client(SYN, seq=0x50000000, options=b"\2\4\5\xb4", good=False)
    then_ask(it)


def new_syn_in_the_connection():
    it = beside()
    it.client(SYN, seq=0x50000000, options=b"\2\4\5\xb4")
    then_ask(it)


def new_syn_that_never_arrives():
    it = beside()
    it.client(SYN, seq=0x50000000, options=b"\2\4\5\xb4", arrives=False)
    then_ask(it)


def new_handshake_that_never_arrives():
    it = beside()
    it.client(SYN, seq=0x50000000, arrives=False)
    it.server(SYN | ACK, seq=0x30000000, ack=0x50000001)
    it.client(ACK, seq=0x50000001, ack=0x30000001, arrives=False)
    then_ask(it, LINGER)


def syn_before_anything_that_never_arrives():
    it = beside(False)
    it.client(SYN, seq=0x50000000, arrives=False)
    then_ask(it)


def second_syn_ack():
    it = beside(False)
    it.server(SYN | ACK, seq=0x30000000)
    then_ask(it)


def syn_ahead_of_the_connection():
    """A decoy SYN from the port that the connection then uses."""
    port = random.randrange(20_000, 30_000)
    first = beside()
    packet = ip(OWN, SERVICE, tcp(OWN, SERVICE, port, PORT, 1, 0, SYN))
    first.wire.frame(packet, to=NOBODY)
    time.sleep(SETTLE)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    client.settimeout(10)
    client.bind((OWN, port))
    client.connect((SERVICE, PORT))
    client.sendall(get())
    client.recv(65536)
    client.close()
    first.close()


run(globals())
