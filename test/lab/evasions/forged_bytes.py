"""Bytes of a request that are forged: forged_bytes.py ATTEMPT TAG. Only for a lab's namespace."""
import random
import struct
import time

from raw import ACK, OWN, PORT, PSH, RST, SERVICE, URG, WRAP, ip, tcp
from raw_requests import TAG, PATH, MISSING, SETTLE, LINGER, get, TOKEN_LINE, PADDED, beside, then_ask, run


def decoy(request, real, **how):
    it = beside(False)
    it.client(ACK | PSH, request, **how)
    time.sleep(SETTLE)
    it.ask(real)
    it.close()


def token_with_bad_checksum():
    decoy(get(token=True), PADDED, good=False)


def token_with_bad_checksum_missing():
    decoy(get(MISSING, True), get(MISSING, pad=TOKEN_LINE), good=False)


def token_that_never_arrives():
    decoy(get(token=True), PADDED, arrives=False)


def token_that_never_arrives_missing():
    decoy(get(MISSING, True), get(MISSING, pad=TOKEN_LINE), arrives=False)


def other_path_that_never_arrives():
    other = get(PATH.replace(TAG, "x" * len(TAG)), True)
    decoy(other, PADDED, arrives=False)


def token_in_one_byte_missing():
    """Only the byte of the request that makes the header's name another one is overwritten."""
    real = get(MISSING, True).replace(b"token:", b"tokem:")
    it = beside(False)
    at = real.index(b"tokem:") + 4
    it.client(ACK | PSH, b"n", seq=at, arrives=False)
    time.sleep(SETTLE)
    it.ask(real)
    it.close()


def overlapping_and_arriving():
    """The kernel keeps the first copy of what overlaps."""
    it = beside(False)
    real, token = PADDED, get(token=True)
    it.client(ACK | PSH, real[40:], seq=40)
    it.client(ACK | PSH, token[40:], seq=40)
    time.sleep(SETTLE)
    it.client(ACK | PSH, real[:40])
    time.sleep(LINGER)
    it.client(RST, seq=len(real))  # the kernel knows nothing of these bytes and would not end the connection
    it.close()


def overlapping_and_arriving_missing():
    it = beside(False)
    real, token = get(MISSING, pad=TOKEN_LINE), get(MISSING, True)
    it.client(ACK | PSH, real[40:], seq=40)
    it.client(ACK | PSH, token[40:], seq=40)
    time.sleep(SETTLE)
    it.client(ACK | PSH, real[:40])
    time.sleep(LINGER)
    it.client(RST, seq=len(real))  # the kernel knows nothing of these bytes and would not end the connection
    it.close()


def decoy_out_of_order_missing():
    """The decoy waits out of order when the real bytes come."""
    it = beside(False)
    real, token = get(MISSING, pad=TOKEN_LINE), get(MISSING, True)
    it.client(ACK | PSH, token[4:], seq=4, arrives=False)
    time.sleep(SETTLE)
    it.ask(real)
    it.close()


def out_of_window_bytes():
    it = beside(False)
    it.client(ACK | PSH, b"X-aws-ec2-metadata-token: a\r\n\r\n", seq=500_000_000)
    then_ask(it)


def older_timestamp_missing():
    """Segments with a time stamp from before the connection are refused by the kernel (PAWS)."""
    it = beside(False)
    real, token = get(MISSING, pad=TOKEN_LINE), get(MISSING, True)
    options, at = it.syn["options"], 0
    while options[at] != 8:
        at += 1 if options[at] == 1 else options[at + 1]
    stamped = struct.unpack("!I", options[at + 2 : at + 6])[0]
    stamp = struct.pack("!BBBBII", 1, 1, 8, 10, (stamped - 1_000_000) % WRAP, 0)
    it.client(ACK | PSH, token, options=stamp)
    time.sleep(SETTLE)
    it.ask(real)
    it.close()


def without_acknowledgement_flag_missing():
    """A segment without ACK is dropped by the kernel."""
    it = beside(False)
    it.client(PSH, get(MISSING, True))
    time.sleep(SETTLE)
    it.ask(get(MISSING, pad=TOKEN_LINE))
    it.close()


def acknowledges_the_future_missing():
    """A segment that acknowledges what was never sent is dropped by the kernel."""
    it = beside(False)
    it.client(ACK | PSH, get(MISSING, True), ack=100_000_000)
    time.sleep(SETTLE)
    it.ask(get(MISSING, pad=TOKEN_LINE))
    it.close()


def urgent_pointer_over_the_request():
    it = beside(False)
    request = get()
    it.client(ACK | PSH | URG, request + b"\r", urgent=len(request) + 1)
    time.sleep(LINGER)
    it.client(RST, seq=len(request) + 1)
    it.close()


def length_that_the_frame_does_not_have():
    it = beside(False)
    packet = ip(OWN, SERVICE, tcp(OWN, SERVICE, it.port, PORT, it.seq, it.ack, ACK | PSH, get(token=True)))
    it.wire.frame(packet[:2] + struct.pack("!H", len(packet) + 400) + packet[4:])
    then_ask(it)


def fragments(real, forged=None):
    """Sends a request in fragments, each with a forged copy behind it: the kernel keeps the first of two."""
    it = beside(False)

    def body(request):
        return tcp(OWN, SERVICE, it.port, PORT, it.seq, it.ack, ACK | PSH, request)

    copies = [body(real)] if forged is None else [body(real), body(forged)]
    ident = random.randrange(1, 65536)
    for at in range(0, len(copies[0]), 24):
        more = 0 if at + 24 >= len(copies[0]) else 0x2000
        # The last fragment completes the packet: its copy would begin another one.
        for copy in copies if more else copies[:1]:
            it.wire.frame(ip(OWN, SERVICE, copy[at : at + 24], fragment=at // 8 | more, ident=ident))
    time.sleep(LINGER)
    it.client(RST, seq=len(real))
    it.close()


def fragmented_request():
    fragments(get())


def overlapping_fragments():
    fragments(PADDED, get(token=True))


def overlapping_fragments_missing():
    fragments(get(MISSING, pad=TOKEN_LINE), get(MISSING, True))


run(globals())
