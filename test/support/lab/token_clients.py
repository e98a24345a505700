"""Clients of the lab's metadata service that ask for a token, wait for it for a while, and then read without one.

Arguments: TAG SECONDS HOW. TAG marks the read. HOW is one of
  close   closes the connection of the unanswered request
  reset   resets it
  keep    leaves it open and reads on another connection
  other   closes it, and reads as another client of the same process
  never   asks for no token
"""
import http.client
import socket
import struct
import sys

HOST = "169.254.169.254"
tag, seconds, how = sys.argv[1], float(sys.argv[2]), sys.argv[3]
token = None
connection = http.client.HTTPConnection(HOST, timeout=seconds)
if how != "never":
    try:
        headers = {"X-aws-ec2-metadata-token-ttl-seconds": "60", "User-Agent": "Go-http-client/1.1"}
        connection.request("PUT", "/latest/api/token", headers=headers)
        if how == "reset":
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        answer = connection.getresponse()
        token = answer.read().decode() if answer.status == 200 else None
    except OSError:
        pass
    if how != "keep":
        connection.close()
headers = {"User-Agent": "Python-urllib/3.11" if how == "other" else "Go-http-client/1.1"}
if token:
    headers["X-aws-ec2-metadata-token"] = token
read = http.client.HTTPConnection(HOST, timeout=5)
read.request("GET", "/latest/meta-data/instance-id?" + tag, headers=headers)
read.getresponse().read()
read.close()
