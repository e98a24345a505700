"""A service from before IMDSv2: asks for the instance id every few seconds, without a token.

legacy_poller.py INTERVAL_SECONDS. Prints one JSON line a call with its own socket's port, for the lab's ledger.
"""
import http.client
import json
import sys
import time

TARGET = "/latest/meta-data/instance-id"
interval = float(sys.argv[1])
while True:
    connection = http.client.HTTPConnection("169.254.169.254", 80, timeout=5)
    connection.connect()
    port = connection.sock.getsockname()[1]
    print(json.dumps({"port": port, "method": "GET", "target": TARGET}), flush=True)
    connection.request("GET", TARGET)
    connection.getresponse().read()
    connection.close()
    time.sleep(interval)
