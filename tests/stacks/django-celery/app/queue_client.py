"""As much of Redis's protocol as a queue needs."""

import os
import socket
import time


def connect() -> socket.socket:
    """Return a connection to the broker, which may start later than its clients."""
    while True:
        try:
            return socket.create_connection((os.environ["BROKER"], 6379))
        except OSError as error:
            print("waiting for the broker:", error)
            time.sleep(0.2)


def call(broker: socket.socket, *args: str) -> str:
    """Send a command, and return the answer as it comes."""
    parts = "".join(f"${len(arg)}\r\n{arg}\r\n" for arg in args)
    broker.sendall(f"*{len(args)}\r\n{parts}".encode())
    return broker.recv(4096).decode()
