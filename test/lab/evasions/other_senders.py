"""Senders that are not the kernel: other_senders.py ATTEMPT TAG. Only for a lab's namespace."""
import random
import time

from raw import ACK, NOBODY, OWN, PORT, PSH, RST, SERVICE, SYN, WRAP, UserStack, ip, tcp
from raw_requests import SETTLE, get, beside, then_ask, neighbour, run


def own_stack():
    UserStack(neighbour(77)).call(40_001, get())


def own_stack_with_vlan_tag_0():
    UserStack(neighbour(78), tag=b"\x81\0\0\0").call(40_002, get())


def own_stack_with_two_vlan_tags():
    UserStack(neighbour(82), tag=b"\x81\0\0\0" * 2).call(40_007, get())


def own_stack_with_four_vlan_tags():
    UserStack(neighbour(83), tag=b"\x81\0\0\0" * 4).call(40_008, get())


def own_stack_after_a_copied_syn():
    """The SYN of a real connection, copied with its number, window and options from another address: a translation's look."""
    it = beside(False)
    UserStack(neighbour(79)).call(40_003, get(), isn=it.syn["seq"], options=it.syn["options"], window=it.syn["window"])
    it.close()


def own_stack_before_its_copy():
    """A decoy SYN to nobody, then the real connection with the same number, window and options."""
    stack = UserStack(neighbour(80))
    isn = random.randrange(WRAP)
    packet = ip(OWN, SERVICE, tcp(OWN, SERVICE, 40_004, PORT, isn, 0, SYN, options=b"\2\4\5\xb4"))
    stack.wire.frame(packet, to=NOBODY)
    time.sleep(SETTLE)
    stack.call(40_004, get(), isn=isn)


def half_open_flood():
    """Twenty thousand SYNs of addresses that nobody has, and then the call."""
    it = beside(False)
    for n in range(20_000):
        source = f"{OWN.rsplit('.', 1)[0]}.{100 + n % 100}"
        it.wire.frame(ip(source, SERVICE, tcp(source, SERVICE, 1024 + n // 100, PORT, n, 0, SYN)), to=NOBODY)
    then_ask(it)


def flood_of_garbage():
    """Thirty thousand large segments as fast as they can be sent, with the call in their middle."""
    it = beside(False)
    garbage = ip(OWN, SERVICE, tcp(OWN, SERVICE, 50_000, PORT, 1, 1, ACK, b"a" * 1_400))
    for n in range(30_000):
        it.wire.frame(garbage, to=NOBODY)
        if n == 15_000:
            it.socket.sendall(get())
    it.socket.recv(65536)
    it.close()


def fragmented_syn():
    """All of the handshake travels in fragments."""
    stack = UserStack(neighbour(81))
    isn, sport = random.randrange(WRAP), 40_006

    def out(seq, ack, flags, payload=b""):
        body = tcp(stack.address, SERVICE, sport, PORT, seq, ack, flags, payload)
        ident = random.randrange(1, 65536)
        for at in range(0, len(body), 8):
            last = at + 8 >= len(body)
            stack.wire.frame(
                ip(stack.address, SERVICE, body[at : at + 8], fragment=at // 8 | (0 if last else 0x2000), ident=ident)
            )

    out(isn, 0, SYN)
    both = stack.wire.wait(lambda p: p["dport"] == sport and p["flags"] & SYN, answers=stack.address)
    out(isn + 1, both["seq"] + 1, ACK)
    out(isn + 1, both["seq"] + 1, ACK | PSH, get())
    stack.wire.wait(lambda p: p["dport"] == sport and p["data"], answers=stack.address)
    out(isn + 1 + len(get()), both["seq"] + 1, RST)


run(globals())
