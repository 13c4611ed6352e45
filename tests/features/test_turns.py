"""Turns on a real event loop: order, deadlines and cancellation."""

import asyncio

import pytest

from features.deadline import Deadline
from features.turns import Turns

pytestmark = pytest.mark.anyio


def standing() -> Deadline:
    """A deadline whose clock stands still: a minute is always left."""
    return Deadline(60.0, lambda: 0.0)


def passed() -> Deadline:
    return Deadline(0.0, lambda: 0.0)


async def settle() -> None:
    """Lets every task that can run do so."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_first_come_first_served_each_alone_and_customers_apart() -> None:
    turns, order, inside = Turns(), [], 0

    async def one(name: str) -> None:
        nonlocal inside
        assert await turns.take("c", standing())
        inside += 1
        assert inside == 1
        order.append(name)
        await asyncio.sleep(0)
        inside -= 1
        turns.give("c")

    tasks = [asyncio.create_task(one(name)) for name in "abcdef"]
    await asyncio.gather(*tasks)
    assert "".join(order) == "abcdef"
    assert await turns.take("c", standing())
    assert await turns.take("another", passed())  # theirs is free


async def test_who_gives_and_asks_again_stands_at_the_end() -> None:
    turns, order = Turns(), []
    await turns.take("c", standing())

    async def one(name: str, rounds: int) -> None:
        for _ in range(rounds):
            await turns.take("c", standing())
            order.append(name)
            turns.give("c")

    tasks = [asyncio.create_task(one("a", 2)), asyncio.create_task(one("b", 2))]
    await settle()
    turns.give("c")
    await asyncio.gather(*tasks)
    assert "".join(order) == "abab"


async def test_some_go_ahead_of_all_others_in_their_own_order() -> None:
    turns, order = Turns(), []
    await turns.take("c", standing())

    async def one(name: str) -> None:
        assert await turns.take("c", standing(), ahead=name.isupper())
        order.append(name)
        turns.give("c")

    tasks = []
    for name in "abCDeF":
        tasks.append(asyncio.create_task(one(name)))
        await settle()
    assert not await turns.take("c", passed(), ahead=True)  # who leaves the line moves nobody
    tasks.append(asyncio.create_task(one("G")))
    await settle()
    assert turns.in_line("c") == len(tasks) + 1
    turns.give("c")
    await asyncio.gather(*tasks)
    assert "".join(order) == "CDFGabe"
    await turns.take("c", standing())
    late = [asyncio.create_task(one(name)) for name in "hI"]
    await settle()
    turns.give("c")
    await asyncio.gather(*late)
    assert "".join(order[7:]) == "Ih", "nothing is left of those who went ahead before"


async def test_a_deadline_that_passes_first_leaves_the_line() -> None:
    turns = Turns()
    await turns.take("c", standing())
    assert not await turns.take("c", passed())
    waiting = asyncio.create_task(turns.take("c", standing()))
    await settle()
    turns.give("c")
    assert await waiting
    turns.give("c")
    assert await turns.take("c", passed())


async def test_a_cancelled_one_leaves_the_line() -> None:
    turns = Turns()
    await turns.take("c", standing())
    first = asyncio.create_task(turns.take("c", standing()))
    second = asyncio.create_task(turns.take("c", standing()))
    await settle()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    turns.give("c")
    assert await second


async def test_one_cancelled_just_as_it_gets_its_turn_passes_it_on() -> None:
    turns = Turns()
    await turns.take("c", standing())
    first = asyncio.create_task(turns.take("c", standing()))
    second = asyncio.create_task(turns.take("c", standing()))
    await settle()
    turns.give("c")  # it is the first one's now, who has not run yet
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await second
    turns.give("c")
    assert await turns.take("c", passed())


async def test_nothing_is_left_of_a_line_that_everybody_left() -> None:
    turns = Turns()
    await turns.take("c", standing())
    tasks = [asyncio.create_task(turns.take("c", standing())) for _ in range(3)]
    await settle()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    turns.give("c")
    assert await turns.take("c", passed())


async def test_a_pause_ends_at_the_deadline() -> None:
    times = iter([0.0, 0.0, 2.0, 2.0, 2.0])
    deadline = Deadline(1.0, lambda: next(times))
    assert deadline.left() == 1.0
    assert deadline.left() == 0.0
    assert deadline.passed
    await deadline.pause(3600)
