"""The door to customers: changes on the latest state, whoever else writes; erasing; listing; broken states."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from features.cache import Cache
from features.clock import ServerClock
from features.commit import Commit, Committed, Moved
from features.consents import with_consent
from features.customer import EMPTY, Consent, Customer, with_attributes
from features.deadline import Deadline
from features.encoding import encode
from features.errors import CorruptState, OutOfTime, StoreTimeout
from features.ledger import Ledger
from features.opening import open_store
from features.store import ANONYMOUS_TTL_MS, Change, ClockError, CustomerStore

pytestmark = pytest.mark.anyio

HOUR = 3_600_000_000
WITHIN = 30.0


@pytest.fixture
async def other(unix_redis: str, store: CustomerStore) -> AsyncIterator[CustomerStore]:
    """Another worker."""
    other = await open_store(unix_redis)
    yield other
    await other.ledger.link.close()


def patient() -> Deadline:
    return Deadline(WITHIN, lambda: 0.0)


def one_more(customer: Customer, now: int) -> Customer:
    return with_attributes(customer, {"n": customer.attributes.get("n", 0) + 1})


async def latest(store: CustomerStore, name: str = "c") -> Customer:
    return (await store.snapshot(name, patient(), fresh=True)).customer


async def ttl(store: CustomerStore, name: str = "c") -> int:
    """In milliseconds; -1 for ever, -2 if there is none."""
    return int(await store.ledger.link.ask("PTTL", store.ledger.layout.state(name), within=WITHIN))


async def test_a_change_is_applied_to_the_latest_state(store: CustomerStore, other: CustomerStore) -> None:
    first = await store.update("c", one_more, patient())
    assert (first.customer, len(first.version)) == (Customer({"n": 1}), 16)
    await other.update("c", one_more, patient())
    assert (await store.snapshot("c", patient())) is first  # stale, and a commit will tell
    assert (await store.update("c", one_more, patient())).customer == Customer({"n": 3})
    assert (await store.snapshot("c", patient())).customer == Customer({"n": 3})


async def test_changes_from_everywhere_at_once_are_all_applied(store: CustomerStore, other: CustomerStore) -> None:
    await asyncio.gather(*(worker.update("c", one_more, patient()) for worker in (store, other) for _ in range(20)))
    assert (await latest(store)).attributes == {"n": 40}


async def test_the_time_given_to_a_change_never_runs_backwards(store: CustomerStore) -> None:
    times: list[int] = []

    def noted(customer: Customer, now: int) -> Customer:
        times.append(now)
        return one_more(customer, now)

    for _ in range(5):
        await store.update("c", noted, patient())
    assert times == sorted(times)
    assert (await store.snapshot("c", patient())).last == times[-1]


async def test_a_change_that_fails_changes_nothing(store: CustomerStore) -> None:
    def failing(customer: Customer, now: int) -> Customer:
        raise LookupError("no")

    await store.update("c", one_more, patient())
    with pytest.raises(LookupError):
        await store.update("c", failing, patient())
    assert (await latest(store)).attributes == {"n": 1}


async def test_only_the_anonymous_expire(store: CustomerStore) -> None:
    await store.update("c", lambda customer, now: customer, patient())
    assert 0 < await ttl(store) <= ANONYMOUS_TTL_MS
    await store.update("c", lambda customer, now: with_consent(customer, "m", Consent(False, now)), patient())
    assert await ttl(store) == -1


async def test_the_anonymous_live_as_long_as_their_contacts_count(store: CustomerStore) -> None:
    year = 365 * 24 * HOUR // 1000
    for least, expected in ((year, year), (1, ANONYMOUS_TTL_MS)):
        store.lives_ms(least)
        await store.update("c", lambda customer, now: customer, patient())
        assert expected - HOUR // 1000 < await ttl(store) <= expected
    assert store.lifetime_ms(Customer({"n": 1})) is None


async def test_erasing_leaves_a_tombstone_and_nothing_else(store: CustomerStore, other: CustomerStore) -> None:
    assert not await store.erase("c", patient())
    assert await ttl(store) == -2
    await store.update("c", one_more, patient())
    stale = await other.snapshot("c", patient())
    assert stale.customer == Customer({"n": 1})
    assert await store.erase("c", patient())
    assert not await store.erase("c", patient())
    raw = await store.ledger.link.ask("GET", store.ledger.layout.state("c"), within=WITHIN)
    assert len(raw) == 32  # version and time
    assert await ttl(store) > 0
    anew = (await other.update("c", one_more, patient())).customer
    assert anew.attributes == {"n": 1}  # not on the old
    assert anew.erased > 0
    assert await ttl(store) == -1


async def test_a_yes_from_before_an_erasure_does_not_count_after_it(store: CustomerStore, other: CustomerStore) -> None:
    def states(granted: bool, at: int | None) -> Change:
        return lambda customer, now: with_consent(customer, "ads", Consent(granted, now if at is None else at))

    await store.update("c", states(False, None), patient())
    await store.erase("c", patient())
    assert not (await other.snapshot("c", patient())).customer.known
    late = await other.update("c", states(True, 1), patient())
    assert not late.customer.consents["ads"].granted
    assert (await store.update("c", states(True, None), patient())).customer.consents["ads"].granted


async def test_every_customer_is_listed(store: CustomerStore) -> None:
    names = {f"c-{number}" for number in range(300)} | {"ñ *[x]?", "{0}:c:", "tino:meta"}
    for name in names:
        await store.update(name, one_more, patient())
    assert {name async for name in store.customer_ids(WITHIN)} == names


async def test_the_deleted_are_not_listed(store: CustomerStore) -> None:
    for name in ("a", "b", "c"):
        await store.update(name, one_more, patient())
    await store.erase("b", patient())
    assert await ttl(store, "b") > 0
    assert {name async for name in store.customer_ids(WITHIN)} == {"a", "c"}


async def table_bytes(store: CustomerStore) -> int:
    """What Redis' table of keys takes. DEBUG HTSTATS would tell its size, but Redis 7 keeps that to itself."""
    memory = await store.ledger.link.ask("MEMORY", "STATS", within=WITHIN)
    table = memory[memory.index(b"db.0") + 1]
    return int(table[table.index(b"overhead.hashtable.main") + 1])


async def test_nobody_is_listed_twice_though_the_scan_comes_by_again(store: CustomerStore) -> None:
    """A table of keys that shrinks meanwhile makes Redis go over some buckets once more."""
    ask, layout = store.ledger.link.ask, store.ledger.layout
    names = [name for number in range(48_000) if layout.partition(name := f"c-{number}") == 0]
    await ask("MSET", *(word for name in names for word in (layout.state(name), "v" * 33)), within=WITHIN)
    listed: list[str] = []
    async for name in store.customer_ids(WITHIN):
        listed.append(name)
        if len(listed) == 990:  # of the first page's thousand
            stay = set(listed[-5:])
            await ask("DEL", *(layout.state(name) for name in names if name not in stay), within=WITHIN)
            while await table_bytes(store) > 1000:
                pass
    assert len(listed) >= 990
    assert len(set(listed)) == len(listed)


async def test_a_state_that_can_not_be_read_is_told_and_left_alone(store: CustomerStore) -> None:
    key = store.ledger.layout.state("c")
    now = store.clock.now()
    for body in (b"garbage", b"v" * 16 + b"%016d" % now + b"\xc1", b"v" * 16 + b"%016d" % now + b"\x91\xa1x"):
        await store.ledger.link.ask("SET", key, body, within=WITHIN)
        with pytest.raises(CorruptState):
            await store.snapshot("c", patient())
        with pytest.raises(CorruptState):
            await store.update("c", one_more, patient())
        assert await store.ledger.link.ask("GET", key, within=WITHIN) == body


async def test_a_customer_from_the_future_is_not_decided_for(store: CustomerStore) -> None:
    clock = ServerClock()
    clock.heard(store.clock.now() + HOUR)
    ledger = store.ledger
    ahead = CustomerStore(Ledger(ledger.link, ledger.layout, clock_offset_us=HOUR), Cache(9), clock)
    await ahead.update("c", one_more, patient())
    with pytest.raises(ClockError):
        await store.update("c", one_more, patient())
    with pytest.raises(ClockError):
        store.now_for(await store.snapshot("c", patient()))


async def test_a_commit_whose_reply_does_not_come_is_forgotten(store: CustomerStore, other: CustomerStore) -> None:
    snapshot = await store.update("c", one_more, patient())
    changed = Customer({"n": 2})
    commit = Commit("c", snapshot.version, store.now_for(snapshot), encode(changed))
    await other.ledger.link.ask("CLIENT", "PAUSE", 600_000, "WRITE", within=WITHIN)
    try:
        with pytest.raises(StoreTimeout):
            await store.commit(commit, changed, Deadline(0.001, lambda: 0.0))
    finally:
        await other.ledger.link.ask("CLIENT", "UNPAUSE", within=WITHIN)
    assert store.cache.get("c") is None
    assert (await latest(store)).attributes["n"] in (1, 2)


async def test_a_commit_for_which_no_time_is_left_is_not_sent(store: CustomerStore) -> None:
    snapshot = await store.update("c", one_more, patient())
    for change in (encode(Customer({"n": 2})), None):
        commit = Commit("c", snapshot.version, store.now_for(snapshot), change)
        with pytest.raises(OutOfTime):
            await store.commit(commit, Customer({"n": 2}), Deadline(0.0, lambda: 0.0))
    assert store.cache.get("c") is snapshot
    with pytest.raises(OutOfTime):
        await store.update("c", one_more, Deadline(0.0, lambda: 0.0))
    assert await latest(store) == Customer({"n": 1})


async def test_who_waits_for_anothers_ticket_keeps_the_snapshot(store: CustomerStore) -> None:
    snapshot = await store.update("c", one_more, patient())
    ticket = store.ledger.layout.commit_keys("c", b"").ticket
    await store.ledger.link.ask("SET", ticket, "theirs", "PX", 600_000, within=WITHIN)
    commit = Commit("c", snapshot.version, store.now_for(snapshot), encode(Customer({"n": 2})))
    outcome, known = await store.commit(commit, Customer({"n": 2}), patient())
    assert isinstance(outcome, Moved)
    assert (outcome.stored, known) == (None, None)
    assert store.cache.get("c") is snapshot
    await store.ledger.link.ask("DEL", ticket, within=WITHIN)
    assert (await store.update("c", one_more, patient())).customer == Customer({"n": 2})


async def test_a_commit_that_writes_nothing_leaves_the_snapshot_as_it_is(store: CustomerStore) -> None:
    snapshot = await store.update("c", one_more, patient())
    commit = Commit("c", snapshot.version, store.now_for(snapshot), None)
    outcome, known = await store.commit(commit, snapshot.customer, patient())
    assert isinstance(outcome, Committed)
    assert known is None
    assert store.cache.get("c") is snapshot


async def test_somebody_nobody_knows(store: CustomerStore) -> None:
    snapshot = await store.snapshot("nobody", patient())
    assert (snapshot.customer, snapshot.version) == (EMPTY, b"")
    assert [name async for name in store.customer_ids(WITHIN)] == []
