"""A certificate authority, and a server's end of TLS, of a test's own."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from service.settings import Address

SIGNS = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)
"""What an authority does with its key."""
SSL_REQUEST = bytes.fromhex("0000000804d2162f")


@dataclass(frozen=True)
class Authority:
    """A certificate authority of a test's own."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def make(cls) -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test authority")])
        draft = _draft(name, name, key, key).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        return cls(key, draft.add_extension(SIGNS, critical=True).sign(key, hashes.SHA256()))

    def issue(self, folder: Path, address: str) -> tuple[Path, Path]:
        """Write a certificate for an address or a name, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "server")])
        names = x509.SubjectAlternativeName([_name(address)])
        signed = _draft(subject, self.certificate.subject, key, self.key).add_extension(names, critical=False)
        certificate_path, key_path = folder / "server.crt", folder / "server.key"
        certificate_path.write_bytes(pem(signed.sign(self.key, hashes.SHA256())))
        key_path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        key_path.chmod(0o600)
        return certificate_path, key_path


def _name(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        return x509.DNSName(address)


def _draft(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, authority: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    """Return a certificate with the key identifiers that Python 3.13 wants to see (RFC 5280)."""
    now = datetime.datetime.now(datetime.UTC)
    by = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(by, critical=False)
    )


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


class Front:
    """Takes TLS, and forwards to a server that takes none: the embedded PostgreSQL is built without it.

    Args:
        target: where to.
        certificate: and its key: what to show.
        key: see there.
        asked: whether clients ask for TLS first, as PostgreSQL's do.
    """

    def __init__(self, target: Address, certificate: Path, key: Path, *, asked: bool) -> None:
        self._target = target
        self._asked = asked
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(certificate, key)
        self._loop = asyncio.new_event_loop()
        self._listening = threading.Event()
        self.port = 0
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),), daemon=True)
        self._thread.start()
        assert self._listening.wait(20)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(20)
        assert not self._thread.is_alive()
        self._loop.close()

    async def _run(self) -> None:
        self._end = asyncio.Event()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._listening.set()
        await self._end.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            if self._asked:
                assert await reader.readexactly(8) == SSL_REQUEST
                writer.write(b"S")
            await writer.start_tls(self._context)
            back_reader, back = await asyncio.open_connection(self._target.host, self._target.port)
            try:
                await asyncio.gather(_copy(reader, back), _copy(back_reader, writer))
            finally:
                back.close()
        writer.transport.abort()


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while block := await source.read(65_536):
        sink.write(block)
        await sink.drain()
    raise ConnectionResetError  # ends the other direction too
