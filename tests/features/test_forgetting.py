"""Forgetting: nothing is left of a customer under any of their ids but a note under a hash, whenever it is killed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from functools import partial

import pytest

from features.consents import with_consent
from features.customer import Consent, Customer, with_attributes
from features.errors import NotConnected
from features.forgetting import Forgotten, forget
from features.identity import merge, update
from features.store import CustomerStore
from tests.features.merges import SECOND, latest, opened, patient, stated

pytestmark = pytest.mark.anyio
STEPS = ("blank", "note", "records", "aliases", "bury", "last alias")


@pytest.fixture
async def store(unix_redis: str) -> AsyncIterator[CustomerStore]:
    store = await opened(unix_redis)
    await store.ledger.link.ask("FLUSHALL", within=30)
    yield store
    await store.ledger.link.close()


class Records:
    """Whose were erased."""

    def __init__(self) -> None:
        self.erased: list[tuple[str, ...]] = []

    async def erase(self, customer_ids: Collection[str]) -> int:
        self.erased.append(tuple(customer_ids))
        return len(self.erased)


async def forgotten(store: CustomerStore, customer_id: str, records: Records | None = None) -> Forgotten[int]:
    return await forget(store, customer_id, patient, (records or Records()).erase)


async def states(store: CustomerStore) -> dict[str, int]:
    """How long each state is."""
    keys = await store.ledger.link.ask("KEYS", "tino:{*}:c:*", within=30)
    return {key.decode().rpartition(":")[2]: await store.ledger.link.ask("STRLEN", key, within=30) for key in keys}


async def household(store: CustomerStore) -> None:
    for number, name in enumerate(("cookie", "device", "person")):
        await stated(store, name, number + 1)
    await merge(store, "cookie", "device", patient())
    await merge(store, "device", "person", patient())


@pytest.mark.parametrize("asked", ["cookie", "device", "person"])
async def test_every_id_is_forgotten_whichever_is_asked_for(store: CustomerStore, asked: str) -> None:
    await household(store)
    records = Records()
    done = await forgotten(store, asked, records)
    assert (set(done.ids), done.known, done.records) == ({"cookie", "device", "person"}, True, [1])
    assert done.ids[0] == "person"
    assert records.erased == [done.ids]
    assert await states(store) == dict.fromkeys(done.ids, 32)  # a tombstone is a version and a time
    for name in done.ids:
        assert await latest(store, name) == Customer(erased=(await latest(store, name)).erased)
    again = await forgotten(store, asked, records)
    assert (again.ids, again.known) == ((asked,), False)
    assert records.erased[1:] == [(asked,)]


async def test_of_nobody_there_is_nothing_to_forget(store: CustomerStore) -> None:
    done = await forgotten(store, "nobody")
    assert (done.ids, done.known) == (("nobody",), False)
    assert await store.ledger.link.ask("DBSIZE", within=30) == 0


class KilledError(Exception):
    pass


@pytest.mark.parametrize("asked", ["cookie", "person"])
@pytest.mark.parametrize("at", STEPS)
async def test_killed_before_any_step_to_ask_again_does_the_rest(store: CustomerStore, at: str, asked: str) -> None:
    await household(store)
    records = Records()

    def killed(step: str) -> None:
        if step == at:
            raise KilledError

    with pytest.raises(KilledError):
        await forget(store, asked, patient, records.erase, killed)
    await forgotten(store, asked, records)
    assert await states(store) == dict.fromkeys(("cookie", "device", "person"), 32)
    assert {name for ids in records.erased for name in ids} == {"cookie", "device", "person"}
    assert len(await store.ledger.link.ask("KEYS", "tino:{*}:s:*", within=30)) == 3
    for name in ("cookie", "device", "person"):
        _, back = await update(store, name, with_name, patient())
        assert back.customer.consents["news"] == Consent(False, 6 * SECOND, "erased")


def with_name(customer: Customer, now: int) -> Customer:
    return with_attributes(customer, {"name": "x"}, now)


async def test_what_is_written_meanwhile_goes_too_and_so_do_records_of_it(store: CustomerStore) -> None:
    await household(store)

    class Slow(Records):
        async def erase(self, customer_ids: Collection[str]) -> int:
            if len(self.erased) < 2:
                await update(store, "person", with_name, patient())
            return await super().erase(customer_ids)

    done = await forgotten(store, "person", Slow())
    assert done.records == [1, 2, 3]
    assert set((await states(store)).values()) == {32}


async def test_where_records_cannot_be_erased_the_ids_are_kept_to_ask_again(store: CustomerStore) -> None:
    await household(store)

    async def busy(customer_ids: Collection[str]) -> int:
        raise NotConnected("busy")

    with pytest.raises(NotConnected):
        await forget(store, "cookie", patient, busy)
    assert not (await latest(store, "person")).attributes
    records = Records()
    await forgotten(store, "cookie", records)
    assert {name for ids in records.erased for name in ids} == {"cookie", "device", "person"}


def says(granted: bool, at: int | None, customer: Customer, now: int) -> Customer:
    return with_consent(customer, "news", Consent(granted, now if at is None else at))


@pytest.mark.parametrize("tombstone", [True, False], ids=["soon after", "after the tombstone"])
@pytest.mark.parametrize("comes_back", ["stated", "merged", "merged into"])
async def test_who_comes_back_has_still_refused(store: CustomerStore, tombstone: bool, comes_back: str) -> None:
    await update(store, "a", partial(says, True, 5), patient())
    await update(store, "a", partial(says, False, 7), patient())
    await update(store, "b", partial(says, True, 5), patient())
    for name in "ab":
        await forgotten(store, name)
        if not tombstone:
            await store.ledger.link.ask("DEL", store.ledger.layout.state(name), within=30)
            store.cache.forget(name)
    if comes_back == "merged":
        await merge(store, "a", "c", patient())
        await merge(store, "b", "d", patient())
    elif comes_back == "merged into":
        await merge(store, "c", "a", patient())
        await merge(store, "d", "b", patient())
    _, back = await update(store, "a", partial(says, True, 6), patient())
    assert [back.customer.consents["news"].granted, back.customer.consents["news"].at] == [False, 7]
    _, back = await update(store, "b", partial(says, True, 6), patient())
    assert back.customer.consents["news"] == Consent(False, 6)  # nothing was refused, but it is from before
    for name in "ab":
        _, back = await update(store, name, partial(says, True, None), patient())
        assert back.customer.consents["news"].granted


async def test_who_is_erased_while_a_change_is_under_way_has_still_refused(
    store: CustomerStore, unix_redis: str
) -> None:
    await update(store, "a", partial(says, False, 7), patient())
    other = await opened(unix_redis)
    await forgotten(other, "a")
    await other.ledger.link.close()
    assert not (await store.snapshot("a", patient())).customer.erased  # this worker doesn't know yet
    _, back = await update(store, "a", partial(says, True, 6), patient())
    assert (back.customer.consents["news"].granted, back.customer.consents["news"].at) == (False, 7)
