"""A service that does it right: one session token, then every read with it.

modern_service.py INTERVAL_SECONDS. Prints one JSON line a call with its own socket's port, for the lab's ledger.
"""
import http.client
import json
import sys
import time


def call(method, target, headers):
    connection = http.client.HTTPConnection("169.254.169.254", 80, timeout=5)
    connection.connect()
    port = connection.sock.getsockname()[1]
    print(json.dumps({"port": port, "method": method, "target": target}), flush=True)
    connection.request(method, target, headers=headers)
    body = connection.getresponse().read().decode()
    connection.close()
    return body


token = call("PUT", "/latest/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "21600"})
while True:
    call("GET", "/latest/meta-data/placement/region", {"X-aws-ec2-metadata-token": token})
    time.sleep(float(sys.argv[1]))
