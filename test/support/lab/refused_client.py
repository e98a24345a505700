"""Clients that are refused with 401, and what they do then. Usage: refused_client.py adapts|probes|renews|stale|ignores"""
import http.client
import sys

HOST = "169.254.169.254"
PATH = "/latest/meta-data/instance-id"


def ask(method, path, headers=None):
    connection = http.client.HTTPConnection(HOST, timeout=5)
    connection.request(method, path, headers=headers or {})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def token():
    return ask("PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"})[1]


def with_token(value):
    return ask("GET", PATH, {"X-aws-ec2-metadata-token": value})[0]


how = sys.argv[1]
if how == "adapts":
    assert ask("GET", PATH)[0] == 401
    assert with_token(token()) == 200
elif how == "probes":
    assert ask("GET", "/")[0] == 401
    assert with_token(token()) == 200
elif how == "renews":
    assert with_token("stale") == 401
    assert with_token(token()) == 200
elif how == "stale":
    assert with_token("stale") == 401
    assert with_token("null") == 401
elif how == "ignores":
    assert ask("GET", PATH)[0] == 401
