"""The same race with the comparison of versions taken out of the script: the limit must then be passed.

It shows that the tests of limits can fail, and that it is the comparison which holds them.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from decision.engine import Engine
from decision.reasons import Reason, Status
from decision.request import NextActionRequest
from features.ledger import SCRIPT, Ledger
from tests.exactness.catalogs import at_most, plan_of, write_catalog
from tests.exactness.crew import Crew
from tests.exactness.engines import engine_at, settled
from tests.exactness.messages import PATIENCE, Hammer, Open
from tests.exactness.test_limits import BY_TURNS, KNOWN, WHO, hammer
from tests.exactness.truth import check_consistent, check_exact, conflicts, read, read_from

COMPARISON = b"\nif version ~= expected then"
UNGUARDED = SCRIPT.replace(COMPARISON, b"\nif false then")

Race = Callable[[bytes], Awaitable[list[tuple[Status, Reason]]]]


def test_the_comparison_is_taken_out_whole() -> None:
    assert SCRIPT.count(COMPARISON) == 1
    assert SCRIPT.count(b"expected") == 3, "besides where the argument is taken apart and what a reply carries"


@pytest.fixture
async def race(url: str, tmp_path: Path) -> AsyncIterator[Race]:
    """Two workers load a customer, then one commits, then the other, under a limit of one."""
    plan = plan_of(write_catalog(tmp_path, at_most(1)))
    async with AsyncExitStack() as engines:

        async def run(script: bytes) -> list[tuple[Status, Reason]]:
            first, second = [await engines.enter_async_context(engine_at(url, plan)) for _ in range(2)]
            await settled(first.store, KNOWN)
            for engine in (first, second):
                await engine.next_action(NextActionRequest(WHO, dry_run=True), "key", PATIENCE)
                _rescript(engine, script)
            answers = [await engine.next_action(NextActionRequest(WHO), "key", PATIENCE) for engine in (first, second)]
            truth = await read_from(first.store, WHO)
            assert truth.granted.total() == sum(answer.status is Status.DECIDED for answer in answers)
            return [(answer.status, answer.reason) for answer in answers]

        yield run


def _rescript(engine: Engine, script: bytes) -> None:
    engine.store.ledger = Ledger(engine.store.ledger.link, engine.store.ledger.layout, script=script)


@pytest.mark.anyio
async def test_the_second_to_commit_is_told(race: Race) -> None:
    assert await race(SCRIPT) == [(Status.DECIDED, Reason.RANKED), (Status.NOTHING, Reason.CONTACT_POLICY)]


@pytest.mark.anyio
async def test_without_it_both_contact_the_customer(race: Race) -> None:
    assert await race(UNGUARDED) == [(Status.DECIDED, Reason.RANKED), (Status.DECIDED, Reason.RANKED)]


def test_without_it_the_hammer_finds_too_many_contacts(
    crew: Crew, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Certain, not likely: each worker begins with a cached customer, is never told of the others, and grants all."""
    opening = Open(url=url, catalog=str(write_catalog(tmp_path, at_most(3))), script=UNGUARDED.decode())
    told = hammer(crew, opening, Hammer(requests=BY_TURNS, times=20))
    granted = sum(answer.status == "decided" for answer in told)
    with capsys.disabled():
        print(f"\n  no comparison: {granted} contacts under a limit of 3, {conflicts(told)} tries repeated")
    assert granted == 3 * len(crew.workers)
    truth = read(url, WHO)
    with pytest.raises(AssertionError, match="12 contacts granted under a limit of 3"):
        check_exact(truth, told, 3)
    with pytest.raises(AssertionError, match="contacts are not the grants"):
        check_consistent(truth)
