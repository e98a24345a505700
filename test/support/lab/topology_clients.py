"""Clients of the table of topologies: `topology_clients.py KIND TARGET [PROXY]`. Each is one process with one way to call.

old: reads without a token. new: takes a token and reads. falling: asks for a token with a bad lifetime, which is refused, and
reads without one. adapting: reads without a token and, if that is refused, takes one and reads again.
PROXY is HOST:PORT of an HTTP proxy; targets are then absolute.
"""
import http.client
import sys
import time

SERVICE = "169.254.169.254"
LIFETIME = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN = "X-aws-ec2-metadata-token"
kind, target = sys.argv[1], sys.argv[2]
proxy = sys.argv[3] if len(sys.argv) > 3 else None


def ask(method, path, headers):
    peer = proxy or SERVICE + ":80"
    host, port = peer.split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    absolute = "http://" + SERVICE + path if proxy else path
    connection.request(method, absolute, headers={"User-Agent": "topology-" + kind, "Host": SERVICE, **headers})
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body


def token(lifetime):
    status, body = ask("PUT", "/latest/api/token", {LIFETIME: lifetime})
    return body if status == 200 else None


if kind == "old":
    ask("GET", target, {})
elif kind == "new":
    ask("GET", target, {TOKEN: token("60")})
elif kind == "falling":
    assert token("0") is None, "the service must refuse this"
    # Captures of several namespaces are read one after the other: what comes at once may be handled first.
    time.sleep(0.3)
    ask("GET", target, {})
elif kind == "adapting":
    status, _ = ask("GET", target, {})
    if status == 401:
        ask("GET", target, {TOKEN: token("60")})
