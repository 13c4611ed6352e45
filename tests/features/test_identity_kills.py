"""Identity when processes are killed half-way, merges contradict each other, and others write at the same time."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from functools import partial
from itertools import permutations

import pytest
import redis

from features.customer import Customer, with_attributes
from features.errors import CorruptState
from features.identity import root_of, update
from features.merging import alias_of, frozen, is_frozen, is_merged, merged_ids
from features.store import CustomerStore
from tests.features.merges import (
    COUNT,
    STEPS,
    SUM,
    content,
    counted,
    latest,
    merged,
    merges_and_dies,
    opened,
    patient,
    sent,
    stated,
    three,
    visit,
    written,
    written_over,
)
from tests.forked import forked, status_of

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


@pytest.mark.chaos
@pytest.mark.parametrize("after", ["again", "a request", "the other way round", "a third"])
@pytest.mark.parametrize("step", STEPS)
async def test_killed_between_any_two_steps(store: CustomerStore, unix_redis: str, step: str, after: str) -> None:
    """Whatever comes next, the end is the one without a kill."""
    await three(store)
    await merged(store, "a", "b")
    expected = content((await merged(store, "c", "b")).snapshot.customer)
    assert (expected["attributes"]["name"], len(expected["contacts"])) == ("c", 3)
    await three(store)
    await killed_at(unix_redis, "a", "b", step)
    assert is_merged(await latest(store, "a")) == (step != "freezing")
    if after == "again":
        await merged(store, "a", "b")
    elif after == "a request":
        root, _ = await update(store, "a", lambda c, now: c, patient())
        assert root == ("a" if step == "freezing" else "b")
    elif after == "the other way round":
        await merged(store, "b", "a")
    else:
        await merged(store, "b", "c")
    await merged(store, "a", "b")
    await merged(store, "c", "b")
    root, snapshot = await root_of(store, "a", patient(), fresh=True)
    assert content(snapshot.customer) == expected
    assert {root, *merged_ids(snapshot.customer)} == set("abc")
    for name in set("abc") - {root}:
        left = await latest(store, name)
        assert left == alias_of(left.merged_into)


async def killed_at(url: str, source: str, into: str, step: str) -> None:
    assert await status_of(forked(merges_and_dies, url, source, into, step, 1)) == -signal.SIGKILL


async def ring(store: CustomerStore, *names: str) -> None:
    """What merges that contradict each other may come to: each frozen into the next."""
    for name, into in zip(names, (*names[1:], names[0]), strict=True):
        await written(store, name, frozen(await latest(store, name), name, into))


@pytest.mark.parametrize("names", [*permutations("abc"), ("a", "b"), ("b", "a")], ids="".join)
async def test_of_a_ring_the_smallest_takes_the_others_in(
    store: CustomerStore, other: CustomerStore, names: tuple[str, ...]
) -> None:
    for number, name in enumerate(names):
        await stated(store, name, number)
        await sent(store, name, visit(0), visit(number + 1))
    await ring(store, *names)
    found = await asyncio.gather(*(root_of(worker, name, patient()) for name in names for worker in (store, other)))
    assert {root for root, _ in found} == {"a"}
    customer = await latest(store, "a")
    assert merged_ids(customer) == tuple(sorted(set(names) - {"a"}))
    assert (counted(customer, COUNT), len(customer.contacts)) == (len(names) + 1, len(names))


async def test_a_ring_that_a_finished_alias_is_part_of(store: CustomerStore) -> None:
    for number, name in enumerate("abc"):
        await stated(store, name, number)
    await merged(store, "a", "b")
    await ring(store, "b", "c")
    await written_over(store, "c", frozen((await latest(store, "c")), "c", "a"))
    assert (await root_of(store, "c", patient()))[0] == "b"
    assert len((await latest(store, "b")).contacts) == 3


async def test_a_ring_without_anybody_is_told(store: CustomerStore) -> None:
    await written_over(store, "a", alias_of("b"))
    await written_over(store, "b", alias_of("a"))
    with pytest.raises(CorruptState, match="ring"):
        await root_of(store, "a", patient())


@pytest.mark.parametrize("merges", [["ab", "ba"], ["ab", "bc", "ca"], ["ab", "ba", "cb", "bc", "ac"]], ids=str)
async def test_merges_that_contradict_each_other_at_the_same_time(
    store: CustomerStore, other: CustomerStore, merges: list[str]
) -> None:
    """While events keep coming by every id: each counts once in the end."""
    for turn in range(4):
        names = {name: f"{turn}-{name}" for name in "abc"}
        for name in names.values():
            await sent(store, name, visit(0))
        pairs = [(names[pair[0]], names[pair[1]]) for pair in merges]
        merging = [merged((store, other)[n % 2], *pair) for n, pair in enumerate(pairs)]
        counting = [visits((store, other)[n % 2], name, n) for n, name in enumerate(names.values())]
        await asyncio.gather(*merging, *counting)
        roots = {(await root_of(store, names[name], patient(), fresh=True))[0] for pair in merges for name in pair}
        assert len(roots) == 1
        if {name for pair in merges for name in pair} == set("abc"):
            assert counted(await latest(store, roots.pop()), COUNT) == 1 + 3 * 10


async def visits(store: CustomerStore, customer_id: str, number: int) -> None:
    for turn in range(10):
        await sent(store, customer_id, visit(1000 * (number + 1) + turn))


async def raw(store: CustomerStore, customer_id: str) -> bytes:
    stored: bytes = await store.ledger.link.ask("GET", store.ledger.layout.state(customer_id), within=30)
    return stored


async def test_who_was_erased_meanwhile_is_not_brought_back(store: CustomerStore, unix_redis: str) -> None:
    """By a merge that has the source's content in its hands when both are erased."""
    await stated(store, "a", 1)
    await stated(store, "b", 2)
    held = frozen(await latest(store, "a"), "a", "b")
    await written(store, "a", held)
    later = (await store.snapshot("a", patient(), fresh=True)).last + 1

    def erased(step: str) -> None:
        if step == "absorbing":
            for name in "ab":
                set_to(unix_redis, store.ledger.layout.state(name), b"another version.%016d" % later)

    root, snapshot = await root_of(store, "a", patient(), step=erased)
    assert (root, snapshot.customer) == ("a", Customer(erased=later))
    assert await latest(store, "b") == Customer(erased=later)


async def test_content_that_was_absorbed_but_not_cleared_does_not_go_on_alone(store: CustomerStore) -> None:
    """A is in B already, and B on its way to C: A's part comes with B, and not once more from A."""
    await three(store)
    frozen_a = frozen(await latest(store, "a"), "a", "b")
    await merged(store, "a", "b")
    await written_over(store, "a", frozen_a)
    await written_over(store, "b", frozen(await latest(store, "b"), "b", "c"))
    root, snapshot = await root_of(store, "a", patient())
    assert root == "c"
    assert (counted(snapshot.customer, COUNT), counted(snapshot.customer, SUM)) == (4, 3)
    assert await latest(store, "b") == alias_of("c")
    assert await latest(store, "a") == alias_of("c")


async def test_nothing_is_absorbed_by_who_has_been_absorbed_meanwhile(store: CustomerStore, unix_redis: str) -> None:
    """What went into B after C had taken B in would be gone when B is cleared."""
    await three(store)
    before = {name: await raw(store, name) for name in "bc"}
    await written_over(store, "b", frozen(await latest(store, "b"), "b", "c"))
    after = {"b": await raw(store, "b")}
    await merged(store, "b", "c")
    after["c"] = await raw(store, "c")
    for name, state in before.items():
        await store.ledger.link.ask("SET", store.ledger.layout.state(name), state, within=30)
        await latest(store, name)
    await written_over(store, "a", frozen(await latest(store, "a"), "a", "b"))
    states = iter([after])

    def meanwhile(step: str) -> None:
        if step == "absorbing":
            for name, state in next(states, {}).items():
                set_to(unix_redis, store.ledger.layout.state(name), state)

    root, snapshot = await root_of(store, "a", patient(), step=meanwhile)
    assert (root, len(snapshot.customer.contacts)) == ("c", 3)
    assert (counted(snapshot.customer, COUNT), counted(snapshot.customer, SUM)) == (4, 3)


def set_to(url: str, key: str, value: bytes) -> None:
    """By another client, before this one goes on."""
    with redis.Redis(unix_socket_path=url.removeprefix("unix://"), protocol=2) as client:
        client.set(key, value)


def numbered(number: int, customer: Customer, now: int) -> Customer:
    return with_attributes(customer, {f"n{number}": number}, now)


async def test_a_source_that_others_keep_writing_to(store: CustomerStore, other: CustomerStore) -> None:
    async def busy(worker: CustomerStore) -> None:
        for number in range(50):
            await update(worker, "a", partial(numbered, number), patient())

    await asyncio.gather(busy(store), busy(other), merged(store, "a", "b"), merged(other, "a", "b"))
    customer = await latest(store, "b")
    assert customer.attributes == {f"n{number}": number for number in range(50)}
    assert not is_frozen(await latest(store, "a"))
