"""The check that fixtures make at their end finds what it is there to find."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from catalog.building import build_plan
from catalog.loading import LoadedCatalog, load_catalog
from decision.engine import Engine
from decision.record import Record, read_record
from decision.request import NextActionRequest
from features.keys import Layout
from features.link import Link
from features.opening import open_store
from features.redis_server import EmbeddedRedis
from tests.replayed import MADE_AGAIN, made_again, made_again_under

CATALOG = """\
catalog: 1
name: replayed
channels: {web: {direction: inbound}}
actions: {hello: {value: 1, treatments: {web: {title: Hello}}}}
contact_policies: {twice: {limit: 2, rolling: 1d}}
"""
WHO = [f"c-{number % 5}" for number in range(20)]
PATIENCE = 60.0


@pytest.fixture
def catalog(tmp_path: Path) -> LoadedCatalog:
    file = tmp_path / "catalog.yaml"
    file.write_text(CATALOG)
    return load_catalog(file)


@pytest.fixture
def redis(tmp_path: Path, catalog: LoadedCatalog) -> Iterator[EmbeddedRedis]:
    """With twenty decisions, of which half contacted somebody."""
    with EmbeddedRedis.start(tmp_path / "data") as server:
        asyncio.run(decide(server.url, catalog))
        yield server


async def decide(url: str, catalog: LoadedCatalog) -> None:
    store = await open_store(url)
    engine = Engine(store, build_plan(catalog))
    for customer_id in WHO:
        answer = await engine.next_action(NextActionRequest(customer_id), "key", PATIENCE)
        assert answer.degraded == ()
    await store.ledger.link.close()


def add_changed(url: str, **changes: object) -> Record:
    """A copy of one record with these fields changed, under the same id; gives what it was."""

    async def add() -> Record:
        link = Link(url)
        stream = Layout().decisions(Layout().partition(WHO[0]))
        (_, (*_, body)), *_ = await link.ask("XRANGE", stream, "-", "+", within=PATIENCE)
        record = read_record(body)
        changed = msgspec.msgpack.encode(msgspec.structs.replace(record, **changes))
        await link.ask("XADD", stream, "*", "d", record.id, "r", changed, within=PATIENCE)
        await link.close()
        return record

    return asyncio.run(add())


def test_it_counts_what_it_makes_again(redis: EmbeddedRedis, tmp_path: Path, catalog: LoadedCatalog) -> None:
    before = sum(MADE_AGAIN)
    assert made_again(redis.url, tmp_path, [catalog]) == len(WHO)
    redis.stop()
    assert made_again_under(tmp_path, [catalog]) == len(WHO)
    assert sum(MADE_AGAIN) == before + 2 * len(WHO)


def test_a_record_that_was_tampered_with_fails_the_run(
    redis: EmbeddedRedis, tmp_path: Path, catalog: LoadedCatalog
) -> None:
    record = add_changed(redis.url, answer=b'{"status":"nothing"}')
    with pytest.raises(AssertionError, match=f"{record.id}: answer/status: recorded 'nothing', replayed 'decided'"):
        made_again(redis.url, tmp_path, [catalog])
    redis.stop()
    with pytest.raises(AssertionError, match="21 decisions made again: 20 identical, 1 differing"):
        made_again_under(tmp_path, [catalog])


def test_a_decision_whose_catalog_nobody_has_fails_the_run(redis: EmbeddedRedis, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="20 not to be made again"):
        made_again(redis.url, tmp_path)


def test_where_nothing_was_decided_there_is_nothing_to_do(tmp_path: Path) -> None:
    before = list(MADE_AGAIN)
    with EmbeddedRedis.start(tmp_path / "data") as server:
        assert made_again(server.url, tmp_path) == 0
    assert made_again_under(tmp_path) == 0
    assert before == MADE_AGAIN
