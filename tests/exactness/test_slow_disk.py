"""A disk that does not keep up, and then the end of redis-server: what each tier of durability promises, and no more.

The disk is slow by slow_fsync.c, which is preloaded into redis-server and makes fsync wait as long as a file is there.
"""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from decision.deciding import Answer
from decision.engine import Engine
from decision.request import NextActionRequest
from features.redis_server import EmbeddedRedis
from tests.exactness.catalogs import EMAIL, IN_APP, at_most, plan_of, write_catalog
from tests.exactness.engines import engine_at, settled
from tests.exactness.messages import PATIENCE, Change, Told
from tests.exactness.test_limits import KNOWN, WHO
from tests.exactness.truth import check_acknowledged, check_consistent, read_from

pytestmark = [pytest.mark.anyio, pytest.mark.chaos]

SOURCE = Path(__file__).with_name("slow_fsync.c")
COMPILER = shutil.which("cc") or shutil.which("gcc")
ROUNDS, AT_ONCE = 3, 10
HURRIED = 0.3
NO = Change(customer_id=WHO, consents={"marketing": False}, at=2)


@dataclass(frozen=True)
class Disk:
    """`marker` is the file that makes it slow; the server writes to it when it begins to wait."""

    marker: Path

    def stall(self) -> None:
        self.marker.touch()

    async def is_waited_for(self) -> None:
        await asyncio.to_thread(self._look)

    def _look(self) -> None:
        while not self.marker.stat().st_size:
            pass

    def go_on(self) -> None:
        self.marker.unlink()


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """For servers that the test starts."""
    if COMPILER is None:
        pytest.skip("there is no C compiler to make the slow disk with")
    library = tmp_path / "slow_fsync.so"
    subprocess.run([COMPILER, "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], check=True)
    disk = Disk(tmp_path / "stalled")
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("SLOW_FSYNC", str(disk.marker))
    yield disk
    disk.marker.unlink(missing_ok=True)


def requests(begin: int, count: int = AT_ONCE) -> list[NextActionRequest]:
    channels = (EMAIL, IN_APP)
    return [
        NextActionRequest(WHO, channels=[channels[number % 2]], request_id=f"r-{number}")
        for number in range(begin, begin + count)
    ]


async def ask(engine: Engine, asked: Sequence[NextActionRequest], seconds: float = PATIENCE) -> list[Told]:
    answers = await asyncio.gather(*(engine.next_action(request, "key", seconds) for request in asked))
    return [told(answer) for answer in answers]


def told(answer: Answer) -> Told:
    degraded = [why.value for why in answer.degraded]
    return Told(answer.body.decode(), answer.status, answer.reason, degraded, answer.lost, answer.repeated)


def kill(server: EmbeddedRedis) -> None:
    os.kill(server.pid, signal.SIGKILL)
    server.stop()


async def test_always_acknowledges_nothing_that_is_not_on_disk(disk: Disk, tmp_path: Path) -> None:
    """Each round the disk stalls while there are requests under way; in the last one the server is killed then."""
    plan = plan_of(write_catalog(tmp_path, at_most(1000)))
    data = tmp_path / "data"
    server = EmbeddedRedis.start(data, appendfsync="always")
    heard: list[Told] = []
    try:
        async with engine_at(server.url, plan) as engine:
            await settled(engine.store, KNOWN)
            for number in range(ROUNDS):
                heard += await ask(engine, requests(2 * number * AT_ONCE))
                disk.stall()
                waiting = asyncio.create_task(ask(engine, requests((2 * number + 1) * AT_ONCE)))
                await disk.is_waited_for()
                hurried = await ask(engine, requests(1_000 + number, 1), HURRIED)
                assert not waiting.done()
                assert [each.degraded[0] for each in hurried] == ["deadline"]
                if number == ROUNDS - 1:
                    withdrawing = asyncio.create_task(settled(engine.store, NO))
                    await asyncio.sleep(0)
                    kill(server)
                    await asyncio.gather(withdrawing, return_exceptions=True)
                    assert withdrawing.exception() is not None, "it was not acknowledged"
                else:
                    disk.go_on()
                heard += await waiting
    finally:
        server.stop()
    disk.go_on()
    with EmbeddedRedis.start(data, appendfsync="always") as server:
        async with engine_at(server.url, plan) as engine:
            check_acknowledged(await read_from(engine.store, WHO), heard)
            again = await ask(engine, requests(0, 2 * ROUNDS * AT_ONCE))
            check_consistent(await read_from(engine.store, WHO))
        acknowledged = {each.body for each in heard if not each.degraded}
        assert acknowledged <= {each.body for each in again}
        assert len(acknowledged) >= (2 * ROUNDS - 1) * AT_ONCE


async def test_everysec_loses_nothing_of_before_the_disk_fell_behind(
    disk: Disk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is acknowledged while it is behind may be lost: Redis waits up to two seconds before it even writes it."""
    plan = plan_of(write_catalog(tmp_path, at_most(1000)))
    data = tmp_path / "data"
    server = EmbeddedRedis.start(data, appendfsync="everysec")
    try:
        async with engine_at(server.url, plan) as engine:
            await settled(engine.store, KNOWN)
            disk.stall()
            before = await ask(engine, requests(0))
            await disk.is_waited_for()
            behind = await ask(engine, requests(AT_ONCE))
            kill(server)
    finally:
        server.stop()
    disk.go_on()
    with EmbeddedRedis.start(data, appendfsync="everysec") as server:
        assert not any(each.degraded for each in before + behind), "all of it was acknowledged"
        async with engine_at(server.url, plan) as engine:
            kept = await read_from(engine.store, WHO)
            check_acknowledged(kept, before)
            check_consistent(kept)
            lost = [each for each in behind if each.body.encode() not in kept.answers.values()]
            again = await ask(engine, requests(AT_ONCE))
        assert len(again) - len([each for each in again if each.repeated]) == len(lost), "what is lost is decided anew"
    with capsys.disabled():
        print(f"\n  everysec, its disk behind, killed: {len(lost)} of {len(behind)} acknowledged since were lost")
