"""Identity: two customers become one, in whatever order, and both ids stand for it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest

from features.customer import Customer, Identity, with_attributes
from features.errors import MergedAway
from features.identity import MOST_MERGED, TooManyIdsError, root_of, update
from features.merging import alias_of, is_frozen, is_merged, merged_ids
from features.store import CustomerStore
from tests.features.merges import (
    COUNT,
    LAST,
    SECOND,
    SUM,
    counted,
    latest,
    merged,
    opened,
    patient,
    purchase,
    sent,
    stated,
    visit,
    written,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(unix_redis: str) -> AsyncIterator[CustomerStore]:
    store = await opened(unix_redis)
    await store.ledger.link.ask("FLUSHALL", within=30)
    yield store
    await store.ledger.link.close()


@pytest.fixture
async def other(unix_redis: str, store: CustomerStore) -> AsyncIterator[CustomerStore]:
    """Another worker."""
    other = await opened(unix_redis)
    yield other
    await other.ledger.link.close()


async def test_all_that_was_known_of_either_is_known_by_both_ids(store: CustomerStore) -> None:
    await stated(store, "a", 1)
    await stated(store, "b", 2)
    await sent(store, "a", visit(1), purchase(1, 1.5))
    await sent(store, "b", visit(2))
    done = await merged(store, "a", "b")
    assert (done.customer_id, done.changed) == ("b", True)
    assert done.snapshot.customer == await latest(store, "b")
    both = done.snapshot.customer
    assert both.attributes == {"name": "b", "b": 2, "a": 1}
    assert (both.consents["news"].granted, len(both.earlier["news"]), len(both.contacts)) == (True, 1, 2)
    assert (counted(both, COUNT), counted(both, SUM)) == (2, 1)
    assert both.identity == Identity("", ("a",), {"a": (1, "a")})
    assert await latest(store, "a") == alias_of("b")
    root, snapshot = await root_of(store, "a", patient())
    assert (root, snapshot.version) == ("b", done.snapshot.version)


async def test_to_merge_again_changes_nothing(store: CustomerStore, other: CustomerStore) -> None:
    await stated(store, "a", 1)
    first = await merged(store, "a", "b")
    for pair in (("a", "b"), ("b", "a"), ("a", "a"), ("b", "b")):
        again = await merged(other, *pair)
        assert (again.customer_id, again.changed) == ("b", False)
        assert again.snapshot.version == first.snapshot.version


async def test_ids_never_heard_of_become_aliases_all_the_same(store: CustomerStore) -> None:
    assert (await merged(store, "cookie", "person")).changed
    root, snapshot = await update(store, "cookie", lambda c, now: with_attributes(c, {"x": 1}, now), patient())
    assert (root, snapshot.customer.attributes) == ("person", {"x": 1})
    assert (await latest(store, "cookie"), await latest(store, "person")) == (alias_of("person"), snapshot.customer)
    key = store.ledger.layout.state("cookie")
    assert await store.ledger.link.ask("PTTL", key, within=30) == -1  # it stays for as long as it may be needed


async def test_changes_by_an_old_id_land_on_the_new_one_even_if_that_was_not_known(
    store: CustomerStore, other: CustomerStore
) -> None:
    await stated(store, "a", 1)
    await stated(store, "b", 2)
    stale = await other.snapshot("a", patient())
    assert not is_merged(stale.customer)
    await merged(store, "a", "b")
    root, snapshot = await update(other, "a", lambda c, now: with_attributes(c, {"late": 1}, now), patient())
    assert (root, snapshot.customer.attributes["late"]) == ("b", 1)
    with pytest.raises(MergedAway):
        await other.update("a", lambda c, now: c, patient())


ORDERS = [
    [("a", "b"), ("b", "c")],
    [("a", "c"), ("b", "c")],
    [("b", "c"), ("a", "c")],
    [("b", "c"), ("a", "b")],
    [("a", "b"), ("a", "c")],
    [("c", "b"), ("a", "b"), ("b", "c")],
]


@pytest.mark.parametrize("order", ORDERS, ids=str)
async def test_in_any_order_the_same_is_known(store: CustomerStore, order: list[tuple[str, str]]) -> None:
    """Events that two or all three were sent count once."""
    for number, name in enumerate("abc"):
        await stated(store, name, number)
        await sent(store, name, visit(0), purchase(0, 2.5))
        await sent(store, name, visit(number + 1), purchase(number + 1, 1.0))
    await sent(store, "a", visit(9))
    await sent(store, "b", visit(9))
    for source, into in order:
        await merged(store, source, into)
    root, snapshot = await root_of(store, "a", patient(), fresh=True)
    assert {(await root_of(store, name, patient()))[0] for name in "abc"} == {root}
    customer = snapshot.customer
    assert {root, *customer.identity.merged} == set("abc") if customer.identity else False
    assert (counted(customer, COUNT), counted(customer, SUM)) == (5, 4)
    assert customer.series[SUM][2] == [5_500_000]
    assert customer.series[LAST][2] == [1.0]
    assert customer.attributes == {"name": "c", "a": 0, "b": 1, "c": 2}
    assert [told.at // (2 * SECOND) for told in (*customer.earlier["news"], customer.consents["news"])] == [0, 1, 2]
    assert [contact.at for contact in customer.contacts] == [0, 1, 2]


async def test_events_sent_again_after_the_merge_are_known(store: CustomerStore) -> None:
    await sent(store, "a", visit(1))
    await merged(store, "a", "b")
    ids = await store.ledger.link.ask("KEYS", "*:e:*:b", within=30)
    assert len(ids) == 1
    assert await store.ledger.link.ask("HLEN", ids[0], within=30) == 1


async def test_a_long_way_is_gone_once(store: CustomerStore, other: CustomerStore) -> None:
    for number in range(20):
        await merged(store, f"c{number}", f"c{number + 1}")
    assert (await root_of(other, "c0", patient()))[0] == "c20"
    assert await latest(store, "c0") == alias_of("c20")
    assert await latest(store, "c1") == alias_of("c2")


async def test_a_customer_takes_in_a_hundred_ids(store: CustomerStore) -> None:
    many = tuple(f"old-{number}" for number in range(MOST_MERGED))
    await written(store, "full", Customer({"x": 1}, identity=Identity("", many)))
    await stated(store, "more", 1)
    for pair in (("more", "full"), ("full", "more")):
        with pytest.raises(TooManyIdsError, match="101"):
            await merged(store, *pair)
    assert not is_merged(await latest(store, "more"))
    assert not is_merged(await latest(store, "full"))


async def test_of_all_customers_those_merged_into_others_are_left_out(store: CustomerStore) -> None:
    await stated(store, "a", 1)
    await merged(store, "a", "b")
    await merged(store, "never heard of", "x" * 200)
    await merged(store, "x" * 200, "neither")
    assert sorted([name async for name in store.customer_ids(30)]) == ["b", "neither"]


@pytest.mark.parametrize("seed", range(5))
async def test_many_merges_at_random_come_to_the_same(store: CustomerStore, other: CustomerStore, seed: int) -> None:
    """Two at a time, each by one of two workers, until all are one: every event, contact and attribute counts once."""
    draw = random.Random(seed)
    names = [f"c{number}" for number in range(9)]
    for number, name in enumerate(names):
        await stated(store, name, number)
        await sent(store, name, visit(0), visit(number + 1), purchase(number // 3, 2.0))
    pairs = [(draw.choice(names), draw.choice(names)) for _ in range(20)]
    pairs += list(zip(names, draw.sample(names, len(names)), strict=True)) + list(pairwise(names))
    for one, two in zip(pairs[::2], pairs[1::2], strict=False):
        await asyncio.gather(merged(store, *one), merged(other, *two))
    await merged(store, *pairs[-1])
    roots = {(await root_of(store, name, patient(), fresh=True))[0] for name in names}
    (root,) = roots
    customer = await latest(store, root)
    assert (counted(customer, COUNT), counted(customer, SUM), len(customer.contacts)) == (10, 3, 9)
    assert customer.attributes == {"name": "c8"} | {name: number for number, name in enumerate(names)}
    assert merged_ids(customer) == tuple(name for name in names if name != root)
    assert not [name for name in names if is_frozen(await latest(store, name))]


async def test_who_was_erased_brings_the_erasure_along(store: CustomerStore) -> None:
    await stated(store, "a", 1)
    await stated(store, "b", 2)
    await store.erase("a", patient())
    erased = (await latest(store, "a")).erased
    done = await merged(store, "a", "b")
    assert done.snapshot.customer.erased == erased
    assert not done.snapshot.customer.consents["news"].granted  # the no may have been among what was erased
