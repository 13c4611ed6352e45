"""Processes are killed in the midst of a race. What was acknowledged is there afterwards, and limits hold exactly.

Every request has an id, and who got no answer asks again: what was committed without anybody having been told, is then
told. The worker that dies needs nothing of Redis; redis-server itself writes to disk before it answers, as
`appendfsync always` has it.
"""

import itertools
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from features.redis_server import EmbeddedRedis
from tests.exactness.catalogs import EMAIL, IN_APP, at_most, write_catalog
from tests.exactness.crew import IN_PIPE, UNREAD, Crew
from tests.exactness.messages import Hammer, Heard, Open, Told
from tests.exactness.test_limits import KNOWN, WHO
from tests.exactness.truth import Truth, check_acknowledged, check_consistent, grants, read

pytestmark = pytest.mark.chaos

LIMIT = 150
TIMES = 700
HEARD = 60
BY_TURNS = [
    {"customer_id": WHO, "channels": [channel], "request_id": f"r-{number}"}
    for number, channel in zip(range(TIMES), itertools.cycle((EMAIL, IN_APP)), strict=False)
]
HAMMER = Hammer(requests=BY_TURNS, times=TIMES)


def test_a_kill_comes_in_the_midst() -> None:
    """However slowly the test listens, a worker can't have finished when the first answers have been heard."""
    assert HEARD + UNREAD + IN_PIPE < TIMES


def test_a_worker_is_killed(url: str, tmp_path: Path) -> None:
    with Crew.of(2) as crew:
        victim, survivor = crew.workers
        under_way = begin(crew, url, tmp_path)
        told = take(under_way[0], HEARD)
        victim.kill()
        told += map(expect, itertools.chain(*under_way))
        assert len(told) < 2 * TIMES
        told += map(expect, survivor.run(HAMMER))
    assert not any(answer.degraded for answer in told)
    check(read(url, WHO), told)


def test_redis_is_killed(crew: Crew, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two = crew.first(2)
    data = tmp_path / "data"
    with EmbeddedRedis.start(data, appendfsync="always") as server:
        under_way = begin(two, server.url, tmp_path)
        told = [answer for reports in under_way for answer in take(reports, HEARD)]
        os.kill(server.pid, signal.SIGKILL)
        told += [answer for reports in under_way for answer in until_degraded(reports)]
    with EmbeddedRedis.start(data, appendfsync="always") as server:
        told += map(expect, itertools.chain(*under_way))
        check_acknowledged(read(server.url, WHO), told)
        again = two.told(HAMMER)
        assert not any(answer.degraded for answer in again)
        check(read(server.url, WHO), told + again)
    with capsys.disabled():
        print(f"\n  redis-server killed: {sum(bool(answer.degraded) for answer in told)} of {len(told)} were degraded")


def take(reports: Iterator[Heard], count: int) -> list[Told]:
    return [expect(report) for report in itertools.islice(reports, count)]


def until_degraded(reports: Iterator[Heard]) -> Iterator[Told]:
    """All up to the first answer that was given without Redis."""
    for report in reports:
        yield (answer := expect(report))
        if answer.degraded:
            return
    raise AssertionError("the worker never noticed that Redis was gone")


def expect(report: Heard) -> Told:
    assert isinstance(report, Told)
    return report


def begin(crew: Crew, url: str, directory: Path) -> list[Iterator[Heard]]:
    """All workers have begun to send the same requests."""
    crew.run(Open(url=url, catalog=str(write_catalog(directory, at_most(LIMIT)))))
    crew.workers[0].run(KNOWN)
    for worker in crew.workers:
        worker.send(HAMMER)
    return [worker.reports() for worker in crew.workers]


def check(truth: Truth, told: list[Told]) -> None:
    """By now every request has its answer: the limit is reached, and by one decision a request."""
    check_acknowledged(truth, told)
    check_consistent(truth)
    assert truth.granted.total() == LIMIT
    assert set(truth.asked) == {f"r-{number}" for number in range(TIMES)}
    assert set(truth.asked.values()) == {1}
    granted = grants({answer.body.encode() for answer in told if not answer.degraded})
    assert granted == truth.granted, "whoever asked again knows of every contact"
