"""Transfers between a budget and its partitions on real Redis servers: each counts once, whoever dies in between."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from features.accounts import SCRIPT, SHARES, Account, Transfer
from features.budgets import Budgets
from features.errors import NotConnected, StoreError
from features.keys import Layout, open_layout
from features.link import Link
from features.redis_server import EmbeddedRedis
from tests.features.dealing import DEFECT, NOW, accounts_of, daily, patient, spend
from tests.on_disk import copy_log, put_back

pytestmark = pytest.mark.anyio


def test_the_defect_is_one() -> None:
    assert DEFECT != SCRIPT


async def test_a_share_is_one_part_of_what_is_left(link: Link, layout: Layout) -> None:
    accounts = accounts_of(link, layout, daily(100_000))
    share = 100_000 // (SHARES * layout.partitions)
    assert await accounts.give(3, 100_000, 1) == Transfer(1, share)
    assert await accounts.give(4, 100_000, 1) == Transfer(1, (100_000 - share) // (SHARES * layout.partitions))


async def test_what_is_needed_is_given_and_never_more_than_there_is(link: Link, layout: Layout) -> None:
    accounts = accounts_of(link, layout, daily(5))
    assert await accounts.give(0, 5, 3) == Transfer(1, 3)
    assert await accounts.give(1, 5, 3) == Transfer(1, 2)
    assert await accounts.give(2, 5, 3) is None
    assert (await accounts.counter()).given == 5


async def test_until_it_is_finished_a_transfer_is_told_again(link: Link, layout: Layout) -> None:
    accounts = accounts_of(link, layout, daily(5))
    first = await accounts.give(7, 5, 2)
    assert first == Transfer(1, 2) == await accounts.give(7, 5, 1)
    assert await accounts.credit(7, first) == 2 == await accounts.credit(7, first)
    assert await accounts.give(7, 5, 1) == first
    await accounts.credited(7, first)
    second = await accounts.give(7, 5, 1)
    assert second == Transfer(2, 1)
    # Somebody who was held up is late with all of the first.
    assert await accounts.hand_over(7, first) == 2
    assert (await accounts.counter()).open == {7: second}
    assert await accounts.hand_over(7, second) == 3


async def test_so_is_one_back(link: Link, layout: Layout) -> None:
    accounts = accounts_of(link, layout, daily(9))
    for partition in (1, 2):
        given = await accounts.give(partition, 9, 4)
        assert given
        await accounts.hand_over(partition, given)
    first = await accounts.withdraw(1)
    assert first == Transfer(1, 2) == await accounts.withdraw(1)
    for _ in range(2):
        await accounts.take_back(1, first)
        assert (await accounts.counter()).given == 6
    assert await accounts.withdraw(1) == first
    await accounts.taken_back(1, first)
    second = await accounts.withdraw(1)
    assert second == Transfer(2, 1)
    await accounts.bring_back(1, first)
    assert (await accounts.accounts([1]))[1] == Account(1, 1, second)
    assert (await accounts.counter()).given == 6
    await accounts.bring_back(1, second)
    assert (await accounts.counter()).given == 5
    assert await accounts.withdraw(5) is None


@pytest.mark.parametrize("asking", [(3, 9), (9,)])
@pytest.mark.parametrize("steps", range(4))
async def test_whoever_dies_while_a_partition_is_given_its_share(
    link: Link, layout: Layout, budgets: Budgets, steps: int, asking: tuple[int, ...]
) -> None:
    """After none of the steps, after the debit, the credit, and all: the next one gets all there is, and no more."""
    budget, dying = daily(40), accounts_of(link, layout, daily(40))
    transfer = Transfer(0, 0)
    for step in range(steps):
        if step == 0:
            given = await dying.give(3, 40, 5)
            assert given
            transfer = given
        elif step == 1:
            await dying.credit(3, transfer)
        else:
            await dying.credited(3, transfer)
    assert await budgets.left(budget, NOW, patient()) == 40
    assert await spend(budgets, budget, link, layout, [*asking] * 41) == 40
    assert await budgets.left(budget, NOW, patient()) == 0


@pytest.mark.parametrize("limit", [1, 40])
@pytest.mark.parametrize("steps", range(4))
async def test_whoever_dies_while_a_partition_brings_back(
    link: Link, layout: Layout, budgets: Budgets, steps: int, limit: int
) -> None:
    budget, dying = daily(limit), accounts_of(link, layout, daily(limit))
    given = await dying.give(3, limit, limit)
    assert given
    await dying.hand_over(3, given)
    transfer = Transfer(0, 0)
    for step in range(steps):
        if step == 0:
            withdrawn = await dying.withdraw(3)
            assert withdrawn
            transfer = withdrawn
        elif step == 1:
            await dying.take_back(3, transfer)
        else:
            await dying.taken_back(3, transfer)
    assert await budgets.left(budget, NOW, patient()) == limit
    assert await spend(budgets, budget, link, layout, [9] * (limit + 1)) == limit
    assert await budgets.left(budget, NOW, patient()) == 0


@pytest.mark.chaos
@pytest.mark.parametrize("back", [False, True], ids=["to the partition", "from it"])
async def test_a_transfer_ends_with_the_power(tmp_path: Path, back: bool) -> None:
    """Redis loses the first step with its power. The worker, held up meanwhile, believes it done and goes on."""
    budget = daily(40)
    server = EmbeddedRedis.start(tmp_path)
    link = Link(server.url)
    layout = await open_layout(link)
    held_up = accounts_of(link, layout, budget)
    if back:
        given = await held_up.give(3, 40, 20)
        assert given
        await held_up.hand_over(3, given)
    copy_log(tmp_path, tmp_path / "on disk")
    transfer = await (held_up.withdraw(3) if back else held_up.give(3, 40, 20))
    assert transfer
    owed = (await link.connection(10)).call("BLPOP", "nothing", 0)
    os.kill(server.pid, signal.SIGKILL)
    server.stop()
    put_back(tmp_path / "on disk", tmp_path)
    with EmbeddedRedis.start(tmp_path):
        with pytest.raises(StoreError):
            await owed  # so the worker has heard that its connection broke; it opens another
        assert await link.ask("DBSIZE", within=10) == (3 if back else 1)
        for step in (held_up.bring_back, held_up.hand_over):
            with pytest.raises(NotConnected):
                await step(3, transfer)
        with pytest.raises(NotConnected):
            await held_up.accounts([3])
        budgets = Budgets(link, layout)
        assert await budgets.left(budget, NOW, patient()) == 40
        assert await spend(budgets, budget, link, layout, [9] * 41 + [3] * 21) == 40
        await link.close()


async def test_a_credit_that_counts_twice_overshoots(link: Link, layout: Layout) -> None:
    """The seeded defect: what the tests above hold is then broken, by what was credited before its worker died."""
    budget, broken = daily(40), Budgets(link, layout, DEFECT)
    dying = accounts_of(link, layout, budget)
    given = await dying.give(3, 40, 5)
    assert given
    await dying.credit(3, given)
    assert await spend(broken, budget, link, layout, [3, 9] * 40) == 45
