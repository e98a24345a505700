"""Answers that are forged: forged_answers.py ATTEMPT TAG. Only for a lab's namespace."""
import time

from raw import ACK, PSH
from raw_requests import PATH, SETTLE, LINGER, get, ANSWER_OF_V2, REFUSAL, beside, then_ask, run


def answer(payload, path=PATH, token=False):
    """A forged answer is captured between the request and the real answer."""
    slow = path.replace("/meta-data/", "/meta-data/slow/")
    it = beside(False)
    request = get(slow, token)
    it.socket.sendall(request)
    it.seq += len(request)
    time.sleep(SETTLE)
    it.server(ACK | PSH, payload)
    it.socket.recv(65536)
    time.sleep(SETTLE)
    it.close()


def forged_answer_of_a_token_call():
    answer(ANSWER_OF_V2)


def forged_refusal():
    answer(REFUSAL)


def forged_garbage():
    answer(b"\x16\x03\x01 this is no HTTP at all\r\n\r\n")


def forged_interim_answers():
    answer(b"HTTP/1.1 100 Continue\r\n\r\n" * 10)


def forged_upgrade():
    answer(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n")


def forged_upgrade_then_asked():
    it = beside()
    it.server(ACK | PSH, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n")
    then_ask(it, LINGER)


def forged_preface_then_asked():
    it = beside()
    it.client(ACK | PSH, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", arrives=False)
    then_ask(it, LINGER)


def forged_body_then_asked():
    """A forged request with a body of two gigabytes, which the real request is then taken for."""
    it = beside()
    forged = b"POST / HTTP/1.1\r\nX-aws-ec2-metadata-token: a\r\nContent-Length: 2000000000\r\n\r\n"
    it.client(ACK | PSH, forged, arrives=False)
    time.sleep(LINGER)
    it.ask(b"\r\n" * (len(forged) // 2) + b"\r\n" + get())
    it.ask(get())
    it.close()


def forged_acknowledgement():
    """The service seems to have received what was never sent."""
    it = beside()
    it.server(ACK, ack=50_000)
    then_ask(it, LINGER)


def forged_data_of_the_server():
    it = beside()
    it.server(ACK | PSH, b"a" * 1_000, seq=1)
    then_ask(it, LINGER)


run(globals())
