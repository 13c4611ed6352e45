"""A few blocking questions to a Redis on a unix socket, before there is an event loop to ask in; by redis-py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from features.durable import parse_info
from features.errors import NotConnected, RedisReplyError, RedisServerError, reply_error


def answers(path: Path) -> bool:
    """Whether a server is there, be it still loading."""
    try:
        ask(path, "PING")
    except RedisReplyError:
        return True
    except NotConnected:
        return False
    return True


def ready(path: Path) -> bool:
    """Whether a server is there and has read its data."""
    try:
        return bool(ask(path, "PING") == b"PONG")
    except (RedisReplyError, NotConnected):
        return False


def pid(path: Path) -> int:
    try:
        return int(parse_info(ask(path, "INFO", "server"))["process_id"])
    except (RedisReplyError, KeyError) as error:
        raise RedisServerError(f"the Redis at {path} does not say its process id") from error


def ask(path: Path, *args: str, seconds: float = 5.0) -> Any:
    """The reply as Redis gave it. Raises NotConnected, RedisReplyError."""
    client = redis.Redis(
        unix_socket_path=str(path), socket_timeout=seconds, protocol=2, retry=Retry(NoBackoff(), 0), driver_info=None
    )
    client.response_callbacks.clear()
    try:
        with client:
            return client.execute_command(*args)  # type: ignore[no-untyped-call]
    except (redis.BusyLoadingError, redis.ResponseError) as error:
        raise reply_error(str(error)) from error
    except redis.RedisError as error:
        raise NotConnected(f"no Redis at {path}: {error}") from error
