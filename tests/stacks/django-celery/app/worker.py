"""Take jobs from the queue, one after the other."""

import os
from pathlib import Path

import queue_client

broker = queue_client.connect()
Path("/tmp/ready").touch()
print("worker ready")
while True:
    answer = queue_client.call(broker, "BLPOP", os.environ["QUEUE"], "0")
    print("done:", answer.split("\r\n")[-2])
