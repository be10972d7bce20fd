"""Flask's peer of the service: psycopg's pool and redis-py, asked at each request."""

from __future__ import annotations

import os
from collections.abc import Callable

from flask import Flask
from psycopg_pool import ConnectionPool
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

TIMEOUT = 1.0

app = Flask(__name__)
pool = ConnectionPool(
    os.environ["DATABASE_URL"],
    min_size=1,
    max_size=5,
    timeout=TIMEOUT,
    check=ConnectionPool.check_connection,
    kwargs={"connect_timeout": 2, "options": "-c statement_timeout=1000"},  # libpq's least is 2
    open=True,
)
cache = Redis.from_url(
    os.environ["REDIS_URL"], socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, retry=Retry(NoBackoff(), 0)
)


@app.get("/health")
def health() -> dict[str, str]:
    """Say that this process is alive."""
    return {"status": "pass"}


@app.get("/health/all")
def health_all() -> tuple[dict[str, str], int]:
    """Ask both dependencies, one after the other."""
    database, redis = works(ask_database), works(cache.ping)
    return {
        "status": "fail" if not database else "pass" if redis else "warn",
        "db": "pass" if database else "fail",
        "cache": "pass" if redis else "fail",
    }, 200 if database else 503


def ask_database() -> None:
    """Have PostgreSQL answer once."""
    with pool.connection() as connection:
        connection.execute("SELECT 1")


def works(question: Callable[[], object]) -> bool:
    """Whether a dependency answers."""
    try:
        question()
    except Exception:
        return False
    return True
