"""A backup job from before IMDSv2: asks for the instance id without a token, again and again until it gets it.

backup_job.py. Prints one JSON line a call with its own socket's port, for the lab's ledger.
"""
import http.client
import json
import sys
import time

TARGET = "/latest/meta-data/instance-id"
ATTEMPTS = 120
PAUSE_SECONDS = 0.25

for attempt in range(ATTEMPTS):
    connection = http.client.HTTPConnection("169.254.169.254", 80, timeout=5)
    connection.connect()
    port = connection.sock.getsockname()[1]
    print(json.dumps({"port": port, "method": "GET", "target": TARGET}), flush=True)
    connection.request("GET", TARGET)
    response = connection.getresponse()
    response.read()
    connection.close()
    if response.status == 200:
        sys.exit(0)
    time.sleep(PAUSE_SECONDS)
sys.exit(1)
