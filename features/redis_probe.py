"""A few blocking questions to a Redis on a unix socket, before there is an event loop to ask in.

By a socket and hiredis's parser: to import redis-py takes longer than all else that a short command asks of Redis.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import hiredis

from features.durable import parse_info
from features.errors import NotConnected, RedisReplyError, RedisServerError, reply_error

_NOTHING = object()
_AT_A_TIME = 65_536


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
    try:
        with socket.socket(socket.AF_UNIX) as connected:
            connected.settimeout(seconds)
            connected.connect(str(path))
            connected.sendall(hiredis.pack_command(args))  # type: ignore[arg-type]  # its own types allow one word only
            reply = _reply(connected)
    except (OSError, hiredis.HiredisError) as error:
        raise NotConnected(f"no Redis at {path}: {error or type(error).__name__}") from error
    if isinstance(reply, RedisReplyError):
        raise reply
    return reply


def _reply(connected: socket.socket) -> Any:
    reader = hiredis.Reader(replyError=reply_error, notEnoughData=_NOTHING)
    while (reply := reader.gets()) is _NOTHING:
        received = connected.recv(_AT_A_TIME)
        if not received:
            raise ConnectionResetError("the connection was closed")
        reader.feed(received)
    return reply
