"""Budgets over all customers, seen from a worker: which are used up, and how a partition gets more.

A commit takes from its customer's partition's account alone, in the one script that writes the rest of it, so what is
there can't be taken twice. When there is too little, the worker has the counter give the partition a share, and when
that has nothing left either, it has other partitions bring back what they hold. At no time is there more with counter,
accounts and on the way than the limit allows, so a budget is never overshot; and nobody says that one is used up
before having seen that nothing is left anywhere.

How to see that, when there is no looking at all keys at once: the counter first, then every account, then the counter
again. What the counter says is on its way to an account is handed over before that is looked at. Whatever leaves an
account goes through the counter, which counts its moves. If these are the same before and after, the counter had
nothing left, and each account was empty when it was looked at, then nothing was left anywhere.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from catalog.limits import BudgetPlan
from features.accounts import SCRIPT, Accounts, total
from features.connection import wait
from features.deadline import Deadline
from features.keys import Layout
from features.link import Link

WITHIN = 5.0
ROUNDS = 16
"""How often a worker tries to get something while others move it about, before it leaves it to the next request."""


_Place = tuple[str, int, int]
"""Where more of a budget is wanted: its period, its limit, the partition."""


@dataclass(slots=True)
class _Waiting:
    """Those who wait to be served together, and how much they need."""

    units: int = 0
    task: asyncio.Task[int] = field(init=False)


class Budgets:
    """Use from one event loop only. `granted` counts what this worker's commits took, by budget."""

    def __init__(self, link: Link, layout: Layout, script: bytes = SCRIPT) -> None:
        self.granted: Counter[str] = Counter()
        self._link = link
        self._layout = layout
        self._script = script
        self._spent: dict[str, tuple[str, int]] = {}  # by budget, the period, and the limit it was spent under
        self._under_way: dict[_Place, asyncio.Task[int]] = {}
        self._waiting: dict[_Place, _Waiting] = {}

    def spent(self, budgets: Iterable[BudgetPlan], now: int) -> Mapping[str, int]:
        """What is left of those that this worker knows to be used up: nothing.

        A limit of 0 means never, whatever was dealt out under a limit before.
        """
        spent = self._spent
        return {
            each.name: 0
            for each in budgets
            if not each.limit or (each.name in spent and spent[each.name] == (each.period(now).key, each.limit))
        }

    def took(self, takes: Iterable[tuple[BudgetPlan, int]]) -> None:
        """A commit has taken so much of each."""
        for budget, count in takes:
            self.granted[budget.name] += count

    async def obtain(self, budget: BudgetPlan, now: int, partition: int, needed: int, deadline: Deadline) -> int:
        """Has the partition get at least `needed`: what it has then, which is less only if there is no more anywhere.

        All who come while others are being served are served together after that, with as much as they need together:
        were it one unit, all of them would come again but one. Raises StoreError.
        """
        place = (budget.period(now).key, budget.limit, partition)
        together = self._waiting.get(place)
        if together is None:
            together = self._waiting[place] = _Waiting()
            serving = self._serve(place, together, self._under_way.get(place), budget, now)
            task = together.task = asyncio.get_running_loop().create_task(serving)
            self._under_way[place] = task
            task.add_done_callback(lambda done: self._over(place, done))
        together.units += needed
        try:
            return await wait(together.task, deadline.left())
        finally:
            together.units -= needed

    async def left(self, budget: BudgetPlan, now: int, deadline: Deadline) -> int:
        """What is left of it in all, give or take what is decided meanwhile. Raises StoreError."""
        if not budget.limit:
            return 0  # though accounts may hold something of a limit before
        accounts = self._accounts(budget, now, deadline)
        counter = await accounts.counter()
        found = total(counter, await accounts.accounts(counter.partitions), budget.limit)
        if found:
            self._spent.pop(budget.name, None)
        return found

    def _accounts(self, budget: BudgetPlan, now: int, deadline: Deadline) -> Accounts:
        return Accounts(self._link, self._layout, budget.period(now), now, deadline, self._script)

    async def _serve(
        self, place: _Place, together: _Waiting, before: asyncio.Task[int] | None, budget: BudgetPlan, now: int
    ) -> int:
        if before is not None:
            await asyncio.wait([before])
        del self._waiting[place]  # who comes from here on is among the next
        return await self._obtain(budget, now, place[2], together.units) if together.units else 0

    def _over(self, place: _Place, done: asyncio.Task[int]) -> None:
        if self._under_way[place] is done:
            del self._under_way[place]
        if not done.cancelled():
            done.exception()  # looked at here, as everybody waiting for it may have left

    async def _obtain(self, budget: BudgetPlan, now: int, partition: int, needed: int) -> int:
        accounts = self._accounts(budget, now, Deadline(WITHIN))
        left = (await accounts.accounts([partition]))[partition].left
        for _ in range(ROUNDS):
            if left >= needed:
                break
            transfer = await accounts.give(partition, budget.limit, needed - left)
            if transfer is not None:
                left = await accounts.hand_over(partition, transfer)
            elif (all_there_is := await _all_that_is_left(accounts, partition, budget.limit)) is not None:
                if all_there_is == 0:
                    self._spent[budget.name] = (budget.period(now).key, budget.limit)
                return all_there_is
            else:
                left = (await accounts.accounts([partition]))[partition].left
        return left


async def _all_that_is_left(accounts: Accounts, partition: int, limit: int) -> int | None:
    """What the partition has, if nothing is left but that. None if more may be, some of which has come to the counter
    by now or is about to.
    """
    before = await accounts.counter()
    for each, transfer in before.open.items():
        await accounts.hand_over(each, transfer)
    found = await accounts.accounts({partition, *before.partitions})
    for each, account in found.items():
        if account.returning is not None:
            await accounts.bring_back(each, account.returning)
    own = found.pop(partition)
    richest = max(found, key=lambda each: found[each].left, default=partition)
    if richest != partition and found[richest].left:
        withdrawn = await accounts.withdraw(richest)
        if withdrawn is not None:
            await accounts.bring_back(richest, withdrawn)
        return None
    if before.given < limit or (await accounts.counter()).moves != before.moves:
        return None
    return own.left
