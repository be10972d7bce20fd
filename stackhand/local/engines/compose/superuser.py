"""The superuser of a container's PostgreSQL: found, and separated from POSTGRES_USER.

The postgres image has initdb make POSTGRES_USER, and PostgreSQL lets nobody demote the role that initdb made. It can be
renamed, though: it becomes `postgres`, without a password, so that only the container's socket lets it in, and a new
role without its rights gets its name and all that it owned (docs/decisions/049-owner-in-containers.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from stackhand.cli.failure import Failure
from stackhand.local.engines import login
from stackhand.local.engines.login import BOOTSTRAP_OID
from stackhand.project.stack.model import Service
from stackhand.system import program

Ask = Callable[..., str]
"""Runs SQL over the container's socket: the role, the statements, and the database if it is not `postgres`."""

FIRST = 16
"""The first version in which who may make roles cannot become a member of those that run programs."""
KEPT = "postgres"
"""Who has this as POSTGRES_USER asks for the superuser itself, here as on embedded."""
NAMES = (KEPT, "stackhand_superuser")
HELPER = "stackhand_separation"
"""Does it, for no session may rename its own role: a superuser becomes it, and nobody can log in as it.

Left over, it says that a separation was interrupted.
"""
SOCKET = "/var/run/postgresql"
SUPERUSERS = f"""
SELECT rolname FROM pg_catalog.pg_roles WHERE rolsuper AND (oid = {BOOTSTRAP_OID} OR rolname = current_user)
ORDER BY rolname <> current_user
"""  # noqa: S608 - nothing of anybody's
FACTS = f"""
SELECT jsonb_build_object(
    'superuser', (SELECT rolname FROM pg_roles WHERE oid = {BOOTSTRAP_OID}),
    'version', current_setting('server_version_num')::int / 10000,
    'roles', (SELECT jsonb_agg(rolname) FROM pg_roles),
    'interrupted', EXISTS (SELECT FROM pg_roles WHERE rolname = '{HELPER}' AND rolsuper),
    'databases', (SELECT coalesce(jsonb_agg(datname), '[]') FROM pg_database
        WHERE oid >= 16384 AND datallowconn AND NOT datistemplate))
"""  # noqa: S608 - nothing of anybody's
LOCKED_WITHIN = "SET lock_timeout = '10s'"
"""Another session may have a table; it works as before, then."""
RENAME = """
ALTER ROLE {user} RENAME TO {name};
ALTER ROLE {name} PASSWORD NULL;
CREATE ROLE {user} LOGIN {rights} PASSWORD {password};
UPDATE pg_db_role_setting SET setrole = (SELECT oid FROM pg_roles WHERE rolname = {literal}) WHERE setrole = {oid};
DO $$ DECLARE each name; BEGIN
    FOR each IN SELECT datname FROM pg_database WHERE datdba = {oid} AND oid >= 16384 AND NOT datistemplate LOOP
        EXECUTE format('ALTER DATABASE %I OWNER TO %I', each, {literal});
    END LOOP;
END $$;
"""
GIVE = """
CREATE TEMPORARY VIEW defaults AS
    SELECT quote_ident(nspname) AS space, kind, privilege_type, is_grantable, grantee,
        coalesce(quote_ident(rolname), 'PUBLIC') AS name
    FROM pg_default_acl LEFT JOIN pg_namespace AS n ON n.oid = defaclnamespace,
        LATERAL (SELECT CASE defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'ROUTINES'
            WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS' END) AS kinds(kind),
        LATERAL aclexplode(defaclacl) LEFT JOIN pg_roles AS r ON r.oid = grantee
    WHERE defaclrole = {oid};
DO $$ DECLARE each record; BEGIN
    FOR each IN
        WITH owned(catalog, object) AS (
            SELECT 'pg_namespace'::regclass, oid FROM pg_namespace
                WHERE nspowner = {oid} AND nspname !~ '^pg_'
            UNION ALL SELECT 'pg_class'::regclass, oid FROM pg_class
                WHERE relowner = {oid} AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND relpersistence <> 't'
            UNION ALL SELECT 'pg_type'::regclass, oid FROM pg_type
                WHERE typowner = {oid} AND typtype IN ('b', 'd', 'e', 'r', 'c')
            UNION ALL SELECT 'pg_proc'::regclass, oid FROM pg_proc -- an event trigger's stays with its trigger
                WHERE proowner = {oid} AND prorettype <> 'event_trigger'::regtype
            UNION ALL SELECT 'pg_operator'::regclass, oid FROM pg_operator WHERE oprowner = {oid}
            UNION ALL SELECT 'pg_opclass'::regclass, oid FROM pg_opclass WHERE opcowner = {oid}
            UNION ALL SELECT 'pg_opfamily'::regclass, oid FROM pg_opfamily WHERE opfowner = {oid}
            UNION ALL SELECT 'pg_collation'::regclass, oid FROM pg_collation WHERE collowner = {oid}
            UNION ALL SELECT 'pg_conversion'::regclass, oid FROM pg_conversion WHERE conowner = {oid}
            UNION ALL SELECT 'pg_ts_dict'::regclass, oid FROM pg_ts_dict WHERE dictowner = {oid}
            UNION ALL SELECT 'pg_ts_config'::regclass, oid FROM pg_ts_config WHERE cfgowner = {oid}
            UNION ALL SELECT 'pg_statistic_ext'::regclass, oid FROM pg_statistic_ext WHERE stxowner = {oid}
            UNION ALL SELECT 'pg_foreign_server'::regclass, oid FROM pg_foreign_server WHERE srvowner = {oid}
            UNION ALL SELECT 'pg_publication'::regclass, oid FROM pg_publication WHERE pubowner = {oid}
            UNION ALL SELECT 'pg_largeobject'::regclass, oid FROM pg_largeobject_metadata WHERE lomowner = {oid})
        SELECT replace(type, 'statistics object', 'statistics') AS kind, identity
        FROM owned, LATERAL pg_identify_object(catalog, object, 0)
        WHERE (object >= 16384 OR identity = 'public' OR catalog = 'pg_largeobject'::regclass)
            AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = catalog AND objid = object AND (deptype IN ('e', 'i')
                OR (deptype = 'a' AND type = 'sequence'))) -- an extension's, or follows what it belongs to
    LOOP
        BEGIN
            EXECUTE format('ALTER %s %s OWNER TO %I', each.kind, each.identity, {literal});
        EXCEPTION WHEN insufficient_privilege THEN NULL; -- none but a superuser may own it
        END;
    END LOOP;
    FOR each IN SELECT DISTINCT kind FROM pg_temp.defaults WHERE space IS NULL LOOP
        EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I REVOKE ALL ON %s FROM PUBLIC', {literal}, each.kind);
    END LOOP;
    FOR each IN SELECT * FROM pg_temp.defaults WHERE grantee <> {oid} LOOP
        EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I %s GRANT %s ON %s TO %s %s', {literal},
            'IN SCHEMA ' || each.space, each.privilege_type, each.kind, each.name,
            CASE WHEN each.is_grantable THEN 'WITH GRANT OPTION' END);
    END LOOP;
END $$;
"""
"""What the superuser made in a database becomes the new role's: what it owns is noted down nowhere else."""
LEAVE = f"""
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE (usesysid = {BOOTSTRAP_OID} OR usename = '{HELPER}')
    AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""  # noqa: S608 - nothing of anybody's
"""Who is connected as it since before would stay a superuser."""


class Facts(msgspec.Struct):
    """What a server says of itself: `superuser` is the role that initdb made, `version` the first part of it.

    `interrupted` is whether a separation was; `databases` are those that somebody has made.
    """

    superuser: str
    version: int
    roles: list[str]
    interrupted: bool
    databases: list[str]


def find(argv: Sequence[str], environment: dict[str, str], user: str) -> str:
    """Return a superuser: the role of the settings where that is one, else the one that initdb made.

    `argv` runs psql as the role of the settings, which is `user`.
    """
    result = program.run([*argv, "-XqAt", "-c", SUPERUSERS], environment=environment)
    return result.stdout.split("\n")[0] or user


def separate(service: Service, facts: Facts, ask: Ask) -> tuple[str, list[str]]:
    """Give the superuser a name of its own, and its old name to a role that owns what it owned, and is no superuser.

    Args:
        service: PostgreSQL, of a version from FIRST on.
        facts: of its server.
        ask: runs SQL in the container.

    Returns:
        The superuser's name, and a sentence on what could not be done: that works as it did before.
    """
    user, _, database = login.wanted(service)
    if (facts.superuser != user or user == KEPT) and not facts.interrupted:
        return facts.superuser, []
    name = facts.superuser
    if name == user:
        name = next((each for each in NAMES if each not in facts.roles), "")
        if not name:
            return user, [f"{user} stays a superuser, as it was: there are roles called {' and '.join(NAMES)} already"]
        try:
            ask(user, _script(service, facts, name))
        except Failure as failure:
            ask(user, f"DROP ROLE IF EXISTS {HELPER}")
            return user, [f"{user} stays a superuser, as it was: {' '.join(failure.evidence)}"]
    failed = []
    for each in facts.databases:
        if each == database and not facts.interrupted:
            continue  # it is done
        try:
            ask(name, f"BEGIN; {LOCKED_WITHIN}; {_give(user)} COMMIT", each)
        except Failure as failure:
            failed.append(f"what was made in {each} stays the superuser's: {' '.join(failure.evidence)}")
    ask(name, f"{LEAVE}; DROP ROLE IF EXISTS {HELPER}")
    return name, failed


def _script(service: Service, facts: Facts, name: str) -> str:
    """Return the script that does it, for psql: the role and all in the database of the settings in one transaction."""
    from pg8000.native import identifier, literal

    user, password, database = login.wanted(service)
    rename = RENAME.format(
        user=identifier(user),
        name=identifier(name),
        rights=login.OF_AN_OWNER,
        password=literal(password),
        literal=literal(user),
        oid=BOOTSTRAP_OID,
    )
    helper = f"{'ALTER' if facts.interrupted else 'CREATE'} ROLE {HELPER} NOLOGIN SUPERUSER;"
    where = database if database in facts.databases else "postgres"
    enter = f"{helper}\n\\connect {identifier(where)}\n{login.UNLOGGED}; SET SESSION AUTHORIZATION {HELPER};"
    return f"{enter} BEGIN; {LOCKED_WITHIN}; {rename} {_give(user)} COMMIT"


def _give(user: str) -> str:
    from pg8000.native import literal

    return f"{login.DISARM}; {GIVE.format(literal=literal(user), oid=BOOTSTRAP_OID)}"
