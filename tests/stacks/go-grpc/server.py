"""Listen at three ports; with an argument, look whether the others do."""

import socket
import sys
import threading
import time

PORTS = (8080, 9090, 7000)


def serve(port: int) -> None:
    """Answer each connection with one line."""
    with socket.create_server(("", port)) as server:
        while True:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n")


if sys.argv[1:]:
    for port in PORTS:
        socket.create_connection(("127.0.0.1", port), 1).close()
else:
    for port in PORTS:
        threading.Thread(target=serve, args=(port,), daemon=True).start()
    print("listening at", *PORTS)
    while True:
        time.sleep(60)
