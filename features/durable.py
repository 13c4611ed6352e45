"""Whether a Redis that was given to us keeps what it acknowledges. Read from INFO, as CONFIG is often forbidden."""

from __future__ import annotations

from collections.abc import Mapping

from features.redis_binary import OLDEST


def parse_info(reply: bytes) -> dict[str, str]:
    """The fields of an INFO reply, of all its sections."""
    lines = (line.partition(":") for line in reply.decode("utf-8", "replace").splitlines() if not line.startswith("#"))
    return {name: value for name, colon, value in lines if colon}


def check_durable(info: Mapping[str, str]) -> list[str]:
    """What forbids relying on this Redis, a sentence each; empty if nothing does. `info` covers all sections."""
    problems = []
    if not _at_least(info.get("redis_version", ""), OLDEST):
        problems.append(f"Redis 6.2 or newer is needed, this one says {info.get('redis_version', 'nothing')}.")
    if (role := info.get("role")) != "master":
        problems.append(f"This Redis is no primary (role:{role}): it would lose or refuse what is written to it.")
    if info.get("aof_enabled") != "1":
        problems.append("The append-only file is off: set appendonly yes, or a crash loses acknowledged decisions.")
    elif info.get("aof_last_write_status", "ok") != "ok":
        problems.append("The append-only file can't be written: see the log of this Redis.")
    if is_full(info):
        problems.append(
            "The memory of this Redis is full: raise maxmemory, or let the archiver trim what it has written."
        )
    if (policy := info.get("maxmemory_policy")) != "noeviction":
        problems.append(f"maxmemory-policy is {policy}: set noeviction, or full memory would evict consents and caps.")
    return problems


def is_full(info: Mapping[str, str], share: float = 1.0) -> bool:
    """Whether what Redis uses has reached this share of what it may; never where it has no bound."""
    used, most = (int(info.get(name, "0")) for name in ("used_memory", "maxmemory"))
    return most > 0 and used >= share * most


def _at_least(version: str, oldest: tuple[int, int]) -> bool:
    numbers = version.split(".")[:2]
    return all(number.isdigit() for number in numbers) and tuple(map(int, numbers)) >= oldest
