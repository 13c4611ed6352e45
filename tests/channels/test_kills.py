"""Deliverers killed at any step, several at once, Redis killed under them: each message once, and none is lost."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from channels.deliverer import Deliverer
from channels.file import File
from channels.running import deliver_once, keep_delivering
from features.redis_server import EmbeddedRedis
from tests.channels.conftest import At
from tests.channels.desk import EVENING, NOON, Desk, desk_at
from tests.channels.killed import STEPS, delivers
from tests.forked import forked, status_of

pytestmark = [pytest.mark.anyio, pytest.mark.chaos]
PATIENCE = 60
MANY = 12


async def killed_at(url: str, now: str, file: Path, step: str, times: int) -> bool:
    """Whether it came to that."""
    status = await status_of(forked(delivers, url, now, file, step, times))
    assert status in (0, -signal.SIGKILL)
    return status != 0


async def decided(desk: Desk, channel: str, treatment: str) -> list[str]:
    """The ids of the messages of many customers."""
    await desk.serve()
    found = []
    for number in range(MANY):
        await desk.knows(f"c-{number}")
        body = await desk.decide(channel, f"c-{number}")
        found.append(f"{body['decision_id']}/{treatment}")
    return found


async def told(desk: Desk) -> list[list[list[str]]]:
    return [await desk.responses(f"c-{number}") for number in range(MANY)]


@pytest.mark.parametrize("step", STEPS)
async def test_killed_at_a_step(at: At, url: str, tmp_path: Path, step: str) -> None:
    """At the first time, and at a later one; each time the lease of what was in hand has to run out first."""
    begin = (EVENING, "email", "news/email") if step == "held" else (NOON, "push", "tip/push")
    async with at(begin[0]) as desk:
        ids = await decided(desk, *begin[1:])
    day = begin[0][:11]
    hour = int(begin[0][11:13])
    assert await killed_at(url, f"{day}{hour}:01Z", tmp_path / "sent.jsonl", step, 1)
    assert await killed_at(url, f"{day}{hour}:03Z", tmp_path / "sent.jsonl", step, 5)
    async with at("2026-03-11T09:00Z") as desk:
        await desk.deliver()
        assert sorted(line["id"] for line in desk.written()) == sorted(ids)
        assert await told(desk) == [[["delivered"]]] * MANY
        assert await desk.left() == (0, 0)


async def test_several_at_once(at: At) -> None:
    """Two with their own ways to Redis, and to the same file: no message is in the hands of both."""
    async with at(NOON) as one:
        ids = await decided(one, "push", "tip/push")
        async with at(NOON) as other:
            files = [File(one.file), File(one.file)]
            deliverers = [one.deliverer(files[0]), other.deliverer(files[1])]
            await asyncio.gather(*map(deliver_once, deliverers))
            for file in files:
                file.close()
        assert sorted(line["id"] for line in one.written()) == sorted(ids)
        assert sum(deliverer.tally.sent for deliverer in deliverers) == MANY
        assert await told(one) == [[["delivered"]]] * MANY


async def test_a_slow_one_whose_lease_ran_out_sends_nothing_twice(at: At) -> None:
    """It stops between `sent` and `recorded`; another does the rest meanwhile; then it goes on."""
    async with at(NOON) as slow:
        (first, *_) = await decided(slow, "push", "tip/push")
        file = File(slow.file)
        deliverer = slow.deliverer(file)
        gone_on, stopped = asyncio.Event(), asyncio.Event()
        finish = deliverer._finish

        async def waits(*words: object) -> None:
            stopped.set()
            await gone_on.wait()
            await finish(*words)  # type: ignore[arg-type]

        deliverer._finish = waits  # type: ignore[method-assign,assignment]
        delivering = asyncio.create_task(deliver_once(deliverer))
        await stopped.wait()
        await slow.lease_runs_out()
        async with at(NOON) as other:
            await other.deliver()
        gone_on.set()
        await delivering
        file.close()
        written = [line["id"] for line in slow.written()]
        assert (len(written), len(set(written)), first in written) == (MANY, MANY, True)
        assert await told(slow) == [[["delivered"]]] * MANY
        assert await slow.left() == (0, 0)


async def test_redis_killed_and_back(tmp_path: Path) -> None:
    """With appendfsync always: what was acknowledged is there, and the deliverer goes on by itself."""
    path = tmp_path / "sent.jsonl"
    with EmbeddedRedis.start(tmp_path, appendfsync="always") as server:
        async with desk_at(server.url, NOON, path) as desk:
            ids = await decided(desk, "push", "tip/push")
            stop, some, said = asyncio.Event(), asyncio.Event(), asyncio.Event()
            sent = 0

            def step(name: str) -> None:
                nonlocal sent
                sent += name == "sent"
                if sent == 3:
                    os.kill(server.pid, signal.SIGKILL)
                    some.set()

            def say(text: str) -> None:
                said.set()

            file = File(path)
            deliverer: Deliverer = desk.deliverer(file, step)
            running = asyncio.create_task(keep_delivering(deliverer, stop, say, every=0.01))
            await asyncio.wait_for(some.wait(), PATIENCE)
            await asyncio.wait_for(said.wait(), PATIENCE)
            server.stop()
            with EmbeddedRedis.start(tmp_path, appendfsync="always"):
                said.clear()
                await asyncio.wait_for(said.wait(), PATIENCE)  # it says that it goes on
                stop.set()
                await running
                file.close()
                async with desk_at(server.url, "2026-03-10T11:05Z", path) as later:
                    await later.deliver()
                    assert sorted(line["id"] for line in later.written()) == sorted(ids)
                    assert await told(later) == [[["delivered"]]] * MANY
                    assert await later.left() == (0, 0)
