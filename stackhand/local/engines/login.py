"""Can the service log in to PostgreSQL with the current settings?"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from stackhand.project.stack.model import Service
from stackhand.project.state import State

UNLOGGED = "SET log_min_error_statement = panic"
"""Keeps statements that fail out of the server's log: those of `follow` have the password in them."""
BOOTSTRAP_OID = 10  # BOOTSTRAP_SUPERUSERID: the role that initdb made
NO_DATABASE = "3D000"  # https://www.postgresql.org/docs/16/errcodes-appendix.html
NOT_LET_IN = "28000"
REFUSALS = {
    NO_DATABASE: r'database ".*" does not exist',
    NOT_LET_IN: r"no pg_hba\.conf entry",
    "28P01": r'password authentication failed|role ".*" does not exist',
}
"""The SQLSTATE of a refusal by psql's words, which do not say it."""


@dataclass(frozen=True)
class Login:
    """As whom to connect: a role, and its password, which is never printed."""

    user: str
    password: str = field(repr=False)


class _Ownership(msgspec.Struct):
    """What a role and a database are, as OWNERSHIP tells it."""

    bootstrap: bool
    superuser: bool
    owned: bool
    self_grant: bool
    others: list[str]


OF_THE_IMAGE = "SUPERUSER"
"""What the postgres image makes of POSTGRES_USER, and nobody can take away from the role that initdb made."""
SELF_GRANT = "createrole_self_grant=set, inherit"
"""With it, who makes a role may also give it a table and look into that, as a superuser could."""
OTHERS = """
SELECT rolname FROM pg_roles AS r WHERE rolname !~ '^pg_' AND rolname !~ '^stackhand_restore_' AND NOT rolsuper
    AND rolname <> {0} AND NOT EXISTS (SELECT 1 FROM pg_roles AS g
        WHERE g.rolname ~ '^pg_' AND g.rolname <> 'pg_database_owner' AND pg_has_role(r.oid, g.oid, 'MEMBER'))
    AND NOT (pg_has_role({0}, oid, 'USAGE') AND pg_has_role({0}, oid, 'USAGE WITH ADMIN OPTION')) ORDER BY rolname
"""
OWNERSHIP = f"""
SELECT jsonb_build_object('bootstrap', r.oid = {BOOTSTRAP_OID}, 'superuser', rolsuper,
    'owned', datdba <> {BOOTSTRAP_OID}, 'self_grant', {SELF_GRANT!r} = ANY (coalesce(rolconfig, '{{{{}}}}')),
    'others', coalesce((SELECT jsonb_agg(rolname) FROM ({{2}}) AS others), '[]'))::text
FROM pg_roles AS r, pg_database WHERE rolname = {{0}} AND datname = {{1}}
"""
OF_AN_OWNER = "NOSUPERUSER CREATEDB CREATEROLE NOREPLICATION NOBYPASSRLS"
"""What it is where the server is a process of this machine: no command of its user can be run through it."""
SUPERUSER = Login("", "")
"""Whoever is the server's superuser: the toolkit alone, over the local socket where the server is a process here."""


IS_SUPERUSER = "SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = current_user AND rolsuper"
CALM = {
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "default_transaction_read_only": "off",
}
"""What any session of the toolkit is set to, whatever the owner has set for a database or a role."""
UNMOVED = {
    "role": "none",
    "search_path": "pg_catalog",
    "quote_all_identifiers": "off",
    "standard_conforming_strings": "on",
    **CALM,
}
"""What a session is set to that may be a superuser's: a database may have functions of its own in the way of ours."""
UNTRIGGERED = {**UNMOVED, "session_replication_role": "replica"}
"""What a superuser's is set to, and nobody else may set: no event trigger runs in it that is merely enabled."""
DISARM = """
DO $$ DECLARE each record; BEGIN
    FOR each IN SELECT evtname, evtenabled FROM pg_event_trigger WHERE evtenabled IN ('A', 'R') LOOP
        EXECUTE format('ALTER EVENT TRIGGER %I %s', each.evtname, CASE each.evtenabled WHEN 'A' THEN 'ENABLE'
            ELSE 'DISABLE' END); -- which itself runs none
    END LOOP;
END $$
"""
"""Leaves no event trigger that would run in such a session: ALWAYS becomes enabled, REPLICA becomes disabled."""


POWERS = f"""
SET search_path TO pg_catalog;
SELECT json_build_object(
    'superusers', (SELECT coalesce(json_agg(rolname ORDER BY rolname), '[]') FROM pg_roles
        WHERE rolsuper AND oid <> {BOOTSTRAP_OID} AND rolname <> 'stackhand_separation'),
    'functions', (SELECT coalesce(json_agg(p.oid::regprocedure::text), '[]')
        FROM pg_proc AS p JOIN pg_roles AS r ON r.oid = proowner WHERE prosecdef AND rolsuper AND p.oid >= 16384
            AND NOT EXISTS (SELECT FROM pg_depend
                WHERE classid = 'pg_proc'::regclass AND objid = p.oid AND deptype = 'e')))::text
"""
WEAKEN = "ALTER ROLE … NOSUPERUSER, ALTER FUNCTION … SECURITY INVOKER, unless you need them (docs/security.md)"


def powers(answer: str) -> list[str]:
    """Return a sentence on the superusers that are not the server's own, and on functions that run as one."""
    names = msgspec.json.decode(answer, type=dict[str, list[str]])
    users, functions = ", ".join(names["superusers"]), ", ".join(names["functions"])
    return [
        *([f"superusers besides the server's own: {users}"] if users else []),
        *([f"functions that run with a superuser's rights: {functions}"] if functions else []),
    ]


def own_settings(login: Login | None) -> str:
    """Return the options of a session (PGOPTIONS): they count for more than what a database or a role is set to."""
    return words(UNTRIGGERED if login == SUPERUSER else CALM)


def words(settings: Mapping[str, str]) -> str:
    """Return settings as the options of a session."""
    return " ".join(f"-c {key}={value}" for key, value in settings.items())


CACHE_PASSWORDS = ("REDISCLI_AUTH", "REDIS_PASSWORD", "VALKEY_PASSWORD", "KEYDB_PASSWORD")
REQUIREPASS = re.compile(r"--requirepass[= ]+[\"']?([^\s\"']+)")


def wanted(service: Service) -> tuple[str, str, str]:
    """Return role, password and database that a service's environment asks for, as the postgres image reads it."""
    variables = service.environment
    user = variables.get("POSTGRES_USER") or "postgres"
    return user, variables.get("POSTGRES_PASSWORD", ""), variables.get("POSTGRES_DB") or user


def of_cache(service: Service) -> str:
    """Return the password of a Redis-protocol server: of its command, or of a variable that images and clients know."""
    match = REQUIREPASS.search(" ".join(service.command))
    words = [] if match is None or "$" in match[1] else [match[1]]
    return next(filter(None, [*words, *(service.environment.get(name) for name in CACHE_PASSWORDS)]), "")


def refused(service: Service, *, any_version: bool = False) -> str | None:
    """Log in at the published port, which there must be, as the stack's services will.

    Args:
        service: PostgreSQL.
        any_version: whether it may be one that knows no SCRAM.

    Returns:
        The SQLSTATE of the refusal; None when there is none.

    Raises:
        ConnectionError: nobody answers, or not to the end.
        Failure: what answers is not the stack's server, for it asks for the password itself.
    """
    import pg8000

    from stackhand.local.engines.driver import OverTcp, ToAnyVersion

    user, password, database = wanted(service)
    try:
        (ToAnyVersion if any_version else OverTcp)(
            user,
            host="127.0.0.1",
            port=service.port,
            database=database,
            password=password,
            timeout=5,
            ssl_context=False,
        ).close()
    except pg8000.DatabaseError as error:
        details = error.args[0] if error.args else {}
        return str(details.get("C", "?")) if isinstance(details, dict) else "?"
    except (pg8000.InterfaceError, OSError) as error:
        raise ConnectionError(str(error)) from error
    return None


def follow(service: Service, why: str, rights: str, query: Callable[[str], Any]) -> list[str]:
    """Make role, password and database those of the settings.

    The postgres image reads them when its volume is new and never again; "password authentication failed" after a
    change in `.env` is what that costs its users since 2016 (docker-library/postgres issues 203 and 665).

    Args:
        service: whose environment names them.
        why: the SQLSTATE with which the login was refused.
        rights: OF_THE_IMAGE or OF_AN_OWNER.
        query: runs a statement as a superuser; what it returns is false when there are no rows.

    Returns:
        A sentence on each thing that was changed.
    """
    from pg8000.native import identifier, literal

    user, password, database = wanted(service)
    done = []
    if not query(f"SELECT 1 FROM pg_roles WHERE rolname = {literal(user)}"):
        query(f"CREATE ROLE {identifier(user)} LOGIN {rights} PASSWORD {literal(password)}")
        done.append(f"created role {user} from .env")
    elif why != NO_DATABASE:
        query(f"ALTER ROLE {identifier(user)} LOGIN {rights} PASSWORD {literal(password)}")
        done.append(f"changed the password of {user} to the one in .env")
    if not query(f"SELECT 1 FROM pg_database WHERE datname = {literal(database)}"):
        query(f"CREATE DATABASE {identifier(database)} OWNER {identifier(user)}")
        done.append(f"created database {database} from .env")
    return [f"{service.name}: {each}" for each in done]


def own(service: Service, query: Callable[..., Any]) -> list[str]:
    """Let the role of the settings act as the owner of all in its database, and as no more than that.

    A data folder from before has it as a superuser. After a change of POSTGRES_USER all belongs to the one before, and
    stays that one's: who is a member of an owner may do what the owner may.

    Args:
        service: whose environment names them.
        query: runs a statement in that database, as a superuser, and returns its rows.
    """
    from pg8000.native import identifier

    user, _, database = wanted(service)
    role = identifier(user)
    known = _ownership(user, database, query)
    if known.bootstrap:
        return []  # it is what initdb made, and cannot be less
    query(DISARM)
    done, statements = [], []
    if known.superuser:
        query(f"ALTER ROLE {role} {OF_AN_OWNER}")
        done.append(demoted(service))
        known = _ownership(user, database, query)  # who was a superuser had every right that it lacks now
    if not known.self_grant:
        statements.append(f"ALTER ROLE {role} SET createrole_self_grant TO 'set, inherit'")
    if not known.owned:
        statements.append(f"ALTER DATABASE {identifier(database)} OWNER TO {role}")
    others = [identifier(name) for name in known.others]
    # all of them first, or there would be a circle where places were changed
    statements += [f"REVOKE {role} FROM {name}" for name in others]
    statements += [f"GRANT {name} TO {role} WITH ADMIN OPTION" for name in others]
    if statements:
        query("; ".join(statements))
    ((left,),) = query(POWERS)
    done += [f"{service.name}: {each}: {WEAKEN}" for each in powers(left)]
    return [*done, *([f"{service.name}: {user} may do what {', '.join(known.others)} may"] if others else [])]


def _ownership(user: str, database: str, query: Callable[..., Any]) -> _Ownership:
    from pg8000.native import literal

    ((answer,),) = query(OWNERSHIP.format(literal(user), literal(database), OTHERS.format(literal(user))))
    return msgspec.json.decode(answer, type=_Ownership)


def demotion(service: Service) -> str:
    """Return what makes an owner of a role of the settings that is a superuser."""
    if service.embedded is None:
        return f"x-embedded: {{engine: postgres}} in {service.name}, then ./inv up makes it the owner of its database"
    return "./inv up, with a POSTGRES_USER other than postgres, on PostgreSQL 16 or newer"


def demoted(service: Service) -> str:
    """Return the sentence on a role that was a superuser until now."""
    user, _, database = wanted(service)
    return f"{service.name}: {user} is no superuser any more: it owns {database}, and may make roles and databases"


def fingerprint(service: Service, state: State) -> str:
    """Return a digest that changes when role, password or database do, and tells none of them."""
    return state.keyed(json.dumps(wanted(service)).encode())[:16]
