"""A worker's cache outlives what it was read from: Redis came back with older data, and others wrote on from there."""

from collections.abc import Callable
from pathlib import Path

import pytest

from decision.reasons import Reason, Status
from decision.request import NextActionRequest
from features.customer import Customer
from tests.exactness.catalogs import at_most, plan_of, write_catalog
from tests.exactness.engines import engine_at, patience, settled
from tests.exactness.messages import PATIENCE, Change
from tests.exactness.test_limits import KNOWN, WHO
from tests.exactness.truth import read_from

pytestmark = pytest.mark.anyio

OPT_OUT = Change(customer_id=WHO, consents={"marketing": False}, at=2)
ASK = NextActionRequest(WHO)
Random = Callable[[int], bytes]


async def decide_on_a_lost_timeline(
    url: str, directory: Path, random: Random | None
) -> tuple[Status, Reason, Customer, int]:
    """What a worker with such a cache answers after the opt-out, who the customer is then, what was granted since."""
    plan = plan_of(write_catalog(directory, at_most(10)))
    async with engine_at(url, plan, random) as ours, engine_at(url, plan, random) as other:
        link, key = ours.store.ledger.link, ours.store.ledger.layout.state(WHO)
        await settled(ours.store, KNOWN)
        older = await link.ask("GET", key, within=PATIENCE)
        assert (await ours.next_action(ASK, "key", PATIENCE)).status is Status.DECIDED
        cached = await ours.store.snapshot(WHO, patience())

        await link.ask("SET", key, older, within=PATIENCE)
        await settled(other.store, OPT_OUT)
        stands = await other.store.snapshot(WHO, patience(), fresh=True)
        assert stands.version[:8] == cached.version[:8], "the opt-out has taken the number of what was lost"

        answer = await ours.next_action(ASK, "key", PATIENCE)
        truth = await read_from(other.store, WHO)
        return answer.status, answer.reason, truth.customer, truth.granted.total() - 1


async def test_the_opt_out_stands(url: str, tmp_path: Path) -> None:
    status, reason, customer, granted = await decide_on_a_lost_timeline(url, tmp_path, None)
    assert (status, reason, granted) == (Status.NOTHING, Reason.NO_CONSENT, 0)
    assert not customer.consents["marketing"].granted
    assert customer.contacts == ()


async def test_a_mere_counter_would_overwrite_the_opt_out(url: str, tmp_path: Path) -> None:
    """What the random half of a version is for."""
    status, _, customer, granted = await decide_on_a_lost_timeline(url, tmp_path, bytes)
    assert (status, granted) == (Status.DECIDED, 1)
    assert customer.consents["marketing"].granted


async def test_deleted_and_created_again(url: str, tmp_path: Path) -> None:
    """The customer comes back without consent; the cache is of the one before, whose versions had the same numbers."""
    plan = plan_of(write_catalog(tmp_path, at_most(10)))
    async with engine_at(url, plan) as ours, engine_at(url, plan) as other:
        await settled(ours.store, KNOWN)
        assert (await ours.next_action(ASK, "key", PATIENCE)).status is Status.DECIDED
        cached = await ours.store.snapshot(WHO, patience())
        assert await other.store.erase(WHO, patience())
        await other.store.ledger.link.ask("DEL", other.store.ledger.layout.state(WHO), within=PATIENCE)  # it expired
        other.store.cache.forget(WHO)
        for tier in ("silver", "gold"):
            await settled(other.store, Change(customer_id=WHO, attributes={"tier": tier}))
        stands = await other.store.snapshot(WHO, patience(), fresh=True)
        assert stands.version[:8] == cached.version[:8]
        answer = await ours.next_action(ASK, "key", PATIENCE)
        assert (answer.status, answer.reason) == (Status.NOTHING, Reason.NO_CONSENT)
        assert (await read_from(other.store, WHO)).customer == stands.customer
