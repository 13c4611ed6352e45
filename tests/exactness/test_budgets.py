"""A budget over all customers is spent to the last one and never overshot, whoever races for it and whoever dies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from decision.record import Record, read_record
from features.accounts import SCRIPT
from features.budgets import Budgets
from features.deadline import Deadline
from features.opening import open_store
from features.store import CustomerStore
from tests.exactness.catalogs import IN_APP, NO_POLICY, plan_of, write_catalog
from tests.exactness.crew import Crew
from tests.exactness.messages import PATIENCE, Hammer, Open, Told
from tests.exactness.truth import grants

pytestmark = pytest.mark.chaos

T = TypeVar("T")
CUSTOMERS = 200
DEFECT = SCRIPT.replace(b"if number('number') < tonumber(transfer) then", b"if true then").decode()


def requests(ids: bool = False) -> list[dict[str, object]]:
    """For many customers, so that all partitions are asked, in an order that goes over them."""
    asks: list[dict[str, object]] = [
        {"customer_id": f"c-{number}", "channels": [IN_APP]} for number in range(CUSTOMERS)
    ]
    return [ask | {"request_id": str(ask["customer_id"])} for ask in asks] if ids else asks


def catalog(folder: Path, limit: int, window: str = "lifetime: true") -> Path:
    budgets = f"  banners: {{limit: {limit}, {window}, scope: {{channel: {IN_APP}}}}}"
    return write_catalog(folder, f"{NO_POLICY}\nbudgets:\n{budgets}", inbound_purpose=None)


def read(url: str, file: Path) -> tuple[list[Record], int]:
    """Every record there is, and what is left of the budget."""

    async def reading(store: CustomerStore) -> tuple[list[Record], int]:
        layout, link = store.ledger.layout, store.ledger.link
        streams = [layout.decisions(partition) for partition in range(layout.partitions)]
        entries = [entry for each in streams for entry in await link.ask("XRANGE", each, "-", "+", within=PATIENCE)]
        (budget,) = plan_of(file).budgets
        _, now = await store.ledger.load("nobody", PATIENCE)
        left = await Budgets(link, layout).left(budget, now, Deadline(PATIENCE))
        return [read_record(fields[-1]) for _, fields in entries], left

    return asyncio.run(_with_store(url, reading))


async def nothing(store: CustomerStore) -> None:
    """Only opens it."""


async def _with_store(url: str, ask: Callable[[CustomerStore], Awaitable[T]], now: str | None = None) -> T:
    store = await open_store(url, now=now)
    try:
        return await ask(store)
    finally:
        await store.ledger.link.close()


def granted(records: list[Record]) -> int:
    return grants(record.answer for record in records).total()


def check(url: str, file: Path, told: list[Told], limit: int) -> None:
    """Spent to the last one, not one more, and everybody knows what they got."""
    records, left = read(url, file)
    assert granted(records) == limit, f"{granted(records)} granted of a budget of {limit}"
    assert left == 0
    answers = {record.answer for record in records}
    assert {answer.body.encode() for answer in told if not answer.degraded} <= answers
    assert [answer.degraded for answer in told if answer.degraded] == []
    assert {answer.reason for answer in told} == {"ranked", "budget"}


@pytest.mark.parametrize(("limit", "window"), [(100, "calendar: day"), (1000, "lifetime: true")])
def test_four_workers(
    crew: Crew, url: str, tmp_path: Path, limit: int, window: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = catalog(tmp_path, limit, window)
    asyncio.run(_with_store(url, nothing, now="2018-03-10T12:00"))  # no day ends while the test is under way
    crew.run(Open(url=url, catalog=str(file)))
    told = crew.told(Hammer(requests=requests(), times=limit // 2))
    with capsys.disabled():
        print(f"\n  budget of {limit}: {len(told)} answers, {sum(answer.lost for answer in told)} version conflicts")
    check(url, file, told, limit)
    assert grants(answer.body.encode() for answer in told).total() == limit


def test_the_same_requests_by_all_count_once(crew: Crew, url: str, tmp_path: Path) -> None:
    """What a request id was granted is told again to whoever sends it, and not taken again."""
    file = catalog(tmp_path, CUSTOMERS - 50)
    crew.run(Open(url=url, catalog=str(file)))
    told = crew.told(Hammer(requests=requests(ids=True), times=2 * CUSTOMERS))
    check(url, file, told, CUSTOMERS - 50)
    assert len({answer.body for answer in told}) == CUSTOMERS
    assert sum(answer.repeated for answer in told) == 7 * CUSTOMERS


STEPS = [("give", 3), ("credit", 3), ("withdraw", 2), ("take_back", 2)]


@pytest.mark.parametrize(("step", "times"), STEPS, ids=[step for step, _ in STEPS])
def test_a_worker_is_killed_in_the_midst_of_a_transfer(
    crew: Crew, url: str, tmp_path: Path, step: str, times: int
) -> None:
    """The others go on, and have all that is left. Of 40 units a few are with every partition when the last go."""
    limit = 40
    file = catalog(tmp_path, limit)
    with Crew.of(1) as doomed:
        (victim,), survivor = doomed.workers, crew.workers[0]
        survivor.run(Open(url=url, catalog=str(file)))
        victim.run(Open(url=url, catalog=str(file), dies_after=(step, times)))
        spread(url, file, limit if step in ("withdraw", "take_back") else 0)
        victim.may_die()
        victim.send(Hammer(requests=requests(), times=CUSTOMERS))
        told = [report for report in victim.reports() if isinstance(report, Told)]
        before, left = read(url, file)
        assert granted(before) + left == limit, "what was on its way is not lost"
        assert left > 0, "it died before the end"
        assert granted(before) >= grants(answer.body.encode() for answer in told).total()
        told += Crew([survivor]).told(Hammer(requests=requests(), times=2 * limit))
    check(url, file, told, limit)


def spread(url: str, file: Path, units: int) -> None:
    """Every unit is with some partition already, so that whoever needs one makes others bring theirs back."""

    async def spreading(store: CustomerStore) -> None:
        (budget,) = plan_of(file).budgets
        _, now = await store.ledger.load("nobody", PATIENCE)
        budgets = Budgets(store.ledger.link, store.ledger.layout)
        for number in range(units // 4):
            await budgets.obtain(budget, now, number, 4, Deadline(PATIENCE))

    asyncio.run(_with_store(url, spreading))


def test_a_credit_that_counts_twice_is_caught(crew: Crew, url: str, tmp_path: Path) -> None:
    """The seeded defect: the worker that comes after the one that died credits what was credited."""
    limit = 40
    file = catalog(tmp_path, limit)
    with Crew.of(1) as doomed:
        (victim,), survivor = doomed.workers, crew.workers[0]
        survivor.run(Open(url=url, catalog=str(file), budgets_script=DEFECT))
        victim.run(Open(url=url, catalog=str(file), dies_after=("credit", 1)))
        victim.may_die()
        victim.send(Hammer(requests=requests(), times=1, tasks=1))
        assert list(victim.reports()) == []
        told = Crew([survivor]).told(Hammer(requests=requests(), times=100, tasks=1))
    with pytest.raises(AssertionError, match="41 granted of a budget of 40"):
        check(url, file, told, limit)
