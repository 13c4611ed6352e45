"""What a private redis-server has on disk: a file before Redis 7, a folder of several since."""

from __future__ import annotations

import shutil
from pathlib import Path


def copy_log(data: Path, to: Path) -> None:
    """A copy of the append-only file of the server on `data`, as far as it has been written by now; anew each time."""
    log = _log(data)
    if log.is_dir():
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(log, to)
    else:
        shutil.copyfile(log, to)


def put_back(copy: Path, data: Path) -> None:
    """As if nothing had reached the disk since. The server must be down."""
    log = _log(data)
    if log.is_dir():
        shutil.rmtree(log)
        shutil.copytree(copy, log)
    else:
        shutil.copyfile(copy, log)


def _log(data: Path) -> Path:
    folder = data / "redis"
    since_7 = folder / "appendonlydir"
    return since_7 if since_7.exists() else folder / "appendonly.aof"
