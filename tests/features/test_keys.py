from __future__ import annotations

import pytest

from features.errors import LayoutMismatch
from features.keys import Layout, new_decision_id, open_layout, parse_decision_id
from features.link import Link


def test_keys_of_one_customer_share_a_hash_tag() -> None:
    keys = Layout(16).commit_keys("c-42", b"\xde\xad")
    assert keys == (
        b"tino:{5}:c:c-42",
        b"tino:{5}:q:dead",
        b"tino:{5}:t:c-42",
        b"$18\r\ntino:{5}:decisions\r\n$15\r\ntino:{5}:outbox\r\n",
    )
    assert keys.state.decode() == Layout(16).state("c-42")
    assert (Layout(16).decisions(5), Layout(16).outbox(5)) == ("tino:{5}:decisions", "tino:{5}:outbox")


def test_partitions_never_change() -> None:
    # Written down: with another hash every customer would be looked for in the wrong place.
    assert [Layout(16).partition(name) for name in ("", "c-42", "Zoë", "客户", "{x}")] == [0, 5, 10, 5, 12]


def test_customers_spread_over_partitions() -> None:
    layout = Layout(16)
    counts = [0] * 16
    for number in range(16_000):
        counts[layout.partition(f"customer-{number}")] += 1
    assert min(counts) > 800
    assert max(counts) < 1200


@pytest.mark.parametrize("partitions", [0, -1, 16385])
def test_partitions_out_of_range(partitions: int) -> None:
    with pytest.raises(ValueError, match="partitions"):
        Layout(partitions)


@pytest.mark.anyio
async def test_a_layout_is_written_down_once(link: Link) -> None:
    assert (await open_layout(link, 8)).partitions == 8
    assert (await open_layout(link, 8)).partitions == 8
    with pytest.raises(LayoutMismatch, match="8 partitions, not 16"):
        await open_layout(link, 16)
    await link.ask("HSET", "tino:meta", "format", 3, within=5)
    with pytest.raises(LayoutMismatch, match="format 3"):
        await open_layout(link, 8)
    await link.ask("DEL", "tino:meta", within=5)  # other tests share this Redis


def test_decision_ids_say_where_and_when() -> None:
    decision_id = new_decision_id(11, 1_506_841_200_123_456, bytes(range(8)))
    assert len(decision_id) == 32
    assert parse_decision_id(decision_id) == (11, 1_506_841_200_123)


def test_decision_ids_sort_by_time() -> None:
    times = (0, 999_999, 1_506_841_200_000_000, 1_506_841_200_001_000, 4_102_444_800_000_000)
    ids = [new_decision_id(15 - at, when, bytes([9 - at] * 8)) for at, when in enumerate(times)]
    assert ids == sorted(ids)


@pytest.mark.parametrize(
    "text", ["", "0" * 31, "0" * 33, "0" * 31 + "g", "0" * 31 + "A", " " + "0" * 31, "0" * 32 + "\n"]
)
def test_what_is_no_decision_id(text: str) -> None:
    with pytest.raises(ValueError, match="decision id"):
        parse_decision_id(text)


def test_a_decision_id_needs_its_randomness() -> None:
    with pytest.raises(ValueError, match="random"):
        new_decision_id(0, 0, b"short")
