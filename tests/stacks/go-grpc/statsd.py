"""Print each metric that comes."""

import socket

with socket.socket(type=socket.SOCK_DGRAM) as server:
    server.bind(("", 8125))
    print("waiting for metrics")
    while True:
        print("metric", server.recv(1024).decode())
