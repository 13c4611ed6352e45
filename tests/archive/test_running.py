"""An archiver that keeps on, and one beside the service that ends with it."""

import asyncio
import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from archive import beside
from archive.beside import Beside, Task
from archive.drain import Drained, Terms
from archive.running import Place, keep_archiving, told
from features.redis_server import EmbeddedRedis
from tests.archive.streams import AT_ONCE, KEEPING, NOON, Streams, all_of, archived, together

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]
PATIENCE = 60


async def test_it_archives_turn_after_turn_until_it_is_stopped(place: Place, streams: Streams) -> None:
    said: asyncio.Queue[str] = asyncio.Queue()
    stop = asyncio.Event()
    put = await streams.fill(3)
    keeping = asyncio.create_task(keep_archiving(place, KEEPING, 0.01, said.put_nowait, stop))
    assert await said.get() == "archived 3 records in 1 file, trimmed 0 from Redis"
    put |= await streams.fill(2, NOON + 1_000_000)
    while len(archived(place.data)) < 5:
        await said.get()
    stop.set()
    await asyncio.wait_for(keeping, PATIENCE)
    assert archived(place.data) == all_of(put)


async def test_what_fails_is_said_and_tried_again(place: Place, streams: Streams) -> None:
    said: asyncio.Queue[str] = asyncio.Queue()
    stop = asyncio.Event()
    (place.data / "archive").write_text("in the way")
    await streams.fill(3)
    keeping = asyncio.create_task(keep_archiving(place, KEEPING, 0.01, said.put_nowait, stop))
    assert "archiving failed, and is tried again" in await said.get()
    (place.data / "archive").unlink()
    while "archived 3 records" not in await said.get():
        pass
    stop.set()
    await asyncio.wait_for(keeping, PATIENCE)


async def test_a_redis_that_is_away_is_said(tmp_path: Path) -> None:
    said: asyncio.Queue[str] = asyncio.Queue()
    stop = asyncio.Event()
    nowhere = Place(f"unix://{tmp_path}/nowhere", tmp_path)
    keeping = asyncio.create_task(keep_archiving(nowhere, AT_ONCE, 0.01, said.put_nowait, stop))
    assert "no connection to Redis" in await said.get()
    stop.set()
    await asyncio.wait_for(keeping, PATIENCE)


async def test_beside_the_service(server: EmbeddedRedis, place: Place, streams: Streams) -> None:
    put = await streams.fill(20)
    with Beside(Task(place, KEEPING, every=0.01), pytest.fail) as archiver:
        await until_archived(place, 20)
        more = await streams.fill(20, NOON + 1_000_000)
        await until_archived(place, 40)
        pid = archiver.pid
    assert not alive(pid)
    assert archived(place.data) == all_of(together(put, more))


@pytest.mark.chaos
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_one_that_is_killed_is_started_again(
    place: Place, streams: Streams, monkeypatch: pytest.MonkeyPatch, how: signal.Signals
) -> None:
    monkeypatch.setattr(beside, "RESTART_PAUSE", 0.01)
    monkeypatch.setattr(beside, "OWN_SIGNAL_WITHIN", 0.01)
    said: queue.Queue[str] = queue.Queue()
    await streams.fill(5)
    with Beside(Task(place, KEEPING, every=0.01), said.put) as archiver:
        await until_archived(place, 5)
        os.kill(archiver.pid, how)
        assert "is started again" in await asyncio.to_thread(said.get, timeout=PATIENCE)
        await streams.fill(5, NOON + 1_000_000)
        await until_archived(place, 10)


@pytest.mark.chaos
@pytest.mark.parametrize("told_first", [True, False], ids=["we have our signal", "ours is still to come"])
async def test_a_signal_that_ends_all_starts_none_again(
    place: Place, monkeypatch: pytest.MonkeyPatch, *, told_first: bool
) -> None:
    monkeypatch.setattr(beside, "OWN_SIGNAL_WITHIN", 0 if told_first else PATIENCE)
    monkeypatch.setattr(beside, "RESTART_PAUSE", 0)
    said: list[str] = []
    with Beside(Task(place, KEEPING), said.append) as archiver:
        if told_first:
            archiver.let_end()
        pid = archiver.pid
        os.kill(pid, signal.SIGTERM)
        await until(lambda: not Path(f"/proc/{pid}").exists())  # it has been seen to end
        await until(lambda: not (told_first and archiver.watched))
    assert said == []


@pytest.mark.chaos
async def test_it_ends_when_who_started_it_is_killed(place: Place, streams: Streams) -> None:
    await streams.fill(5)
    code = f"""
from archive.beside import Beside, Task
from archive.drain import Terms
from archive.running import Place
from pathlib import Path
import time
print(Beside(Task(Place({place.url!r}, Path({str(place.data)!r})), Terms(-60_000), 0.01), print).pid, flush=True)
time.sleep({PATIENCE})
"""
    starter = await asyncio.create_subprocess_exec(sys.executable, "-c", code, cwd=ROOT, stdout=subprocess.PIPE)
    assert starter.stdout is not None
    pid = int(await starter.stdout.readline())
    await until_archived(place, 5)
    starter.kill()
    await starter.wait()
    await until(lambda: not alive(pid))


def test_what_is_told() -> None:
    drained = Drained(records=1200, quarantined=2, files=3, trimmed=1000, days_removed=1)
    assert told(drained) == (
        "archived 1,200 records in 3 files, trimmed 1,000 from Redis; 2 could not be read and lie in quarantine; "
        "removed 1 day past retention"
    )
    assert Terms().keep_ms > 24 * 3_600_000  # request ids are kept that long


async def until_archived(place: Place, count: int) -> None:
    await until(lambda: len(archived(place.data)) >= count)


async def until(true: Callable[[], bool]) -> None:
    """Of what another process does, there is nothing to await."""

    def look() -> None:
        end = time.monotonic() + PATIENCE
        while not true():
            assert time.monotonic() < end
            time.sleep(0.01)

    await asyncio.to_thread(look)


def alive(pid: int) -> bool:
    """Not one that has ended and is still to be waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
