"""FastAPI's peer of the service: asyncpg's pool and redis.asyncio, asked at each request."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from fastapi import FastAPI, Request, Response
from redis import asyncio as redis

TIMEOUT = 1.0


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Hold the connections for as long as the application runs."""
    async with (
        asyncpg.create_pool(
            os.environ["DATABASE_URL"], min_size=1, max_size=5, timeout=TIMEOUT, command_timeout=TIMEOUT
        ) as pool,
        redis.from_url(
            os.environ["REDIS_URL"], socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, max_connections=5
        ) as cache,
    ):
        app.state.pool, app.state.cache = pool, cache
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/health")
async def health() -> dict[str, str]:
    """Say that this process is alive."""
    return {"status": "pass"}


@app.get("/health/all")
async def health_all(request: Request, response: Response) -> dict[str, str]:
    """Ask both dependencies at once."""
    state = request.app.state
    database, cache = await asyncio.gather(works(state.pool.fetchval("SELECT 1")), works(state.cache.ping()))
    if not database:
        response.status_code = 503
    return {
        "status": "fail" if not database else "pass" if cache else "warn",
        "db": "pass" if database else "fail",
        "cache": "pass" if cache else "fail",
    }


async def works(question: Awaitable[Any]) -> bool:
    """Whether a dependency answers in time."""
    try:
        async with asyncio.timeout(TIMEOUT):
            await question
    except Exception:
        return False
    return True
