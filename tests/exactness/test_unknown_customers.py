"""Someone nobody has told us about leaves no state behind until there is a contact to count, and that one expires."""

from pathlib import Path

import msgspec
import pytest

from decision.engine import Engine
from decision.reasons import Status
from decision.request import NextActionRequest
from features.store import ANONYMOUS_TTL_MS
from tests.exactness.catalogs import at_most, plan_of, write_catalog
from tests.exactness.engines import engine_at, patience, settled
from tests.exactness.messages import PATIENCE, Change
from tests.exactness.truth import check_consistent, read_from

pytestmark = pytest.mark.anyio

WHO = "stranger"
DAY_MS = 24 * 3600 * 1000


async def left_ms(engine: Engine) -> int:
    """How long the state lives: -1 for ever, -2 if there is none."""
    ledger = engine.store.ledger
    return int(await ledger.link.ask("PTTL", ledger.layout.state(WHO), within=PATIENCE))


@pytest.mark.parametrize("request_id", [msgspec.UNSET, "r-1"], ids=str)
async def test_nothing_decided_leaves_no_state(url: str, tmp_path: Path, request_id: str | msgspec.UnsetType) -> None:
    async with engine_at(url, plan_of(write_catalog(tmp_path, at_most(3)))) as engine:
        for _ in range(3):
            answer = await engine.next_action(NextActionRequest(WHO, request_id=request_id), "key", PATIENCE)
            assert answer.status is Status.NOTHING
        assert await left_ms(engine) == -2
        assert [customer async for customer in engine.store.customer_ids(PATIENCE)] == []


async def test_a_dry_run_leaves_nothing_at_all(url: str, tmp_path: Path) -> None:
    async with engine_at(url, plan_of(write_catalog(tmp_path, inbound_purpose=None))) as engine:
        before = await engine.store.ledger.link.ask("DBSIZE", within=PATIENCE)
        answer = await engine.next_action(NextActionRequest(WHO, dry_run=True, request_id="r-1"), "key", PATIENCE)
        assert answer.status is Status.DECIDED
        assert await engine.store.ledger.link.ask("DBSIZE", within=PATIENCE) == before


async def test_the_first_contact_is_counted_and_expires(url: str, tmp_path: Path) -> None:
    plan = plan_of(write_catalog(tmp_path, at_most(1), inbound_purpose=None))
    async with engine_at(url, plan) as engine, engine_at(url, plan) as other:
        first = await engine.next_action(NextActionRequest(WHO), "key", PATIENCE)
        second = await other.next_action(NextActionRequest(WHO), "key", PATIENCE)
        assert (first.status, second.status) == (Status.DECIDED, Status.NOTHING)
        assert ANONYMOUS_TTL_MS - DAY_MS < await left_ms(engine) <= ANONYMOUS_TTL_MS
        check_consistent(await read_from(engine.store, WHO))


async def test_it_lives_as_long_as_a_policy_counts_it(url: str, tmp_path: Path) -> None:
    policies = "  yearly: {limit: 1, rolling: 365d}"
    async with engine_at(url, plan_of(write_catalog(tmp_path, policies, inbound_purpose=None))) as engine:
        await engine.next_action(NextActionRequest(WHO), "key", PATIENCE)
        assert await left_ms(engine) > 365 * DAY_MS
        await settled(engine.store, Change(customer_id=WHO))  # a write that tells nothing: as unknown as before
        assert await left_ms(engine) > 365 * DAY_MS
        assert len((await engine.store.snapshot(WHO, patience(), fresh=True)).customer.contacts) == 1


async def test_who_becomes_known_stays(url: str, tmp_path: Path) -> None:
    plan = plan_of(write_catalog(tmp_path, at_most(3), inbound_purpose=None))
    async with engine_at(url, plan) as engine, engine_at(url, plan) as other:
        await engine.next_action(NextActionRequest(WHO), "key", PATIENCE)
        await settled(other.store, Change(customer_id=WHO, attributes={"tier": "gold"}))
        assert await left_ms(engine) == -1
        await engine.next_action(NextActionRequest(WHO), "key", PATIENCE)
        assert await left_ms(engine) == -1
        snapshot = await other.store.snapshot(WHO, patience(), fresh=True)
        assert len(snapshot.customer.contacts) == 2
