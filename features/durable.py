"""Whether a Redis that was given to us can be used, and keeps what it acknowledges.

Read from INFO alone, as CONFIG is often forbidden.
"""

from __future__ import annotations

from collections.abc import Mapping

from features.errors import ReadOnly, UnfitRedis
from features.redis_binary import OLDEST

CLUSTER = (
    "This Redis is a node of a cluster (cluster_enabled:1): Tino talks to one primary, and what it writes would lie on "
    "several. Give it a Redis that is not clustered."
)


def parse_info(reply: bytes) -> dict[str, str]:
    """The fields of an INFO reply, of all its sections."""
    lines = (line.partition(":") for line in reply.decode("utf-8", "replace").splitlines() if not line.startswith("#"))
    return {name: value for name, colon, value in lines if colon}


def refuse_unfit(info: Mapping[str, str]) -> None:
    """Raises UnfitRedis, or ReadOnly, where nothing can be written that would be right. `info` covers all sections."""
    if info.get("cluster_enabled") == "1":
        raise UnfitRedis(CLUSTER)
    if too_old := _too_old(info):
        raise UnfitRedis(too_old)
    if info.get("role") == "slave":
        primary = f"{info.get('master_host')}:{info.get('master_port')}"
        raise ReadOnly(f"READONLY this Redis is a replica of {primary}: give Tino the primary")


def check_durable(info: Mapping[str, str]) -> list[str]:
    """What forbids relying on this Redis, a sentence each; empty if nothing does. `info` covers all sections."""
    problems = []
    if too_old := _too_old(info):
        problems.append(too_old)
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
        found = f"is {policy}" if policy else "is not told by INFO"
        problems.append(f"maxmemory-policy {found}: set noeviction, or full memory would evict consents and caps.")
    return problems


def is_full(info: Mapping[str, str], share: float = 1.0) -> bool:
    """Whether what Redis uses has reached this share of what it may; never where it has no bound."""
    used, most = (int(info.get(name, "0")) for name in ("used_memory", "maxmemory"))
    return most > 0 and used >= share * most


def _too_old(info: Mapping[str, str]) -> str:
    version = info.get("redis_version", "")
    return "" if _at_least(version, OLDEST) else f"Redis 6.2 or newer is needed, this one says {version or 'nothing'}."


def _at_least(version: str, oldest: tuple[int, int]) -> bool:
    numbers = version.split(".")[:2]
    return all(number.isdigit() for number in numbers) and tuple(map(int, numbers)) >= oldest
