"""Put a job into the queue once a second."""

import itertools
import os
import time

import queue_client

broker = queue_client.connect()
for number in itertools.count():
    queue_client.call(broker, "RPUSH", os.environ["QUEUE"], f"job-{number}")
    print("sent", number)
    time.sleep(1)
