"""Packets over IPv6 that are forged: forged_ipv6.py ATTEMPT TAG. Only for a lab's namespace."""
import random
import time

from raw import ACK, PSH, RST, WRAP
from raw6 import Beside, fragment_header, options_header
from raw_requests import LINGER, MISSING, PADDED, SETTLE, TOKEN_LINE, get, run

OPTIONS, FRAGMENT = 60, 44


def beside(first=True):
    it = Beside()
    if first:
        it.ask(get("/latest/meta-data/with-token", True))
        time.sleep(SETTLE)
    return it


def decoy(request, real, **how):
    it = beside(False)
    it.client(ACK | PSH, request, **how)
    time.sleep(SETTLE)
    it.ask(real)
    it.close()


def reset(**how):
    it = beside()
    it.client(RST | ACK, **how)
    time.sleep(LINGER)
    it.ask(get())
    it.close()


def by_hand(packets):
    """Sends the request by hand, and ends the connection: the kernel knows nothing of these bytes."""
    it = beside(False)
    for first, body in packets(it):
        it.send(body, first)
    time.sleep(LINGER)
    it.client(RST, seq=len(get()))
    it.close()


def ipv6_reset_that_never_arrives():
    reset(arrives=False)


def ipv6_reset_with_bad_checksum():
    reset(good=False)


def ipv6_reset_outside_the_window():
    reset(seq=-900_000)


def ipv6_token_that_never_arrives():
    decoy(get(token=True), PADDED, arrives=False)


def ipv6_token_with_bad_checksum_missing():
    decoy(get(MISSING, True), get(MISSING, pad=TOKEN_LINE), good=False)


def ipv6_options_before_the_call():
    by_hand(lambda it: [(OPTIONS, options_header(it.body(ACK | PSH, get())))])


def ipv6_fragment_of_its_own():
    by_hand(lambda it: [(FRAGMENT, fragment_header(it.body(ACK | PSH, get())))])


def ipv6_fragmented_request():
    def parts(it):
        body, ident = it.body(ACK | PSH, get()), random.randrange(WRAP)
        return [
            (FRAGMENT, fragment_header(body[at : at + 24], at, at + 24 < len(body), ident))
            for at in range(0, len(body), 24)
        ]

    by_hand(parts)


run(globals())
