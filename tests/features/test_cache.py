"""The cache of a worker: the customers used last, and what is computed from each once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from features.cache import BYTES_A_BYTE, ENTRY_BYTES, UNKNOWN, Cache, Snapshot
from features.customer import EMPTY, Customer


def snapshot(number: int) -> Snapshot:
    return Snapshot(b"%016d" % number, number, b"", Customer({"n": number}))


steps_taken = st.tuples(st.sampled_from(["get", "put", "forget"]), st.sampled_from("abcdef"))


@given(st.integers(1, 4), st.lists(steps_taken, max_size=40))
def test_the_customers_used_last_are_kept(capacity: int, steps: list[tuple[str, str]]) -> None:
    cache = Cache(capacity)
    kept: list[tuple[str, Snapshot]] = []  # the one used last stands last
    hits = misses = evictions = 0
    for number, (step, name) in enumerate(steps):
        found = next((entry for entry in kept if entry[0] == name), None)
        if step == "put":
            entry = (name, snapshot(number))
            kept = [other for other in kept if other is not found] + [entry]
            evictions += len(kept) > capacity
            kept = kept[-capacity:]
            cache.put(*entry)
        elif step == "forget":
            kept = [other for other in kept if other is not found]
            cache.forget(name)
        else:
            assert cache.get(name) is (found[1] if found else None)
            hits += found is not None
            misses += found is None
            kept = [other for other in kept if other is not found] + ([found] if found else [])
        assert (len(cache), cache.hits, cache.misses, cache.evictions) == (len(kept), hits, misses, evictions)


@given(st.integers(700, 9_000), st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 200)), max_size=40))
def test_as_many_are_kept_as_fit(room: int, puts: list[tuple[str, int]]) -> None:
    cache = Cache(100, room)
    kept: dict[str, int] = {}
    evictions = 0
    for number, (name, length) in enumerate(puts):
        kept.pop(name, None)
        kept[name] = ENTRY_BYTES + BYTES_A_BYTE * length
        while sum(kept.values()) > room:
            kept.pop(next(iter(kept)))
            evictions += 1
        cache.put(name, Snapshot(b"%016d" % number, number, b"x" * length, EMPTY))
        assert (cache.bytes, len(cache), cache.evictions) == (sum(kept.values()), len(kept), evictions)
        assert all(cache.peek(each) for each in kept)
    for name in "abcdef":
        cache.forget(name)
    assert (cache.bytes, len(cache)) == (0, 0)


def test_a_view_is_computed_once_per_owner_and_snapshot() -> None:
    made: list[Customer] = []

    def make(customer: Customer, before: int | None) -> int:
        made.append(customer)
        return len(made)

    one, other = object(), object()
    first = snapshot(1)
    assert [first.view(owner, make) for owner in (one, one, other, other)] == [1, 1, 2, 2]
    assert snapshot(1).view(one, make) == 3
    assert made == [Customer({"n": 1})] * 3


def test_nobody_knows_the_unknown() -> None:
    assert (UNKNOWN.version, UNKNOWN.last, UNKNOWN.customer) == (b"", 0, EMPTY)
