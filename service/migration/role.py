"""The role that answers requests: it reads and writes rows, and may change no table. The owner makes it.

So what gets into a query of ours cannot drop a table, run a program on the server, or read its passwords.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterator
from typing import Any

from pg8000.native import identifier, literal

from service.migration.files import MigrationError
from service.settings import Address

ITERATIONS = 4096
FORMER = "public"
"""Where release 0.1 had its tables: what anybody creates there later is none of our business."""
DATA, NEXT = "SELECT, INSERT, UPDATE, DELETE", "USAGE, SELECT"
POWERS = "rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls"
KNOWN = f"SELECT {POWERS} FROM pg_catalog.pg_roles WHERE rolname = :name"  # noqa: S608 - nothing of anybody's
OWN = """
SELECT pg_catalog.quote_ident(relname), relkind = 'S' FROM pg_catalog.pg_class
WHERE relnamespace = pg_catalog.current_schema()::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    AND pg_catalog.pg_has_role(relowner, 'USAGE')
"""
"""What the owner may give rights to; tables of others are theirs."""
SCHEMA = "SELECT pg_catalog.quote_ident(pg_catalog.current_schema())"


def reconcile(connection: Any, owner: str, at: Address) -> None:
    """Make the role, its password and its rights those of the settings.

    Args:
        connection: as the owner, who holds the lock of the migrations.
        owner: the role of the connection.
        at: as whom requests are answered.

    Raises:
        MigrationError: the role has rights over the server (`application_role`).
    """
    if at.user == owner:
        return
    known = connection.run(KNOWN, name=at.user)
    if known and known[0][0]:
        raise MigrationError(
            "application_role",
            f"the role {at.user} is more than one that reads and writes rows; give DATABASE_URL one of its own",
        )
    who = identifier(at.user)
    connection.run("BEGIN")
    connection.run(f"{'ALTER' if known else 'CREATE'} ROLE {who} LOGIN PASSWORD {literal(verifier(at.password))}")
    for statement in _grants(who, identifier(owner), connection.run(SCHEMA)[0][0], connection.run(OWN)):
        connection.run(statement)
    connection.run("COMMIT")


def _grants(who: str, owner: str, schema: str, relations: list[tuple[str, bool]]) -> Iterator[str]:
    yield f"GRANT USAGE ON SCHEMA {schema} TO {who}"
    for name, sequence in relations:
        yield f"GRANT {NEXT if sequence else DATA} ON {'SEQUENCE ' if sequence else ''}{schema}.{name} TO {who}"
    yield f"REVOKE INSERT, UPDATE, DELETE ON {schema}.schema_migration FROM {who}"
    defaults = f"ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA"
    for rights, kind in ((DATA, "TABLES"), (NEXT, "SEQUENCES")):
        yield f"{defaults} {schema} GRANT {rights} ON {kind} TO {who}"
        if schema != FORMER:
            yield f"{defaults} {FORMER} REVOKE {rights} ON {kind} FROM {who}"


def verifier(password: str) -> str:
    """Return what PostgreSQL keeps of a password (RFC 5803), so that no log of statements has the password itself."""
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    parts = (base64.b64encode(each).decode() for each in (salt, stored, server))
    return "SCRAM-SHA-256${}:{}${}:{}".format(ITERATIONS, *parts)
