"""What raw-packet attempts ask for, and how: mostly on a connection of the kernel, beside which they send their own packets."""
import sys
import time

from raw import OWN, Beside

TAG = sys.argv[2]
PATH = f"/latest/meta-data/{TAG}"
MISSING = f"/latest/meta-data/s404/{TAG}"
SETTLE = 0.1
LINGER = 1.2  # longer than anything is remembered of a connection that a reset has ended


def get(path=PATH, token=False, pad=0):
    header = "X-aws-ec2-metadata-token: a\r\n" if token else ""
    if pad:
        header += "X-Pad: " + "a" * (pad - 9) + "\r\n"
    return f"GET {path} HTTP/1.1\r\nHost: h\r\n{header}\r\n".encode()


TOKEN_LINE = len("X-aws-ec2-metadata-token: a\r\n")
PADDED = get(pad=TOKEN_LINE)
ANSWER_OF_V2 = b"HTTP/1.1 200 OK\r\nX-Aws-Ec2-Metadata-Token-Ttl-Seconds: 21600\r\nContent-Length: 9\r\n\r\nan answer"
REFUSAL = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"


def beside(first=True):
    """A connection on which an IMDSv2 call has been made, unless `first` is false."""
    it = Beside()
    if first:
        it.ask(get("/latest/meta-data/with-token", True))
        time.sleep(SETTLE)
    return it


def then_ask(it, wait=SETTLE, request=None):
    time.sleep(wait)
    it.ask(request or get())
    it.close()


def neighbour(last):
    return OWN.rsplit(".", 1)[0] + f".{last}"


def run(attempts):
    """Runs the attempt that the command line names."""
    attempts[sys.argv[1]]()
