"""TLS and passwords in a rehearsal, as RDS and ElastiCache demand them: what connects otherwise fails here already.

ministack has an authority of its own for the certificates of databases and one for those of caches. Tasks get both
beside the authorities of this machine, where the libraries of most languages look for them. A cache encrypts itself;
before each database stands a server of ours, which turns away who does not, and notes down whom the database lets in.
"""

from __future__ import annotations

import os
import select
import socket
import socketserver
import ssl
import struct
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

from ministack.services import elasticache, rds

PORT = os.environ["GATEWAY_PORT"]
BUNDLE = Path(tempfile.gettempdir()) / f"authorities-{PORT}.pem"
LOG = Path(tempfile.gettempdir()) / f"connections-{PORT}.log"
"""Who was let in: a line for each connection, the database's address and the client's."""
THERE = "/etc/rehearsal-authorities.pem"
VARIABLES = dict.fromkeys(("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"), THERE)
"""Where OpenSSL and Go look, and Node.js; the Java virtual machine has a file of its own."""
GATEWAY = os.environ["REHEARSAL_GATEWAY"]
SSL_REQUEST, GSS_REQUEST = 80877103, 80877104
"""https://www.postgresql.org/docs/16/protocol-message-formats.html"""
LET_IN = b"R\0\0\0\x08\0\0\0\0"
"""AuthenticationOk, the first thing that a server says to whom it lets in."""
SIZE = 65536
_lock = threading.Lock()
_servers: dict[tuple[str, int], TlsServer] = {}


def mount() -> dict[str, dict[str, str]]:
    """Return what a task gets of the authorities, as docker takes it."""
    with _lock:
        if not BUNDLE.exists():
            known = ssl.get_default_verify_paths().cafile
            ours = Path(known).read_text(encoding="utf-8") if known and Path(known).is_file() else ""
            BUNDLE.write_text("\n".join([ours, rds.pg_ca_cert_pem(), elasticache._ensure_serverless_ca()[0]]))
    return {str(BUNDLE): {"bind": THERE, "mode": "ro"}}


def endpoint(host: str, port: int, _published: int) -> tuple[str, int]:
    """Return where a database is told to be: at a server of ours before it, which demands TLS."""
    with _lock:
        if (host, port) not in _servers:
            _servers[host, port] = TlsServer.start(host, port)
        return GATEWAY, int(_servers[host, port].server_address[1])


class TlsServer(socketserver.ThreadingTCPServer):
    """Stands before one database."""

    daemon_threads = allow_reuse_address = True

    def __init__(self, address: tuple[str, int], database: tuple[str, int]) -> None:
        self.database, self.context = database, _context()
        super().__init__(address, Connection)

    @classmethod
    def start(cls, host: str, port: int) -> TlsServer:
        """Start one, at the database's own port where that is free on the address of this machine."""
        here = "127.0.0.1" if GATEWAY == "host.docker.internal" else GATEWAY
        for wanted in (port, 0):
            with suppress(OSError):
                server = cls((here, wanted), (host, port))
                threading.Thread(target=server.serve_forever, daemon=True).start()
                return server
        raise RuntimeError(f"there is no free port at {here}")


def _context() -> ssl.SSLContext:
    """Return what the server shows: a certificate for the names by which it is reached."""
    addresses = [GATEWAY, "127.0.0.1"] if GATEWAY[:1].isdigit() else ["127.0.0.1"]
    certificate, key = rds._pg_server_material(["localhost", "host.docker.internal"], addresses)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(f"{certificate}\n{key}")
        file.flush()
        context.load_cert_chain(file.name)
    return context


class Connection(socketserver.BaseRequestHandler):
    """One client of a database."""

    server: TlsServer

    def handle(self) -> None:
        """Encrypt, and hand on what either side says; a client that does not encrypt is turned away."""
        with suppress(OSError):
            asked = self._asked()
            while asked == GSS_REQUEST:
                self.request.sendall(b"N")
                asked = self._asked()
            if asked != SSL_REQUEST:
                self.request.sendall(_refusal(self.client_address[0]))
                return
            self.request.sendall(b"S")
            with (
                self.server.context.wrap_socket(self.request, server_side=True) as client,
                socket.create_connection(self.server.database) as database,
            ):
                self._hand_on(client, database)

    def _asked(self) -> int:
        """Return what the first eight bytes are: a request of TLS or GSS, or the version of the protocol."""
        first = self.request.recv(8, socket.MSG_WAITALL)
        if len(first) < 8:  # noqa: PLR2004 - a length, and a code
            raise ConnectionError
        return int(struct.unpack("!ii", first)[1])

    def _hand_on(self, client: ssl.SSLSocket, database: socket.socket) -> None:
        """Send on what either side says until one ends; note down when the database lets the client in."""
        said, known = b"", False
        while True:
            for source in [client] if client.pending() else select.select([client, database], [], [])[0]:
                more = _decrypted(client) if source is client else database.recv(SIZE)
                if more == b"":
                    return
                if more and source is client:
                    database.sendall(more)
                elif more:
                    said = b"" if known else (said + more)[-SIZE:]
                    if not known and LET_IN in said:
                        known = True
                        _note(self.server.database[0], self.client_address[0])
                    client.sendall(more)


def _decrypted(client: ssl.SSLSocket) -> bytes | None:
    """Return what a client has said; None while it is only a part of what can be decrypted."""
    client.setblocking(False)
    try:
        return client.recv(SIZE)
    except ssl.SSLWantReadError:
        return None
    finally:
        client.setblocking(True)


def _note(database: str, client: str) -> None:
    with _lock, LOG.open("a", encoding="utf-8") as file:
        file.write(f"{database} {client}\n")


def _refusal(client: str) -> bytes:
    """Return the error that PostgreSQL has for who does not encrypt where `rds.force_ssl` is on."""
    message = f'no pg_hba.conf entry for host "{client}", no encryption'
    fields = "".join(f"{each}\0" for each in ("SFATAL", "VFATAL", "C28000", f"M{message}")).encode() + b"\0"
    return b"E" + struct.pack("!i", len(fields) + 4) + fields
