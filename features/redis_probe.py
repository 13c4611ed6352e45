"""A few blocking questions to a Redis on a unix socket, before there is an event loop to ask in."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import hiredis

from features.connection import pack_command
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
    reader = hiredis.Reader(replyError=reply_error)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(seconds)
            connection.connect(str(path))
            connection.sendall(pack_command(args))
            while (reply := reader.gets()) is False:
                if not (data := connection.recv(65536)):
                    raise NotConnected(f"the Redis at {path} hung up")
                reader.feed(data)
    except OSError as error:
        raise NotConnected(f"no Redis at {path}: {error}") from error
    if isinstance(reply, RedisReplyError):
        raise reply
    return reply
