"""Recorded decisions made again: by the catalogs and models that are kept, told in lines and counted."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import msgspec
import orjson
import pytest

from archive import replaying
from archive.again import replay_ids, replay_period
from archive.replaying import STORE_AWAY, Replayed, Replaying, Wanted, found_and_made_again
from archive.running import Place, archive_once
from catalog.building import build_plan
from catalog.bundle import bundle_of
from catalog.loading import LoadedCatalog, load_catalog
from decision.engine import Engine
from decision.record import Record, Scores, read_record
from decision.request import NextActionRequest
from features.catalogs import CatalogStore
from features.customer import Customer, with_attributes
from features.deadline import Deadline
from features.keys import catalog_key, new_decision_id
from features.link import Link
from features.opening import open_store
from tests.archive.streams import AT_ONCE, NOON, Streams, record_of, written

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]
WITH_MODEL = ROOT / "tests" / "cases" / "model-ranks" / "catalog.yaml"
PLAIN = ROOT / "tests" / "cases" / "gate-eligible" / "catalog.yaml"
PATIENCE = 60.0
LATEST = 2**62
UNKNOWN = new_decision_id(0, NOON, bytes(8))


@pytest.fixture
def catalog() -> LoadedCatalog:
    return load_catalog(WITH_MODEL)


async def decided(place: Place, catalog: LoadedCatalog, *customers: str) -> list[str]:
    """Decisions by this catalog, which is then kept; their ids."""
    store = await open_store(place.url)
    engine, ids = Engine(store, build_plan(catalog)), []
    await CatalogStore(store.ledger.link).keep(catalog.digest, bundle_of(catalog))
    for visits, customer_id in enumerate(customers):
        if "visits" in engine.plan.customer_types:
            await store.update(customer_id, partial(visited, visits), Deadline(PATIENCE))
        answer = await engine.next_action(NextActionRequest(customer_id), "key", PATIENCE)
        assert answer.degraded == ()
        ids.append(orjson.loads(answer.body)["decision_id"])
    await store.ledger.link.close()
    return ids


def visited(visits: int, customer: Customer, _now: int) -> Customer:
    return with_attributes(customer, {"visits": visits})


async def put_instead(streams: Streams, decision_id: str, **changes: object) -> Record:
    """Changes one record where it is; gives the record as it was."""
    partition = int(decision_id[12:16], 16)
    stream = streams.stream(partition)
    for entry, (_, found, _, body) in await streams.ask("XRANGE", stream, "-", "+"):
        if found.decode() == decision_id:
            record = read_record(body)
            await streams.ask("XDEL", stream, entry)
            await streams.add(partition, decision_id, written(msgspec.structs.replace(record, **changes)))
            return record
    raise LookupError(decision_id)


async def body_of(streams: Streams, decision_id: str) -> bytes:
    return (await streams.left())[decision_id]


async def again(link: Link, body: bytes) -> Replayed:
    with Replaying(CatalogStore(link)) as replaying:
        return await replaying.again(body)


async def test_by_the_catalog_and_the_model_that_are_kept(
    place: Place, link: Link, streams: Streams, catalog: LoadedCatalog
) -> None:
    for decision_id in await decided(place, catalog, "a", "b", "c"):
        replayed = await again(link, await body_of(streams, decision_id))
        assert replayed.identical
        assert replayed.record is not None
        assert [scores.model for scores in replayed.record.scores] == ["renewal"]
        assert replayed.as_data() == {"identical": True, "differences": [], "trouble": None}


async def test_a_model_that_says_something_else(
    place: Place, link: Link, streams: Streams, catalog: LoadedCatalog
) -> None:
    """The logic goes by what is recorded; that the model doesn't give it any more is told beside it."""
    (decision_id,) = await decided(place, catalog, "a")
    record = read_record(await body_of(streams, decision_id))
    (scores,) = record.scores
    propensities = bytearray(scores.propensities)
    propensities[7] ^= 0x10  # the high end of the first double
    changed = msgspec.structs.replace(record, scores=(Scores(scores.model, scores.bits, bytes(propensities)),))
    fields = [each.field for each in (await again(link, written(changed))).differences]
    assert "scores/renewal/0" in fields


@pytest.mark.parametrize(("packed", "why"), [(None, "no catalog is kept as sha256:"), (b"{}", "this is no bundle")])
async def test_without_its_catalog(
    place: Place, link: Link, streams: Streams, catalog: LoadedCatalog, packed: bytes | None, why: str
) -> None:
    (decision_id,) = await decided(place, catalog, "a")
    key = catalog_key(catalog.digest)
    await (streams.ask("DEL", key) if packed is None else streams.ask("SET", key, packed))
    replayed = await again(link, await body_of(streams, decision_id))
    assert replayed.record is not None
    assert replayed.trouble is not None
    assert replayed.trouble.startswith(why)
    assert not replayed.identical


DAMAGED: dict[str, dict[str, object]] = {
    "state": {"state": b"\xc1"},
    "request": {"request": b"{"},
    "scores": {"scores": (Scores("renewal", b"\1", b""),)},
    "time": {"at": 2**62},
    "another catalog": {"catalog": "sha256:0"},
}


@pytest.mark.parametrize("damage", DAMAGED)
async def test_a_damaged_record_is_trouble_and_nothing_worse(
    place: Place, link: Link, streams: Streams, catalog: LoadedCatalog, damage: str
) -> None:
    (decision_id,) = await decided(place, catalog, "a")
    await put_instead(streams, decision_id, **DAMAGED[damage])
    replayed = await again(link, await body_of(streams, decision_id))
    assert replayed.record is not None
    assert replayed.trouble
    lines: list[str] = []
    tally = await replay_period(place, 0, None, lines.append)
    assert (tally.total, tally.troubled, tally.sound) == (1, 1, False)
    assert lines == [f"{decision_id}: {replayed.trouble}"]


async def test_what_is_no_record(link: Link) -> None:
    replayed = await again(link, b"torn")
    assert replayed.record is None
    assert replayed.trouble is not None
    assert "this is no record of a decision" in replayed.trouble


async def test_more_catalogs_than_are_kept_in_memory(
    place: Place, link: Link, streams: Streams, catalog: LoadedCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaying, "MOST_PLANS", 1)
    ids = [*await decided(place, catalog, "a"), *await decided(place, load_catalog(PLAIN), "a")] * 2
    assert str(await replay_ids(place, ids, pytest.fail)) == "4 decisions made again: 4 identical"


async def test_those_named(place: Place, streams: Streams, catalog: LoadedCatalog) -> None:
    ids = await decided(place, catalog, "a", "b", "c")
    lines: list[str] = []
    tally = await replay_ids(place, [*ids, UNKNOWN], lines.append)
    assert str(tally) == "4 decisions made again: 3 identical, 1 without a record"
    assert (tally.sound, lines) == (False, [f"{UNKNOWN}: no record"])
    tally = await replay_ids(place, ids[:1], pytest.fail)
    assert (str(tally), tally.sound) == ("1 decision made again: 1 identical", True)
    with pytest.raises(ValueError, match="'hello': a decision id is 32 lower-case hexadecimal digits"):
        await replay_ids(place, [*ids, "hello"], pytest.fail)


async def test_each_field_that_differs_has_a_line(place: Place, streams: Streams, catalog: LoadedCatalog) -> None:
    _, decision_id, _ = await decided(place, catalog, "a", "b", "c")
    record = await put_instead(streams, decision_id, customer_id="x" * 300, answer=b'{"status":"nothing"}')
    status = orjson.loads(record.answer)["status"]
    lines: list[str] = []
    tally = await replay_period(place, 0, LATEST, lines.append)
    assert str(tally) == "3 decisions made again: 2 identical, 1 differing"
    assert f"{decision_id}: answer/status: recorded 'nothing', replayed {status!r}" in lines
    assert f"{decision_id}: customer_id: recorded '{'x' * 199}..., replayed 'b'" in lines


async def test_from_the_archive_too_and_only_of_the_period(
    place: Place, streams: Streams, catalog: LoadedCatalog
) -> None:
    first = await decided(place, catalog, "a", "b")
    ats = [read_record(await body_of(streams, decision_id)).at for decision_id in first]
    await archive_once(place, AT_ONCE)
    assert await streams.left() == {}
    last = await decided(place, catalog, "c")
    assert str(await replay_ids(place, first + last, pytest.fail)) == "3 decisions made again: 3 identical"
    assert (await replay_period(place, 0, None, pytest.fail)).identical == 3
    assert (await replay_period(place, ats[1], None, pytest.fail)).identical == 2
    assert (await replay_period(place, ats[0], ats[1], pytest.fail)).identical == 1
    assert str(await replay_period(place, 0, 1, pytest.fail)) == "0 decisions made again: 0 identical"


async def test_one_for_who_asks_over_http(place: Place, streams: Streams, catalog: LoadedCatalog) -> None:
    (decision_id,) = await decided(place, catalog, "a")
    told = orjson.loads(await found_and_made_again(Wanted(place, decision_id)))
    assert told["replay"] == {"identical": True, "differences": [], "trouble": None}
    assert told["decision"]["customer"]["attributes"] == {"visits": 0}
    assert [len(each) for each in told["decision"]["propensities"]["renewal"]] == [2, 2]
    assert await found_and_made_again(Wanted(place, UNKNOWN)) == b"null"
    await put_instead(streams, decision_id, state=b"\xc1")
    told = orjson.loads(await found_and_made_again(Wanted(place, decision_id)))
    assert told["decision"] is None
    assert "request or state can't be read" in told["replay"]["trouble"]


async def test_one_without_anything_to_replay_it_by(place: Place, streams: Streams) -> None:
    record = record_of(1)
    await streams.ask("XADD", streams.stream(0), f"{NOON // 1000}-0", "d", record.id, "r", written(record))
    told = orjson.loads(await found_and_made_again(Wanted(place, record.id)))
    assert told["replay"]["trouble"] == "no catalog is kept as sha256:c"


def test_a_redis_that_is_away_is_told_by_the_status(tmp_path: Path) -> None:
    wanted = msgspec.json.encode(Wanted(Place(f"unix://{tmp_path}/nowhere", tmp_path), UNKNOWN), enc_hook=str)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "archive.replaying"], input=wanted, cwd=ROOT, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (STORE_AWAY, b"")
    assert b"Traceback" not in done.stderr
