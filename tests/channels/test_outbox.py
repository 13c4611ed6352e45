"""The outbox: every entry is new, noted or gone, and in the hands of one at a time."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from channels.outbox import Outbox
from features.opening import open_store
from features.store import CustomerStore

pytestmark = pytest.mark.anyio
SECOND = 1_000_000
WITHIN = 30.0


@pytest.fixture
async def store(url: str) -> AsyncIterator[CustomerStore]:
    store = await open_store(url)
    yield store
    await store.ledger.link.close()


async def put(store: CustomerStore, *bodies: str) -> list[bytes]:
    link, stream = store.ledger.link, store.ledger.layout.outbox(3)
    return [await link.ask("XADD", stream, "*", "m", body, within=WITHIN) for body in bodies]


async def bodies(outbox: Outbox, most: int = 50) -> list[str]:
    return [each.body.decode() for each in (await outbox.take(3, most))[1]]


async def entries(store: CustomerStore) -> tuple[int, int]:
    link, layout = store.ledger.link, store.ledger.layout
    noted = await link.ask("ZCARD", layout.sending(3), within=WITHIN)
    return await link.ask("XLEN", layout.outbox(3), within=WITHIN), noted


async def test_an_empty_outbox_gives_nothing_and_makes_nothing(store: CustomerStore) -> None:
    assert await bodies(Outbox(store.ledger)) == []
    assert await store.ledger.link.ask("EXISTS", store.ledger.layout.outbox(3), within=WITHIN) == 0


async def test_taken_in_their_order_and_so_many_at_once(store: CustomerStore) -> None:
    outbox = Outbox(store.ledger)
    await put(store, "a", "b", "c", "d")
    assert (await bodies(outbox, 3), await bodies(outbox, 3), await bodies(outbox, 3)) == (["a", "b", "c"], ["d"], [])
    assert await entries(store) == (4, 4)


async def test_what_one_has_no_other_gets_until_the_lease_has_run_out(store: CustomerStore) -> None:
    await put(store, "a", "b", "c")
    brief, other = Outbox(store.ledger, lease=0.0), Outbox(store.ledger)
    assert (await bodies(brief, 2), await bodies(other, 1), await bodies(other)) == (["a", "b"], ["a"], ["b", "c"])
    assert await bodies(other) == []


async def test_at_once_each_gets_others(store: CustomerStore) -> None:
    await put(store, *map(str, range(100)))
    outboxes = [Outbox(store.ledger) for _ in range(10)]
    found = await asyncio.gather(*(bodies(outbox, 10) for outbox in outboxes))
    assert sorted(int(body) for some in found for body in some) == list(range(100))


async def test_put_off_and_due(store: CustomerStore) -> None:
    outbox = Outbox(store.ledger)
    await put(store, "a", "b")
    now, (first, second) = await outbox.take(3)
    await outbox.put_off(first, now + 3600 * SECOND)
    await outbox.put_off(second, now)
    assert await bodies(outbox) == ["b"]
    await outbox.put_off(first, now)
    assert await bodies(outbox) == ["a"]


async def test_what_is_due_comes_before_what_is_new(store: CustomerStore) -> None:
    outbox = Outbox(store.ledger)
    await put(store, "a")
    now, (first,) = await outbox.take(3)
    await put(store, "b")
    await outbox.put_off(first, now)
    assert (await bodies(outbox, 1), await bodies(outbox, 1)) == (["a"], ["b"])


async def test_done_with_is_gone_however_often(store: CustomerStore) -> None:
    outbox = Outbox(store.ledger)
    await put(store, "a", "b")
    now, (first, _) = await outbox.take(3)
    for _ in range(2):
        await outbox.done(first)
        assert await entries(store) == (1, 1)
    await outbox.put_off(first, now)  # by somebody who was slow
    assert await entries(store) == (1, 1)
    assert await bodies(outbox) == []


async def test_what_was_erased_from_the_stream_is_forgotten(store: CustomerStore) -> None:
    outbox = Outbox(store.ledger, lease=0.0)
    (first, _) = await put(store, "a", "b")
    assert await bodies(outbox) == ["a", "b"]
    await store.ledger.link.ask("XDEL", store.ledger.layout.outbox(3), first, within=WITHIN)
    assert await bodies(outbox) == ["b"]
    assert await entries(store) == (1, 1)


async def test_a_mark_that_redis_has_lost_gives_nobody_what_another_has(store: CustomerStore) -> None:
    outbox = Outbox(store.ledger)
    await put(store, "a", "b")
    assert await bodies(outbox, 1) == ["a"]
    await store.ledger.link.ask("XGROUP", "DESTROY", store.ledger.layout.outbox(3), "deliver", within=WITHIN)
    assert (await bodies(outbox), await bodies(outbox)) == (["b"], [])


async def test_notes_that_redis_has_lost_with_the_mark_are_made_again(store: CustomerStore) -> None:
    outbox = Outbox(store.ledger)
    await put(store, "a", "b")
    assert await bodies(outbox) == ["a", "b"]
    layout, link = store.ledger.layout, store.ledger.link
    await link.ask("XGROUP", "DESTROY", layout.outbox(3), "deliver", within=WITHIN)
    await link.ask("DEL", layout.sending(3), within=WITHIN)
    assert await bodies(outbox) == ["a", "b"]


async def test_times_are_the_service_s(url: str, store: CustomerStore) -> None:
    ahead = await open_store(url, now="2100-01-01T00:00")
    await put(store, "a")
    now, (taken,) = await Outbox(ahead.ledger).take(3)
    noted = await store.ledger.link.ask("ZSCORE", store.ledger.layout.sending(3), taken.id, within=WITHIN)
    await ahead.ledger.link.close()
    assert 0 <= now - 4_102_444_800 * SECOND < 60 * SECOND
    assert int(noted) == now + 60 * SECOND  # to the microsecond


async def test_a_field_of_another_name_is_none_of_ours(store: CustomerStore) -> None:
    await store.ledger.link.ask("XADD", store.ledger.layout.outbox(3), "*", "x", "y", within=WITHIN)
    assert await bodies(Outbox(store.ledger)) == [""]
