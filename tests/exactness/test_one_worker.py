"""A thousand requests at once for one customer, within one worker: they take turns, and nobody gives up."""

import asyncio
from pathlib import Path

import pytest

from decision.deciding import Answer
from decision.reasons import Reason, Status
from decision.request import NextActionRequest
from tests.exactness.catalogs import EMAIL, IN_APP, at_most, plan_of, write_catalog
from tests.exactness.engines import engine_at, settled
from tests.exactness.messages import PATIENCE
from tests.exactness.test_limits import KNOWN, WHO
from tests.exactness.truth import check_consistent, read_from

pytestmark = pytest.mark.anyio

AT_ONCE = 1_000


@pytest.mark.parametrize("limit", [3, 500])
async def test_a_thousand_at_once(url: str, tmp_path: Path, limit: int) -> None:
    plan = plan_of(write_catalog(tmp_path, at_most(limit)))
    async with engine_at(url, plan) as engine:
        await settled(engine.store, KNOWN)
        requests = [NextActionRequest(WHO, channels=[(EMAIL, IN_APP)[number % 2]]) for number in range(AT_ONCE)]
        answers: list[Answer] = await asyncio.gather(
            *(engine.next_action(request, "key", PATIENCE) for request in requests)
        )
        truth = await read_from(engine.store, WHO)
    # First come, first served: it is the first `limit` that were granted.
    assert [answer.status for answer in answers] == [Status.DECIDED] * limit + [Status.NOTHING] * (AT_ONCE - limit)
    assert {answer.reason for answer in answers[limit:]} == {Reason.CONTACT_POLICY}
    assert [answer.degraded for answer in answers if answer.degraded] == []
    assert len(truth.answers) == AT_ONCE
    assert truth.granted.total() == limit
    check_consistent(truth)
