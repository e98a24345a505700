"""Sends each request of a JSON list on standard input over a connection of its own, and reads what comes."""
import json
import socket
import sys

for request in json.load(sys.stdin):
    with socket.create_connection(("169.254.169.254", 80), 5) as connection:
        connection.sendall(request.encode("utf-8"))
        connection.settimeout(1)
        try:
            connection.recv(4096)
        except OSError:
            pass
