#!/bin/sh
# What the genuine image's entrypoint does, as far as our tests see it: first start on an empty volume makes the cluster,
# the role and the database; root steps down.
set -eu

if [ "$(id -u)" = 0 ]; then
    chown -R postgres:postgres "$PGDATA" /var/run/postgresql
    exec setpriv --reuid=postgres --regid=postgres --clear-groups "$0" "$@"
fi
if [ "$1" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
    : "${POSTGRES_PASSWORD:?the first start needs it}"
    user=${POSTGRES_USER:-postgres}
    database=${POSTGRES_DB:-$user}
    words=/tmp/pwfile
    printf '%s\n' "$POSTGRES_PASSWORD" >"$words"
    initdb -D "$PGDATA" --username="$user" --pwfile="$words" --auth-local=trust --auth-host=scram-sha-256 -E UTF8 --no-locale >/dev/null
    rm -f "$words"
    echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
    pg_ctl -D "$PGDATA" -o "-c listen_addresses='' -k /var/run/postgresql" -w start >/dev/null
    [ "$database" = postgres ] ||
        psql -q -h /var/run/postgresql -U "$user" -d postgres -v name="$database" <<'SQL'
CREATE DATABASE :"name";
SQL
    pg_ctl -D "$PGDATA" -m fast -w stop >/dev/null
fi
if [ "$1" = postgres ]; then
    shift
    left=$# # this build has no TLS, so what asks for it is left out
    while [ "$left" -gt 0 ]; do
        case "$1 ${2:-}" in
            "-c ssl"*) shift 2; left=$((left - 2)) ;;
            *) set -- "$@" "$1"; shift; left=$((left - 1)) ;;
        esac
    done
    # its programs look for the socket in /tmp, the genuine ones where we make it
    set -- postgres -D "$PGDATA" -c "listen_addresses=*" -c unix_socket_directories=/var/run/postgresql,/tmp "$@"
fi
exec "$@"
