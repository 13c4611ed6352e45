"""Windows that move while workers race: each decision in the stream is held against a count of its own."""

import asyncio
from bisect import bisect_right
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from decision.engine import Engine
from decision.reasons import Reason, Status
from decision.request import NextActionRequest
from features.clock import ServerClock
from features.customer import Contact, Customer, with_contacts
from features.ledger import SCRIPT, Ledger
from features.opening import open_store
from tests.exactness.catalogs import EMAIL, at_most, plan_of, write_catalog
from tests.exactness.crew import Crew
from tests.exactness.engines import engine_at, patience, settled
from tests.exactness.messages import PATIENCE, Hammer, Open
from tests.exactness.test_limits import BY_TURNS, KNOWN, WHO, warm
from tests.exactness.truth import check_acknowledged, conflicts, read

LIMIT = 150
WINDOW_US = 30 * 24 * 3600 * 1_000_000
APART_US = 3_000
MONTH_NS = 31 * 24 * 3600 * 1_000_000_000
BEFORE = "b" * 32


def test_no_contact_too_many_or_too_few_while_old_ones_leave_the_window(
    crew: Crew, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The limit is used up by contacts of a month ago, of which one leaves the window every 3 ms from now on.

    In the order of the commits, a decision grants a contact exactly if fewer than the limit lie in (now - 30 d, now].
    """
    crew.run(Open(url=url, catalog=str(write_catalog(tmp_path, at_most(LIMIT)))))
    crew.workers[0].run(KNOWN)
    times = asyncio.run(_contacted_a_month_ago(url))
    warm(crew)
    told = crew.told(Hammer(requests=BY_TURNS, times=250))
    assert not any(answer.degraded for answer in told)

    truth = read(url, WHO)
    for now, granted in truth.log:
        within = len(times) - bisect_right(times, now - WINDOW_US)
        assert granted == (1 if within < LIMIT else 0), f"{granted} granted where {within} are in the window"
        times += [now] * granted
    assert len(times) > LIMIT
    check_acknowledged(truth, told)
    contacts = [contact for contact in truth.customer.contacts if contact.decision != BEFORE]
    assert Counter((contact.decision, contact.channel) for contact in contacts) == truth.granted
    with capsys.disabled():
        print(
            f"\n  moving window: {len(times) - LIMIT} contacts became free and were granted in {len(told)} decisions, "
            f"{conflicts(told)} version conflicts"
        )


async def _contacted_a_month_ago(url: str) -> list[int]:
    """When the contacts were, ascending."""
    times: list[int] = []

    def change(customer: Customer, now: int) -> Customer:
        times[:] = range(now - WINDOW_US, now - WINDOW_US + LIMIT * APART_US, APART_US)
        old = tuple(Contact(at, "letter", EMAIL, "", "outbound", BEFORE) for at in times)
        return with_contacts(customer, old)

    store = await open_store(url)
    await store.update(WHO, change, patience())
    await store.ledger.link.close()
    return times


class Runaway:
    """A monotonic clock that a test can make jump."""

    def __init__(self) -> None:
        self.ahead_ns = 0

    def __call__(self) -> int:
        return 1_000_000_000_000 + self.ahead_ns


@pytest.fixture
async def fast_worker(url: str, tmp_path: Path) -> AsyncIterator[Engine]:
    """A worker that has used up a limit of one in 30 days, and whose clock has then gone 31 days ahead."""
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(engine_at(url, plan_of(write_catalog(tmp_path, at_most(1)))))
        clock = Runaway()
        engine.store.clock = ServerClock(clock)
        await settled(engine.store, KNOWN)
        assert (await ask(engine)) == (Status.DECIDED, Reason.RANKED)
        clock.ahead_ns = MONTH_NS
        yield engine


async def ask(engine: Engine) -> tuple[Status, Reason]:
    answer = await engine.next_action(NextActionRequest(WHO), "key", PATIENCE)
    assert answer.degraded == ()
    return answer.status, answer.reason


@pytest.mark.anyio
async def test_a_fast_worker_frees_no_window(fast_worker: Engine) -> None:
    assert await ask(fast_worker) == (Status.NOTHING, Reason.CONTACT_POLICY)


@pytest.mark.anyio
async def test_without_the_comparison_of_clocks_it_would(fast_worker: Engine) -> None:
    comparison = b"if math.abs(now_us - server_us) > MOST_CLOCK_ERROR_US then"
    assert SCRIPT.count(comparison) == 1
    store = fast_worker.store
    script = SCRIPT.replace(comparison, b"if false then")
    store.ledger = Ledger(store.ledger.link, store.ledger.layout, script=script)
    assert await ask(fast_worker) == (Status.DECIDED, Reason.RANKED)
