"""A token, a read with it and a read without it, all on one connection."""
import http.client
import sys

connection = http.client.HTTPConnection(sys.argv[1], 80, timeout=5)
connection.request("PUT", "/latest/api/token", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"})
token = connection.getresponse().read().decode()
connection.request("GET", "/latest/meta-data/instance-id", headers={"X-aws-ec2-metadata-token": token})
connection.getresponse().read()
connection.request("GET", "/latest/meta-data/placement/region")
connection.getresponse().read()
