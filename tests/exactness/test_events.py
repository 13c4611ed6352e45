"""An event that one worker has acknowledged is in the very next decision of every other, and is never lost."""

import asyncio
import itertools
import json
from collections import Counter
from pathlib import Path

import pytest

from catalog.building import load_plan
from catalog.plan import Plan
from features.aggregates import values_at
from features.deadline import Deadline
from features.events import unpack_events
from features.opening import open_store
from tests.exactness.crew import Crew
from tests.exactness.messages import PATIENCE, Hammer, Open, Stored, Take, Told

TIMES = 10_000
EVENTS, CUSTOMERS, KILLS = 3_000, 5, 6
CATALOG = """\
catalog: 1
name: events
events: {view: {}}
aggregates:
  views: {count: view}
  views_7d: {count: view, window: 7d, tile: 1d}
channels: {web: {direction: inbound, placements: [top]}}
actions: {hello: {value: 1, treatments: {web: {views: "{{ customer.views }}", lately: "{{ customer.views_7d }}"}}}}
"""


def view(number: int, customers: int = 1) -> dict[str, str]:
    return {"id": f"e-{number}", "customer_id": f"c-{1 + number % customers}", "type": "view"}


def test_ten_thousand_times(crew: Crew, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "catalog.yaml"
    file.write_text(CATALOG)
    workers = crew.workers[:2]
    crew.first(2).run(Open(url=url, catalog=str(file)))
    ask = Hammer(requests=[{"customer_id": "c-1"}], times=1, tasks=1)
    seen = lost = 0
    for number in range(1, TIMES + 1):
        taker, decider = workers[number % 2], workers[1 - number % 2]
        assert taker.run(Take(events=[view(number)])) == [Stored([f"e-{number}"], 1, 0)]
        (answer,) = decider.run(ask)
        assert isinstance(answer, Told)
        assert not answer.degraded
        content = json.loads(answer.body)["actions"][0]["content"]
        assert content == {"views": str(number), "lately": str(number)}
        seen += 1
        lost += answer.lost
    with capsys.disabled():
        print(
            f"\n  {seen:,} of {TIMES:,} events were in the next decision of the other worker, {lost:,} by a second try"
        )
    assert lost > TIMES // 2, "the caches were warm: decisions were first made on the state before"


@pytest.mark.chaos
def test_workers_are_killed_and_every_event_counts_once(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two workers are sent the same events at the same time; one after the other is killed, and what it was sent is
    sent again to the next.
    """
    file = tmp_path / "catalog.yaml"
    file.write_text(CATALOG)
    events = [view(number, CUSTOMERS) for number in range(EVENTS)]
    acknowledged: set[str] = set()
    new = known = 0
    for kill in range(KILLS):
        with Crew.of(2) as crew:
            crew.run(Open(url=url, catalog=str(file)))
            for worker, order in zip(crew.workers, (1, -1), strict=True):
                worker.send(Take(events=events[::order], size=7, tasks=4))
            victim, survivor = crew.workers[kill % 2], crew.workers[1 - kill % 2]
            heard = list(itertools.islice(victim.reports(), 20))
            victim.kill()
            for report in itertools.chain(heard, victim.reports(), survivor.reports() if kill == KILLS - 1 else ()):
                assert isinstance(report, Stored)
                acknowledged.update(report.ids)
                new, known = new + report.new, known + report.known
            if kill < KILLS - 1:
                survivor.kill()
    assert acknowledged == {event["id"] for event in events}
    counted, logged = asyncio.run(kept(url, load_plan(file)))
    assert logged == {event["id"]: 1 for event in events}
    assert counted == EVENTS
    assert new <= EVENTS
    with capsys.disabled():
        print(
            f"\n  {2 * KILLS - 1} workers killed: {new:,} of {EVENTS:,} events told as new, {known:,} as known before"
        )


async def kept(url: str, plan: Plan) -> tuple[int, Counter[str]]:
    """What the aggregates say, and how often each event is in the log."""
    store = await open_store(url)
    link, layout = store.ledger.link, store.ledger.layout
    counted, logged = 0, Counter[str]()
    for number in range(1, CUSTOMERS + 1):
        customer = (await store.snapshot(f"c-{number}", Deadline(PATIENCE), fresh=True)).customer
        counted += values_at(plan.aggregates, customer.series, store.clock.now()).by_name["views_7d"]
    for partition in range(layout.partitions):
        entries = await store.ledger.link.ask(
            "XRANGE", store.ledger.layout.events(partition), "-", "+", within=PATIENCE
        )
        logged.update(event.id for _, (*_, packed) in entries for event in unpack_events(packed))
    await link.close()
    return counted, logged
